//! What jobs take up of an environment, and whether they fit there at all.

use crate::ids::EnvironmentIndex;
use crate::planner::Inputs;
use crate::planner::scratch::{Pool, Row, Source};
use crate::setup::EnvironmentSetup;
use crate::units::{Vcpus, to_i64};

/// What one of equal jobs takes up, at least a vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(Vcpus);

impl Size {
    pub(crate) fn new(vcpus: Vcpus) -> Self {
        Self(vcpus.max(Vcpus::new(1)))
    }

    /// What this many jobs take up together.
    pub(crate) fn needed(self, jobs: i64) -> Vcpus {
        self.0.times(jobs)
    }

    /// How many whole jobs find room in it.
    pub(crate) fn jobs_in(self, room: Vcpus) -> i64 {
        room.get() / self.0.get()
    }

    /// How many jobs it takes until they take up that much.
    pub(crate) fn jobs_for(self, room: Vcpus) -> i64 {
        ceil_div(room.get(), self.0.get())
    }
}

/// An environment as a place for jobs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    setup: &'a EnvironmentSetup,
    /// No larger job is served here.
    largest_job: Vcpus,
}

impl<'a> Place<'a> {
    pub(crate) fn of(inputs: &Inputs<'a>, pools: &[Pool], environment: EnvironmentIndex) -> Option<Self> {
        let setup = inputs.setup.environments.get(environment.position())?;
        let pool = pools.get(environment.position())?;
        Some(Self {
            setup,
            largest_job: pool.largest_job,
        })
    }

    /// Whether what the environment launches holds the job, and the operator permits one that large.
    pub(crate) fn fits(&self, row: &Row) -> bool {
        row.shape.resources.vcpus <= self.largest_job && self.has_type_for(row)
    }

    /// For waiting jobs AWS Batch picks a type that holds them, ahead of jobs it can only pick what is cheapest.
    pub(crate) fn has_type_for(&self, row: &Row) -> bool {
        if row.source == Source::Waiting {
            self.setup.fits.iter().any(|room| room.hold(&row.shape.resources))
        } else {
            self.setup.without_job.hold(&row.shape.resources)
        }
    }

    /// What its jobs take up here.
    pub(crate) fn size(&self, row: &Row) -> Size {
        let size = size_on(self.setup, row);
        // A type larger than that is not launched for it.
        if size.needed(1) > self.largest_job {
            return Size::new(self.largest_job.max(row.shape.resources.vcpus));
        }
        size
    }

    /// Whether asking ahead would take a third more room than asking when the job is there: the cheapest type has too little
    /// memory for it.
    pub(crate) fn wastes_room(&self, row: &Row) -> bool {
        let with_job = Row {
            source: Source::Waiting,
            ..*row
        };
        size_on(self.setup, row).needed(3) > size_on(self.setup, &with_job).needed(4)
    }
}

/// Its vCPUs, or what comes with its memory or its GPUs on the most generous allowed type (ahead of jobs: on the cheapest), or a
/// whole instance where no type holds two of it. Rounded up for each job: few instances pack as well as the most generous type.
pub(crate) fn size_on(setup: &EnvironmentSetup, row: &Row) -> Size {
    let resources = &row.shape.resources;
    let memory_per_kilo_vcpu = if row.source == Source::Waiting {
        setup.memory_per_kilo_vcpu
    } else {
        setup
            .without_job
            .memory
            .scaled_down(1024, setup.without_job.vcpus.get())
            .get()
    };
    let for_memory = Vcpus::new(if memory_per_kilo_vcpu > 0 {
        ceil_div(resources.memory.get().saturating_mul(1024), memory_per_kilo_vcpu)
    } else {
        0
    });
    let for_gpus = setup.vcpus_per_gpu.times(i64::from(resources.gpus));
    let share = resources.vcpus.max(for_memory).max(for_gpus);
    if share.times(2) <= setup.largest {
        return Size::new(share);
    }
    let holding = setup.fits.iter().filter(|room| room.hold(resources));
    let whole = holding.map(|room| room.vcpus).min();
    Size::new(whole.unwrap_or(share).max(share))
}

pub(crate) fn ceil_div(numerator: i64, denominator: i64) -> i64 {
    let denominator = denominator.max(1);
    numerator
        .div_euclid(denominator)
        .saturating_add(to_i64(numerator.rem_euclid(denominator).min(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Purchase, Resources};
    use crate::observation::Shape;
    use crate::planner::worlds::{environment, resources};

    /// An instance's own share of memory leaves less than 2 GiB for a vCPU of c6i.
    #[test]
    fn jobs_take_up_the_memory_they_need_rounded_up_for_each() {
        let mut setup = environment("spot", Purchase::Spot, None);
        setup.memory_per_kilo_vcpu = 1_979 * 1024;
        setup.vcpus_per_gpu = Vcpus::new(8);
        setup.without_job = resources(64, 64 * 1_024);
        let with_gpu = Resources {
            gpus: 1,
            ..resources(4, 1_000)
        };
        // What 1, 10 and 92 jobs take up.
        let cases = [
            (resources(1, 1_800), Source::Waiting, [1, 10, 92]),
            (resources(1, 2_048), Source::Waiting, [2, 20, 184]),
            (resources(1, 3_000), Source::Messages, [3, 30, 276]),
            (resources(3, 1_000), Source::Waiting, [3, 30, 276]),
            (with_gpu, Source::Waiting, [8, 80, 736]),
            (resources(40, 1_000), Source::Waiting, [64, 640, 64 * 92]),
        ];
        for (resources, source, takes) in cases {
            let row = Row::new(source, Shape { resources, nodes: 1 }, 1);
            let size = size_on(&setup, &row);
            let taken = [1, 10, 92].map(|jobs| size.needed(jobs).get());
            assert_eq!(taken, takes, "{resources:?}, {source:?}");
        }
    }
}
