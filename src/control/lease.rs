//! Leases: every raise above the operator's base expires unless renewed while we see clearly.

use serde::{Deserialize, Serialize};

use crate::control::{Controller, Decide, Effect, Flight, RENEW_AGAIN};
use crate::ids::EnvironmentIndex;
use crate::observation::{EnvironmentNow, Observation, Seen};
use crate::planner::SHOWN_AFTER;
use crate::planner::plan::{Action, Because, Levels};
use crate::setup::EnvironmentSetup;
use crate::units::{Span, Time, Vcpus};

/// After another hand has changed min nothing is raised for so long: until then whoever drives has read anew what base is, and a
/// raise returns to his min, not to the one before.
const YIELDS: Span = Span::from_minutes(2);

/// A raised min and when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The min that stands on it.
    pub min_vcpus: Vcpus,
    /// When it ends unless renewed.
    pub expires: Time,
}

/// What puts base back in the account itself, should we no longer be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// The environment to restore.
    pub environment: EnvironmentIndex,
    /// When.
    pub fires: Time,
    /// The minvCpus to restore.
    pub min_vcpus: Vcpus,
    /// The maxvCpus to restore.
    pub max_vcpus: Vcpus,
}

/// The levels of an environment as it was read.
pub(super) const fn levels_seen(seen: &EnvironmentNow) -> Levels {
    Levels {
        min_vcpus: seen.min_vcpus,
        desired_vcpus: seen.desired_vcpus,
        max_vcpus: seen.max_vcpus,
    }
}

/// What is known of an environment that cannot be read: the min that we asked for. Nothing else is changed from here but a max
/// that we lowered.
pub(super) const fn levels_of(lease: Lease) -> Levels {
    Levels {
        min_vcpus: lease.min_vcpus,
        desired_vcpus: Vcpus::ZERO,
        max_vcpus: Vcpus::ZERO,
    }
}

impl<D: Decide> Controller<D> {
    /// What an earlier process left raised is ours from now on.
    pub(super) fn adopt(
        &mut self,
        now: Time,
        environment: EnvironmentIndex,
        lease: Lease,
        max_before: Option<Vcpus>,
        effects: &mut Vec<Effect>,
    ) {
        let position = environment.position();
        let Some(slot) = self.leases.get_mut(position) else {
            return;
        };
        *slot = Some(lease);
        if let Some(unsure) = self.unsure.get_mut(position) {
            *unsure = true;
        }
        if let Some(memory) = self.memory.environments.get_mut(position) {
            memory.max_before = max_before.or(memory.max_before);
            // What was read before may be of before its last update.
            memory.acted_at = Some(now);
        }
        self.remember_base(environment);
        effects.push(Effect::Observe);
    }

    /// Writes down the operator's minvCpus while it can still be told from ours.
    pub(super) fn remember_base(&mut self, environment: EnvironmentIndex) {
        let position = environment.position();
        let base = self.setup.environments.get(position).map(|setup| setup.base);
        if let Some(memory) = self.memory.environments.get_mut(position) {
            memory.base_before = memory.base_before.or(base);
        }
    }

    /// Where no lease and no update of ours stands, the account itself shows base.
    pub(super) fn forget_bases(&mut self) {
        let bare = |(lease, flight): (&Option<Lease>, &Flight)| {
            lease.is_none() && matches!(flight, Flight::Idle | Flight::BackOff { .. })
        };
        let bare = self.leases.iter().zip(&self.flights).map(bare);
        for (memory, bare) in self.memory.environments.iter_mut().zip(bare) {
            if bare {
                memory.base_before = None;
            }
        }
    }

    /// Whether the levels of an environment are to be yielded to another hand, rather than written over: min is neither what we asked
    /// for nor base, long enough after our last update to be no late reading. Where nothing of ours stands, a policy that names base
    /// has it put there.
    pub(super) fn is_anothers(&self, now: Time, environment: EnvironmentIndex, observation: &Observation) -> bool {
        let position = environment.position();
        let (Some(memory), Some(part), Some(setup)) = (
            self.memory.environments.get(position),
            observation.environments.get(position),
            self.setup.environments.get(position),
        ) else {
            return false;
        };
        let differs = |min: Vcpus| part.value().is_some_and(|seen| seen.min_vcpus != min);
        let settled = |unless: bool| memory.acted_at.map_or(unless, |acted| part.at() >= acted + SHOWN_AFTER);
        let foreign = match self.lease(environment) {
            Some(lease) => {
                let sure = self.unsure.get(position) == Some(&false);
                now < lease.expires && sure && settled(false) && differs(lease.min_vcpus)
            }
            None => setup.covered && !setup.base_named && settled(true),
        };
        foreign && differs(setup.base) && self.is_idle(environment)
    }

