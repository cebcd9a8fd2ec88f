//! A new setup comes into force: whatever keeps its name keeps its memory, lease and back-off.

use crate::control::{Controller, Decide, Effect, Flight};
use crate::ids::EnvironmentIndex;
use crate::planner::memory::Memory;
use crate::planner::plan::Plan;
use crate::units::{Span, Time};

/// A new setup that waits lets no update begin for the first part of every round, so that there comes a moment without any. In the
/// rest of it updates begin: one that hangs does not hold up other environments.
const HOLDS_FOR: Span = Span::from_seconds(10);
const ROUND: Span = Span::from_seconds(30);

impl<D: Decide> Controller<D> {
    /// Until when no update may begin because a new setup waits; `None`: now one may.
    pub(super) fn held_until(&self, now: Time) -> Option<Time> {
        let (_, since) = self.next.as_ref()?;
        let into = now.since(*since).millis().rem_euclid(ROUND.millis());
        let left = HOLDS_FOR.millis() - into;
        (left > 0).then(|| now + Span::from_millis(left))
    }

    /// Takes the new setup, if there is one and no update is under way. An environment that is gone needs no guard any more.
    pub(super) fn reload_if_free(&mut self, effects: &mut Vec<Effect>) {
        let free = |flight: &Flight| matches!(flight, Flight::Idle | Flight::BackOff { .. });
        if !self.flights.iter().all(free) {
            return;
        }
        let Some((next, _)) = self.next.take() else {
            return;
        };
        let kept = places(&self.setup.environments, &next.setup.environments, |setup| &setup.name);
        for (position, lease) in self.leases.iter().enumerate() {
            if lease.is_some() && !kept.contains(&Some(position)) {
                effects.push(Effect::Disarm(EnvironmentIndex::at(position)));
            }
        }
        let mut memory = Memory {
            started: self.memory.started,
            ..Memory::new(&next.setup, self.latest)
        };
        carry(&kept, &self.memory.environments, &mut memory.environments);
        let queues = places(&self.setup.queues, &next.setup.queues, |setup| &setup.name);
        carry(&queues, &self.memory.queues, &mut memory.queues);
        let sources = places(&self.setup.sqs_sources, &next.setup.sqs_sources, |setup| &setup.name);
        carry(&sources, &self.memory.sqs, &mut memory.sqs);
        self.memory = memory;
        self.flights = carried(&kept, &self.flights);
        self.failures = carried(&kept, &self.failures);
        self.leases = carried(&kept, &self.leases);
        self.renewals = carried(&kept, &self.renewals);
        self.unsure = carried(&kept, &self.unsure);
        self.yielded = carried(&kept, &self.yielded);
        self.sent = carried(&kept, &self.sent);
        self.setup = next.setup;
        self.forecast = next.forecast;
        self.plan = Plan::default();
        effects.push(Effect::Renumbered);
        effects.push(Effect::Observe);
    }
}

/// For each new entry: where the one of the same name was before.
fn places<T>(old: &[T], new: &[T], name: impl Fn(&T) -> &String) -> Vec<Option<usize>> {
    let place = |entry: &T| old.iter().position(|other| name(other) == name(entry));
    new.iter().map(place).collect()
}

fn carry<T: Copy>(kept: &[Option<usize>], old: &[T], new: &mut [T]) {
    for (slot, from) in new.iter_mut().zip(kept) {
        if let Some(value) = from.and_then(|from| old.get(from)) {
            *slot = *value;
        }
    }
}

fn carried<T: Copy + Default>(kept: &[Option<usize>], old: &[T]) -> Vec<T> {
    let mut new = vec![T::default(); kept.len()];
    carry(kept, old, &mut new);
    new
}
