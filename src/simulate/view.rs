//! What a controller sees of the world: late, coarse and sometimes not at all.
//!
//! The world is the truth; a view is what the account's APIs would tell of it. Whatever is read was true when it was read and
//! is acted on a little later; a listing stops once it has counted more than the queue's environments could ever run; SQS
//! counts are approximate; hints that something changed arrive late, twice or never.

use crate::ids::{EnvironmentIndex, QueueIndex};
use crate::observation::{InstancesNow, Observation, QueueNow, QuotaNow, Seen, SqsNow, Tally};
use crate::setup::Setup;
use crate::simulate::draws::{Cause, draw, fraction};
use crate::simulate::world::World;
use crate::trace::Trace;
use crate::units::{Span, Time, Vcpus, f64_to_i64, i64_to_f64};

/// How imperfect the sight is. Every figure is assumed until measured in an account.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ViewModel {
    /// Everything is read at least this often.
    pub poll: Span,
    /// Between a change and the hint of it: EventBridge to SQS to us. `None`: no hints, polls alone.
    pub hint: Option<Span>,
    /// Of a thousand hints, this many are lost; the next poll finds the change.
    pub hints_lost_permille: u64,
    /// Of a thousand hints, this many come twice.
    pub hints_doubled_permille: u64,
    /// From reading the first page to deciding: what changes meanwhile is not seen.
    pub listing: Span,
    /// From deciding to the update's arrival at AWS Batch.
    pub sending: Span,
    /// To move the guard before a raise.
    pub arming: Span,
    /// SQS counts are wrong by up to this share.
    pub sqs_error_permille: i64,
}

impl ViewModel {
    /// What a daemon with events sees: EventBridge hints within a second or so, a full poll every minute.
    pub const fn recent() -> Self {
        Self {
            poll: Span::from_seconds(60),
            hint: Some(Span::from_millis(1_200)),
            hints_lost_permille: 10,
            hints_doubled_permille: 10,
            listing: Span::from_millis(1_500),
            sending: Span::from_millis(400),
            arming: Span::from_millis(300),
            sqs_error_permille: 50,
        }
    }

    /// Sees everything at once and without error: what imperfect sight costs is the difference to this.
    pub const fn perfect() -> Self {
        Self {
            poll: Span::from_seconds(60),
            hint: Some(Span::ZERO),
            hints_lost_permille: 0,
            hints_doubled_permille: 0,
            listing: Span::ZERO,
            sending: Span::ZERO,
            arming: Span::ZERO,
            sqs_error_permille: 0,
        }
    }
}

/// Reads the world into an [`Observation`].
#[derive(Debug)]
pub(crate) struct View {
    model: ViewModel,
    seed: u64,
    /// Per queue: what its environments could ever run, in vCPUs.
    most: Vec<Vcpus>,
    /// Per SQS source of the setup: its position in the trace.
    sources: Vec<Option<usize>>,
    /// How far ahead the oracle sees; zero for everybody else.
    foresight: Span,
    hints: u64,
    seen: Option<u64>,
    observation: Observation,
}

impl View {
    pub(crate) fn new(setup: &Setup, trace: &Trace, model: ViewModel, foresight: Span, seed: u64) -> Self {
        let sources = (setup.sqs_sources.iter())
            .map(|source| trace.sqs_queues.iter().position(|name| *name == source.name))
            .collect();
        Self {
            model,
            seed,
            most: vec![Vcpus::ZERO; setup.queues.len()],
            sources,
            foresight,
            hints: 0,
            seen: None,
            observation: Observation {
                environments: vec![Seen::default(); setup.environments.len()],
                instances: vec![Seen::default(); setup.environments.len()],
                queues: vec![QueueNow::default(); setup.queues.len()],
                sqs: vec![Seen::default(); setup.sqs_sources.len()],
                quotas: vec![Seen::default(); setup.quotas.len()],
                ..Observation::default()
            },
        }
    }

    pub(crate) const fn observation(&self) -> &Observation {
        &self.observation
    }

