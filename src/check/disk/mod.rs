//! AT1xx: whether the disks of instances hold what jobs put there.

mod corrected;
mod storage;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};

use super::rule::{Finding, batch_guide, ec2_guide, rules};
use super::user_data::{UserData, cleanup_minutes};
use super::view::{Environment, View, images_of, registered, size_of};
use super::{Report, Severity};
use crate::account::survey::{JobDefinition, told};
use crate::catalog::InstanceType;
pub(super) use corrected::corrected;
use volumes::Volume;
pub(super) use volumes::{Generation, Start, starts};

/// GiB that the system, the agent's images and logs take. An assumption on the small side.
const SYSTEM_GIB: i64 = 4;

/// GiB of a container on devicemapper unless `dm.basesize` says otherwise (batch user guide of 2023; Docker documentation).
const AL1_CONTAINER_GIB: i64 = 10;

/// Below these shares of a volume, jobs that start together wait for the disk more than for anything else. Rules of thumb: a laptop's
/// disk does more.
const SLOT_MIBPS: i64 = 2;
const SLOT_IOPS: i64 = 25;

const ECS_AMI: &str = "https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-ami-storage-config.html";
const ECS_CLEANUP: &str = "https://docs.aws.amazon.com/AmazonECS/latest/developerguide/automated_image_cleanup.html";
const EBS_TYPES: &str = "https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html";

