//! What is remembered of a queue from listing to listing, and what events tell meanwhile.

use std::collections::BTreeMap;

use super::parent_of;
use crate::jobs::{JobSeen, JobStatus};
use crate::journal::Heard;
use crate::units::{Span, Time};

/// A reason for being blocked is believed after this: Batch also states some while a fitting instance is still booting.
pub(super) const BELIEVED_AFTER: Span = Span::from_minutes(10);
/// Blocked jobs and children of arrays that are remembered per queue.
const REMEMBERED_MOST: usize = 20_000;
/// Listings tell of a job again after this.
const TOLD_AGAIN: Span = Span::from_minutes(10);
/// Jobs of a queue that are followed until they end: those that run first.
pub(super) const FOLLOWED_MOST: usize = 5_000;

/// A job that is not over, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Followed {
    /// When it was last looked at.
    pub(super) looked: Time,
    /// The status that a listing last told of it, and when.
    pub(super) told: Option<(JobStatus, Time)>,
}

/// Whether a listing tells of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Nobody was told of it in this status.
    First,
    /// It was told then, and is told again where there is room.
    Again(Time),
    /// Nothing is to be told.
    None,
}

/// What is remembered of a queue from listing to listing.
#[derive(Clone, Debug, Default)]
pub(in crate::daemon) struct Book {
    /// Reasons of jobs for being blocked: since when each has been seen.
    pub(super) blocked: BTreeMap<String, Time>,
    /// Since when Batch has been saying at each listing that it gets no instances for the job at the head.
    pub(super) short_since: Option<Time>,
    /// What events told of children of arrays: by parent and child, in the order of their times.
    pub(super) told: BTreeMap<String, BTreeMap<String, Vec<(Time, JobStatus)>>>,
    /// Of jobs that were submitted until then, it is known whether they are over.
    pub(super) listed: Option<Time>,
    /// When an event was last lost, or could not come.
    pub(super) missed: Option<Time>,
    /// Jobs that are not over.
    pub(super) open: BTreeMap<String, Followed>,
    /// Jobs of which something could not be noted, and when.
    pub(super) unnoted: BTreeMap<String, Time>,
}

impl Book {
    /// What a start finds. Of what happened meanwhile nobody has heard.
    pub(in crate::daemon) fn after(heard: &Heard, now: Time) -> Self {
        let open = heard.open.iter().take(FOLLOWED_MOST);
        let followed = Followed {
            looked: heard.latest,
            told: None,
        };
        Self {
            listed: Some(heard.latest),
            missed: Some(now),
            open: open.map(|id| (id.clone(), followed)).collect(),
            ..Self::default()
        }
    }

    /// What was told of a job could not be noted. The next listing tells of it again, or asks: of a child, once its array is over.
    pub(in crate::daemon) fn not_noted(&mut self, id: &str, now: Time) {
        let id = parent_of(id).unwrap_or(id);
        if self.unnoted.len() < REMEMBERED_MOST {
            self.unnoted.insert(id.to_owned(), now);
        }
    }

    /// A job that is over, but not all has been told of it.
    pub(super) fn again(&mut self, id: &str, now: Time) {
        self.follow(id, now, None);
        // Whatever events say.
        self.not_noted(id, now);
    }

    /// How much a listing has to tell of a job. It tells again what could not be noted, and everything once in a while: so a row that was
    /// dropped comes back, and what was not known at first, such as a size, is told at last.
    pub(super) fn news(&self, job: &JobSeen, known: Option<&Followed>, now: Time) -> News {
        let Some((_, at)) = known
            .and_then(|known| known.told)
            .filter(|(status, _)| *status == job.status)
        else {
            return News::First;
        };
        let unnoted = self.unnoted.get(&job.id).is_some_and(|since| *since >= at);
        if unnoted || now.since(at) >= TOLD_AGAIN || at > now {
            News::Again(at)
        } else {
            News::None
        }
    }

    /// A job that is not over. Says whether there is room for it.
    pub(super) fn follow(&mut self, id: &str, now: Time, told: Option<(JobStatus, Time)>) -> bool {
        let is_child = parent_of(id).is_some();
        let follows = !is_child && (self.open.len() < FOLLOWED_MOST || self.open.contains_key(id));
        if follows {
            self.open.insert(id.to_owned(), Followed { looked: now, told });
        }
        follows || is_child
    }

    /// An event told of a job.
    pub(in crate::daemon) fn tell(&mut self, id: &str, status: JobStatus, at: Time) {
        if status.is_over() {
            self.open.remove(id);
        }
        let Some(parent) = parent_of(id) else { return };
        if self.told.values().map(BTreeMap::len).sum::<usize>() >= REMEMBERED_MOST {
            self.told.clear();
        }
        let told = self.told.entry(parent.to_owned()).or_default();
        let told = told.entry(id.to_owned()).or_default();
        if told.len() < 8 && !told.contains(&(at, status)) {
            told.push((at, status));
            told.sort_unstable();
        }
    }

    /// What events would have told of these jobs, nobody heard.
    pub(in crate::daemon) fn miss(&mut self, now: Time) {
        self.missed = Some(now);
    }

    /// Takes over what a listing that began then found; what events told meanwhile stays.
    pub(in crate::daemon) fn absorb(&mut self, listed: Self, began: Time) {
        if listed.missed.is_none() {
            self.missed = self.missed.filter(|at| *at > began);
        }
        self.listed = listed.listed;
        self.open = listed.open;
        self.unnoted.retain(|_, at| *at > began);
        for (id, at) in listed.unnoted {
            let kept = self.unnoted.entry(id).or_insert(at);
            *kept = at.max(*kept);
        }
        self.blocked = listed.blocked;
        self.short_since = listed.short_since;
        self.told.retain(|parent, told| {
            let later = || told.values().flatten().any(|(at, _)| *at >= began);
            listed.told.contains_key(parent) || later()
        });
    }

    /// How an array's counts have changed since they were taken.
    pub(super) fn since(&self, parent: &str, updated: Time) -> BTreeMap<JobStatus, i64> {
        let mut change = BTreeMap::new();
        for told in self.told.get(parent).into_iter().flat_map(BTreeMap::values) {
            let later = || told.iter().filter(|(at, _)| *at > updated);
            if let (Some((_, first)), Some((_, last))) = (later().next(), later().next_back()) {
                if let Some(before) = before(*first) {
                    *change.entry(before).or_insert(0) -= 1;
                }
                *change.entry(*last).or_insert(0) += 1;
            }
        }
        change
    }

    /// Since when a job has been blocked for a reason, as far as listings tell.
    pub(super) fn blocked_since(&mut self, key: &str, now: Time) -> Time {
        let known = self.blocked.len() < REMEMBERED_MOST || self.blocked.contains_key(key);
        if !known {
            return now;
        }
        let since = self.blocked.entry(key.to_owned()).or_insert(now);
        // The clock may have been set back.
        *since = (*since).min(now);
        *since
    }
}

/// The status that a job was in before it came into this one.
const fn before(status: JobStatus) -> Option<JobStatus> {
    match status {
        JobStatus::Submitted => None,
        JobStatus::Pending => Some(JobStatus::Submitted),
        JobStatus::Runnable => Some(JobStatus::Pending),
        JobStatus::Starting => Some(JobStatus::Runnable),
        JobStatus::Running => Some(JobStatus::Starting),
        JobStatus::Succeeded | JobStatus::Failed => Some(JobStatus::Running),
    }
}
