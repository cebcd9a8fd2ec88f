//! All reasons as a table for the documentation, with an example of each.

use std::fmt::Write as _;

use crate::account::Platform;
use crate::catalog::{Purchase, Resources};
use crate::explain::{code, detail, sentence};
use crate::ids::{EnvironmentIndex, QueueIndex, QuotaIndex, SqsIndex};
use crate::observation::{Refusal, Shape};
use crate::overrides::Order;
use crate::planner::plan::{Because, Hold, Limit, NotDemandKind, Part, QuotaPlan, Reason, Subject};
use crate::setup::{EnvironmentSetup, HandOff, Limits, QueueSetup, QuotaSetup, QuotaShare, Setup, SqsSetup, Tempo};
use crate::units::{Span, Time, Vcpus};

/// Every code with its details, what it is about and an example, as a Markdown table.
///
/// The last column is written by [`sentence`] for made-up environments, so that the table says what the program says.
pub fn reasons_table() -> String {
    let setup = example_setup();
    let mut table = "| code | detail | about | for example |\n|---|---|---|---|\n".to_owned();
    for reason in examples() {
        let about = match reason.subject {
            Subject::Environment(_) => "environment",
            Subject::Queue(_) => "queue",
            Subject::Sqs(_) => "SQS source",
        };
        let detail = detail(&reason.because).map_or_else(String::new, |detail| format!("`{detail}`"));
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| `{}` | {detail} | {about} | {} |",
            code(&reason.because),
            sentence(&setup, &reason)
        );
    }
    table
}

/// One reason of every kind, in the order in which `Because` and its details name them.
pub(crate) fn examples() -> Vec<Reason> {
    let (spot, on_demand) = (EnvironmentIndex(0), EnvironmentIndex(1));
    let about_spot = |because| Reason {
        subject: Subject::Environment(spot),
        because,
    };
    let about_queue = |because| Reason {
        subject: Subject::Queue(QueueIndex(0)),
        because,
    };
    let about_messages = |because| Reason {
        subject: Subject::Sqs(SqsIndex(0)),
        because,
    };
    let many = Vcpus::new(64);
    let later = Time::from_seconds(1_767_258_000);
    let mut examples = vec![
        about_spot(Because::Waiting(many)),
        about_spot(Because::Messages(many)),
        about_spot(Because::Arriving(many)),
        about_spot(Because::Headroom(many)),
        about_queue(Because::Scheduled(many)),
        about_spot(Because::RecentlyUsed(many)),
        Reason {
            subject: Subject::Environment(on_demand),
            because: Because::Fallback(spot, many),
        },
        about_spot(Because::Served),
        about_spot(Because::LessWanted(many)),
        about_spot(Because::Drought(later)),
        about_spot(Because::Probing(many)),
        about_spot(Because::Recovered),
    ];
    examples.extend(limits().map(|limit| about_spot(Because::Limit(limit, many))));
    examples.extend(refusals().map(|why| about_spot(Because::LaunchRefused(why, later))));
    examples.extend([
        about_spot(Because::BeyondQuota(QuotaIndex(0), example_row(), many)),
        about_spot(Because::WithinQuota(QuotaIndex(0), example_row(), many)),
        Reason {
            subject: Subject::Environment(on_demand),
            because: Because::Patience(later),
        },
    ]);
    examples.extend(holds().map(|hold| about_spot(Because::Hold(hold, later))));
    let age = Span::from_minutes(12);
    examples.extend([
        about_spot(Because::Blind(Part::Environment, age)),
        about_spot(Because::Blind(Part::Instances, age)),
        about_queue(Because::Blind(Part::Jobs, age)),
        about_messages(Because::Blind(Part::Messages, age)),
    ]);
    examples.extend(kinds().map(|kind| about_queue(Because::NotDemand(kind, 12))));
    examples.extend([
        about_queue(Because::Unfit(12)),
        about_queue(Because::WrongShape(12)),
        about_messages(Because::Stalled(60)),
        about_spot(Because::NotPlaced),
        about_spot(Because::HeldInVain),
        about_spot(Because::MovesOn),
        about_spot(Because::MaxRestored),
        about_spot(Because::DoubleLaunch(many)),
        about_spot(Because::LeaseExpired),
        about_spot(Because::Ordered(Order::Pause, later)),
        about_queue(Because::Ordered(Order::Boost(many), later)),
        about_spot(Because::Ordered(Order::Drain, later)),
    ]);
    examples
}

fn example_row() -> QuotaPlan {
    QuotaPlan {
        unread: false,
        limit: Some(Vcpus::new(640)),
        used_by_others: Some(Vcpus::new(96)),
        held: Vcpus::new(320),
        on_its_way: Vcpus::new(64),
        reserve: Vcpus::ZERO,
        overshoot: Vcpus::new(64),
        granted: Vcpus::new(96),
        left: Vcpus::ZERO,
    }
}

