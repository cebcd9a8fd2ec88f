//! The world's laws. `check_invariants` runs after every moment of every test in this package that advances a world.

mod batch;
mod jobs;
mod laws;
mod queueing;
mod releases;

use super::environment::Environment;
use super::instances::Stage;
use super::jobs::Status;
use super::*;
use crate::catalog::{Purchase, Resources};
use crate::ids::{ArrayIndex, ShapeIndex};
use crate::observation::Shape;
use crate::simulate::distribution::Distribution;
use crate::simulate::model::{BatchModel, Overrides};
use crate::simulate::scenario::{EnvironmentSpec, QueueSpec, Scenario};
use crate::trace::{Dependency, Ending, Job};
use crate::units::{Mebibytes, to_u32};

impl World<'_> {
    pub(super) fn check_invariants(&self) {
        assert!(
            self.events.planned() < 100_000,
            "a small test that never ends: {} jobs open at {}, {:#?}",
            self.open_jobs,
            self.now,
            self.environments
                .iter()
                .map(|e| (e.live, e.ordered, e.min, e.max, &e.totals))
                .collect::<Vec<_>>()
        );
        for place in &self.environments {
            let (mut live, mut there, mut used) = (Vcpus::ZERO, Vcpus::ZERO, Vcpus::ZERO);
            for instance in place.instances.iter().filter(|i| i.stage != Stage::Gone) {
                live += place.size(instance);
                if instance.stage != Stage::Active {
                    continue;
                }
                there += place.size(instance);
                used += place.size(instance) - instance.seen_free.vcpus;
                assert!(
                    place.resources(instance).hold(&instance.free),
                    "free within the instance"
                );
                assert!(instance.seen_free.hold(&instance.free), "what is free is seen as free");
            }
            let ordered: Vcpus = place.orders.iter().map(|order| order.vcpus(place)).sum();
            assert_eq!(
                (live, there, used, ordered),
                (place.live, place.there, place.used, place.ordered)
            );
            assert!(
                !place.managed() || place.desired >= place.committed(),
                "desired covers what was asked for"
            );
            assert!(place.used <= place.there);
        }
        self.check_queues();
        let open = self
            .jobs
            .states
            .iter()
            .filter(|state| state.status != Status::Over)
            .count();
        assert_eq!(open, self.open_jobs);
    }

    fn check_queues(&self) {
        for (quota, known) in self.quotas.iter().enumerate() {
            let ours: Vcpus = self
                .environments
                .iter()
                .flat_map(|e| e.instances.iter().map(move |instance| (e, instance)))
                .filter(|(e, instance)| instance.stage != Stage::Gone && e.quota_of(instance) == Some(quota))
                .map(|(e, instance)| e.size(instance))
                .sum();
            assert_eq!(known.used, known.used_by_others + ours);
            assert!(
                ours.is_zero() || known.used <= known.limit,
                "launches beyond a quota fail"
            );
        }
        for (position, queue) in self.queues.iter().enumerate() {
            let here = |state: &&super::jobs::State| state.outcome.queue.position() == position;
            let count = |statuses: &[Status]| {
                self.jobs
                    .states
                    .iter()
                    .filter(here)
                    .filter(|state| statuses.contains(&state.status))
                    .count()
            };
            assert_eq!(count(&[Status::Runnable]), queue.waiting.len());
            let late = |pick: fn(&(Time, JobIndex, i64, i64)) -> i64| -> i64 {
                let of_queue = |late: &&(Time, JobIndex, i64, i64)| {
                    self.jobs.states[late.1.position()].outcome.queue.position() == position
                };
                self.late_counts.iter().filter(of_queue).map(pick).sum()
            };
            let pending: i64 = queue.changes.iter().map(|change| change.1).sum::<i64>() + late(|late| late.3);
            assert_eq!(
                crate::units::to_i64(count(&[Status::Placed])),
                queue.placed.jobs() + pending
            );
            let pending: i64 = queue.changes.iter().map(|change| change.0).sum::<i64>() + late(|late| late.2);
            let seen = queue.runnable.jobs() + pending + queue.not_demand.multi_node;
            assert_eq!(crate::units::to_i64(count(&[Status::Runnable, Status::Assigned])), seen);
        }
    }
}

impl super::launches::Order {
    fn vcpus(&self, place: &Environment) -> Vcpus {
        place.offers[self.offer_position()].registered.vcpus
    }
}