rules! {
    TOO_SMALL = "AT101" "disk-too-small" Warning {
        finds: "The volume that holds images and containers is smaller than what the jobs that fit on the largest allowed type put there: \
                the system, each image once, and the scratch space of every job.",
        why: "AWS Batch places jobs by vCPUs, memory and GPUs; it cannot see disks. When jobs pile onto one large instance the disk \
              fills, containers fail with \"no space left on device\", and the instance goes on taking jobs. An error if the need was \
              stated with --image-gib and --scratch-gib, a warning where it is assumed.",
        fix: "Grow the volume in the launch template (`autotune check --fix-template NAME` prints one), or allow only smaller types.",
        sources: [batch_guide!("launch-templates"), ECS_AMI],
    }
    WRONG_DEVICE = "AT102" "volume-at-wrong-device" Error {
        finds: "The launch template adds a volume at a device that the image does not use, such as /dev/xvdcz on Amazon Linux 2 or 2023.",
        why: "Up to Amazon Linux 1, Docker had a volume of its own at /dev/xvdcz. Since Amazon Linux 2 everything is on the root volume, \
              /dev/xvda. The additional volume is paid for and stays empty, and Docker keeps the 30 GiB of the image.",
        fix: "Name the root device /dev/xvda in the launch template instead.",
        sources: [batch_guide!("launch-templates"), ECS_AMI],
    }
    BASESIZE_SMALL = "AT103" "container-size-too-small" Error {
        finds: "On Amazon Linux 1, `dm.basesize` is smaller than the image and the scratch space of one job.",
        why: "With devicemapper each container has a disk of this size, whatever the volume holds.",
        fix: "Set a larger dm.basesize in the user data, or use Amazon Linux 2023, where containers share the volume.",
        sources: [batch_guide!("launch-templates"), ECS_AMI],
    }
    BASESIZE_USELESS = "AT104" "container-size-refused" Error {
        finds: "`dm.basesize` is set on Amazon Linux 2 or 2023.",
        why: "It is an option of devicemapper. The overlay2 driver of these images has no such limit and refuses the option: Docker \
              does not start (\"overlay2: unknown option dm.basesize\"), so no instance joins the cluster.",
        fix: "Remove the option; grow the root volume instead.",
        sources: ["https://github.com/moby/moby/blob/master/daemon/graphdriver/overlay2/overlay.go", ECS_AMI],
    }
    AL1_DEFAULT = "AT105" "container-of-10-gib" Warning {
        finds: "An image of Amazon Linux 1 without `dm.basesize`.",
        why: "Each container then has 10 GiB, however large the volume is. Amazon Linux 1 is at its end besides.",
        fix: "Use Amazon Linux 2023 (ec2Configuration imageType ECS_AL2023).",
        sources: [ECS_AMI, "https://www.nextflow.io/docs/latest/aws.html"],
    }
    CLEANUP = "AT106" "clean-up-too-slow" Warning {
        finds: "The volume holds the jobs that run at one time, but not the stopped containers that wait for the ECS agent's clean-up besides.",
        why: "A stopped container keeps what it wrote until ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION is over, 3 hours by default; images \
              are looked at every 30 minutes, kept for an hour at least, and removed 5 at a time. Short jobs on an instance that is held \
              (a raised minvCpus, a longer scale-down delay, a busy queue) pile up. Where the policy holds instances, the images of all the \
              jobs that come meanwhile are counted too, not only those of the jobs that run together.",
        fix: "In the user data: echo ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION=10m >> /etc/ecs/ecs.config; or grow the volume.",
        sources: [ECS_CLEANUP, "https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-agent-config.html"],
    }
    GP2 = "AT107" "volume-gp2" Info {
        finds: "The volume of images and containers is of type gp2.",
        why: "Its speed follows its size: 30 GiB sustain 100 operations per second once the burst is used up. gp3 sustains 3,000 at any \
              size for less money.",
        fix: "Set VolumeType gp3 in the launch template.",
        sources: [EBS_TYPES],
    }
    SLOW = "AT108" "volume-slow-per-job" Info {
        finds: "Divided by the jobs that fit on the largest type, the volume sustains little: less than 2 MiB or 25 operations per second each \
                (rules of thumb). gp2, gp3, io1 and io2 are judged, of others nobody knows.",
        why: "After a scale-up all jobs of an instance pull, unpack and write at once, on one volume. Jobs then start late although the \
              instance is there.",
        fix: "Buy Throughput and Iops for the gp3 volume, use instance stores, or allow only smaller types.",
        sources: [EBS_TYPES, "https://docs.aws.amazon.com/ebs/latest/userguide/provisioned-iops.html"],
    }
    KEPT = "AT109" "volume-outlives-instance" Warning {
        finds: "A volume with DeleteOnTermination false.",
        why: "AWS Batch ends instances all the time; each leaves a volume behind that is paid for and that nobody uses.",
        fix: "Set DeleteOnTermination true in the launch template, and look for volumes in state `available`.",
        sources: [ec2_guide!("preserving-volumes-on-termination")],
    }
    BELOW_SNAPSHOT = "AT110" "volume-below-snapshot" Error {
        finds: "The launch template makes a volume smaller than the image's snapshot.",
        why: "EC2 refuses to launch such an instance; AWS Batch tries again and jobs stay RUNNABLE.",
        fix: "Use at least the size of the image's volume.",
        sources: ["https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EbsBlockDevice.html"],
    }
    STORE_UNUSED = "AT111" "instance-store-unused" Info {
        finds: "Types with an instance store, and user data that does nothing with it.",
        why: "The fast disks that come with these types are paid for and stay unformatted; jobs use the volume.",
        fix: "Format it in the user data and put Docker's data or the jobs' scratch directory there; or allow types without it.",
        sources: [ec2_guide!("InstanceStorage")],
    }
    STORAGE_QUOTA = "AT112" "storage-above-quota" Warning {
        finds: "The volumes of all environments at maxvCpus, on their smallest types, would exceed the service quota for storage of their type.",
        why: "Launches beyond the quota fail (VolumeLimitExceeded), and AWS Batch tells no reason: jobs stay RUNNABLE.",
        fix: "Ask for more storage in Service Quotas, shrink the volumes, or allow only larger types.",
        sources: ["https://docs.aws.amazon.com/ebs/latest/userguide/ebs-resource-quotas.html", batch_guide!("job_stuck_in_runnable")],
    }
}

/// Looks at every environment with instances on ECS.
pub(super) fn check(view: &View<'_>, report: &mut Report) {
    let mut stored: Vec<(String, i64)> = Vec::new();
    let mut counted = true;
    for (environment, resources) in view.on_ecs() {
        let mut most: BTreeMap<String, i64> = BTreeMap::new();
        if let Some(why) = environment.unknown() {
            counted = false;
            report.unread(&all_but_quota(), environment.name(), why);
        }
        for start in starts(view, environment, resources) {
            match start {
                Ok(start) => {
                    let place = Place {
                        view,
                        environment,
                        start: &start,
                    };
                    place.check(report);
                    for (kind, gib) in place.planned_storage() {
                        let most = most.entry(kind).or_default();
                        *most = gib.max(*most);
                    }
                }
                Err(why) => {
                    counted = false;
                    report.unread(&all_but_quota(), environment.name(), why);
                }
            }
        }
        stored.extend(most);
    }
    storage::check(view, &stored, counted, report);
}

