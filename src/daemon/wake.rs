//! Hints: something changed, look again. What they tell of jobs goes to the ledger and into the statistics of waits; nothing in
//! them becomes state that is decided on.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use tokio::sync::{mpsc, watch};

use super::Event;
use super::cadence::{Cadence, Part};
use super::cloud::{Cloud, Hint, Read};
use super::driver::Driver;
use super::sight::Sight;
use crate::clock;
use crate::control::Input;
use crate::explain::printable;
use crate::jobs::{JobSeen, JobStatus};
use crate::journal::Transition;
use crate::metrics::Metrics;
use crate::units::{Span, Time};

/// A wait for hints that failed is tried again after this; doubles up to the longest.
const AGAIN_FIRST: Span = Span::from_seconds(5);
const AGAIN_MOST: Span = Span::from_minutes(1);
/// Longer than a wait for hints lasts.
const WAIT_MOST: Span = Span::from_seconds(40);
/// Started jobs that the coverage is told of, at most.
const COUNTED_MOST: u32 = 1_000;
/// Of more hints in a second, only what they are about is taken: it is read again, as after any hint.
const BODIES_PER_SECOND: u32 = 200;
/// Events and jobs that are remembered, so that each counts once.
const REMEMBERED_MOST: usize = 20_000;

/// Waits for hints as long as this process leads: a queue's messages go to one receiver only.
pub(super) async fn listen<C: Cloud>(
    cloud: Arc<C>,
    mut leads: watch::Receiver<bool>,
    events: mpsc::UnboundedSender<Event>,
) {
    let mut pause = AGAIN_FIRST;
    loop {
        if leads.wait_for(|leads| *leads).await.is_err() {
            return;
        }
        let hints = clock::within(WAIT_MOST, cloud.hints()).await;
        let failed = !matches!(hints, Some(Ok(_)));
        if let Some(hints) = hints
            && events.send(Event::Hints(hints)).is_err()
        {
            return;
        }
        if failed {
            clock::wait(pause).await;
            pause = pause.times(2).min(AGAIN_MOST);
        } else {
            pause = AGAIN_FIRST;
        }
    }
}

/// Marks what a hint is about. Says whether anything of ours is.
pub(super) fn mark(hint: &Hint, sight: &Sight, cadence: &mut Cadence) -> bool {
    match hint {
        Hint::Job { queue, .. } | Hint::Blocked { queue, .. } => {
            let ours = sight.queue(queue).is_some();
            if ours {
                cadence.hint(&Part::Jobs(queue.clone()));
            }
            ours
        }
        Hint::Instance { cluster } => {
            let of = sight.read.values().find(|read| read.cluster.as_ref() == Some(cluster));
            if let Some(read) = of {
                cadence.hint(&Part::Instances(read.name.clone()));
            }
            of.is_some()
        }
        // The instance may be in any of them.
        Hint::Interruption { .. } => {
            cadence.hint_all(|part| matches!(part, Part::Instances(_)));
            true
        }
        Hint::Malformed => false,
    }
}

/// The kind of a hint, as metrics name it.
pub(super) const fn kind(hint: &Hint) -> &'static str {
    match hint {
        Hint::Job { .. } => "job",
        Hint::Blocked { .. } => "blocked",
        Hint::Instance { .. } => "instance",
        Hint::Interruption { .. } => "interruption",
        Hint::Malformed => "malformed",
    }
}

/// Keeps a flood of hints from keeping the loop busy.
#[derive(Debug, Default)]
pub(super) struct Flood {
    since: Time,
    taken: u32,
}

impl Flood {
    /// Whether there is still time for what one more hint says.
    fn takes(&mut self, now: Time) -> bool {
        let passed = now.since(self.since);
        if passed < Span::ZERO || passed >= Span::from_seconds(1) {
            (self.since, self.taken) = (now, 0);
        }
        self.taken = self.taken.saturating_add(1);
        self.taken <= BODIES_PER_SECOND
    }
}

/// How long jobs waited, each counted once.
#[derive(Debug)]
pub(super) struct Waits {
    /// When jobs became RUNNABLE, by event.
    runnable: LruCache<String, Time>,
    started: LruCache<String, ()>,
    /// Jobs whose wait was measured by events, until they are seen to run.
    exact: LruCache<String, ()>,
    /// Per queue: started jobs, and those of them whose times are exact. Halved now and then, so that it tells of today.
    counts: BTreeMap<String, (u32, u32)>,
    seen: LruCache<(String, JobStatus, Time), ()>,
    /// Jobs that started before are not counted: nobody knows whether they were already.
    since: Time,
}

impl Waits {
    pub(super) fn new(since: Time) -> Self {
        let most = NonZeroUsize::new(REMEMBERED_MOST).unwrap_or(NonZeroUsize::MIN);
        Self {
            runnable: LruCache::new(most),
            started: LruCache::new(most),
            exact: LruCache::new(most),
            counts: BTreeMap::new(),
            seen: LruCache::new(most),
            since,
        }
    }

