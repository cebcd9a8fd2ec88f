//! What AWS Batch describes: field names are those of its API.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Known, Timestamp};

/// A compute environment (`ComputeEnvironmentDetail`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ComputeEnvironment {
    /// Its name.
    pub compute_environment_name: String,
    /// Its ARN.
    pub compute_environment_arn: String,
    /// `MANAGED` or `UNMANAGED`.
    pub r#type: String,
    /// `ENABLED` or `DISABLED`.
    pub state: String,
    /// `VALID`, `INVALID`, `UPDATING` and others.
    pub status: String,
    /// Why it has this status.
    pub status_reason: String,
    /// The role that Batch acts with.
    pub service_role: Option<String>,
    /// `ECS` or `EKS`.
    pub container_orchestration_type: Option<String>,
    /// What and how much it launches; none if UNMANAGED.
    pub compute_resources: Option<ComputeResources>,
    /// What an infrastructure update does to running jobs.
    pub update_policy: Option<UpdatePolicy>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// When its settings were last taken over to instances: its creation or its last infrastructure update. Not part of the
    /// API; CloudTrail knows.
    pub infrastructure_updated_at: Known<Timestamp>,
}

/// What an environment launches (`ComputeResource`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ComputeResources {
    /// `EC2`, `SPOT`, `FARGATE`, `FARGATE_SPOT`, `ECS_MANAGED_INSTANCES`.
    pub r#type: String,
    /// Not set means `BEST_FIT`.
    pub allocation_strategy: Option<String>,
    /// minvCpus.
    #[serde(rename = "minvCpus")]
    pub min_vcpus: i64,
    /// desiredvCpus.
    #[serde(rename = "desiredvCpus")]
    pub desired_vcpus: i64,
    /// maxvCpus.
    #[serde(rename = "maxvCpus")]
    pub max_vcpus: i64,
    /// Types, families, and words such as `optimal`.
    pub instance_types: Vec<String>,
    /// An image for all instances (deprecated).
    pub image_id: Option<String>,
    /// Subnet ids.
    pub subnets: Vec<String>,
    /// Security group ids.
    pub security_group_ids: Vec<String>,
    /// The instance profile of the instances: a name or an ARN.
    pub instance_role: Option<String>,
    /// The most that is paid for Spot, in percent of On-Demand.
    pub bid_percentage: Option<i64>,
    /// The role of a Spot fleet: needed with BEST_FIT.
    pub spot_iam_fleet_role: Option<String>,
    /// The launch template.
    pub launch_template: Option<LaunchTemplateSpecification>,
    /// Which images, at most one for instances with GPUs and one for others.
    pub ec2_configuration: Vec<Ec2Configuration>,
    /// Tags of the instances.
    pub tags: BTreeMap<String, String>,
}

/// What an infrastructure update does to running jobs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct UpdatePolicy {
    /// Whether they are ended at once.
    pub terminate_jobs_on_update: Option<bool>,
    /// Else how long they may go on.
    pub job_execution_timeout_minutes: Option<i64>,
}

/// Which images an environment uses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Ec2Configuration {
    /// `ECS_AL2023`, `ECS_AL2_NVIDIA` and others.
    pub image_type: String,
    /// An own image instead.
    pub image_id_override: Option<String>,
    /// `LATEST` or `UPDATE_AVAILABLE`.
    pub batch_image_status: Option<String>,
}

/// Which launch template, in which version, and others for some types.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct LaunchTemplateSpecification {
    /// By id,
    pub launch_template_id: Option<String>,
    /// or by name.
    pub launch_template_name: Option<String>,
    /// A number, `$Latest` or `$Default`; not set means `$Default`.
    pub version: Option<String>,
    /// Other templates for some types.
    pub overrides: Vec<LaunchTemplateOverride>,
}

/// Another launch template for some of the types.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct LaunchTemplateOverride {
    /// By id,
    pub launch_template_id: Option<String>,
    /// or by name.
    pub launch_template_name: Option<String>,
    /// A number, `$Latest` or `$Default`.
    pub version: Option<String>,
    /// For these types or families.
    pub target_instance_types: Vec<String>,
}

impl LaunchTemplateSpecification {
    /// What a survey keeps it under: `lt-0abc:$Default`, `name:3`.
    pub fn key(&self) -> String {
        key(
            self.launch_template_id.as_ref(),
            self.launch_template_name.as_ref(),
            self.version.as_ref(),
        )
    }
}

impl LaunchTemplateOverride {
    /// What a survey keeps it under.
    pub fn key(&self) -> String {
        key(
            self.launch_template_id.as_ref(),
            self.launch_template_name.as_ref(),
            self.version.as_ref(),
        )
    }
}

fn key(id: Option<&String>, name: Option<&String>, version: Option<&String>) -> String {
    let name = id.or(name).map_or("", String::as_str);
    let version = version.map(String::as_str).filter(|version| !version.is_empty());
    format!("{name}:{}", version.unwrap_or("$Default"))
}

