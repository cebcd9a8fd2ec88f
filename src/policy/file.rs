//! The keys of a policy file. The comments here are the documentation of the format: the JSON schema carries them into
//! editors, and `autotune validate --show-effective` prints them beside each value.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::input::values::{
    AccountId, Cpus, CronSchedule, Duration, Memory, NameSelector, QuotaCode, Readable as _, Region, Selector, Share,
    Zone,
};
use crate::units::{Mebibytes, Span, Vcpus};

/// A policy of autotune: what should be ready, where, and at which limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyFile {
    /// Version of this format: 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// The account as a whole: where the policy holds, and what all environments together may take.
    #[serde(default)]
    pub account: AccountPolicy,
    /// How fast and how careful. Every value has a default that suits most accounts.
    #[serde(default)]
    pub tempo: TempoPolicy,
    /// Job queues by name or pattern (`*`, `?`, `[abc]`, `{a,b}`). A queue that none chooses is watched, never acted for. A
    /// queue that two choose is a problem: use `except`.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "format": NameSelector::FORMAT }))]
    pub queues: BTreeMap<String, QueuePolicy>,
    /// Compute environments by name, pattern or tag (`tag:KEY=VALUE`). One that none chooses has the defaults.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "format": Selector::FORMAT }))]
    pub environments: BTreeMap<String, EnvironmentPolicy>,
}

/// What concerns the account as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccountPolicy {
    /// The AWS account that this policy is for; the daemon acts in no other. Not set: whichever the credentials are for.
    pub id: Option<AccountId>,
    /// The AWS region that this policy is for. Not set: whichever the daemon is configured for.
    pub region: Option<Region>,
    /// The most vCPUs that all environments together are asked for. Not set: no such cap.
    pub cap: Option<Cpus>,
    /// EC2 service quotas by their code. Without an entry, the limit that Service Quotas reports holds, with no reserve.
    #[schemars(extend("propertyNames" = { "format": QuotaCode::FORMAT }))]
    pub quotas: BTreeMap<String, QuotaPolicy>,
}

/// A service quota, counted in vCPUs across the whole account and region.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QuotaPolicy {
    /// Its limit in vCPUs, used where Service Quotas cannot be read. Not set: only what is read.
    pub limit: Option<Cpus>,
    /// vCPUs, or a percentage of `limit`, that are left to the rest of the account.
    pub reserve: Option<Share>,
}

/// How fast and how careful the control law is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TempoPolicy {
    /// On an idle environment, how long Batch may start instances by itself before it is helped.
    pub batch_first: Duration,
    /// At most one update per environment in this time, unless the ask at least doubles.
    pub between_updates: Duration,
    /// minvCpus is lowered only after less was wanted for this long.
    pub lower_after: Duration,
    /// Every raise above the base expires after this unless it is renewed, so that nothing outlives autotune.
    pub lease: Duration,
    /// A reading older than this supports neither a raise nor a lowering.
    pub stale_after: Duration,
    /// After this long without any reading, minvCpus returns to the base.
    pub max_blind: Duration,
    /// After a start of autotune, nothing is lowered for this long.
    pub quiet_after_start: Duration,
    /// How long the first lack of Spot capacity is remembered; each probe that fails doubles it.
    pub drought_first: Duration,
    /// The longest that a lack of Spot capacity is remembered.
    pub drought_most: Duration,
    /// How much longer than expected a launch may take before its environment counts as short of capacity.
    pub launch_grace: Duration,
    /// On-Demand capacity idle beside RUNNABLE jobs for this long: Batch does not place jobs there.
    pub not_placed_after: Duration,
}

impl Default for TempoPolicy {
    fn default() -> Self {
        let seconds = |seconds| Duration(Span::from_seconds(seconds));
        Self {
            // Batch itself starts at once for a burst on an idle queue; asking as well would launch twice.
            batch_first: seconds(20),
            // AWS Batch throttles control calls; a launch takes minutes, so half a minute loses little.
            between_updates: seconds(30),
            lower_after: seconds(60),
            // Several missed renewals, and still a bounded bill if autotune dies.
            lease: seconds(15 * 60),
            stale_after: seconds(10 * 60),
            max_blind: seconds(20 * 60),
            quiet_after_start: seconds(2 * 60),
            drought_first: seconds(15 * 60),
            drought_most: seconds(60 * 60),
            launch_grace: seconds(75),
            not_placed_after: seconds(3 * 60),
        }
    }
}

