//! When to read which part again. Pure: it is told what was read, and says what is due.
//!
//! A *hint* makes a part dirty; a dirty part is read once its hints have settled, but no sooner than [`Periods::hinted`] after
//! its last reading, so that a burst costs what a trickle costs. Compute environments are read first and jobs last: a job that
//! starts in between is then counted as running only, not as waiting as well.
//!
//! **What it costs**, in API calls per minute, is the sum over all parts of `60 s / period * cost`, see [`calls_per_minute`].

use std::collections::{BTreeMap, BTreeSet};

use crate::units::{Span, Time, f64_to_i64, i64_to_f64, usize_to_f64};

/// Jobs and quotas wait for environments that are being read, but no longer than this: one that hangs delays nobody else.
const LAST_WAIT_MOST: Span = Span::from_seconds(5);
/// A part that could not be read is tried again after this; doubles with every failure, up to the part's period.
const AGAIN_FIRST: Span = Span::from_seconds(5);
/// The longest pause after a topology that could not be read.
const TOPOLOGY_AGAIN: Span = Span::from_minutes(1);
/// How long one wait for hints lasts, see [`super::cloud::Cloud::hints`].
const HINTS_WAIT: Span = Span::from_seconds(20);
/// After some hints, others gather for this long: where they trickle, each would cost a call to receive it and one to delete it.
/// What they are about is read every half minute at most.
pub(super) const GATHER: Span = Span::from_seconds(4);

/// Something that is read by itself. Names, not indices: these change with a reload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// All compute environments: levels, state and tags.
    Environments,
    /// The tags of all job queues.
    Queues,
    /// The container instances of an environment.
    Instances(String),
    /// Launches of an environment that EC2 refused.
    Launches(String),
    /// The counts of an SQS queue.
    Messages(String),
    /// The age of its oldest message.
    Oldest(String),
    /// A service quota and its use.
    Quota(String),
    /// Everything that a policy is compiled against.
    Topology,
    /// What Spot Instances of the types that are there cost.
    Prices,
    /// The jobs of a queue.
    Jobs(String),
}

impl Part {
    /// How many API calls reading it takes, where one page each suffices.
    pub const fn cost(&self) -> u32 {
        match self {
            Self::Environments
            | Self::Queues
            | Self::Launches(_)
            | Self::Messages(_)
            | Self::Oldest(_)
            | Self::Prices => 1,
            // The list, and the details; the limit, and its use. Where no metric tells that, all quotas share five calls an hour besides.
            Self::Instances(_) | Self::Quota(_) => 2,
            // Four statuses, and the head of a queue in which something waits.
            Self::Jobs(_) => 5,
            // Environments, queues, instance types, launch templates and their images; guards; the Auto Scaling groups, which are
            // listed anew for the next reading of launches.
            Self::Topology => 7,
        }
    }

    /// Read after what goes first. Of a quota's use our own instances are taken off, and only their types are priced, so these must
    /// be known.
    const fn goes_last(&self) -> bool {
        matches!(self, Self::Jobs(_) | Self::Quota(_) | Self::Prices)
    }

    const fn goes_first(&self) -> bool {
        matches!(self, Self::Environments | Self::Instances(_))
    }
}

/// How often each kind of part is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods {
    /// Compute environments and the tags of queues.
    pub environments: Span,
    /// SQS counts.
    pub messages: Span,
    /// The age of an SQS queue's oldest message, which CloudWatch tells once a minute and late.
    pub oldest: Span,
    /// Container instances while a raise is open.
    pub instances_open: Span,
    /// Container instances otherwise.
    pub instances: Span,
    /// Jobs where events tell of changes: a full reading all the same, in case one was lost.
    pub jobs: Span,
    /// Jobs without events.
    pub jobs_polled: Span,
    /// Quotas: what others use of them moves, and nothing else tells.
    pub quotas: Span,
    /// Everything that policies are compiled against, and prices.
    pub slow: Span,
    /// The least time between two readings of a part that hints ask for.
    pub hinted: Span,
}

