//! The state machine around the planner: leases, updates in flight, back-off, damping of wake-ups. No I/O.
//!
//! A driver (the daemon, the simulator) feeds [`Controller::step`] with what happened and carries out the effects it names.
//! **Write order**: observe, plan, *commit* (the intended levels with their lease), *arm* the guard in the account, *send*,
//! commit the outcome. A raise is never sent before its intent is committed and the guard is armed; a release never waits for
//! either. A *lease* is the promise that a raised min does not outlive us: it expires unless renewed, and then base returns.

mod lease;
mod reload;
#[cfg(test)]
mod tests;
mod update;

use serde::{Deserialize, Serialize};

use crate::forecast::Forecast;
use crate::ids::EnvironmentIndex;
use crate::observation::{Observation, Seen};
use crate::overrides::Override;
use crate::planner::memory::Memory;
use crate::planner::plan::{Action, Plan, Subject};
use crate::planner::{self, Inputs};
use crate::setup::{Compiled, Setup};
use crate::units::{Span, Time, Vcpus, to_i64};

pub use lease::{Guard, Lease};

/// After a wake-up, wait for this long without another before looking.
const SETTLE_QUIET: Span = Span::from_seconds(2);
/// But look after this long at the latest.
const SETTLE_MOST: Span = Span::from_seconds(10);
/// First pause after a refused or failed update; doubles up to [`BACK_OFF_MOST`].
const BACK_OFF_FIRST: Span = Span::from_seconds(5);
/// Longest pause between attempts on one environment.
const BACK_OFF_MOST: Span = Span::from_minutes(5);
/// A renewal that is not answered, that failed, or that sight did not permit, is tried again after this; doubles up to
/// [`BACK_OFF_MOST`], so that a throttled scheduler sees half a dozen requests before a lease ends, not one with every look.
const RENEW_AGAIN: Span = Span::from_seconds(10);
/// What was decided longer ago is decided anew instead of being sent: the process may have stood still meanwhile. Short enough
/// that even a request whose signature is good for five minutes more ends before its lease of ten minutes or longer does.
const DECIDED_MOST: Span = Span::from_minutes(2);
/// A clock that was set back by more than this makes times that were noted before worthless.
const CLOCK_SLACK: Span = Span::from_seconds(5);
/// A request is over after this long: a writer begins none that could outlast its leadership.
const REQUEST_MOST: Span = Span::from_seconds(15);
/// After a stop, raised levels last this long at most: enough to start again, short enough to forget.
const HAND_OVER_MOST: Span = Span::from_minutes(10);

/// Whoever decides: the planner, or, in simulations, somebody else's rule that fills the same [`Plan`].
pub trait Decide {
    /// Fills `plan`.
    fn decide(&mut self, inputs: &Inputs<'_>, plan: &mut Plan);
}

/// Our planner.
#[derive(Clone, Copy, Debug, Default)]
pub struct Planner;

impl Decide for Planner {
    fn decide(&mut self, inputs: &Inputs<'_>, plan: &mut Plan) {
        planner::plan(inputs, plan);
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The observation was read again, or the time came that was asked for.
    Observed,
    /// A hint that something changed.
    Woken,
    /// The intent for this environment is durable, or could not be made so.
    Committed(EnvironmentIndex, Result<(), Failed>),
    /// The guard for this environment that was to fire then is armed, or could not be.
    Armed(EnvironmentIndex, Time, Result<(), Failed>),
    /// The update of this environment was answered.
    Finished(EnvironmentIndex, Outcome),
    /// This process may write until then, or no longer. It may from the start, where nobody else could.
    Leadership(Option<Time>),
    /// A person ordered something for an environment or a queue, or took it back.
    Overridden(Subject, Option<Override>),
    /// Policy or account have changed. Taken as soon as no update is under way; [`Effect::Renumbered`] says when.
    Reloaded(Box<Compiled>),
    /// Another forecast was made for the same setup.
    Foreseen(Box<Forecast>),
    /// What an earlier process left raised, found at the start in a journal or in the account's guards: the lease, and
    /// maxvCpus as it was before that process changed it. An expired one is restored.
    Adopted(EnvironmentIndex, Lease, Option<Vcpus>),
    /// The process is asked to stop, and hands raised levels over to their leases.
    Stop,
    /// The process is asked to stop, and puts base back first. Told again, it tries again what was refused.
    Restore,
}

/// An effect could not be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

/// How an update ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Accepted.
    Accepted,
    /// Refused: the environment was being modified, or Batch had moved meanwhile. Look again, then decide anew.
    Raced,
    /// Refused because desired stands above max after an overshoot: a hold, not an error.
    Overshoot,
    /// Throttled.
    Throttled,
    /// Refused for another reason, or no answer: its effect is unknown until the environment is read again.
    Failed,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Read everything again soon.
    Observe,
    /// Make this intent durable before anything else happens to the environment.
    Commit(EnvironmentIndex, Action, Option<Lease>),
    /// Set or move the guard in the account.
    Arm(Guard),
    /// Remove the guard: the environment shows base again.
    Disarm(EnvironmentIndex),
    /// Send this update, unless that can only begin at this time or later: then it was refused as [`Outcome::Raced`].
    Send(Action, Time),
    /// The new setup is in force: from the next step on, every index is one of its own.
    Renumbered,
    /// Step with [`Input::Observed`] at this time, even if nothing was seen to change.
    WakeAt(Time),
}

/// Where an environment's update stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Flight {
    #[default]
    Idle,
    Committing(Action, Option<Lease>),
    Arming(Action, Lease),
    Sending(Action, Option<Lease>),
    BackOff {
        until: Time,
    },
}

