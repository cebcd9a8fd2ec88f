//! One failing and one passing account for every rule. The passing one is close to the failing one, not just the healthy one.

use super::base::{World, at, list, thing};
use crate::account::survey::*;
use crate::check::Need;

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

const DISK: &[Case] = &[
    case(
        "AT101",
        "spot",
        &[
            ("VolumeSize", "100 GiB"),
            ("jobs at a time", "4"),
            ("scratch per job", "40 GiB"),
            ("largest type", "m6i.2xlarge"),
            ("needed", "166 GiB"),
        ],
        |world| world.needs.scratch_gib = Need::stated(40),
        |world| world.needs.scratch_gib = Need::stated(5),
    ),
    case(
        "AT102",
        "spot",
        &[("DeviceName", "/dev/xvdcz"), ("RootDeviceName", "/dev/xvda")],
        |world| {
            let mut mapping = world.template().block_device_mappings[0].clone();
            mapping.device_name = "/dev/xvdcz".to_owned();
            world.template().block_device_mappings.push(mapping);
        },
        |world| {
            let mut mapping = world.template().block_device_mappings[0].clone();
            mapping.device_name = "/dev/xvdb".to_owned();
            world.template().block_device_mappings.push(mapping);
            world.script("mkfs -t xfs /dev/xvdb\nmount /dev/xvdb /scratch");
        },
    ),
    case(
        "AT103",
        "spot",
        &[("dm.basesize", "2G"), ("scratch per job", "1 GiB (assumed)")],
        |world| {
            world.amazon_linux_1();
            world.script("OPTIONS=\"--storage-opt dm.basesize=2G\"");
        },
        |world| {
            world.amazon_linux_1();
            world.script("OPTIONS=\"--storage-opt dm.basesize=20G\"");
        },
    )
    .also(&["AT211"]),
    case(
        "AT104",
        "spot",
        &[("dm.basesize", "20G")],
        |world| world.script("OPTIONS=\"--storage-opt dm.basesize=20G\""),
        |world| world.script("# OPTIONS=\"--storage-opt dm.basesize=20G\""),
    ),
    case(
        "AT105",
        "spot",
        &[("image", "amzn-ami-2018.03.20230214-amazon-ecs-optimized")],
        World::amazon_linux_1,
        |world| {
            world.amazon_linux_1();
            world.script("OPTIONS=\"--storage-opt dm.basesize=20G\"");
        },
    )
    .also(&["AT211"]),
    case(
        "AT106",
        "spot",
        &[
            ("ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION", "180 min"),
            ("a job runs", "5 min"),
            ("held", "the policy may hold instances longer"),
        ],
        |world| world.needs.job_minutes = Need::stated(5),
        |world| {
            world.needs.job_minutes = Need::stated(5);
            world.script("echo ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION=10m >> /etc/ecs/ecs.config");
        },
    ),
    case(
        "AT107",
        "spot",
        &[("VolumeType", "gp2"), ("VolumeSize", "100")],
        |world| world.root().volume_type = Some("gp2".to_owned()),
        |world| world.root().volume_type = Some("io2".to_owned()),
    ),
    case(
        "AT108",
        "spot",
        &[("Iops", "80"), ("jobs at a time", "4")],
        |world| world.root().iops = Some(80),
        |world| world.root().iops = Some(3000),
    ),
    case(
        "AT109",
        "spot",
        &[("DeviceName", "/dev/xvda"), ("DeleteOnTermination", "false")],
        |world| world.root().delete_on_termination = Some(false),
        |world| world.root().delete_on_termination = None,
    ),
    case(
        "AT110",
        "spot",
        &[("VolumeSize", "25"), ("snapshot", "30")],
        |world| world.root().volume_size = Some(25),
        |world| world.root().volume_size = Some(30),
    ),
    case(
        "AT111",
        "spot",
        &[("InstanceStorageInfo", "m6i.xlarge 118 GB")],
        |world| thing(&mut world.survey.instance_types, "m6i.xlarge").instance_storage_gb = Some(118),
        |world| {
            thing(&mut world.survey.instance_types, "m6i.xlarge").instance_storage_gb = Some(118);
            world.script("mkfs -t xfs /dev/nvme1n1");
        },
    ),
    case(
        "AT112",
        "L-7A658B76",
        &[("planned", "3200 GiB"), ("limit", "3 TiB")],
        |world| world.quota("L-7A658B76").value = 3,
        |world| world.quota("L-7A658B76").value = 4,
    ),
];