/// A job queue (`JobQueueDetail`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct JobQueue {
    /// Its name.
    pub job_queue_name: String,
    /// Its ARN.
    pub job_queue_arn: String,
    /// `ENABLED` or `DISABLED`.
    pub state: String,
    /// `VALID` and others.
    pub status: String,
    /// Why it has this status.
    pub status_reason: String,
    /// Evaluated first: highest.
    pub priority: i64,
    /// Its scheduling policy; none means first in, first out.
    pub scheduling_policy_arn: Option<String>,
    /// Its environments.
    pub compute_environment_order: Vec<ComputeEnvironmentOrder>,
    /// What is done to jobs that stay in a state.
    pub job_state_time_limit_actions: Vec<JobStateTimeLimitAction>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Names or ARNs of the job definitions of jobs that were seen in it. Not part of the API; listed jobs tell.
    pub recent_job_definitions: Known<Vec<String>>,
}

/// One environment of a queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ComputeEnvironmentOrder {
    /// Tried first: lowest.
    pub order: i64,
    /// Its ARN or name.
    pub compute_environment: String,
}

/// What is done to a job that stays in a state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct JobStateTimeLimitAction {
    /// For jobs with this status reason.
    pub reason: String,
    /// `RUNNABLE`.
    pub state: String,
    /// After this long.
    pub max_time_seconds: i64,
    /// `CANCEL` or `TERMINATE`.
    pub action: String,
}

/// A scheduling policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct SchedulingPolicy {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// How shares are served.
    pub fairshare_policy: Option<FairsharePolicy>,
}

/// How shares are served.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct FairsharePolicy {
    /// Over which time use counts.
    pub share_decay_seconds: Option<i64>,
    /// Percent of the maximum that is kept for shares that are not active yet.
    pub compute_reservation: Option<i64>,
}

/// A job definition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct JobDefinition {
    /// Its name.
    pub job_definition_name: String,
    /// Its ARN, with the revision.
    pub job_definition_arn: String,
    /// Its revision.
    pub revision: i64,
    /// `container` or `multinode`.
    pub r#type: String,
    /// `EC2`, `FARGATE`; none means `EC2`.
    pub platform_capabilities: Vec<String>,
    /// When it is tried again.
    pub retry_strategy: Option<RetryStrategy>,
    /// When an attempt is ended.
    pub timeout: Option<JobTimeout>,
    /// Its container,
    pub container_properties: Option<ContainerProperties>,
    /// or its containers,
    pub ecs_properties: Option<EcsProperties>,
    /// or its nodes.
    pub node_properties: Option<NodeProperties>,
    /// `ECS` or `EKS`.
    pub container_orchestration_type: Option<String>,
}

/// When a job is tried again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct RetryStrategy {
    /// How often it is tried.
    pub attempts: Option<i64>,
    /// The first that matches decides; if none does, it is tried again.
    pub evaluate_on_exit: Vec<EvaluateOnExit>,
}

/// One condition of a retry strategy: all that is set has to match.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct EvaluateOnExit {
    /// The job's status reason, possibly with `*` at the end.
    pub on_status_reason: Option<String>,
    /// The container's reason.
    pub on_reason: Option<String>,
    /// The exit code.
    pub on_exit_code: Option<String>,
    /// `RETRY` or `EXIT`, in any case.
    pub action: String,
}

/// When an attempt is ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct JobTimeout {
    /// After this long.
    pub attempt_duration_seconds: Option<i64>,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ContainerProperties {
    /// Its image.
    pub image: String,
    /// vCPUs, memory in MiB, GPUs.
    pub resource_requirements: Vec<ResourceRequirement>,
    /// vCPUs, in definitions of before 2020.
    pub vcpus: Option<i64>,
    /// Memory in MiB, in definitions of before 2020.
    pub memory: Option<i64>,
    /// Shared memory and swap.
    pub linux_parameters: Option<LinuxParameters>,
    /// Scratch space; on Fargate only.
    pub ephemeral_storage: Option<EphemeralStorage>,
}

/// One resource of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ResourceRequirement {
    /// `VCPU`, `MEMORY` (MiB), `GPU`.
    pub r#type: String,
    /// How much, as text.
    pub value: String,
}

/// Shared memory and swap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct LinuxParameters {
    /// /dev/shm in MiB.
    pub shared_memory_size: Option<i64>,
    /// Swap in MiB.
    pub max_swap: Option<i64>,
}

/// Scratch space on Fargate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EphemeralStorage {
    /// GiB.
    #[serde(rename = "sizeInGiB")]
    pub size_in_gib: i64,
}

/// Several containers as one job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct EcsProperties {
    /// One task.
    pub task_properties: Vec<TaskProperties>,
}

/// The containers of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct TaskProperties {
    /// Its containers.
    pub containers: Vec<ContainerProperties>,
}

/// A job of several nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct NodeProperties {
    /// How many.
    pub num_nodes: i64,
}
