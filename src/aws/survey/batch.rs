//! What AWS Batch describes.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_batch::types::{
    self as sdk, ComputeEnvironmentDetail, JobDefinition as DefinitionDetail, JobQueueDetail, KeyValuesPair,
};

use super::{each, known, text};
use crate::account::survey::{
    Asked, ComputeEnvironment, ComputeEnvironmentOrder, ComputeResources, ContainerProperties, Ec2Configuration,
    EcsProperties, EphemeralStorage, EvaluateOnExit, FairsharePolicy, JobDefinition, JobQueue, JobStateTimeLimitAction,
    JobTimeout, Known, LaunchTemplateOverride, LaunchTemplateSpecification, LinuxParameters, NodeProperties,
    ResourceRequirement, RetryStrategy, SchedulingPolicy, TaskProperties, UpdatePolicy, name_of,
};
use crate::aws::Aws;
use crate::aws::errors::unread;
use crate::daemon::cloud::Read;
use crate::units::Span;

/// Jobs younger than this tell which definitions a queue serves.
const RECENT: Span = Span::from_minutes(24 * 60);
/// Pages of jobs that are read of a queue, and of all: what it usually serves is among these.
const PAGES_OF_JOBS: usize = 3;
const PAGES_OF_JOBS_IN_ALL: usize = 10;
/// Pages of job definitions, a hundred each. Every revision that is not deregistered counts.
const PAGES_OF_DEFINITIONS: usize = 10;
/// AWS Batch describes so many job definitions at once.
const DEFINITIONS_MOST: usize = 100;
/// AWS Batch describes so many scheduling policies at once.
const POLICIES_MOST: usize = 100;

impl Aws {
    pub(super) async fn survey_environments(&self) -> Known<Vec<ComputeEnvironment>> {
        let details = self.describe_environments(&[]).await;
        known(details.map(|all| all.into_iter().map(environment).collect()))
    }

    pub(super) async fn survey_queues(&self) -> Known<Vec<JobQueue>> {
        known(self.read_survey_queues().await)
    }

    /// Without their jobs.
    pub(super) async fn survey_plain_queues(&self) -> Known<Vec<JobQueue>> {
        let unlooked = || Known::unread("jobs were not listed");
        let details = self.describe_queues(&[]).await;
        known(details.map(|all| all.into_iter().map(|detail| queue(detail, unlooked())).collect()))
    }

    async fn read_survey_queues(&self) -> Read<Vec<JobQueue>> {
        let mut queues = Vec::new();
        let details = self.describe_queues(&[]).await?;
        let pages = PAGES_OF_JOBS_IN_ALL / details.len().max(1);
        for detail in details {
            let recent = self
                .recent_definitions(detail.job_queue_name(), pages.clamp(1, PAGES_OF_JOBS))
                .await;
            queues.push(queue(detail, known(recent)));
        }
        Ok(queues)
    }

    /// Of the newest jobs: with a filter a page has a hundred.
    async fn recent_definitions(&self, queue: Option<&str>, most: usize) -> Read<Vec<String>> {
        let since = (self.clock.now() - RECENT).millis().to_string();
        let filter = KeyValuesPair::builder().name("AFTER_CREATED_AT").values(since).build();
        let call = self
            .batch
            .list_jobs()
            .set_job_queue(queue.map(str::to_owned))
            .filters(filter);
        let mut pages = call.into_paginator().send();
        let mut names = BTreeSet::new();
        for _ in 0..most {
            let Some(page) = pages.next().await else { break };
            let page = page.map_err(|e| unread("batch:ListJobs", &e))?;
            let jobs = page.job_summary_list.unwrap_or_default();
            names.extend(jobs.into_iter().filter_map(|job| job.job_definition));
        }
        Ok(names.into_iter().collect())
    }

    pub(super) async fn survey_scheduling_policies(&self, arns: BTreeSet<String>) -> Asked<SchedulingPolicy> {
        let told = self.describe_policies(&arns).await;
        each(&arns, told)
    }

