//! Every sentence about a decision.
//!
//! Reasons are data (`planner::plan::Because`); people read sentences, machines read codes, and both come from here by exhaustive
//! matches, so that a new reason cannot be forgotten. A *sentence* names its subject first and then says what holds now, with
//! numbers: `spot: 61 vCPUs of RUNNABLE jobs wait`. An *action* says what changes and why:
//! `spot: min 0 -> 64, desired 0 -> 64 vCPUs: 61 vCPUs of RUNNABLE jobs wait`.
//!
//! Names come from outside and are written with [`printable`] only.

#[cfg(test)]
mod cases;
mod codes;
#[cfg(test)]
pub(crate) mod hostile;
mod printable;
mod table;

use crate::ids::{EnvironmentIndex, QueueIndex, QuotaIndex, SqsIndex};
use crate::observation::Refusal;
use crate::overrides::Order;
use crate::planner::plan::{Action, Because, Hold, Limit, NotDemandKind, Part, Plan, QuotaPlan, Reason, Subject};
use crate::setup::Setup;
use crate::units::{Span, Time, Vcpus};

pub use codes::{Coded, code, detail};
pub(crate) use printable::is_invisible;
pub use printable::{Printable, printable};
pub use table::reasons_table;
pub(crate) use table::{examples, refusals};

/// An age beyond this means that the part was never read.
const NEVER: Span = Span::from_minutes(100 * 365 * 24 * 60);

/// A reason as a sentence: its subject, a colon, what holds.
pub fn sentence(setup: &Setup, reason: &Reason) -> String {
    format!(
        "{}: {}",
        subject(setup, reason.subject),
        because(setup, reason.subject, &reason.because)
    )
}

/// An update as a sentence: the environment, what changes from which level to which, and the main reason.
pub fn action(setup: &Setup, action: &Action) -> String {
    let environment = Subject::Environment(action.environment());
    format!(
        "{}: {}: {}",
        subject(setup, environment),
        changes(action),
        because(setup, environment, &action.because())
    )
}

/// What a reason is about, by its name.
pub fn subject(setup: &Setup, subject: Subject) -> String {
    match subject {
        Subject::Environment(index) => environment_name(setup, index),
        Subject::Queue(index) => queue_name(setup, index),
        Subject::Sqs(index) => sqs_name(setup, index),
    }
}

/// Which of several reasons for the same subject is told first; the smallest number wins.
///
/// First what keeps us from deciding well (0), then trouble that people can do something about (1), then what limits a grant
/// (2), then what capacity is wanted for (3), then what goes back (4), then what only waits for a moment (5), and last what is
/// no business of ours (6).
pub const fn precedence(because: &Because) -> u8 {
    match because {
        Because::Blind(..) | Because::LeaseExpired | Because::Ordered(..) => 0,
        Because::NotPlaced
        | Because::HeldInVain
        | Because::Unfit(_)
        | Because::WrongShape(_)
        | Because::Stalled(_)
        | Because::Drought(_)
        | Because::LaunchRefused(..)
        | Because::DoubleLaunch(_) => 1,
        Because::Limit(..) | Because::BeyondQuota(..) | Because::WithinQuota(..) => 2,
        Because::Fallback(..)
        | Because::Probing(_)
        | Because::Waiting(_)
        | Because::Messages(_)
        | Because::Arriving(_)
        | Because::Scheduled(_)
        | Because::Headroom(_)
        | Because::RecentlyUsed(_) => 3,
        Because::MovesOn | Because::Recovered | Because::MaxRestored | Because::LessWanted(_) | Because::Served => 4,
        Because::Patience(_) | Because::Hold(..) => 5,
        Because::NotDemand(..) => 6,
    }
}

/// The reason to tell if only one can be told of a subject; see [`precedence`]. Among equals the first that was found.
pub fn headline(plan: &Plan, subject: Subject) -> Option<Reason> {
    let own = plan.reasons.iter().filter(|reason| reason.subject == subject);
    own.min_by_key(|reason| precedence(&reason.because)).copied()
}