    /// Whether an action would lower a min that nothing of ours raised, and that no policy names: then it is the operator's, whatever
    /// base was when it was last read.
    pub(super) fn lowers_anothers(&self, action: &Action) -> bool {
        let named = |setup: &EnvironmentSetup| setup.base_named;
        let setup = self.setup.environments.get(action.environment().position());
        action.to().min_vcpus < action.from().min_vcpus
            && self.is_idle(action.environment())
            && self.lease(action.environment()).is_none()
            && !setup.is_some_and(named)
    }

    /// Somebody else changed min: it is his now, and base until account and policy are read anew. The lease is let go and the guard
    /// removed, so that nothing of ours undoes it. Where max is lowered by us, both are kept for that alone.
    fn yield_to(
        &mut self,
        now: Time,
        environment: EnvironmentIndex,
        observation: &Observation,
        effects: &mut Vec<Effect>,
    ) {
        let position = environment.position();
        self.set_flight(environment, Flight::BackOff { until: now + YIELDS });
        let seen = observation.environments.get(position).and_then(Seen::value);
        if let Some(slot) = self.yielded.get_mut(position) {
            *slot = seen.map(|seen| (seen.min_vcpus, now));
        }
        if let (Some(setup), Some(seen)) = (self.setup.environments.get_mut(position), seen) {
            setup.base = seen.min_vcpus;
        }
        let memory = self.memory.environments.get_mut(position);
        let lowered = memory.is_some_and(|memory| {
            memory.base_before = None;
            memory.max_before.is_some()
        });
        let kept = self
            .lease(environment)
            .zip(seen.filter(|_| lowered))
            .map(|(lease, seen)| {
                let min_vcpus = seen.min_vcpus;
                (Lease { min_vcpus, ..lease }, levels_seen(seen))
            });
        let Some(slot) = self.leases.get_mut(position) else {
            return;
        };
        let stood = slot.is_some();
        *slot = kept.map(|(lease, _)| lease);
        match kept {
            Some((lease, levels)) => effects.push(Effect::Arm(self.guard(environment, lease, levels))),
            None if stood => effects.push(Effect::Disarm(environment)),
            None => {}
        }
    }

    /// Restores what a lease no longer carries.
    fn restore(&mut self, now: Time, environment: EnvironmentIndex, levels: Levels, effects: &mut Vec<Effect>) {
        let to = Levels {
            min_vcpus: self.base(environment),
            max_vcpus: self.restored_max(environment, levels.max_vcpus),
            desired_vcpus: levels.desired_vcpus,
        };
        if to == levels {
            return;
        }
        let intended = self.intend(
            now,
            Action::new(environment, levels, to, Because::LeaseExpired),
            effects,
        );
        if let (true, Some(sent)) = (intended, self.sent.get_mut(environment.position())) {
            sent.expired += 1;
        }
    }

    /// Half of its time after it was given, a lease is due for renewal.
    pub(super) fn renewal_due(&self, lease: Lease) -> Time {
        lease.expires - self.setup.tempo.lease.scaled_down(1, 2)
    }

    /// Puts base back wherever a lease stands and nothing is being sent.
    pub(super) fn restore_all(&mut self, now: Time, observation: &Observation, effects: &mut Vec<Effect>) {
        for position in 0..self.leases.len() {
            let environment = EnvironmentIndex::at(position);
            let free = match self.flights.get(position) {
                Some(Flight::BackOff { until }) => *until <= now,
                Some(Flight::Idle) => true,
                Some(Flight::Committing(..) | Flight::Arming(..) | Flight::Sending(..)) | None => false,
            };
            let (Some(lease), true) = (self.lease(environment), free) else {
                continue;
            };
            self.set_flight(environment, Flight::Idle);
            let acted_at = self
                .memory
                .environments
                .get(position)
                .and_then(|memory| memory.acted_at);
            let seen = observation.environments.get(position);
            let seen = seen.filter(|part| Some(part.at()) > acted_at).and_then(Seen::value);
            let levels = seen.map_or_else(|| levels_of(lease), levels_seen);
            self.restore(now, environment, levels, effects);
            if self.is_idle(environment)
                && let Some(slot) = self.leases.get_mut(position)
            {
                *slot = None;
            }
        }
    }