/// All of them.
pub(crate) fn refusals() -> impl Iterator<Item = Refusal> {
    [
        Refusal::VcpuLimit,
        Refusal::SpotLimit,
        Refusal::Capacity,
        Refusal::Other,
    ]
    .into_iter()
}

fn limits() -> impl Iterator<Item = Limit> {
    [
        Limit::MaxVcpus,
        Limit::Cap,
        Limit::AccountCap,
        Limit::Step,
        Limit::Quota(QuotaIndex(0), example_row()),
        Limit::QuotaUnread(QuotaIndex(0)),
        Limit::Drought,
        Limit::Override,
        Limit::NotSteerable,
    ]
    .into_iter()
}

fn holds() -> impl Iterator<Item = Hold> {
    [
        Hold::BatchFirst,
        Hold::BetweenUpdates,
        Hold::Updating,
        Hold::Overshoot,
        Hold::InFlight,
        Hold::OtherHand,
        Hold::LowerLater,
        Hold::QuietAfterStart,
    ]
    .into_iter()
}

fn kinds() -> impl Iterator<Item = NotDemandKind> {
    [
        NotDemandKind::Pending,
        NotDemandKind::Misconfigured,
        NotDemandKind::Reserved,
        NotDemandKind::MultiNode,
    ]
    .into_iter()
}

