//! What user data of a launch template does, as far as its text tells.

use crate::account::survey::ec2::{DISK_WORDS, STORE_WORDS, mounts_disk};

/// Docker's storage option for the size of a container, on devicemapper only.
pub(super) const BASESIZE: &str = "dm.basesize";

/// What the ECS agent does when nothing is set: a stopped container stays for 3 hours.
const CLEANUP_DEFAULT_MINUTES: i64 = 180;

/// Before the agent removes an image that nothing uses any more: it is kept for an hour, and looked at every half an hour.
const IMAGE_AGE_DEFAULT_MINUTES: i64 = 60;
const IMAGE_INTERVAL_DEFAULT_MINUTES: i64 = 30;

/// The text of user data, read once.
pub(super) struct UserData<'a> {
    text: &'a str,
    lower: String,
}

impl<'a> UserData<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self {
            text,
            lower: text.to_lowercase(),
        }
    }

    /// Whether it is MIME multi-part, which Batch needs so that it can add its own part.
    pub(super) fn is_multipart(&self) -> bool {
        self.lower.contains("mime-version:") && self.lower.contains("content-type: multipart/")
    }

    /// Whether it makes, grows or mounts disks, or moves Docker's data, so that volumes alone tell nothing.
    pub(super) fn arranges_disks(&self) -> bool {
        DISK_WORDS.iter().any(|word| self.lower.contains(word)) || mounts_disk(&self.lower)
    }

    /// Whether it does anything with an instance store.
    pub(super) fn uses_instance_store(&self) -> bool {
        STORE_WORDS.iter().any(|word| self.lower.contains(word))
    }

    /// The value behind `dm.basesize=`, as written.
    pub(super) fn basesize(&self) -> Option<&'a str> {
        self.value_of(BASESIZE)
    }

    /// `dm.basesize` in GiB, rounded down; a number without a unit counts bytes.
    pub(super) fn basesize_gib(&self) -> Option<i64> {
        let written = self.basesize()?;
        let digits = written.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let number: i64 = digits.parse().ok()?;
        let gib = match written.get(digits.len()..)?.to_ascii_lowercase().as_str() {
            "" | "b" => number / (1 << 30),
            "k" | "kb" => number / (1 << 20),
            "m" | "mb" => number / (1 << 10),
            "g" | "gb" => number,
            "t" | "tb" => number.saturating_mul(1 << 10),
            _ => return None,
        };
        Some(gib)
    }

    /// Settings of the ECS agent that belong to Batch.
    pub(super) fn reserved(&self) -> Vec<&'static str> {
        let mut set = Vec::new();
        for name in ["ECS_CLUSTER", "ECS_INSTANCE_ATTRIBUTES"] {
            if self.value_of(name).is_some() {
                set.push(name);
            }
        }
        set
    }

    /// How long a stopped container stays, in minutes; `None`: it is set to something that cannot be read.
    pub(super) fn cleanup_minutes(&self) -> Option<i64> {
        match self.value_of("ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION") {
            Some(text) => go_duration_minutes(text),
            None => Some(CLEANUP_DEFAULT_MINUTES),
        }
    }

    /// How long an image stays that nothing uses any more, in minutes: for ever if the agent does not remove any, `None` if it is set to
    /// something that cannot be read.
    pub(super) fn image_minutes(&self) -> Option<i64> {
        if self.value_of("ECS_DISABLE_IMAGE_CLEANUP") == Some("true") {
            return Some(i64::MAX);
        }
        let of = |name: &str, default: i64| match self.value_of(name) {
            Some(text) => go_duration_minutes(text),
            None => Some(default),
        };
        let age = of("ECS_IMAGE_MINIMUM_CLEANUP_AGE", IMAGE_AGE_DEFAULT_MINUTES)?;
        let interval = of("ECS_IMAGE_CLEANUP_INTERVAL", IMAGE_INTERVAL_DEFAULT_MINUTES)?;
        Some(age.saturating_add(interval))
    }

    /// What follows `NAME=`, up to a blank or a quote. Comments do not count, nor does a longer name that ends in this one.
    fn value_of(&self, name: &str) -> Option<&'a str> {
        let mut found = None;
        for line in self.text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            for (at, _) in line.match_indices(name) {
                let before = line.get(..at).and_then(|head| head.chars().next_back());
                let rest = line.get(at + name.len()..).and_then(|rest| rest.strip_prefix('='));
                let whole = before.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_');
                if let Some(rest) = rest.filter(|_| whole) {
                    let rest = rest.trim_start_matches(['"', '\'']);
                    let value = rest.split(|c: char| c.is_whitespace() || "\"',;\\]".contains(c)).next();
                    // The last one wins, as in a file that is read line by line.
                    found = value.filter(|value| !value.is_empty()).or(found);
                }
            }
        }
        found
    }
}

/// How long a stopped container and an image that nothing uses stay. Without user data everything is as the image has it.
pub(super) fn cleanup_minutes(user_data: Option<&UserData<'_>>) -> Option<(i64, i64)> {
    let nothing = UserData::of("");
    let user_data = user_data.unwrap_or(&nothing);
    Some((user_data.cleanup_minutes()?, user_data.image_minutes()?))
}

