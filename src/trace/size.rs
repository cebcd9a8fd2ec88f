//! How large a job is when its recording does not say so, or does not say all.

use crate::catalog::Resources;
use crate::observation::Shape;
use crate::units::{Mebibytes, Vcpus, to_usize};

/// Sizes for jobs whose recording holds none. What the recording says wins, unless `override_recorded` is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// vCPUs of a job.
    pub vcpus: Option<i64>,
    /// vCPUs by attempt: the first entry for the first attempt, the last entry for all further ones. Goes before `vcpus`.
    pub vcpus_per_attempt: Vec<i64>,
    /// Memory of a job in MiB.
    pub memory_mib: Option<i64>,
    /// Memory of a job in MiB for each of its vCPUs. `memory_mib` goes before it.
    pub memory_per_vcpu_mib: Option<i64>,
    /// Take what a job was seen to use as its memory where it is recorded. Goes before the two above.
    pub memory_from_use: bool,
    /// The options above win over what the recording says.
    pub override_recorded: bool,
}

/// What a recording says about the size of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ask {
    /// Requested vCPUs.
    pub(super) vcpus: Option<i64>,
    /// Requested memory.
    pub(super) memory: Option<Mebibytes>,
    /// Memory that was seen in use.
    pub(super) memory_used: Option<Mebibytes>,
    /// Requested GPUs.
    pub(super) gpus: u32,
    /// Nodes; zero counts as one.
    pub(super) nodes: u32,
    /// Which attempt this is, from 1; zero counts as one.
    pub(super) attempt: u32,
}

impl Ask {
    /// From vCPUs and MiB; zero and less mean that the recording does not say.
    pub(super) fn of(vcpus: i64, memory_mib: i64) -> Self {
        Self {
            vcpus: (vcpus > 0).then_some(vcpus),
            memory: (memory_mib > 0).then(|| Mebibytes::new(memory_mib)),
            ..Self::default()
        }
    }
}

/// Where a part of a size came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Recorded,
    Option,
    Use,
    Nowhere,
}

impl Sizes {
    /// The size of a job and where its vCPUs and its memory came from. What comes from nowhere is zero.
    pub(super) fn resolve(&self, ask: &Ask) -> (Shape, Origin, Origin) {
        let given_vcpus = self.vcpus_of_attempt(ask.attempt).or(self.vcpus);
        let (vcpus, vcpus_from) = self.choose(ask.vcpus, given_vcpus);
        let per_vcpu = self
            .memory_per_vcpu_mib
            .map(|mib| mib.saturating_mul(vcpus.unwrap_or(1)));
        let given_memory = self.memory_mib.or(per_vcpu).map(Mebibytes::new);
        let used = ask.memory_used.filter(|_| self.memory_from_use);
        let (memory, memory_from) = match (self.choose(ask.memory, given_memory), used) {
            ((_, Origin::Option | Origin::Nowhere), Some(used)) => (Some(used), Origin::Use),
            (chosen, _) => chosen,
        };
        let resources = Resources {
            vcpus: Vcpus::new(vcpus.unwrap_or(0)),
            memory: memory.unwrap_or(Mebibytes::ZERO),
            gpus: ask.gpus,
        };
        (
            Shape {
                resources,
                nodes: ask.nodes.max(1),
            },
            vcpus_from,
            memory_from,
        )
    }

    fn vcpus_of_attempt(&self, attempt: u32) -> Option<i64> {
        let position = to_usize(attempt.max(1) - 1);
        self.vcpus_per_attempt
            .get(position)
            .or(self.vcpus_per_attempt.last())
            .copied()
    }

    fn choose<T: Copy>(&self, recorded: Option<T>, given: Option<T>) -> (Option<T>, Origin) {
        match (recorded, given) {
            (Some(value), None) => (Some(value), Origin::Recorded),
            (Some(value), Some(_)) if !self.override_recorded => (Some(value), Origin::Recorded),
            (_, Some(value)) => (Some(value), Origin::Option),
            (None, None) => (None, Origin::Nowhere),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recording_wins_then_use_then_options() {
        let recorded = Ask {
            vcpus: Some(4),
            memory: Some(Mebibytes::new(100)),
            ..Ask::default()
        };
        let used = Ask {
            memory_used: Some(Mebibytes::new(7)),
            attempt: 3,
            ..Ask::default()
        };
        let nothing = Ask::default();
        let options = Sizes {
            vcpus: Some(2),
            memory_per_vcpu_mib: Some(1024),
            ..Sizes::default()
        };
        let from_use = Sizes {
            memory_from_use: true,
            vcpus_per_attempt: vec![2, 8],
            ..options.clone()
        };
        let forced = Sizes {
            override_recorded: true,
            memory_mib: Some(5),
            ..options.clone()
        };
        let cases = [
            (&options, recorded, 4, 100, Origin::Recorded, Origin::Recorded),
            (&options, nothing, 2, 2048, Origin::Option, Origin::Option),
            (&from_use, used, 8, 7, Origin::Option, Origin::Use),
            (&from_use, nothing, 2, 2048, Origin::Option, Origin::Option),
            (&forced, recorded, 2, 5, Origin::Option, Origin::Option),
            (&Sizes::default(), used, 0, 0, Origin::Nowhere, Origin::Nowhere),
        ];
        for (sizes, ask, vcpus, memory, vcpus_from, memory_from) in cases {
            let (shape, a, b) = sizes.resolve(&ask);
            assert_eq!(
                (shape.resources.vcpus.get(), shape.resources.memory.get()),
                (vcpus, memory),
                "{ask:?}"
            );
            assert_eq!((a, b), (vcpus_from, memory_from), "{ask:?}");
        }
    }
}
