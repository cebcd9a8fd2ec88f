//! From scenario and trace to a world at its first moment.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use super::environment::Environment;
use super::events::{Events, What};
use super::jobs::Jobs;
use super::progress::Progress;
use super::queues::Waiting;
use super::spot::Pools;
use super::{Generations, Queue, Quota, World};
use crate::account::Platform;
use crate::catalog::{Purchase, Resources};
use crate::ids::{EnvironmentIndex, QueueIndex};
use crate::observation::{NotDemand, Shape, SqsNow, Tally};
use crate::simulate::ledger::fits_job_index;
use crate::simulate::scenario::{QueueSpec, Scenario};
use crate::trace::Trace;
use crate::units::{Span, Time, Vcpus};

impl<'t> World<'t> {
    /// A world just before the first submission. `seed` decides everything that is left to chance. Fails with every
    /// contradiction of the scenario, and with jobs that wait for each other in a circle.
    pub fn new(scenario: &Scenario, trace: &'t Trace, seed: u64) -> Result<Self, Vec<String>> {
        let origin = origin(trace).unwrap_or(Time::EPOCH);
        Self::build(scenario, Cow::Borrowed(trace), seed, (origin, origin))
    }

    /// As [`World::new`], but its account is there from `begin` on, base included, if that is not after the first submission.
    pub fn since(scenario: &Scenario, trace: &'t Trace, seed: u64, begin: Time) -> Result<Self, Vec<String>> {
        let begin = origin(trace).map_or(begin, |first| first.min(begin));
        Self::build(scenario, Cow::Borrowed(trace), seed, (begin, begin))
    }

    /// As [`World::new`], of a trace of its own, to which [`World::submit_now`] adds jobs. It begins at `begin`, if that is not
    /// after the first submission: what is done before the first job happens before it.
    pub fn owning(scenario: &Scenario, trace: Trace, seed: u64, begin: Time) -> Result<World<'static>, Vec<String>> {
        let origin = origin(&trace).unwrap_or(begin);
        World::build(scenario, Cow::Owned(trace), seed, (origin, begin.min(origin)))
    }

    /// Draws count time from `origin`, at which base is launched; the world is there from `begin` on.
    fn build(
        scenario: &Scenario,
        trace: Cow<'t, Trace>,
        seed: u64,
        (origin, begin): (Time, Time),
    ) -> Result<Self, Vec<String>> {
        let mut problems: Vec<String> = scenario.problems().iter().map(ToString::to_string).collect();
        if !fits_job_index(trace.jobs.len()) {
            problems.push(format!(
                "trace: found {} jobs, expected fewer than 4,294,967,295",
                trace.jobs.len()
            ));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let model = scenario.batch_model();
        let quotas = quotas(scenario);
        let mut pools = Pools::new(seed, origin, &model, scenario.random_droughts.as_ref());
        let environments: Vec<Environment> = scenario
            .environments
            .iter()
            .map(|spec| Environment::new(scenario, spec, &model, &quotas, &mut pools, origin))
            .collect();
        let shapes: Vec<Shape> = trace.shapes.iter().map(|shape| placed_as(*shape)).collect();
        let queues: Vec<Queue> = scenario
            .queues
            .iter()
            .map(|spec| queue(scenario, spec, &environments, &shapes, begin))
            .collect();
        let queue_of = map_queues(scenario, &trace);
        let jobs = Jobs::new(&trace, &model, origin, &queue_of)?;
        let mut world = Self {
            seed,
            model,
            attempts: scenario.retries.attempts,
            origin,
            now: begin,
            generations: Generations::default(),
            summary_lag: Span::ZERO,
            late_counts: VecDeque::new(),
            events: Events::default(),
            next_job: 0,
            messages: messages(&trace),
            next_message: 0,
            sqs: vec![SqsNow::default(); trace.sqs_queues.len()],
            shapes,
            open_jobs: trace.jobs.len(),
            jobs,
            serve_order: serve_order(scenario),
            queues,
            environments,
            quotas,
            pools,
            nodes: BTreeMap::new(),
            next_look: Time::FAR_FUTURE,
            unsettled: false,
            capacity_changed: true,
            room_stamp: 1,
            retries: 0,
            releases: Vec::new(),
            progress: Progress::default(),
            told: None,
            trace,
        };
        world.begin(scenario);
        Ok(world)
    }

    /// Own instances are there from the start; a minvCpus above zero is answered by launches; jobs that only empty
    /// arrays submit come after their think time.
    fn begin(&mut self, scenario: &Scenario) {
        for (position, spec) in scenario.environments.iter().enumerate() {
            let environment = EnvironmentIndex::at(position);
            for (offer, own) in spec.own_instances.iter().enumerate() {
                (0..own.count).for_each(|_| self.add_own_instance(environment, offer));
            }
            // Base is launched at the first submission also where others may act before it, so that starts are the same.
            if self.now < self.origin && spec.min_vcpus > 0 {
                self.events.plan(self.origin, What::MinRaise(environment));
            } else {
                self.answer_min(environment);
            }
        }
        self.plan_rootless_spawns();
        self.refresh_saturation();
        self.show();
    }
}