    async fn describe_policies(&self, arns: &BTreeSet<String>) -> Read<BTreeMap<String, SchedulingPolicy>> {
        let arns: Vec<String> = arns.iter().cloned().collect();
        let mut found = BTreeMap::new();
        for arns in arns.chunks(POLICIES_MOST) {
            let call = self.batch.describe_scheduling_policies().set_arns(Some(arns.to_vec()));
            let answer = call
                .send()
                .await
                .map_err(|e| unread("batch:DescribeSchedulingPolicies", &e))?;
            for policy in answer.scheduling_policies.unwrap_or_default() {
                let arn = policy.arn.unwrap_or_default();
                let fair = policy.fairshare_policy.map(|fair| FairsharePolicy {
                    share_decay_seconds: fair.share_decay_seconds.map(i64::from),
                    compute_reservation: fair.compute_reservation.map(i64::from),
                });
                found.insert(
                    arn.clone(),
                    SchedulingPolicy {
                        name: policy.name.unwrap_or_default(),
                        arn,
                        fairshare_policy: fair,
                    },
                );
            }
        }
        Ok(found)
    }

    /// The newest ACTIVE revision of each, and what is left out if there are too many: not those of jobs that were seen.
    pub(super) async fn survey_definitions(&self, queues: &[JobQueue]) -> (Known<Vec<JobDefinition>>, Option<String>) {
        let seen = queues
            .iter()
            .filter_map(|queue| queue.recent_job_definitions.read().ok());
        let seen = seen.flatten().cloned().collect();
        match self.read_definitions(seen).await {
            Ok((definitions, cut)) => (Known::Known(definitions), cut),
            Err(error) => (Known::unread(error.message), None),
        }
    }

    async fn read_definitions(&self, mut seen: BTreeSet<String>) -> Read<(Vec<JobDefinition>, Option<String>)> {
        let unread = |e| unread("batch:DescribeJobDefinitions", &e);
        let mut newest: BTreeMap<String, JobDefinition> = BTreeMap::new();
        let call = self.batch.describe_job_definitions().status("ACTIVE");
        let mut pages = call.into_paginator().send();
        for _ in 0..PAGES_OF_DEFINITIONS {
            let Some(page) = pages.next().await else {
                return Ok((newest.into_values().collect(), None));
            };
            take_newest(&mut newest, page.map_err(unread)?.job_definitions);
        }
        let Some(more) = pages.next().await else {
            return Ok((newest.into_values().collect(), None));
        };
        take_newest(&mut newest, more.map_err(unread)?.job_definitions);
        let read = newest.len();
        let cut = format!("the account has many job definitions: {read} and those of recent jobs were read");
        let is_listed = |arn: &String| {
            let (name, revision) = name_and_revision(arn);
            newest.get(name).is_some_and(|listed| listed.revision >= revision)
        };
        seen.retain(|arn| !is_listed(arn));
        let seen: Vec<String> = seen.into_iter().take(DEFINITIONS_MOST).collect();
        if !seen.is_empty() {
            let call = self.batch.describe_job_definitions().set_job_definitions(Some(seen));
            take_newest(&mut newest, call.send().await.map_err(unread)?.job_definitions);
        }
        Ok((newest.into_values().collect(), Some(cut)))
    }
}

fn take_newest(newest: &mut BTreeMap<String, JobDefinition>, details: Option<Vec<DefinitionDetail>>) {
    for one in details.unwrap_or_default().into_iter().map(definition) {
        let known = newest.get(&one.job_definition_name);
        if known.is_none_or(|known| known.revision < one.revision) {
            newest.insert(one.job_definition_name.clone(), one);
        }
    }
}

/// `align` and 3 of `arn:aws:batch:...:job-definition/align:3`.
fn name_and_revision(arn: &str) -> (&str, i64) {
    let name = name_of(arn);
    let (name, revision) = name.split_once(':').unwrap_or((name, ""));
    (name, revision.parse().unwrap_or_default())
}

