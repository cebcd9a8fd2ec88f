//! Compute environments and job queues as they stand.

use aws_sdk_batch::types::{
    CeState, CeStatus, ComputeEnvironmentDetail, ComputeResource, CrAllocationStrategy, CrType, JobQueueDetail,
};

use crate::aws::Aws;
use crate::aws::errors::unread;
use crate::daemon::cloud::{EnvironmentRead, QueueRead, Read};
use crate::observation::EnvironmentNow;
use crate::units::{Span, Vcpus};

/// Most names in one call.
const NAMES_MOST: usize = 100;

impl Aws {
    pub(super) async fn read_environments(&self, names: &[String]) -> Read<Vec<EnvironmentRead>> {
        let mut read = Vec::with_capacity(names.len());
        for names in names.chunks(NAMES_MOST) {
            let details = self.describe_environments(names).await?;
            read.extend(details.into_iter().map(environment_read));
        }
        Ok(read)
    }

    pub(super) async fn read_queues(&self, names: &[String]) -> Read<Vec<QueueRead>> {
        let mut read = Vec::with_capacity(names.len());
        for names in names.chunks(NAMES_MOST) {
            let details = self.describe_queues(names).await?;
            read.extend(details.into_iter().map(|queue| QueueRead {
                name: queue.job_queue_name.unwrap_or_default(),
                tags: queue.tags.unwrap_or_default().into_iter().collect(),
            }));
        }
        Ok(read)
    }

    /// These environments, or all for no name.
    pub(super) async fn describe_environments(&self, names: &[String]) -> Read<Vec<ComputeEnvironmentDetail>> {
        let names = (!names.is_empty()).then(|| names.to_vec());
        let call = self
            .batch
            .describe_compute_environments()
            .set_compute_environments(names);
        let mut pages = call.into_paginator().items().send();
        let mut details = Vec::new();
        while let Some(detail) = pages.next().await {
            let detail = detail.map_err(|e| unread("batch:DescribeComputeEnvironments", &e))?;
            details.push(detail);
        }
        Ok(details)
    }

    /// These queues, or all for no name.
    pub(super) async fn describe_queues(&self, names: &[String]) -> Read<Vec<JobQueueDetail>> {
        let names = (!names.is_empty()).then(|| names.to_vec());
        let call = self.batch.describe_job_queues().set_job_queues(names);
        let mut pages = call.into_paginator().items().send();
        let mut details = Vec::new();
        while let Some(detail) = pages.next().await {
            let detail = detail.map_err(|e| unread("batch:DescribeJobQueues", &e))?;
            details.push(detail);
        }
        Ok(details)
    }
}

fn environment_read(detail: ComputeEnvironmentDetail) -> EnvironmentRead {
    let updating = detail.status == Some(CeStatus::Updating);
    // What is being updated was VALID, and Batch goes on to launch there.
    let valid = updating || detail.status == Some(CeStatus::Valid);
    let resources = detail.compute_resources;
    let delay = resources
        .as_ref()
        .and_then(|r| r.scaling_policy.as_ref())
        .and_then(|policy| policy.min_scale_down_delay_minutes);
    let vcpus = |count: Option<i32>| Vcpus::new(i64::from(count.unwrap_or_default()));
    EnvironmentRead {
        now: EnvironmentNow {
            valid,
            enabled: detail.state == Some(CeState::Enabled),
            updating,
            min_vcpus: vcpus(resources.as_ref().and_then(|r| r.minv_cpus)),
            desired_vcpus: vcpus(resources.as_ref().and_then(|r| r.desiredv_cpus)),
            max_vcpus: vcpus(resources.as_ref().and_then(|r| r.maxv_cpus)),
            scale_down_delay: Span::from_minutes(i64::from(delay.unwrap_or_default().max(0))),
        },
        // While it is VALID the service says "ComputeEnvironment Healthy": no reason of anything.
        status_reason: match detail.status_reason {
            Some(reason) if !valid => reason,
            _ => String::new(),
        },
        spot_fleet: resources.as_ref().is_some_and(has_spot_fleet),
        name: detail.compute_environment_name.unwrap_or_default(),
        tags: detail.tags.unwrap_or_default().into_iter().collect(),
        cluster: detail.ecs_cluster_arn.filter(|arn| !arn.is_empty()),
    }
}

/// `BEST_FIT`, which is what no strategy means on ECS, launches Spot instances by a Spot fleet.
fn has_spot_fleet(resources: &ComputeResource) -> bool {
    let strategy = resources.allocation_strategy.as_ref();
    resources.r#type == Some(CrType::Spot) && strategy.is_none_or(|strategy| *strategy == CrAllocationStrategy::BestFit)
}
