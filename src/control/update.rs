//! One update on its way: committed, armed, sent, answered; and what follows when a step fails.

use crate::control::{
    BACK_OFF_FIRST, BACK_OFF_MOST, Controller, DECIDED_MOST, Decide, Effect, Failed, Flight, Guard, Lease, Outcome,
    REQUEST_MOST,
};
use crate::ids::{EnvironmentIndex, fnv1a};
use crate::planner::plan::Levels;
use crate::units::{Span, Time};

impl<D: Decide> Controller<D> {
    pub(super) fn committed(
        &mut self,
        now: Time,
        environment: EnvironmentIndex,
        result: Result<(), Failed>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(Flight::Committing(action, lease)) = self.flights.get(environment.position()).copied() else {
            return;
        };
        let needs_guard = self.needs_guard(&action);
        if self.stopping && needs_guard || !self.leads(now) {
            self.not_sent(environment);
            return;
        }
        // A failing commit (disk full) stops raises, never releases; so does one so slow that the lease would have to be renewed.
        let too_late = lease.is_some_and(|lease| now >= self.renewal_due(lease));
        if (result.is_err() || too_late) && needs_guard {
            self.not_sent(environment);
            self.back_off(now, environment);
            return;
        }
        match lease {
            Some(lease) if needs_guard => {
                self.set_flight(environment, Flight::Arming(action, lease));
                effects.push(Effect::Arm(self.guard(environment, lease, action.to())));
            }
            lease => {
                self.set_flight(environment, Flight::Sending(action, lease));
                effects.push(Effect::Send(action, self.send_before(now, lease)));
            }
        }
    }

    /// A writer starts no request that cannot end before its lease does, nor before its leadership does.
    fn send_before(&self, now: Time, lease: Option<Lease>) -> Time {
        let leads = self.leads_until.filter(|until| *until < Time::FAR_FUTURE);
        let leads = leads.map_or(Time::FAR_FUTURE, |until| until - REQUEST_MOST);
        let due = lease.map_or(Time::FAR_FUTURE, |lease| self.renewal_due(lease));
        // What only gives back may do so late in its lease.
        let due = if due > now { due } else { Time::FAR_FUTURE };
        (now + DECIDED_MOST).min(due).min(leads)
    }

    pub(super) fn guard(&self, environment: EnvironmentIndex, lease: Lease, levels: Levels) -> Guard {
        Guard {
            environment,
            fires: lease.expires,
            min_vcpus: self.base(environment),
            max_vcpus: self.restored_max(environment, levels.max_vcpus),
        }
    }

    pub(super) fn armed(
        &mut self,
        now: Time,
        environment: EnvironmentIndex,
        fires: Time,
        result: Result<(), Failed>,
        effects: &mut Vec<Effect>,
    ) {
        let flight = self.flights.get(environment.position()).copied();
        match (flight, result) {
            (Some(Flight::Arming(action, lease)), _) if fires == lease.expires => {
                if self.stopping || !self.leads(now) {
                    self.not_sent(environment);
                    self.in_vain(environment, lease);
                } else if result.is_ok() && now < self.renewal_due(lease) {
                    self.set_flight(environment, Flight::Sending(action, Some(lease)));
                    effects.push(Effect::Send(action, self.send_before(now, Some(lease))));
                } else {
                    // Not armed, or so late that what was decided is no longer true.
                    self.not_sent(environment);
                    self.in_vain(environment, lease);
                    self.back_off(now, environment);
                }
            }
            // A guard moved for a renewal: the lease lasts as long.
            (Some(_), Ok(())) if !self.stopping => self.renewed(environment, fires),
            (Some(_) | None, _) => {}
        }
    }

    /// A guard may be armed and nothing was raised. Until it is removed it would put back a min that the operator changes
    /// meanwhile: that is noted as a lease of base, which goes as every lease does that is served.
    fn in_vain(&mut self, environment: EnvironmentIndex, lease: Lease) {
        let position = environment.position();
        let min_vcpus = self.base(environment);
        if let (Some(slot), false) = (self.leases.get_mut(position), self.stopping) {
            let raised = slot.filter(|held| held.min_vcpus > min_vcpus);
            *slot = raised.or(Some(Lease { min_vcpus, ..lease }));
        }
    }