/// The account that the examples speak of.
fn example_setup() -> Setup {
    let environment = |name: &str, purchase| EnvironmentSetup {
        name: name.to_owned(),
        platform: Platform::Ec2,
        purchase,
        covered: true,
        base: Vcpus::ZERO,
        base_named: false,
        cap: Some(Vcpus::new(256)),
        max_step: Some(Vcpus::new(128)),
        fits: Vec::new(),
        memory_per_kilo_vcpu: 0,
        vcpus_per_gpu: Vcpus::ZERO,
        without_job: Resources::default(),
        smallest: Vcpus::new(4),
        largest: Vcpus::new(64),
        quotas: vec![QuotaShare {
            quota: QuotaIndex(0),
            fits: Vec::new(),
            smallest: Vcpus::new(4),
            largest: Vcpus::new(64),
        }],
        launch_expected: Span::from_minutes(2),
        limits: Limits::Clamp,
        unenforced: false,
    };
    Setup {
        environments: vec![
            environment("spot", Purchase::Spot),
            environment("on-demand", Purchase::OnDemand),
        ],
        queues: vec![QueueSetup {
            name: "nightly".to_owned(),
            environments: vec![EnvironmentIndex(0), EnvironmentIndex(1)],
            patience: Vec::new(),
            on_demand_base: Vcpus::ZERO,
            headroom_slots: 0,
            reference: Shape::default(),
            idle_time: Span::ZERO,
            follows_runnable: true,
            sqs_sources: vec![SqsIndex(0)],
            fair_share: false,
            has_schedules: false,
        }],
        serve_order: vec![QueueIndex(0)],
        sqs_sources: vec![SqsSetup {
            name: "inbox".to_owned(),
            queue: QueueIndex(0),
            hand_off: HandOff::Dispatcher {
                jobs_per_kilo_message: 1000,
            },
            job: Shape::default(),
            cap: None,
            patience: Span::from_minutes(10),
        }],
        quotas: vec![QuotaSetup {
            code: "L-34B43A08".to_owned(),
            limit: None,
            reserve: Vcpus::ZERO,
        }],
        account_cap: Some(Vcpus::new(512)),
        region: Some("eu-central-1".to_owned()),
        tempo: Tempo::default(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::explain::Coded as _;

    /// The variants of an enum of the plan as its source names them, in snake_case.
    fn variants(of: &str) -> BTreeSet<String> {
        let source = include_str!("../planner/plan.rs");
        let body = source.split(&format!("pub enum {of} {{\n")).nth(1).unwrap();
        let lines = body.lines().take_while(|line| *line != "}").map(str::trim);
        let names = lines.filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()));
        names
            .map(|line| snake_case(line.split([',', '(']).next().unwrap()))
            .collect()
    }

    fn snake_case(name: &str) -> String {
        let mut snake = String::new();
        for character in name.chars() {
            if character.is_ascii_uppercase() && !snake.is_empty() {
                snake.push('_');
            }
            snake.push(character.to_ascii_lowercase());
        }
        snake
    }

    /// The name of the variant in the serialised form.
    fn serialised(because: &Because) -> String {
        let value = serde_json::to_value(because).unwrap();
        let name = value
            .as_str()
            .or_else(|| value.as_object()?.keys().next().map(String::as_str));
        name.unwrap().to_owned()
    }

    #[test]
    fn every_variant_has_a_row_and_a_code_of_its_own() {
        let codes: BTreeSet<String> = examples()
            .iter()
            .map(|reason| reason.because.code().to_owned())
            .collect();
        assert_eq!(codes, variants("Because"));
        let details = |of: &str| -> Vec<&'static str> {
            let reasons = examples();
            let own = reasons.iter().filter(|reason| reason.because.code() == of);
            own.filter_map(|reason| detail(&reason.because)).collect()
        };
        for (of, name) in [
            ("limit", "Limit"),
            ("hold", "Hold"),
            ("blind", "Part"),
            ("not_demand", "NotDemandKind"),
        ] {
            let found = details(of);
            let distinct: BTreeSet<String> = found.iter().map(|code| (*code).to_owned()).collect();
            assert_eq!(distinct, variants(name));
            assert_eq!(distinct.len(), found.len(), "{of} has two rows with the same detail");
        }
    }

    #[test]
    fn codes_are_the_names_of_the_serialised_form() {
        for reason in examples() {
            assert_eq!(serialised(&reason.because), reason.because.code());
            let text = serde_json::to_string(&reason.because).unwrap();
            if let Some(detail) = detail(&reason.because) {
                assert!(text.contains(&format!("\"{detail}\"")), "{detail} in {text}");
            }
        }
    }

    #[test]
    fn every_variant_has_a_sentence_of_its_own() {
        let setup = example_setup();
        let mut said = BTreeSet::new();
        for reason in examples() {
            let sentence = sentence(&setup, &reason);
            let (subject, rest) = sentence.split_once(": ").unwrap();
            assert!(
                ["spot", "on-demand", "nightly", "inbox"].contains(&subject),
                "{sentence}"
            );
            assert!(
                rest.len() > 15 && !rest.ends_with('.') && !rest.contains('|'),
                "{sentence}"
            );
            assert!(said.insert(rest.to_owned()), "said twice: {sentence}");
        }
    }

    #[test]
    fn the_table_reads_well() {
        insta::assert_snapshot!(reasons_table(), @r#"
        | code | detail | about | for example |
        |---|---|---|---|
        | `waiting` |  | environment | spot: 64 vCPUs of RUNNABLE jobs wait |
        | `messages` |  | environment | spot: SQS messages will need 64 vCPUs |
        | `arriving` |  | environment | spot: jobs known to come need 64 vCPUs |
        | `headroom` |  | environment | spot: 64 vCPUs of idle room are wanted |
        | `scheduled` |  | queue | nightly: the schedule wants 64 vCPUs of idle room |
        | `recently_used` |  | environment | spot: 64 vCPUs were in use within the idle time and are kept |
        | `fallback` |  | environment | on-demand: 64 vCPUs that spot does not deliver are asked for here |
        | `served` |  | environment | spot: the raise has been served, min goes back to base |
        | `less_wanted` |  | environment | spot: no more than 64 vCPUs are wanted |
        | `drought` |  | environment | spot: no capacity comes; it is asked for again at 2026-01-01T09:00:00Z |
        | `probing` |  | environment | spot: after a drought, 64 vCPUs asked for as a probe |
        | `recovered` |  | environment | spot: capacity comes again after a drought |
        | `limit` | `max_vcpus` | environment | spot: 64 vCPUs more are wanted, but maxvCpus is reached |
        | `limit` | `cap` | environment | spot: 64 vCPUs more are wanted, but the policy's cap of 256 vCPUs is reached |
        | `limit` | `account_cap` | environment | spot: 64 vCPUs more are wanted, but the policy's cap of 512 vCPUs on all environments together is reached |
        | `limit` | `step` | environment | spot: 64 vCPUs more are wanted, but one update adds at most the policy's step of 128 vCPUs |
        | `limit` | `quota` | environment | spot: 64 vCPUs more are wanted, but that is all there is of service quota L-34B43A08: limit 640, others use 96, our environments hold 320, 64 on its way, 96 granted now, 64 kept for overshoot; https://eu-central-1.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-34B43A08 |
        | `limit` | `quota_unread` | environment | spot: 64 vCPUs more are wanted, but service quota L-34B43A08 was not read yet |
        | `limit` | `drought` | environment | spot: 64 vCPUs more are wanted, but little is asked until a launch succeeds here |
        | `limit` | `override` | environment | spot: 64 vCPUs more are wanted, but a person stopped it for now |
        | `limit` | `not_steerable` | environment | spot: 64 vCPUs more are wanted, but the environment cannot be steered as it is (platform, policy, state or sight) |
        | `launch_refused` | `vcpu_limit` | environment | spot: EC2 refused a launch at 2026-01-01T09:00:00Z: VcpuLimitExceeded, service quota L-34B43A08 is used up; https://eu-central-1.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-34B43A08 |
        | `launch_refused` | `spot_limit` | environment | spot: EC2 refused a launch at 2026-01-01T09:00:00Z: MaxSpotInstanceCountExceeded, service quota L-34B43A08 is used up; https://eu-central-1.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-34B43A08 |
        | `launch_refused` | `capacity` | environment | spot: EC2 refused a launch at 2026-01-01T09:00:00Z: it has no capacity there |
        | `launch_refused` | `other` | environment | spot: EC2 refused a launch at 2026-01-01T09:00:00Z: for a reason that more capacity does not cure; `autotune status` has its words |
        | `beyond_quota` |  | environment | spot: 64 vCPUs of what is asked for go beyond service quota L-34B43A08: limit 640, others use 96, our environments hold 320, 64 on its way, 96 granted now, 64 kept for overshoot; https://eu-central-1.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-34B43A08; limits = "report" lets that pass |
        | `within_quota` |  | environment | spot: max is kept at 64 vCPUs so that Batch stays within service quota L-34B43A08: limit 640, others use 96, our environments hold 320, 64 on its way, 96 granted now, 64 kept for overshoot; https://eu-central-1.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-34B43A08 |
        | `patience` |  | environment | on-demand: On-Demand is not paid for before 2026-01-01T09:00:00Z |
        | `hold` | `batch_first` | environment | spot: Batch may act first until 2026-01-01T09:00:00Z |
        | `hold` | `between_updates` | environment | spot: the last update is too recent, the next may follow at 2026-01-01T09:00:00Z |
        | `hold` | `updating` | environment | spot: UPDATING: no update is accepted until that ends |
        | `hold` | `overshoot` | environment | spot: desired stands above max after an overshoot: no raise is accepted until it falls |
        | `hold` | `in_flight` | environment | spot: an update of ours is under way, not seen yet, or failed a moment ago |
        | `hold` | `other_hand` | environment | spot: another hand changed max; it is left alone until 2026-01-01T09:00:00Z |
        | `hold` | `lower_later` | environment | spot: less is wanted; min is lowered at 2026-01-01T09:00:00Z if that lasts |
        | `hold` | `quiet_after_start` | environment | spot: just started, nothing is lowered before 2026-01-01T09:00:00Z |
        | `blind` | `environment` | environment | spot: the compute environment was last read 12m ago |
        | `blind` | `instances` | environment | spot: the container instances were last read 12m ago |
        | `blind` | `jobs` | queue | nightly: the jobs were last read 12m ago |
        | `blind` | `messages` | SQS source | inbox: the messages were last read 12m ago |
        | `not_demand` | `pending` | queue | nightly: 12 jobs wait for other jobs (PENDING) |
        | `not_demand` | `misconfigured` | queue | nightly: 12 jobs are blocked by MISCONFIGURATION, which no capacity cures |
        | `not_demand` | `reserved` | queue | nightly: 12 jobs are held by a fair-share reservation |
        | `not_demand` | `multi_node` | queue | nightly: 12 jobs are multi-node, which Batch never serves from minvCpus |
        | `unfit` |  | queue | nightly: 12 jobs fit no instance type of the queue's environments |
        | `wrong_shape` |  | queue | nightly: capacity asked for ahead would be of the cheapest type, which cannot hold them: 12 jobs are expected |
        | `stalled` |  | SQS source | inbox: its messages do not become jobs; 60 % of their demand is still believed |
        | `not_placed` |  | environment | spot: Batch leaves room idle here beside RUNNABLE jobs that fit; falling back needs limits = "enforce" |
        | `held_in_vain` |  | environment | spot: waiting jobs do not take the idle room that min holds; it is let go so that Batch can exchange it |
        | `moves_on` |  | environment | spot: max is lowered so that Batch moves on to the next environment |
        | `max_restored` |  | environment | spot: max goes back to the operator's value |
        | `double_launch` |  | environment | spot: 64 vCPUs more than wanted arrived: Batch had launched too, so it is given more time to act first |
        | `lease_expired` |  | environment | spot: the lease on raised capacity ran out, everything goes back to base |
        | `ordered` | `pause` | environment | spot: paused by a person until 2026-01-01T09:00:00Z: nothing is asked for, nothing is given back |
        | `ordered` | `boost` | queue | nightly: a person wants at least 64 vCPUs held until 2026-01-01T09:00:00Z |
        | `ordered` | `drain` | environment | spot: drained by a person until 2026-01-01T09:00:00Z: nothing is asked for, what was raised goes back |
        "#);
    }
}