    /// The first poll: its phase is drawn.
    pub(crate) fn first_poll(&self, start: Time) -> Time {
        let phase = i64_to_f64(self.model.poll.millis()) * fraction(draw(self.seed, Cause::PollPhase, 0, 0));
        start + Span::from_millis(f64_to_i64(phase))
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

    /// Whether the world has changed since it was last read.
    pub(crate) fn is_behind(&self, world: &World<'_>) -> bool {
        self.seen != Some(world.generation())
    }

    /// Reads everything.
    pub(crate) fn read(&mut self, setup: &Setup, world: &World<'_>) {
        let now = world.now();
        let behind = self.is_behind(world);
        for position in 0..setup.environments.len() {
            self.read_environment(world, EnvironmentIndex::at(position), behind);
        }
        for (position, queue) in setup.queues.iter().enumerate() {
            let max = |environment: &EnvironmentIndex| world.environment(*environment).max_vcpus;
            self.most[position] = queue.environments.iter().map(max).sum();
            self.read_queue(world, QueueIndex::at(position), behind);
        }
        for (position, quota) in setup.quotas.iter().enumerate() {
            let seen = world.quota(&quota.code).unwrap_or(QuotaNow {
                limit: Vcpus::MAX,
                used_by_others: Vcpus::ZERO,
            });
            self.observation.quotas[position] = Seen::Exactly(now, seen);
        }
        for position in 0..self.sources.len() {
            let counts =
                self.sources[position].map_or(SqsNow::default(), |source| self.blurred(source, world.sqs(source)));
            self.observation.sqs[position] = Seen::Exactly(now, counts);
        }
        if self.foresight > Span::ZERO {
            world.upcoming(self.foresight, &mut self.observation.arrivals);
        }
        if behind || self.foresight > Span::ZERO {
            self.observation.generation += 1;
        }
        self.seen = Some(world.generation());
    }

    fn read_environment(&mut self, world: &World<'_>, environment: EnvironmentIndex, behind: bool) {
        let (now, position) = (world.now(), environment.position());
        self.observation.environments[position] = Seen::Exactly(now, world.environment(environment));
        let part = &mut self.observation.instances[position];
        if !behind {
            part.refresh(now);
            return;
        }
        let mut rooms = match part {
            Seen::Exactly(_, instances) | Seen::AtLeast(_, instances) => std::mem::take(&mut instances.rooms),
            Seen::Missing(_) => Vec::new(),
        };
        world.rooms(environment, &mut rooms);
        *part = Seen::Exactly(
            now,
            InstancesNow {
                there: world.there(environment),
                used: world.used(environment),
                rooms,
                capacity_error: world.capacity_error(environment),
                registered: world.registered(environment),
            },
        );
    }

    fn read_queue(&mut self, world: &World<'_>, queue: QueueIndex, behind: bool) {
        let (now, position) = (world.now(), queue.position());
        let seen = &mut self.observation.queues[position];
        if !behind {
            seen.runnable.refresh(now);
            seen.placed.refresh(now);
            return;
        }
        let complete = list(&mut seen.runnable, world.runnable(queue), self.most[position], now);
        if !complete && let Seen::Exactly(at, tally) = &mut seen.runnable {
            seen.runnable = Seen::AtLeast(*at, std::mem::take(tally));
        }
        copy(&mut seen.placed, world.placed(queue), now);
        seen.not_demand = world.not_demand(queue);
    }

    /// Approximate counts: wrong by a share that belongs to the true count, so that reading twice tells the same.
    fn blurred(&self, source: usize, truth: SqsNow) -> SqsNow {
        let entity = u64::try_from(source).unwrap_or(u64::MAX);
        let luck = fraction(draw(
            self.seed,
            Cause::SqsCount,
            entity,
            u64::try_from(truth.visible).unwrap_or(0),
        ));
        let share = i64_to_f64(self.model.sqs_error_permille) / 1000.0 * (2.0 * luck - 1.0);
        let visible = f64_to_i64((i64_to_f64(truth.visible) * (1.0 + share)).round()).max(i64::from(truth.visible > 0));
        SqsNow { visible, ..truth }
    }
}

/// Takes over what was listed.
fn copy(part: &mut Seen<Tally>, truth: &Tally, now: Time) {
    let mut tally = match part {
        Seen::Exactly(_, tally) | Seen::AtLeast(_, tally) => std::mem::take(tally),
        Seen::Missing(_) => Tally::default(),
    };
    tally.copy_from(truth);
    *part = Seen::Exactly(now, tally);
}

/// Lists until more is counted than could ever run; says whether everything was.
fn list(part: &mut Seen<Tally>, truth: &Tally, most: Vcpus, now: Time) -> bool {
    let total = truth.vcpus();
    if total <= most {
        copy(part, truth, now);
        return true;
    }
    let mut tally = match part {
        Seen::Exactly(_, tally) | Seen::AtLeast(_, tally) => std::mem::take(tally),
        Seen::Missing(_) => Tally::default(),
    };
    tally.clear();
    let mut counted = Vcpus::ZERO;
    for (shape, jobs) in truth.rows() {
        tally.add(*shape, jobs);
        counted += shape.resources.vcpus.times(jobs);
        if counted > most {
            break;
        }
    }
    *part = Seen::Exactly(now, tally);
    false
}
