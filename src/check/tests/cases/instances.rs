//! AT1xx to AT3xx.

use super::super::base::{World, at, thing};
use super::{Case, TEMPLATE, best_fit, case, follow, overrides};
use crate::account::survey::*;
use crate::check::Need;

pub(super) const DISK: &[Case] = &[
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
            ("held", "by the policy's patience with messages, 10 min"),
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

pub(super) const TEMPLATES: &[Case] = &[
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

pub(super) const ROLES_NETWORK: &[Case] = &[
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
                .push("ecs-tasks.amazonaws.com".to_owned());
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
