//! What a controller sees of the world: late, coarse and sometimes not at all.
//!
//! The world is the truth; a view is what the account's APIs would tell of it. Whatever is read was true when it was read and
//! is acted on a little later; a listing stops once it has counted more than the queue's environments could ever run; SQS
//! counts are approximate; hints that something changed arrive late, twice or never.

use crate::ids::{EnvironmentIndex, QueueIndex};
use crate::observation::{Arrival, InstancesNow, Observation, QueueNow, QuotaNow, Seen, SqsNow, Tally};
use crate::setup::Setup;
use crate::simulate::draws::{Cause, draw, fraction};
use crate::simulate::world::World;
use crate::trace::Trace;
use crate::units::{Span, Time, Vcpus, f64_to_i64, i64_to_f64};

/// How imperfect the sight is. Every figure is assumed until measured in an account.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ViewModel {
    /// DescribeComputeEnvironments is called this often, and with every look for another reason.
    pub environments: Span,
    /// SQS queues are read this often.
    pub sqs: Span,
    /// Jobs are listed again this often although no hint came.
    pub resync: Span,
    /// Without hints, jobs are listed this often.
    pub poll: Span,
    /// Between a change of a job or a container instance and the hint of it: EventBridge to SQS to us. `None`: no hints,
    /// polls alone.
    pub hint: Option<Span>,
    /// Hints tell of environments and SQS messages too, which no service does.
    pub hints_of_everything: bool,
    /// Of a thousand hints, this many are lost; the next hint or poll finds the change.
    pub hints_lost_permille: u64,
    /// Of a thousand hints, this many come twice.
    pub hints_doubled_permille: u64,
    /// From reading the first page to deciding: what changes meanwhile is not seen.
    pub listing: Span,
    /// How old the counts in an array parent's `statusSummary` are. AWS Batch documents no freshness: assumed.
    pub summary_lag: Span,
    /// From deciding to the update's arrival at AWS Batch.
    pub sending: Span,
    /// To move the guard before a raise.
    pub arming: Span,
    /// SQS counts are wrong by up to this share.
    pub sqs_error_permille: i64,
}

impl ViewModel {
    /// What a daemon with events sees: EventBridge hints within a second or so, each part polled at its own pace.
    pub const fn recent() -> Self {
        Self {
            environments: Span::from_seconds(30),
            sqs: Span::from_seconds(15),
            resync: Span::from_minutes(5),
            poll: Span::from_seconds(60),
            hint: Some(Span::from_millis(1_200)),
            hints_of_everything: false,
            hints_lost_permille: 10,
            hints_doubled_permille: 10,
            listing: Span::from_millis(1_500),
            summary_lag: Span::from_seconds(10),
            sending: Span::from_millis(400),
            arming: Span::from_millis(300),
            sqs_error_permille: 50,
        }
    }

    /// Sees everything at once and without error: what imperfect sight costs is the difference to this.
    pub const fn perfect() -> Self {
        Self {
            hint: Some(Span::ZERO),
            hints_of_everything: true,
            hints_lost_permille: 0,
            hints_doubled_permille: 0,
            listing: Span::ZERO,
            summary_lag: Span::ZERO,
            sending: Span::ZERO,
            arming: Span::ZERO,
            sqs_error_permille: 0,
            ..Self::recent()
        }
    }
}

impl ViewModel {
    /// Approximate counts of SQS: wrong by a share that belongs to the true count, so that reading twice tells the same.
    pub fn approximate(&self, seed: u64, source: usize, truth: SqsNow) -> SqsNow {
        let entity = u64::try_from(source).unwrap_or(u64::MAX);
        let visible = u64::try_from(truth.visible).unwrap_or(0);
        let luck = fraction(draw(seed, Cause::SqsCount, entity, visible));
        let share = i64_to_f64(self.sqs_error_permille) / 1000.0 * (2.0 * luck - 1.0);
        let visible = f64_to_i64((i64_to_f64(truth.visible) * (1.0 + share)).round()).max(i64::from(truth.visible > 0));
        SqsNow { visible, ..truth }
    }
}

/// What is read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Environments,
    Instances,
    Jobs,
    Sqs,
    Quotas,
}

impl Part {
    pub(crate) const ALL: [Self; 5] = [Self::Environments, Self::Instances, Self::Jobs, Self::Sqs, Self::Quotas];

    /// Its position in tables of parts.
    pub(crate) const fn position(self) -> usize {
        match self {
            Self::Environments => 0,
            Self::Instances => 1,
            Self::Jobs => 2,
            Self::Sqs => 3,
            Self::Quotas => 4,
        }
    }

