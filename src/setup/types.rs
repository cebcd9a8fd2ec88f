//! What the instance types of an environment mean for placing jobs on it.

use std::collections::BTreeSet;

use super::{QuotaSetup, QuotaShare};
use crate::account::{ComputeEnvironment, OfferedType, Platform};
use crate::catalog::{self, Resources};
use crate::ids::QuotaIndex;
use crate::units::Vcpus;

/// The figures of `EnvironmentSetup` that follow from the allowed instance types.
pub(super) struct TypeFigures {
    pub(super) fits: Vec<Resources>,
    pub(super) memory_per_kilo_vcpu: i64,
    pub(super) vcpus_per_gpu: Vcpus,
    pub(super) smallest: Vcpus,
    pub(super) largest: Vcpus,
    pub(super) without_job: Resources,
}

/// An environment without types (nothing is known of it) has zeros and fits no job.
pub(super) fn figures(environment: &ComputeEnvironment) -> TypeFigures {
    let offered = || {
        environment
            .types
            .iter()
            .map(|offered| offered.registered)
            .filter(|r| !r.vcpus.is_zero())
    };
    let gpu_types = || offered().filter(|resources| resources.gpus > 0);
    TypeFigures {
        fits: offered().collect::<BTreeSet<Resources>>().into_iter().collect(),
        memory_per_kilo_vcpu: offered()
            .map(|r| r.memory.scaled_down(1024, r.vcpus.get()).get())
            .max()
            .unwrap_or(0),
        vcpus_per_gpu: gpu_types()
            .map(|r| r.vcpus.scaled_up(1, i64::from(r.gpus)))
            .min()
            .unwrap_or(Vcpus::ZERO),
        smallest: offered().map(|resources| resources.vcpus).min().unwrap_or(Vcpus::ZERO),
        largest: offered().map(|resources| resources.vcpus).max().unwrap_or(Vcpus::ZERO),
        without_job: cheapest(environment),
    }
}

/// The codes of the service quotas that count an environment's vCPUs. Of what is not known to any, no quota is kept.
pub(super) fn quota_codes(environment: &ComputeEnvironment) -> BTreeSet<&'static str> {
    let types = environment.types.iter();
    types.filter_map(|offered| quota_code(environment, offered)).collect()
}

/// Fargate has a quota of its own kind; what is UNMANAGED counts as the use of others.
fn quota_code(environment: &ComputeEnvironment, offered: &OfferedType) -> Option<&'static str> {
    let managed = matches!(environment.platform, Platform::Ec2 | Platform::Eks);
    catalog::quota_code(&offered.name, environment.purchase).filter(|_| managed && !offered.registered.vcpus.is_zero())
}

/// An environment's types by the quota that counts them.
pub(super) fn shares(environment: &ComputeEnvironment, quotas: &[QuotaSetup]) -> Vec<QuotaShare> {
    let mut shares = Vec::new();
    for (position, quota) in quotas.iter().enumerate() {
        let own = |offered: &&OfferedType| quota_code(environment, offered) == Some(quota.code.as_str());
        let own: Vec<Resources> = environment.types.iter().filter(own).map(|o| o.registered).collect();
        let vcpus = || own.iter().map(|resources| resources.vcpus);
        if let (Some(smallest), Some(largest)) = (vcpus().min(), vcpus().max()) {
            shares.push(QuotaShare {
                quota: QuotaIndex::at(position),
                smallest,
                largest,
                fits: frontier(own),
            });
        }
    }
    shares
}

/// The largest size of the type that is cheapest per vCPU; among equals the one with least memory per vCPU.
fn cheapest(environment: &ComputeEnvironment) -> Resources {
    let offered = environment
        .types
        .iter()
        .filter(|offered| !offered.registered.vcpus.is_zero());
    let per_vcpu = |offered: &OfferedType| offered.per_hour.scaled_down(1024, offered.registered.vcpus.get());
    let least = offered.clone().map(per_vcpu).min();
    let cheapest = offered
        .filter(|offered| Some(per_vcpu(offered)) == least)
        .map(|offered| offered.registered);
    cheapest
        .max_by_key(|r| (r.vcpus, std::cmp::Reverse(r.memory)))
        .unwrap_or_default()
}

/// The types that no other type matches or beats in every dimension, smallest first: a job fits one of them exactly if it
/// fits any of the given types.
pub(super) fn frontier(mut types: Vec<Resources>) -> Vec<Resources> {
    types.sort();
    types.dedup();
    let mut kept: Vec<Resources> = Vec::new();
    // In falling order, whatever dominates a type comes before it.
    for candidate in types.into_iter().rev() {
        if !kept.iter().any(|other| other.hold(&candidate)) {
            kept.push(candidate);
        }
    }
    kept.reverse();
    kept
}