impl Default for Periods {
    fn default() -> Self {
        Self {
            environments: Span::from_seconds(30),
            messages: Span::from_seconds(15),
            oldest: Span::from_minutes(5),
            instances_open: Span::from_seconds(30),
            instances: Span::from_minutes(5),
            jobs: Span::from_minutes(5),
            jobs_polled: Span::from_seconds(60),
            quotas: Span::from_minutes(5),
            slow: Span::from_minutes(60),
            hinted: Span::from_seconds(30),
        }
    }
}

/// What periods depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// Events arrive.
    pub events: bool,
    /// Queues of which none tells.
    pub silent: BTreeSet<String>,
    /// Environments with an open raise, by name.
    pub open: BTreeSet<String>,
    /// Those of them in which nothing comes.
    pub stuck: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    began: Option<Time>,
    reading: bool,
    /// Something hinted at a change since the last reading began.
    dirty: bool,
    /// The hints have settled.
    wanted: bool,
    failures: u32,
}

/// Which parts there are and when each was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cadence {
    periods: Periods,
    parts: BTreeMap<Part, State>,
}

impl Cadence {
    /// Nothing is read yet, so everything is due.
    pub const fn new(periods: Periods) -> Self {
        Self {
            periods,
            parts: BTreeMap::new(),
        }
    }

    /// Exactly these parts are read from now on. What was known of those that stay is kept.
    pub fn set_parts(&mut self, parts: impl IntoIterator<Item = Part>) {
        let mut old = std::mem::take(&mut self.parts);
        let keep = |part: Part| {
            let state = old.remove(&part).unwrap_or_default();
            (part, state)
        };
        self.parts = parts.into_iter().map(keep).collect();
    }

    /// Something changed here.
    pub fn hint(&mut self, part: &Part) {
        if let Some(state) = self.parts.get_mut(part) {
            state.dirty = true;
        }
    }

    /// Something may have changed in all parts of a kind.
    pub fn hint_all(&mut self, kind: impl Fn(&Part) -> bool) {
        for (_, state) in self.parts.iter_mut().filter(|(part, _)| kind(part)) {
            state.dirty = true;
        }
    }

    /// The controller asks to look: what hints told of is read, and environments are.
    pub fn settle(&mut self) {
        for (part, state) in &mut self.parts {
            state.wanted |= state.dirty || *part == Part::Environments;
        }
    }

    /// To be read at the next opportunity, whatever its period.
    pub fn want(&mut self, part: &Part) {
        if let Some(state) = self.parts.get_mut(part) {
            state.wanted = true;
        }
    }

    /// What is to be read now; taken as begun. Environments come first.
    pub fn due(&mut self, now: Time, circumstances: &Circumstances) -> Vec<Part> {
        let mut due: Vec<Part> = Vec::new();
        for (part, state) in &self.parts {
            if !state.reading && self.due_at(now, part, *state, circumstances) <= now {
                due.push(part.clone());
            }
        }
        let first = due.iter().any(Part::goes_first) || self.last_wait_until(now).is_some();
        if first {
            due.retain(|part| !part.goes_last());
        }
        for part in &due {
            if let Some(state) = self.parts.get_mut(part) {
                *state = State {
                    began: Some(now),
                    reading: true,
                    failures: state.failures,
                    ..State::default()
                };
            }
        }
        due
    }

    /// A reading ended.
    pub fn ended(&mut self, part: &Part, well: bool) {
        if let Some(state) = self.parts.get_mut(part) {
            state.reading = false;
            state.failures = if well { 0 } else { state.failures.saturating_add(1) };
        }
    }

    /// As if it had never been read.
    pub fn forget(&mut self, part: &Part) {
        if let Some(state) = self.parts.get_mut(part) {
            *state = State::default();
        }
    }

    /// When something will be due next; in the past if it is.
    pub fn next(&self, now: Time, circumstances: &Circumstances) -> Time {
        let last = self.last_wait_until(now).unwrap_or(Time::FAR_PAST);
        let idle = self.parts.iter().filter(|(_, state)| !state.reading);
        let at = idle.map(|(part, state)| {
            let at = self.due_at(now, part, *state, circumstances);
            if part.goes_last() { at.max(last) } else { at }
        });
        at.min().unwrap_or(Time::FAR_FUTURE)
    }

