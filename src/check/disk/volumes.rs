//! The volumes that instances of an environment really get: launch template over image.

use std::collections::BTreeMap;

use crate::account::survey::{
    BlockDeviceMapping, ComputeResources, EbsBlockDevice, Ec2Configuration, Image, LaunchTemplateVersion, told,
};
use crate::catalog::InstanceType;
use crate::check::user_data::UserData;
use crate::check::view::{Environment, View};

/// What an image is made from: where Docker keeps its data follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::check) enum Generation {
    /// Docker has a volume of its own, `/dev/xvdcz`, with devicemapper.
    Al1,
    /// Everything is on the root volume, with overlay2.
    Al2,
    /// As AL2.
    Al2023,
    /// Images and containers are on a volume of their own.
    Bottlerocket,
    /// Somebody's own image: only its maker knows.
    Custom,
}

impl Generation {
    /// By the name that Amazon gives its images.
    pub(in crate::check) fn of(image: &Image) -> Self {
        let name = image.name.as_str();
        let begins = |prefix: &str| name.starts_with(prefix);
        if begins("amzn-ami-") && name.contains("ecs") {
            Self::Al1
        } else if begins("amzn2-ami-") && name.contains("ecs") {
            Self::Al2
        } else if begins("al2023-ami-") && name.contains("ecs") {
            Self::Al2023
        } else if begins("bottlerocket-") {
            Self::Bottlerocket
        } else {
            Self::Custom
        }
    }

    /// Of Batch's own image of a type.
    pub(in crate::check) fn of_type(image_type: &str) -> Option<Self> {
        if image_type.starts_with("ECS_AL2023") {
            Some(Self::Al2023)
        } else if image_type.starts_with("ECS_AL2") {
            Some(Self::Al2)
        } else {
            None
        }
    }

    /// Whether all containers share the root volume without a limit of their own.
    pub(in crate::check) const fn shares_root(self) -> bool {
        matches!(self, Self::Al2 | Self::Al2023)
    }
}

/// A volume as an instance gets it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Volume {
    pub(super) device: String,
    /// GiB.
    pub(super) size: Option<i64>,
    pub(super) kind: String,
    pub(super) iops: Option<i64>,
    pub(super) throughput: Option<i64>,
    pub(super) kept: bool,
    /// GiB of the image's volume of this device, if it begins from a snapshot.
    pub(super) snapshot_size: Option<i64>,
    /// Whether the image has this device too.
    pub(super) of_image: bool,
}

/// What some of an environment's types start with.
pub(in crate::check) struct Start<'a> {
    pub(in crate::check) types: Vec<&'a InstanceType>,
    /// The template's key in the survey, and what it says.
    pub(in crate::check) template: Option<(String, &'a LaunchTemplateVersion)>,
    /// The image that was chosen by somebody; `None`: Batch's own.
    pub(in crate::check) image: Option<&'a Image>,
    pub(in crate::check) configuration: Option<&'a Ec2Configuration>,
    pub(in crate::check) generation: Generation,
}

/// What types share: the template, the image, and the entry of ec2Configuration.
type Choice<'a> = (Option<String>, Option<String>, Option<&'a str>);

/// Why nothing is known of what some types start with.
pub(in crate::check) type Unknown = String;

/// What the types of an environment start with: one entry for each combination of template and image.
pub(in crate::check) fn starts<'a>(
    view: &View<'a>,
    environment: &'a Environment<'a>,
    resources: &'a ComputeResources,
) -> Vec<Result<Start<'a>, Unknown>> {
    let mut choices: BTreeMap<Choice<'a>, (Option<&'a Ec2Configuration>, Vec<&'a InstanceType>)> = BTreeMap::new();
    let mut starts = Vec::new();
    for one in &environment.types {
        let (template, of_override) = template_of(resources, one);
        let configuration = configuration_of(resources, one);
        let in_template = match template
            .as_ref()
            .map(|key| told(&view.survey.launch_templates, key))
            .transpose()
        {
            Ok(found) => found
                .flatten()
                .and_then(|version| version.launch_template_data.image_id.clone()),
            Err(why) => {
                starts.push(Err(why));
                continue;
            }
        };
        // User guide, "AMI selection order"; another page has the template's image first, so both are looked at elsewhere.
        let image = (in_template.clone().filter(|_| of_override))
            .or_else(|| resources.image_id.clone())
            .or_else(|| configuration.and_then(|entry| entry.image_id_override.clone()))
            .or(in_template);
        let choice = (template, image, configuration.map(|entry| entry.image_type.as_str()));
        choices
            .entry(choice)
            .or_insert_with(|| (configuration, Vec::new()))
            .1
            .push(one);
    }
    for ((template, image, _), (configuration, types)) in choices {
        starts.push(start(view, template, image, configuration, types));
    }
    // The same template is unread for each of its types.
    starts.dedup_by(|a, b| matches!((a, b), (Err(a), Err(b)) if a == b));
    starts
}