/// How often updates of an environment were sent and how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Accepted updates.
    pub accepted: u64,
    /// Updates that were refused, throttled or failed.
    pub refused: u64,
    /// Restores after a lease ran out.
    pub expired: u64,
}

/// The state machine.
#[derive(Debug)]
pub struct Controller<D> {
    decide: D,
    setup: Setup,
    forecast: Forecast,
    memory: Memory,
    plan: Plan,
    flights: Vec<Flight>,
    failures: Vec<u32>,
    leases: Vec<Option<Lease>>,
    /// Per environment: when a lease may be renewed at the earliest, and how often in a row that was asked for in vain.
    renewals: Vec<(Time, u32)>,
    sent: Vec<Sent>,
    woken: Option<(Time, Time)>,
    /// The latest step.
    latest: Time,
    /// Until when this process may write.
    leads_until: Option<Time>,
    /// What comes into force when no update is under way, and since when it waits for that.
    next: Option<(Box<Compiled>, Time)>,
    /// Per environment: whether an update of ours may stand that its lease does not tell of.
    unsure: Vec<bool>,
    /// Per environment: the min of another hand that we yielded to and since when, until we change min again.
    yielded: Vec<Option<(Vcpus, Time)>>,
    stopping: bool,
    /// Stopping, and what is leased goes back to base.
    restoring: bool,
}

impl<D: Decide> Controller<D> {
    /// A controller that starts at `now` with nothing remembered.
    pub fn new(decide: D, setup: Setup, forecast: Forecast, now: Time) -> Self {
        let count = setup.environments.len();
        Self {
            decide,
            memory: Memory::new(&setup, now),
            plan: Plan::default(),
            flights: vec![Flight::default(); count],
            failures: vec![0; count],
            leases: vec![None; count],
            renewals: vec![(Time::FAR_PAST, 0); count],
            sent: vec![Sent::default(); count],
            woken: None,
            latest: now,
            leads_until: Some(Time::FAR_FUTURE),
            next: None,
            unsure: vec![false; count],
            yielded: vec![None; count],
            stopping: false,
            restoring: false,
            setup,
            forecast,
        }
    }

    /// Goes on with what an earlier process remembered of the same setup. It starts anew all the same.
    pub fn with_memory(mut self, memory: Memory) -> Self {
        let fresh = Memory::new(&self.setup, self.memory.started);
        let fits = memory.environments.len() == fresh.environments.len()
            && memory.queues.len() == fresh.queues.len()
            && memory.sqs.len() == fresh.sqs.len();
        if fits {
            self.memory = Memory {
                started: fresh.started,
                in_force_since: fresh.in_force_since,
                ..memory
            };
            for memory in &mut self.memory.environments {
                memory.in_flight = false;
            }
        }
        self
    }

    /// The latest plan.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What is remembered.
    pub const fn memory(&self) -> &Memory {
        &self.memory
    }