/// A trace written as a table of jobs.
#[derive(Default)]
pub(super) struct Jobs {
    pub(super) trace: Trace,
}

impl Jobs {
    /// `(submit s, run s, vcpus)` in the order of submission.
    pub(super) fn of(jobs: &[(i64, i64, i64)]) -> Self {
        let mut all = Self::default();
        for (submit, run, vcpus) in jobs {
            all.add(*submit, *run, *vcpus);
        }
        all
    }

    pub(super) fn add(&mut self, submit: i64, run: i64, vcpus: i64) -> JobIndex {
        self.add_sized(submit, run, shape(vcpus, 1024, 0, 1), &[])
    }

    pub(super) fn add_after(&mut self, submit: i64, run: i64, vcpus: i64, parents: &[Dependency]) -> JobIndex {
        self.add_sized(submit, run, shape(vcpus, 1024, 0, 1), parents)
    }

    pub(super) fn add_sized(&mut self, submit: i64, run: i64, size: Shape, parents: &[Dependency]) -> JobIndex {
        let trace = &mut self.trace;
        if trace.queues.is_empty() {
            trace.queues.push("jobs".to_owned());
            trace.names.push("work".to_owned());
        }
        let known = trace.shapes.iter().position(|shape| *shape == size);
        let shape = known.unwrap_or_else(|| {
            trace.shapes.push(size);
            trace.shapes.len() - 1
        });
        let dependencies_start = to_u32(trace.dependencies.len());
        trace.dependencies.extend(parents);
        trace.jobs.push(Job {
            submit: Time::from_seconds(submit),
            run: Span::from_seconds(run),
            recorded_wait: Span::from_millis(-1),
            shape: ShapeIndex::at(shape),
            name: 0,
            dependencies_start,
            dependencies_count: to_u32(parents.len()),
            spawners: 0,
            array: None,
            queue: 0,
            ending: Ending::Succeeded,
        });
        JobIndex::at(trace.jobs.len() - 1)
    }

    /// An array job of children alike.
    pub(super) fn add_array(&mut self, submit: i64, run: i64, size: u32, sequential: bool) -> ArrayIndex {
        let array = ArrayIndex::at(self.trace.arrays.len());
        let first = JobIndex::at(self.trace.jobs.len());
        for _ in 0..size {
            let child = self.add(submit, run, 1);
            self.trace.jobs[child.position()].array = Some(array);
        }
        self.trace.arrays.push(crate::trace::ArrayJob {
            first,
            size,
            sequential,
        });
        array
    }
}

pub(super) fn shape(vcpus: i64, memory: i64, gpus: u32, nodes: u32) -> Shape {
    Shape {
        resources: Resources {
            vcpus: Vcpus::new(vcpus),
            memory: Mebibytes::new(memory),
            gpus,
        },
        nodes,
    }
}

/// One queue `jobs` over environments, under the instant model with overrides.
pub(super) fn scenario(environments: &[EnvironmentSpec], model_overrides: Overrides) -> Scenario {
    let names: Vec<&str> = environments
        .iter()
        .map(|environment| environment.name.as_str())
        .collect();
    Scenario {
        queues: vec![QueueSpec::over("jobs", &names)],
        model_overrides,
        environments: environments.to_vec(),
        ..Scenario::fixed(Vcpus::new(1))
    }
}

/// An environment of c6i (2 GiB per vCPU; large has 2 vCPUs).
pub(super) fn environment(name: &str, purchase: Purchase, max_vcpus: u32) -> EnvironmentSpec {
    EnvironmentSpec {
        purchase,
        max_vcpus,
        instance_types: vec!["c6i".to_owned()],
        ..EnvironmentSpec::named(name)
    }
}

pub(super) fn seconds(text: &str) -> Distribution {
    text.parse().unwrap()
}

pub(super) fn run(scenario: &Scenario, trace: &Trace, seed: u64) -> RunResult {
    let mut world = World::new(scenario, trace, seed).unwrap();
    world.run_to_end();
    assert!(world.finished(), "{} jobs are still open", world.open_jobs);
    world.into_result()
}

pub(super) fn waits(result: &RunResult) -> Vec<i64> {
    result
        .jobs
        .iter()
        .map(|job| job.wait().unwrap().millis() / 1000)
        .collect()
}

pub(super) const ENVIRONMENT: EnvironmentIndex = EnvironmentIndex(0);