fn start<'a>(
    view: &View<'a>,
    template: Option<String>,
    image: Option<String>,
    configuration: Option<&'a Ec2Configuration>,
    types: Vec<&'a InstanceType>,
) -> Result<Start<'a>, Unknown> {
    let template = match template {
        None => None,
        Some(key) => match told(&view.survey.launch_templates, &key)? {
            Some(version) => Some((key, version)),
            None => return Err(format!("launch template {key} does not exist")),
        },
    };
    let image = match image {
        None => None,
        Some(id) => match told(&view.survey.images, &id)? {
            Some(image) => Some(image),
            None => return Err(format!("image {id} does not exist")),
        },
    };
    let generation = match (image, configuration) {
        (Some(image), _) => Generation::of(image),
        (None, Some(configuration)) => Generation::of_type(&configuration.image_type)
            .ok_or_else(|| format!("what image type {} starts with is not known", configuration.image_type))?,
        (None, None) => return Err("ec2Configuration does not say which image Batch takes".to_owned()),
    };
    Ok(Start {
        types,
        template,
        image,
        configuration,
        generation,
    })
}

/// The template for a type, and whether it is an override.
fn template_of(resources: &ComputeResources, one: &InstanceType) -> (Option<String>, bool) {
    let Some(specification) = &resources.launch_template else {
        return (None, false);
    };
    let means = |name: &String| *name == one.name || *name == one.family();
    let mut overrides = specification.overrides.iter();
    if let Some(other) = overrides.find(|other| other.target_instance_types.iter().any(means)) {
        return (Some(other.key()), true);
    }
    let named = specification.launch_template_id.is_some() || specification.launch_template_name.is_some();
    (named.then(|| specification.key()), false)
}

/// Of two entries, the one for NVIDIA is for instances with GPUs.
fn configuration_of<'a>(resources: &'a ComputeResources, one: &InstanceType) -> Option<&'a Ec2Configuration> {
    let with_gpus = one.nominal.gpus > 0;
    let mut entries = resources.ec2_configuration.iter();
    let matching = entries.find(|entry| entry.image_type.contains("NVIDIA") == with_gpus);
    matching.or_else(|| resources.ec2_configuration.first())
}

impl<'a> Start<'a> {
    /// What its user data does.
    pub(in crate::check) fn user_data(&self) -> Option<UserData<'a>> {
        let (_, version) = self.template.as_ref()?;
        version.launch_template_data.user_data.as_deref().map(UserData::of)
    }

    /// The device that holds the system.
    pub(super) fn root(&self) -> &str {
        self.image.map_or("/dev/xvda", |image| image.root_device_name.as_str())
    }

    /// The device that holds images and containers.
    pub(super) fn docker(&self) -> &str {
        match self.generation {
            Generation::Al1 => "/dev/xvdcz",
            Generation::Bottlerocket => "/dev/xvdb",
            Generation::Al2 | Generation::Al2023 | Generation::Custom => self.root(),
        }
    }

    /// What the template says of volumes.
    pub(super) fn of_template(&self) -> &'a [BlockDeviceMapping] {
        let data = self.template.as_ref().map(|(_, version)| &version.launch_template_data);
        data.map_or(&[], |data| data.block_device_mappings.as_slice())
    }

    /// All volumes: the template's values over the image's.
    pub(super) fn volumes(&self) -> Vec<Volume> {
        let mut volumes: Vec<Volume> = match self.image {
            Some(image) => image.block_device_mappings.iter().filter_map(of_image).collect(),
            None => vec![default_root(self.generation)],
        };
        for mapping in self.of_template() {
            let at = volumes.iter().position(|volume| volume.device == mapping.device_name);
            match (at, &mapping.ebs) {
                (Some(at), _) if mapping.no_device.is_some() => {
                    volumes.remove(at);
                }
                (Some(at), Some(ebs)) => {
                    if let Some(volume) = volumes.get_mut(at) {
                        lay_over(volume, ebs);
                    }
                }
                (None, Some(ebs)) if mapping.no_device.is_none() => {
                    let mut volume = Volume {
                        device: mapping.device_name.clone(),
                        ..Volume::default()
                    };
                    lay_over(&mut volume, ebs);
                    volumes.push(volume);
                }
                (_, _) => {}
            }
        }
        volumes
    }
}