/// The changed levels only; they share one unit.
fn changes(action: &Action) -> String {
    let (from, to) = (action.from(), action.to());
    let levels = [
        ("min", from.min_vcpus, to.min_vcpus),
        ("desired", from.desired_vcpus, to.desired_vcpus),
        ("max", from.max_vcpus, to.max_vcpus),
    ];
    let changed: Vec<String> = levels
        .iter()
        .filter(|(_, from, to)| from != to)
        .map(|(name, from, to)| format!("{name} {} -> {}", from.get(), to.get()))
        .collect();
    if changed.is_empty() {
        return "nothing changes".to_owned();
    }
    format!("{} vCPUs", changed.join(", "))
}

fn because(setup: &Setup, subject: Subject, because: &Because) -> String {
    match *because {
        Because::Waiting(vcpus) => format!("{vcpus} of RUNNABLE jobs {}", verb(vcpus.get(), "waits", "wait")),
        Because::Messages(vcpus) => format!("SQS messages will need {vcpus}"),
        Because::Arriving(vcpus) => format!("jobs known to come need {vcpus}"),
        Because::Headroom(vcpus) => format!("{vcpus} of idle room {} wanted", verb(vcpus.get(), "is", "are")),
        Because::Scheduled(vcpus) => format!("the schedule wants {vcpus} of idle room"),
        Because::RecentlyUsed(vcpus) => {
            let (was, is) = (verb(vcpus.get(), "was", "were"), verb(vcpus.get(), "is", "are"));
            format!("{vcpus} {was} in use within the idle time and {is} kept")
        }
        Because::Fallback(spot, vcpus) => {
            let name = environment_name(setup, spot);
            format!(
                "{vcpus} that {name} does not deliver {} asked for here",
                verb(vcpus.get(), "is", "are")
            )
        }
        Because::Served => "the raise has been served, min goes back to base".to_owned(),
        Because::LessWanted(vcpus) => format!("no more than {vcpus} {} wanted", verb(vcpus.get(), "is", "are")),
        Because::Drought(until) => format!("no capacity comes; it is asked for again {}", at(until)),
        Because::Probing(vcpus) => format!("after a drought, {vcpus} asked for as a probe"),
        Because::Recovered => "capacity comes again after a drought".to_owned(),
        Because::Limit(limit, vcpus) => {
            let denied = verb(vcpus.get(), "is", "are");
            format!("{vcpus} more {denied} wanted, {}", limited_by(setup, subject, limit))
        }
        Because::BeyondQuota(quota, row, vcpus) => beyond_quota(setup, quota, &row, vcpus),
        Because::WithinQuota(quota, row, max) => {
            let row = quota_row(setup, quota, &row);
            format!("max is kept at {max} so that Batch stays within {row}")
        }
        Because::LaunchRefused(why, time) => refused(setup, subject, why, time),
        Because::Patience(time) => format!("On-Demand is not paid for before {}", moment(time)),
        Because::Hold(hold, until) => held_by(hold, until),
        Because::Blind(part, age) => blind(part, age),
        Because::NotDemand(kind, jobs) => not_demand(kind, jobs),
        Because::Unfit(jobs) => format!(
            "{} no instance type of the queue's environments",
            counted(jobs, "fits", "fit")
        ),
        Because::WrongShape(jobs) => format!(
            "capacity asked for ahead would be of the cheapest type, which cannot hold them: {}",
            counted(jobs, "is expected", "are expected")
        ),
        Because::Stalled(percent) => {
            format!("its messages do not become jobs; {percent} % of their demand is still believed")
        }
        Because::HeldInVain => {
            "waiting jobs do not take the idle room that min holds; it is let go so that Batch can exchange it"
                .to_owned()
        }
        Because::NotPlaced => {
            "Batch leaves room idle here beside RUNNABLE jobs that fit; falling back needs limits = \"enforce\""
                .to_owned()
        }
        Because::MovesOn => "max is lowered so that Batch moves on to the next environment".to_owned(),
        Because::MaxRestored => "max goes back to the operator's value".to_owned(),
        Because::DoubleLaunch(vcpus) => {
            format!("{vcpus} more than wanted arrived: Batch had launched too, so it is given more time to act first")
        }
        Because::LeaseExpired => "the lease on raised capacity ran out, everything goes back to base".to_owned(),
        Because::Ordered(order, until) => ordered(order, until),
    }
}