const TEMPLATES: &[Case] = &[
    case(
        "AT201",
        TEMPLATE,
        &[("UserData begins", "#!/bin/bash"), ("version", "3")],
        |world| world.template().user_data = Some("#!/bin/bash\necho secret".to_owned()),
        |world| world.template().user_data = None,
    ),
    case(
        "AT202",
        TEMPLATE,
        &[("UserData sets", "ECS_CLUSTER")],
        |world| world.script("echo ECS_CLUSTER=mine >> /etc/ecs/ecs.config"),
        |world| world.script("echo ECS_ENABLE_SPOT_INSTANCE_DRAINING=true >> /etc/ecs/ecs.config"),
    ),
    case(
        "AT203",
        "spot",
        &[
            ("version", "4"),
            ("CreateTime", "2026-07-01T00:00:00Z"),
            ("taken over", "2026-06-01T00:00:00Z"),
        ],
        |world| follow(world, "2026-07-01T00:00:00Z"),
        |world| follow(world, "2026-05-31T00:00:00Z"),
    )
    .also(&["AT204"]),
    case(
        "AT204",
        "spot",
        &[("launchTemplate", "lt-1:$Latest")],
        |world| follow(world, "2026-05-31T00:00:00Z"),
        |_| {},
    ),
    case(
        "AT205",
        TEMPLATE,
        &[("InstanceType", "m5.large")],
        |world| world.template().instance_type = Some("m5.large".to_owned()),
        |world| world.template().disable_api_termination = Some(false),
    ),
    case(
        "AT206",
        "spot",
        &[("targetInstanceTypes", "m6i.xlarge")],
        |world| overrides(world, &["m6i.xlarge", "m6i.xlarge"]),
        |world| overrides(world, &["m6i.xlarge", "m6i.2xlarge"]),
    ),
    case(
        "AT207",
        "spot",
        &[
            ("targetInstanceTypes", "c5.large"),
            ("instanceTypes", "m6i.xlarge, m6i.2xlarge"),
        ],
        |world| overrides(world, &["c5.large"]),
        |world| overrides(world, &["m6i.xlarge"]),
    ),
    case(
        "AT208",
        "spot",
        &[("launchTemplate", "lt-1:9")],
        |world| {
            world.spot().launch_template.as_mut().unwrap().version = Some("9".to_owned());
            world
                .survey
                .launch_templates
                .insert("lt-1:9".to_owned(), Known::Known(None));
        },
        |world| world.spot().launch_template = None,
    ),
    case(
        "AT209",
        "spot",
        &[("HttpTokens", "optional")],
        |world| world.template().metadata_options.as_mut().unwrap().http_tokens = Some("optional".to_owned()),
        // Batch's own AL2023 requires them by itself.
        |world| world.template().metadata_options = None,
    ),
    case(
        "AT210",
        "spot",
        &[("Architecture", "arm64"), ("instanceType", "m6i.2xlarge")],
        |world| {
            world.image("al2023-ami-ecs-hvm-2023.0.1-kernel-6.1-arm64", "arm64", None);
        },
        |world| {
            world.image("al2023-ami-ecs-hvm-2023.0.1-kernel-6.1-x86_64", "x86_64", None);
        },
    ),
    case(
        "AT211",
        "spot",
        &[("imageType", "ECS_AL2"), ("image", "Batch's own")],
        |world| world.spot().ec2_configuration[0].image_type = "ECS_AL2".to_owned(),
        |world| {
            world.spot().ec2_configuration[0].image_type = "ECS_AL2".to_owned();
            world.survey.taken_at = Some(at("2026-06-30T12:00:00Z"));
        },
    ),
    case(
        "AT212",
        "spot",
        &[("batchImageStatus", "UPDATE_AVAILABLE")],
        |world| world.spot().ec2_configuration[0].batch_image_status = Some("UPDATE_AVAILABLE".to_owned()),
        |world| world.spot().ec2_configuration[0].batch_image_status = None,
    ),
    case(
        "AT213",
        "spot",
        &[("ImageId", "ami-9")],
        |world| {
            world.spot().ec2_configuration[0].image_id_override = Some("ami-9".to_owned());
            world.survey.images.insert("ami-9".to_owned(), Known::Known(None));
        },
        |world| world.spot().ec2_configuration[0].image_id_override = None,
    ),
];