    pub(super) fn finished(
        &mut self,
        now: Time,
        environment: EnvironmentIndex,
        outcome: Outcome,
        effects: &mut Vec<Effect>,
    ) {
        let position = environment.position();
        let Some(Flight::Sending(action, lease)) = self.flights.get(position).copied() else {
            return;
        };
        if let Some(memory) = self.memory.environments.get_mut(position) {
            memory.acted_at = Some(now);
            memory.release_refused |= outcome == Outcome::Overshoot && !action.raises();
        }
        match outcome {
            Outcome::Accepted => {
                self.set_flight(environment, Flight::Idle);
                if let Some(failures) = self.failures.get_mut(position) {
                    *failures = 0;
                }
                if let Some(slot) = self.leases.get_mut(position) {
                    // What was given back keeps its lease until base is seen: only then is the guard removed.
                    *slot = lease.or(slot.map(|held| Lease {
                        min_vcpus: action.to().min_vcpus,
                        ..held
                    }));
                    // On the way out nobody will see base again; the guard stays and does nothing more than that. What was
                    // raised while we were asked to stop goes back as well.
                    if self.restoring && lease.is_none() {
                        *slot = None;
                    }
                }
                if let Some(unsure) = self.unsure.get_mut(position) {
                    *unsure = false;
                }
                let moves = action.change().min_vcpus.is_some();
                if let (Some(yielded), true) = (self.yielded.get_mut(position), moves) {
                    *yielded = None;
                }
                if let Some(sent) = self.sent.get_mut(position) {
                    sent.accepted += 1;
                }
            }
            Outcome::Raced | Outcome::Overshoot | Outcome::Throttled | Outcome::Failed => {
                if let Some(sent) = self.sent.get_mut(position) {
                    sent.refused += 1;
                }
                if let (Some(unsure), Outcome::Failed) = (self.unsure.get_mut(position), outcome) {
                    *unsure = true;
                }
                // Its effect is unknown: what was raised may stand, so the lease is kept until the environment says otherwise.
                if let (Some(slot), Outcome::Failed) = (self.leases.get_mut(position), outcome) {
                    *slot = slot.or(lease);
                }
                if let (Some(lease), true) = (lease, self.needs_guard(&action) && self.leads(now)) {
                    self.in_vain(environment, lease);
                }
                if outcome == Outcome::Overshoot {
                    let until = now + self.setup.tempo.between_updates;
                    self.set_flight(environment, Flight::BackOff { until });
                } else {
                    self.back_off(now, environment);
                }
            }
        }
        if !self.stopping {
            effects.push(Effect::Observe);
        }
    }

    pub(super) fn back_off(&mut self, now: Time, environment: EnvironmentIndex) {
        let position = environment.position();
        let failures = self.failures.get(position).copied().unwrap_or(0);
        let pause = self.again_after(BACK_OFF_FIRST, failures, position);
        if let Some(slot) = self.failures.get_mut(position) {
            *slot = failures.saturating_add(1);
        }
        self.set_flight(environment, Flight::BackOff { until: now + pause });
    }

    /// Doubles with every try up to [`BACK_OFF_MOST`], and of that half to all, another part for every environment and try: those
    /// that were throttled together do not come back together. No randomness: a replay pauses as the daemon does.
    pub(super) fn again_after(&self, first: Span, tries: u32, position: usize) -> Span {
        let whole = first.times(1_i64 << tries.min(6)).min(BACK_OFF_MOST);
        let name = self.setup.environments.get(position).map_or("", |setup| &setup.name);
        let mixed = fnv1a(&format!("{name} {tries}")).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let part = i64::try_from(mixed >> 54).unwrap_or(0);
        Span::from_millis(whole.millis() / 2 + whole.millis() / 2 * part / 1023)
    }

    /// What was intended was not sent, so the planner must not reckon with it.
    pub(super) fn not_sent(&mut self, environment: EnvironmentIndex) {
        self.set_flight(environment, Flight::Idle);
        if let Some(memory) = self.memory.environments.get_mut(environment.position()) {
            memory.updated = None;
            memory.raised = None;
        }
    }

    pub(super) fn set_flight(&mut self, environment: EnvironmentIndex, flight: Flight) {
        let position = environment.position();
        if let Some(slot) = self.flights.get_mut(position) {
            *slot = flight;
        }
        if let Some(memory) = self.memory.environments.get_mut(position) {
            memory.in_flight = flight != Flight::Idle;
        }
    }
}