/// What a job queue wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueuePolicy {
    /// Names or patterns of queues that this entry leaves to others.
    pub except: Vec<NameSelector>,
    /// Which of the signals below count. Without `runnable`, Batch alone serves waiting jobs, and autotune only prepares.
    pub signals: Vec<Signal>,
    /// Which of the queue's compute environments are steered, by name, pattern or tag; Batch still uses the others. Their
    /// order is always the queue's own computeEnvironmentOrder. Not set: all of them.
    #[schemars(example = ["genomics-spot-*", "tag:team=genomics"])]
    pub environments: Option<Vec<Selector>>,
    /// When waiting jobs are worth On-Demand prices: with at least `jobs` waiting for `after`. Any pair suffices; an empty list
    /// means never.
    pub patience: Vec<PatiencePolicy>,
    /// vCPUs of this queue's demand that are placed On-Demand from the start, for jobs that should not wait for Spot.
    pub on_demand_base: Cpus,
    /// How many more jobs like `reference_job` should find room at any time. Paid while idle.
    pub headroom_slots: u32,
    /// The job in which headroom is counted: as large as the jobs that should start at once.
    pub reference_job: JobSize,
    /// How long capacity that jobs have used is kept after they stopped using it. Paid while idle.
    pub idle_time: Duration,
    /// Times with more capacity or more headroom. Where several hold at once, the largest floor and the largest headroom
    /// count; they do not add up.
    pub schedules: Vec<SchedulePolicy>,
    /// SQS queues whose messages become jobs of this queue, by the name of the SQS queue.
    pub sqs: BTreeMap<String, SqsPolicy>,
}

impl Default for QueuePolicy {
    fn default() -> Self {
        Self {
            except: Vec::new(),
            signals: vec![Signal::Runnable, Signal::Sqs, Signal::Headroom, Signal::Schedules],
            environments: None,
            // Longer than an ordinary launch (see `launch_expected`), so that only a real lack of Spot capacity is paid for.
            patience: vec![PatiencePolicy {
                jobs: 1,
                after: Duration(Span::from_minutes(4)),
            }],
            on_demand_base: Cpus(Vcpus::ZERO),
            headroom_slots: 0,
            reference_job: JobSize::default(),
            // Nothing is kept that was not asked for: Batch's own idle time before scale-in comes on top.
            idle_time: Duration(Span::ZERO),
            schedules: Vec::new(),
            sqs: BTreeMap::new(),
        }
    }
}

/// What tells that capacity is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// RUNNABLE jobs.
    Runnable,
    /// Messages in the SQS queues of `sqs`.
    Sqs,
    /// The slots of `headroom_slots`.
    Headroom,
    /// The floors and headroom of `schedules`.
    Schedules,
}

/// One pair of the patience table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PatiencePolicy {
    /// With at least this many jobs waiting...
    #[schemars(range(min = 1))]
    pub jobs: u32,
    /// ...for this long.
    pub after: Duration,
}

/// The size of a job.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JobSize {
    /// vCPUs, at least 1.
    pub vcpus: Cpus,
    /// Memory.
    pub memory: Memory,
    /// Whole GPUs.
    pub gpus: u32,
}

impl Default for JobSize {
    /// One vCPU with the 2 GiB that the leanest common instance families (c6i, c7i) have per vCPU.
    fn default() -> Self {
        Self {
            vcpus: Cpus(Vcpus::new(1)),
            memory: Memory(Mebibytes::new(2048)),
            gpus: 0,
        }
    }
}

