//! Names that the account gives: ARNs, job ids, instance ids, page tokens. Ids are made from positions, so that nothing has to be
//! looked up, and carry a check, so that a made-up one is unknown.

use std::fmt::Write as _;

use rand::TryRng as _;

use crate::ids::{ArrayIndex, EnvironmentIndex, JobIndex, QueueIndex};
use crate::simulate::draws::{key, key_of};
use crate::units::{to_u64, to_usize};

/// Whose account this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// Twelve digits.
    pub(super) account: String,
    /// For example `eu-central-1`.
    pub(super) region: String,
    /// What ids are made from besides.
    pub(super) seed: u64,
}

/// What a job id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum JobRef {
    /// A job that is no child.
    Job(JobIndex),
    /// The parent of an array.
    Array(ArrayIndex),
    /// A child of an array, by its index there.
    Child(ArrayIndex, u32),
}

const JOB: u64 = 1;
const ARRAY: u64 = 2;
/// Bits of an id that hold the position; those above hold the kind.
const POSITION_BITS: u32 = 40;

impl Names {
    /// `arn:aws:batch:REGION:ACCOUNT:job-queue/NAME` and the like.
    pub(super) fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:aws:{service}:{}:{}:{resource}", self.region, self.account)
    }

    pub(super) fn queue_arn(&self, name: &str) -> String {
        self.arn("batch", &format!("job-queue/{name}"))
    }

    pub(super) fn environment_arn(&self, name: &str) -> String {
        self.arn("batch", &format!("compute-environment/{name}"))
    }

    /// The ECS cluster of an environment, named as AWS Batch names them.
    pub(super) fn cluster_arn(&self, environment: &str) -> String {
        self.arn("ecs", &format!("cluster/AWSBatch-{environment}-simulated"))
    }

    /// The environment of a cluster, by ARN or name.
    pub(super) fn environment_of_cluster<'a>(&self, cluster: &'a str) -> Option<&'a str> {
        let name = match cluster.strip_prefix(&self.arn("ecs", "cluster/")) {
            Some(name) => name,
            None if cluster.starts_with("arn:") => return None,
            None => cluster,
        };
        name.strip_prefix("AWSBatch-")?.strip_suffix("-simulated")
    }

    pub(super) fn instance_arn(&self, environment: &str, entity: u64) -> String {
        let cluster = format!("AWSBatch-{environment}-simulated");
        self.arn("ecs", &format!("container-instance/{cluster}/{entity:032x}"))
    }

    /// What draws know an instance by, from its ARN or the last part of it.
    pub(super) fn entity(instance: &str) -> Option<u64> {
        let last = instance.rsplit('/').next()?;
        u64::from_str_radix(last, 16).ok().filter(|_| last.len() == 32)
    }

    pub(super) fn ec2_id(entity: u64) -> String {
        format!("i-{entity:017x}")
    }

    pub(super) fn job_id(&self, job: JobRef) -> String {
        match job {
            JobRef::Job(job) => self.uuid(JOB, to_u64(job.position())),
            JobRef::Array(array) => self.uuid(ARRAY, to_u64(array.position())),
            JobRef::Child(array, index) => format!("{}:{index}", self.uuid(ARRAY, to_u64(array.position()))),
        }
    }

    pub(super) fn job_arn(&self, job: JobRef) -> String {
        self.arn("batch", &format!("job/{}", self.job_id(job)))
    }

    /// What an id or ARN of a job stands for; `None` for one that was never given. Whether the child exists is not checked.
    pub(super) fn job_ref(&self, id: &str) -> Option<JobRef> {
        let id = id.strip_prefix(&self.arn("batch", "job/")).unwrap_or(id);
        let (parent, child) = match id.split_once(':') {
            Some((parent, child)) => (parent, Some(child.parse::<u32>().ok()?)),
            None => (id, None),
        };
        let last = u64::from_str_radix(parent.rsplit('-').next()?, 16).ok()?;
        let (kind, position) = (last >> POSITION_BITS, last & ((1 << POSITION_BITS) - 1));
        if self.uuid(kind, position) != parent {
            return None;
        }
        match (kind, child) {
            (JOB, None) => Some(JobRef::Job(JobIndex::at(to_usize(position)))),
            (ARRAY, None) => Some(JobRef::Array(ArrayIndex::at(to_usize(position)))),
            (ARRAY, Some(child)) => Some(JobRef::Child(ArrayIndex::at(to_usize(position)), child)),
            _ => None,
        }
    }

    /// An id in the form of a version 4 UUID.
    pub(super) fn uuid(&self, kind: u64, position: u64) -> String {
        let check = key(&[self.seed, kind, position]);
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            check >> 32,
            (check >> 16) & 0xffff,
            (check >> 8) & 0xfff,
            check & 0xfff,
            (kind << POSITION_BITS) | position,
        )
    }

    /// Where the next page of a listing begins; `of` says what is listed.
    pub(super) fn token(&self, of: &str, position: usize) -> String {
        let position = to_u64(position);
        format!("{position:016x}{:016x}", key(&[self.seed, key_of(of), position]))
    }

    /// The position that a token stands for; `None` if it was not given for this listing.
    pub(super) fn position(&self, of: &str, token: &str) -> Option<usize> {
        let position = to_usize(u64::from_str_radix(token.get(..16)?, 16).ok()?);
        (self.token(of, position) == token).then_some(position)
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What opens the admin API: anew each time, so that no page of a stranger can know it. Fails where the system has no chance to
/// give.
pub fn new_token() -> Result<String, String> {
    let mut bytes = [0_u8; 16];
    let filled = rand::rngs::SysRng.try_fill_bytes(&mut bytes);
    filled.map_err(|error| format!("failed to make a token: {error}"))?;
    Ok(hex(&bytes))
}

/// The name in an ARN of this kind, or the name itself.
pub(super) fn name_in<'a>(kind: &str, name_or_arn: &'a str) -> &'a str {
    match name_or_arn.split_once(&format!(":{kind}/")) {
        Some((arn, name)) if arn.starts_with("arn:") => name,
        _ => name_or_arn,
    }
}