fn all_but_quota() -> Vec<&'static super::Rule> {
    RULES.iter().copied().filter(|rule| **rule != STORAGE_QUOTA).collect()
}

/// What some types of an environment start with.
struct Place<'v, 'a> {
    view: &'v View<'a>,
    environment: &'v Environment<'a>,
    start: &'v Start<'v>,
}

/// What the fullest instance holds.
struct Load<'a> {
    largest: &'a InstanceType,
    definition: &'a JobDefinition,
    slots: i64,
    images: i64,
    /// Of all jobs that may come there.
    all_images: i64,
    /// Whether jobs of these definitions were seen there.
    seen: bool,
}

impl Place<'_, '_> {
    fn check(&self, report: &mut Report) {
        let user_data = self.start.user_data();
        let volumes = self.start.volumes();
        self.sizes(&volumes, user_data.as_ref(), report);
        self.devices(user_data.as_ref(), report);
        self.containers(user_data.as_ref(), report);
        self.each_volume(&volumes, report);
        self.instance_stores(user_data.as_ref(), report);
    }

    fn find(&self, rule: &'static super::Rule, message: impl Into<String>) -> Finding {
        let finding = Finding::of(rule, self.environment.name(), message);
        match &self.start.template {
            Some((key, version)) => finding
                .with("launchTemplate", key)
                .with("version", version.version_number),
            None => finding.with("launchTemplate", "none"),
        }
    }

