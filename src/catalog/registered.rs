//! What a job can get on an instance: less than the machine has.

use super::{InstanceType, Resources};
use crate::units::Mebibytes;

/// The share of an instance's memory that the operating system shows, in thousandths, unless a scenario says otherwise.
///
/// An assumption drawn from one published case: m4.large has 8,192 MiB and shows 7,985, that is 974.7 thousandths (Amazon ECS
/// developer guide, "Reserving Amazon ECS Linux container instance memory"), rounded down. Other types differ; the truth is
/// what `DescribeContainerInstances` says under `registeredResources`.
pub const DEFAULT_SHARE_PERMILLE: i64 = 974;

/// Memory that the default image of AWS Batch keeps for the ECS agent and the system, which no job can get (AWS Batch user
/// guide, "Reserve system memory").
pub const RESERVED_FOR_AGENT: Mebibytes = Mebibytes::new(32);

/// What jobs can get on an instance: all vCPUs and GPUs, and the memory that the operating system shows less what is kept for
/// the agent.
///
/// `share_permille` is the shown part of the nominal memory in thousandths, 0 to 1,000 (values outside count as the nearest);
/// [`DEFAULT_SHARE_PERMILLE`] where nobody has measured. Rounded down to whole MiB and never negative, so that a job is not
/// thought to fit where it does not.
pub fn registered(instance_type: &InstanceType, share_permille: i64) -> Resources {
    let nominal = instance_type.nominal;
    let shown = nominal.memory.scaled_down(share_permille.clamp(0, 1_000), 1_000);
    Resources {
        memory: shown.minus_or_zero(RESERVED_FOR_AGENT),
        ..nominal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    #[test]
    fn the_default_comes_close_to_the_published_case_and_never_exceeds_it() {
        let m4_large = Catalog::bundled().get("m4.large").unwrap();
        let published = 7_985 - RESERVED_FOR_AGENT.get();
        let assumed = registered(m4_large, DEFAULT_SHARE_PERMILLE).memory.get();
        assert!((published - 8..=published).contains(&assumed), "{assumed} MiB");
    }

    #[test]
    fn a_job_of_the_nominal_size_does_not_fit() {
        for t in Catalog::bundled().iter() {
            let room = registered(t, DEFAULT_SHARE_PERMILLE);
            assert!(!room.hold(&t.nominal), "{}", t.name);
            assert_eq!((room.vcpus, room.gpus), (t.nominal.vcpus, t.nominal.gpus), "{}", t.name);
        }
    }

    #[test]
    fn strange_shares_count_as_the_nearest_sensible_one() {
        let t = Catalog::bundled().get("m4.large").unwrap();
        assert_eq!(registered(t, -5).memory, Mebibytes::ZERO);
        assert_eq!(registered(t, 5_000), registered(t, 1_000));
    }
}