fn limited_by(setup: &Setup, subject: Subject, limit: Limit) -> String {
    let environment = match subject {
        Subject::Environment(index) => setup.environments.get(index.position()),
        Subject::Queue(_) | Subject::Sqs(_) => None,
    };
    let of = |vcpus: Option<Vcpus>| vcpus.map_or_else(String::new, |vcpus| format!(" of {vcpus}"));
    match limit {
        Limit::MaxVcpus => "but maxvCpus is reached".to_owned(),
        Limit::Cap => format!(
            "but the policy's cap{} is reached",
            of(environment.and_then(|setup| setup.cap))
        ),
        Limit::AccountCap => format!(
            "but the policy's cap{} on all environments together is reached",
            of(setup.account_cap)
        ),
        Limit::Step => format!(
            "but one update adds at most the policy's step{}",
            of(environment.and_then(|setup| setup.max_step))
        ),
        Limit::Quota(index, row) => format!("but that is all there is of {}", quota_row(setup, index, &row)),
        Limit::QuotaUnread(index) => format!("but service quota {} was not read yet", quota_name(setup, index)),
        Limit::Drought => "but little is asked until a launch succeeds here".to_owned(),
        Limit::Override => "but a person stopped it for now".to_owned(),
        Limit::NotSteerable => {
            "but the environment cannot be steered as it is (platform, policy, state or sight)".to_owned()
        }
    }
}

fn ordered(order: Order, until: Time) -> String {
    let until = moment(until);
    match order {
        Order::Pause => format!("paused by a person until {until}: nothing is asked for, nothing is given back"),
        Order::Boost(vcpus) => format!("a person wants at least {vcpus} held until {until}"),
        Order::Drain => format!("drained by a person until {until}: nothing is asked for, what was raised goes back"),
    }
}

fn held_by(hold: Hold, until: Time) -> String {
    match hold {
        Hold::BatchFirst => format!("Batch may act first until {}", moment(until)),
        Hold::BetweenUpdates => format!("the last update is too recent, the next may follow {}", at(until)),
        Hold::Updating => "UPDATING: no update is accepted until that ends".to_owned(),
        Hold::Overshoot => {
            "desired stands above max after an overshoot: no raise is accepted until it falls".to_owned()
        }
        Hold::InFlight => "an update of ours is under way, not seen yet, or failed a moment ago".to_owned(),
        Hold::LowerLater => format!("less is wanted; min is lowered {} if that lasts", at(until)),
        Hold::OtherHand => format!("another hand changed max; it is left alone until {}", moment(until)),
        Hold::QuietAfterStart => format!("just started, nothing is lowered before {}", moment(until)),
    }
}

fn blind(part: Part, age: Span) -> String {
    let what = match part {
        Part::Environment => "the compute environment",
        Part::Instances => "the container instances",
        Part::Jobs => "the jobs",
        Part::Messages => "the messages",
    };
    let verb = if part == Part::Environment { "was" } else { "were" };
    if age >= NEVER {
        format!("{what} {verb} never read yet")
    } else {
        format!("{what} {verb} last read {age} ago")
    }
}

/// What jobs wait for that are no demand.
pub fn not_demand(kind: NotDemandKind, jobs: i64) -> String {
    match kind {
        NotDemandKind::Pending => format!("{} for other jobs (PENDING)", counted(jobs, "waits", "wait")),
        NotDemandKind::Misconfigured => {
            let blocked = counted(jobs, "is", "are");
            format!("{blocked} blocked by MISCONFIGURATION, which no capacity cures")
        }
        NotDemandKind::Reserved => format!("{} held by a fair-share reservation", counted(jobs, "is", "are")),
        NotDemandKind::MultiNode => {
            let multi_node = counted(jobs, "is", "are");
            format!("{multi_node} multi-node, which Batch never serves from minvCpus")
        }
    }
}

fn environment_name(setup: &Setup, index: EnvironmentIndex) -> String {
    let name = setup.environments.get(index.position()).map(|setup| &setup.name);
    name.map_or_else(
        || format!("environment {}", index.0),
        |name| printable(name).to_string(),
    )
}

fn queue_name(setup: &Setup, index: QueueIndex) -> String {
    let name = setup.queues.get(index.position()).map(|setup| &setup.name);
    name.map_or_else(|| format!("queue {}", index.0), |name| printable(name).to_string())
}

fn sqs_name(setup: &Setup, index: SqsIndex) -> String {
    let name = setup.sqs_sources.get(index.position()).map(|setup| &setup.name);
    name.map_or_else(|| format!("SQS source {}", index.0), |name| printable(name).to_string())
}

