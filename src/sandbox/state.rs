//! The account itself: the simulated world, and beside it what the world does not know: names, tags, messages, schedules. One
//! task owns it; nothing in here waits or reads a clock.

use std::collections::{BTreeMap, VecDeque};

use super::activities::Activities;
use super::definitions::Definitions;
use super::faults::{Faults, Throttles};
use super::flaws::{Flaw, Flaws};
use super::ids::{Names, Subject, name_in};
use super::jobs::Book;
use super::schedules::Schedules;
use super::sqs::Sqs;
use crate::catalog::{InstanceType, Purchase};
use crate::clock::Pace;
use crate::ids::{EnvironmentIndex, JobIndex, QueueIndex};
use crate::simulate::scenario::Scenario;
use crate::simulate::view::ViewModel;
use crate::simulate::world::{Change, Phase, Refusal, Told, World};
use crate::trace::Trace;
use crate::units::{MicroUsd, Span, Time};

/// What a simulated account is made from.
#[derive(Clone, Debug)]
pub struct Options {
    /// The account, its environments and queues.
    pub scenario: Scenario,
    /// Jobs and messages that come by themselves; may be empty.
    pub trace: Trace,
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// Twelve digits.
    pub account: String,
    /// For example `eu-central-1`.
    pub region: String,
    /// How late and how wrong what is told is.
    pub view: ViewModel,
    /// When it begins, if the trace is empty; otherwise it begins five minutes before the first job.
    pub idle_from: Time,
}

/// Something of ours that happens at a set time.
#[derive(Debug)]
pub(super) enum Due {
    /// A job becomes RUNNING, in this attempt.
    Running(JobIndex, u8),
    /// An event reaches the events queue.
    Event(String),
    /// A schedule fires, if it still has this number.
    Schedule(String, u64),
}

/// Whose hand scales an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hand {
    /// Whoever has the sandbox's credentials.
    Credentials,
    /// EventBridge Scheduler, for a schedule.
    Schedule,
    /// Somebody else.
    Other,
}

/// An update of an environment's vCPUs that was taken.
#[derive(Clone, Debug)]
pub(super) struct Scaled {
    pub(super) at: Time,
    pub(super) by: Hand,
    pub(super) environment: String,
    pub(super) change: Change,
}

/// So many of them are remembered.
const SCALED_MOST: usize = 1_000;

/// The account.
#[derive(Debug)]
pub(super) struct State {
    pub(super) names: Names,
    pub(super) scenario: Scenario,
    pub(super) world: World<'static>,
    pub(super) view: ViewModel,
    pub(super) now: Time,
    /// How time goes; set by the owner.
    pub(super) pace: Pace,
    pub(super) book: Book,
    pub(super) definitions: Definitions,
    /// By ARN.
    pub(super) tags: BTreeMap<String, BTreeMap<String, String>>,
    pub(super) sqs: Sqs,
    pub(super) schedules: Schedules,
    pub(super) faults: Faults,
    pub(super) throttles: Throttles,
    pub(super) flaws: Flaws,
    pub(super) activities: Activities,
    /// When it began.
    pub(super) begun: Time,
    /// When somebody last changed each environment.
    pub(super) updated: BTreeMap<String, Time>,
    /// Who has scaled what, latest first.
    pub(super) scaled: VecDeque<Scaled>,
    agenda: BTreeMap<(Time, u64), Due>,
    serial: u64,
    pub(super) hints: u64,
    /// Requests so far, for their ids.
    pub(super) requests: u64,
}

impl State {
    /// An account just before its first job. Fails with every contradiction.
    pub(super) fn new(options: Options) -> Result<Self, Vec<String>> {
        let Options {
            scenario, trace, seed, ..
        } = options;
        let first = trace
            .jobs
            .iter()
            .filter(|job| !job.is_spawned())
            .map(|job| job.submit)
            .min();
        let start = first.map_or(options.idle_from, |first| first - Span::from_minutes(5));
        let names = Names {
            account: options.account,
            region: options.region,
            seed,
        };
        let sqs = Sqs::new(&trace.sqs_queues, start);
        let mut world = World::owning(&scenario, trace, seed, start)?;
        world.tell();
        let tags = scenario.environments.iter().map(|environment| {
            let arn = names.environment_arn(&environment.name);
            (arn, environment.tags.clone())
        });
        let mut state = Self {
            tags: tags.collect(),
            book: Book::new(scenario.queues.len()),
            definitions: Definitions::new(scenario.retries.attempts),
            schedules: Schedules::default(),
            faults: Faults::default(),
            throttles: Throttles::default(),
            flaws: Flaws::default(),
            activities: Activities::default(),
            begun: start,
            updated: BTreeMap::new(),
            scaled: VecDeque::new(),
            agenda: BTreeMap::new(),
            serial: 0,
            hints: 0,
            requests: 0,
            pace: Pace::new(start, 0),
            now: start,
            view: options.view,
            names,
            scenario,
            world,
            sqs,
        };
        state.hear();
        Ok(state)
    }

