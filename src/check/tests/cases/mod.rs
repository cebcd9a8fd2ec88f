//! One failing and one passing account for every rule. The passing one is close to the failing one, not just the healthy one.

mod instances;

use super::base::{World, at, list, thing};
use crate::account::survey::*;
use instances::{DISK, ROLES_NETWORK, TEMPLATES};

/// One thing that is changed in the healthy account.
type Change = fn(&mut World);

pub(super) struct Case {
    pub(super) code: &'static str,
    pub(super) fails: Change,
    /// The subject, and pieces of evidence of the finding.
    pub(super) about: &'static str,
    pub(super) evidence: &'static [(&'static str, &'static str)],
    /// Other rules that the same change cannot help to break.
    pub(super) also: &'static [&'static str],
    pub(super) passes: Change,
}

const fn case(
    code: &'static str,
    about: &'static str,
    evidence: &'static [(&'static str, &'static str)],
    fails: Change,
    passes: Change,
) -> Case {
    Case {
        code,
        fails,
        about,
        evidence,
        also: &[],
        passes,
    }
}

impl Case {
    const fn also(self, also: &'static [&'static str]) -> Self {
        Self { also, ..self }
    }
}

const TEMPLATE: &str = "lt-1:3";

fn follow(world: &mut World, published: &str) {
    for at in [0, 1] {
        let resources = world.environment(at).compute_resources.as_mut().unwrap();
        resources.launch_template.as_mut().unwrap().version = Some("$Latest".to_owned());
    }
    let mut version = thing(&mut world.survey.launch_templates, TEMPLATE).clone();
    (version.version_number, version.create_time) = (4, Some(at(published)));
    let latest = Known::Known(Some(version));
    world.survey.launch_templates.insert("lt-1:$Latest".to_owned(), latest);
}

fn overrides(world: &mut World, targets: &[&str]) {
    let other = |target: &&str| LaunchTemplateOverride {
        launch_template_id: Some("lt-1".to_owned()),
        version: Some("3".to_owned()),
        target_instance_types: vec![(*target).to_owned()],
        ..LaunchTemplateOverride::default()
    };
    world.spot().launch_template.as_mut().unwrap().overrides = targets.iter().map(other).collect();
}

fn best_fit(world: &mut World, role: Option<&str>) {
    world.spot().allocation_strategy = Some("BEST_FIT".to_owned());
    world.spot().spot_iam_fleet_role = role.map(|role| format!("arn:aws:iam::111122223333:role/{role}"));
}

fn ends_after(world: &mut World, seconds: i64) {
    world.queue().job_state_time_limit_actions = vec![JobStateTimeLimitAction {
        reason: "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY".to_owned(),
        state: "RUNNABLE".to_owned(),
        max_time_seconds: seconds,
        action: "CANCEL".to_owned(),
    }];
}

fn share(world: &mut World, reservation: i64) {
    let arn = "arn:aws:batch:eu-central-1:111122223333:scheduling-policy/fair".to_owned();
    world.queue().scheduling_policy_arn = Some(arn.clone());
    let policy = SchedulingPolicy {
        name: "fair".to_owned(),
        arn: arn.clone(),
        fairshare_policy: Some(FairsharePolicy {
            compute_reservation: Some(reservation),
            ..FairsharePolicy::default()
        }),
    };
    world.survey.scheduling_policies.insert(arn, Known::Known(Some(policy)));
}

fn multi_node(world: &mut World, seen: &[&str]) {
    let mut mpi = super::base::definition("mpi", "2", "4096");
    mpi.r#type = "multinode".to_owned();
    mpi.container_properties = None;
    mpi.node_properties = Some(NodeProperties { num_nodes: 4 });
    list(&mut world.survey.job_definitions).push(mpi);
    world.queue().recent_job_definitions = Known::Known(seen.iter().map(|name| (*name).to_owned()).collect());
}

fn types(world: &mut World, names: &[&str]) {
    world.spot().instance_types = names.iter().map(|name| (*name).to_owned()).collect();
}

fn also_g5(world: &mut World) {
    types(world, &["m6i.xlarge", "m6i.2xlarge", "g5.xlarge"]);
    let Known::Known(offered) = &mut world.survey.offerings else {
        panic!()
    };
    offered.get_mut("a").unwrap().push("g5.xlarge".to_owned());
}

fn schedule(world: &mut World, state: &str) {
    let schedule = Schedules {
        name: "nightly-floor".to_owned(),
        state: state.to_owned(),
        schedule_expression: "cron(0 20 * * ? *)".to_owned(),
        target: ScheduleTarget {
            compute_environment: "spot".to_owned(),
        },
        ..Schedules::default()
    };
    list(&mut world.survey.schedules).push(schedule);
}

pub(super) const CASES: &[&[Case]] = &[DISK, TEMPLATES, ROLES_NETWORK, QUEUES, JOBS, QUOTAS, POLICY];