/// `1h30m`, `10m`, `45s` in minutes, rounded up.
fn go_duration_minutes(text: &str) -> Option<i64> {
    let mut seconds: i64 = 0;
    let mut number = String::new();
    for character in text.chars() {
        if character.is_ascii_digit() {
            number.push(character);
            continue;
        }
        let amount: i64 = number.parse().ok()?;
        number.clear();
        let factor = match character {
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        seconds = seconds.saturating_add(amount.saturating_mul(factor));
    }
    (number.is_empty() && !text.is_empty()).then(|| seconds.saturating_add(59) / 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_the_agent_reads_them() {
        for (text, expected) in [
            ("", Some(180)),
            (
                "echo ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION=10m >> /etc/ecs/ecs.config",
                Some(10),
            ),
            ("ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION=1h30m", Some(90)),
            ("ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION=\"45s\"", Some(1)),
            ("# ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION=10m", Some(180)),
            ("ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION=$X", None),
        ] {
            assert_eq!(UserData::of(text).cleanup_minutes(), expected, "{text}");
        }
        for (text, expected) in [
            ("", Some(90)),
            ("ECS_IMAGE_MINIMUM_CLEANUP_AGE=10m", Some(40)),
            ("ECS_IMAGE_CLEANUP_INTERVAL=10m", Some(70)),
            ("ECS_DISABLE_IMAGE_CLEANUP=false", Some(90)),
            ("ECS_DISABLE_IMAGE_CLEANUP=true", Some(i64::MAX)),
            ("ECS_IMAGE_CLEANUP_INTERVAL=$X", None),
        ] {
            assert_eq!(UserData::of(text).image_minutes(), expected, "{text}");
            let shared = crate::account::survey::ec2::shareable(text);
            assert_eq!(UserData::of(&shared).image_minutes(), expected, "{text}: {shared}");
        }
    }

    #[test]
    fn file_systems_of_the_network_are_no_disks() {
        for (text, expected) in [
            (
                "mount -t nfs4 -o nfsvers=4.1 fs-1.efs.eu-west-1.amazonaws.com:/ /mnt/efs",
                false,
            ),
            ("- sudo mount -t efs -o tls fs-1 /mnt/efs", false),
            (
                "echo \"$FS:/ /mnt/efs efs tls,_netdev 0 0\" >> /etc/fstab\nmount -a -t efs defaults",
                false,
            ),
            (
                "printf '%s' 'fs-1.fsx:/m /fsx lustre defaults' | tee -a /etc/fstab && mount -a",
                false,
            ),
            (
                "cat >> /etc/fstab <<EOF\nfs-1:/ /mnt/efs efs _netdev 0 0\nEOF\nmount /mnt/efs",
                false,
            ),
            (
                "mounts:\n  - [ \"fs-1:/\", \"/mnt/efs\", \"nfs4\" ]\nruncmd:\n  - echo hello",
                false,
            ),
            ("mount -o remount,size=16G /dev/shm", false),
            ("cp /etc/fstab /root", false),
            ("# mount /dev/xvdb /scratch", false),
            ("mount /dev/xvdb /mnt/efs", true),
            ("mkdir /scratch && mount -o noatime LABEL=scratch /scratch", true),
            ("mount $DISK /scratch", true),
            ("echo \"/dev/xvdb /scratch xfs defaults 0 0\" >> /etc/fstab", true),
            ("cat fragment >> /etc/fstab", true),
            (
                "cat >> /etc/fstab <<'EOF'\nfs-1:/ /mnt/efs efs _netdev 0 0\nUUID=1-2 /scratch ext4\nEOF",
                true,
            ),
            (
                "mounts:\n  - [ \"fs-1:/\", \"/mnt/efs\", \"nfs4\" ]\n  - [ xvdb, /scratch ]",
                true,
            ),
            ("mkfs -t xfs /dev/xvdb", true),
        ] {
            assert_eq!(UserData::of(text).arranges_disks(), expected, "{text}");
            let shared = crate::account::survey::ec2::shareable(text);
            assert_eq!(UserData::of(&shared).arranges_disks(), expected, "{text}: {shared}");
        }
    }

    #[test]
    fn sizes_of_containers_are_read_with_their_units() {
        for (text, expected) in [
            (r#"OPTIONS="${OPTIONS} --storage-opt dm.basesize=20G""#, Some(20)),
            (r#"{"storage-opts": ["dm.basesize=50GB"]}"#, Some(50)),
            ("dm.basesize=10737418240", Some(10)),
            ("dm.basesize=1T", Some(1024)),
            ("dm.basesize=lots", None),
            ("adm.basesize_x=1", None),
            ("", None),
        ] {
            assert_eq!(UserData::of(text).basesize_gib(), expected, "{text}");
        }
    }

    #[test]
    fn reserved_settings_are_found_where_they_are_set_and_only_there() {
        for (text, expected) in [
            ("echo ECS_CLUSTER=mine >> /etc/ecs/ecs.config", vec!["ECS_CLUSTER"]),
            (
                "ECS_INSTANCE_ATTRIBUTES='{\"a\":\"b\"}'",
                vec!["ECS_INSTANCE_ATTRIBUTES"],
            ),
            ("# ECS_CLUSTER=mine", vec![]),
            ("MY_ECS_CLUSTER=mine", vec![]),
            ("echo $ECS_CLUSTER", vec![]),
        ] {
            assert_eq!(UserData::of(text).reserved(), expected, "{text}");
        }
    }
}