fn of_image(mapping: &BlockDeviceMapping) -> Option<Volume> {
    let ebs = mapping.ebs.as_ref()?;
    let mut volume = Volume {
        device: mapping.device_name.clone(),
        snapshot_size: ebs.volume_size.filter(|_| ebs.snapshot_id.is_some()),
        of_image: true,
        ..Volume::default()
    };
    lay_over(&mut volume, ebs);
    Some(volume)
}

/// Images of Amazon ECS: 30 GiB at `/dev/xvda`, gp3 since AL2023 (aws/amazon-ecs-ami, variables.pkr.hcl).
fn default_root(generation: Generation) -> Volume {
    Volume {
        device: "/dev/xvda".to_owned(),
        size: Some(30),
        kind: if generation == Generation::Al2 { "gp2" } else { "gp3" }.to_owned(),
        iops: None,
        throughput: None,
        kept: false,
        snapshot_size: Some(30),
        of_image: true,
    }
}

fn lay_over(volume: &mut Volume, ebs: &EbsBlockDevice) {
    volume.size = ebs.volume_size.or(volume.size);
    if let Some(kind) = &ebs.volume_type {
        if *kind != volume.kind {
            // What was set for another kind of volume does not hold for this one.
            (volume.iops, volume.throughput) = (None, None);
        }
        volume.kind.clone_from(kind);
    }
    volume.iops = ebs.iops.or(volume.iops);
    volume.throughput = ebs.throughput.or(volume.throughput);
    if let Some(delete) = ebs.delete_on_termination {
        volume.kept = !delete;
    }
}

impl Volume {
    /// MiB per second that it sustains; `None`: not known for its kind.
    ///
    /// gp3: 125 unless more is bought. gp2: what its operations per second move, at most 128 up to 170 GiB and 250 above (Amazon EBS user
    /// guide, "General Purpose SSD volumes"). io1: the same, at most 500, and above 32,000 a second 16 KiB for each; io2: at most 4,000 ("Provisioned
    /// IOPS SSD volumes"). An operation moves 256 KiB.
    pub(super) fn sustained_throughput(&self) -> Option<i64> {
        let moved = || self.sustained_iops().map(|iops| iops / 4);
        match self.kind.as_str() {
            "gp3" => Some(self.throughput.unwrap_or(125)),
            "gp2" => moved().map(|moved| {
                moved.min(if self.size.is_some_and(|size| size <= 170) {
                    128
                } else {
                    250
                })
            }),
            "io1" => self.iops.map(|iops| (iops / 4).min(500).max((iops / 64).min(1_000))),
            "io2" => moved().map(|moved| moved.min(4_000)),
            _ => None,
        }
    }

    /// Operations per second that it sustains: gp3 3,000 unless more are bought; gp2 3 per GiB, 100 to 16,000; io1 and io2 those that are bought
    /// (same pages).
    pub(super) fn sustained_iops(&self) -> Option<i64> {
        match (self.kind.as_str(), self.iops) {
            ("gp3", bought) => Some(bought.unwrap_or(3000)),
            ("gp2", _) => self.size.map(|size| size.saturating_mul(3).clamp(100, 16_000)),
            ("io1" | "io2", bought) => bought,
            (_, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Volume;

    #[test]
    fn a_volume_sustains_what_its_kind_size_and_what_was_bought_say() {
        for (kind, size, iops, throughput, expected) in [
            ("gp3", 30, None, None, (Some(125), Some(3_000))),
            ("gp3", 30, Some(6_000), Some(500), (Some(500), Some(6_000))),
            // 100 operations of 256 KiB, whatever the burst does.
            ("gp2", 30, None, None, (Some(25), Some(100))),
            ("gp2", 170, None, None, (Some(127), Some(510))),
            ("gp2", 1_000, None, None, (Some(250), Some(3_000))),
            ("io1", 100, Some(1_000), None, (Some(250), Some(1_000))),
            ("io1", 100, Some(32_000), None, (Some(500), Some(32_000))),
            ("io1", 100, Some(64_000), None, (Some(1_000), Some(64_000))),
            ("io2", 100, Some(16_000), None, (Some(4_000), Some(16_000))),
            ("io2", 100, None, None, (None, None)),
            ("st1", 500, None, None, (None, None)),
            ("", 500, None, None, (None, None)),
        ] {
            let volume = Volume {
                kind: kind.to_owned(),
                size: Some(size),
                iops,
                throughput,
                ..Volume::default()
            };
            let sustained = (volume.sustained_throughput(), volume.sustained_iops());
            assert_eq!(sustained, expected, "{kind} {size} {iops:?}");
        }
    }
}
