//! How long jobs waited, for metrics and people: each job once, from events where they came, else from listings.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;

use lru::LruCache;

use super::snapshot::Waited;
use super::spread::{self, Spread};
use crate::jobs::{JobSeen, JobStatus};
use crate::metrics::Metrics;
use crate::units::{Span, Time, i64_to_f64, to_i64};

/// Events and jobs that are remembered, so that each counts once.
const REMEMBERED_MOST: usize = 20_000;
/// Stretches of time in which a queue's environments were full that are remembered; of a longer wait less is known.
const STRETCHES_MOST: usize = 500;

/// What is remembered of jobs and queues.
#[derive(Debug)]
pub(super) struct Waits {
    /// When jobs first became RUNNABLE, by event.
    runnable: LruCache<String, Time>,
    /// Jobs that waited for others.
    pending: LruCache<String, ()>,
    /// Jobs whose wait was told.
    waited: LruCache<String, ()>,
    started: LruCache<String, Time>,
    seen: LruCache<(String, JobStatus, Time), ()>,
    queues: BTreeMap<String, Queue>,
    /// Nothing is told to metrics: another process tells of the same jobs.
    muted: bool,
    /// The latest start that was forgotten for want of room: one that is no later may have counted.
    forgotten: Option<Time>,
    /// Jobs that started before are not counted: nobody knows whether they were already.
    since: Time,
}

#[derive(Debug, Default)]
struct Queue {
    /// When all environments were full, oldest first; the last one may go on.
    full: VecDeque<(Time, Option<Time>)>,
    /// Jobs that started, and those of them that are known exactly.
    started: usize,
    exact: usize,
    /// How long they waited.
    spread: Spread,
}

impl Queue {
    /// How much of this time was not full.
    fn avoidable(&self, from: Time, to: Time) -> Span {
        let full = self.full.iter().map(|(since, until)| {
            let (since, until) = ((*since).max(from), until.unwrap_or(to).min(to));
            until.since(since).max(Span::ZERO)
        });
        let all = to.since(from);
        full.fold(all, |left, full| left - full).max(Span::ZERO)
    }
}

impl Waits {
    pub(super) fn new(since: Time) -> Self {
        let most = NonZeroUsize::new(REMEMBERED_MOST).unwrap_or(NonZeroUsize::MIN);
        Self {
            runnable: LruCache::new(most),
            pending: LruCache::new(most),
            waited: LruCache::new(most),
            started: LruCache::new(most),
            seen: LruCache::new(most),
            queues: BTreeMap::new(),
            muted: false,
            forgotten: None,
            since,
        }
    }

    /// Who stands by keeps books, so that nothing counts twice once he leads, and leaves it to the leader to tell.
    pub(super) const fn mute(&mut self, muted: bool) {
        self.muted = muted;
    }

    /// Whether this event was here before: delivery is at least once.
    pub(super) fn is_duplicate(&mut self, job: &JobSeen, at: Time) -> bool {
        self.seen.put((job.id.clone(), job.status, at), ()).is_some()
    }

    /// From now on every environment of a queue is full, or some are not.
    pub(super) fn full(&mut self, queue: &str, full: bool, now: Time) {
        let queue = self.queues.entry(queue.to_owned()).or_default();
        match (queue.full.back_mut(), full) {
            (Some((_, open @ None)), false) => *open = Some(now),
            (Some((_, None)), true) | (None | Some((_, Some(_))), false) => {}
            (None | Some((_, Some(_))), true) => queue.full.push_back((now, None)),
        }
        if queue.full.len() > STRETCHES_MOST {
            queue.full.pop_front();
        }
    }

    /// How long jobs of a queue waited that started lately, and today.
    pub(super) fn waited(&self, queue: &str, now: Time) -> (Waited, Waited) {
        let known = self.queues.get(queue).map(|known| &known.spread);
        known.map_or_else(Default::default, |spread| (spread.lately(now), spread.today(now)))
    }

    /// Since when today's waits are known.
    pub(super) fn today_since(&self, now: Time) -> Time {
        spread::midnight(now).max(self.since)
    }

