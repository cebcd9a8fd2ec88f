//! Of which queues events tell. A rule that lists queues knows nothing of one that came later: its jobs are polled then.

use std::collections::{BTreeMap, BTreeSet};

use crate::jobs::JobSeen;
use crate::units::{Span, Time};

/// An event has come after this, or it will not.
const COMES_WITHIN: Span = Span::from_seconds(60);

/// What came, and what should have.
#[derive(Debug, Default)]
pub(super) struct Ears {
    /// Since when events can be received without a break.
    since: Option<Time>,
    /// When an event of a queue's jobs came last.
    heard: BTreeMap<String, Time>,
    /// Since when an event is due of a queue's jobs: the creation of one of which none has come.
    awaited: BTreeMap<String, Time>,
    /// Queues of which none came in time.
    silent: BTreeSet<String>,
}

impl Ears {
    /// Events can be received, or cannot: of what happened in between nothing follows.
    pub(super) fn receive(&mut self, well: bool, now: Time) {
        self.since = if well { self.since.or(Some(now)) } else { None };
        if !well {
            self.awaited.clear();
        }
    }

    /// An event told of a job of a queue. Says whether that is news.
    pub(super) fn hear(&mut self, queue: &str, now: Time) -> bool {
        self.heard.insert(queue.to_owned(), now);
        self.awaited.remove(queue);
        self.silent.remove(queue)
    }

    /// A listing told of a job.
    pub(super) fn listed(&mut self, queue: &str, job: &JobSeen) {
        let (Some(since), Some(created)) = (self.since, job.created) else {
            return;
        };
        let came = self.heard.get(queue).is_some_and(|heard| *heard >= created);
        if since <= created && !came {
            self.awaited.entry(queue.to_owned()).or_insert(created);
        }
    }

    /// A listing that began then is over. Says whether the queue is found silent only now.
    pub(super) fn judge(&mut self, queue: &str, began: Time) -> bool {
        let due = self
            .awaited
            .get(queue)
            .is_some_and(|created| *created + COMES_WITHIN <= began);
        due && self.silent.insert(queue.to_owned())
    }

    /// Queues of which no event tells.
    pub(super) const fn silent(&self) -> &BTreeSet<String> {
        &self.silent
    }

    /// Queues that are gone are forgotten.
    pub(super) fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.heard.retain(|queue, _| is_there(queue));
        self.awaited.retain(|queue, _| is_there(queue));
        self.silent.retain(|queue| is_there(queue));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time::from_seconds(1_000_000);

    fn at(seconds: i64) -> Time {
        START + Span::from_seconds(seconds)
    }

    fn created(seconds: i64) -> JobSeen {
        JobSeen {
            created: Some(at(seconds)),
            ..JobSeen::default()
        }
    }

    #[test]
    fn a_queue_is_silent_where_a_job_is_listed_and_no_event_comes() {
        let mut ears = Ears::default();
        let lists = |ears: &mut Ears, job: Option<i64>, began: i64| {
            if let Some(job) = job {
                ears.listed("q", &created(job));
            }
            ears.judge("q", at(began))
        };
        assert!(!lists(&mut ears, Some(5), 300), "nothing is received yet");
        ears.receive(true, at(10));
        assert!(!lists(&mut ears, Some(5), 300), "it was created before");
        ears.listed("q", &JobSeen::default());
        assert!(!lists(&mut ears, Some(20), 79), "an event may be on its way");
        assert!(lists(&mut ears, None, 80), "it should have come");
        assert!(!lists(&mut ears, Some(21), 330), "that is known");
        assert!(ears.silent().contains("q"));
        assert!(ears.hear("q", at(340)) && ears.silent().is_empty());
        assert!(!lists(&mut ears, Some(30), 400), "something came since");
        assert!(lists(&mut ears, Some(341), 700));
        ears.retain(|_| false);
        assert!(ears.silent().is_empty() && !lists(&mut ears, None, 700));
        ears.listed("q", &created(701));
        ears.receive(false, at(800));
        ears.receive(true, at(900));
        assert!(!lists(&mut ears, Some(850), 1_000), "it was created in the break");
    }
}
