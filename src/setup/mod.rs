//! Policy compiled against topology: names have become dense indices, defaults have been filled in. With the forecast, which
//! schedules fill, this is all the planner knows of what the operator wants.

mod compile;
mod entries;
mod parts;
#[cfg(test)]
mod tests;
mod types;

pub use crate::policy::file::Limits;
pub use compile::{Compiled, compile};

use crate::account::Platform;
use crate::catalog::{Purchase, Resources};
use crate::ids::{EnvironmentIndex, QueueIndex, QuotaIndex, SqsIndex};
use crate::observation::Shape;
use crate::policy::file::TempoPolicy;
use crate::units::{Span, Vcpus};

/// Everything the planner knows of policy and account shape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Setup {
    /// Compute environments.
    pub environments: Vec<EnvironmentSetup>,
    /// Job queues.
    pub queues: Vec<QueueSetup>,
    /// Queues in the order in which they are served: highest priority first, then by name.
    pub serve_order: Vec<QueueIndex>,
    /// SQS sources of all queues.
    pub sqs_sources: Vec<SqsSetup>,
    /// Service quotas that bind our environments.
    pub quotas: Vec<QuotaSetup>,
    /// Cap of the operator on the vCPUs of all environments together.
    pub account_cap: Option<Vcpus>,
    /// The region, if known: for the links of explanations.
    pub region: Option<String>,
    /// How fast and how careful.
    pub tempo: Tempo,
}

/// A compute environment and what the policy says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvironmentSetup {
    /// Its name.
    pub name: String,
    /// What can be steered.
    pub platform: Platform,
    /// On-Demand or Spot.
    pub purchase: Purchase,
    /// Whether a policy covers it; others are watched, never written.
    pub covered: bool,
    /// The operator's own minvCpus, to which everything returns.
    pub base: Vcpus,
    /// Whether the policy names base. Otherwise it is what the operator left in the account, and what he changes it to.
    pub base_named: bool,
    /// The policy's cap on what we ask for; `maxvCpus` binds besides.
    pub cap: Option<Vcpus>,
    /// The most one update may add.
    pub max_step: Option<Vcpus>,
    /// What a job can get on each allowed type, smallest first.
    pub fits: Vec<Resources>,
    /// Memory that comes with a vCPU on the most generous allowed type, in MiB per 1,024 vCPUs.
    pub memory_per_kilo_vcpu: i64,
    /// vCPUs that come with a GPU on the leanest GPU type; zero if no type has GPUs.
    pub vcpus_per_gpu: Vcpus,
    /// vCPUs of the smallest allowed type.
    pub smallest: Vcpus,
    /// vCPUs of the largest allowed type: what Batch may exceed a limit by.
    pub largest: Vcpus,
    /// What AWS Batch launches when minvCpus is raised with no job in hand, as one large instance: the type that is
    /// cheapest per vCPU. Assumed; seen where warm capacity was too small for the jobs that came.
    pub without_job: Resources,
    /// The service quotas that count its vCPUs, each with the types under it: one for most environments, several where types
    /// of different classes (m5 and g4dn) are allowed.
    pub quotas: Vec<QuotaShare>,
    /// How long a launch usually takes from the ask to a registered instance (90th percentile): assumed until measured.
    pub launch_expected: Span,
    /// What service quotas bind: nothing, our asks, or Batch too, for which `maxvCpus` may be lowered.
    pub limits: Limits,
    /// The policy enforces limits, but no guard in the account would put `maxvCpus` back: they are only clamped to.
    pub unenforced: bool,
}

impl EnvironmentSetup {
    /// Whether `maxvCpus` may be lowered so that Batch moves on to the next environment.
    pub fn enforces(&self) -> bool {
        self.limits == Limits::Enforce
    }
}

/// A service quota that an environment draws from, and its types that this quota counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaShare {
    /// The quota.
    pub quota: QuotaIndex,
    /// What a job can get on each of these types. Only types that no other beats in every dimension.
    pub fits: Vec<Resources>,
    /// vCPUs of the smallest of them.
    pub smallest: Vcpus,
    /// vCPUs of the largest of them.
    pub largest: Vcpus,
}