    /// When something happens next, if nobody interferes.
    pub(super) fn next(&self) -> Option<Time> {
        let own = self.agenda.first_key_value().map(|((at, _), _)| *at);
        [self.world.next_event(), own].into_iter().flatten().min()
    }

    /// Lets everything happen until then, each thing at its own time.
    pub(super) fn advance(&mut self, until: Time) {
        while let Some(next) = self.next().filter(|at| *at <= until) {
            self.world.advance(next);
            self.now = self.now.max(next);
            self.hear();
            while let Some(entry) = self.agenda.first_entry()
                && entry.key().0 <= next
            {
                let due = entry.remove();
                self.happen(due);
            }
        }
        self.now = self.now.max(until);
        self.world.advance(until);
        self.hear();
    }

    pub(super) fn plan(&mut self, at: Time, due: Due) {
        self.serial += 1;
        self.agenda.insert((at, self.serial), due);
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Running(job, attempt) => {
                let now = self.world.job(job);
                if now.is_some_and(|now| now.attempts == attempt && now.phase == Phase::Running) {
                    self.tell_of_job(job, self.now);
                }
            }
            Due::Event(_) if self.flaws.has(Flaw::NoEvents) => {}
            Due::Event(body) => self.sqs.put_event(body, self.now),
            Due::Schedule(name, number) => self.fire(&name, number),
        }
    }

    /// Takes note of what has happened in the world, and tells it as events.
    pub(super) fn hear(&mut self) {
        for told in self.world.take_told() {
            match told {
                Told::Job(at, job, phase) => {
                    let turns = self.book.note(&self.world, job, phase, at);
                    if phase == Phase::Starting
                        && let Some((now, (_, running))) = self.world.job(job).and_then(|now| Some((now, now.attempt?)))
                    {
                        self.plan(running, Due::Running(job, now.attempts));
                    }
                    if turns {
                        self.tell_of_parent(job, at);
                    }
                    self.tell_of_job(job, at);
                    if matches!(phase, Phase::Starting | Phase::Ended) {
                        self.tell_of_room(job, at);
                    }
                }
                Told::Instance(at, environment, instance) => self.tell_of_instance(environment, &instance, at),
                Told::Launch(at, environment, answer) => self.activities.note(environment, at, answer),
                Told::Interruption(at, environment, instance) => {
                    self.tell_of_interruption(&instance, at);
                    self.tell_of_instance(environment, &instance, at);
                }
            }
        }
    }

    /// The environment of this name or ARN.
    pub(super) fn environment(&self, name_or_arn: &str) -> Option<EnvironmentIndex> {
        let name = name_in("compute-environment", name_or_arn);
        let mut all = self.scenario.environments.iter();
        all.position(|spec| spec.name == name).map(EnvironmentIndex::at)
    }

    /// The queue of this name or ARN.
    pub(super) fn queue(&self, name_or_arn: &str) -> Option<QueueIndex> {
        let name = name_in("job-queue", name_or_arn);
        let mut all = self.scenario.queues.iter();
        all.position(|spec| spec.name == name).map(QueueIndex::at)
    }

    /// The environment or queue of this ARN.
    pub(super) fn subject(&self, arn: &str) -> Option<Subject> {
        let named = |found: &str, arn_of: String| found.len() < arn.len() && arn_of == arn;
        let environment = name_in("compute-environment", arn);
        let queue = name_in("job-queue", arn);
        if named(environment, self.names.environment_arn(environment)) {
            self.environment(environment).map(Subject::Environment)
        } else if named(queue, self.names.queue_arn(queue)) {
            self.queue(queue).map(Subject::Queue)
        } else {
            None
        }
    }

    pub(super) fn environment_name(&self, environment: EnvironmentIndex) -> &str {
        let spec = self.scenario.environments.get(environment.position());
        spec.map_or("", |spec| &spec.name)
    }

    pub(super) fn queue_name(&self, queue: QueueIndex) -> &str {
        let spec = self.scenario.queues.get(queue.position());
        spec.map_or("", |spec| &spec.name)
    }

    /// What a Spot Instance of a type costs per hour; not every type is told of.
    pub(super) fn spot_price(&self, instance_type: &InstanceType) -> Option<MicroUsd> {
        instance_type.spot_per_hour?;
        Some(self.scenario.price(instance_type, Purchase::Spot))
    }

    /// One scaling update, whoever makes it.
    pub(super) fn scale(&mut self, by: Hand, environment: EnvironmentIndex, change: &Change) -> Result<(), Refusal> {
        let answer = self.world.update_compute_environment(environment, change);
        self.hear();
        if answer.is_ok() {
            let name = self.environment_name(environment).to_owned();
            self.updated.insert(name.clone(), self.now);
            self.scaled.push_front(Scaled {
                at: self.now,
                by,
                environment: name,
                change: *change,
            });
            self.scaled.truncate(SCALED_MOST);
        }
        answer
    }

    /// The tags of an environment or queue.
    pub(super) fn tags_of(&self, arn: &str) -> BTreeMap<String, String> {
        self.tags.get(arn).cloned().unwrap_or_default()
    }
}
