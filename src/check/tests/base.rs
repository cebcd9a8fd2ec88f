//! An account in which nothing is wrong, and ways to reach into it.

use std::collections::BTreeMap;

use crate::account::survey::*;
use crate::check::{Inputs, Needs, Report, check};
use crate::policy;
use crate::units::Time;

pub(super) const POLICY: &str = "version = 1\n[queues.jobs.sqs.inbox]\nhand_off = \"dispatcher\"\n";

/// What a check looks at, to be changed.
#[derive(Clone)]
pub(super) struct World {
    pub(super) survey: Survey,
    pub(super) policy: String,
    pub(super) needs: Needs,
}

pub(super) fn at(text: &str) -> Timestamp {
    Timestamp(Time::parse(text).unwrap())
}

fn known<T>(value: T) -> Known<Option<T>> {
    Known::Known(Some(value))
}

fn environment(name: &str, kind: &str, strategy: &str) -> ComputeEnvironment {
    ComputeEnvironment {
        compute_environment_name: name.to_owned(),
        compute_environment_arn: format!("arn:aws:batch:eu-central-1:111122223333:compute-environment/{name}"),
        r#type: "MANAGED".to_owned(),
        state: "ENABLED".to_owned(),
        status: "VALID".to_owned(),
        status_reason: "ComputeEnvironment Healthy".to_owned(),
        service_role: Some(
            "arn:aws:iam::111122223333:role/aws-service-role/batch.amazonaws.com/AWSServiceRoleForBatch".to_owned(),
        ),
        container_orchestration_type: Some("ECS".to_owned()),
        compute_resources: Some(ComputeResources {
            r#type: kind.to_owned(),
            allocation_strategy: Some(strategy.to_owned()),
            max_vcpus: 64,
            instance_types: vec!["m6i.xlarge".to_owned(), "m6i.2xlarge".to_owned()],
            subnets: vec!["subnet-a".to_owned(), "subnet-b".to_owned()],
            instance_role: Some("arn:aws:iam::111122223333:instance-profile/ecsInstanceRole".to_owned()),
            launch_template: Some(LaunchTemplateSpecification {
                launch_template_id: Some("lt-1".to_owned()),
                version: Some("3".to_owned()),
                ..LaunchTemplateSpecification::default()
            }),
            ec2_configuration: vec![Ec2Configuration {
                image_type: "ECS_AL2023".to_owned(),
                batch_image_status: Some("LATEST".to_owned()),
                ..Ec2Configuration::default()
            }],
            ..ComputeResources::default()
        }),
        tags: BTreeMap::from([("autotune".to_owned(), "enabled".to_owned())]),
        infrastructure_updated_at: Known::Known(at("2026-06-01T00:00:00Z")),
        ..ComputeEnvironment::default()
    }
}

pub(super) fn mime(script: &str) -> String {
    format!(
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"=\"\n\n--=\nContent-Type: text/x-shellscript\n\n{script}\n--=--\n"
    )
}

fn template() -> LaunchTemplateVersion {
    LaunchTemplateVersion {
        launch_template_id: "lt-1".to_owned(),
        launch_template_name: "batch".to_owned(),
        version_number: 3,
        create_time: Some(at("2026-05-01T00:00:00Z")),
        launch_template_data: LaunchTemplateData {
            block_device_mappings: vec![BlockDeviceMapping {
                device_name: "/dev/xvda".to_owned(),
                ebs: Some(EbsBlockDevice {
                    volume_size: Some(100),
                    volume_type: Some("gp3".to_owned()),
                    delete_on_termination: Some(true),
                    ..EbsBlockDevice::default()
                }),
                ..BlockDeviceMapping::default()
            }],
            user_data: Some(mime("#!/bin/bash\necho hello")),
            metadata_options: Some(MetadataOptions {
                http_tokens: Some("required".to_owned()),
                http_put_response_hop_limit: Some(2),
                ..MetadataOptions::default()
            }),
            ..LaunchTemplateData::default()
        },
    }
}

pub(super) fn definition(name: &str, vcpus: &str, memory: &str) -> JobDefinition {
    let requirement = |kind: &str, value: &str| ResourceRequirement {
        r#type: kind.to_owned(),
        value: value.to_owned(),
    };
    JobDefinition {
        job_definition_name: name.to_owned(),
        job_definition_arn: format!("arn:aws:batch:eu-central-1:111122223333:job-definition/{name}:1"),
        revision: 1,
        r#type: "container".to_owned(),
        platform_capabilities: vec!["EC2".to_owned()],
        retry_strategy: Some(RetryStrategy {
            attempts: Some(3),
            evaluate_on_exit: vec![
                EvaluateOnExit {
                    on_status_reason: Some("Host EC2*".to_owned()),
                    action: "RETRY".to_owned(),
                    ..EvaluateOnExit::default()
                },
                EvaluateOnExit {
                    on_reason: Some("*".to_owned()),
                    action: "exit".to_owned(),
                    ..EvaluateOnExit::default()
                },
            ],
        }),
        timeout: Some(JobTimeout {
            attempt_duration_seconds: Some(7200),
        }),
        container_properties: Some(ContainerProperties {
            image: format!("registry.example/{name}:1"),
            resource_requirements: vec![requirement("VCPU", vcpus), requirement("MEMORY", memory)],
            ..ContainerProperties::default()
        }),
        ..JobDefinition::default()
    }
}

