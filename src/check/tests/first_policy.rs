//! A policy to begin with: it holds, it is compiled against the very account, it leaves everything as it is, and nothing is silent.

use super::super::{FirstPolicy, Inputs, Needs, NotWritten, first_policy};
use super::base::{World, healthy, list};
use crate::account::survey::{Base, ComputeEnvironmentOrder, Known, SqsListing};
use crate::check::view::View;
use crate::explain::hostile;
use crate::policy::{self, Policy};
use crate::setup::{Limits, Setup};
use crate::units::Vcpus;

fn listing(names: &[&str], dead: &[&str]) -> Known<SqsListing> {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Known::Known(SqsListing {
        names: owned(names),
        dead_letter: owned(dead),
        cut: None,
    })
}

fn written(world: &World, sqs: &Known<SqsListing>, queues: &[&str]) -> Result<String, NotWritten> {
    let queues: Vec<String> = queues.iter().map(|name| (*name).to_owned()).collect();
    first_policy(&FirstPolicy {
        survey: &world.survey,
        sqs,
        wake_ups: Some("https://sqs.eu-central-1.amazonaws.com/111122223333/autotune-events"),
        queues: &queues,
        flags: &["--region".to_owned(), "eu central".to_owned()],
    })
}

fn text_of(world: &World) -> String {
    written(world, &listing(&[], &[]), &[]).unwrap()
}

#[track_caller]
fn read(text: &str) -> Policy {
    let policy = policy::parse("policy.toml", text);
    policy.unwrap_or_else(|problems| panic!("{}\n{text}", crate::input::render(&problems)))
}

/// What the text comes to in that very account.
#[track_caller]
fn compiled(world: &World, text: &str) -> Setup {
    let policy = read(text);
    let inputs = Inputs {
        survey: &world.survey,
        policy: Some(&policy),
        needs: Needs::default(),
    };
    let view = View::of(&inputs, world.survey.compute_environments.read().unwrap());
    assert_eq!(view.doubted, []);
    let setup = view.setup.unwrap();
    setup.unwrap_or_else(|problems| panic!("{}\n{text}", crate::input::render(&problems)))
}