const QUEUES: &[Case] = &[
    case(
        "AT401",
        "spot",
        &[(
            "statusReason",
            "CLIENT_ERROR - Not authorized to perform sts:AssumeRole",
        )],
        |world| {
            world.environment(0).status = "INVALID".to_owned();
            world.environment(0).status_reason = "CLIENT_ERROR - Not authorized to perform sts:AssumeRole".to_owned();
        },
        |world| world.environment(0).status = "UPDATING".to_owned(),
    ),
    case(
        "AT402",
        "spot",
        &[("state", "DISABLED"), ("job queues", "jobs")],
        |world| world.environment(0).state = "DISABLED".to_owned(),
        |_| {},
    ),
    case(
        "AT403",
        "spot",
        &[("minvCpus", "4"), ("state", "DISABLED")],
        |world| {
            world.environment(0).state = "DISABLED".to_owned();
            world.spot().min_vcpus = 4;
        },
        |world| world.spot().min_vcpus = 4,
    )
    .also(&["AT402"]),
    case(
        "AT404",
        "jobs",
        &[("computeEnvironmentOrder", "on-demand, spot")],
        |world| world.queue().compute_environment_order[0].order = 3,
        |world| world.queue().compute_environment_order[1].order = 3,
    ),
    case(
        "AT405",
        "jobs",
        &[("computeEnvironmentOrder", "spot")],
        |world| world.queue().compute_environment_order.truncate(1),
        |_| {},
    )
    // What no queue uses is not steered.
    .also(&["AT709"]),
    case(
        "AT406",
        "align",
        &[
            ("memory", "200000 MiB"),
            ("vCPUs", "2"),
            ("largest type", "m6i.2xlarge: 31884 MiB for jobs"),
        ],
        |world| world.asks("2", "200000"),
        |world| world.asks("2", "31000"),
    ),
    case(
        "AT407",
        "spot",
        &[("not offered", "m6i.xlarge"), ("zones", "a, b")],
        |world| {
            let Known::Known(offered) = &mut world.survey.offerings else {
                panic!()
            };
            for types in offered.values_mut() {
                types.retain(|one| one != "m6i.xlarge");
            }
        },
        |world| {
            let Known::Known(offered) = &mut world.survey.offerings else {
                panic!()
            };
            offered.get_mut("a").unwrap().clear();
        },
    ),
    case(
        "AT408",
        "spot",
        &[("bidPercentage", "60")],
        |world| world.spot().bid_percentage = Some(60),
        |world| world.spot().bid_percentage = Some(100),
    ),
    case(
        "AT409",
        "on-demand",
        &[("allocationStrategy", "not set")],
        |world| world.on_demand().allocation_strategy = None,
        |world| world.on_demand().allocation_strategy = Some("BEST_FIT_PROGRESSIVE_ORDERED".to_owned()),
    ),
    case(
        "AT410",
        "jobs",
        &[("multi-node", "mpi")],
        |world| multi_node(world, &["align:1", "mpi:1"]),
        |world| multi_node(world, &["align:1"]),
    ),
    case(
        "AT411",
        "jobs",
        &[("computeReservation", "50")],
        |world| share(world, 50),
        |world| share(world, 0),
    ),
    case(
        "AT412",
        "jobs",
        &[("maxTimeSeconds", "599"), ("patience", "4m"), ("launch", "6m")],
        |world| ends_after(world, 599),
        |world| ends_after(world, 600),
    ),
    case(
        "AT413",
        "spot",
        &[("maxvCpus", "3"), ("smallest type", "m6i.xlarge")],
        |world| world.spot().max_vcpus = 3,
        |world| world.spot().max_vcpus = 4,
    ),
    case(
        "AT414",
        "jobs",
        &[("state", "DISABLED")],
        |world| world.queue().state = "DISABLED".to_owned(),
        |world| world.queue().status = "UPDATING".to_owned(),
    ),
    case(
        "AT415",
        "spot",
        &[("instanceTypes", "m6i.xlarge")],
        |world| types(world, &["m6i.xlarge"]),
        |world| world.on_demand().instance_types.truncate(1),
    ),
];

const JOBS: &[Case] = &[
    case(
        "AT501",
        "align",
        &[("attempts", "3"), ("its jobs there", "were seen")],
        |world| world.job().retry_strategy.as_mut().unwrap().evaluate_on_exit.swap(0, 1),
        |world| world.job().retry_strategy.as_mut().unwrap().evaluate_on_exit.clear(),
    ),
    case(
        "AT502",
        "align",
        &[("MEMORY", "16384"), ("type", "m6i.xlarge"), ("nominal", "16384")],
        |world| world.asks("2", "16384"),
        |world| world.asks("2", "15000"),
    ),
    case(
        "AT503",
        "align",
        &[("timeout", "not set")],
        |world| world.job().timeout = None,
        |_| {},
    ),
];