fn queue() -> JobQueue {
    let place = |order, name: &str| ComputeEnvironmentOrder {
        order,
        compute_environment: format!("arn:aws:batch:eu-central-1:111122223333:compute-environment/{name}"),
    };
    JobQueue {
        job_queue_name: "jobs".to_owned(),
        state: "ENABLED".to_owned(),
        status: "VALID".to_owned(),
        priority: 1,
        compute_environment_order: vec![place(1, "spot"), place(2, "on-demand")],
        recent_job_definitions: Known::Known(vec!["align:1".to_owned()]),
        ..JobQueue::default()
    }
}

fn role(service: &str, policies: &[&str]) -> Known<Option<Role>> {
    known(Role {
        arn: String::new(),
        trusted_services: vec![service.to_owned()],
        attached_policies: policies
            .iter()
            .map(|name| format!("arn:aws:iam::aws:policy/service-role/{name}"))
            .collect(),
        inline_policies: Vec::new(),
    })
}

fn quota(value: i64, used: i64) -> Known<Option<Quota>> {
    known(Quota {
        value,
        applied: true,
        used: Known::Known(used),
        ..Quota::default()
    })
}

/// Roles, quotas, and whatever concerns autotune itself.
fn around() -> Survey {
    let named = |name: &str| name.to_owned();
    Survey {
        instance_profiles: BTreeMap::from([(
            named("ecsInstanceRole"),
            known(InstanceProfile {
                arn: String::new(),
                roles: vec![named("ecsInstanceRole")],
            }),
        )]),
        roles: BTreeMap::from([
            (
                named("ecsInstanceRole"),
                role("ec2.amazonaws.com", &["AmazonEC2ContainerServiceforEC2Role"]),
            ),
            (named("guard"), role("scheduler.amazonaws.com", &[])),
            (named("own"), role("batch.amazonaws.com", &["AWSBatchServiceRole"])),
            (
                named("fleet"),
                role("spotfleet.amazonaws.com", &["AmazonEC2SpotFleetTaggingRole"]),
            ),
        ]),
        quotas: BTreeMap::from([
            (named("L-34B43A08"), quota(256, 16)),
            (named("L-1216C47A"), quota(256, 16)),
            (named("L-7A658B76"), quota(50, 1)),
            (named("L-D18FCD1D"), quota(50, 1)),
        ]),
        tag: Some(Tag {
            key: named("autotune"),
            value: named("enabled"),
        }),
        bases: Known::Known(Vec::new()),
        guard: Known::Known(Some(Guard {
            group: named("autotune"),
            group_exists: Known::Known(true),
            role_arn: named("arn:aws:iam::111122223333:role/guard"),
        })),
        event_rules: Known::Known(vec![EventRule {
            name: named("jobs"),
            state: named("ENABLED"),
            reaches_us: true,
        }]),
        schedules: Known::Known(Vec::new()),
        writers: Known::Known(Vec::new()),
        permissions: Known::Known(vec![Permission {
            action: named("batch:ListJobs"),
            resource: named("*"),
            allowed: Known::Known(true),
            needed_for: named("counting waiting jobs"),
        }]),
        may_update: Known::Known(vec![named("arn:aws:batch:*:111122223333:compute-environment/*")]),
        sqs_queues: BTreeMap::from([(
            named("inbox"),
            known(SqsQueue {
                visible: 5,
                in_flight: 0,
                oldest_seconds: Known::Known(5),
            }),
        )]),
        ..Survey::default()
    }
}

/// Two environments, Spot before On-Demand, one queue, one job definition.
pub(super) fn healthy() -> World {
    let named = |name: &str| name.to_owned();
    let subnet = |zone: &str| {
        known(Subnet {
            owner_id: named("111122223333"),
            availability_zone: zone.to_owned(),
            available_ip_address_count: 4000,
            map_public_ip_on_launch: false,
            route: Known::Known(Route::Nat),
            endpoints: Known::Known(Vec::new()),
        })
    };
    let size = |vcpus, memory| {
        known(InstanceTypeInfo {
            default_vcpus: vcpus,
            size_in_mib: memory,
            ..InstanceTypeInfo::default()
        })
    };
    let types = vec!["m6i.xlarge".to_owned(), "m6i.2xlarge".to_owned()];
    let survey = Survey {
        version: VERSION,
        taken_at: Some(at("2026-11-01T00:00:00Z")),
        account: named("111122223333"),
        region: named("eu-central-1"),
        compute_environments: Known::Known(vec![
            environment("spot", "SPOT", "SPOT_PRICE_CAPACITY_OPTIMIZED"),
            environment("on-demand", "EC2", "BEST_FIT_PROGRESSIVE"),
        ]),
        job_queues: Known::Known(vec![queue()]),
        scheduling_policies: BTreeMap::new(),
        job_definitions: Known::Known(vec![definition("align", "2", "4096")]),
        launch_templates: BTreeMap::from([(named("lt-1:3"), known(template()))]),
        images: BTreeMap::new(),
        instance_types: BTreeMap::from([
            (named("m6i.xlarge"), size(4, 16384)),
            (named("m6i.2xlarge"), size(8, 32768)),
        ]),
        offerings: Known::Known(BTreeMap::from([(named("a"), types.clone()), (named("b"), types)])),
        subnets: BTreeMap::from([(named("subnet-a"), subnet("a")), (named("subnet-b"), subnet("b"))]),
        ..around()
    };
    World {
        survey,
        policy: POLICY.to_owned(),
        needs: Needs::default(),
    }
}

