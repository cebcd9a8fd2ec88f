//! What two accounts with the same jobs have come to, as numbers. Pure.

use crate::daemon::twin::{Side, Source, Twin};
use crate::simulate::ledger::{Fate, JobOutcome};
use crate::units::{MicroUsd, Span, Time, Vcpus, to_i64, to_usize};

/// Steps of a curve.
const STEPS: usize = 48;

/// The steered account first, then AWS Batch alone.
pub type Pair<T> = [T; 2];

/// What is seen of an account at one moment.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// When.
    pub now: Time,
    /// In the order of the trace, which is the same for both.
    pub jobs: Vec<JobOutcome>,
    /// vCPUs of ACTIVE container instances.
    pub there: Vcpus,
    /// What instances have cost.
    pub cost: MicroUsd,
}

/// How an account stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Jobs that have started.
    pub started: usize,
    /// RUNNABLE jobs.
    pub waiting: usize,
    /// How long those that have started waited, in the mean.
    pub mean: Option<Span>,
    /// Of 100 of them, 95 waited this long at most.
    pub p95: Option<Span>,
    /// vCPUs of ACTIVE container instances.
    pub there: Vcpus,
    /// What instances have cost.
    pub cost: MicroUsd,
}

/// The jobs that both accounts have started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Both {
    /// How many.
    pub jobs: usize,
    /// How long they waited in each account, in the mean; nothing if there are none.
    pub mean: Pair<Span>,
}

/// Both accounts at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Simulated time since the start.
    pub passed: Span,
    /// How much there will have been at the end.
    pub lasts: Span,
    /// Each account by itself.
    pub standings: Pair<Standing>,
    /// What can be compared.
    pub both: Both,
    /// Mean waits of the jobs that became RUNNABLE in each of as many equal parts of the time; those that wait count with their
    /// wait so far. `None`: no job became RUNNABLE.
    pub curves: Pair<Vec<Option<Span>>>,
    /// When Spot capacity is short, after the start.
    pub short: Vec<(Span, Span)>,
    /// Updates that the steered account has accepted.
    pub updates: u64,
    /// The latest decision as a sentence, and when it was made.
    pub latest: Option<(Span, String)>,
}

impl Look {
    /// Of both accounts, which began then and last so long.
    pub fn of(seen: &Pair<Seen>, begin: Time, lasts: Span) -> Self {
        let [tuned, alone] = seen;
        let pairs = tuned.jobs.iter().zip(&alone.jobs);
        let both: Vec<(Span, Span)> = pairs
            .filter_map(|(tuned, alone)| Some((tuned.wait()?, alone.wait()?)))
            .collect();
        let of_both = |pick: fn(&(Span, Span)) -> Span| mean(both.iter().map(pick)).unwrap_or_default();
        Self {
            passed: tuned.now.since(begin).min(lasts),
            lasts,
            standings: [standing(tuned), standing(alone)],
            both: Both {
                jobs: both.len(),
                mean: [of_both(|pair| pair.0), of_both(|pair| pair.1)],
            },
            curves: [curve(tuned, begin, lasts), curve(alone, begin, lasts)],
            short: Vec::new(),
            updates: 0,
            latest: None,
        }
    }
}

impl Look {
    /// What the page tells of it.
    pub fn twin(&self, at: Time, model: &str) -> Twin {
        let side = |standing: &Standing, mean: Span, curve: &[Option<Span>]| Side {
            started: standing.started,
            waiting: standing.waiting,
            mean: (self.both.jobs > 0).then_some(mean),
            cost: standing.cost,
            curve: curve.to_vec(),
        };
        let ([tuned, alone], [mean, mean_alone]) = (&self.standings, self.both.mean);
        let [curve, curve_alone] = &self.curves;
        Twin {
            source: Source::Accounts,
            at,
            model: model.to_owned(),
            passed: self.passed,
            lasts: self.lasts,
            jobs: self.both.jobs,
            left_out: 0,
            tuned: side(tuned, mean, curve),
            alone: side(alone, mean_alone, curve_alone),
            short: self.short.clone(),
            measured: None,
        }
    }
}

/// How long a job has waited: to its first start, or until now. `None`: it was never RUNNABLE, or is set aside.
fn wait_so_far(job: &JobOutcome, now: Time) -> Option<Span> {
    let waits = job.fate == Fate::Open && job.ready <= now;
    job.wait().or_else(|| waits.then(|| now.since(job.ready)))
}

