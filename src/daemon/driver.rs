//! The loop. It waits for one of: an answer, a time, a wish of the outside; folds it, steps the controller, and hands what
//! follows to others. Nothing in it waits for a call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::cadence::{Cadence, Circumstances, Meter, Part};
use super::checking::{Checked, Checks, changed_bases};
use super::cloud::{Cloud, EnvironmentRead, Identity, Read};
use super::ears::Ears;
use super::effects::Actuator;
use super::listing::{Book, Sizes};
use super::orders::{self, Orders};
use super::reload::Keys;
use super::sight::Sight;
use super::store::{Leases, Writer};
use super::telling::Teller;
use super::waits::Waits;
use super::wake::Flood;
use super::{Event, Found, OnStop, Options, reading};
use crate::account::Topology;
use crate::account::survey::{Base, Tag};
use crate::clock;
use crate::control::{Controller, Effect, Failed, Input, Planner};
use crate::explain::printable;
use crate::ids::EnvironmentIndex;
use crate::input::render;
use crate::journal::{Ended, Heard, NOT_SENT};
use crate::observation::{Observation, Seen};
use crate::planner::plan::{Because, Limit, Plan, Reason, Subject};
use crate::policy::Policy;
use crate::setup::Setup;
use crate::units::{Span, Time};

/// The longest sleep: should the clock on the wall jump, it is noticed after this.
const SLEEP_MOST: Span = Span::from_seconds(5);
/// Longer between two rounds than any sleep: the process stood still, or the clock was set forward.
const STOOD_STILL: Span = Span::from_seconds(60);
/// A clock that goes back by more than this was set back.
const CLOCK_SLACK: Span = Span::from_seconds(5);
/// A stop waits this long for what is being sent or restored. The journal, leadership and the server have five seconds after it.
const STOP_MOST: Span = Span::from_millis(4_500);
/// How often a stop looks whether it is done.
const STOP_STEP: Span = Span::from_millis(200);
/// The disk has this long at the end.
const FLUSH_MOST: Span = Span::from_seconds(1);

/// What a start found out.
pub(super) struct Kit {
    pub(super) identity: Identity,
    pub(super) policy: Policy,
    pub(super) topology: Topology,
    pub(super) keys: Keys,
}

/// Everything that the loop owns.
pub(super) struct Driver<C> {
    pub(super) cloud: Arc<C>,
    pub(super) options: Options,
    pub(super) kit: Kit,
    pub(super) events: mpsc::UnboundedSender<Event>,
    pub(super) controller: Controller<Planner>,
    pub(super) sight: Sight,
    pub(super) cadence: Cadence,
    pub(super) meter: Meter,
    pub(super) books: BTreeMap<String, Book>,
    pub(super) sizes: Sizes,
    pub(super) orders: Orders,
    pub(super) waits: Waits,
    pub(super) flood: Flood,
    pub(super) actuator: Actuator<C>,
    pub(super) writer: Writer,
    pub(super) teller: Teller,
    pub(super) effects: Vec<Effect>,
    /// When the controller wants to look again.
    pub(super) wake_at: Time,
    /// Intents that are durable and have no outcome yet, by environment.
    pub(super) numbers: BTreeMap<String, i64>,
    /// Guards that stand, as far as is known, and since when.
    pub(super) armed: BTreeMap<String, Time>,
    /// The leases that were last noted.
    pub(super) noted: Leases,
    /// Until when this process may write, as it was last told.
    pub(super) leads_until: Option<Time>,
    /// Since when it leads anew and has not yet taken over what its predecessor raised. Until then the controller does not lead.
    pub(super) inherits: Option<Time>,
    /// The last wait for hints went well.
    pub(super) hears: bool,
    /// Of which queues events tell.
    pub(super) ears: Ears,
    /// The time at the last round.
    pub(super) latest: Time,
    /// Why the policies were last refused.
    pub(super) refused: Option<String>,
    /// Why the account does not fit the policies in force any more.
    pub(super) unfit: Option<String>,
    /// What the account was last found to suffer from.
    pub(super) checked: watch::Sender<Option<Checked>>,
    /// The operator's own levels where this process has changed them.
    pub(super) bases: watch::Sender<Vec<Base>>,
    /// Requests to AWS that were counted already, by service, operation and code.
    pub(super) counted: BTreeMap<(String, String, String), u64>,
}

