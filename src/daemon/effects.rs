//! The one actuator: everything that changes an account goes through here, and nowhere else.
//!
//! Every environment has a *lane* that carries out what is asked of it one after the other, so that a guard is never removed
//! after a newer one was armed, and that an environment that hangs delays no other. Answers come back by name: indices change
//! with every reload.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::cloud::{Answer, Cloud, NamedGuard};
use super::driver::Driver;
use super::store::{Leases, WRITTEN_WITHIN, late};
use super::{Event, Options};
use crate::clock::{self, Clock};
use crate::control::{Effect, Guard, Lease, Outcome};
use crate::explain::{self, printable};
use crate::ids::EnvironmentIndex;
use crate::journal::{Ended, Intent, NOT_SENT, Remembered};
use crate::planner::plan::{Action, Change};
use crate::units::{Span, Time};

/// A guard that could not be removed is tried again after this; doubles up to the longest.
const DISARM_AGAIN: Span = Span::from_seconds(5);
const DISARM_AGAIN_MOST: Span = Span::from_minutes(5);
/// A call that takes longer has failed, whatever it promised.
const CALL_MOST: Span = Span::from_seconds(30);

const DRY: &str = "this is a dry run";
const TOO_LATE: &str = "not sent: it was decided too long ago, and is decided anew";

/// What a lane is asked to do.
#[derive(Clone, Debug)]
enum Order {
    Arm(NamedGuard),
    Disarm,
    /// Only if it can begin before that time.
    Send(Change, Time),
}

/// Both keys to a write, and the lanes.
pub(super) struct Actuator<C> {
    cloud: Arc<C>,
    events: mpsc::UnboundedSender<Event>,
    /// The second key: the controller of a dry run asks for nothing, and this would refuse it.
    apply: bool,
    /// Whether guards are used at all.
    guard: bool,
    clock: Clock,
    lanes: BTreeMap<String, mpsc::UnboundedSender<Order>>,
    /// Arms and sends that are not answered yet.
    unanswered: usize,
}

impl<C: Cloud> Actuator<C> {
    pub(super) const fn new(cloud: Arc<C>, events: mpsc::UnboundedSender<Event>, options: &Options) -> Self {
        Self {
            cloud,
            events,
            apply: options.apply,
            guard: options.guard,
            clock: options.clock,
            lanes: BTreeMap::new(),
            unanswered: 0,
        }
    }

    /// Whether an answer is still to come.
    pub(super) const fn is_busy(&self) -> bool {
        self.unanswered > 0
    }

    /// An arm or a send was answered.
    pub(super) const fn answered(&mut self) {
        self.unanswered = self.unanswered.saturating_sub(1);
    }

    /// Arms or moves a guard. Where none are used, the lease in the journal stands alone.
    pub(super) fn arm(&mut self, guard: NamedGuard) {
        self.unanswered += 1;
        if !self.apply {
            let dry = Err(DRY.to_owned());
            let _ = self.events.send(Event::Armed(guard.environment, guard.fires, dry));
        } else if self.guard {
            self.order(&guard.environment.clone(), Order::Arm(guard));
        } else {
            let _ = self.events.send(Event::Armed(guard.environment, guard.fires, Ok(())));
        }
    }

    /// Removes a guard, sooner or later.
    pub(super) fn disarm(&mut self, environment: &str) {
        if self.apply && self.guard {
            self.order(environment, Order::Disarm);
        }
    }

    /// Sends an update, once, if that begins before this time.
    pub(super) fn send(&mut self, environment: &str, change: Change, before: Time) {
        self.unanswered += 1;
        if self.apply {
            self.order(environment, Order::Send(change, before));
        } else {
            let answer = refused(Outcome::Failed, DRY.to_owned());
            let _ = self.events.send(Event::Sent(environment.to_owned(), answer));
        }
    }

    fn order(&mut self, environment: &str, order: Order) {
        if self.lanes.get(environment).is_none_or(mpsc::UnboundedSender::is_closed) {
            let (orders, inbox) = mpsc::unbounded_channel();
            let (cloud, events) = (Arc::clone(&self.cloud), self.events.clone());
            tokio::spawn(lane(cloud, environment.to_owned(), inbox, events, self.clock));
            self.lanes.insert(environment.to_owned(), orders);
        }
        if let Some(lane) = self.lanes.get(environment) {
            let _ = lane.send(order);
        }
    }
}

