//! What a replay is judged by: what happened to each job, and what each environment cost.

use serde::Serialize;

use crate::ids::{EnvironmentIndex, JobIndex, QueueIndex};
use crate::trace::{Dependency, Trace};
use crate::units::{MicroUsd, Span, Time, Vcpus, to_i64, to_usize};

/// What became of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Not ended (yet).
    #[default]
    Open,
    /// SUCCEEDED.
    Succeeded,
    /// FAILED: as recorded, or interrupted in its last attempt.
    Failed,
    /// FAILED because a job that it depends on was interrupted in its last attempt.
    DependencyFailed,
    /// No environment of its queue can ever hold it; set aside so that it blocks nothing.
    NeverFits,
    /// Waits for a job that never ends.
    NeverReady,
}

/// What happened to a job. Times of what has not happened are [`Time::FAR_FUTURE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct JobOutcome {
    /// When it first became RUNNABLE: submitted, and its last dependency ended.
    pub ready: Time,
    /// When its first attempt became STARTING.
    pub starting: Time,
    /// When its first attempt became RUNNING.
    pub running: Time,
    /// When its last attempt ended.
    pub ended: Time,
    /// The part of its wait during which some environment of its queue could still have grown.
    pub avoidable: Span,
    /// Its queue in the scenario.
    pub queue: QueueIndex,
    /// Attempts begun.
    pub attempts: u8,
    /// What became of it.
    pub fate: Fate,
}

impl JobOutcome {
    /// RUNNABLE to STARTING, first attempt; `None` if it never started.
    pub fn wait(&self) -> Option<Span> {
        (self.starting != Time::FAR_FUTURE).then(|| self.starting.since(self.ready))
    }

    /// From max(created, last parent's end) to RUNNING, first attempt; `None` if it never ran.
    pub fn start_latency(&self) -> Option<Span> {
        (self.starting != Time::FAR_FUTURE).then(|| self.running.since(self.ready))
    }
}

/// vCPU-milliseconds: exact, and enough for a million vCPUs over a century.
pub type VcpuMillis = i128;

/// What an environment did and cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EnvironmentTotals {
    /// Its name.
    pub name: String,
    /// What its instances cost.
    pub cost: MicroUsd,
    /// Held by jobs, STARTING and RUNNING.
    pub used: VcpuMillis,
    /// Registered and not held.
    pub idle: VcpuMillis,
    /// Running but not yet registered.
    pub booting: VcpuMillis,
    /// Instances that were launched.
    pub launches: u64,
    /// Tries to launch an instance that failed for want of capacity or quota.
    pub failed_launches: u64,
    /// Instances released because they were idle.
    pub released: u64,
    /// Spot interruptions.
    pub interruptions: u64,
    /// Scaling updates accepted.
    pub updates: u64,
    /// Scaling updates refused.
    pub refusals: u64,
    /// The most vCPUs that were there at once.
    pub most_there: Vcpus,
}

/// A released instance, for properties about how long instances are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Release {
    /// Its environment.
    pub environment: EnvironmentIndex,
    /// When it became idle.
    pub idle_since: Time,
    /// When it was released.
    pub at: Time,
    /// vCPUs that stayed in the environment, on their way ones included.
    pub left: Vcpus,
    /// minvCpus at that moment.
    pub min: Vcpus,
    /// Whether it had run a job.
    pub ran: bool,
    /// What draws know it by.
    pub instance: u64,
    /// How often it had become idle.
    pub idle_periods: u64,
}

/// The result of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RunResult {
    /// The model of AWS Batch that was used.
    pub model: String,
    /// Names of the scenario's queues; `JobOutcome::queue` points here.
    pub queues: Vec<String>,
    /// Per job of the trace, in its order.
    pub jobs: Vec<JobOutcome>,
    /// Per environment.
    pub environments: Vec<EnvironmentTotals>,
    /// From the first submission to the last end, for each group of jobs that depend on each other, by first submission.
    pub makespans: Vec<Span>,
    /// Attempts that an interruption ended and that were tried again.
    pub retries: u64,
    /// When the books were closed.
    pub closed: Time,
    /// Every released instance.
    pub releases: Vec<Release>,
}

impl RunResult {
    /// What everything cost.
    pub fn cost(&self) -> MicroUsd {
        self.environments.iter().map(|environment| environment.cost).sum()
    }

    /// How many jobs met this fate.
    pub fn count(&self, fate: Fate) -> usize {
        self.jobs.iter().filter(|job| job.fate == fate).count()
    }
}

/// Makespans of the groups of jobs that depend on each other; jobs without any dependency form no group.
pub(crate) fn makespans(trace: &Trace, jobs: &[JobOutcome]) -> Vec<Span> {
    if trace.dependencies.is_empty() {
        return Vec::new();
    }
    let mut groups = Groups::of(trace.jobs.len());
    for (child, job) in trace.jobs.iter().enumerate() {
        for dependency in trace.dependencies_of(job) {
            match dependency {
                Dependency::Job(parent) => groups.join(child, parent.position()),
                Dependency::Array(array) => {
                    if let Some(array) = trace.arrays.get(array.position()) {
                        let first = array.first.position();
                        (first..first + to_usize(array.size)).for_each(|parent| groups.join(child, parent));
                    }
                }
            }
        }
    }
    let mut spans: std::collections::BTreeMap<usize, (Time, Time, usize)> = std::collections::BTreeMap::new();
    for (position, (job, outcome)) in trace.jobs.iter().zip(jobs).enumerate() {
        let begin = if job.is_spawned() { outcome.ready } else { job.submit };
        let span = spans.entry(groups.root(position)).or_insert((begin, Time::FAR_PAST, 0));
        span.0 = span.0.min(begin);
        if outcome.ended != Time::FAR_FUTURE {
            span.1 = span.1.max(outcome.ended);
        }
        span.2 += 1;
    }
    let mut groups: Vec<(Time, Time, usize)> = spans.into_values().filter(|g| g.2 > 1 && g.1 >= g.0).collect();
    groups.sort_unstable();
    groups.into_iter().map(|(begin, end, _)| end.since(begin)).collect()
}

/// Disjoint sets of job positions.
struct Groups {
    parents: Vec<usize>,
}

impl Groups {
    fn of(jobs: usize) -> Self {
        Self {
            parents: (0..jobs).collect(),
        }
    }

    fn root(&mut self, mut node: usize) -> usize {
        loop {
            let parent = self.parents.get(node).copied().unwrap_or(node);
            if parent == node {
                return node;
            }
            let grand = self.parents.get(parent).copied().unwrap_or(parent);
            if let Some(place) = self.parents.get_mut(node) {
                *place = grand;
            }
            node = grand;
        }
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if let Some(place) = self.parents.get_mut(a.max(b)) {
            *place = a.min(b);
        }
    }
}

/// A vCPU count held for a span.
pub(crate) fn held(vcpus: Vcpus, span: Span) -> VcpuMillis {
    VcpuMillis::from(vcpus.get()) * VcpuMillis::from(span.millis().max(0))
}

/// How many jobs there can be: positions must fit a [`JobIndex`].
pub(crate) fn fits_job_index(jobs: usize) -> bool {
    to_i64(jobs) < i64::from(u32::MAX) && JobIndex::at(jobs).position() == jobs
}
