//! What the planner decides, case by case, told in its own sentences.
//!
//! They stand here and not beside the planner, because the planner may not see the room that knows the words. Every case is
//! data: a [`Story`] is given a setup, told what is seen, and made to plan at certain times; what it tells is compared with an
//! inline snapshot. Reviewing a change of behaviour is reading a text diff.

mod demand;
mod droughts;
mod idle;
mod limits;
mod messages;
mod orders;
mod quotas;
mod tempo;

use std::fmt::Write as _;

use crate::catalog::Purchase;
use crate::explain;
use crate::forecast::Forecast;
use crate::ids::QueueIndex;
use crate::observation::{EnvironmentNow, InstancesNow, Observation, Room, Seen, Tally};
use crate::planner::memory::Memory;
use crate::planner::plan::{Plan, Subject};
use crate::planner::worlds::{self, environment, queue, resources, shape};
use crate::planner::{self, Inputs};
use crate::setup::Setup;
use crate::units::{Span, Time, Vcpus, to_u32};

/// When every story begins.
const START: Time = Time::from_seconds(1_767_258_000); // 2026-01-01 09:00:00 UTC

/// vCPUs of every instance in these stories.
const INSTANCE: i64 = 64;

/// One account over time, and what was planned for it.
struct Story {
    setup: Setup,
    observation: Observation,
    memory: Memory,
    forecast: Forecast,
    now: Time,
    plan: Plan,
    told: String,
}

impl Story {
    /// A quiet account that has been watched for an hour.
    fn of(setup: Setup) -> Self {
        let mut observation = worlds::quiet(&setup, START);
        observation.sqs = vec![Seen::Exactly(START, crate::observation::SqsNow::default()); setup.sqs_sources.len()];
        Self {
            observation,
            memory: Memory::new(&setup, START - Span::from_minutes(60)),
            forecast: Forecast::default(),
            now: START,
            plan: Plan::default(),
            told: String::new(),
            setup,
        }
    }

    /// This many jobs of `vcpus` each are RUNNABLE in a queue; those of other sizes stay as they are.
    fn runnable(&mut self, queue: usize, vcpus: i64, jobs: i64) -> &mut Self {
        set(
            self.observation.queues[queue].runnable.value_mut().unwrap(),
            vcpus,
            jobs,
        );
        self
    }

    /// This many jobs of `vcpus` each are STARTING or RUNNING from a queue.
    fn placed(&mut self, queue: usize, vcpus: i64, jobs: i64) -> &mut Self {
        set(self.observation.queues[queue].placed.value_mut().unwrap(), vcpus, jobs);
        self
    }

    /// An environment has this many instances, of whose vCPUs jobs hold `used`, packed tightly.
    fn instances(&mut self, environment: usize, instances: i64, used: i64) -> &mut Self {
        let mut rooms = Vec::new();
        let (full, part) = (used / INSTANCE, used % INSTANCE);
        if part > 0 {
            rooms.push(room(INSTANCE - part, 1));
        }
        let empty = instances - full - i64::from(part > 0);
        if empty > 0 {
            rooms.push(room(INSTANCE, to_u32(empty)));
        }
        let now = self.instances_mut(environment);
        if Vcpus::new(instances * INSTANCE) > now.there {
            let at = self.now;
            self.instances_mut(environment).registered = Some(at);
        }
        let now = self.instances_mut(environment);
        now.there = Vcpus::new(instances * INSTANCE);
        now.used = Vcpus::new(used);
        now.rooms = rooms;
        self
    }

    /// A launch of this environment failed for want of capacity just now.
    fn capacity_error(&mut self, environment: usize) -> &mut Self {
        let at = self.now;
        self.instances_mut(environment).capacity_error = Some(at);
        self
    }

    fn instances_mut(&mut self, environment: usize) -> &mut InstancesNow {
        self.observation.instances[environment].value_mut().unwrap()
    }

    fn levels(&mut self, environment: usize, min: i64, desired: i64) -> &mut Self {
        let now = self.environment_mut(environment);
        (now.min_vcpus, now.desired_vcpus) = (Vcpus::new(min), Vcpus::new(desired));
        self
    }

    fn environment_mut(&mut self, environment: usize) -> &mut EnvironmentNow {
        self.observation.environments[environment].value_mut().unwrap()
    }

    /// Lets time pass without a plan. Everything is read again.
    fn wait(&mut self, seconds: i64) -> &mut Self {
        self.now = self.now + Span::from_seconds(seconds);
        self.observation.refresh(self.now);
        self
    }

    /// Plans, tells, remembers, and lets AWS Batch take every update at once.
    fn plan(&mut self) -> &mut Self {
        self.observation.generation += 1;
        self.plan_again()
    }

    /// The same with everything as it was seen before.
    fn plan_again(&mut self) -> &mut Self {
        let inputs = Inputs {
            setup: &self.setup,
            observation: &self.observation,
            memory: &self.memory,
            forecast: &self.forecast,
            now: self.now,
        };
        planner::plan(&inputs, &mut self.plan);
        self.tell();
        self.memory.fold(&self.plan.notes);
        worlds::apply(&mut self.observation, &self.plan.actions);
        self
    }

    /// [`Story::wait`], then [`Story::plan`].
    fn after(&mut self, seconds: i64) -> &mut Self {
        self.wait(seconds).plan()
    }

    /// Actions first, then the reasons that no action gave already.
    fn tell(&mut self) {
        let clock = self.now.to_string();
        let clock = clock.split_once('T').unwrap().1.trim_end_matches('Z');
        let mut lines = Vec::new();
        for action in &self.plan.actions {
            lines.push(format!("* {}", explain::action(&self.setup, action)));
        }
        for reason in &self.plan.reasons {
            let given = self.plan.actions.iter().any(|action| {
                reason.subject == Subject::Environment(action.environment()) && reason.because == action.because()
            });
            if !given {
                lines.push(explain::sentence(&self.setup, reason));
            }
        }
        if lines.is_empty() {
            lines.push("nothing".to_owned());
        }
        for line in lines {
            writeln!(self.told, "{clock} {line}").unwrap();
        }
    }
}

fn set(tally: &mut Tally, vcpus: i64, jobs: i64) {
    let shape = shape(vcpus);
    let now = tally.rows().find(|row| *row.0 == shape).map_or(0, |row| row.1);
    tally.add(shape, jobs - now);
}

fn room(vcpus: i64, instances: u32) -> Room {
    Room {
        free: resources(vcpus, vcpus * 4096),
        instances,
    }
}

/// One queue `q` on one Spot environment `spot` of 256 vCPUs.
fn spot_only() -> Setup {
    let mut setup = worlds::spot_then_on_demand();
    setup.environments.truncate(1);
    setup.queues[0].environments.truncate(1);
    setup
}

/// Queues `a` and `b`, in this order of priority, on the same Spot environment.
fn two_queues() -> Setup {
    Setup {
        environments: vec![environment("spot", Purchase::Spot, None)],
        queues: vec![queue("a", &[0]), queue("b", &[0])],
        serve_order: vec![QueueIndex(0), QueueIndex(1)],
        ..Setup::default()
    }
}
