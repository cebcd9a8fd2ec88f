//! A plan is data with its reasons: what was wanted, what was granted, which limit bound it, what follows.

use serde::{Deserialize, Serialize};

use crate::forecast::ForecastName;
use crate::ids::{EnvironmentIndex, QueueIndex, QuotaIndex, SqsIndex};
use crate::observation::Refusal;
use crate::overrides::Order;
use crate::planner::Inputs;
use crate::planner::memory::{EnvironmentMemory, QueueMemory, SqsMemory};
use crate::planner::scratch::Scratch;
use crate::units::{Span, Time, Vcpus};

/// What to do now and why. Buffers are kept from plan to plan, so that a steady state allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// When it was made.
    pub at: Time,
    /// The observation it was made from.
    pub generation: u64,
    /// The forecast it was made with.
    pub forecast: ForecastName,
    /// With an unchanged observation no action can follow before this moment.
    pub look_again_at: Time,
    /// Per environment: the sums.
    pub environments: Vec<EnvironmentPlan>,
    /// Per queue: the sums.
    pub queues: Vec<QueuePlan>,
    /// Per service quota: the ledger.
    pub quotas: Vec<QuotaPlan>,
    /// At most one per environment; none when nothing changes.
    pub actions: Vec<Action>,
    /// Why, in the order in which it was found.
    pub reasons: Vec<Reason>,
    /// What to remember; see [`crate::planner::memory::Memory::fold`].
    pub notes: Vec<Note>,
    pub(crate) scratch: Scratch,
}

impl Plan {
    /// Empties the plan for its next use.
    pub fn reset(&mut self, inputs: &Inputs<'_>) {
        self.at = inputs.now;
        self.generation = inputs.observation.generation;
        self.forecast = inputs.forecast.name();
        self.look_again_at = Time::FAR_FUTURE;
        self.environments.clear();
        self.environments
            .resize(inputs.setup.environments.len(), EnvironmentPlan::default());
        self.queues.clear();
        self.queues.resize(inputs.setup.queues.len(), QueuePlan::default());
        self.quotas.clear();
        self.quotas.resize(inputs.setup.quotas.len(), QuotaPlan::default());
        self.actions.clear();
        self.reasons.clear();
        self.notes.clear();
    }

    /// Something may follow at `time` even if nothing is seen to change.
    pub fn look_at(&mut self, time: Time) {
        if time > self.at {
            self.look_again_at = self.look_again_at.min(time);
        }
    }

    /// Adds a reason.
    pub fn say(&mut self, subject: Subject, because: Because) {
        self.reasons.push(Reason { subject, because });
    }
}

/// What a plan says of one environment, in vCPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EnvironmentPlan {
    /// ACTIVE container instances.
    pub there: Vcpus,
    /// Held by jobs.
    pub used: Vcpus,
    /// Asked for and believed to come.
    pub on_its_way: Vcpus,
    /// Idle room that waiting jobs will take.
    pub claimed_idle: Vcpus,
    /// Of what is on its way, what waiting jobs will take.
    pub claimed_on_its_way: Vcpus,
    /// Room that Batch sees no RUNNABLE job for: headroom, messages, jobs to come; there or on its way.
    pub idle_wanted: Vcpus,
    /// The part of it that is there.
    pub idle_kept: Vcpus,
    /// New capacity wanted before limits.
    pub wanted: Vcpus,
    /// New capacity after limits.
    pub granted: Vcpus,
}

/// What a plan says of one queue, in vCPUs of its preferred environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueuePlan {
    /// RUNNABLE jobs that some environment can run.
    pub waiting_jobs: i64,
    /// RUNNABLE jobs that no environment of the queue can run.
    pub unfit_jobs: i64,
    /// Demand of RUNNABLE jobs.
    pub waiting: Vcpus,
    /// Demand of messages that are not jobs yet.
    pub messages: Vcpus,
    /// Demand of jobs known to come.
    pub arriving: Vcpus,
    /// Served from idle room.
    pub from_idle: Vcpus,
    /// Served from what is on its way.
    pub from_on_its_way: Vcpus,
    /// New capacity granted.
    pub granted: Vcpus,
    /// Left without capacity by some limit.
    pub denied: Vcpus,
}