    /// Renews leases that are due while everything they rest on is seen, lets go of those that are served, and restores base
    /// where one ran out.
    pub(super) fn mind_leases(&mut self, now: Time, observation: &Observation, effects: &mut Vec<Effect>) {
        let longest = now + self.setup.tempo.lease;
        for position in 0..self.leases.len() {
            let environment = EnvironmentIndex::at(position);
            // None is given for longer: the clock was set back, or the policy shortened it. It is due for renewal.
            if let Some(Some(lease)) = self.leases.get_mut(position)
                && lease.expires > longest
            {
                lease.expires = now + self.setup.tempo.lease.scaled_down(1, 2);
            }
            if self.is_anothers(now, environment, observation) {
                self.yield_to(now, environment, observation, effects);
                continue;
            }
            let Some(lease) = self.lease(environment) else {
                continue;
            };
            // Read since our last update was answered; older readings may show what is no longer so.
            let memory = self.memory.environments.get(position).copied().unwrap_or_default();
            let part = observation.environments.get(position);
            let seen = part
                .filter(|part| Some(part.at()) > memory.acted_at)
                .and_then(Seen::value);
            let base = self.base(environment);
            let idle = self.is_idle(environment);
            let at_base = seen.is_some_and(|seen| seen.min_vcpus <= base) && memory.max_before.is_none();
            // Base was asked for and is there. Where more was asked for, a reading may lag behind: that lease runs out instead.
            let let_go = lease.min_vcpus <= base || now >= lease.expires;
            if idle && at_base && let_go {
                if let Some(slot) = self.leases.get_mut(position) {
                    *slot = None;
                }
                effects.push(Effect::Disarm(environment));
            } else if now >= lease.expires {
                let levels = seen.map_or_else(|| levels_of(lease), levels_seen);
                self.restore(now, environment, levels, effects);
            } else if let Some(seen) = seen
                && !at_base
                && now >= self.renewal_due(lease)
                && self.may_renew(now, position)
                && self.setup.environments.get(position).is_some_and(|setup| setup.covered)
                && self.sees(now, observation, position)
            {
                let renewed = Lease {
                    expires: now + self.setup.tempo.lease,
                    ..lease
                };
                effects.push(Effect::Arm(self.guard(environment, renewed, levels_seen(seen))));
                let tries = self.renewals.get(position).map_or(0, |(_, tries)| *tries);
                let again = now + self.again_after(RENEW_AGAIN, tries, position);
                if let Some(slot) = self.renewals.get_mut(position) {
                    *slot = (again, tries.saturating_add(1));
                }
            }
        }
    }

    /// Whether long enough has passed since a renewal was last asked for.
    fn may_renew(&self, now: Time, position: usize) -> bool {
        self.renewals
            .get(position)
            .is_none_or(|(not_before, _)| now >= *not_before)
    }

    /// A guard was armed to fire then: the lease lasts as long, and no longer, however late that was told.
    pub(super) fn renewed(&mut self, environment: EnvironmentIndex, fires: Time) {
        if let Some(Some(lease)) = self.leases.get_mut(environment.position()) {
            lease.expires = lease.expires.max(fires);
        }
        if let Some(renewal) = self.renewals.get_mut(environment.position()) {
            *renewal = (Time::FAR_PAST, 0);
        }
    }

    /// Whether the environment and all queues that use it were read recently: only then is a lease renewed.
    fn sees(&self, now: Time, observation: &Observation, position: usize) -> bool {
        let stale = self.setup.tempo.stale_after;
        let fresh = |at: Time, known: bool| known && now.since(at) <= stale;
        let part = observation.environments.get(position);
        let instances = observation.instances.get(position);
        let queues = (self.setup.queues.iter().zip(&observation.queues)).filter(|(queue, _)| {
            queue
                .environments
                .iter()
                .any(|environment| environment.position() == position)
        });
        part.is_some_and(|part| fresh(part.at(), part.value().is_some()))
            && instances.is_some_and(|part| fresh(part.at(), part.value().is_some()))
            && queues.into_iter().all(|(_, now)| {
                fresh(now.runnable.at(), now.runnable.value().is_some())
                    && fresh(now.placed.at(), now.placed.value().is_some())
            })
    }
}
