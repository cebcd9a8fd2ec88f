//! What the planner needs of an account: compute environments with their instance types, and job queues.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog::{Purchase, Resources};
use crate::units::{MicroUsd, Vcpus};

/// The compute environments and job queues that a policy is compiled against.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topology {
    /// Compute environments.
    pub environments: Vec<ComputeEnvironment>,
    /// Job queues.
    pub queues: Vec<JobQueue>,
}

/// How an environment is provided, which decides what can be steered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    /// Managed EC2 instances on ECS: min and desired can be steered.
    Ec2,
    /// Managed EC2 instances on EKS: only min can be steered.
    Eks,
    /// Fargate: nothing to steer.
    Fargate,
    /// ECS Managed Instances: no min; `scaleInAfter` is the knob there.
    ManagedInstances,
    /// UNMANAGED: Batch scales nothing.
    Unmanaged,
}

/// A compute environment as described.
#[derive(Clone, Debug, PartialEq)]
pub struct ComputeEnvironment {
    /// Its name.
    pub name: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// How it is provided.
    pub platform: Platform,
    /// On-Demand or Spot.
    pub purchase: Purchase,
    /// minvCpus as it stands.
    pub min_vcpus: Vcpus,
    /// maxvCpus as it stands.
    pub max_vcpus: Vcpus,
    /// What a job can get on each allowed instance type (after what system and agent keep), with its price per hour.
    pub types: Vec<OfferedType>,
}

/// One instance type that an environment may launch.
#[derive(Clone, Debug, PartialEq)]
pub struct OfferedType {
    /// Its name, for example `m6i.4xlarge`.
    pub name: String,
    /// What a job can get on it: vCPUs, memory as registered with ECS, GPUs.
    pub registered: Resources,
    /// Price per hour in the environment's way of buying.
    pub per_hour: MicroUsd,
}

/// A job queue as described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobQueue {
    /// Its name.
    pub name: String,
    /// Evaluated first: highest.
    pub priority: i32,
    /// Names of its compute environments in `computeEnvironmentOrder`.
    pub environments: Vec<String>,
    /// Whether a scheduling policy (fair share) is attached.
    pub fair_share: bool,
}