    /// What the policy wants.
    pub const fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Per environment: how updates ended.
    pub fn sent(&self) -> &[Sent] {
        &self.sent
    }

    /// What the schedules foresee.
    pub const fn forecast(&self) -> &Forecast {
        &self.forecast
    }

    /// Whether a setup waits for updates to end before it comes into force.
    pub const fn awaits_setup(&self) -> bool {
        self.next.is_some()
    }

    /// The lease that an environment's raised min stands on.
    pub fn lease(&self, environment: EnvironmentIndex) -> Option<Lease> {
        self.leases.get(environment.position()).copied().flatten()
    }

    /// The min that another hand gave to an environment and when we yielded to it, if we did.
    pub fn yielded(&self, environment: EnvironmentIndex) -> Option<(Vcpus, Time)> {
        self.yielded.get(environment.position()).copied().flatten()
    }

    /// Until when no update of this environment is sent, after one that was refused or failed.
    pub fn backs_off(&self, environment: EnvironmentIndex) -> Option<Time> {
        match self.flights.get(environment.position()) {
            Some(Flight::BackOff { until }) => Some(*until),
            Some(Flight::Idle | Flight::Committing(..) | Flight::Arming(..) | Flight::Sending(..)) | None => None,
        }
    }

    /// Whether an update of this environment is between its commit and its answer.
    pub fn is_sending(&self, environment: EnvironmentIndex) -> bool {
        match self.flights.get(environment.position()) {
            Some(Flight::Committing(..) | Flight::Arming(..) | Flight::Sending(..)) => true,
            Some(Flight::Idle | Flight::BackOff { .. }) | None => false,
        }
    }

    /// Takes one input and names what to do. The last effect is always a [`Effect::WakeAt`] unless nothing is awaited.
    pub fn step(&mut self, now: Time, observation: &Observation, input: Input, effects: &mut Vec<Effect>) {
        if now + CLOCK_SLACK < self.latest {
            self.went_back(now);
        }
        self.latest = now;
        match input {
            Input::Observed => self.observed(now, observation, effects),
            Input::Woken => {
                let first = self.woken.map_or(now, |(first, _)| first);
                self.woken = Some((first, now));
            }
            Input::Committed(environment, result) => self.committed(now, environment, result, effects),
            Input::Armed(environment, fires, result) => self.armed(now, environment, fires, result, effects),
            Input::Finished(environment, outcome) => self.finished(now, environment, outcome, effects),
            Input::Leadership(until) => self.lead(now, until),
            Input::Overridden(subject, overridden) => self.overridden(now, subject, overridden, effects),
            Input::Reloaded(compiled) if compiled.setup == self.setup => {
                self.next = None;
                self.forecast = compiled.forecast;
                effects.push(Effect::Observe);
            }
            Input::Reloaded(compiled) => {
                let since = self.next.take().map_or(now, |(_, since)| since);
                self.next = Some((compiled, since));
            }
            Input::Foreseen(forecast) => {
                self.forecast = *forecast;
                effects.push(Effect::Observe);
            }
            Input::Adopted(environment, lease, max_before) => self.adopt(now, environment, lease, max_before, effects),
            Input::Stop => self.stop(now, observation, effects),
            Input::Restore => {
                self.stopping = true;
                self.restoring = true;
                self.next = None;
                self.woken = None;
            }
        }
        if self.restoring {
            self.restore_all(now, observation, effects);
        }
        self.forget_bases();
        self.reload_if_free(effects);
        self.ask_for_wake_up(now, effects);
    }