/// Ends when nobody can ask for anything any more.
async fn lane<C: Cloud>(
    cloud: Arc<C>,
    name: String,
    mut orders: mpsc::UnboundedReceiver<Order>,
    events: mpsc::UnboundedSender<Event>,
    clock: Clock,
) {
    // A guard is still to be removed.
    let mut owed = false;
    let mut next = orders.recv().await;
    while let Some(order) = next.take() {
        match order {
            Order::Arm(guard) => {
                owed = false;
                let fires = guard.fires;
                // The process may have stood still since it was asked for. One that fires at once would take back what stands.
                let armed = if clock.now() < fires {
                    let cloud = Arc::clone(&cloud);
                    let armed = answered(CALL_MOST, async move { cloud.arm(&guard).await }).await;
                    armed.and_then(|armed| armed.map_err(|error| error.message))
                } else {
                    Err(TOO_LATE.to_owned())
                };
                let _ = events.send(Event::Armed(name.clone(), fires, armed));
            }
            Order::Send(change, before) => {
                let answer = if clock.now() < before {
                    let (cloud, name) = (Arc::clone(&cloud), name.clone());
                    let answer = answered(CALL_MOST, async move { cloud.send(&name, &change).await }).await;
                    answer.unwrap_or_else(|why| refused(Outcome::Failed, why))
                } else {
                    refused(Outcome::Raced, TOO_LATE.to_owned())
                };
                let _ = events.send(Event::Sent(name.clone(), answer));
            }
            Order::Disarm => {
                next = disarm(&cloud, &name, &mut orders).await;
                // An update in between does not settle it; a guard that is wanted again does.
                owed = matches!(next, Some(Order::Send(..)));
            }
        }
        if next.is_none() {
            next = match orders.try_recv() {
                Ok(order) => Some(order),
                Err(mpsc::error::TryRecvError::Empty) if owed => Some(Order::Disarm),
                Err(_) => orders.recv().await,
            };
        }
    }
}

/// What a call answers, or why it does not: also a call that panics is one that failed, since whoever waits for the answer
/// would wait for ever. A call that takes too long is given up.
pub(super) async fn answered<T: Send + 'static>(
    most: Span,
    call: impl Future<Output = T> + Send + 'static,
) -> Result<T, String> {
    let mut task = tokio::task::JoinSet::new();
    task.spawn(call);
    match clock::within(most, task.join_next()).await {
        Some(Some(answer)) => answer.map_err(|error| error.to_string()),
        Some(None) | None => Err(format!("no answer came within {most}")),
    }
}

const fn refused(outcome: Outcome, message: String) -> Answer {
    Answer { outcome, message }
}

/// Tries until it is done, or until something newer is asked for, which is returned.
async fn disarm<C: Cloud>(cloud: &Arc<C>, name: &str, orders: &mut mpsc::UnboundedReceiver<Order>) -> Option<Order> {
    let mut pause = DISARM_AGAIN;
    loop {
        // What was asked for meanwhile is newer, and a guard that is moved need not be removed first.
        if let Ok(newer) = orders.try_recv() {
            return Some(newer);
        }
        let (asked, of) = (Arc::clone(cloud), name.to_owned());
        let done = answered(CALL_MOST, async move { asked.disarm(&of).await }).await;
        match done.and_then(|done| done.map_err(|error| error.message)) {
            Ok(()) => return None,
            Err(error) if pause == DISARM_AGAIN => {
                let (environment, error) = (printable(name), printable(&error));
                tracing::warn!(%environment, %error, "The guard could not be removed; it is tried again");
            }
            Err(_) => {}
        }
        if let Some(newer) = clock::within(pause, orders.recv()).await {
            return newer;
        }
        pause = pause.times(2).min(DISARM_AGAIN_MOST);
    }
}

impl<C: Cloud> Driver<C> {
    pub(super) fn perform(&mut self, now: Time, effect: Effect) {
        match effect {
            Effect::Observe => self.cadence.settle(),
            Effect::WakeAt(at) => self.wake_at = at,
            Effect::Commit(environment, action, lease) => self.commit(now, environment, action, lease),
            Effect::Arm(guard) => {
                if let Some(guard) = self.named(guard) {
                    self.actuator.arm(guard);
                }
            }
            Effect::Disarm(environment) => {
                if let Some(name) = self.sight.environment_names().get(environment.position()) {
                    self.actuator.disarm(name);
                }
            }
            Effect::Send(action, before) => {
                let position = action.environment().position();
                if let Some(name) = self.sight.environment_names().get(position) {
                    let sentence = explain::action(self.controller.setup(), &action);
                    self.teller.sending(name, sentence);
                    self.actuator.send(name, action.change(), before);
                }
            }
            Effect::Renumbered => {
                self.options.metrics.reset(self.controller.setup());
                let queues = &self.controller.setup().queues;
                self.waits.retain(|name| queues.iter().any(|queue| queue.name == name));
                self.sight.renumber(self.controller.setup());
                self.cadence.set_parts(self.sight.parts());
                self.books.retain(|name, _| self.sight.queue(name).is_some());
                self.ears.retain(|name| self.sight.queue(name).is_some());
            }
        }
    }

    pub(super) fn named(&self, guard: Guard) -> Option<NamedGuard> {
        let position = guard.environment.position();
        let setup = self.controller.setup().environments.get(position)?;
        let memory = self.controller.memory().environments.get(position);
        // One that we have not lowered is the operator's, who may change it while the guard stands.
        let max_is_ours = memory.is_some_and(|memory| memory.max_before.is_some());
        Some(NamedGuard {
            environment: setup.name.clone(),
            fires: guard.fires,
            min_vcpus: guard.min_vcpus,
            max_vcpus: max_is_ours.then_some(guard.max_vcpus),
        })
    }

