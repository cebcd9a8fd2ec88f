//! What is steered: an account, work for it, a policy; and what comes of it without any wire.

use std::path::{Path, PathBuf};

use autotune::policy;
use autotune::setup;
use autotune::simulate::drive::{self, Drive};
use autotune::simulate::ledger::{Fate, JobOutcome, RunResult};
use autotune::simulate::scenario::Scenario;
use autotune::simulate::summary::Quantiles;
use autotune::simulate::world::World;
use autotune::trace::{ReadOptions, Trace, read};
use autotune::units::{Span, Time};
use serde_json::{Value, json};

/// When the first job comes: an ordinary Thursday morning. The account begins five minutes earlier.
pub(crate) const FIRST: i64 = 1_767_258_000_000;
/// An On-Demand environment with one queue.
pub(crate) const ON_DEMAND: &str = "version = 1\nmodel = \"recent\"\n\
    [[environments]]\nname = \"on-demand\"\npurchase = \"on_demand\"\nmax_vcpus = 256\ninstance_types = [\"c6i\", \"m6i\", \"r6i\"]\n\
    tags = { autotune = \"enabled\" }\n\
    [[queues]]\nname = \"default\"\nenvironments = [\"on-demand\"]\n";

/// Spot, and On-Demand behind it.
pub(crate) const SPOT: &str = "version = 1\nmodel = \"recent\"\n\
    [[environments]]\nname = \"spot\"\npurchase = \"spot\"\nmax_vcpus = 128\ninstance_types = [\"c5\", \"c6i\", \"m5\", \"m6i\"]\n\
    allocation = \"spot_price_capacity_optimized\"\ntags = { autotune = \"enabled\" }\n\
    [[environments]]\nname = \"on-demand\"\npurchase = \"on_demand\"\nmax_vcpus = 128\ninstance_types = [\"c6i\", \"m6i\"]\n\
    tags = { autotune = \"enabled\" }\n\
    [[queues]]\nname = \"default\"\nenvironments = [\"spot\", \"on-demand\"]\n\
    [retries]\nattempts = 5\n";

/// What is kept for ten minutes after the work is there for the next burst.
pub(crate) const KEEPS: &str = "version = 1\n[queues.\"*\"]\nidle_time = \"10m\"\n";

/// Jobs, as lines of a trace.
#[derive(Clone, Default)]
pub(crate) struct Work {
    lines: Vec<Value>,
    jobs: u32,
    arrays: u32,
}

impl Work {
    fn job(&mut self, more: Value) {
        let mut job = json!({"id": self.jobs, "vcpus": 4, "memory_mib": 7168, "queue": "default", "name": "align"});
        let (into, Value::Object(more)) = (job.as_object_mut().unwrap(), more) else {
            unreachable!("an object")
        };
        into.extend(more);
        self.lines.push(json!({ "job": job }));
        self.jobs += 1;
    }

    /// Jobs at once, so many seconds after the first, each of which runs a little longer than the one before.
    pub(crate) fn burst(self, count: u32, at: i64, run: i64) -> Self {
        self.burst_to("default", count, at, run)
    }

    pub(crate) fn burst_to(mut self, queue: &str, count: u32, at: i64, run: i64) -> Self {
        for number in 0..i64::from(count) {
            let run_ms = (run + number % 7 * 10) * 1000;
            self.job(json!({"submit_ms": FIRST + at * 1000, "run_ms": run_ms, "queue": queue}));
        }
        self
    }

    /// As many jobs that wait for all jobs so far.
    pub(crate) fn then(mut self, count: u32, run: i64) -> Self {
        let before: Vec<u32> = (0..self.jobs).collect();
        for _ in 0..count {
            self.job(json!({"submit_ms": FIRST, "run_ms": run * 1000, "after": before}));
        }
        self
    }

    /// An array job, each child of which was a message for two minutes.
    pub(crate) fn array_of_messages(mut self, children: u32, at: i64, run: i64) -> Self {
        let array = self.arrays;
        let received = FIRST + at * 1000;
        for _ in 0..children {
            self.job(json!({"submit_ms": received, "run_ms": run * 1000, "array": array}));
            let message = json!({"sqs_queue": "incoming", "sent_ms": received - 120_000, "received_ms": received});
            self.lines.push(json!({ "message": message }));
        }
        self.lines
            .push(json!({"array": {"id": array, "children": children, "sequential": false}}));
        self.arrays += 1;
        self
    }