fn environment(detail: ComputeEnvironmentDetail) -> ComputeEnvironment {
    ComputeEnvironment {
        r#type: text(detail.r#type.as_ref()),
        state: text(detail.state.as_ref()),
        status: text(detail.status.as_ref()),
        container_orchestration_type: detail.container_orchestration_type.map(|one| one.as_str().to_owned()),
        compute_resources: detail.compute_resources.map(resources),
        update_policy: detail.update_policy.map(|policy| UpdatePolicy {
            terminate_jobs_on_update: policy.terminate_jobs_on_update,
            job_execution_timeout_minutes: policy.job_execution_timeout_minutes,
        }),
        compute_environment_name: detail.compute_environment_name.unwrap_or_default(),
        compute_environment_arn: detail.compute_environment_arn.unwrap_or_default(),
        status_reason: detail.status_reason.unwrap_or_default(),
        service_role: detail.service_role,
        tags: detail.tags.unwrap_or_default().into_iter().collect(),
        infrastructure_updated_at: Known::unread("nobody looked"),
    }
}

#[expect(deprecated, reason = "environments of the past still have an image of their own")]
fn resources(told: sdk::ComputeResource) -> ComputeResources {
    let configuration = |one: sdk::Ec2Configuration| Ec2Configuration {
        image_type: one.image_type.unwrap_or_default(),
        image_id_override: one.image_id_override,
        batch_image_status: one.batch_image_status,
    };
    ComputeResources {
        r#type: text(told.r#type.as_ref()),
        allocation_strategy: told.allocation_strategy.map(|one| one.as_str().to_owned()),
        min_vcpus: told.minv_cpus.unwrap_or_default().into(),
        desired_vcpus: told.desiredv_cpus.unwrap_or_default().into(),
        max_vcpus: told.maxv_cpus.unwrap_or_default().into(),
        instance_types: told.instance_types.unwrap_or_default(),
        image_id: told.image_id,
        subnets: told.subnets.unwrap_or_default(),
        security_group_ids: told.security_group_ids.unwrap_or_default(),
        instance_role: told.instance_role,
        bid_percentage: told.bid_percentage.map(i64::from),
        spot_iam_fleet_role: told.spot_iam_fleet_role,
        launch_template: told.launch_template.map(template),
        ec2_configuration: told
            .ec2_configuration
            .unwrap_or_default()
            .into_iter()
            .map(configuration)
            .collect(),
        tags: told.tags.unwrap_or_default().into_iter().collect(),
    }
}

fn template(told: sdk::LaunchTemplateSpecification) -> LaunchTemplateSpecification {
    let one = |one: sdk::LaunchTemplateSpecificationOverride| LaunchTemplateOverride {
        launch_template_id: one.launch_template_id,
        launch_template_name: one.launch_template_name,
        version: one.version,
        target_instance_types: one.target_instance_types.unwrap_or_default(),
    };
    LaunchTemplateSpecification {
        launch_template_id: told.launch_template_id,
        launch_template_name: told.launch_template_name,
        version: told.version,
        overrides: told.overrides.unwrap_or_default().into_iter().map(one).collect(),
    }
}

fn queue(detail: JobQueueDetail, recent_job_definitions: Known<Vec<String>>) -> JobQueue {
    let order = |entry: sdk::ComputeEnvironmentOrder| ComputeEnvironmentOrder {
        order: entry.order.unwrap_or_default().into(),
        compute_environment: entry.compute_environment.unwrap_or_default(),
    };
    let limit = |limit: sdk::JobStateTimeLimitAction| JobStateTimeLimitAction {
        state: text(limit.state.as_ref()),
        action: text(limit.action.as_ref()),
        reason: limit.reason.unwrap_or_default(),
        max_time_seconds: limit.max_time_seconds.unwrap_or_default().into(),
    };
    let orders = detail.compute_environment_order.unwrap_or_default();
    let limits = detail.job_state_time_limit_actions.unwrap_or_default();
    JobQueue {
        state: text(detail.state.as_ref()),
        status: text(detail.status.as_ref()),
        job_queue_name: detail.job_queue_name.unwrap_or_default(),
        job_queue_arn: detail.job_queue_arn.unwrap_or_default(),
        status_reason: detail.status_reason.unwrap_or_default(),
        priority: detail.priority.unwrap_or_default().into(),
        scheduling_policy_arn: detail.scheduling_policy_arn.filter(|arn| !arn.is_empty()),
        compute_environment_order: orders.into_iter().map(order).collect(),
        job_state_time_limit_actions: limits.into_iter().map(limit).collect(),
        tags: detail.tags.unwrap_or_default().into_iter().collect(),
        recent_job_definitions,
    }
}