fn quota_name(setup: &Setup, index: QuotaIndex) -> String {
    let code = setup.quotas.get(index.position()).map(|setup| &setup.code);
    code.map_or_else(|| format!("number {}", index.0), |code| printable(code).to_string())
}

fn beyond_quota(setup: &Setup, quota: QuotaIndex, row: &QuotaPlan, vcpus: Vcpus) -> String {
    let (go, row) = (verb(vcpus.get(), "goes", "go"), quota_row(setup, quota, row));
    format!("{vcpus} of what is asked for {go} beyond {row}; limits = \"report\" lets that pass")
}

/// Why EC2 refused a launch. Whose quota it was is known where the environment draws from one only.
fn refused(setup: &Setup, subject: Subject, why: Refusal, time: Time) -> String {
    let environment = match subject {
        Subject::Environment(index) => setup.environments.get(index.position()),
        Subject::Queue(_) | Subject::Sqs(_) => None,
    };
    let shares = environment.map_or(&[][..], |environment| &environment.quotas);
    let quota = |code: &str| {
        if let [one] = shares {
            let (name, link) = (quota_name(setup, one.quota), quota_link(setup, one.quota));
            return format!("{code}, service quota {name} is used up; {link}");
        }
        let names: Vec<String> = shares.iter().map(|share| quota_name(setup, share.quota)).collect();
        format!("{code}, a service quota is used up: {}", names.join(" or "))
    };
    let why = match why {
        Refusal::VcpuLimit => quota("VcpuLimitExceeded"),
        Refusal::SpotLimit => quota("MaxSpotInstanceCountExceeded"),
        Refusal::Capacity => "it has no capacity there".to_owned(),
        Refusal::Other => "for a reason that more capacity does not cure; `autotune status` has its words".to_owned(),
    };
    format!("EC2 refused a launch {}: {why}", at(time))
}

/// A service quota with its row of the ledger, and where to ask for more of it.
fn quota_row(setup: &Setup, index: QuotaIndex, row: &QuotaPlan) -> String {
    format!(
        "service quota {}: {}; {}",
        quota_name(setup, index),
        ledger(row),
        quota_link(setup, index)
    )
}

/// A row of the ledger in words; what is nothing is left out.
pub fn ledger(row: &QuotaPlan) -> String {
    let limit = row
        .limit
        .map_or_else(|| "limit unknown".to_owned(), |limit| format!("limit {}", limit.get()));
    let others = match row.used_by_others {
        Some(used) => format!("others use {}", used.get()),
        None => "the use of others unknown".to_owned(),
    };
    let mut parts = vec![limit, others, format!("our environments hold {}", row.held.get())];
    for (vcpus, what) in [
        (row.on_its_way, "on its way"),
        (row.granted, "granted now"),
        (row.reserve, "reserved by the policy"),
        (row.overshoot, "kept for overshoot"),
    ] {
        if !vcpus.is_zero() {
            parts.push(format!("{} {what}", vcpus.get()));
        }
    }
    parts.join(", ")
}

/// A daemon that runs notes how it stands every few minutes.
pub fn silence(from: Time, until: Time) -> String {
    format!("nothing was noted between {from} and {until}: no daemon ran, or it could not read or write")
}

/// The policy says `enforce` where nothing would put maxvCpus back.
pub fn unenforced(environment: &str) -> String {
    format!(
        "{}: limits = \"enforce\" acts as \"clamp\" here: without a guard nothing in the account would put maxvCpus back (hint: \
         `autotune init --events`, then [guard] in the settings)",
        printable(environment)
    )
}

/// The page of the Service Quotas console on which more can be asked for.
pub fn quota_link(setup: &Setup, index: QuotaIndex) -> String {
    let host = match &setup.region {
        Some(region) => format!("{}.console.aws.amazon.com", printable(region)),
        None => "console.aws.amazon.com".to_owned(),
    };
    format!(
        "https://{host}/servicequotas/home/services/ec2/quotas/{}",
        quota_name(setup, index)
    )
}

/// A time after a verb.
fn at(time: Time) -> String {
    if time == Time::FAR_FUTURE {
        moment(time)
    } else {
        format!("at {time}")
    }
}