impl World {
    pub(super) fn check(&self) -> Report {
        let policy = policy::parse("policy.toml", &self.policy).unwrap();
        check(&Inputs {
            survey: &self.survey,
            policy: Some(&policy),
            needs: self.needs,
        })
    }

    pub(super) fn environment(&mut self, at: usize) -> &mut ComputeEnvironment {
        &mut list(&mut self.survey.compute_environments)[at]
    }

    pub(super) fn spot(&mut self) -> &mut ComputeResources {
        self.environment(0).compute_resources.as_mut().unwrap()
    }

    pub(super) fn on_demand(&mut self) -> &mut ComputeResources {
        self.environment(1).compute_resources.as_mut().unwrap()
    }

    pub(super) fn queue(&mut self) -> &mut JobQueue {
        &mut list(&mut self.survey.job_queues)[0]
    }

    pub(super) fn job(&mut self) -> &mut JobDefinition {
        &mut list(&mut self.survey.job_definitions)[0]
    }

    /// Sets what the one job definition asks for.
    pub(super) fn asks(&mut self, vcpus: &str, memory: &str) {
        *self.job() = definition("align", vcpus, memory);
    }

    pub(super) fn template(&mut self) -> &mut LaunchTemplateData {
        &mut thing(&mut self.survey.launch_templates, "lt-1:3").launch_template_data
    }

    pub(super) fn root(&mut self) -> &mut EbsBlockDevice {
        self.template().block_device_mappings[0].ebs.as_mut().unwrap()
    }

    pub(super) fn script(&mut self, script: &str) {
        self.template().user_data = Some(mime(script));
    }

    pub(super) fn subnet(&mut self, name: &str) -> &mut Subnet {
        thing(&mut self.survey.subnets, name)
    }

    pub(super) fn role(&mut self, name: &str) -> &mut Role {
        thing(&mut self.survey.roles, name)
    }

    pub(super) fn quota(&mut self, code: &str) -> &mut Quota {
        thing(&mut self.survey.quotas, code)
    }

    /// Both environments start with this image, whose root volume has 30 GiB.
    pub(super) fn image(&mut self, name: &str, architecture: &str, docker: Option<&str>) -> &mut Image {
        let mapping = |device: &str, size| BlockDeviceMapping {
            device_name: device.to_owned(),
            ebs: Some(EbsBlockDevice {
                volume_size: Some(size),
                volume_type: Some("gp3".to_owned()),
                snapshot_id: Some("snap-1".to_owned()),
                delete_on_termination: Some(true),
                ..EbsBlockDevice::default()
            }),
            ..BlockDeviceMapping::default()
        };
        let mut mappings = vec![mapping("/dev/xvda", 30)];
        mappings.extend(docker.map(|device| mapping(device, 100)));
        let image = Image {
            image_id: "ami-1".to_owned(),
            name: name.to_owned(),
            architecture: architecture.to_owned(),
            root_device_name: "/dev/xvda".to_owned(),
            block_device_mappings: mappings,
            ..Image::default()
        };
        self.survey.images.insert("ami-1".to_owned(), known(image));
        for at in [0, 1] {
            let resources = self.environment(at).compute_resources.as_mut().unwrap();
            resources.ec2_configuration[0].image_id_override = Some("ami-1".to_owned());
        }
        thing(&mut self.survey.images, "ami-1")
    }

    /// Both environments start with Amazon Linux 1.
    pub(super) fn amazon_linux_1(&mut self) {
        self.image(
            "amzn-ami-2018.03.20230214-amazon-ecs-optimized",
            "x86_64",
            Some("/dev/xvdcz"),
        );
        for at in [0, 1] {
            let resources = self.environment(at).compute_resources.as_mut().unwrap();
            resources.ec2_configuration[0].image_type = "ECS_AL1".to_owned();
        }
    }
}

pub(super) fn list<T>(known: &mut Known<Vec<T>>) -> &mut Vec<T> {
    match known {
        Known::Known(list) => list,
        Known::Unread { why } => panic!("{why}"),
    }
}

pub(super) fn thing<'a, T>(asked: &'a mut Asked<T>, name: &str) -> &'a mut T {
    match asked.get_mut(name) {
        Some(Known::Known(Some(thing))) => thing,
        _ => panic!("the healthy account has no {name}"),
    }
}