    /// Queues that are gone are forgotten.
    pub(super) fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.queues.retain(|queue, _| is_there(queue));
    }

    /// An event told of a job. Events may come in any order.
    pub(super) fn event(&mut self, queue: &str, job: &JobSeen, at: Time, waits_for: bool, metrics: &Metrics) {
        match job.status {
            // Of a job that is tried again the first wait counts.
            JobStatus::Runnable | JobStatus::Starting if job.attempt > 1 => {}
            JobStatus::Runnable if self.waited.contains(&job.id) || self.started.contains(&job.id) => {}
            JobStatus::Runnable => {
                self.runnable.get_or_insert(job.id.clone(), || at);
            }
            JobStatus::Starting => {
                let since = self.runnable.get(&job.id).copied().filter(|since| *since <= at);
                if let Some(since) = since
                    && self.waited.put(job.id.clone(), ()).is_none()
                {
                    self.tell(queue, since, at, metrics);
                }
            }
            JobStatus::Submitted
            | JobStatus::Pending
            | JobStatus::Running
            | JobStatus::Succeeded
            | JobStatus::Failed => {}
        }
        self.seen(queue, job, waits_for, metrics);
    }

    /// A job was seen, by event or in a listing. Whether it waits for other jobs is known to whoever asked for its details.
    pub(super) fn seen(&mut self, queue: &str, job: &JobSeen, waits_for: bool, metrics: &Metrics) {
        if job.array.is_some() {
            return;
        }
        if job.status == JobStatus::Pending {
            self.pending.put(job.id.clone(), ());
        }
        // Of a job that is tried again `started` is of an attempt before, until the next one runs.
        let began = job.begun().into_iter().map(|attempt| attempt.started);
        let started = began.chain(job.started).min();
        let Some(started) = started.filter(|started| *started >= self.since) else {
            return;
        };
        let runnable = self.runnable.get(&job.id).copied();
        // Ten thousand children may be told at once, when their array has ended: they are told once, and crowd nobody out.
        let told_late = runnable.is_none() && job.status.is_over() && job.id.contains(':');
        let known = self.started.contains(&job.id);
        if !known && !told_late {
            let gone = self.started.push(job.id.clone(), started);
            self.forgotten = self.forgotten.max(gone.map(|(_, started)| started));
        }
        if known || self.forgotten.is_some_and(|forgotten| started <= forgotten) {
            return;
        }
        // When a child of an array became RUNNABLE, its creation does not tell: an array may be SEQUENTIAL or wait for others.
        let alone = !waits_for && !self.pending.contains(&job.id) && !job.id.contains(':');
        if let Some(since) = runnable.or(job.created.filter(|_| alone)) {
            let latency = started.since(since).max(Span::ZERO);
            if !self.muted {
                metrics.waited(queue, latency.seconds_f64(), "start_latency");
            }
            if runnable.is_none() && self.waited.put(job.id.clone(), ()).is_none() {
                self.tell(queue, since, started.max(since), metrics);
            }
        }
        let counts = self.queues.entry(queue.to_owned()).or_default();
        counts.started += 1;
        counts.exact += usize::from(runnable.is_some());
        let (exact, all) = (i64_to_f64(to_i64(counts.exact)), i64_to_f64(to_i64(counts.started)));
        let source = match (runnable, alone) {
            (Some(_), _) => "events",
            (None, true) if job.created.is_some() => "listing",
            (None, _) => "unknown",
        };
        if !self.muted {
            metrics.started(queue, source, exact / all);
        }
    }

    fn tell(&mut self, queue: &str, since: Time, at: Time, metrics: &Metrics) {
        let wait = at.since(since);
        let known = self.queues.entry(queue.to_owned()).or_default();
        known.spread.add(at, wait);
        let avoidable = known.avoidable(since, at);
        if !self.muted {
            metrics.waited(queue, wait.seconds_f64(), "wait");
            metrics.waited(queue, avoidable.seconds_f64(), "avoidable_wait");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::Attempt;
    use crate::planner::worlds::spot_then_on_demand;

    fn at(seconds: i64) -> Time {
        Time::from_seconds(1_000 + seconds)
    }

    fn job(id: &str, status: JobStatus, started: Option<i64>) -> JobSeen {
        JobSeen {
            id: id.to_owned(),
            status,
            created: Some(at(1)),
            started: started.map(at),
            ..JobSeen::default()
        }
    }

    /// Counts and sums of the three histograms, and the ratio.
    fn told(metrics: &Metrics, queue: &str) -> (Vec<(u64, f64)>, f64) {
        let text = metrics.render();
        let value = |series: String| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(&series)).unwrap();
            line.trim().parse().unwrap()
        };
        let kinds = ["wait", "avoidable_wait", "start_latency"];
        let told = kinds.map(|kind| {
            let series = |end: &str| format!("autotune_job_{kind}_seconds_{end}{{queue=\"{queue}\"}}");
            (
                format!("{:.0}", value(series("count"))).parse().unwrap(),
                value(series("sum")),
            )
        });
        (
            told.to_vec(),
            value(format!("autotune_job_wait_coverage_ratio{{queue=\"{queue}\"}}")),
        )
    }

    fn made() -> (Metrics, String) {
        let (metrics, setup) = (Metrics::new(), spot_then_on_demand());
        metrics.reset(&setup);
        (metrics, setup.queues[0].name.clone())
    }

    #[test]
    fn a_job_is_measured_once_whatever_comes_in_whatever_order() {
        use JobStatus::{Pending, Runnable, Running, Starting, Succeeded};
        let tries: [&[(JobStatus, i64, Option<i64>)]; 3] = [
            &[(Runnable, 10, None), (Starting, 40, None), (Running, 55, Some(55))],
            &[
                (Pending, 2, None),
                (Runnable, 10, None),
                (Running, 55, Some(55)),
                (Starting, 40, None),
            ],
            // Interrupted and tried again: the first wait counts.
            &[
                (Runnable, 10, None),
                (Starting, 40, None),
                (Running, 55, Some(55)),
                (Runnable, 100, Some(55)),
                (Starting, 300, Some(55)),
                (Running, 320, Some(320)),
                (Succeeded, 400, Some(320)),
            ],
        ];
        // An event tells which attempt it is of, a description all that began.
        let (metrics, queue) = made();
        let mut waits = Waits::new(at(0));
        let again = JobSeen {
            attempt: 2,
            attempts: vec![Attempt {
                started: at(55),
                ..Attempt::default()
            }],
            ..job("a", Starting, None)
        };
        waits.event(&queue, &job("a", Runnable, None), at(10), false, &metrics);
        waits.event(&queue, &again, at(300), false, &metrics);
        assert_eq!(told(&metrics, &queue).0, [(0, 0.0), (0, 0.0), (1, 45.0)]);
        // Of a job that was never listed RUNNING in between, a listing and a description tell when it first ran.
        let (metrics, queue) = made();
        let mut waits = Waits::new(at(0));
        waits.seen(&queue, &job("a", Runnable, Some(55)), false, &metrics);
        waits.seen(&queue, &job("a", Running, Some(320)), false, &metrics);
        let ended = JobSeen {
            attempts: again.attempts.clone(),
            ..job("b", Succeeded, Some(320))
        };
        waits.seen(&queue, &ended, false, &metrics);
        assert_eq!(told(&metrics, &queue).0[2], (2, 108.0));
        for events in tries {
            let (metrics, queue) = made();
            let mut waits = Waits::new(at(0));
            for (status, seconds, started) in events {
                waits.event(&queue, &job("a", *status, *started), at(*seconds), false, &metrics);
                waits.seen(&queue, &job("a", *status, *started), false, &metrics);
            }
            assert_eq!(
                told(&metrics, &queue),
                (vec![(1, 30.0), (1, 30.0), (1, 45.0)], 1.0),
                "{events:?}"
            );
            let (lately, today) = waits.waited(&queue, at(400));
            assert_eq!(
                (lately.jobs, lately.longest),
                (1, Some(Span::from_seconds(30))),
                "{events:?}"
            );
            assert_eq!(
                (today.jobs, today.half),
                (1, Some(Span::from_seconds(30))),
                "{events:?}"
            );
        }
    }

    /// More may start while it runs than are remembered.
    #[test]
    fn a_job_that_was_forgotten_does_not_count_again_when_it_ends() {
        let (metrics, queue) = made();
        let mut waits = Waits::new(at(0));
        waits.seen(&queue, &job("long", JobStatus::Running, Some(10)), false, &metrics);
        for number in 0..REMEMBERED_MOST {
            let later = job(&format!("j-{number}"), JobStatus::Running, Some(20));
            waits.seen(&queue, &later, false, &metrics);
        }
        let before = told(&metrics, &queue);
        waits.seen(&queue, &job("long", JobStatus::Succeeded, Some(10)), false, &metrics);
        assert_eq!(told(&metrics, &queue), before);
        waits.seen(&queue, &job("new", JobStatus::Running, Some(21)), false, &metrics);
        assert_eq!(told(&metrics, &queue).0[2].0, before.0[2].0 + 1);
    }

    /// Sums over all processes count each job once.
    #[test]
    fn who_stands_by_keeps_books_and_tells_no_metrics() {
        let (metrics, queue) = made();
        let mut waits = Waits::new(at(0));
        waits.mute(true);
        waits.seen(&queue, &job("a", JobStatus::Running, Some(10)), false, &metrics);
        assert_eq!(told(&metrics, &queue).0[0].0, 0);
        waits.mute(false);
        waits.seen(&queue, &job("a", JobStatus::Succeeded, Some(10)), false, &metrics);
        waits.seen(&queue, &job("b", JobStatus::Running, Some(11)), false, &metrics);
        assert_eq!(told(&metrics, &queue).0[0].0, 1);
    }

    #[test]
    fn listings_tell_of_jobs_that_waited_for_no_other() {
        let (metrics, queue) = made();
        let mut waits = Waits::new(at(0));
        waits.seen(&queue, &job("plain", JobStatus::Running, Some(61)), false, &metrics);
        assert_eq!(told(&metrics, &queue), (vec![(1, 60.0); 3], 0.0));
        // These waited for others, belong to an array, began before the daemon, or did not begin.
        waits.seen(&queue, &job("pending", JobStatus::Pending, None), false, &metrics);
        waits.seen(&queue, &job("pending", JobStatus::Running, Some(99)), false, &metrics);
        waits.seen(&queue, &job("child", JobStatus::Running, Some(99)), true, &metrics);
        waits.seen(&queue, &job("array:7", JobStatus::Running, Some(99)), false, &metrics);
        waits.seen(&queue, &job("old", JobStatus::Running, Some(-9)), false, &metrics);
        waits.seen(&queue, &job("new", JobStatus::Runnable, None), false, &metrics);
        assert_eq!(told(&metrics, &queue), (vec![(1, 60.0); 3], 0.0));
        waits.event(&queue, &job("known", JobStatus::Runnable, None), at(70), true, &metrics);
        waits.event(
            &queue,
            &job("known", JobStatus::Running, Some(75)),
            at(75),
            true,
            &metrics,
        );
        let (waited, ratio) = told(&metrics, &queue);
        assert_eq!(waited[2], (2, 65.0));
        assert!((ratio - 0.2).abs() < 1e-9, "one of five: {ratio}");
        let text = metrics.render();
        for (source, jobs) in [("events", 1), ("listing", 1), ("unknown", 3)] {
            let line = format!("autotune_started_jobs_total{{queue=\"{queue}\",source=\"{source}\"}} {jobs}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
    }

    #[test]
    fn time_in_which_everything_was_full_could_not_be_avoided() {
        let (metrics, queue) = made();
        let mut waits = Waits::new(at(0));
        for (seconds, full) in [(5, true), (15, true), (20, false), (30, false), (90, true)] {
            waits.full(&queue, full, at(seconds));
        }
        waits.event(&queue, &job("a", JobStatus::Runnable, None), at(10), false, &metrics);
        waits.event(&queue, &job("a", JobStatus::Starting, None), at(100), false, &metrics);
        let (waited, _) = told(&metrics, &queue);
        assert_eq!(waited[..2], [(1, 90.0), (1, 70.0)]);
        for second in 0..5_000 {
            waits.full(&queue, second % 2 == 0, at(200 + second));
        }
        assert_eq!(waits.queues[&queue].full.len(), STRETCHES_MOST);
        waits.retain(|_| false);
        assert!(waits.queues.is_empty());
    }
}