    fn due_at(&self, now: Time, part: &Part, state: State, circumstances: &Circumstances) -> Time {
        // What was read in the future was read before the clock was set back.
        let Some(began) = state.began.filter(|began| *began <= now) else {
            return Time::FAR_PAST;
        };
        let period = self.period(part, circumstances);
        // Nothing waits for refused launches: they are read when they would have been.
        if state.failures > 0 && !matches!(part, Part::Launches(_)) {
            let pause = AGAIN_FIRST.times(1_i64 << (state.failures - 1).min(16));
            // What an environment goes back to, and what a successor inherits, is not left unread for an hour.
            let most = if *part == Part::Topology {
                TOPOLOGY_AGAIN
            } else {
                period
            };
            return began + pause.min(most).min(period);
        }
        let gap = match part {
            Part::Environments | Part::Queues => Span::from_seconds(1),
            Part::Instances(_) | Part::Launches(_) | Part::Jobs(_) | Part::Messages(_) | Part::Oldest(_) => {
                self.periods.hinted
            }
            Part::Quota(_) | Part::Topology | Part::Prices => self.periods.hinted.times(2),
        };
        let period = if state.wanted { gap.min(period) } else { period };
        began + period
    }

    fn period(&self, part: &Part, circumstances: &Circumstances) -> Span {
        let periods = &self.periods;
        match part {
            Part::Environments | Part::Queues => periods.environments,
            Part::Instances(name) if circumstances.open.contains(name) => periods.instances_open,
            Part::Launches(name) if circumstances.stuck.contains(name) => periods.instances_open,
            Part::Instances(_) | Part::Launches(_) => periods.instances,
            Part::Messages(_) => periods.messages,
            Part::Oldest(_) => periods.oldest,
            Part::Quota(_) => periods.quotas,
            Part::Topology | Part::Prices => periods.slow,
            Part::Jobs(name) if circumstances.events && !circumstances.silent.contains(name) => periods.jobs,
            Part::Jobs(_) => periods.jobs_polled,
        }
    }

    /// While environments are being read: until when jobs and quotas wait for them.
    fn last_wait_until(&self, now: Time) -> Option<Time> {
        let reading = self
            .parts
            .iter()
            .filter(|(part, state)| part.goes_first() && state.reading);
        let until = reading.filter_map(|(_, state)| state.began.map(|began| began + LAST_WAIT_MOST));
        until.filter(|until| *until > now).max()
    }
}

/// How large an account is and how much goes on in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Job queues.
    pub queues: usize,
    /// Compute environments.
    pub environments: usize,
    /// SQS sources.
    pub sqs: usize,
    /// Service quotas.
    pub quotas: usize,
    /// Whether events arrive.
    pub events: bool,
    /// Queues whose jobs change all the time.
    pub busy_queues: usize,
    /// Environments whose refused launches are read.
    pub launching: usize,
    /// Environments with an open raise.
    pub open: usize,
    /// Those of them in which nothing comes.
    pub stuck: usize,
    /// Events per minute.
    pub events_per_minute: i64,
    /// Updates per minute.
    pub updates_per_minute: i64,
    /// Jobs that end per minute and of which no event tells.
    pub ends_per_minute: i64,
}