/// What a plan says of one service quota, in vCPUs: a row of the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaPlan {
    /// The limit as applied, or the policy's if that is lower or alone; `None`: not known, so it binds nothing.
    pub limit: Option<Vcpus>,
    /// It was not read yet, not even in vain: nothing more is asked for where it binds.
    #[serde(default)]
    pub unread: bool,
    /// What runs in the account outside the steered environments, if known.
    pub used_by_others: Option<Vcpus>,
    /// ACTIVE instances of our environments.
    pub held: Vcpus,
    /// Asked for in our environments and not there yet, or there and of a type that is not told.
    pub on_its_way: Vcpus,
    /// What the policy keeps free for the rest of the account.
    pub reserve: Vcpus,
    /// Kept for the instance by which Batch may exceed what is asked for, per environment.
    pub overshoot: Vcpus,
    /// Granted by this plan.
    pub granted: Vcpus,
    /// What is left after all this.
    pub left: Vcpus,
}

impl QuotaPlan {
    /// Everything that stands against the limit before anything is granted.
    pub fn taken(&self) -> Vcpus {
        let others = self.used_by_others.unwrap_or(Vcpus::ZERO);
        others + self.held + self.on_its_way + self.reserve + self.overshoot
    }
}

/// The three numbers of a compute environment that a scaling update may change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Levels {
    /// minvCpus.
    pub min_vcpus: Vcpus,
    /// desiredvCpus.
    pub desired_vcpus: Vcpus,
    /// maxvCpus.
    pub max_vcpus: Vcpus,
}

/// One scaling update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Action {
    environment: EnvironmentIndex,
    from: Levels,
    to: Levels,
    because: Because,
}

impl Action {
    /// An update between two levels. `desired` is never lowered: AWS Batch refuses that, so the type cannot say it.
    pub fn new(environment: EnvironmentIndex, from: Levels, to: Levels, because: Because) -> Self {
        let to = Levels {
            desired_vcpus: to.desired_vcpus.max(from.desired_vcpus),
            ..to
        };
        Self {
            environment,
            from,
            to,
            because,
        }
    }

    /// The environment to update.
    pub const fn environment(&self) -> EnvironmentIndex {
        self.environment
    }

    /// The levels that the plan saw.
    pub const fn from(&self) -> Levels {
        self.from
    }

    /// The levels to reach.
    pub const fn to(&self) -> Levels {
        self.to
    }

    /// The main reason.
    pub const fn because(&self) -> Because {
        self.because
    }

    /// Whether it raises a level, or, where min and desired stay, gives back max.
    pub fn is_upward(&self) -> bool {
        let stays = self.to.min_vcpus == self.from.min_vcpus && self.to.desired_vcpus == self.from.desired_vcpus;
        self.raises() || stays && self.to.max_vcpus > self.from.max_vcpus
    }

    /// Whether the update raises what the operator pays for.
    pub fn raises(&self) -> bool {
        self.to.min_vcpus > self.from.min_vcpus || self.to.desired_vcpus > self.from.desired_vcpus
    }

    /// The fields to send: only what changes. `desired` goes only with a raised min and equals it.
    pub fn change(&self) -> Change {
        let changed = |from: Vcpus, to: Vcpus| (from != to).then_some(to);
        Change {
            min_vcpus: changed(self.from.min_vcpus, self.to.min_vcpus),
            desired_vcpus: changed(self.from.desired_vcpus, self.to.desired_vcpus),
            max_vcpus: changed(self.from.max_vcpus, self.to.max_vcpus),
        }
    }
}

/// The scaling fields of one UpdateComputeEnvironment call; `None` is not sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// minvCpus.
    pub min_vcpus: Option<Vcpus>,
    /// desiredvCpus.
    pub desired_vcpus: Option<Vcpus>,
    /// maxvCpus.
    pub max_vcpus: Option<Vcpus>,
}

/// A reason and what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// What it is about.
    pub subject: Subject,
    /// The reason.
    pub because: Because,
}

/// What a reason is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A compute environment.
    Environment(EnvironmentIndex),
    /// A job queue.
    Queue(QueueIndex),
    /// An SQS source.
    Sqs(SqsIndex),
}

