//! Leases: every raise above the operator's base expires unless renewed while we see clearly.

use serde::{Deserialize, Serialize};

use crate::control::{Controller, Decide, Effect, Flight};
use crate::ids::EnvironmentIndex;
use crate::observation::{Observation, Seen};
use crate::planner::plan::Levels;
use crate::units::{Time, Vcpus};

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

impl<D: Decide> Controller<D> {
    /// Renews leases that are due while everything they rest on is seen, lets go of those that are served, and restores base
    /// where one ran out.
    pub(super) fn mind_leases(&mut self, now: Time, observation: &Observation, effects: &mut Vec<Effect>) {
        for position in 0..self.leases.len() {
            let environment = EnvironmentIndex::at(position);
            let Some(lease) = self.lease(environment) else {
                continue;
            };
            let Some(seen) = observation.environments.get(position).and_then(Seen::value) else {
                continue;
            };
            let levels = Levels {
                min_vcpus: seen.min_vcpus,
                desired_vcpus: seen.desired_vcpus,
                max_vcpus: seen.max_vcpus,
            };
            if now >= lease.expires {
                self.restore(now, environment, levels, effects);
            } else if now >= self.renewal_due(lease) && self.sees(now, observation, position) {
                let renewed = Lease {
                    expires: now + self.setup.tempo.lease,
                    ..lease
                };
                effects.push(Effect::Arm(self.guard(environment, renewed, levels)));
            }
            let base = self
                .setup
                .environments
                .get(position)
                .map_or(Vcpus::ZERO, |setup| setup.base);
            let idle = self.flights.get(position) == Some(&Flight::Idle);
            let max_held = self
                .memory
                .environments
                .get(position)
                .is_some_and(|memory| memory.max_before.is_some());
            let read_since = self
                .memory
                .environments
                .get(position)
                .and_then(|memory| memory.acted_at);
            let current = observation.environments.get(position).map(Seen::at);
            if idle && !max_held && seen.min_vcpus <= base && current > read_since {
                if let Some(slot) = self.leases.get_mut(position) {
                    *slot = None;
                }
                effects.push(Effect::Disarm(environment));
            }
        }
    }

    /// A renewed guard is armed: the lease lasts as long.
    pub(super) fn renewed(&mut self, now: Time, environment: EnvironmentIndex) {
        let expires = now + self.setup.tempo.lease;
        if let Some(Some(lease)) = self.leases.get_mut(environment.position()) {
            lease.expires = expires;
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