fn definition(detail: DefinitionDetail) -> JobDefinition {
    let capabilities = detail.platform_capabilities.unwrap_or_default();
    JobDefinition {
        job_definition_name: detail.job_definition_name.unwrap_or_default(),
        job_definition_arn: detail.job_definition_arn.unwrap_or_default(),
        revision: detail.revision.unwrap_or_default().into(),
        r#type: detail.r#type.unwrap_or_default(),
        platform_capabilities: capabilities.iter().map(|one| one.as_str().to_owned()).collect(),
        retry_strategy: detail.retry_strategy.map(retries),
        timeout: detail.timeout.map(|timeout| JobTimeout {
            attempt_duration_seconds: timeout.attempt_duration_seconds.map(i64::from),
        }),
        container_properties: detail.container_properties.map(container),
        ecs_properties: detail.ecs_properties.map(tasks),
        node_properties: detail.node_properties.map(|nodes| NodeProperties {
            num_nodes: nodes.num_nodes.unwrap_or_default().into(),
        }),
        container_orchestration_type: detail.container_orchestration_type.map(|one| one.as_str().to_owned()),
    }
}

fn retries(told: sdk::RetryStrategy) -> RetryStrategy {
    let rule = |rule: sdk::EvaluateOnExit| EvaluateOnExit {
        action: text(rule.action.as_ref()),
        on_status_reason: rule.on_status_reason,
        on_reason: rule.on_reason,
        on_exit_code: rule.on_exit_code,
    };
    RetryStrategy {
        attempts: told.attempts.map(i64::from),
        evaluate_on_exit: told
            .evaluate_on_exit
            .unwrap_or_default()
            .into_iter()
            .map(rule)
            .collect(),
    }
}

#[expect(deprecated, reason = "definitions of the past still have sizes of their own")]
fn container(told: sdk::ContainerProperties) -> ContainerProperties {
    ContainerProperties {
        image: told.image.unwrap_or_default(),
        resource_requirements: requirements(told.resource_requirements),
        vcpus: told.vcpus.map(i64::from),
        memory: told.memory.map(i64::from),
        linux_parameters: told.linux_parameters.as_ref().map(linux),
        ephemeral_storage: told.ephemeral_storage.as_ref().map(storage),
    }
}

fn tasks(told: sdk::EcsProperties) -> EcsProperties {
    let part = |part: sdk::TaskContainerProperties| ContainerProperties {
        image: part.image.unwrap_or_default(),
        resource_requirements: requirements(part.resource_requirements),
        linux_parameters: part.linux_parameters.as_ref().map(linux),
        ..ContainerProperties::default()
    };
    let task = |task: sdk::EcsTaskProperties| TaskProperties {
        containers: task.containers.unwrap_or_default().into_iter().map(part).collect(),
    };
    EcsProperties {
        task_properties: told.task_properties.unwrap_or_default().into_iter().map(task).collect(),
    }
}

fn requirements(told: Option<Vec<sdk::ResourceRequirement>>) -> Vec<ResourceRequirement> {
    let one = |one: sdk::ResourceRequirement| ResourceRequirement {
        r#type: text(one.r#type.as_ref()),
        value: one.value.unwrap_or_default(),
    };
    told.unwrap_or_default().into_iter().map(one).collect()
}

fn linux(told: &sdk::LinuxParameters) -> LinuxParameters {
    LinuxParameters {
        shared_memory_size: told.shared_memory_size.map(i64::from),
        max_swap: told.max_swap.map(i64::from),
    }
}

fn storage(told: &sdk::EphemeralStorage) -> EphemeralStorage {
    EphemeralStorage {
        size_in_gib: told.size_in_gib.unwrap_or_default().into(),
    }
}