impl<C: Cloud> Driver<C> {
    pub(super) fn new(
        cloud: Arc<C>,
        options: Options,
        events: mpsc::UnboundedSender<Event>,
        controller: Controller<Planner>,
        kit: Kit,
    ) -> Self {
        let now = options.clock.now();
        options.metrics.reset(controller.setup());
        options.metrics.dry_run(!options.apply);
        // A start with bad policies fails.
        options.metrics.reloaded(true);
        let sight = Sight::new(controller.setup());
        let mut books: BTreeMap<String, Book> = (options.recovered.heard.iter())
            .map(|(queue, heard)| (queue.clone(), Book::after(heard, now)))
            .collect();
        if let Some(latest) = options.recovered.heard.values().map(|heard| heard.latest).max() {
            // Of queues in which nothing has been for long: of what came while nobody was here.
            for queue in sight.queue_names() {
                let heard = || Heard {
                    latest,
                    ..Heard::default()
                };
                books.entry(queue.clone()).or_insert_with(|| Book::after(&heard(), now));
            }
        }
        let mut cadence = Cadence::new(options.periods);
        cadence.set_parts(sight.parts());
        let metrics = Arc::clone(&options.metrics);
        let writer = Writer::start(options.store.clone(), options.retention, metrics, options.clock);
        writer.own(&options.recovered, &kit.identity);
        Self {
            actuator: Actuator::new(Arc::clone(&cloud), events.clone(), &options),
            cloud,
            kit,
            events,
            controller,
            sight,
            cadence,
            meter: Meter::default(),
            books,
            sizes: Sizes::default(),
            orders: Orders::default(),
            waits: Waits::new(now),
            flood: Flood::default(),
            writer,
            teller: Teller::default(),
            effects: Vec::new(),
            wake_at: Time::FAR_FUTURE,
            numbers: BTreeMap::new(),
            armed: BTreeMap::new(),
            noted: options.recovered.leases.clone(),
            leads_until: Some(Time::FAR_FUTURE),
            inherits: None,
            hears: options.events,
            ears: Ears::default(),
            latest: now,
            refused: None,
            unfit: None,
            checked: watch::Sender::new(None),
            bases: watch::Sender::new(Vec::new()),
            counted: BTreeMap::new(),
            options,
        }
    }

    /// The hourly look at the account, which goes on beside the loop.
    pub(super) fn checks(&self) -> Checks<C> {
        Checks {
            cloud: Arc::clone(&self.cloud),
            policies: self.options.policies.clone(),
            policy: Some(self.kit.policy.clone()),
            clock: self.options.clock,
            metrics: Arc::clone(&self.options.metrics),
            told: self.checked.clone(),
            tag: self.options.tag.clone().map(|(key, value)| Tag { key, value }),
            bases: self.bases.subscribe(),
        }
    }

    pub(super) fn now(&self) -> Time {
        self.options.clock.now()
    }

    pub(super) fn environment(&self, name: &str) -> Option<EnvironmentIndex> {
        self.sight.environment(name)
    }

    /// Whether it waits for hints.
    pub(super) const fn listens(&self) -> bool {
        self.options.events
    }

    /// Takes environments that were read at the start.
    pub(super) fn see(&mut self, environments: Vec<EnvironmentRead>) {
        let now = self.now();
        self.meter.add(now, Part::Environments.cost());
        self.sight.environments(now, environments);
    }

    /// Runs until it is asked to stop. Fails if something is left raised then that nothing puts back.
    pub(super) async fn drive(
        mut self,
        mut inbox: mpsc::UnboundedReceiver<Event>,
        leads: watch::Sender<bool>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut reload = self.options.reload.clone();
        let mut leadership = self.options.leads.clone().filter(|_| self.options.apply);
        // A dry run listens as well: nobody else does.
        let listens = |driver: &Self| driver.leads() || driver.options.leads.is_none();
        let _ = leads.send(listens(&self));
        loop {
            let now = self.now();
            self.mind_clock(now);
            self.begin_reading(now);
            self.writer.tidy(now);
            let next = self.wake_at.min(self.cadence.next(now, &self.circumstances()));
            let sleep = next.since(now).max(Span::from_millis(1)).min(SLEEP_MOST);
            tokio::select! {
                () = stop.cancelled() => break,
                Some(event) = inbox.recv() => {
                    let mut look = self.take(event);
                    while let Ok(event) = inbox.try_recv() {
                        look |= self.take(event);
                    }
                    if look {
                        self.step(Input::Observed);
                    }
                }
                Ok(()) = reload.changed() => {
                    self.options.supervisor.reloading();
                    self.read_policies();
                }
                until = changed(&mut leadership) => {
                    self.lead(until);
                    let _ = leads.send(listens(&self));
                }
                () = self.options.clock.wait(sleep) => {
                    if self.wake_at <= self.now() {
                        self.step(Input::Observed);
                    }
                }
            }
            self.options.supervisor.turned(&self.options.snapshot.borrow());
        }
        self.stop(inbox).await
    }