/// Highest priority first, then by name.
fn serve_order(scenario: &Scenario) -> Vec<QueueIndex> {
    let mut order: Vec<_> = (scenario.queues.iter().enumerate())
        .map(|(position, spec)| (-i64::from(spec.priority), &spec.name, QueueIndex::at(position)))
        .collect();
    order.sort();
    order.into_iter().map(|(_, _, queue)| queue).collect()
}

fn origin(trace: &Trace) -> Option<Time> {
    trace
        .jobs
        .iter()
        .filter(|job| !job.is_spawned())
        .map(|job| job.submit)
        .min()
}

pub(super) fn placed_as(shape: Shape) -> Shape {
    Shape {
        resources: Resources {
            vcpus: shape.resources.vcpus.max(Vcpus::new(1)),
            ..shape.resources
        },
        nodes: shape.nodes.max(1),
    }
}

fn quotas(scenario: &Scenario) -> Vec<Quota> {
    let quota = |spec: &crate::simulate::scenario::QuotaSpec| Quota {
        code: spec.code.clone(),
        limit: Vcpus::new(i64::from(spec.limit_vcpus)),
        used_by_others: Vcpus::new(i64::from(spec.used_by_others_vcpus)),
        used: Vcpus::new(i64::from(spec.used_by_others_vcpus)),
    };
    scenario.account.quotas.iter().map(quota).collect()
}

fn queue(scenario: &Scenario, spec: &QueueSpec, environments: &[Environment], shapes: &[Shape], begin: Time) -> Queue {
    let index = |name: &String| {
        scenario
            .environments
            .iter()
            .position(|e| e.name == *name)
            .map(EnvironmentIndex::at)
    };
    let order: Vec<EnvironmentIndex> = spec.environments.iter().filter_map(index).collect();
    let share_permille = share_permille(spec);
    let fits = |shape: &Shape| fits(&order, environments, shape, share_permille);
    Queue {
        name: spec.name.clone(),
        share_permille,
        fits: shapes.iter().map(fits).collect(),
        environments: order,
        waiting: Waiting::with_shapes(shapes.len()),
        tried: vec![0; shapes.len()],
        saturated: false,
        saturated_since: begin,
        saturated_before: Span::ZERO,
        runnable: Tally::default(),
        placed: Tally::default(),
        nothing: Tally::default(),
        not_demand: NotDemand::default(),
        multi_node: Tally::default(),
        changes: vec![(0, 0); shapes.len()],
        changed: Vec::new(),
    }
}

/// What a fair-share reservation leaves: 1 - (r/100)^shares of maxvCpus, in thousandths rounded down (AWS Batch API
/// reference, `FairsharePolicy.computeReservation`).
fn share_permille(spec: &QueueSpec) -> i64 {
    if spec.reservation_percent == 0 {
        return 1_000;
    }
    let kept = (0..spec.active_shares.min(64)).fold(1_000_000_i64, |kept, _| {
        kept * i64::from(spec.reservation_percent) / 100
    });
    (1_000_000 - kept) / 1_000
}

/// Whether some environment of a queue could hold a job if it were empty.
pub(super) fn fits(
    order: &[EnvironmentIndex],
    environments: &[Environment],
    shape: &Shape,
    share_permille: i64,
) -> bool {
    let mut candidates = order.iter().filter_map(|e| environments.get(e.position()));
    candidates.any(|environment| can_ever_hold(environment, shape, share_permille))
}

/// Whether an environment could hold a job if it were empty. A multi-node job needs whole On-Demand instances of one type.
fn can_ever_hold(environment: &Environment, shape: &Shape, share_permille: i64) -> bool {
    let most = environment.max.scaled_down(share_permille, 1_000);
    let nodes = i64::from(shape.nodes);
    environment.offers.iter().any(|offer| {
        let own = environment.platform == Platform::Unmanaged;
        offer.registered.hold(&shape.resources)
            && offer.registered.vcpus <= environment.max
            && shape.resources.vcpus <= most
            && (nodes == 1
                || (!own && environment.purchase == Purchase::OnDemand && offer.registered.vcpus.times(nodes) <= most))
    })
}

/// Per recorded queue its position in the scenario, the first if it is not there; `routes` says beforehand which those are.
fn map_queues(scenario: &Scenario, trace: &Trace) -> Vec<QueueIndex> {
    let found = |name: &String| scenario.queues.iter().position(|queue| queue.name == *name);
    trace
        .queues
        .iter()
        .map(|name| QueueIndex::at(found(name).unwrap_or(0)))
        .collect()
}

fn messages(trace: &Trace) -> Vec<(Time, u16, i64)> {
    let mut steps: Vec<(Time, u16, i64)> = trace
        .messages
        .iter()
        .flat_map(|message| {
            [
                (message.sent, message.source, 1),
                (message.received.max(message.sent), message.source, -1),
            ]
        })
        .collect();
    steps.sort_by_key(|step| (step.0, step.1, -step.2));
    steps
}