const ROLES_NETWORK: &[Case] = &[
    case(
        "AT301",
        "spot",
        &[("instanceRole", "arn:aws:iam::111122223333:role/ecsInstanceRole")],
        |world| world.spot().instance_role = Some("arn:aws:iam::111122223333:role/ecsInstanceRole".to_owned()),
        |world| world.spot().instance_role = Some("ecsInstanceRole".to_owned()),
    ),
    case(
        "AT302",
        "spot",
        &[("trusts", "ecs-tasks.amazonaws.com")],
        |world| world.role("ecsInstanceRole").trusted_services = vec!["ecs-tasks.amazonaws.com".to_owned()],
        |world| {
            world
                .role("ecsInstanceRole")
                .trusted_services
                .push("ecs-tasks.amazonaws.com".to_owned())
        },
    ),
    case(
        "AT303",
        "spot",
        &[("policies", "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")],
        |world| {
            let policies = &mut world.role("ecsInstanceRole").attached_policies;
            *policies = vec!["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess".to_owned()];
        },
        // A policy of the account's own may say the same: could not check.
        |world| {
            let role = world.role("ecsInstanceRole");
            (role.attached_policies, role.inline_policies) = (Vec::new(), vec!["ecs".to_owned()]);
        },
    ),
    case(
        "AT304",
        "spot",
        &[("allocationStrategy", "BEST_FIT"), ("spotIamFleetRole", "not set")],
        |world| best_fit(world, None),
        |world| best_fit(world, Some("fleet")),
    )
    .also(&["AT409"]),
    case(
        "AT305",
        "spot",
        &[(
            "policies",
            "arn:aws:iam::aws:policy/service-role/AmazonEC2SpotFleetRole",
        )],
        |world| {
            best_fit(world, Some("fleet"));
            let policies = &mut world.role("fleet").attached_policies;
            *policies = vec!["arn:aws:iam::aws:policy/service-role/AmazonEC2SpotFleetRole".to_owned()];
        },
        |world| best_fit(world, Some("fleet")),
    )
    .also(&["AT409"]),
    case(
        "AT306",
        "spot",
        &[("serviceRole", "arn:aws:iam::111122223333:role/own")],
        |world| world.environment(0).service_role = Some("arn:aws:iam::111122223333:role/own".to_owned()),
        |_| {},
    ),
    case(
        "AT307",
        "spot",
        &[("trusts", "ec2.amazonaws.com")],
        |world| {
            world.environment(0).service_role = Some("arn:aws:iam::111122223333:role/own".to_owned());
            world.role("own").trusted_services = vec!["ec2.amazonaws.com".to_owned()];
        },
        |world| world.environment(0).service_role = Some("arn:aws:iam::111122223333:role/own".to_owned()),
    )
    .also(&["AT306"]),
    case(
        "AT308",
        "spot",
        &[
            ("subnet", "subnet-a"),
            ("default route", "none"),
            ("endpoints", "ecs, ecs-agent"),
        ],
        |world| {
            world.subnet("subnet-a").route = Known::Known(Route::None);
            world.subnet("subnet-a").endpoints = Known::Known(vec!["ecs".to_owned(), "ecs-agent".to_owned()]);
        },
        |world| {
            world.subnet("subnet-a").route = Known::Known(Route::InternetGateway);
            world.subnet("subnet-a").map_public_ip_on_launch = true;
        },
    ),
    case(
        "AT309",
        "spot",
        &[
            ("AvailableIpAddressCount", "15"),
            ("maxvCpus", "64"),
            ("largest type", "m6i.2xlarge"),
        ],
        |world| {
            world.subnet("subnet-a").available_ip_address_count = 10;
            world.subnet("subnet-b").available_ip_address_count = 5;
        },
        |world| {
            world.subnet("subnet-a").available_ip_address_count = 10;
            world.subnet("subnet-b").available_ip_address_count = 6;
        },
    ),
    case(
        "AT310",
        "spot",
        &[("subnet", "subnet-c")],
        |world| {
            world.spot().subnets.push("subnet-c".to_owned());
            world.survey.subnets.insert("subnet-c".to_owned(), Known::Known(None));
        },
        |world| world.spot().subnets = vec!["subnet-a".to_owned()],
    ),
];

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
            offered
                .values_mut()
                .for_each(|types| types.retain(|one| one != "m6i.xlarge"));
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
                .replace("[queues", "[queues.jobs]\nenvironments = [\"spot\"]\n[queues")
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
                .extend([("team".to_owned(), "batch".to_owned())])
        },
    ),
    case(
        "AT711",
        "environments.spot.min_vcpus",
        &[("at", "policy.toml:5:1")],
        |world| world.policy.push_str("[environments.spot]\nmin_vcpus = 65\n"),
        |world| world.policy.push_str("[environments.spot]\nmin_vcpus = 64\n"),
    ),
];