    fn observed(&mut self, now: Time, observation: &Observation, effects: &mut Vec<Effect>) {
        if self.stopping {
            return;
        }
        if self.settled_at().is_some_and(|at| at <= now) {
            self.woken = None;
            effects.push(Effect::Observe);
        }
        for (position, flight) in self.flights.iter_mut().enumerate() {
            if matches!(flight, Flight::BackOff { until } if *until <= now) {
                *flight = Flight::Idle;
            }
            if let Some(memory) = self.memory.environments.get_mut(position) {
                memory.in_flight = *flight != Flight::Idle;
            }
        }
        // What ran out goes back by us or by the guard.
        for (lease, memory) in self.leases.iter().zip(&mut self.memory.environments) {
            if lease.is_some_and(|lease| now >= lease.expires) {
                memory.expect_max_back();
            }
        }
        let inputs = Inputs {
            setup: &self.setup,
            observation,
            memory: &self.memory,
            forecast: &self.forecast,
            now,
        };
        self.decide.decide(&inputs, &mut self.plan);
        // Who does not lead remembers nothing of what he would have done.
        if !self.leads(now) {
            return;
        }
        let before = self.next.is_some().then(|| self.memory.clone());
        self.memory.fold(&self.plan.notes);
        for position in 0..self.plan.actions.len() {
            let Some(action) = self.plan.actions.get(position).copied() else {
                continue;
            };
            // What another hand wrote is his, also at the very look at which more is wanted.
            let environment = action.environment();
            if self.is_anothers(now, environment, observation) || self.lowers_anothers(&action) {
                self.not_sent(environment);
            } else if self.is_idle(environment) && self.held_until(now).is_some() {
                // As if this look had not been.
                let slot = self.memory.environments.get_mut(environment.position());
                let was = before
                    .as_ref()
                    .and_then(|before| before.environments.get(environment.position()));
                if let (Some(slot), Some(was)) = (slot, was) {
                    *slot = *was;
                }
            } else {
                self.intend(now, action, effects);
            }
        }
        self.mind_leases(now, observation, effects);
    }

    /// Whether a request may begin now and end while this process still leads.
    fn leads(&self, now: Time) -> bool {
        self.leads_until
            .is_some_and(|until| until == Time::FAR_FUTURE || now + REQUEST_MOST < until)
    }

    /// Whoever no longer leads leaves leases and what is the operator's to his successor, and whoever begins to lead starts afresh, as
    /// after a start. A renewal that comes late is neither: nobody else has led meanwhile.
    fn lead(&mut self, now: Time, until: Option<Time>) {
        let held = self.leads_until.is_some();
        self.leads_until = until;
        if held == until.is_some() {
            return;
        }
        self.leases.fill(None);
        self.yielded.fill(None);
        let mut fresh = Memory::new(&self.setup, now);
        fresh.take_overrides(&self.memory);
        self.memory = fresh;
    }

    /// The clock was set back: what was noted is of a time that is still to come and would hold everything up until then. As
    /// after a start, but for what is the operator's or ours to put back. Leases end themselves, see [`Self::mind_leases`].
    fn went_back(&mut self, now: Time) {
        let mut fresh = Memory::new(&self.setup, now);
        fresh.take_overrides(&self.memory);
        for (slot, old) in fresh.environments.iter_mut().zip(&self.memory.environments) {
            (slot.base_before, slot.in_flight) = (old.base_before, old.in_flight);
            (slot.max_before, slot.max_ours, slot.max_from) = (old.max_before, old.max_ours, old.max_from);
            slot.acted_at = old.acted_at.map(|_| now);
        }
        self.memory = fresh;
        for flight in &mut self.flights {
            if let Flight::BackOff { until } = flight {
                *until = now;
            }
        }
        self.renewals.fill((Time::FAR_PAST, 0));
        self.woken = self.woken.map(|_| (now, now));
    }

    fn overridden(&mut self, now: Time, subject: Subject, overridden: Option<Override>, effects: &mut Vec<Effect>) {
        let slot = match subject {
            Subject::Environment(index) => {
                let memory = self.memory.environments.get_mut(index.position());
                memory.map(|memory| &mut memory.overridden)
            }
            Subject::Queue(index) => {
                let memory = self.memory.queues.get_mut(index.position());
                memory.map(|memory| &mut memory.overridden)
            }
            Subject::Sqs(_) => None,
        };
        if let Some(slot) = slot {
            *slot = match (*slot, overridden) {
                (Some(held), Some(new)) => Some(held.newer(new)),
                (_, new) => new,
            }
            .filter(|held| held.until > now);
            effects.push(Effect::Observe);
        }
    }

    /// When the wake-ups so far have settled and everything is read again.
    fn settled_at(&self) -> Option<Time> {
        self.woken
            .map(|(first, last)| (last + SETTLE_QUIET).min(first + SETTLE_MOST))
    }

