//! What the account has: environments with the instance types that they may launch, and queues.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_batch::types::{CeType, ComputeEnvironmentDetail, CrType, JobQueueDetail, OrchestrationType};
use aws_sdk_ec2::types::{ArchitectureType, Filter, InstanceTypeInfo};

use crate::account::{ComputeEnvironment, JobQueue, OfferedType, Platform, Topology};
use crate::aws::Aws;
use crate::aws::errors::unread;
use crate::catalog::{self, Architecture, Catalog, InstanceType, Purchase, Resources};
use crate::daemon::cloud::Read;
use crate::units::{Mebibytes, MicroUsd, Vcpus, to_u32};

/// Most values of one filter of EC2.
const FILTER_VALUES_MOST: usize = 200;

impl Aws {
    /// Everything, also what is DISABLED, INVALID or cannot be steered: who cannot be helped is told so elsewhere.
    pub(super) async fn read_topology(&self) -> Read<Topology> {
        let details = self.describe_environments(&[]).await?;
        let queues = self.describe_queues(&[]).await?;
        let unknown: BTreeSet<String> = details
            .iter()
            .flat_map(specification)
            .filter(|name| Catalog::bundled().expand(std::slice::from_ref(name)).is_err())
            .cloned()
            .collect();
        let newer = self.instance_types(&unknown).await?;
        Ok(Topology {
            environments: details.into_iter().map(|detail| environment(detail, &newer)).collect(),
            queues: queues.into_iter().map(queue).collect(),
        })
    }

    /// Types and families that the catalogue does not know, by the name that was asked for. What EC2 does not know either is
    /// left out: an environment with a name of the past goes on with its other types.
    async fn instance_types(&self, names: &BTreeSet<String>) -> Read<BTreeMap<String, Vec<InstanceType>>> {
        let mut found: BTreeMap<String, Vec<InstanceType>> = BTreeMap::new();
        let names: Vec<&String> = names.iter().collect();
        for names in names.chunks(FILTER_VALUES_MOST) {
            let values = names.iter().map(|name| {
                if name.contains('.') {
                    (*name).clone()
                } else {
                    format!("{name}.*")
                }
            });
            let filter = Filter::builder()
                .name("instance-type")
                .set_values(Some(values.collect()))
                .build();
            let call = self.ec2.describe_instance_types().filters(filter);
            let mut pages = call.into_paginator().items().send();
            while let Some(info) = pages.next().await {
                let info = info.map_err(|e| unread("ec2:DescribeInstanceTypes", &e))?;
                let Some(one) = instance_type(&info) else { continue };
                if names.iter().any(|name| **name == one.name) {
                    found.entry(one.name.clone()).or_default().push(one);
                } else if info.bare_metal != Some(true) {
                    // A family leaves bare metal out.
                    found.entry(one.family().to_owned()).or_default().push(one);
                }
            }
        }
        for types in found.values_mut() {
            types.sort_by(|a, b| (a.nominal, &a.name).cmp(&(b.nominal, &b.name)));
        }
        Ok(found)
    }
}

fn specification(detail: &ComputeEnvironmentDetail) -> &[String] {
    detail.compute_resources.as_ref().map_or(&[], |r| r.instance_types())
}