    pub(super) fn commit(&self, now: Time, environment: EnvironmentIndex, action: Action, lease: Option<Lease>) {
        let setup = self.controller.setup();
        let Some(name) = setup
            .environments
            .get(environment.position())
            .map(|setup| setup.name.clone())
        else {
            return;
        };
        let intent = Intent {
            number: 0,
            at: now,
            environment: name.clone(),
            from: action.from(),
            to: action.to(),
            because: explain::code(&action.because()).to_owned(),
            sentence: explain::action(setup, &action),
            lease,
        };
        let mut answered = self.writer.commit(intent, self.remembered());
        let (events, health) = (self.events.clone(), self.writer.health());
        tokio::spawn(async move {
            let in_time = clock::within(WRITTEN_WITHIN, &mut answered).await;
            let answer = if let Some(answer) = in_time {
                answer.ok()
            } else {
                // From here on the writer knows that nobody waits. What it has answered by now counts.
                answered.close();
                answered.try_recv().ok()
            };
            if answer.is_none() {
                health.failed(&late());
            }
            let written = answer.map(|answer| answer.map_err(|error| error.to_string()));
            let result = written.unwrap_or_else(|| Err(late()));
            let _ = events.send(Event::Committed(name, result));
        });
    }

    pub(super) fn remembered(&self) -> Remembered {
        let (setup, memory) = (self.controller.setup(), self.controller.memory());
        let environments = setup.environments.iter().map(|e| e.name.clone());
        let queues = setup.queues.iter().map(|queue| queue.name.clone());
        let sqs = setup.sqs_sources.iter().map(|source| source.name.clone());
        Remembered {
            environments: environments.zip(memory.environments.iter().copied()).collect(),
            queues: queues.zip(memory.queues.iter().copied()).collect(),
            sqs: sqs.zip(memory.sqs.iter().copied()).collect(),
        }
    }

    /// Notes how an intent ended, after the leases that follow from it.
    pub(super) fn finish(&mut self, number: i64, ended: Ended) {
        self.noted = self.leases();
        self.writer.finished(self.noted.clone(), Some((number, ended)));
    }

    /// Intents that the controller gave up between commit and send.
    pub(super) fn finish_unsent(&mut self) {
        let given_up = |name: &String| {
            let environment = self.sight.environment(name);
            environment.is_none_or(|environment| !self.controller.is_sending(environment))
        };
        let given_up: Vec<String> = self.numbers.keys().filter(|name| given_up(name)).cloned().collect();
        for name in given_up {
            if let Some(number) = self.numbers.remove(&name) {
                let why = self.teller.troubles.get(&name).map(|why| format!(": {why}"));
                let ended = Ended {
                    at: self.now(),
                    outcome: crate::control::Outcome::Failed,
                    message: format!("{NOT_SENT}{}", why.unwrap_or_default()),
                };
                self.finish(number, ended);
            }
        }
    }

    pub(super) fn leases(&self) -> Leases {
        let (setup, memory) = (self.controller.setup(), self.controller.memory());
        let environments = setup.environments.iter().zip(&memory.environments).enumerate();
        let held = environments.filter_map(|(position, (setup, memory))| {
            let lease = self.controller.lease(EnvironmentIndex::at(position))?;
            Some((setup.name.clone(), (lease, memory.max_before)))
        });
        held.collect()
    }

    pub(super) fn note_leases(&mut self) {
        // A dry run, or one that does not lead, or does not yet know what it inherits, leaves what it found.
        if !self.leads() {
            return;
        }
        let leases = self.leases();
        if leases != self.noted {
            self.noted.clone_from(&leases);
            self.writer.finished(leases, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::tests::account::{Account, START};
    use crate::units::Vcpus;

    /// The process may stand still between a decision and the lane that carries it out.
    #[tokio::test(start_paused = true)]
    async fn a_lane_begins_nothing_whose_time_has_passed() {
        let account = Account::new(Clock::paced(START));
        let (orders, inbox) = mpsc::unbounded_channel();
        let (events, mut told) = mpsc::unbounded_channel();
        let lane = lane(
            Arc::new(account.clone()),
            "spot".to_owned(),
            inbox,
            events,
            account.clock,
        );
        let lane = tokio::spawn(lane);
        let change = Change {
            min_vcpus: Some(Vcpus::new(64)),
            ..Change::default()
        };
        orders.send(Order::Send(change, START)).unwrap();
        let guard = NamedGuard {
            environment: "spot".to_owned(),
            fires: START,
            min_vcpus: Vcpus::ZERO,
            max_vcpus: None,
        };
        orders.send(Order::Arm(guard)).unwrap();
        let Some(Event::Sent(_, answer)) = told.recv().await else {
            panic!("no answer");
        };
        assert_eq!(answer.outcome, Outcome::Raced);
        let Some(Event::Armed(_, fires, armed)) = told.recv().await else {
            panic!("no answer");
        };
        assert!(fires == START && armed.is_err());
        assert_eq!(account.log(), Vec::<String>::new());
        drop(orders);
        lane.await.unwrap();
    }
}