    /// How often it has changed.
    const fn generation(self, world: &World<'_>) -> u64 {
        let generations = world.generations();
        match self {
            Self::Environments => generations.environments,
            Self::Instances => generations.instances,
            Self::Jobs => generations.jobs,
            Self::Sqs => generations.sqs,
            // No scenario changes a quota while it runs.
            Self::Quotas => 0,
        }
    }
}

/// A set of parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts([bool; 5]);

impl Parts {
    pub(crate) const ALL: Self = Self([true; 5]);

    pub(crate) const fn of(parts: &[Part]) -> Self {
        let mut set = Self([false; 5]);
        let mut at = 0;
        while at < parts.len() {
            set.0[parts[at].position()] = true;
            at += 1;
        }
        set
    }

    pub(crate) fn has(self, part: Part) -> bool {
        self.0.get(part.position()).copied().unwrap_or(false)
    }

    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Part> {
        Part::ALL.into_iter().filter(move |part| self.has(*part))
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(std::array::from_fn(|at| {
            Part::ALL
                .get(at)
                .is_some_and(|part| self.has(*part) && other.has(*part))
        }))
    }

    pub(crate) fn or(self, other: Self) -> Self {
        Self(std::array::from_fn(|at| {
            Part::ALL
                .get(at)
                .is_some_and(|part| self.has(*part) || other.has(*part))
        }))
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self(std::array::from_fn(|at| {
            Part::ALL
                .get(at)
                .is_some_and(|part| self.has(*part) && !other.has(*part))
        }))
    }
}

/// Reads the world into an [`Observation`].
#[derive(Debug)]
pub(crate) struct View {
    model: ViewModel,
    seed: u64,
    /// Per SQS source of the setup: its position in the trace.
    sources: Vec<Option<usize>>,
    /// How far ahead the oracle sees; zero for everybody else.
    foresight: Span,
    hints: u64,
    /// No part is polled less often: older readings would not be acted on.
    seldomest: Span,
    start: Time,
    /// Per part: its generation when it was read.
    read: [Option<u64>; 5],
    observation: Observation,
    /// Room to read into.
    instances: InstancesNow,
    tally: Tally,
    arrivals: Vec<Arrival>,
}

impl View {
    pub(crate) fn new(
        setup: &Setup,
        trace: &Trace,
        model: ViewModel,
        foresight: Span,
        (seed, start): (u64, Time),
    ) -> Self {
        let sources = (setup.sqs_sources.iter())
            .map(|source| trace.sqs_queues.iter().position(|name| *name == source.name))
            .collect();
        Self {
            model,
            seed,
            sources,
            foresight,
            hints: 0,
            seldomest: setup.tempo.stale_after.scaled_down(1, 2),
            start,
            read: [None; 5],
            observation: Observation {
                environments: vec![Seen::default(); setup.environments.len()],
                instances: vec![Seen::default(); setup.environments.len()],
                queues: vec![QueueNow::default(); setup.queues.len()],
                sqs: vec![Seen::default(); setup.sqs_sources.len()],
                quotas: vec![Seen::default(); setup.quotas.len()],
                ..Observation::default()
            },
            instances: InstancesNow::default(),
            tally: Tally::default(),
            arrivals: Vec::new(),
        }
    }

    pub(crate) const fn observation(&self) -> &Observation {
        &self.observation
    }

    /// The parts of which hints tell.
    pub(crate) fn hinted(&self) -> Parts {
        match self.model.hint {
            None => Parts::default(),
            Some(_) if self.model.hints_of_everything => Parts::ALL,
            Some(_) => Parts::of(&[Part::Jobs, Part::Instances]),
        }
    }

    /// When the hints of a change arrive; none if they are lost.
    pub(crate) fn hint(&mut self, now: Time) -> Option<(Time, bool)> {
        let delay = self.model.hint?;
        self.hints += 1;
        let luck = draw(self.seed, Cause::Hint, self.hints, 0) % 1000;
        let lost = luck < self.model.hints_lost_permille;
        let doubled = luck >= 1000 - self.model.hints_doubled_permille;
        (!lost).then_some((now + delay, doubled))
    }

    /// How often a part is polled now. Container instances are watched while a raise is open: their registration ends it.
    fn every(&self, part: Part) -> Span {
        let every = match part {
            Part::Environments => self.model.environments,
            Part::Sqs => self.model.sqs,
            Part::Jobs if self.model.hint.is_none() => self.model.poll,
            Part::Instances if self.is_raise_open() => self.model.environments,
            Part::Jobs | Part::Instances => self.model.resync,
            Part::Quotas => Span::from_minutes(60),
        };
        every.min(self.seldomest).max(Span::from_seconds(1))
    }