/// A job queue and what the policy says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueSetup {
    /// Its name.
    pub name: String,
    /// Its environments in `computeEnvironmentOrder`.
    pub environments: Vec<EnvironmentIndex>,
    /// Whether RUNNABLE jobs are a signal. If not, Batch alone serves them; so it is for a queue that no policy covers.
    pub follows_runnable: bool,
    /// Patience before On-Demand is paid for: with at least `jobs` waiting for `after`. Any pair suffices. Empty: never.
    pub patience: Vec<Patience>,
    /// vCPUs of this queue's demand that are placed On-Demand from the start.
    pub on_demand_base: Vcpus,
    /// Idle room wanted at all times, in slots of `reference`.
    pub headroom_slots: i64,
    /// The reference job in which headroom and floors are counted.
    pub reference: Shape,
    /// How long capacity that jobs have used is kept after they stopped using it.
    pub idle_time: Span,
    /// Its SQS sources.
    pub sqs_sources: Vec<SqsIndex>,
    /// Whether a fair-share policy orders it.
    pub fair_share: bool,
    /// Whether the policy has hours for it in which room is kept.
    pub has_schedules: bool,
}

/// One pair of the patience table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// With at least this many jobs waiting...
    pub jobs: i64,
    /// ...for this long.
    pub after: Span,
}

/// An SQS queue whose messages become jobs.
#[derive(Clone, Debug, PartialEq)]
pub struct SqsSetup {
    /// Its name in the policy.
    pub name: String,
    /// The job queue that it feeds.
    pub queue: QueueIndex,
    /// What a message means.
    pub hand_off: HandOff,
    /// The job that a message, or a worker, becomes.
    pub job: Shape,
    /// The most vCPUs this source may ask for.
    pub cap: Option<Vcpus>,
    /// Messages that do not become jobs for this long lose their demand.
    pub patience: Span,
}

/// How messages become work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandOff {
    /// A dispatcher submits this many jobs per 1,000 messages and deletes them. In flight: not counted, already jobs.
    Dispatcher {
        /// Jobs per 1,000 messages.
        jobs_per_kilo_message: i64,
    },
    /// Long-lived worker jobs read messages themselves, this many each.
    Workers {
        /// Messages per worker.
        messages_per_worker: i64,
    },
}

/// A service quota and what the policy says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaSetup {
    /// The quota's code, for example `L-34B43A08`.
    pub code: String,
    /// The limit from the policy, used where the observation has none.
    pub limit: Option<Vcpus>,
    /// Kept free for the rest of the account.
    pub reserve: Vcpus,
}

/// How fast and how careful the control law is. Its defaults and their reasons are those of a policy file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tempo {
    /// On an idle environment, how long Batch may act first.
    pub batch_first: Span,
    /// At most one update per environment in this time, unless the ask at least doubles.
    pub between_updates: Span,
    /// minvCpus is lowered only after less was wanted for this long.
    pub lower_after: Span,
    /// Every raise above base expires after this unless renewed.
    pub lease: Span,
    /// A part older than this no longer supports a raise or a lowering.
    pub stale_after: Span,
    /// After this long without sight, minvCpus returns to base.
    pub max_blind: Span,
    /// After a start, nothing is lowered for this long.
    pub quiet_after_start: Span,
    /// First memory of a drought; doubles with every probe that fails.
    pub drought_first: Span,
    /// Longest memory of a drought.
    pub drought_most: Span,
    /// How much longer than expected a launch may take before its environment counts as short of capacity.
    pub launch_grace: Span,
    /// Idle On-Demand beside RUNNABLE jobs for this long: Batch does not place there.
    pub not_placed_after: Span,
}

impl Default for Tempo {
    /// The defaults of a policy file.
    fn default() -> Self {
        Self::from(&TempoPolicy::default())
    }
}

impl From<&TempoPolicy> for Tempo {
    fn from(tempo: &TempoPolicy) -> Self {
        Self {
            batch_first: tempo.batch_first.0,
            between_updates: tempo.between_updates.0,
            lower_after: tempo.lower_after.0,
            lease: tempo.lease.0,
            stale_after: tempo.stale_after.0,
            max_blind: tempo.max_blind.0,
            quiet_after_start: tempo.quiet_after_start.0,
            drought_first: tempo.drought_first.0,
            drought_most: tempo.drought_most.0,
            launch_grace: tempo.launch_grace.0,
            not_placed_after: tempo.not_placed_after.0,
        }
    }
}