fn standing(seen: &Seen) -> Standing {
    let mut waits: Vec<Span> = seen.jobs.iter().filter_map(JobOutcome::wait).collect();
    waits.sort_unstable();
    let known = seen.jobs.iter().filter_map(|job| wait_so_far(job, seen.now)).count();
    let rank = (waits.len() * 95).div_ceil(100);
    Standing {
        started: waits.len(),
        waiting: known - waits.len(),
        mean: mean(waits.iter().copied()),
        p95: rank.checked_sub(1).and_then(|rank| waits.get(rank).copied()),
        there: seen.there,
        cost: seen.cost,
    }
}

fn mean(spans: impl Iterator<Item = Span>) -> Option<Span> {
    let (sum, count) = spans.fold((Span::ZERO, 0), |(sum, count), span| (sum + span, count + 1));
    (count > 0).then(|| sum.scaled_down(1, count))
}

fn curve(seen: &Seen, begin: Time, lasts: Span) -> Vec<Option<Span>> {
    let step = lasts.scaled_up(1, to_i64(STEPS)).max(Span::from_millis(1));
    let mut steps = vec![Vec::new(); STEPS];
    for job in &seen.jobs {
        if let Some(wait) = wait_so_far(job, seen.now) {
            let at = job.ready.since(begin).millis().div_euclid(step.millis());
            if let Some(step) = steps.get_mut(to_usize(at)) {
                step.push(wait);
            }
        }
    }
    steps.into_iter().map(|waits| mean(waits.into_iter())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::QueueIndex;

    const BEGIN: Time = Time::from_seconds(1_000_000);

    fn at(seconds: i64) -> Time {
        BEGIN + Span::from_seconds(seconds)
    }

    /// RUNNABLE and STARTING, in seconds.
    fn job(ready: Option<i64>, starting: Option<i64>) -> JobOutcome {
        JobOutcome {
            ready: ready.map_or(Time::FAR_FUTURE, at),
            starting: starting.map_or(Time::FAR_FUTURE, at),
            running: Time::FAR_FUTURE,
            ended: Time::FAR_FUTURE,
            avoidable: Span::ZERO,
            queue: QueueIndex::default(),
            attempts: 0,
            fate: Fate::Open,
        }
    }

    fn seen(now: i64, jobs: Vec<JobOutcome>) -> Seen {
        Seen {
            now: at(now),
            jobs,
            ..Seen::default()
        }
    }

    #[test]
    fn only_jobs_that_both_have_started_are_compared() {
        let tuned = seen(
            480,
            vec![job(Some(0), Some(10)), job(Some(0), Some(20)), job(None, None)],
        );
        let alone = seen(480, vec![job(Some(0), Some(100)), job(Some(0), None), job(None, None)]);
        let look = Look::of(&[tuned, alone], BEGIN, Span::from_seconds(480));
        assert_eq!(look.both.jobs, 1);
        assert_eq!(look.both.mean, [10, 100].map(Span::from_seconds));
        let counts = look.standings.map(|standing| (standing.started, standing.waiting));
        assert_eq!(counts, [(2, 0), (1, 1)]);
    }

    #[test]
    fn a_curve_holds_waits_where_jobs_became_runnable_and_waits_so_far() {
        let jobs = vec![job(Some(5), Some(15)), job(Some(6), Some(36)), job(Some(25), None)];
        let steps = curve(&seen(100, jobs), BEGIN, Span::from_seconds(480));
        assert_eq!(steps.len(), STEPS);
        let found: Vec<(usize, i64)> = steps
            .iter()
            .enumerate()
            .filter_map(|(at, wait)| Some((at, (*wait)?.millis() / 1_000)))
            .collect();
        assert_eq!(found, [(0, 20), (2, 75)]);
    }

    #[test]
    fn nothing_started_is_no_wait_of_zero() {
        let look = Look::of(&[seen(0, vec![]), seen(0, vec![])], BEGIN, Span::ZERO);
        assert_eq!(look.both, Both::default());
        assert_eq!((look.standings[0].mean, look.standings[0].p95), (None, None));
        let jobs = (1..=100).map(|wait| job(Some(0), Some(wait))).collect();
        assert_eq!(standing(&seen(100, jobs)).p95, Some(Span::from_seconds(95)));
    }
}
