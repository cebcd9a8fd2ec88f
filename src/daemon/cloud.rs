//! What the daemon asks of an account, one method a call: `aws` answers for a real account, a simulated one for a demo, made-up
//! ones for tests. Nothing here decides anything.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;

use crate::account::Topology;
use crate::account::survey::{Counted, Survey};
use crate::jobs::{JobDescribed, JobSeen, JobStatus};
use crate::observation::{EnvironmentNow, GapReason, InstancesNow, Shape, SqsNow};
use crate::planner::plan::Change;
use crate::units::{MicroUsd, Span, Time, Vcpus};

/// Whose account it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Twelve digits.
    pub account: String,
    /// For example `eu-central-1`.
    pub region: String,
}

/// Whose permissions a survey looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// The caller's: it is the daemon itself.
    Caller,
    /// Those of a role, by ARN.
    Role(String),
    /// Nobody's: a person calls, whose own permissions say nothing of the daemon's.
    Nobody,
}

/// A call that told nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// What kind of trouble.
    pub why: GapReason,
    /// For people: the operation, what the service said, and what to do (a denied call names the missing IAM action).
    pub message: String,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Unread {}

/// How a call ended.
pub type Read<T> = Result<T, Unread>;

/// A compute environment as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvironmentRead {
    /// Its name.
    pub name: String,
    /// Scaling parameters and state.
    pub now: EnvironmentNow,
    /// Why it is INVALID, in the service's words; empty otherwise.
    pub status_reason: String,
    /// Its tags: the opt-in, and what people ordered.
    pub tags: BTreeMap<String, String>,
    /// Its ECS cluster, by ARN.
    pub cluster: Option<String>,
    /// A Spot Fleet launches its instances: Spot with `BEST_FIT`. Elsewhere Auto Scaling does.
    pub spot_fleet: bool,
}

/// A service quota of EC2 as it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaRead {
    /// The applied limit.
    pub limit: Vcpus,
    /// What all of the account uses of it, ours included.
    pub used: Vcpus,
    /// How that was counted.
    pub counted: Counted,
    /// When: a count of instances stands for several readings.
    pub counted_at: Time,
}

/// A launch that EC2 refused. AWS Batch says nothing of it: the activities of the Auto Scaling group behind an environment do, and
/// for `BEST_FIT` on Spot the history of its Spot Fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedLaunch {
    /// When.
    pub at: Time,
    /// EC2's code for it, such as `VcpuLimitExceeded` or `MaxSpotInstanceCountExceeded`; empty if the message begins with none.
    pub code: String,
    /// In the service's words.
    pub message: String,
    /// The code of the service quota that it ran into, where the message or the type asked for tells.
    pub quota: Option<String>,
    /// Who tells.
    pub source: LaunchSource,
}

/// Who tells of launches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaunchSource {
    /// `DescribeScalingActivities` of Auto Scaling.
    AutoScaling,
    /// `DescribeSpotFleetRequestHistory` of EC2.
    SpotFleet,
}

/// A job queue as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueRead {
    /// Its name.
    pub name: String,
    /// Its tags: what people ordered.
    pub tags: BTreeMap<String, String>,
}

/// A page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Its jobs.
    pub jobs: Vec<JobSeen>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<String>,
}

/// The head of a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The first RUNNABLE job.
    pub job: String,
    /// Since when it has been first.
    pub since: Option<Time>,
}

/// What puts base back in the account itself, should we no longer be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedGuard {
    /// The environment's name.
    pub environment: String,
    /// When it first fires.
    pub fires: Time,
    /// The minvCpus to restore.
    pub min_vcpus: Vcpus,
    /// The maxvCpus to restore; `None` where max is not ours to change.
    pub max_vcpus: Option<Vcpus>,
}

/// How an update was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What it means for the controller.
    pub outcome: crate::control::Outcome,
    /// What the service said; empty if it accepted.
    pub message: String,
}

/// Something changed: look again. Nothing in it becomes state, but what it says of a job may go to the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all hints are of jobs, and none is kept"
)]
pub enum Hint {
    /// A job changed its state.
    Job {
        /// The job queue's name.
        queue: String,
        /// The job.
        job: JobSeen,
        /// Its size, if the event tells it.
        shape: Option<Shape>,
        /// Jobs that it waits for.
        parents: Vec<String>,
        /// When.
        at: Time,
    },
    /// The head of a queue is blocked.
    Blocked {
        /// The job queue's name.
        queue: String,
        /// Why, in the service's words.
        reason: String,
    },
    /// An instance of an ECS cluster came, went or changed.
    Instance {
        /// The cluster's ARN.
        cluster: String,
    },
    /// EC2 will take a Spot instance back, or may.
    Interruption {
        /// The instance.
        instance: String,
    },
    /// Not understood: counted, and otherwise ignored.
    Malformed,
}

