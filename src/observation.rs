//! What was seen, when, and what could not be read.
//!
//! Counts per (queue, status, shape), never jobs: no type reachable from here can hold how long a job will still run. An
//! [`Observation`] is changed in place; `generation` rises with every change that a plan could see.

use serde::{Deserialize, Serialize};

use crate::catalog::Resources;
use crate::ids::QueueIndex;
use crate::units::{Span, Time, Vcpus};

/// A part of the observation with its own age.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seen<T> {
    /// The whole truth at that time, as far as the service tells it.
    Exactly(Time, T),
    /// Counting stopped early: there is at least this much. May raise, may never lower.
    AtLeast(Time, T),
    /// Could not be read.
    Missing(Gap),
}

impl<T> Seen<T> {
    /// The value, exact or at least.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Exactly(_, value) | Self::AtLeast(_, value) => Some(value),
            Self::Missing(_) => None,
        }
    }

    /// The value for changing it in place.
    pub const fn value_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Exactly(_, value) | Self::AtLeast(_, value) => Some(value),
            Self::Missing(_) => None,
        }
    }

    /// When it was read; for a gap, since when it has been missing.
    pub const fn at(&self) -> Time {
        match self {
            Self::Exactly(at, _) | Self::AtLeast(at, _) => *at,
            Self::Missing(gap) => gap.since,
        }
    }

    /// Marks the value as read again at `at`.
    pub const fn refresh(&mut self, now: Time) {
        match self {
            Self::Exactly(at, _) | Self::AtLeast(at, _) => *at = now,
            Self::Missing(_) => {}
        }
    }

    /// Whether this is the whole truth, so that less may follow from it.
    pub const fn is_exact(&self) -> bool {
        matches!(self, Self::Exactly(..))
    }
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self::Missing(Gap {
            since: Time::FAR_PAST,
            why: GapReason::NotReadYet,
        })
    }
}

/// Why a part is missing, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Since when nothing could be read.
    pub since: Time,
    /// Why.
    pub why: GapReason,
}

/// Why a part could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The first reading is still to come.
    NotReadYet,
    /// The service throttled the call.
    Throttled,
    /// The credentials may not make the call.
    Denied,
    /// No answer, or an error of the service.
    Failed,
}

/// A job's size: what one instance must have free for it, and how many such instances it needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Shape {
    /// What one node of the job asks for.
    pub resources: Resources,
    /// Nodes of a multi-node job; 1 for every other job.
    pub nodes: u32,
}

/// Jobs per shape: a sorted table that is changed in place. Rows whose count fell to zero stay until [`Tally::compact`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    rows: Vec<(Shape, i64)>,
}

impl Tally {
    /// Adds `jobs` (may be negative) of a shape; counts stop at zero.
    pub fn add(&mut self, shape: Shape, jobs: i64) {
        match self.rows.binary_search_by(|row| row.0.cmp(&shape)) {
            Ok(position) => {
                if let Some(row) = self.rows.get_mut(position) {
                    row.1 = row.1.saturating_add(jobs).max(0);
                }
            }
            Err(position) => {
                if jobs > 0 {
                    self.rows.insert(position, (shape, jobs));
                }
            }
        }
    }

    /// Shapes with at least one job, in the order of shapes.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = (&Shape, i64)> + Clone {
        self.rows.iter().filter(|row| row.1 > 0).map(|row| (&row.0, row.1))
    }

    /// All jobs.
    pub fn jobs(&self) -> i64 {
        self.rows.iter().map(|row| row.1).fold(0, i64::saturating_add)
    }

    /// vCPUs of all jobs, all nodes.
    pub fn vcpus(&self) -> Vcpus {
        self.rows()
            .map(|(shape, jobs)| shape.resources.vcpus.times(jobs).times(i64::from(shape.nodes)))
            .sum()
    }

    /// Removes everything, keeping the room.
    pub fn clear(&mut self) {
        self.rows.clear();
    }

    /// Becomes a copy of `other` without allocating where the room suffices.
    pub fn copy_from(&mut self, other: &Self) {
        self.rows.clone_from(&other.rows);
    }

    /// Drops rows without jobs.
    pub fn compact(&mut self) {
        self.rows.retain(|row| row.1 > 0);
    }
}

impl FromIterator<(Shape, i64)> for Tally {
    fn from_iter<I: IntoIterator<Item = (Shape, i64)>>(rows: I) -> Self {
        let mut tally = Self::default();
        for (shape, jobs) in rows {
            tally.add(shape, jobs);
        }
        tally
    }
}

/// Everything a plan may know about the account at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Rises with every change that a plan could see.
    pub generation: u64,
    /// Per environment: what DescribeComputeEnvironments says.
    pub environments: Vec<Seen<EnvironmentNow>>,
    /// Per environment: what its ECS container instances say.
    pub instances: Vec<Seen<InstancesNow>>,
    /// Per queue: its jobs.
    pub queues: Vec<QueueNow>,
    /// Per SQS source: its messages.
    pub sqs: Vec<Seen<SqsNow>>,
    /// Per service quota: limit and use.
    pub quotas: Vec<Seen<QuotaNow>>,
    /// Jobs known to become RUNNABLE at a time that is still to come, soonest first.
    pub arrivals: Vec<Arrival>,
}

