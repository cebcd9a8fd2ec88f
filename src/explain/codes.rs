//! Codes: what machines read of a reason. They are metric labels, JSON values and rows of the documentation, and never change
//! their meaning. They equal the names under which the enums are serialised.

use crate::observation::Refusal;
use crate::overrides::Order;
use crate::planner::plan::{Because, Hold, Limit, NotDemandKind, Part};

/// A closed set of cases, each with a code.
pub trait Coded {
    /// The code of this case, in snake_case; its numbers are not part of it.
    fn code(&self) -> &'static str;
}

/// The code of a reason or of one of its details.
pub fn code(of: &impl Coded) -> &'static str {
    of.code()
}

/// The code of the detail that a reason carries: which limit, hold, part or kind of jobs. `None` for reasons without one.
pub fn detail(because: &Because) -> Option<&'static str> {
    match because {
        Because::Limit(limit, _) => Some(limit.code()),
        Because::Hold(hold, _) => Some(hold.code()),
        Because::Blind(part, _) => Some(part.code()),
        Because::NotDemand(kind, _) => Some(kind.code()),
        Because::Ordered(order, _) => Some(order.code()),
        Because::LaunchRefused(why, _) => Some(why.code()),
        Because::Waiting(_)
        | Because::Messages(_)
        | Because::Arriving(_)
        | Because::Headroom(_)
        | Because::Scheduled(_)
        | Because::RecentlyUsed(_)
        | Because::Fallback(..)
        | Because::Served
        | Because::LessWanted(_)
        | Because::Drought(_)
        | Because::Probing(_)
        | Because::Recovered
        | Because::BeyondQuota(..)
        | Because::WithinQuota(..)
        | Because::Patience(_)
        | Because::Unfit(_)
        | Because::WrongShape(_)
        | Because::Stalled(_)
        | Because::NotPlaced
        | Because::HeldInVain
        | Because::MovesOn
        | Because::MaxRestored
        | Because::DoubleLaunch(_)
        | Because::LeaseExpired => None,
    }
}

impl Coded for Because {
    fn code(&self) -> &'static str {
        match self {
            Self::Waiting(_) => "waiting",
            Self::Messages(_) => "messages",
            Self::Arriving(_) => "arriving",
            Self::Headroom(_) => "headroom",
            Self::Scheduled(_) => "scheduled",
            Self::RecentlyUsed(_) => "recently_used",
            Self::Fallback(..) => "fallback",
            Self::Served => "served",
            Self::LessWanted(_) => "less_wanted",
            Self::Drought(_) => "drought",
            Self::Probing(_) => "probing",
            Self::Recovered => "recovered",
            Self::Limit(..) => "limit",
            Self::BeyondQuota(..) => "beyond_quota",
            Self::LaunchRefused(..) => "launch_refused",
            Self::WithinQuota(..) => "within_quota",
            Self::Patience(_) => "patience",
            Self::Hold(..) => "hold",
            Self::Blind(..) => "blind",
            Self::NotDemand(..) => "not_demand",
            Self::Unfit(_) => "unfit",
            Self::WrongShape(_) => "wrong_shape",
            Self::Stalled(_) => "stalled",
            Self::NotPlaced => "not_placed",
            Self::HeldInVain => "held_in_vain",
            Self::MovesOn => "moves_on",
            Self::MaxRestored => "max_restored",
            Self::DoubleLaunch(_) => "double_launch",
            Self::LeaseExpired => "lease_expired",
            Self::Ordered(..) => "ordered",
        }
    }
}

impl Coded for Limit {
    fn code(&self) -> &'static str {
        match self {
            Self::MaxVcpus => "max_vcpus",
            Self::Cap => "cap",
            Self::AccountCap => "account_cap",
            Self::Step => "step",
            Self::Quota(..) => "quota",
            Self::QuotaUnread(_) => "quota_unread",
            Self::Drought => "drought",
            Self::Override => "override",
            Self::NotSteerable => "not_steerable",
        }
    }
}

impl Coded for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::VcpuLimit => "vcpu_limit",
            Self::SpotLimit => "spot_limit",
            Self::Capacity => "capacity",
            Self::Other => "other",
        }
    }
}

impl Coded for Order {
    fn code(&self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Boost(_) => "boost",
            Self::Drain => "drain",
        }
    }
}

impl Coded for Hold {
    fn code(&self) -> &'static str {
        match self {
            Self::BatchFirst => "batch_first",
            Self::BetweenUpdates => "between_updates",
            Self::Updating => "updating",
            Self::Overshoot => "overshoot",
            Self::InFlight => "in_flight",
            Self::LowerLater => "lower_later",
            Self::OtherHand => "other_hand",
            Self::QuietAfterStart => "quiet_after_start",
        }
    }
}

impl Coded for Part {
    fn code(&self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Instances => "instances",
            Self::Jobs => "jobs",
            Self::Messages => "messages",
        }
    }
}

impl Coded for NotDemandKind {
    fn code(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Misconfigured => "misconfigured",
            Self::Reserved => "reserved",
            Self::MultiNode => "multi_node",
        }
    }
}
