//! Working space of a plan, kept from plan to plan.

use crate::catalog::Resources;
use crate::ids::{EnvironmentIndex, QuotaIndex};
use crate::observation::Shape;
use crate::overrides::Order;
use crate::planner::memory::{EnvironmentMemory, QueueMemory};
use crate::planner::plan::{Limit, Part};
use crate::units::{Span, Vcpus};

/// One instance, in the fixed-point fraction in which room is shared out.
pub(crate) const WHOLE: i64 = 1 << 20;

/// Where demand comes from, in the order in which it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Waiting,
    Arriving,
    Messages,
    Idle,
}

/// Jobs of one shape that still look for capacity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) source: Source,
    pub(crate) shape: Shape,
    pub(crate) jobs: i64,
    /// How many of them there were before any was placed.
    pub(crate) of: i64,
    /// The one job at the head of its queue: those behind it start after it.
    pub(crate) head: bool,
}

impl Row {
    pub(crate) const fn new(source: Source, shape: Shape, jobs: i64) -> Self {
        Self {
            source,
            shape,
            jobs,
            of: jobs,
            head: false,
        }
    }
}

/// Instances with the same room, and how much of it is left, in [`WHOLE`]ths of one instance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoomLeft {
    pub(crate) free: Resources,
    pub(crate) left: i64,
}

/// What an environment can still give in this plan.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pool {
    /// Its rooms are `rooms[first_room..end_room]` of the scratch.
    pub(crate) first_room: usize,
    pub(crate) end_room: usize,
    /// On its way and not yet claimed.
    pub(crate) on_its_way: Vcpus,
    /// max(desired, min, there) when the plan began.
    pub(crate) committed: Vcpus,
    /// What limits it, other than what it shares with other environments.
    pub(crate) own_limit: Vcpus,
    /// Which of its own limits is the tightest.
    pub(crate) own_limit_kind: Option<Limit>,
    /// What a person ordered for it.
    pub(crate) order: Option<Order>,
    /// May anything new be asked for?
    pub(crate) may_raise: bool,
    /// What may still be asked for ahead of jobs in a shape that wastes room.
    pub(crate) wasteful_limit: Vcpus,
    /// Is everything that could want it seen exactly and recently?
    pub(crate) may_lower: bool,
    /// Are all queues that could use its idle room seen, so that room may be said to be idle?
    pub(crate) may_retain: bool,
    /// The age of the oldest part that it depends on.
    pub(crate) blind_for: Span,
    /// Which part that is.
    pub(crate) blind_part: Part,
    /// For how long something that it depends on could have been read and was not.
    pub(crate) unseen_for: Span,
    /// Batch would not launch some of what is granted: for messages, arrivals, idle room, or On-Demand behind Spot.
    pub(crate) beyond_batch: bool,
    /// Denied by a limit in this plan.
    pub(crate) denied: Vcpus,
    /// Denied to jobs that wait now.
    pub(crate) denied_waiting: Vcpus,
    /// It could launch for the job at the head of a queue, had limits not denied it: nothing behind that job starts meanwhile.
    pub(crate) head_denied: bool,
    /// The limit that denied it.
    pub(crate) denied_by: Option<Limit>,
    /// What goes beyond a quota that is only reported.
    pub(crate) beyond_quota: Option<(QuotaIndex, Vcpus)>,
    /// Where quotas are enforced, see [`crate::planner::maxima`].
    pub(crate) maximum: Option<Maximum>,
    /// A preferred environment that could not deliver what is asked here.
    pub(crate) instead_of: Option<EnvironmentIndex>,
    /// Whether the environment turned dry in this very plan.
    pub(crate) turned_dry: bool,
    /// Granted per source: waiting, arriving, messages, idle.
    pub(crate) granted_for: [Vcpus; 4],
    /// Longest idle time of its queues.
    pub(crate) idle_time: Span,
}

impl Pool {
    /// More of what was asked for goes beyond a quota.
    pub(crate) fn went_beyond(&mut self, more: Option<(QuotaIndex, Vcpus)>) {
        if let Some((quota, more)) = more {
            let before = self.beyond_quota.map_or(Vcpus::ZERO, |(_, before)| before);
            self.beyond_quota = Some((quota, before + more));
        }
    }
}

/// How far Batch may go by itself in an environment, in vCPUs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Maximum {
    /// The operator's own maxvCpus.
    pub(crate) operators: Vcpus,
    /// It is never lowered below this.
    pub(crate) floor: Vcpus,
    /// What it should be at least, if quotas permit.
    pub(crate) need: Vcpus,
    /// Its part of the quotas.
    pub(crate) part: Vcpus,
    /// What to order now: its part, unless what stands is as good.
    pub(crate) ordered: Vcpus,
    /// The quota that keeps it below the operator's value.
    pub(crate) quota: Option<QuotaIndex>,
}

/// A quota while it is shared out among environments where it is enforced.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct QuotaRoom {
    /// Whether its limit is known.
    pub(crate) known: bool,
    /// One of its environments cannot be seen: nobody's part can be told from another's.
    pub(crate) blind: bool,
    /// For the sum of their maxvCpus.
    pub(crate) room: Vcpus,
    /// Not given out yet.
    pub(crate) left: Vcpus,
    /// What their operators' maxvCpus would take beyond what they got.
    pub(crate) wished: Vcpus,
    /// The sum of maxvCpus as they stand.
    pub(crate) stands: Vcpus,
    /// One of them should have more than stands.
    pub(crate) unmet: bool,
}

/// All buffers of a plan.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) rows: Vec<Row>,
    pub(crate) pools: Vec<Pool>,
    pub(crate) rooms: Vec<RoomLeft>,
    pub(crate) account_left: Vcpus,
    /// Per quota: what enforced environments may have together, and what is left of it while it is shared out.
    pub(crate) quota_room: Vec<QuotaRoom>,
    /// Per environment: what Batch launches there for jobs that nothing is asked for.
    pub(crate) unasked: Vec<Vcpus>,
    /// Per environment: what is on its way and meant for none of what is asked for.
    pub(crate) unclaimed: Vec<Vcpus>,
    /// Environments in the order in which they are served.
    pub(crate) served: Vec<EnvironmentIndex>,
    /// Per environment: what jobs hold there that are not counted as placed.
    pub(crate) held_uncounted: Vec<Vcpus>,
    pub(crate) environments: Vec<EnvironmentMemory>,
    pub(crate) queues: Vec<QueueMemory>,
}
