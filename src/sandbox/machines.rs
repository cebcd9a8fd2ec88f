//! What instances begin with, and the instances: images, launch templates. In the shape in which EC2 tells them: names of members
//! are those of its XML.

use base64::Engine as _;
use serde_json::{Value, json};

use super::flaws::Flaw;
use super::ids::Names;
use super::network::{SECURITY_GROUP, VPC, subnet_id, zone_name};
use super::state::State;
use crate::account::Platform;
use crate::catalog::{Architecture, InstanceType, Purchase};
use crate::ids::EnvironmentIndex;
use crate::simulate::scenario::EnvironmentSpec;
use crate::simulate::world::InstanceNow;
use crate::units::{Span, Time, to_u64};

/// The account that Amazon shares its images for ECS from.
const AMAZON: &str = "591542846629";
/// The version of the image: a release of Amazon's; only its name is used.
const RELEASE: &str = "20260915";
/// GiB of the image's root volume (aws/amazon-ecs-ami, al2023.pkr.hcl).
const ROOT_GIB: i64 = 30;
const ROOT: &str = "/dev/xvda";
/// Where Amazon Linux 1 had Docker's volume.
const OLD_DEVICE: &str = "/dev/xvdcz";
/// Public images are deprecated two years after they were made (EC2 user guide, "Deprecate an Amazon EC2 AMI").
const DEPRECATED_AFTER: Span = Span::from_minutes(2 * 365 * 24 * 60);
/// Everything around the environments was made that long before the account begins.
const MADE_BEFORE: Span = Span::from_minutes(30 * 24 * 60);
const RESERVATION: u64 = 1 << 40;

/// Stopped containers are removed after ten minutes, so that those of the last hours do not fill the volume.
const USER_DATA: &str = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"==SIMULATED==\"\n\n--==SIMULATED==\n\
    Content-Type: text/x-shellscript; charset=\"us-ascii\"\n\n#!/bin/bash\n\
    echo ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION=10m >> /etc/ecs/ecs.config\n--==SIMULATED==--\n";

/// An image of Amazon's that the account's environments use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    id: &'static str,
    architecture: &'static str,
    /// `imageType`.
    pub(super) kind: &'static str,
    infix: &'static str,
}

const IMAGES: [Machine; 3] = [
    Machine {
        id: "ami-0000000000000ec01",
        architecture: "x86_64",
        kind: "ECS_AL2023",
        infix: "hvm",
    },
    Machine {
        id: "ami-0000000000000ec02",
        architecture: "arm64",
        kind: "ECS_AL2023",
        infix: "hvm",
    },
    Machine {
        id: "ami-0000000000000ec03",
        architecture: "x86_64",
        kind: "ECS_AL2023_NVIDIA",
        infix: "gpu-hvm",
    },
];

/// The image that the types of an environment need.
fn image_for(types: &[&InstanceType]) -> Machine {
    let first = types.first();
    let arm = first.is_some_and(|one| one.architecture == Architecture::Arm64);
    let gpus = first.is_some_and(|one| one.nominal.gpus > 0);
    let [plain, on_arm, with_gpus] = IMAGES;
    match (arm, gpus) {
        (true, _) => on_arm,
        (false, true) => with_gpus,
        (false, false) => plain,
    }
}

/// Whether an environment has an image and a launch template: those on ECS do.
fn begins_with_image(spec: &EnvironmentSpec) -> bool {
    spec.platform == Platform::Ec2
}

/// `ec2Configuration` of an environment: an image of its own is set, so that all begin alike.
pub(super) fn ec2_configuration(spec: &EnvironmentSpec) -> Value {
    if !begins_with_image(spec) {
        return json!([{"imageType": "EKS_AL2023"}]);
    }
    let image = image_for(&spec.catalogue_types().unwrap_or_default());
    json!([{"imageType": image.kind, "imageIdOverride": image.id}])
}

impl State {
    /// When everything around the environments was made.
    pub(super) fn made(&self) -> Time {
        self.begun - MADE_BEFORE
    }

    pub(super) fn images(&self) -> Vec<Value> {
        let made = self.made();
        let image = |one: Machine| {
            let name = format!(
                "al2023-ami-ecs-{}-2023.0.{RELEASE}-kernel-6.1-{}",
                one.infix, one.architecture
            );
            json!({
                "imageId": one.id,
                "imageLocation": format!("amazon/{name}"),
                "imageState": "available",
                "imageOwnerId": AMAZON,
                "imageOwnerAlias": "amazon",
                "isPublic": true,
                "architecture": one.architecture,
                "imageType": "machine",
                "name": name,
                "description": "Amazon Linux AMI 2023 for Amazon ECS (simulated)",
                "rootDeviceName": ROOT,
                "rootDeviceType": "ebs",
                "virtualizationType": "hvm",
                "hypervisor": "xen",
                "enaSupport": true,
                "sriovNetSupport": "simple",
                "platformDetails": "Linux/UNIX",
                "usageOperation": "RunInstances",
                "bootMode": "uefi-preferred",
                "imdsSupport": "v2.0",
                "creationDate": made.to_string(),
                "deprecationTime": (made + DEPRECATED_AFTER).to_string(),
                "blockDeviceMapping": [{"deviceName": ROOT, "ebs": {
                    "snapshotId": format!("snap-{}", one.id.trim_start_matches("ami-")),
                    "volumeSize": ROOT_GIB,
                    "volumeType": "gp3",
                    "deleteOnTermination": true,
                    "encrypted": false,
                }}],
            })
        };
        IMAGES.map(image).to_vec()
    }

