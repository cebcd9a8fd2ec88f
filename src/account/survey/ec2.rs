//! What Amazon EC2 describes: field names are those of its API.

use serde::{Deserialize, Serialize};

use super::{Known, Timestamp};

/// One version of a launch template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub struct LaunchTemplateVersion {
    /// The template's id.
    pub launch_template_id: String,
    /// The template's name.
    pub launch_template_name: String,
    /// The version that `$Latest` or `$Default` stood for when it was read.
    pub version_number: i64,
    /// When this version was published.
    pub create_time: Option<Timestamp>,
    /// What it says.
    pub launch_template_data: LaunchTemplateData,
}

/// What a launch template says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub struct LaunchTemplateData {
    /// Volumes.
    pub block_device_mappings: Vec<BlockDeviceMapping>,
    /// The image.
    pub image_id: Option<String>,
    /// User data, decoded from base64. May hold secrets: see [`shareable`].
    pub user_data: Option<String>,
    /// Instance metadata.
    pub metadata_options: Option<MetadataOptions>,
    /// The instance type; Batch ignores it.
    pub instance_type: Option<String>,
    /// The instance profile; Batch ignores it.
    pub iam_instance_profile: Option<IamInstanceProfile>,
    /// Spot or not; Batch ignores it.
    pub instance_market_options: Option<InstanceMarketOptions>,
    /// Protection from termination; Batch ignores it.
    pub disable_api_termination: Option<bool>,
    /// Network interfaces; Batch ignores their subnets.
    pub network_interfaces: Vec<NetworkInterface>,
}

/// A device of an instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub struct BlockDeviceMapping {
    /// For example `/dev/xvda`.
    pub device_name: String,
    /// Set: the image's device of that name is left out.
    pub no_device: Option<String>,
    /// `ephemeral0` and so on: an instance store.
    pub virtual_name: Option<String>,
    /// A volume.
    pub ebs: Option<EbsBlockDevice>,
}

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub struct EbsBlockDevice {
    /// GiB; not set: as large as the snapshot.
    pub volume_size: Option<i64>,
    /// `gp3`, `gp2` and others.
    pub volume_type: Option<String>,
    /// What is on it.
    pub snapshot_id: Option<String>,
    /// Whether it goes with the instance.
    pub delete_on_termination: Option<bool>,
    /// Operations per second.
    pub iops: Option<i64>,
    /// MiB per second.
    pub throughput: Option<i64>,
}

/// Instance metadata.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub struct MetadataOptions {
    /// `required` (version 2 only) or `optional`.
    pub http_tokens: Option<String>,
    /// `enabled` or `disabled`.
    pub http_endpoint: Option<String>,
    /// How far answers go; containers need 2.
    pub http_put_response_hop_limit: Option<i64>,
}

/// The instance profile that a template names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub struct IamInstanceProfile {
    /// By ARN,
    pub arn: Option<String>,
    /// or by name.
    pub name: Option<String>,
}

/// How a template buys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub struct InstanceMarketOptions {
    /// `spot` and others.
    pub market_type: Option<String>,
}

/// A network interface of a template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub struct NetworkInterface {
    /// Its subnet.
    pub subnet_id: Option<String>,
    /// Whether it gets a public address.
    pub associate_public_ip_address: Option<bool>,
}

/// An image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub struct Image {
    /// Its id.
    pub image_id: String,
    /// Its name: those of Amazon ECS tell the generation.
    pub name: String,
    /// Its description.
    pub description: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// `windows`, or nothing.
    pub platform: Option<String>,
    /// The device of the system.
    pub root_device_name: String,
    /// Its devices.
    pub block_device_mappings: Vec<BlockDeviceMapping>,
    /// When its publisher wants it to be used no more.
    pub deprecation_time: Option<Timestamp>,
    /// `v2.0`: instances require version 2 of instance metadata.
    pub imds_support: Option<String>,
}

/// An instance type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub struct InstanceTypeInfo {
    /// vCPUs (`VCpuInfo.DefaultVCpus`).
    pub default_vcpus: i64,
    /// Memory (`MemoryInfo.SizeInMiB`).
    pub size_in_mib: i64,
    /// GPUs (`GpuInfo`, all together).
    pub gpus: u32,
    /// Whether it is arm64 (`ProcessorInfo.SupportedArchitectures`).
    pub arm64: bool,
    /// Instance store in GB (`InstanceStorageInfo.TotalSizeInGB`); none: it has none.
    pub instance_storage_gb: Option<i64>,
}

/// A subnet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub struct Subnet {
    /// The account that it belongs to, which may share it with others.
    pub owner_id: String,
    /// Its zone.
    pub availability_zone: String,
    /// Free addresses.
    pub available_ip_address_count: i64,
    /// Whether instances get a public address.
    pub map_public_ip_on_launch: bool,
    /// Where its default route goes (DescribeRouteTables: of the subnet, else the main one of its VPC).
    pub route: Known<Route>,
    /// Services that its VPC reaches through interface endpoints: the last part of their names, such as `ecs-agent`.
    pub endpoints: Known<Vec<String>>,
}

/// Where the default route of a subnet goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// To an internet gateway: only instances with a public address get out.
    InternetGateway,
    /// To a NAT gateway or instance.
    Nat,
    /// To something whose other side cannot be seen, such as a transit gateway.
    Other(String),
    /// There is none, or it is a black hole.
    None,
}