/// A time after a preposition.
fn moment(time: Time) -> String {
    if time == Time::FAR_FUTURE {
        "further notice".to_owned()
    } else {
        time.to_string()
    }
}

fn counted(jobs: i64, one: &'static str, several: &'static str) -> String {
    let noun = if jobs == 1 { "job" } else { "jobs" };
    format!("{jobs} {noun} {}", verb(jobs, one, several))
}

const fn verb(count: i64, one: &'static str, several: &'static str) -> &'static str {
    if count == 1 { one } else { several }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::plan::Levels;
    use crate::planner::worlds::spot_then_on_demand;

    fn levels(min: i64, desired: i64, max: i64) -> Levels {
        Levels {
            min_vcpus: Vcpus::new(min),
            desired_vcpus: Vcpus::new(desired),
            max_vcpus: Vcpus::new(max),
        }
    }

    #[test]
    fn an_action_names_only_what_changes() {
        let setup = spot_then_on_demand();
        let spot = EnvironmentIndex(0);
        let waiting = Because::Waiting(Vcpus::new(61));
        let cases = [
            (
                Action::new(spot, levels(0, 0, 256), levels(64, 64, 256), waiting),
                "spot: min 0 -> 64, desired 0 -> 64 vCPUs: 61 vCPUs of RUNNABLE jobs wait",
            ),
            (
                Action::new(spot, levels(64, 80, 256), levels(0, 80, 256), Because::Served),
                "spot: min 64 -> 0 vCPUs: the raise has been served, min goes back to base",
            ),
            (
                Action::new(spot, levels(0, 0, 256), levels(0, 0, 64), Because::MovesOn),
                "spot: max 256 -> 64 vCPUs: max is lowered so that Batch moves on to the next environment",
            ),
            (
                Action::new(spot, levels(0, 0, 256), levels(0, 0, 256), Because::Served),
                "spot: nothing changes: the raise has been served, min goes back to base",
            ),
        ];
        for (update, expected) in cases {
            assert_eq!(action(&setup, &update), expected);
        }
    }

    #[test]
    fn names_from_outside_cannot_steer_a_terminal() {
        let mut setup = spot_then_on_demand();
        setup.environments[0].name = "spot\u{1b}[2J\nsecond line".to_owned();
        let reason = Reason {
            subject: Subject::Environment(EnvironmentIndex(1)),
            because: Because::Fallback(EnvironmentIndex(0), Vcpus::new(1)),
        };
        assert_eq!(
            sentence(&setup, &reason),
            r"ondemand: 1 vCPU that spot\u{1b}[2J\u{a}second line does not deliver is asked for here"
        );
    }

    #[test]
    fn an_index_without_a_name_is_still_named() {
        let setup = Setup::default();
        for (of, expected) in [
            (Subject::Environment(EnvironmentIndex(7)), "environment 7"),
            (Subject::Queue(QueueIndex(3)), "queue 3"),
            (Subject::Sqs(SqsIndex(0)), "SQS source 0"),
        ] {
            assert_eq!(subject(&setup, of), expected);
        }
    }

    #[test]
    fn the_headline_follows_the_order_of_precedence() {
        let environment = Subject::Environment(EnvironmentIndex(0));
        let other = Subject::Environment(EnvironmentIndex(1));
        let mut plan = Plan::default();
        plan.say(environment, Because::Hold(Hold::Updating, Time::FAR_FUTURE));
        plan.say(environment, Because::Limit(Limit::Cap, Vcpus::new(8)));
        plan.say(environment, Because::Limit(Limit::Step, Vcpus::new(8)));
        plan.say(environment, Because::Waiting(Vcpus::new(8)));
        plan.say(other, Because::Blind(Part::Instances, Span::from_minutes(1)));
        let told = headline(&plan, environment).map(|reason| reason.because);
        assert_eq!(told, Some(Because::Limit(Limit::Cap, Vcpus::new(8))));
        assert_eq!(headline(&plan, Subject::Queue(QueueIndex(0))), None);
    }

    #[test]
    fn what_was_never_read_has_no_age() {
        let age = Time::from_seconds(1_000_000).since(Time::FAR_PAST);
        assert_eq!(
            blind(Part::Instances, age),
            "the container instances were never read yet"
        );
        assert_eq!(
            blind(Part::Environment, Span::from_minutes(12)),
            "the compute environment was last read 12m ago"
        );
    }
}
