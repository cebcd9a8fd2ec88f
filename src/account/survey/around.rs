//! What is around AWS Batch: roles, service quotas, and who else writes to environments.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Known;

/// An instance profile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub struct InstanceProfile {
    /// Its ARN.
    pub arn: String,
    /// Names of its roles: at most one.
    pub roles: Vec<String>,
}

/// A role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// Services that may assume it, of its AssumeRolePolicyDocument.
    pub trusted_services: Vec<String>,
    /// ARNs of its attached policies: of a role of instances that has what the ECS agent needs, that one alone.
    pub attached_policies: Vec<String>,
    /// Names of its inline policies.
    pub inline_policies: Vec<String>,
}

/// A service quota.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub struct Quota {
    /// The limit: vCPUs for those of EC2, TiB for storage.
    pub value: i64,
    /// Whether it is the applied value; else the default.
    pub applied: bool,
    /// What the whole account uses of it, in the same unit, rounded up.
    pub used: Known<i64>,
    /// How that was counted.
    pub counted: Counted,
}

/// How the use of a quota was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// By the metric that the quota itself names.
    #[default]
    Metric,
    /// By instances, where that metric tells nothing. Open Spot requests and unused Capacity Reservations, which count too, are
    /// not seen.
    Instances,
    /// By the instances of the first pages: there are at least these.
    SomeInstances,
}

impl Counted {
    /// As evidence.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Metric => "AWS/Usage",
            Self::Instances => "DescribeInstances: pending and running, without open Spot requests",
            Self::SomeInstances => "DescribeInstances: of too many instances the first; at least this",
        }
    }

    /// Whether there is no more than was counted.
    pub const fn is_exact(self) -> bool {
        !matches!(self, Self::SomeInstances)
    }
}

/// The guard: what puts base back should the daemon be gone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guard {
    /// The schedule group.
    pub group: String,
    /// Whether it is there.
    pub group_exists: Known<bool>,
    /// The role that its schedules act with, by ARN; its name is looked up among the roles.
    pub role_arn: String,
}

/// A tag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// The operator's own levels of an environment, where autotune has changed them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Base {
    /// The compute environment: a name or an ARN.
    pub compute_environment: String,
    /// minvCpus before.
    pub min_vcpus: i64,
    /// maxvCpus before; `None`: it was not changed.
    pub max_vcpus: Option<i64>,
}

/// A rule of EventBridge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub struct EventRule {
    /// Its name.
    pub name: String,
    /// `ENABLED` or `DISABLED`.
    pub state: String,
    /// Whether it hands events of AWS Batch to the daemon's SQS queue.
    pub reaches_us: bool,
}

/// A schedule of EventBridge that calls UpdateComputeEnvironment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub struct Schedules {
    /// Its name.
    pub name: String,
    /// Its group.
    pub group_name: String,
    /// `ENABLED` or `DISABLED`.
    pub state: String,
    /// When it fires.
    pub schedule_expression: String,
    /// What it writes to.
    pub target: ScheduleTarget,
}

/// What a schedule writes to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "PascalCase")]
pub struct ScheduleTarget {
    /// The compute environment: a name or an ARN.
    pub compute_environment: String,
}

/// Somebody else who writes to an environment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Writer {
    /// The compute environment: a name or an ARN.
    pub compute_environment: String,
    /// Who: a principal, a stack, another policy.
    pub who: String,
    /// What was seen, for example `UpdateComputeEnvironment at 2026-01-01T00:00:00Z`.
    pub what: String,
}

/// Whether autotune's own role may do something.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Permission {
    /// For example `batch:ListJobs`.
    pub action: String,
    /// On what; `*` for all.
    pub resource: String,
    /// What the probe said.
    pub allowed: Known<bool>,
    /// What needs it, in a few words.
    pub needed_for: String,
}

/// An SQS queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SqsQueue {
    /// Messages that can be received, approximately.
    pub visible: i64,
    /// Messages in flight, approximately.
    pub in_flight: i64,
    /// Age of the oldest message in seconds.
    pub oldest_seconds: Known<i64>,
}

/// The SQS queues of an account, as far as they were listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SqsListing {
    /// Their names.
    pub names: BTreeSet<String>,
    /// Those among them that take what other queues could not deliver: a RedrivePolicy names them.
    pub dead_letter: BTreeSet<String>,
    /// What of this was not read, and why.
    pub cut: Option<String>,
}