    /// A time that is not what it should be is told. Nothing is thrown away on its account: it may be corrected soon.
    fn mind_clock(&mut self, now: Time) {
        let passed = now.since(self.latest);
        if passed + CLOCK_SLACK < Span::ZERO {
            tracing::warn!(from = %self.latest, to = %now, "The clock was set back; everything is read again");
            self.sight.no_later_than(now);
        } else if passed > STOOD_STILL {
            tracing::warn!(from = %self.latest, to = %now, "The process stood still, or the clock was set forward");
            self.writer.tidy_later(now);
        }
        self.latest = now;
    }

    /// Hands over or restores; what is being sent may still be answered. Out within ten seconds.
    async fn stop(mut self, mut inbox: mpsc::UnboundedReceiver<Event>) -> anyhow::Result<()> {
        // Whoever wants us gone waits by the time of this machine, whatever the account's clock does.
        self.options.supervisor.stopping();
        let took = clock::Stopwatch::start();
        let restore = self.options.on_stop == OnStop::Restore || !self.options.guard;
        let input = if restore { Input::Restore } else { Input::Stop };
        self.step(input.clone());
        loop {
            let sending = (0..self.controller.setup().environments.len())
                .map(EnvironmentIndex::at)
                .any(|environment| self.controller.is_sending(environment));
            let restoring = restore && self.leads() && !self.leases().is_empty();
            if took.seconds() >= STOP_MOST.seconds_f64() || !(sending || restoring || self.actuator.is_busy()) {
                break;
            }
            match clock::within(STOP_STEP, inbox.recv()).await {
                Some(Some(event @ (Event::Committed(..) | Event::Armed(..) | Event::Sent(..)))) => {
                    self.take(event);
                }
                Some(Some(Event::Read(..) | Event::Hints(_) | Event::Policy(_)) | None) | None => {}
            }
            if restore {
                self.step(input.clone());
            }
        }
        let left = self.leases();
        tracing::info!(left = left.len(), restore, "Stopped");
        self.note_leases();
        self.tell();
        let unguarded = self.leads() && !self.options.guard && !left.is_empty();
        let _ = clock::within(FLUSH_MOST, self.writer.end()).await;
        if unguarded { Err(still_raised(&left)) } else { Ok(()) }
    }

    pub(super) fn circumstances(&self) -> Circumstances {
        let of = |holds: &dyn Fn(EnvironmentIndex) -> bool| -> BTreeSet<String> {
            let names = self.sight.environment_names().iter().enumerate();
            names
                .filter(|(position, _)| holds(EnvironmentIndex::at(*position)))
                .map(|(_, name)| name.clone())
                .collect()
        };
        Circumstances {
            events: self.options.events && self.hears,
            silent: self.ears.silent().clone(),
            open: of(&|environment| self.sight.is_open(environment)),
            stuck: of(&|environment| self.sight.is_stuck(environment)),
        }
    }

    pub(super) fn begin_reading(&mut self, now: Time) {
        let circumstances = self.circumstances();
        // Who stands by receives none: they are for the one that leads.
        let heard = circumstances.events && (self.leads() || self.options.leads.is_none());
        for part in self.cadence.due(now, &circumstances) {
            let book = match &part {
                Part::Jobs(name) => {
                    let book = self.books.entry(name.clone()).or_default();
                    if !heard || circumstances.silent.contains(name) {
                        book.miss(now);
                    }
                    Some(&*book)
                }
                Part::Environments
                | Part::Queues
                | Part::Instances(_)
                | Part::Launches(_)
                | Part::Messages(_)
                | Part::Oldest(_)
                | Part::Quota(_)
                | Part::Topology
                | Part::Prices => None,
            };
            let setup = self.controller.setup();
            let needs = reading::needs(&part, now, &self.sight, setup, book, &self.sizes, self.options.guard);
            if !matches!(part, Part::Jobs(_)) {
                self.meter.add(now, part.cost());
            }
            let (cloud, events) = (Arc::clone(&self.cloud), self.events.clone());
            tokio::spawn(async move {
                let found = reading::read(cloud, part.clone(), now, needs).await;
                let _ = events.send(Event::Read(part, now, found));
            });
        }
    }

