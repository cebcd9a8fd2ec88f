//! Hints: something changed, look again. What they tell of jobs goes to the ledger and into the statistics of waits; nothing in
//! them becomes state that is decided on.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::Event;
use super::cadence::{Cadence, GATHER, Part};
use super::cloud::{Cloud, Hint, Read};
use super::driver::Driver;
use super::sight::Sight;
use crate::clock::{self, Clock};
use crate::control::Input;
use crate::explain::printable;
use crate::journal::Transition;
use crate::units::{Span, Time};

/// A wait for hints that failed is tried again after this; doubles up to the longest.
const AGAIN_FIRST: Span = Span::from_seconds(5);
const AGAIN_MOST: Span = Span::from_minutes(1);
/// So many at once are a flood, which does not wait.
const FLOOD: usize = 100;
/// Without anything to tell, a wait for hints lasts longer than this.
const SOON: Span = Span::from_seconds(10);
/// Longer than a wait for hints lasts.
const WAIT_MOST: Span = Span::from_seconds(40);
/// Of more hints per second, only what they are about is taken: it is read again, as after any hint.
const BODIES_PER_SECOND: i64 = 200;
/// Hints gather: so many seconds' worth may come at once.
const BODIES_SECONDS: i64 = 5;

/// Waits for hints as long as this process leads: a queue's messages go to one receiver only.
pub(super) async fn listen<C: Cloud>(
    cloud: Arc<C>,
    mut leads: watch::Receiver<bool>,
    events: mpsc::UnboundedSender<Event>,
    account: Clock,
) {
    let mut pause = AGAIN_FIRST;
    loop {
        if leads.wait_for(|leads| *leads).await.is_err() {
            return;
        }
        let began = account.now();
        let hints = clock::within(WAIT_MOST, cloud.hints()).await;
        let failed = !matches!(hints, Some(Ok(_)));
        // An answer that came soon and holds nothing was about others.
        let soon = account.now().since(began) < SOON;
        let gathers = matches!(&hints, Some(Ok(hints)) if hints.len() < FLOOD && (soon || !hints.is_empty()));
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
        if gathers {
            account.wait(GATHER).await;
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
    taken: i64,
}

impl Flood {
    /// Whether there is still time for what one more hint says.
    fn takes(&mut self, now: Time) -> bool {
        // What was taken is forgotten as fast as hints may come.
        let passed = now.since(self.since).millis().clamp(0, BODIES_SECONDS * 1000);
        let forgotten = passed * BODIES_PER_SECOND / 1000;
        if forgotten > 0 || now < self.since {
            (self.since, self.taken) = (now, (self.taken - forgotten).max(0));
        }
        let takes = self.taken < BODIES_PER_SECOND * BODIES_SECONDS;
        self.taken += i64::from(takes);
        takes
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
                self.ears.receive(false, self.now());
                self.options.metrics.failed("events");
                return false;
            }
        };
        self.hears = true;
        let now = self.now();
        self.ears.receive(true, now);
        self.meter.add(now, 1);
        let mut ours = false;
        let mut transitions = Vec::new();
        for hint in hints {
            let metrics = &self.options.metrics;
            if let Hint::Job { queue, .. } = &hint
                && self.ears.hear(queue, now)
            {
                tracing::info!(queue = %printable(queue), "Events tell of its jobs");
            }
            if !self.flood.takes(now) {
                metrics.hinted("dropped", 1);
                if let Hint::Job { queue, job, .. } = &hint
                    && self.sight.queue(queue).is_some()
                {
                    let book = self.books.entry(queue.clone()).or_default();
                    book.miss(now);
                    book.not_noted(&job.id, now);
                }
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
            if mine {
                transitions.extend(self.told(hint, now));
            }
        }
        self.note_jobs(transitions);
        if ours {
            self.step(Input::Woken);
        }
        false
    }

    /// What a hint tells of a job of ours, for the ledger.
    fn told(&mut self, hint: Hint, now: Time) -> Option<Transition> {
        let Hint::Job {
            queue,
            mut job,
            shape,
            mut parents,
            at,
        } = hint
        else {
            return None;
        };
        // Anybody who may send to the queue could date an event: none is of a day to come.
        let at = at.min(now);
        for told in [&mut job.created, &mut job.started, &mut job.stopped] {
            *told = told.map(|told| told.min(now));
        }
        job.attempts = self.sight.attempts(&job);
        for attempt in &mut job.attempts {
            attempt.started = attempt.started.min(now);
            attempt.stopped = attempt.stopped.map(|told| told.min(now));
        }
        if parents.is_empty() {
            parents = self.sizes.parents(&job.id);
        }
        let waits_for = !parents.is_empty();
        self.waits.event(&queue, &job, at, waits_for, &self.options.metrics);
        let book = self.books.entry(queue.clone()).or_default();
        book.tell(&job.id, job.status, at);
        Some(Transition {
            at,
            queue,
            parents,
            shape,
            job,
            by_event: true,
        })
    }
}