const QUOTAS: &[Case] = &[
    case(
        "AT601",
        "L-34B43A08",
        &[("limit", "71"), ("maxvCpus", "64"), ("largest instances", "8")],
        |world| world.quota("L-34B43A08").value = 71,
        |world| world.quota("L-34B43A08").value = 72,
    ),
    case(
        "AT602",
        "L-34B43A08",
        &[("used in the account", "205"), ("limit", "256")],
        |world| world.quota("L-34B43A08").used = Known::Known(205),
        |world| world.quota("L-34B43A08").used = Known::Known(204),
    ),
    case(
        "AT603",
        "jobs",
        &[
            ("compute environment", "on-demand"),
            ("used by others", "253"),
            ("smallest instance", "4"),
        ],
        |world| world.quota("L-1216C47A").used = Known::Known(253),
        |world| world.quota("L-1216C47A").used = Known::Known(200),
    )
    .also(&["AT602"]),
    case(
        "AT604",
        "spot",
        &[("quotas", "L-34B43A08, L-3819A6DF")],
        also_g5,
        |world| types(world, &["m6i.xlarge", "m6i.2xlarge"]),
    ),
];

const POLICY: &[Case] = &[
    case(
        "AT701",
        "jbos",
        &[("at", "policy.toml:4"), ("job queues", "jobs")],
        |world| world.policy.push_str("[queues.jbos]\n"),
        |world| world.policy.push_str("[environments.\"sp*\"]\n"),
    ),
    case(
        "AT702",
        "spot",
        &[("minvCpus", "0"), ("min_vcpus", "8")],
        |world| world.policy.push_str("[environments.spot]\nmin_vcpus = 8\n"),
        |world| world.policy.push_str("[environments.spot]\nmin_vcpus = 0\n"),
    ),
    case(
        "AT703",
        "spot",
        &[("type", "FARGATE"), ("job queues", "jobs")],
        |world| world.spot().r#type = "FARGATE".to_owned(),
        |world| world.spot().r#type = "EC2".to_owned(),
    )
    .also(&["AT709"]),
    case(
        "AT704",
        "spot",
        &[
            ("schedule", "nightly-floor"),
            ("ScheduleExpression", "cron(0 20 * * ? *)"),
        ],
        |world| schedule(world, "ENABLED"),
        |world| schedule(world, "DISABLED"),
    ),
    case(
        "AT705",
        "guard",
        &[
            ("role_arn", "arn:aws:iam::111122223333:role/guard"),
            ("trusts", "ec2.amazonaws.com"),
        ],
        |world| world.role("guard").trusted_services = vec!["ec2.amazonaws.com".to_owned()],
        |world| {
            // Nothing is steered, so there is nothing to put back.
            world.survey.guard = Known::Known(None);
            world.policy = "version = 1\n".to_owned();
        },
    ),
    case(
        "AT706",
        "events",
        &[("rules", "jobs DISABLED")],
        |world| list(&mut world.survey.event_rules)[0].state = "DISABLED".to_owned(),
        |_| {},
    ),
    case(
        "AT707",
        "inbox",
        &[("ApproximateAgeOfOldestMessage", "601"), ("patience", "600")],
        |world| thing(&mut world.survey.sqs_queues, "inbox").oldest_seconds = Known::Known(601),
        |world| thing(&mut world.survey.sqs_queues, "inbox").oldest_seconds = Known::Known(600),
    ),
    case(
        "AT708",
        "batch:ListJobs",
        &[("action", "batch:ListJobs"), ("needed for", "counting waiting jobs")],
        |world| list(&mut world.survey.permissions)[0].allowed = Known::Known(false),
        |world| list(&mut world.survey.permissions)[0].allowed = Known::unread("the probe was throttled"),
    ),
    case(
        "AT709",
        "on-demand",
        &[("Resource", "arn:aws:batch:*:111122223333:compute-environment/*")],
        |world| {
            world.policy = world
                .policy
                .replace("[queues", "[queues.jobs]\nenvironments = [\"spot\"]\n[queues");
        },
        |world| {
            world.policy = world
                .policy
                .replace("[queues", "[queues.jobs]\nenvironments = [\"spot\"]\n[queues");
            *list(&mut world.survey.may_update) = vec!["arn:aws:batch:*:compute-environment/spot".to_owned()];
        },
    ),
    case(
        "AT710",
        "spot",
        &[("tag", "aws:cloudformation:stack-name=batch")],
        |world| {
            let tag = ("aws:cloudformation:stack-name".to_owned(), "batch".to_owned());
            world.environment(0).tags.extend([tag]);
        },
        |world| {
            world
                .environment(0)
                .tags
                .extend([("team".to_owned(), "batch".to_owned())]);
        },
    ),
    case(
        "AT711",
        "environments.spot.min_vcpus",
        &[("at", "policy.toml:5:1")],
        |world| world.policy.push_str("[environments.spot]\nmin_vcpus = 65\n"),
        |world| world.policy.push_str("[environments.spot]\nmin_vcpus = 64\n"),
    ),
    case(
        "AT712",
        "spot",
        &[("tag", "autotune=enabled")],
        |world| world.environment(0).tags.clear(),
        |world| {
            world.environment(0).tags.clear();
            world.survey.tag = None;
        },
    )
    .also(&["AT709"]),
];