    /// Takes what somebody tells. Says whether the controller should look.
    pub(super) fn take(&mut self, event: Event) -> bool {
        match event {
            Event::Read(part, began, found) => self.take_read(&part, began, found),
            Event::Hints(hints) => self.take_hints(hints),
            Event::Committed(name, result) => {
                self.teller.committed(&name, result.as_ref().err().map(String::as_str));
                if let Ok(number) = result {
                    self.numbers.insert(name.clone(), number);
                }
                let result = result.map(|_| ()).map_err(|_| Failed);
                self.step_of(&name, |environment| Input::Committed(environment, result));
                false
            }
            Event::Armed(name, fires, result) => {
                self.actuator.answered();
                self.teller.armed(&name, result.as_ref().err().map(String::as_str));
                if self.options.guard && result.is_ok() {
                    self.armed.insert(name.clone(), self.now());
                }
                if result.is_err() {
                    self.options.metrics.failed("guard");
                }
                let result = result.map_err(|_| Failed);
                self.step_of(&name, |environment| Input::Armed(environment, fires, result));
                false
            }
            Event::Sent(name, answer) => {
                self.actuator.answered();
                self.teller.sent(&name, &answer);
                if !answer.message.starts_with(NOT_SENT) {
                    self.options.metrics.ended(&name, answer.outcome);
                }
                let number = self.numbers.remove(&name);
                self.step_of(&name, |environment| Input::Finished(environment, answer.outcome));
                let ended = Ended {
                    at: self.now(),
                    outcome: answer.outcome,
                    message: answer.message,
                };
                if let Some(number) = number {
                    self.finish(number, ended);
                }
                false
            }
            Event::Policy(policy) => {
                match policy {
                    Ok(policy) => self.recompile(Some(*policy), None),
                    Err(problems) => self.refuse(&render(&problems)),
                }
                self.options.supervisor.reloaded();
                self.tell();
                false
            }
        }
    }

    pub(super) fn take_read(&mut self, part: &Part, began: Time, found: Read<Found>) -> bool {
        self.cadence.ended(part, found.is_ok());
        let now = self.now();
        let found = match found {
            Ok(found) => found,
            Err(unread) => {
                self.options.metrics.failed("reading");
                if self.sight.could_not(part, now, &unread) {
                    let error = printable(&unread.message);
                    tracing::warn!(part = ?part, %error, "Could not be read");
                }
                self.read_settled();
                return true;
            }
        };
        if self.sight.could(part) {
            tracing::info!(part = ?part, "Can be read again");
        }
        match reading::fold(&mut self.sight, self.controller.setup(), part, began, found) {
            Some(Found::Jobs(listed)) => {
                if let Part::Jobs(name) = part {
                    self.take_jobs(name, began, *listed);
                }
            }
            Some(Found::Queues(queues)) => {
                for queue in queues {
                    let told = self
                        .orders
                        .read(orders::Subject::Queue(queue.name.clone()), &queue.tags);
                    if let (Some(order), Some(index)) = (told, self.sight.queue(&queue.name)) {
                        self.order(Subject::Queue(index), order);
                    }
                    self.sight.queue_tags.insert(queue.name, queue.tags);
                }
            }
            Some(Found::Launches(launches)) => {
                if let Part::Launches(name) = part {
                    let new = self.sight.launches(name, launches);
                    self.teller.refused(name, &new, &self.options.metrics, now);
                }
            }
            Some(Found::Topology(topology, guards)) => {
                let stands = |name: &String| guards.iter().any(|guard| guard.environment == *name);
                self.armed.retain(|name, since| *since >= began || stands(name));
                for guard in &guards {
                    self.armed.entry(guard.environment.clone()).or_insert(began);
                }
                self.recompile(None, Some((*topology, guards, began)));
            }
            Some(
                Found::Environments(_)
                | Found::Instances(_)
                | Found::Messages(_)
                | Found::Oldest(_)
                | Found::Quota(_)
                | Found::Prices(_),
            )
            | None => {}
        }
        if matches!(part, Part::Instances(_)) && self.sight.lacks_prices() {
            self.cadence.want(&Part::Prices);
        }
        if *part == Part::Environments {
            self.take_orders();
            self.watch_tags();
            self.watch_bases();
        }
        self.read_settled();
        true
    }