    fn write(&self, path: &Path) {
        let header = json!({"autotune_trace": {"version": 1, "jobs": self.jobs}});
        let lines = std::iter::once(&header).chain(&self.lines);
        let lines: Vec<String> = lines.map(ToString::to_string).collect();
        std::fs::write(path, lines.join("\n") + "\n").unwrap();
    }
}

/// What is steered, and how.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) scenario: String,
    pub(crate) policy: String,
    pub(crate) work: Work,
    pub(crate) seed: u64,
    pub(crate) speed: u32,
    /// Whether the daemon is told of the queue that EventBridge feeds.
    pub(crate) events: bool,
}

impl Case {
    pub(crate) fn new(scenario: &str, policy: &str, work: Work) -> Self {
        Self {
            scenario: scenario.to_owned(),
            policy: policy.to_owned(),
            work,
            seed: 1,
            speed: 60,
            events: true,
        }
    }

    /// The files of the case, in a folder: scenario, policy, trace.
    pub(crate) fn write(&self, folder: &Path) -> [PathBuf; 3] {
        let paths = ["scenario.toml", "policy.toml", "work.jsonl"].map(|name| folder.join(name));
        std::fs::write(&paths[0], &self.scenario).unwrap();
        std::fs::write(&paths[1], &self.policy).unwrap();
        self.work.write(&paths[2]);
        paths
    }

    fn loaded(&self) -> (Scenario, Trace, policy::Policy) {
        let folder = tempfile::tempdir().unwrap();
        let [scenario, policy, work] = self.write(folder.path());
        let trace = read(&[work], &ReadOptions::default()).unwrap().trace;
        (
            Scenario::load(&scenario).unwrap(),
            trace,
            policy::load(&policy).unwrap(),
        )
    }

    /// What AWS Batch does alone, as the simulator has it.
    pub(crate) fn alone(&self) -> Outcome {
        let (scenario, trace, _) = self.loaded();
        Outcome::of(&drive::replay_alone(&scenario, &trace, self.seed, Span::ZERO, &mut |_| {}).unwrap())
    }

    /// What `autotune simulate` makes of it.
    pub(crate) fn simulated(&self) -> Outcome {
        self.simulated_with(&self.trace())
    }

    /// The work as a trace.
    pub(crate) fn trace(&self) -> Trace {
        self.loaded().1
    }

    /// The same account and policy with other work.
    pub(crate) fn simulated_with(&self, trace: &Trace) -> Outcome {
        let (scenario, _, policy) = self.loaded();
        let day = Span::from_minutes(24 * 60);
        let first = Time::from_millis(FIRST);
        let compiled = setup::compile(&policy, &scenario.topology(), (first - day, first + day)).unwrap();
        let steered = (compiled, autotune::control::Planner);
        let drive = Drive {
            watch_every: Span::from_seconds(1),
            ..Drive::default()
        };
        // A replay goes on for as long as Batch would release anything, which the wire cannot tell.
        let mut cost = None;
        let mut watch = |world: &World<'_>| {
            if world.finished() {
                cost.get_or_insert(world.cost().get());
            }
        };
        let (result, _) = drive::replay(&scenario, trace, steered, drive, self.seed, &mut watch).unwrap();
        let outcome = Outcome::of(&result);
        Outcome {
            cost: cost.unwrap_or(outcome.cost),
            ..outcome
        }
    }
}

/// What came of all jobs.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) waits: Vec<Span>,
    /// Millionths of a dollar, until the last job had ended.
    pub(crate) cost: i64,
    pub(crate) succeeded: usize,
}

impl Outcome {
    fn of(result: &RunResult) -> Self {
        Self {
            waits: result.jobs.iter().filter_map(JobOutcome::wait).collect(),
            cost: result.cost().get(),
            succeeded: result.count(Fate::Succeeded),
        }
    }

    pub(crate) fn quantiles(&self) -> Quantiles {
        Quantiles::of(&mut self.waits.clone())
    }

    pub(crate) fn mean(&self) -> f64 {
        self.quantiles().mean
    }
}