/// Why. Closed: sentences, metric labels and codes are written from this by exhaustive matches in `explain.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// RUNNABLE jobs need this much.
    Waiting(Vcpus),
    /// SQS messages will need this much.
    Messages(Vcpus),
    /// Jobs known to come need this much.
    Arriving(Vcpus),
    /// This much idle room is wanted.
    Headroom(Vcpus),
    /// A schedule wants this much.
    Scheduled(Vcpus),
    /// Capacity used within the idle time is kept.
    RecentlyUsed(Vcpus),
    /// What this environment could not deliver is asked of another.
    Fallback(EnvironmentIndex, Vcpus),
    /// The raise has been served; minvCpus goes back to the operator's base.
    Served,
    /// Less is wanted than minvCpus holds.
    LessWanted(Vcpus),
    /// The environment does not deliver; it is asked again at this time.
    Drought(Time),
    /// Asked again, carefully, after a drought.
    Probing(Vcpus),
    /// Capacity comes again after a drought.
    Recovered,
    /// A limit denied this much.
    Limit(Limit, Vcpus),
    /// This much of what is asked for goes beyond a service quota that is only reported.
    BeyondQuota(QuotaIndex, QuotaPlan, Vcpus),
    /// EC2 refused a launch at this time, and nothing has come since.
    LaunchRefused(Refusal, Time),
    /// maxvCpus is kept at this, below the operator's value, so that Batch itself stays within a service quota.
    WithinQuota(QuotaIndex, QuotaPlan, Vcpus),
    /// On-Demand is not paid for before this time.
    Patience(Time),
    /// Nothing is done before this time.
    Hold(Hold, Time),
    /// What was seen of this part is too old; after this age everything returns to base.
    Blind(Part, Span),
    /// Jobs that wait for something else than capacity.
    NotDemand(NotDemandKind, i64),
    /// Jobs that no environment of the queue can run.
    Unfit(i64),
    /// Capacity asked for ahead of these jobs would be of a type that cannot hold them, so none is asked for.
    WrongShape(i64),
    /// Messages do not become jobs; this share of their demand (per cent) is still believed.
    Stalled(i64),
    /// Batch leaves warm capacity here idle beside RUNNABLE jobs: falling back needs `limits = "enforce"`.
    NotPlaced,
    /// Waiting jobs do not take the idle room that min holds: min lets it go, so that Batch can exchange it for another shape.
    HeldInVain,
    /// maxvCpus is lowered so that Batch moves on to the next environment.
    MovesOn,
    /// maxvCpus goes back to the operator's value.
    MaxRestored,
    /// More capacity arrived than was wanted: Batch had launched too. It is given more time to act first.
    DoubleLaunch(Vcpus),
    /// A lease on raised capacity ran out.
    LeaseExpired,
    /// A person ordered this, until then.
    Ordered(Order, Time),
}

/// What limited a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// maxvCpus of the environment.
    MaxVcpus,
    /// The policy's cap on the environment.
    Cap,
    /// The policy's cap on all environments together.
    AccountCap,
    /// The most one update may add.
    Step,
    /// A service quota, with its row of the ledger.
    Quota(QuotaIndex, QuotaPlan),
    /// A service quota that binds was not read yet.
    QuotaUnread(QuotaIndex),
    /// The ask that is allowed while an environment does not deliver.
    Drought,
    /// A person's override: nothing new is asked of the environment.
    Override,
    /// What cannot be steered (platform, not covered, not VALID or not ENABLED).
    NotSteerable,
}

/// Why nothing is done yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// Batch may act first.
    BatchFirst,
    /// The last update was too recent.
    BetweenUpdates,
    /// The environment is UPDATING.
    Updating,
    /// Batch holds desired above max by an instance: updates that keep it there are refused.
    Overshoot,
    /// An update of ours is under way or not seen yet, or the next one waits after one that failed.
    InFlight,
    /// Another hand changed a maxvCpus that we had lowered: it is left alone.
    OtherHand,
    /// Less is wanted, but not for long enough.
    LowerLater,
    /// Just started.
    QuietAfterStart,
}

/// A part of the observation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Compute environments.
    #[default]
    Environment,
    /// Container instances.
    Instances,
    /// Jobs of a queue.
    Jobs,
    /// Messages of an SQS queue.
    Messages,
}

/// Jobs that are no demand for capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotDemandKind {
    /// PENDING on dependencies.
    Pending,
    /// Blocked by MISCONFIGURATION.
    Misconfigured,
    /// Held by a fair-share reservation.
    Reserved,
    /// Multi-node parallel.
    MultiNode,
}

/// A piece of memory in its new form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(
    clippy::large_enum_variant,
    reason = "notes are few, and their buffer is reused: a box would allocate"
)]
pub enum Note {
    /// Of an environment.
    Environment(EnvironmentIndex, EnvironmentMemory),
    /// Of a queue.
    Queue(QueueIndex, QueueMemory),
    /// Of an SQS source.
    Sqs(SqsIndex, SqsMemory),
}