impl Observation {
    /// Marks every part that was read as read again at `now`, and the same.
    pub fn refresh(&mut self, now: Time) {
        self.environments.iter_mut().for_each(|part| part.refresh(now));
        self.instances.iter_mut().for_each(|part| part.refresh(now));
        self.quotas.iter_mut().for_each(|part| part.refresh(now));
        self.sqs.iter_mut().for_each(|part| part.refresh(now));
        for queue in &mut self.queues {
            queue.runnable.refresh(now);
            queue.placed.refresh(now);
            queue.head.refresh(now);
        }
    }
}

/// A compute environment's scaling parameters and state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentNow {
    /// Status VALID, also while it is UPDATING.
    pub valid: bool,
    /// State ENABLED.
    pub enabled: bool,
    /// Status UPDATING: no update is accepted.
    pub updating: bool,
    /// minvCpus.
    pub min_vcpus: Vcpus,
    /// desiredvCpus: Batch's intent, not what runs.
    pub desired_vcpus: Vcpus,
    /// maxvCpus.
    pub max_vcpus: Vcpus,
    /// `minScaleDownDelayMinutes` as a span; zero if unset.
    pub scale_down_delay: Span,
}

/// What really runs in an environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstancesNow {
    /// vCPUs of its ACTIVE container instances.
    pub there: Vcpus,
    /// Those of them that jobs hold.
    pub used: Vcpus,
    /// Room left, instances alike counted together. Draining instances are not here.
    pub rooms: Vec<Room>,
    /// The latest launch that failed for want of capacity or quota, if any was seen.
    pub capacity_error: Option<Time>,
    /// The latest registration of a new instance.
    pub registered: Option<Time>,
    /// The latest launch that EC2 refused, as Auto Scaling or the Spot Fleet tells it.
    #[serde(default)]
    pub refused: Option<Refused>,
    /// vCPUs of its ACTIVE instances by instance type, by name, as far as told: which service quota counts them.
    #[serde(default)]
    pub types: Vec<(String, Vcpus)>,
}

/// A launch that EC2 refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// When.
    pub at: Time,
    /// Why.
    pub why: Refusal,
}

/// Why EC2 refused a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// `VcpuLimitExceeded`: an On-Demand vCPU quota is used up.
    VcpuLimit,
    /// `MaxSpotInstanceCountExceeded`: a Spot vCPU quota is used up.
    SpotLimit,
    /// EC2 has no capacity.
    Capacity,
    /// Anything else: a launch template, an image, a permission.
    Other,
}

impl Refusal {
    /// Of EC2's code. Where there is none, whoever tells begins the message with it, or quotes it.
    pub fn of(code: &str, message: &str) -> Self {
        let says = |what: &str| code == what || message.contains(what);
        if says("VcpuLimitExceeded") {
            Self::VcpuLimit
        } else if says("MaxSpotInstanceCountExceeded") {
            Self::SpotLimit
        } else if says("InsufficientInstanceCapacity") || says("UnfulfillableCapacity") {
            Self::Capacity
        } else {
            Self::Other
        }
    }

    /// Whether more instances might come if there were more of something, so that waiting or asking elsewhere helps.
    pub const fn is_shortage(self) -> bool {
        !matches!(self, Self::Other)
    }
}

/// Instances with the same room left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Room {
    /// What is free on each.
    pub free: Resources,
    /// How many.
    pub instances: u32,
}

/// A job queue's jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueNow {
    /// RUNNABLE jobs that could start, array children included; without what `not_demand` counts.
    pub runnable: Seen<Tally>,
    /// STARTING and RUNNING jobs.
    pub placed: Seen<Tally>,
    /// The size of the RUNNABLE job that stands first, as GetJobQueueSnapshot gives the order; `None` if no job waits. Those
    /// behind it start after it, even where they would fit and it does not.
    pub head: Seen<Option<Shape>>,
    /// Jobs that wait but are no demand for capacity.
    pub not_demand: NotDemand,
    /// RUNNABLE multi-node jobs: no demand of ours, but Batch launches for them.
    #[serde(default)]
    pub multi_node: Tally,
}

/// Jobs that wait for something that capacity does not cure (counts).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotDemand {
    /// PENDING on dependencies.
    pub pending: i64,
    /// Blocked by MISCONFIGURATION or an invalid environment, seen long enough to believe it.
    pub misconfigured: i64,
    /// Held by a fair-share reservation. The simulated view tells; AWS Batch does not say which jobs are, so in a real account
    /// they count as RUNNABLE demand.
    pub reserved: i64,
    /// Multi-node parallel: Batch never serves these from minvCpus.
    pub multi_node: i64,
}

/// An SQS queue's approximate counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqsNow {
    /// Visible messages.
    pub visible: i64,
    /// In flight: received, not yet deleted.
    pub in_flight: i64,
    /// Delayed: not yet visible.
    pub delayed: i64,
}

/// A service quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaNow {
    /// The applied limit.
    pub limit: Vcpus,
    /// What runs in the account outside the environments we steer.
    pub used_by_others: Vcpus,
}

/// Jobs that will become RUNNABLE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Arrival {
    /// When.
    pub at: Time,
    /// In which queue.
    pub queue: QueueIndex,
    /// Their size.
    pub shape: Shape,
    /// How many.
    pub jobs: i64,
}