    /// Whether this event was here before: delivery is at least once.
    pub(super) fn is_duplicate(&mut self, job: &JobSeen, at: Time) -> bool {
        self.seen.put((job.id.clone(), job.status, at), ()).is_some()
    }

    /// An event told of a job.
    pub(super) fn event(&mut self, queue: &str, job: &JobSeen, at: Time, metrics: &Metrics) {
        match job.status {
            JobStatus::Runnable => {
                self.runnable.put(job.id.clone(), at);
            }
            JobStatus::Starting | JobStatus::Running => {
                if let Some(since) = self.runnable.pop(&job.id) {
                    metrics.waited(queue, at.since(since).max(Span::ZERO).seconds_f64(), "wait");
                    self.exact.put(job.id.clone(), ());
                }
            }
            JobStatus::Submitted | JobStatus::Pending | JobStatus::Succeeded | JobStatus::Failed => {}
        }
        self.seen_running(queue, job, metrics);
    }

    /// A job was seen to run, by event or in a listing.
    pub(super) fn seen_running(&mut self, queue: &str, job: &JobSeen, metrics: &Metrics) {
        if let (Some(created), Some(started)) = (job.created, job.started)
            && started >= self.since
            && self.started.put(job.id.clone(), ()).is_none()
        {
            metrics.waited(
                queue,
                started.since(created).max(Span::ZERO).seconds_f64(),
                "start_latency",
            );
            let exact = self.exact.pop(&job.id).is_some();
            let (all, by_event) = self.counts.entry(queue.to_owned()).or_default();
            (*all, *by_event) = (*all + 1, *by_event + u32::from(exact));
            metrics.covered(queue, f64::from(*by_event) / f64::from(*all));
            if *all >= COUNTED_MOST {
                (*all, *by_event) = (*all / 2, *by_event / 2);
            }
        }
    }
}

impl<C: Cloud> Driver<C> {
    pub(super) fn take_hints(&mut self, hints: Read<Vec<Hint>>) -> bool {
        let hints = match hints {
            Ok(hints) => hints,
            Err(error) => {
                if self.hears {
                    let error = printable(&error.message);
                    tracing::warn!(%error, "Events cannot be received; jobs are polled meanwhile");
                }
                self.hears = false;
                return false;
            }
        };
        self.hears = true;
        let now = self.now();
        self.meter.add(now, 1);
        let mut ours = false;
        let mut transitions = Vec::new();
        for hint in hints {
            let metrics = &self.options.metrics;
            if !self.flood.takes(now) {
                metrics.hinted("dropped", 1);
                ours |= mark(&hint, &self.sight, &mut self.cadence);
                continue;
            }
            if let Hint::Job { job, at, .. } = &hint
                && self.waits.is_duplicate(job, *at)
            {
                metrics.hinted("duplicate", 1);
                continue;
            }
            metrics.hinted(kind(&hint), 1);
            let mine = mark(&hint, &self.sight, &mut self.cadence);
            ours |= mine;
            if let (Hint::Job { queue, job, shape, at }, true) = (hint, mine) {
                self.waits.event(&queue, &job, at, metrics);
                self.books
                    .entry(queue.clone())
                    .or_default()
                    .tell(&job.id, job.status, at);
                transitions.push(Transition {
                    at,
                    queue,
                    parents: self.sizes.parents(&job.id),
                    shape,
                    job,
                    by_event: true,
                });
            }
        }
        self.writer.jobs(transitions);
        if ours {
            self.step(Input::Woken);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: &str, status: JobStatus, started: Option<Time>) -> JobSeen {
        JobSeen {
            id: id.to_owned(),
            status,
            created: Some(Time::from_seconds(100)),
            started,
            ..JobSeen::default()
        }
    }

    /// Four jobs start; events told of the beginning of one wait only, and twice of its end.
    #[test]
    fn the_coverage_is_the_share_of_started_jobs_that_events_told_of() {
        let setup = crate::planner::worlds::spot_then_on_demand();
        let queue = setup.queues[0].name.as_str();
        let metrics = Metrics::default();
        metrics.reset(&setup);
        let at = Time::from_seconds;
        let mut waits = Waits::new(at(50));
        waits.event(queue, &job("a", JobStatus::Runnable, None), at(110), &metrics);
        waits.event(queue, &job("a", JobStatus::Starting, None), at(150), &metrics);
        for _ in 0..2 {
            let running = job("a", JobStatus::Running, Some(at(170)));
            waits.event(queue, &running, at(170), &metrics);
        }
        for id in ["b", "c", "d"] {
            waits.seen_running(queue, &job(id, JobStatus::Running, Some(at(180))), &metrics);
        }
        let early = job("before our time", JobStatus::Running, Some(at(40)));
        waits.seen_running(queue, &early, &metrics);
        let line = format!("autotune_job_wait_coverage_ratio{{queue=\"{queue}\"}} 0.25");
        assert!(metrics.render().contains(&line), "{}", metrics.render());
    }
}