/// A time with more capacity or more headroom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SchedulePolicy {
    /// When it starts: minute, hour, day of month, month, day of week, on the clocks of `time_zone`. A start that the change
    /// to summer time skips happens right after the change; one that the change back repeats happens once.
    pub cron: CronSchedule,
    /// How long it lasts, in elapsed time: a change of the clocks moves its end on the wall clock.
    pub duration: Duration,
    /// Whose clocks: an IANA time zone.
    pub time_zone: Zone,
    /// vCPUs, used and idle together, that the queue's environments hold.
    #[serde(default = "no_cpus")]
    pub floor_vcpus: Cpus,
    /// Idle slots of `reference_job` that the queue's environments hold.
    #[serde(default)]
    pub headroom_slots: u32,
}

const fn no_cpus() -> Cpus {
    Cpus(Vcpus::ZERO)
}

/// An SQS queue whose messages become jobs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqsPolicy {
    /// How messages become work. `dispatcher`: something submits jobs for messages and deletes them; messages in flight are
    /// jobs already. `workers`: long-lived jobs read the messages themselves.
    pub hand_off: HandOffPolicy,
    /// With `dispatcher`: jobs that a message becomes; 0.1 if ten messages become one job. Not set: 1.
    #[schemars(range(min = 0.001, max = 100_000.0), example = 0.1)]
    pub jobs_per_message: Option<f64>,
    /// With `workers`: visible messages that one worker is worth. Not set: 1.
    #[schemars(range(min = 1), example = 10)]
    pub messages_per_worker: Option<u32>,
    /// The size of such a job or worker.
    #[serde(default)]
    pub job: JobSize,
    /// The most vCPUs that these messages may ask for. Not set: only the limits of the environments.
    pub cap: Option<Cpus>,
    /// Messages that do not become jobs for this long lose their demand.
    #[serde(default = "sqs_patience")]
    pub patience: Duration,
}

/// Ten minutes: by then a working dispatcher has submitted, and a broken one should not hold capacity.
const fn sqs_patience() -> Duration {
    Duration(Span::from_minutes(10))
}

/// How messages become work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HandOffPolicy {
    /// Something submits jobs for messages and deletes them.
    Dispatcher,
    /// Long-lived jobs read the messages themselves.
    Workers,
}

/// What the policy says of a compute environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EnvironmentPolicy {
    /// Names, patterns or tags of environments that this entry leaves to others.
    pub except: Vec<Selector>,
    /// The minvCpus to which everything returns. Not set: the environment's minvCpus as the operator left it.
    pub min_vcpus: Option<Cpus>,
    /// The most that this environment is asked for: vCPUs, or a percentage of its maxvCpus. Not set: its maxvCpus.
    pub cap: Option<Share>,
    /// The most that one update may add: vCPUs, or a percentage of its maxvCpus. Not set: no such limit.
    pub max_step: Option<Share>,
    /// What service quotas of the account do. `report`: they are shown, and what would go beyond them is said; nothing is held
    /// back (caps and maxvCpus still bind). `clamp`: what is asked for stays within them; maxvCpus is never touched. `enforce`:
    /// maxvCpus is also lowered for as long as it must be, so that Batch itself keeps within a quota, and moves on to the next
    /// environment there and where Spot has no capacity. What was lowered goes back by itself, also when autotune is gone;
    /// a daemon without a guard, where it would not, only clamps.
    pub limits: Limits,
    /// How long a launch usually takes, from the ask to a registered instance (90 of 100 are faster). Assumed until measured.
    pub launch_expected: Duration,
}

impl Default for EnvironmentPolicy {
    fn default() -> Self {
        Self {
            except: Vec::new(),
            min_vcpus: None,
            cap: None,
            max_step: None,
            limits: Limits::Clamp,
            // Recordings of 2023 to 2025: fresh capacity after 110 to 390 s without slow launch templates. A value that is too
            // short takes slow boots for a lack of capacity and pays On-Demand for them.
            launch_expected: Duration(Span::from_minutes(6)),
        }
    }
}

/// Whether service quotas bind nobody, our asks, or Batch too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Limits {
    /// Quotas are shown and bind nothing.
    Report,
    /// Asks stay within the quotas.
    #[default]
    Clamp,
    /// maxvCpus may be lowered too.
    Enforce,
}