/// Settings that rules read with their values.
const SETTINGS: [&str; 7] = [
    "ecs_cluster=",
    "ecs_instance_attributes=",
    "ecs_engine_task_cleanup_wait_duration=",
    "ecs_disable_image_cleanup=",
    "ecs_image_minimum_cleanup_age=",
    "ecs_image_cleanup_interval=",
    "dm.basesize=",
];

/// Words of user data that makes or grows disks, or moves Docker's data.
pub const DISK_WORDS: [&str; 15] = [
    "fs_setup",
    "disk_setup",
    "swapon",
    "mkswap",
    "vgcreate",
    "lvcreate",
    "zpool",
    "mkfs",
    "pvcreate",
    "vgextend",
    "lvextend",
    "data-root",
    "ebs-autoscale",
    "mdadm",
    "docker-storage-setup",
];

/// Words of user data that does something with an instance store.
pub const STORE_WORDS: [&str; 3] = ["nvme", "mdadm", "ephemeral0"];

/// Stands for what was left out.
pub const LEFT_OUT: &str = "# (left out)";

/// User data of which only what rules read is left: headers of MIME, a few settings of agent and Docker, the names of commands that
/// arrange disks. The rest may hold secrets.
pub fn shareable(user_data: &str) -> String {
    let mut kept = String::new();
    for line in user_data.lines() {
        let (line, lower) = (line.trim_start(), line.trim_start().to_ascii_lowercase());
        let begins = |word: &str| lower.starts_with(word);
        if begins("mime-version:") || begins("content-type:") || begins("boundary=") {
            kept.push_str(line);
            kept.push('\n');
            continue;
        }
        let words = DISK_WORDS.into_iter().chain(STORE_WORDS);
        let mut parts: Vec<&str> = words.filter(|word| lower.contains(word)).collect();
        parts.dedup();
        for setting in SETTINGS {
            for (at, _) in lower.match_indices(setting) {
                let rest = line.get(at..).unwrap_or_default();
                let value = rest.get(setting.len()..).unwrap_or_default();
                let quotes = value.len() - value.trim_start_matches(['"', '\'']).len();
                let end = value
                    .trim_start_matches(['"', '\''])
                    .find(|c: char| c.is_whitespace() || "\"',;\\]".contains(c));
                let end = end.map_or(rest.len(), |end| setting.len() + quotes + end);
                parts.extend(rest.get(..end));
            }
        }
        if parts.is_empty() {
            continue;
        }
        if begins("#") {
            kept.push_str("# ");
        }
        kept.push_str(&parts.join(" "));
        kept.push('\n');
    }
    if mounts_disk(user_data) {
        kept.push_str("mount /dev/...\n");
    }
    kept + LEFT_OUT + "\n"
}

/// Whether user data mounts a disk, or may: with `mount`, in `/etc/fstab`, or under `mounts` of cloud-init. File systems of the network, such
/// as EFS, and in memory are no disks of the instance.
pub fn mounts_disk(user_data: &str) -> bool {
    let lower = user_data.to_ascii_lowercase();
    let code = lower.lines().map(str::trim);
    // Within entries of the table of mounts: the line that ends them, or nothing for a list.
    let mut entries: Option<&str> = None;
    for line in code.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(end) = entries {
            let goes_on = if end.is_empty() {
                line.starts_with('-')
            } else {
                line != end
            };
            if goes_on {
                if !is_elsewhere(line) {
                    return true;
                }
                continue;
            }
            entries = None;
        }
        let writes = || [">", "tee ", "sed "].iter().any(|word| line.contains(word));
        if let Some(listed) = line.strip_prefix("mounts:") {
            entries = Some("");
            if !listed.is_empty() && !is_elsewhere(listed) {
                return true;
            }
        } else if line.contains("/etc/fstab") && writes() {
            match line.split_once("<<") {
                Some((_, end)) => {
                    let end = end.trim_start_matches(['-', ' ']).split_whitespace().next();
                    entries = end.map(|end| end.trim_matches(['"', '\'']));
                }
                None if is_elsewhere(line) => {}
                None => return true,
            }
        } else if line.split(['&', '|', ';']).any(is_mount_of_disk) {
            return true;
        }
    }
    false
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split(|c: char| c.is_whitespace() || ",\"'[]".contains(c));
    parts.filter(|word| !word.is_empty() && *word != "-")
}

fn names_disk(text: &str) -> bool {
    let is_device = |word: &str| word.starts_with("/dev/") && word != "/dev/shm";
    words(text).any(|word| is_device(word) || word.starts_with("uuid=") || word.starts_with("label="))
}

/// Whether what is mounted is no disk of the instance.
fn is_elsewhere(text: &str) -> bool {
    const KINDS: [&str; 8] = ["nfs", "nfs4", "efs", "lustre", "cifs", "smb3", "tmpfs", "remount"];
    let is_remote = |word: &str| word.contains(":/") && !word.contains("://");
    !names_disk(text) && words(text).any(|word| KINDS.contains(&word) || is_remote(word))
}

/// Of `mount -a` and `mount /data`, the table says what that is.
fn is_mount_of_disk(command: &str) -> bool {
    let mut words_of = words(command).skip_while(|word| *word == "sudo");
    words_of.next() == Some("mount")
        && !is_elsewhere(command)
        && (names_disk(command) || words_of.filter(|word| !word.starts_with('-')).count() > 1)
}