/// An environment or queue of the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Environment(EnvironmentIndex),
    Queue(QueueIndex),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_again_and_made_up_ones_are_not() {
        let names = Names {
            account: "111122223333".to_owned(),
            region: "eu-central-1".to_owned(),
            seed: 7,
        };
        let jobs = [
            JobRef::Job(JobIndex(0)),
            JobRef::Job(JobIndex(4_000_000)),
            JobRef::Array(ArrayIndex(3)),
            JobRef::Child(ArrayIndex(3), 9_999),
        ];
        for job in jobs {
            assert_eq!(names.job_ref(&names.job_id(job)), Some(job));
            assert_eq!(names.job_ref(&names.job_arn(job)), Some(job));
        }
        let real = names.job_id(jobs[0]);
        let made_up = real.replacen(&real[..1], if real.starts_with('0') { "1" } else { "0" }, 1);
        for wrong in [
            "",
            "x",
            ":",
            "a:b",
            &made_up,
            &format!("{real}:1"),
            &format!("{real}:"),
            "💥-1",
        ] {
            assert_eq!(names.job_ref(wrong), None, "{wrong}");
        }
        assert_eq!(names.position("a", &names.token("a", 12)), Some(12));
        for wrong in ["", "0", &names.token("b", 12), "💥💥💥💥💥💥💥💥"] {
            assert_eq!(names.position("a", wrong), None, "{wrong}");
        }
        assert_eq!(name_in("job-queue", "arn:aws:batch:r:1:job-queue/q"), "q");
        assert_eq!(name_in("job-queue", "q"), "q");
        let cluster = names.cluster_arn("spot");
        assert_eq!(names.environment_of_cluster(&cluster), Some("spot"));
        assert_eq!(
            names.environment_of_cluster("arn:aws:ecs:elsewhere:1:cluster/AWSBatch-spot-simulated"),
            None
        );
    }
}