fn environment(detail: ComputeEnvironmentDetail, newer: &BTreeMap<String, Vec<InstanceType>>) -> ComputeEnvironment {
    let kind = detail.compute_resources.as_ref().and_then(|r| r.r#type.clone());
    let purchase = match kind {
        Some(CrType::Spot | CrType::FargateSpot) => Purchase::Spot,
        _ => Purchase::OnDemand,
    };
    let platform = match (&detail.r#type, &kind) {
        (Some(CeType::Unmanaged), _) | (_, None) => Platform::Unmanaged,
        (_, Some(CrType::Fargate | CrType::FargateSpot)) => Platform::Fargate,
        (_, Some(CrType::Ec2 | CrType::Spot)) => match detail.container_orchestration_type {
            Some(OrchestrationType::Eks) => Platform::Eks,
            _ => Platform::Ec2,
        },
        // ECS_MANAGED_INSTANCES, and what AWS may add: nothing of either can be steered.
        (_, Some(_)) => Platform::ManagedInstances,
    };
    let types = types(specification(&detail), newer);
    let vcpus = |count: Option<i32>| Vcpus::new(i64::from(count.unwrap_or_default()));
    let resources = detail.compute_resources.as_ref();
    ComputeEnvironment {
        platform,
        purchase,
        min_vcpus: vcpus(resources.and_then(|r| r.minv_cpus)),
        max_vcpus: vcpus(resources.and_then(|r| r.maxv_cpus)),
        types: types.iter().map(|t| offered(t, purchase)).collect(),
        name: detail.compute_environment_name.unwrap_or_default(),
        tags: detail.tags.unwrap_or_default().into_iter().collect(),
    }
}

/// The types of a specification in its own order, each once: the catalogue's first, then what EC2 told of the rest.
fn types(specification: &[String], newer: &BTreeMap<String, Vec<InstanceType>>) -> Vec<InstanceType> {
    let mut taken = BTreeSet::new();
    let mut types = Vec::new();
    for name in specification {
        let known = Catalog::bundled()
            .expand(std::slice::from_ref(name))
            .unwrap_or_default();
        let told = newer.get(name).into_iter().flatten();
        for one in known.into_iter().chain(told) {
            if taken.insert(one.name.clone()) {
                types.push(one.clone());
            }
        }
    }
    types
}

fn offered(instance_type: &InstanceType, purchase: Purchase) -> OfferedType {
    OfferedType {
        name: instance_type.name.clone(),
        registered: catalog::registered(instance_type, catalog::DEFAULT_SHARE_PERMILLE),
        per_hour: instance_type.price_per_hour(purchase),
    }
}

/// `None` for what lacks a name or a size.
fn instance_type(info: &InstanceTypeInfo) -> Option<InstanceType> {
    let arm = info
        .processor_info
        .iter()
        .flat_map(aws_sdk_ec2::types::ProcessorInfo::supported_architectures)
        .any(|a| *a == ArchitectureType::Arm64);
    let gpus = info
        .gpu_info
        .iter()
        .flat_map(aws_sdk_ec2::types::GpuInfo::gpus)
        .filter_map(|g| g.count)
        .map(i64::from);
    let nominal = Resources {
        vcpus: Vcpus::new(i64::from(info.v_cpu_info.as_ref()?.default_v_cpus?)),
        memory: Mebibytes::new(info.memory_info.as_ref()?.size_in_mib?),
        gpus: to_u32(gpus.fold(0, i64::saturating_add).max(0)),
    };
    Some(InstanceType {
        name: info.instance_type.as_ref()?.as_str().to_owned(),
        on_demand_per_hour: typical_price(&nominal),
        nominal,
        architecture: if arm { Architecture::Arm64 } else { Architecture::Amd64 },
        spot_per_hour: None,
        interruption_band: None,
    })
}

/// For a type without a list price: that of the catalogue's type which is most like it in size. Zero would make the newest type
/// look like a gift.
fn typical_price(nominal: &Resources) -> MicroUsd {
    let distance = |t: &InstanceType| {
        let off = |a: i64, b: i64| a.abs_diff(b);
        (
            t.nominal.gpus.abs_diff(nominal.gpus),
            off(t.nominal.vcpus.get(), nominal.vcpus.get()),
            off(t.nominal.memory.get(), nominal.memory.get()),
        )
    };
    let nearest = Catalog::bundled().iter().min_by_key(|t| distance(t));
    nearest.map_or(MicroUsd::ZERO, |t| t.on_demand_per_hour)
}

fn queue(detail: JobQueueDetail) -> JobQueue {
    let mut order: Vec<(i32, String)> = detail
        .compute_environment_order
        .unwrap_or_default()
        .into_iter()
        .filter_map(|entry| {
            let name = name_of(&entry.compute_environment?).to_owned();
            Some((entry.order.unwrap_or(i32::MAX), name))
        })
        .collect();
    order.sort();
    JobQueue {
        name: detail.job_queue_name.unwrap_or_default(),
        priority: detail.priority.unwrap_or_default(),
        environments: order.into_iter().map(|(_, name)| name).collect(),
        fair_share: detail.scheduling_policy_arn.is_some_and(|arn| !arn.is_empty()),
    }
}

/// `spot` of `arn:aws:batch:eu-central-1:111122223333:compute-environment/spot`; a bare name is one already.
pub(super) fn name_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}