    /// The launch template of an environment: id and name.
    pub(super) fn template_of(&self, environment: EnvironmentIndex) -> Option<(String, String)> {
        let spec = self.scenario.environments.get(environment.position())?;
        begins_with_image(spec).then(|| {
            let id = format!("lt-{:017x}", to_u64(environment.position()) + 1);
            (id, format!("batch-{}", spec.name))
        })
    }

    fn all_templates(&self) -> impl Iterator<Item = (EnvironmentIndex, String, String)> {
        let all = (0..self.scenario.environments.len()).map(EnvironmentIndex::at);
        all.filter_map(|environment| {
            let (id, name) = self.template_of(environment)?;
            Some((environment, id, name))
        })
    }

    pub(super) fn launch_templates(&self) -> Vec<Value> {
        let template = |(_, id, name)| {
            json!({
                "launchTemplateId": id,
                "launchTemplateName": name,
                "createTime": self.made().to_string(),
                "createdBy": self.names.user_arn(),
                "defaultVersionNumber": 1,
                "latestVersionNumber": 1,
            })
        };
        self.all_templates().map(template).collect()
    }

    /// The one version of each template.
    pub(super) fn template_versions(&self) -> Vec<Value> {
        let version = |(environment, id, name): (EnvironmentIndex, String, String)| {
            json!({
                "launchTemplateId": id,
                "launchTemplateName": name,
                "versionNumber": 1,
                "versionDescription": "Room for images and containers",
                "createTime": self.made().to_string(),
                "createdBy": self.names.user_arn(),
                "defaultVersion": true,
                "launchTemplateData": {
                    "blockDeviceMappingSet": self.volumes(environment),
                    "metadataOptions": {
                        "httpTokens": "required", "httpEndpoint": "enabled", "httpPutResponseHopLimit": 2,
                    },
                    "userData": base64::engine::general_purpose::STANDARD.encode(USER_DATA),
                },
            })
        };
        self.all_templates().map(version).collect()
    }

    /// A volume for as many jobs as the largest type has vCPUs: three GiB each besides the system and images, and what gp3 has at
    /// no charge or 25 operations and two MiB a second for each, whichever is more.
    fn volumes(&self, environment: EnvironmentIndex) -> Value {
        if self.flaws.has(Flaw::SmallVolume) {
            return json!([]);
        }
        let spec = self.scenario.environments.get(environment.position());
        let types = spec.and_then(|spec| spec.catalogue_types().ok()).unwrap_or_default();
        let largest = types.iter().map(|one| one.nominal.vcpus.get()).max().unwrap_or(1);
        let device = if self.flaws.has(Flaw::WrongDevice) {
            OLD_DEVICE
        } else {
            ROOT
        };
        json!([{"deviceName": device, "ebs": {
            "volumeSize": 100 + 3 * largest,
            "volumeType": "gp3",
            "iops": (25 * largest).max(3_000),
            "throughput": (2 * largest).max(125),
            "deleteOnTermination": true,
            "encrypted": true,
        }}])
    }

    /// A reservation for each instance.
    pub(super) fn reservations(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for (position, spec) in self.scenario.environments.iter().enumerate() {
            let environment = EnvironmentIndex::at(position);
            for instance in self.world.launched(environment) {
                all.push(json!({
                    "reservationId": format!("r-{:017x}", RESERVATION ^ instance.entity),
                    "ownerId": self.names.account,
                    "groupSet": [],
                    "instancesSet": [self.instance(spec, environment, &instance)],
                }));
            }
        }
        all
    }

    fn instance(&self, spec: &EnvironmentSpec, environment: EnvironmentIndex, instance: &InstanceNow) -> Value {
        let kind = self.type_of(environment, instance);
        let types = spec.catalogue_types().unwrap_or_default();
        let image = image_for(&types);
        let (code, state) = if self.now < instance.running {
            (0, "pending")
        } else {
            (16, "running")
        };
        let mut told = json!({
            "instanceId": Names::ec2_id(instance.entity),
            "imageId": image.id,
            "instanceState": {"code": code, "name": state},
            "amiLaunchIndex": 0,
            "instanceType": kind,
            // When RunInstances was answered is not kept.
            "launchTime": instance.running.min(self.now).to_string(),
            "placement": {"availabilityZone": zone_name(&self.names.region, instance.zone), "tenancy": "default"},
            "subnetId": subnet_id(instance.zone),
            "vpcId": VPC,
            "architecture": image.architecture,
            "rootDeviceType": "ebs",
            "rootDeviceName": ROOT,
            "virtualizationType": "hvm",
            "groupSet": [{"groupId": SECURITY_GROUP, "groupName": "batch"}],
            "tagSet": [
                {"key": "AWSBatchServiceTag", "value": "batch"},
                {"key": "aws:autoscaling:groupName", "value": self.group_name(environment)},
            ],
        });
        if let Value::Object(members) = &mut told
            && spec.purchase == Purchase::Spot
        {
            members.insert("instanceLifecycle".to_owned(), json!("spot"));
        }
        told
    }
}