    /// Starts an action on its way, unless another is: commit first. Says whether it did.
    fn intend(&mut self, now: Time, action: Action, effects: &mut Vec<Effect>) -> bool {
        let environment = action.environment();
        let begins = self.is_idle(environment) && self.held_until(now).is_none();
        if begins {
            let lease = self.lease_for(&action, now);
            self.set_flight(environment, Flight::Committing(action, lease));
            if lease.is_some() {
                self.remember_base(environment);
            }
            effects.push(Effect::Commit(environment, action, lease));
        }
        begins
    }

    fn is_idle(&self, environment: EnvironmentIndex) -> bool {
        self.flights.get(environment.position()) == Some(&Flight::Idle)
    }

    fn lease_for(&self, action: &Action, now: Time) -> Option<Lease> {
        let base = self.base(action.environment());
        let restored = self.restored_max(action.environment(), action.to().max_vcpus);
        let held = self.lease(action.environment());
        let expires = match held {
            // Nothing is armed for what only gives back: the guard in force still fires when it was to fire.
            Some(held) if !self.needs_guard(action) => held.expires,
            Some(_) | None => now + self.setup.tempo.lease,
        };
        (action.to().min_vcpus > base || restored != action.to().max_vcpus).then_some(Lease {
            min_vcpus: action.to().min_vcpus,
            expires,
        })
    }

    /// Whether an update must not be sent before the guard is armed: a raise, or a lowered max that no guard in force restores.
    /// One that was armed for a raise may know nothing of max.
    fn needs_guard(&self, action: &Action) -> bool {
        let (environment, from) = (action.environment(), action.from().max_vcpus);
        let lowers_max = action.to().max_vcpus < from;
        let is_first = self.restored_max(environment, from) == from;
        action.raises() || lowers_max && (is_first || self.lease(environment).is_none())
    }

    /// What minvCpus goes back to.
    fn base(&self, environment: EnvironmentIndex) -> Vcpus {
        let setup = self.setup.environments.get(environment.position());
        setup.map_or(Vcpus::ZERO, |setup| setup.base)
    }

    /// What maxvCpus goes back to.
    fn restored_max(&self, environment: EnvironmentIndex, now: Vcpus) -> Vcpus {
        self.memory
            .environments
            .get(environment.position())
            .and_then(|memory| memory.max_before)
            .unwrap_or(now)
    }

    /// Hands raised levels over to their leases: nothing is changed, nothing more is planned. What is being sent may still
    /// arrive; its guard is armed already. Who may not lead any more leaves the guards to his successor.
    fn stop(&mut self, now: Time, observation: &Observation, effects: &mut Vec<Effect>) {
        self.stopping = true;
        self.woken = None;
        if !self.leads(now) {
            return;
        }
        for position in 0..self.leases.len() {
            let environment = EnvironmentIndex::at(position);
            // Without sight the guard in force stays as it is.
            if let (Some(Some(lease)), Some(seen)) = (
                self.leases.get_mut(position),
                observation.environments.get(position).and_then(Seen::value),
            ) {
                lease.expires = lease.expires.min(now + HAND_OVER_MOST);
                let hand_over = *lease;
                effects.push(Effect::Arm(self.guard(
                    environment,
                    hand_over,
                    lease::levels_seen(seen),
                )));
            }
        }
    }

    fn ask_for_wake_up(&self, now: Time, effects: &mut Vec<Effect>) {
        if self.stopping {
            return;
        }
        let mut next = self.plan.look_again_at;
        next = next.min(self.settled_at().unwrap_or(Time::FAR_FUTURE));
        next = next.min(self.held_until(now).unwrap_or(Time::FAR_FUTURE));
        for (position, flight) in self.flights.iter().enumerate() {
            if let Flight::BackOff { until } = flight {
                next = next.min(*until);
            }
            if let Some(lease) = self.leases.get(position).copied().flatten() {
                let renewal = self.renewals.get(position).map_or(Time::FAR_PAST, |renewal| renewal.0);
                let again = if renewal > now { renewal } else { now + RENEW_AGAIN };
                for at in [self.renewal_due(lease), lease.expires] {
                    next = next.min(if at > now { at } else { again });
                }
            }
        }
        if next < Time::FAR_FUTURE {
            effects.push(Effect::WakeAt(next.max(now + Span::from_millis(1))));
        }
    }

    /// How many updates were sent and accepted.
    pub fn accepted(&self) -> i64 {
        self.sent.iter().map(|sent| to_i64(sent.accepted)).sum()
    }
}
