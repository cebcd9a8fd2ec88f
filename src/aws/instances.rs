//! What really runs: the container instances of an environment's ECS cluster.
//!
//! Launches that failed for want of capacity are not seen here: AWS Batch tells of them in the statusReason of the job at a
//! queue's head, and the daemon fills in `capacity_error` from there.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use aws_sdk_ecs::types::{ContainerInstance, ContainerInstanceStatus, Resource};

use crate::aws::Aws;
use crate::aws::errors::{failed, unread};
use crate::catalog::Resources;
use crate::daemon::cloud::{EnvironmentRead, Read};
use crate::observation::{InstancesNow, Room};
use crate::units::{Mebibytes, Time, Vcpus, to_u32};

/// CPU units of ECS in a vCPU.
const UNITS_PER_VCPU: i64 = 1024;

impl Aws {
    pub(super) async fn read_instances(&self, environment: &EnvironmentRead) -> Read<InstancesNow> {
        let Some(cluster) = &environment.cluster else {
            return Err(failed(format!(
                "compute environment `{}` names no ECS cluster, so its instances cannot be counted",
                environment.name
            )));
        };
        // DRAINING instances take no job any more.
        let call = self
            .ecs
            .list_container_instances()
            .cluster(cluster)
            .status(ContainerInstanceStatus::Active);
        let mut pages = call.into_paginator().items().send();
        let mut arns = Vec::new();
        while let Some(arn) = pages.next().await {
            arns.push(arn.map_err(|e| unread("ecs:ListContainerInstances", &e))?);
        }
        let mut instances = Vec::with_capacity(arns.len());
        for arns in arns.chunks(100) {
            let call = self.ecs.describe_container_instances().cluster(cluster);
            let answer = call.set_container_instances(Some(arns.to_vec())).send().await;
            let answer = answer.map_err(|e| unread("ecs:DescribeContainerInstances", &e))?;
            instances.extend(answer.container_instances.unwrap_or_default());
        }
        let ids = instances.iter().filter_map(|instance| instance.ec2_instance_id.clone());
        let mut known = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(cluster.clone(), ids.collect());
        Ok(count(&instances))
    }

    /// Whether an EC2 instance may belong to an environment. Of those that came since they were last read ECS tells by itself.
    pub(super) fn may_be_ours(&self, instance: &str) -> bool {
        let known = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        known.is_empty() || known.values().any(|ids| ids.contains(instance))
    }
}

fn count(instances: &[ContainerInstance]) -> InstancesNow {
    let mut now = InstancesNow::default();
    let mut rooms: BTreeMap<Resources, u32> = BTreeMap::new();
    let mut types: BTreeMap<&str, Vcpus> = BTreeMap::new();
    for instance in instances {
        // It may have begun to drain since it was listed.
        if instance.status.as_deref() != Some("ACTIVE") {
            continue;
        }
        let there = resources(instance.registered_resources());
        let free = resources(instance.remaining_resources());
        now.there += there.vcpus;
        if let Some(name) = instance_type(instance) {
            *types.entry(name).or_default() += there.vcpus;
        }
        now.used += there.less(&free).vcpus;
        let registered = instance.registered_at.and_then(|at| at.to_millis().ok());
        now.registered = now.registered.max(registered.map(Time::from_millis));
        // ECS places nothing where the agent is away, which is usual for seconds and means the end for longer.
        if instance.agent_connected && !free.vcpus.is_zero() {
            let rooms = rooms.entry(free).or_default();
            *rooms = rooms.saturating_add(1);
        }
    }
    now.rooms = rooms
        .into_iter()
        .map(|(free, instances)| Room { free, instances })
        .collect();
    now.types = types
        .into_iter()
        .map(|(name, vcpus)| (name.to_owned(), vcpus))
        .collect();
    now
}

/// The agent registers it as an attribute.
fn instance_type(instance: &ContainerInstance) -> Option<&str> {
    let mut attributes = instance.attributes().iter();
    attributes
        .find(|attribute| attribute.name() == "ecs.instance-type")?
        .value()
}

/// Room for part of a vCPU is room for no job.
fn resources(listed: &[Resource]) -> Resources {
    let mut resources = Resources::default();
    for resource in listed {
        let count = i64::from(resource.integer_value);
        match resource.name.as_deref() {
            Some("CPU") => resources.vcpus = Vcpus::new(count / UNITS_PER_VCPU),
            Some("MEMORY") => resources.memory = Mebibytes::new(count),
            Some("GPU") => resources.gpus = to_u32(resource.string_set_value().len()),
            _ => {}
        }
    }
    resources
}