    /// Whether some environment has been asked for more than is there, as far as seen.
    fn is_raise_open(&self) -> bool {
        let both = self.observation.environments.iter().zip(&self.observation.instances);
        both.filter_map(|(levels, instances)| Some((levels.value()?, instances.value()?)))
            .any(|(levels, instances)| levels.desired_vcpus.max(levels.min_vcpus) > instances.there)
    }

    /// The part's first poll at `from` or later. Polls stand on a grid whose phase is drawn, so that a poll that is left out
    /// moves no other.
    pub(crate) fn poll(&self, part: Part, from: Time) -> Time {
        let (every, phase) = (self.every(part), self.phase(part));
        let polls = (from - phase).since(self.start).millis() + every.millis() - 1;
        self.start + phase + every.times(polls.div_euclid(every.millis()).max(0))
    }

    fn phase(&self, part: Part) -> Span {
        let entity = u64::try_from(part.position()).unwrap_or(u64::MAX);
        let luck = fraction(draw(self.seed, Cause::PollPhase, entity, 0));
        Span::from_millis(f64_to_i64(i64_to_f64(self.every(part).millis()) * luck))
    }

    /// The parts that have changed since they were read.
    pub(crate) fn behind(&self, world: &World<'_>) -> Parts {
        let generations = Part::ALL.map(|part| part.generation(world));
        Parts(std::array::from_fn(|at| {
            self.read.get(at).copied().flatten() != generations.get(at).copied()
        }))
    }

    /// How often what hints tell of has changed.
    pub(crate) fn hinted_changes(&self, world: &World<'_>) -> u64 {
        self.hinted().iter().map(|part| part.generation(world)).sum()
    }

    /// Parts that have not changed are as old as their last poll, whether that was made or left out.
    pub(crate) fn age(&mut self, world: &World<'_>) {
        let behind = self.behind(world);
        for part in Part::ALL.into_iter().filter(|part| !behind.has(*part)) {
            let every = self.every(part);
            let polled = self.poll(part, world.now() + Span::from_millis(1)) - every;
            if polled >= self.start {
                self.refresh(part, polled);
            }
        }
    }

    fn refresh(&mut self, part: Part, at: Time) {
        fn raise<T>(part: &mut Seen<T>, at: Time) {
            if part.at() < at {
                part.refresh(at);
            }
        }
        let seen = &mut self.observation;
        match part {
            Part::Environments => seen.environments.iter_mut().for_each(|part| raise(part, at)),
            Part::Instances => seen.instances.iter_mut().for_each(|part| raise(part, at)),
            Part::Jobs => {
                for queue in &mut seen.queues {
                    raise(&mut queue.runnable, at);
                    raise(&mut queue.placed, at);
                    raise(&mut queue.head, at);
                }
            }
            Part::Sqs => seen.sqs.iter_mut().for_each(|part| raise(part, at)),
            Part::Quotas => seen.quotas.iter_mut().for_each(|part| raise(part, at)),
        }
    }

    /// Reads these parts.
    pub(crate) fn read(&mut self, parts: Parts, setup: &Setup, world: &World<'_>) {
        let behind = self.behind(world);
        let mut changed = false;
        for part in parts.iter() {
            if behind.has(part) {
                changed |= match part {
                    Part::Environments => self.read_environments(world),
                    Part::Instances => self.read_instances(world),
                    Part::Jobs => self.read_queues(setup, world),
                    Part::Sqs => self.read_sqs(world),
                    Part::Quotas => self.read_quotas(setup, world),
                };
                if let Some(read) = self.read.get_mut(part.position()) {
                    *read = Some(part.generation(world));
                }
            } else {
                self.refresh(part, world.now());
            }
        }
        if self.foresight > Span::ZERO {
            world.upcoming(self.foresight, &mut self.arrivals);
            changed |= self.arrivals != self.observation.arrivals;
            self.observation.arrivals.clone_from(&self.arrivals);
        }
        self.observation.generation += u64::from(changed);
    }

    fn read_environments(&mut self, world: &World<'_>) -> bool {
        let mut changed = false;
        for (position, part) in self.observation.environments.iter_mut().enumerate() {
            let mut levels = world.environment(EnvironmentIndex::at(position));
            changed |= take_over(part, &mut levels, true, world.now());
        }
        changed
    }