/// API calls per minute, as a formula: for every part `60 s / period * cost`, where the period of a busy queue with events is
/// [`Periods::hinted`] and that of an environment with an open raise is [`Periods::instances_open`]; three waits a minute for
/// hints, or every four seconds one while some come, or one for ten of many, each with a deletion; for a busy queue, the sizes of
/// new jobs with every listing; for an update, its guard and a reading of environments. Without events, a listing of new jobs beside each
/// listing, and a call for a hundred jobs that ended. Prices are also asked for when a new type comes, once a minute at most; an hourly
/// check of the account is no part of this.
pub fn calls_per_minute(periods: &Periods, load: &Load) -> f64 {
    let cost = |count: usize, part: &Part, period: Span| {
        usize_to_f64(count) * f64::from(part.cost()) * 60.0 / period.seconds_f64().max(1.0)
    };
    let name = String::new;
    let quiet_jobs = if load.events { periods.jobs } else { periods.jobs_polled };
    let busy_jobs = quiet_jobs.min(if load.events {
        periods.hinted
    } else {
        periods.jobs_polled
    });
    let quiet = load.queues.saturating_sub(load.busy_queues);
    let closed = load.environments.saturating_sub(load.open);
    let moving = load.launching.saturating_sub(load.stuck);
    let hints = if load.events {
        let events = i64_to_f64(load.events_per_minute);
        let received = events.min(60.0 / GATHER.seconds_f64()).max(events / 10.0);
        received.max(60.0 / HINTS_WAIT.seconds_f64()) + received
    } else {
        let created = usize_to_f64(load.queues) * 60.0 / periods.jobs_polled.seconds_f64().max(1.0);
        created + i64_to_f64(load.ends_per_minute) / 100.0
    };
    let sizes = usize_to_f64(load.busy_queues) * 60.0 / busy_jobs.seconds_f64().max(1.0);
    cost(1, &Part::Environments, periods.environments)
        + cost(1, &Part::Queues, periods.environments)
        + cost(closed, &Part::Instances(name()), periods.instances)
        + cost(load.open, &Part::Instances(name()), periods.instances_open)
        + cost(moving, &Part::Launches(name()), periods.instances)
        + cost(load.stuck, &Part::Launches(name()), periods.instances_open)
        + cost(load.sqs, &Part::Messages(name()), periods.messages)
        + cost(load.sqs, &Part::Oldest(name()), periods.oldest)
        + cost(load.quotas, &Part::Quota(name()), periods.quotas)
        + cost(1, &Part::Topology, periods.slow)
        + cost(1, &Part::Prices, periods.slow)
        + cost(quiet, &Part::Jobs(name()), quiet_jobs)
        + cost(load.busy_queues, &Part::Jobs(name()), busy_jobs)
        + hints
        + sizes
        + 3.0 * i64_to_f64(load.updates_per_minute)
}

/// Calls over the last ten minutes.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    began: Option<Time>,
    /// Per minute, oldest first: which, and how many.
    minutes: std::collections::VecDeque<(i64, u32)>,
    /// Requests so far, where somebody counts them.
    counted: Option<u64>,
}

impl Meter {
    const MINUTES: i64 = 10;

    /// Calls were made, as far as is known. Where requests are counted, see [`Self::reached`], that counts instead.
    pub fn add(&mut self, now: Time, calls: u32) {
        if self.counted.is_none() {
            self.note(now, calls);
        }
    }

    /// So many requests were made so far: every attempt, also those of updates, guards and leadership.
    pub fn reached(&mut self, now: Time, requests: u64) {
        // Those before the first count were estimated, or were not of this loop.
        let before = self.counted.replace(requests).unwrap_or(requests);
        self.note(now, u32::try_from(requests.saturating_sub(before)).unwrap_or(u32::MAX));
    }

    fn note(&mut self, now: Time, calls: u32) {
        self.began.get_or_insert(now);
        let minute = now.millis().div_euclid(60_000);
        // The clock was set back: what was counted since then is of no minute that passes soon.
        if self.minutes.back().is_some_and(|(last, _)| *last > minute) {
            *self = Self {
                began: Some(now),
                counted: self.counted,
                ..Self::default()
            };
        }
        match self.minutes.back_mut() {
            Some((last, count)) if *last == minute => *count = count.saturating_add(calls),
            Some(_) | None => self.minutes.push_back((minute, calls)),
        }
        while self
            .minutes
            .front()
            .is_some_and(|(first, _)| *first <= minute - Self::MINUTES)
        {
            self.minutes.pop_front();
        }
    }

    /// Their rate, over at least a minute.
    pub fn per_minute(&self, now: Time) -> f64 {
        let calls: u32 = self.minutes.iter().map(|(_, count)| *count).sum();
        let spent = self.began.map_or(0, |began| now.since(began).millis());
        let minutes = i64_to_f64(spent.clamp(60_000, Self::MINUTES * 60_000)) / 60_000.0;
        let tenths = f64_to_i64(f64::from(calls) / minutes * 10.0);
        i64_to_f64(tenths) / 10.0
    }
}

#[cfg(test)]
mod tests;