#[test]
fn an_account_as_it_stands_is_a_policy() {
    let mut world = healthy();
    world.spot().min_vcpus = 8;
    world.on_demand().desired_vcpus = 4;
    world.environment(1).tags.clear();
    let text = written(
        &world,
        &listing(
            &["jobs-incoming", "jobs-dead", "jobs.fifo", "mail", "autotune-events"],
            &["jobs-dead"],
        ),
        &[],
    )
    .unwrap();
    insta::assert_snapshot!(text, @r#"
    # A policy to begin with: account 111122223333, eu-central-1, as it stood on 2026-11-01. `autotune init --policy` wrote it and changed nothing.
    #
    # Save it, keep what you mean, and go on with
    #   autotune validate policy.toml                              # every problem at once
    #   autotune plan --policy policy.toml --region 'eu central'   # one look: what would be done, and why; changes nothing
    #   autotune check --policy policy.toml --region 'eu central'  # what will go wrong in the account, before it does
    #   autotune run                                               # with policies = ["policy.toml"] in its settings; dry until `apply = true` there
    # Besides, nothing is written to an environment without the tag autotune=enabled. To opt one in:
    #   aws batch tag-resource --resource-arn arn:aws:batch:eu-central-1:111122223333:compute-environment/on-demand --tags autotune=enabled
    # What else a policy can say: docs/policies.md.

    version = 1

    # It holds for this account only.
    [account]
    id = "111122223333"
    region = "eu-central-1"

    # Service quotas of EC2, in vCPUs of the whole account:
    #   L-1216C47A: limit 256, 16 used; on-demand may grow to 64 (maxvCpus) + 8 (one largest instance each)
    #   L-34B43A08: limit 256, 16 used; spot may grow to 64 (maxvCpus) + 8 (one largest instance each)

    # Job queue jobs: ENABLED, VALID, priority 1. Its environments in order: spot (Spot), on-demand (On-Demand).
    [queues.jobs]
    # When jobs that wait for Spot are worth On-Demand prices.
    patience = [{ jobs = 1, after = "4m" }, { jobs = 50, after = "3m" }]
    # If messages of the SQS queue jobs-incoming become jobs here, uncomment and correct:
    #   [queues.jobs.sqs.jobs-incoming]
    #   hand_off = "dispatcher"  # something submits jobs for messages; "workers": jobs read them themselves
    #   jobs_per_message = 1.0
    #   job = { vcpus = 1, memory = "2 GiB" }
    #   cap = "64 vcpu"  # the most that its messages may ask for

    # Compute environment on-demand: On-Demand, BEST_FIT_PROGRESSIVE, m6i.xlarge, m6i.2xlarge; number 2 of jobs.
    # min 0, desired 4, max 64 vCPUs; ENABLED, VALID.
    [environments.on-demand]
    # min_vcpus = 0  # not set: base is what you leave in the account

    # Compute environment spot: Spot, SPOT_PRICE_CAPACITY_OPTIMIZED, m6i.xlarge, m6i.2xlarge; number 1 of jobs.
    # min 8, desired 0, max 64 vCPUs; ENABLED, VALID.
    [environments.spot]
    # min_vcpus = 8  # not set: base is what you leave in the account

    # SQS queues whose names tell no job queue (if their messages become jobs: [queues.NAME.sqs.SQS_NAME] with hand_off = "dispatcher", see docs/policies.md):
    #   mail
    #   autotune-events: left out, it is for the daemon's wake-ups
    #   jobs-dead: left out, a dead-letter queue
    #   jobs.fifo: left out, FIFO: its messages become jobs one after the other
    "#);
    let setup = compiled(&world, &text);
    let bases: Vec<(&str, Vcpus, bool)> = (setup.environments.iter())
        .map(|environment| {
            (
                environment.name.as_str(),
                environment.base,
                environment.limits == Limits::Clamp,
            )
        })
        .collect();
    assert_eq!(bases, [("spot", Vcpus::new(8), true), ("on-demand", Vcpus::ZERO, true)]);
}

#[test]
fn what_is_suggested_holds_too() {
    let world = healthy();
    let text = written(&world, &listing(&["jobs-incoming", "other-jobs"], &[]), &[]).unwrap();
    let keys = ["[queues.", "hand_off", "jobs_per_message", "job ", "cap"];
    let uncommented = |line: &str| {
        let rest = line
            .strip_prefix("#   ")
            .filter(|rest| keys.iter().any(|key| rest.starts_with(key)));
        rest.unwrap_or(line).to_owned() + "\n"
    };
    let text: String = text.lines().map(uncommented).collect();
    assert_eq!(
        read(&text).sqs_queues().into_iter().collect::<Vec<_>>(),
        ["jobs-incoming", "other-jobs"]
    );
    assert_eq!(compiled(&world, &text).sqs_sources.len(), 2);
}

#[test]
fn what_autotune_holds_is_not_the_base() {
    let mut world = healthy();
    world.spot().min_vcpus = 48;
    world.spot().max_vcpus = 56;
    let held = |bases| {
        let mut world = world.clone();
        world.survey.bases = bases;
        text_of(&world)
    };
    let base = Base {
        compute_environment: "spot".to_owned(),
        min_vcpus: 4,
        max_vcpus: Some(64),
    };
    let text = held(Known::Known(vec![base]));
    assert!(
        text.contains("[environments.spot]\n# min_vcpus = 4  # not set"),
        "{text}"
    );
    assert!(text.contains("its operator's own are min 4, max 64"), "{text}");
    let text = held(Known::unread("AccessDenied: scheduler:ListSchedules"));
    assert!(
        text.contains("[environments.spot]\n# min_vcpus = 48  # not set"),
        "{text}"
    );
    assert!(
        text.contains("not known: AccessDenied: scheduler:ListSchedules"),
        "{text}"
    );
}

#[test]
fn a_quota_that_environments_may_outgrow_is_enforced() {
    let mut world = healthy();
    world.quota("L-34B43A08").value = 71;
    let text = text_of(&world);
    assert!(
        text.contains(
            "L-34B43A08: limit 71, 16 used; spot may grow to 64 (maxvCpus) + 8 (one largest instance each)\n"
        ),
        "{text}"
    );
    assert!(text.contains("= 72: too much."), "{text}");
    assert!(!text.contains("takes effect with the tag and with a guard"), "{text}");
    let limits = |text: &str| {
        compiled(&world, text)
            .environments
            .iter()
            .map(|one| one.limits)
            .collect::<Vec<_>>()
    };
    assert_eq!(limits(&text), [Limits::Enforce, Limits::Clamp]);
    assert!(!text.contains("not in this policy"), "{text}");
    let mut shared = world.clone();
    let mut spare = shared.environment(0).clone();
    spare.compute_environment_name = "spare".to_owned();
    spare.compute_environment_arn = "arn:aws:batch:eu-central-1:111122223333:compute-environment/spare".to_owned();
    list(&mut shared.survey.compute_environments).push(spare);
    let text = text_of(&shared);
    assert!(
        text.contains("these are not in this policy: spare. Nothing is enforced there"),
        "{text}"
    );
    world.survey.guard = Known::Known(None);
    world.survey.quotas.remove("L-1216C47A");
    let text = text_of(&world);
    assert!(text.contains("takes effect with the tag and with a guard"), "{text}");
    assert!(
        text.contains("not known of L-1216C47A: the survey does not have L-1216C47A"),
        "{text}"
    );
}

#[test]
fn what_cannot_be_steered_is_named_with_the_reason_and_has_no_entry() {
    type Change = fn(&mut World);
    let changes: [(&str, Change); 6] = [
        ("Fargate has no minvCpus", |world| {
            world.on_demand().r#type = "FARGATE".to_owned();
        }),
        ("ECS Managed Instances have no minvCpus", |world| {
            world.on_demand().r#type = "ECS_MANAGED_INSTANCES".to_owned();
        }),
        ("on EKS its instances are not read", |world| {
            world.environment(1).container_orchestration_type = Some("EKS".to_owned());
        }),
        ("AWS Batch does not scale an UNMANAGED environment", |world| {
            world.environment(1).r#type = "UNMANAGED".to_owned();
            world.environment(1).compute_resources = None;
        }),
        ("it is INVALID (CLIENT_ERROR - no such role)", |world| {
            world.environment(1).status = "INVALID".to_owned();
            world.environment(1).status_reason = "CLIENT_ERROR - no such role".to_owned();
        }),
        ("no job queue uses it", |world| {
            drop(world.queue().compute_environment_order.pop());
        }),
    ];
    for (why, change) in changes {
        let mut world = healthy();
        change(&mut world);
        let text = text_of(&world);
        assert!(
            text.contains(&format!("compute environment on-demand: {why}")),
            "{why}: {text}"
        );
        assert!(
            !text.contains("[environments.on-demand]") && !text.contains("patience"),
            "{why}: {text}"
        );
        compiled(&world, &text);
        change(&mut world);
        world.environment(0).status = "INVALID".to_owned();
        let text = text_of(&world);
        assert!(
            text.contains("job queue jobs: none of its environments can be steered"),
            "{why}: {text}"
        );
        assert!(!text.contains("[queues"), "{why}: {text}");
        assert!(text.contains("there is nothing to do here"), "{why}: {text}");
        compiled(&world, &text);
    }
}

#[test]
fn only_the_queues_that_are_asked_for_are_written() {
    let mut world = healthy();
    let mut other = world.queue().clone();
    other.job_queue_name = "other".to_owned();
    drop(other.compute_environment_order.remove(0));
    let Known::Known(queues) = &mut world.survey.job_queues else {
        unreachable!()
    };
    queues.push(other);
    let text = written(&world, &listing(&[], &[]), &["other"]).unwrap();
    assert!(
        text.contains("[queues.other]") && !text.contains("[queues.jobs]"),
        "{text}"
    );
    assert!(
        text.contains("[environments.on-demand]") && !text.contains("environments.spot"),
        "{text}"
    );
    compiled(&world, &text);
    let refused = written(&world, &listing(&[], &[]), &["othr"]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "found the job queue \"othr\", expected one of the account\nhint: did you mean `other`?"
    );
}

#[test]
fn without_job_queues_or_environments_there_is_none_and_other_gaps_are_told() {
    let unread = |world: &World| written(world, &listing(&[], &[]), &[]).unwrap_err().to_string();
    let mut world = healthy();
    world.survey.job_queues = Known::unread("AccessDenied: batch:DescribeJobQueues");
    assert_eq!(
        unread(&world),
        "job queues were not read: AccessDenied: batch:DescribeJobQueues"
    );
    world.survey.compute_environments = Known::unread("no answer");
    assert_eq!(unread(&world), "compute environments were not read: no answer");
    let text = written(&healthy(), &Known::unread("AccessDenied: sqs:ListQueues"), &[]).unwrap();
    assert!(
        text.contains("SQS queues were not read, so none is suggested: AccessDenied: sqs:ListQueues"),
        "{text}"
    );
}

/// Also as the name of everything at once: each entry chooses what it is named after, and nothing else.
#[test]
fn hostile_names_stay_names() {
    let patterns = [
        "*",
        "?",
        "[a]",
        "{a,b}",
        "tag:team=*",
        "a\\b",
        "]",
        "'''",
        "\"\"\"",
        "tag:",
    ]
    .map(str::to_owned);
    for name in hostile::corpus().into_iter().chain(patterns) {
        // What stands before the last slash of an ARN is no name.
        if name.contains('/') {
            continue;
        }
        let mut world = healthy();
        world.survey.account.clone_from(&name);
        world.environment(0).compute_environment_name.clone_from(&name);
        world.environment(0).compute_environment_arn.clone_from(&name);
        world.environment(0).tags.clear();
        world.environment(0).status.clone_from(&name);
        world.spot().instance_types.push(name.clone());
        world.quota("L-34B43A08").value = 1;
        world.environment(1).status = "INVALID".to_owned();
        world.environment(1).status_reason.clone_from(&name);
        world.queue().job_queue_name.clone_from(&name);
        world.queue().compute_environment_order[0] = ComputeEnvironmentOrder {
            order: 1,
            compute_environment: name.clone(),
        };
        let text = written(&world, &listing(&[&name, "mail"], &[]), &[]).unwrap();
        assert!(!hostile::has_invisible(&text), "{text}");
        let policy = read(&text);
        let file = &policy.files[0].value;
        assert_eq!((file.queues.len(), file.environments.len()), (1, 1), "{text}");
        let setup = compiled(&world, &text);
        assert_eq!(setup.environments[0].limits, Limits::Enforce, "{text}");
        assert!(setup.queues[0].follows_runnable, "{text}");
        // Another one is not meant.
        world.queue().job_queue_name = "a".to_owned();
        assert!(!compiled(&world, &text).queues[0].follows_runnable, "{text}");
    }
}