    /// The job that fills an instance most: most slots on any type.
    fn load<'x>(&'x self, definitions: &[&'x JobDefinition], seen: bool) -> Option<Load<'x>> {
        let mut fullest: Option<Load<'x>> = None;
        let mut images = BTreeSet::new();
        for definition in definitions {
            let Some(size) = size_of(definition) else { continue };
            let mut fits = false;
            for one in &self.start.types {
                let slots = registered(one).slots(&size);
                fits |= slots > 0;
                if slots > fullest.as_ref().map_or(0, |load| load.slots) {
                    fullest = Some(Load {
                        largest: one,
                        definition,
                        slots,
                        images: 0,
                        all_images: 0,
                        seen,
                    });
                }
            }
            if fits {
                images.extend(images_of(definition));
            }
        }
        let images = i64::try_from(images.len()).unwrap_or(i64::MAX);
        fullest.map(|load| Load {
            images: images.min(load.slots).max(1),
            all_images: images.max(1),
            ..load
        })
    }

    /// AT101, AT106, AT107, AT108: the volume that holds images and containers.
    fn sizes(&self, volumes: &[Volume], user_data: Option<&UserData<'_>>, report: &mut Report) {
        let name = self.environment.name();
        let rules = [&TOO_SMALL, &CLEANUP, &GP2, &SLOW];
        if user_data.is_some_and(UserData::arranges_disks) {
            report.unread(&rules, name, "user data arranges the disks by itself");
            return;
        }
        if self.start.generation == Generation::Custom && volumes.len() > 1 {
            report.unread(
                &rules,
                name,
                "which of its volumes a custom image gives to Docker is not known",
            );
            return;
        }
        let Some(volume) = volumes.iter().find(|volume| volume.device == self.start.docker()) else {
            report.unread(&rules, name, format!("no volume is known at {}", self.start.docker()));
            return;
        };
        if volume.kind == "gp2" {
            let finding = self.find(
                &GP2,
                format!("images and containers are on a gp2 volume, {}", volume.device),
            );
            report.add(finding.with("VolumeType", "gp2").with("VolumeSize", show(volume.size)));
        }
        let (definitions, seen) = match self.view.definitions_of(name) {
            Ok(found) => found,
            Err(why) => return report.unread(&[&TOO_SMALL, &CLEANUP, &SLOW], name, format!("job definitions: {why}")),
        };
        let Some(load) = self.load(&definitions, seen) else {
            return;
        };
        self.speed(volume, &load, report);
        match volume.size {
            Some(size) => self.room(volume, size, &load, user_data, report),
            None => report.unread(
                &[&TOO_SMALL, &CLEANUP],
                name,
                format!("the size of {} is not told", volume.device),
            ),
        }
    }

    /// GiB for all that runs at a time on the fullest instance.
    fn need(&self, load: &Load<'_>) -> i64 {
        let needs = self.view.needs;
        let fixed = SYSTEM_GIB.saturating_add(needs.image_gib.amount.saturating_mul(load.images));
        fixed.saturating_add(needs.scratch_gib.amount.saturating_mul(load.slots))
    }

    /// The size to ask for, if the jobs are known.
    fn wanted(&self) -> Option<i64> {
        let (definitions, seen) = self.view.definitions_of(self.environment.name()).ok()?;
        Some(to_tens(self.need(&self.load(&definitions, seen)?)))
    }

    /// AT101 and AT106.
    fn room(&self, volume: &Volume, size: i64, load: &Load<'_>, user_data: Option<&UserData<'_>>, report: &mut Report) {
        let needs = self.view.needs;
        let need = self.need(load);
        let assumed = needs.image_gib.assumed || needs.scratch_gib.assumed || !load.seen;
        let evidence = |finding: Finding| {
            finding
                .with("device", &volume.device)
                .with("VolumeSize", format!("{size} GiB"))
                .with("largest type", &load.largest.name)
                .with("job definition", &load.definition.job_definition_name)
                .with("jobs at a time", load.slots)
                .with("images", load.images)
                .with("image", needs.image_gib.show("GiB"))
                .with("scratch per job", needs.scratch_gib.show("GiB"))
                .with("system", format!("{SYSTEM_GIB} GiB (assumed)"))
                .with(
                    "definitions",
                    if load.seen {
                        "as seen in its queues"
                    } else {
                        "all active ones (assumed)"
                    },
                )
        };
        if need > size {
            let message = format!(
                "{size} GiB at {} for {} jobs of {} on one {}: they need {need} GiB",
                volume.device, load.slots, load.definition.job_definition_name, load.largest.name
            );
            let severity = if assumed { Severity::Warning } else { Severity::Error };
            let finding = evidence(self.find(&TOO_SMALL, message)).with("needed", format!("{need} GiB"));
            report.add(finding.rated(severity).fix(self.grow(&volume.device, need)));
            return;
        }
        let Some((minutes, image_minutes)) = cleanup_minutes(user_data) else {
            report.unread(
                &[&CLEANUP],
                self.environment.name(),
                "how long stopped containers or images stay is set to something unreadable",
            );
            return;
        };
        // Containers that stopped within the time of the clean-up, beside those that run.
        let rounds = minutes.saturating_add(needs.job_minutes.amount.max(1) - 1) / needs.job_minutes.amount.max(1);
        let stopped = load.slots.saturating_mul(rounds);
        let held = self.view.held(self.environment.name());
        let more_images = held.as_ref().map_or(0, |(held, _)| {
            self.images_kept(load, minutes.saturating_add(image_minutes), *held) - load.images
        });
        let in_all = need
            .saturating_add(needs.scratch_gib.amount.saturating_mul(stopped))
            .saturating_add(needs.image_gib.amount.saturating_mul(more_images));
        if in_all > size {
            let images = match more_images {
                0 => String::new(),
                more => format!(" and {more} images that stay"),
            };
            let message = format!(
                "{size} GiB at {} hold {} jobs at a time, but with the {stopped} that stopped within {minutes} min{images} {in_all} GiB are needed",
                volume.device, load.slots
            );
            let held = held.map_or_else(
                || "no policy holds instances".to_owned(),
                |(_, key)| format!("by the policy's {key}"),
            );
            let finding = evidence(self.find(&CLEANUP, message))
                .with("ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION", format!("{minutes} min"))
                .with("a job runs", needs.job_minutes.show("min"))
                .with("images that stay", load.images.saturating_add(more_images))
                .with("held", held);
            report.add(finding);
        }
    }

    /// Images on an instance that is held for so many minutes after its jobs: of the jobs that come until the agent removes the first. An
    /// image is in use for as long as a container of it, stopped ones too.
    fn images_kept(&self, load: &Load<'_>, until_removed: i64, held_minutes: i64) -> i64 {
        let run = self.view.needs.job_minutes.amount.max(1);
        let stays = until_removed.min(held_minutes.saturating_add(run));
        let rounds = stays.saturating_add(run - 1) / run;
        let came = load.slots.saturating_mul(rounds.saturating_add(1));
        // Where nobody saw jobs, not all that may come there will.
        let images = if load.seen { load.all_images } else { load.images };
        images.min(came).max(load.images)
    }

    /// The command that prints the template to use instead.
    fn grow(&self, device: &str, need: i64) -> String {
        let size = to_tens(need);
        let ebs = serde_json::json!({ "VolumeSize": size, "VolumeType": "gp3", "DeleteOnTermination": true });
        let mapping = serde_json::json!({ "DeviceName": device, "Ebs": ebs });
        match &self.start.template {
            Some((_, version)) => format!(
                "In BlockDeviceMappings of {}: {mapping}; `autotune check --fix-template {}` prints the whole change",
                version.launch_template_name,
                super::rule::shell(&version.launch_template_name)
            ),
            None => format!("Give the environment a launch template with BlockDeviceMappings: [{mapping}]"),
        }
    }

    /// AT108.
    fn speed(&self, volume: &Volume, load: &Load<'_>, report: &mut Report) {
        let each = |sustained: Option<i64>| sustained.map(|amount| amount / load.slots.max(1));
        let (throughput, iops) = (each(volume.sustained_throughput()), each(volume.sustained_iops()));
        if throughput.is_none() || iops.is_none() {
            let kind = if volume.kind.is_empty() {
                "whose type is not told"
            } else {
                volume.kind.as_str()
            };
            let why = format!("what the volume at {}, {kind}, sustains is not known", volume.device);
            report.unread(&[&SLOW], self.environment.name(), why);
        }
        let slow = throughput.is_some_and(|each| each < SLOT_MIBPS) || iops.is_some_and(|each| each < SLOT_IOPS);
        if slow {
            let message = format!(
                "{} jobs on one {} share one {} volume",
                load.slots, load.largest.name, volume.kind
            );
            let finding = self.find(&SLOW, message).with("device", &volume.device);
            let finding = finding
                .with("MiB/s", show(volume.sustained_throughput()))
                .with("Iops", show(volume.sustained_iops()));
            report.add(
                finding
                    .with("jobs at a time", load.slots)
                    .with("job definition", &load.definition.job_definition_name),
            );
        }
    }

    /// AT102: devices of the template that nobody uses.
    fn devices(&self, user_data: Option<&UserData<'_>>, report: &mut Report) {
        let added: Vec<_> = (self.start.volumes().into_iter())
            .filter(|volume| !volume.of_image)
            .collect();
        if added.is_empty() {
            return;
        }
        let name = self.environment.name();
        if user_data.is_some_and(UserData::arranges_disks) {
            report.unread(&[&WRONG_DEVICE], name, "user data arranges the disks by itself");
        } else if self.start.generation.shares_root() {
            for volume in added {
                let message = format!(
                    "nothing uses the volume at {}: Docker is on {}",
                    volume.device,
                    self.start.docker()
                );
                let finding = self.find(&WRONG_DEVICE, message).with("DeviceName", &volume.device);
                let finding = finding
                    .with("VolumeSize", show(volume.size))
                    .with("RootDeviceName", self.start.root());
                let finding = finding.fix(format!(
                    "Write {} instead of {} in BlockDeviceMappings",
                    self.start.root(),
                    volume.device
                ));
                // A script that is fetched at boot may use it.
                report.add(if user_data.is_some() {
                    finding.rated(Severity::Warning)
                } else {
                    finding
                });
            }
        } else if self.start.generation == Generation::Custom {
            report.unread(
                &[&WRONG_DEVICE],
                name,
                "what a custom image does with an additional volume is not known",
            );
        }
    }

    /// AT103, AT104, AT105: the size of one container.
    fn containers(&self, user_data: Option<&UserData<'_>>, report: &mut Report) {
        let written = user_data.and_then(UserData::basesize);
        match (self.start.generation, written) {
            (Generation::Al2 | Generation::Al2023, Some(written)) => {
                let finding = self.find(
                    &BASESIZE_USELESS,
                    "the option dm.basesize keeps Docker from starting on this image",
                );
                report.add(finding.with("dm.basesize", written));
            }
            (Generation::Al1, None) => {
                let finding = self.find(&AL1_DEFAULT, format!("each container has {AL1_CONTAINER_GIB} GiB"));
                report.add(finding.with("image", self.start.image.map_or("", |image| image.name.as_str())));
            }
            (Generation::Al1, Some(written)) => {
                let needs = self.view.needs;
                let need = needs.image_gib.amount.saturating_add(needs.scratch_gib.amount);
                match user_data.and_then(UserData::basesize_gib) {
                    Some(size) if size < need => {
                        let finding = self.find(
                            &BASESIZE_SMALL,
                            format!("a container has {size} GiB, a job needs {need} GiB"),
                        );
                        let finding = finding
                            .with("dm.basesize", written)
                            .with("image", needs.image_gib.show("GiB"));
                        let assumed = needs.image_gib.assumed || needs.scratch_gib.assumed;
                        let severity = if assumed { Severity::Warning } else { Severity::Error };
                        report.add(
                            finding
                                .with("scratch per job", needs.scratch_gib.show("GiB"))
                                .rated(severity),
                        );
                    }
                    Some(_) => {}
                    None => report.unread(
                        &[&BASESIZE_SMALL],
                        self.environment.name(),
                        "dm.basesize is set to something unreadable",
                    ),
                }
            }
            (Generation::Custom, Some(_)) => {
                let rules = [&BASESIZE_SMALL, &BASESIZE_USELESS];
                report.unread(
                    &rules,
                    self.environment.name(),
                    "which storage driver a custom image has is not known",
                );
            }
            (Generation::Al2 | Generation::Al2023 | Generation::Custom, None) | (Generation::Bottlerocket, _) => {}
        }
    }

    /// AT109 and AT110.
    fn each_volume(&self, volumes: &[Volume], report: &mut Report) {
        for volume in volumes {
            if volume.kept {
                let finding = self.find(
                    &KEPT,
                    format!("the volume at {} stays when its instance ends", volume.device),
                );
                report.add(
                    finding
                        .with("DeviceName", &volume.device)
                        .with("DeleteOnTermination", false),
                );
            }
            if let (Some(size), Some(least)) = (volume.size, volume.snapshot_size)
                && size < least
            {
                let message = format!(
                    "the volume at {} is smaller than its snapshot: nothing launches",
                    volume.device
                );
                let finding = self.find(&BELOW_SNAPSHOT, message).with("DeviceName", &volume.device);
                report.add(finding.with("VolumeSize", size).with("snapshot", least));
            }
        }
    }

    /// AT111.
    fn instance_stores(&self, user_data: Option<&UserData<'_>>, report: &mut Report) {
        if user_data.is_some_and(UserData::uses_instance_store) || self.start.generation == Generation::Custom {
            return;
        }
        let mut with_store = Vec::new();
        for one in &self.start.types {
            match told(&self.view.survey.instance_types, &one.name) {
                Ok(Some(info)) => with_store.extend(info.instance_storage_gb.map(|gb| format!("{} {gb} GB", one.name))),
                Ok(None) => {}
                Err(why) => {
                    report.unread(
                        &[&STORE_UNUSED],
                        self.environment.name(),
                        format!("instance types: {why}"),
                    );
                    return;
                }
            }
        }
        if !with_store.is_empty() {
            let finding = self.find(&STORE_UNUSED, "nothing uses the instance stores of its types");
            report.add(finding.with("InstanceStorageInfo", with_store.join(", ")));
        }
    }
}

/// To the next 10 GiB: figures like these pretend no precision.
const fn to_tens(gib: i64) -> i64 {
    (gib.saturating_add(9) / 10).saturating_mul(10)
}

fn show(number: Option<i64>) -> String {
    number.map_or_else(|| "not set".to_owned(), |number| number.to_string())
}