    fn read_instances(&mut self, world: &World<'_>) -> bool {
        let mut changed = false;
        for (position, part) in self.observation.instances.iter_mut().enumerate() {
            let environment = EnvironmentIndex::at(position);
            let found = &mut self.instances;
            world.rooms(environment, &mut found.rooms);
            world.types(environment, &mut found.types);
            (found.there, found.used) = (world.there(environment), world.used(environment));
            found.capacity_error = world.capacity_error(environment);
            found.registered = world.registered(environment);
            changed |= take_over(part, found, true, world.now());
        }
        changed
    }

    fn read_queues(&mut self, setup: &Setup, world: &World<'_>) -> bool {
        let now = world.now();
        let mut changed = false;
        for (position, seen) in self.observation.queues.iter_mut().enumerate() {
            let queue = QueueIndex::at(position);
            let environments = setup.queues.get(position).map(|queue| queue.environments.iter());
            let max = |environment: &EnvironmentIndex| world.environment(*environment).max_vcpus;
            let most = environments.into_iter().flatten().map(max).sum();
            let exact = list(&mut self.tally, world.runnable(queue), most);
            changed |= take_over(&mut seen.runnable, &mut self.tally, exact, now);
            self.tally.copy_from(world.placed(queue));
            changed |= take_over(&mut seen.placed, &mut self.tally, true, now);
            changed |= take_over(&mut seen.head, &mut world.head(queue), true, now);
            let not_demand = world.not_demand(queue);
            changed |= seen.not_demand != not_demand || seen.multi_node != *world.multi_node(queue);
            seen.not_demand = not_demand;
            seen.multi_node.copy_from(world.multi_node(queue));
        }
        changed
    }

    fn read_sqs(&mut self, world: &World<'_>) -> bool {
        let mut changed = false;
        for position in 0..self.sources.len() {
            let mut counts = self.sources[position].map_or(SqsNow::default(), |source| {
                self.model.approximate(self.seed, source, world.sqs(source))
            });
            changed |= take_over(&mut self.observation.sqs[position], &mut counts, true, world.now());
        }
        changed
    }

    fn read_quotas(&mut self, setup: &Setup, world: &World<'_>) -> bool {
        let mut changed = false;
        for (quota, part) in setup.quotas.iter().zip(&mut self.observation.quotas) {
            let mut seen = world.quota(&quota.code).unwrap_or(QuotaNow {
                limit: Vcpus::MAX,
                used_by_others: Vcpus::ZERO,
            });
            changed |= take_over(part, &mut seen, true, world.now());
        }
        changed
    }
}

/// Takes over what was read, and says whether it is another than before. The old value is left in `found`, for its room.
fn take_over<T: Default + PartialEq>(part: &mut Seen<T>, found: &mut T, exact: bool, now: Time) -> bool {
    let changed = part.value() != Some(&*found) || part.is_exact() != exact;
    let mut value = match std::mem::take(part) {
        Seen::Exactly(_, value) | Seen::AtLeast(_, value) => value,
        Seen::Missing(_) => T::default(),
    };
    std::mem::swap(&mut value, found);
    *part = if exact {
        Seen::Exactly(now, value)
    } else {
        Seen::AtLeast(now, value)
    };
    changed
}

/// Lists until more is counted than could ever run; says whether everything was.
fn list(into: &mut Tally, truth: &Tally, most: Vcpus) -> bool {
    if truth.vcpus() <= most {
        into.copy_from(truth);
        return true;
    }
    into.clear();
    let mut counted = Vcpus::ZERO;
    for (shape, jobs) in truth.rows() {
        into.add(*shape, jobs);
        counted += shape.resources.vcpus.times(jobs);
        if counted > most {
            break;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each part is read at its own pace, on a grid of its own: SQS every 15 s, environments every 30 s, jobs every 5 min while
    /// hints come and every minute without.
    #[test]
    fn every_part_is_polled_at_its_own_pace() {
        let setup = Setup::default();
        let start = Time::from_seconds(1_000_000);
        let without_hints = ViewModel {
            hint: None,
            ..ViewModel::recent()
        };
        let table = [
            (ViewModel::recent(), Part::Environments, 30),
            (ViewModel::recent(), Part::Sqs, 15),
            (ViewModel::recent(), Part::Jobs, 300),
            (ViewModel::recent(), Part::Instances, 300),
            (without_hints, Part::Jobs, 60),
        ];
        for (model, part, seconds) in table {
            let view = View::new(&setup, &Trace::default(), model, Span::ZERO, (7, start));
            let first = view.poll(part, start);
            let second = view.poll(part, first + Span::from_millis(1));
            assert!(first >= start, "{part:?}");
            assert_eq!(second.since(first), Span::from_seconds(seconds), "{part:?}");
        }
    }
}