    /// Quotas that had to wait for our own instances.
    fn read_settled(&mut self) {
        for code in self.sight.settled(self.controller.setup()) {
            self.cadence.forget(&Part::Quota(code));
        }
    }

    /// Steps the controller for an environment that is still there.
    pub(super) fn step_of(&mut self, name: &str, input: impl FnOnce(EnvironmentIndex) -> Input) {
        if let Some(environment) = self.sight.environment(name) {
            self.step(input(environment));
        }
    }

    /// Steps the controller and hands out what follows.
    pub(super) fn step(&mut self, input: Input) {
        let now = self.now();
        let looks = matches!(input, Input::Observed);
        let mut effects = std::mem::take(&mut self.effects);
        let took = clock::Stopwatch::start();
        self.controller.step(now, &self.sight.observation, input, &mut effects);
        let took = took.seconds();
        self.wake_at = Time::FAR_FUTURE;
        for effect in effects.drain(..) {
            self.perform(now, effect);
        }
        self.effects = effects;
        self.finish_unsent();
        self.note_leases();
        if looks {
            let (setup, plan) = (self.controller.setup(), self.controller.plan());
            self.options
                .metrics
                .planned(setup, &self.sight.observation, plan, now, took);
            for (queue, full) in full_queues(setup, plan, &self.sight.observation) {
                self.waits.full(queue, full, now);
            }
            self.tell();
        }
    }

    /// Says what is worth saying, once.
    pub(super) fn tell(&mut self) {
        let now = self.now();
        if let Some(tick) = self.teller.changes(&self.controller, &self.sight, now) {
            self.writer.tick(tick);
        }
        self.count_requests();
        let snapshot = super::telling::snapshot(self, now);
        self.count(&snapshot);
        self.options.snapshot.send_replace(snapshot);
        let bases = changed_bases(self.controller.setup(), self.controller.memory());
        self.bases.send_replace(bases);
    }
}

/// What a stop could not put back in time, where no guard does it either.
fn still_raised(leases: &Leases) -> anyhow::Error {
    let each = leases.iter().map(|(name, (lease, _))| {
        let (min, name) = (lease.min_vcpus, printable(name));
        format!("minvCpus of {name} may stand at {min}\n  hint: autotune release --environment '{name}' --min-vcpus N")
    });
    let each: Vec<String> = each.collect();
    anyhow::anyhow!(
        "stopped before base was put back, and no guard does it:\n{}",
        each.join("\n")
    )
}

/// Whether every environment of each queue is full: at its maximum, at its service quota, or not to be used at all.
fn full_queues<'a>(
    setup: &'a Setup,
    plan: &'a Plan,
    observation: &'a Observation,
) -> impl Iterator<Item = (&'a str, bool)> {
    let full = |index: &EnvironmentIndex| {
        let seen = observation.environments.get(index.position());
        let (Some(now), Some(of)) = (seen.and_then(Seen::value), setup.environments.get(index.position())) else {
            return false;
        };
        let at_quota = |reason: &Reason| {
            reason.subject == Subject::Environment(*index)
                && matches!(reason.because, Because::Limit(Limit::Quota(..), _))
        };
        !now.valid
            || !now.enabled
            || now.desired_vcpus + of.smallest > now.max_vcpus
            || plan.reasons.iter().any(at_quota)
    };
    let queues = setup.queues.iter();
    queues.map(move |queue| {
        let all = !queue.environments.is_empty() && queue.environments.iter().all(full);
        (queue.name.as_str(), all)
    })
}

/// The next word on who leads; never, where nobody tells.
async fn changed(leads: &mut Option<watch::Receiver<Option<Time>>>) -> Option<Time> {
    if let Some(leads) = leads
        && leads.changed().await.is_ok()
    {
        return *leads.borrow_and_update();
    }
    std::future::pending().await
}