/// An account. Every call ends within a deadline of its own; none retries for longer than that.
pub trait Cloud: Send + Sync + 'static {
    /// Who we are.
    fn identity(&self) -> impl Future<Output = Read<Identity>> + Send;
    /// All compute environments and job queues, with the instance types that they may launch.
    fn topology(&self) -> impl Future<Output = Read<Topology>> + Send;
    /// These compute environments as they stand.
    fn environments(&self, names: &[String]) -> impl Future<Output = Read<Vec<EnvironmentRead>>> + Send;
    /// These job queues as they stand.
    fn queues(&self, names: &[String]) -> impl Future<Output = Read<Vec<QueueRead>>> + Send;
    /// One page of a queue's jobs in a status.
    fn list_jobs(
        &self,
        queue: &str,
        status: JobStatus,
        page: Option<String>,
    ) -> impl Future<Output = Read<Page>> + Send;
    /// One page of an array's children in a status.
    fn list_children(
        &self,
        parent: &str,
        status: JobStatus,
        page: Option<String>,
    ) -> impl Future<Output = Read<Page>> + Send;
    /// One page of a queue's jobs in any status that were submitted after a moment, the latest first; no children of arrays.
    fn list_created(&self, queue: &str, after: Time, page: Option<String>) -> impl Future<Output = Read<Page>> + Send;
    /// At most 100 jobs; those that are unknown are left out.
    fn describe_jobs(&self, ids: &[String]) -> impl Future<Output = Read<Vec<JobDescribed>>> + Send;
    /// The first RUNNABLE job of a queue.
    fn head(&self, queue: &str) -> impl Future<Output = Read<Option<Head>>> + Send;
    /// What really runs in an environment.
    fn instances(&self, environment: &EnvironmentRead) -> impl Future<Output = Read<InstancesNow>> + Send;
    /// Launches of an environment that failed after `since`, in any order; those alike may be told once.
    fn failed_launches(
        &self,
        environment: &EnvironmentRead,
        since: Time,
    ) -> impl Future<Output = Read<Vec<FailedLaunch>>> + Send;
    /// An SQS queue's counts, by name or URL.
    fn messages(&self, sqs: &str) -> impl Future<Output = Read<SqsNow>> + Send;
    /// The age of an SQS queue's oldest message, from CloudWatch; `None` if it tells none.
    fn oldest_message(&self, sqs: &str) -> impl Future<Output = Read<Option<Span>>> + Send;
    /// A service quota of EC2 by its code.
    fn quota(&self, code: &str) -> impl Future<Output = Read<QuotaRead>> + Send;
    /// What Spot Instances of these types cost per hour; types without a price are left out.
    fn spot_prices(&self, types: &[String]) -> impl Future<Output = Read<BTreeMap<String, MicroUsd>>> + Send;
    /// One scaling update.
    fn send(&self, environment: &str, change: &Change) -> impl Future<Output = Answer> + Send;
    /// Creates or moves the guard of an environment.
    fn arm(&self, guard: &NamedGuard) -> impl Future<Output = Read<()>> + Send;
    /// Removes the guard of an environment; none there is well.
    fn disarm(&self, environment: &str) -> impl Future<Output = Read<()>> + Send;
    /// All guards there are.
    fn guards(&self) -> impl Future<Output = Read<Vec<NamedGuard>>> + Send;
    /// Sets a tag (`Some`) or removes it on an environment or queue, by name.
    fn tag(&self, subject: &Tagged, key: &str, value: Option<&str>) -> impl Future<Output = Read<()>> + Send;
    /// The account as `check` looks at it, with these SQS queues. Fails only where nothing at all can be read.
    fn survey(&self, sqs_queues: &[String], principal: Principal) -> impl Future<Output = Read<Survey>> + Send;
    /// Waits for hints for up to 20 s.
    fn hints(&self) -> impl Future<Output = Read<Vec<Hint>>> + Send;
    /// Requests so far, every attempt, by service, operation and code (the HTTP status; `none` without an answer).
    fn calls(&self) -> Vec<(String, String, String, u64)> {
        Vec::new()
    }
}

/// What carries a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tagged {
    /// A compute environment, by name.
    Environment(String),
    /// A job queue, by name.
    Queue(String),
}
