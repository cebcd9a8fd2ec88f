//! An account as `autotune check` reads it: AWS's own names and shapes, each part read or with the reason why it was not.
//!
//! A survey is plain data that serialises as JSON, so that what was found in one account can be looked at in another place. It
//! holds user data of launch templates as text: [`Survey::shareable`] keeps only the lines that rules read.

mod around;
mod batch;
pub mod ec2;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use around::{
    Base, Counted, EventRule, Guard, InstanceProfile, Permission, Quota, Role, ScheduleTarget, Schedules, SqsListing,
    SqsQueue, Tag, Writer,
};
pub use batch::{
    ComputeEnvironment, ComputeEnvironmentOrder, ComputeResources, ContainerProperties, Ec2Configuration,
    EcsProperties, EphemeralStorage, EvaluateOnExit, FairsharePolicy, JobDefinition, JobQueue, JobStateTimeLimitAction,
    JobTimeout, LaunchTemplateOverride, LaunchTemplateSpecification, LinuxParameters, NodeProperties,
    ResourceRequirement, RetryStrategy, SchedulingPolicy, TaskProperties, UpdatePolicy,
};
pub use ec2::{
    BlockDeviceMapping, EbsBlockDevice, IamInstanceProfile, Image, InstanceMarketOptions, InstanceTypeInfo,
    LaunchTemplateData, LaunchTemplateVersion, MetadataOptions, NetworkInterface, Route, Subnet,
};

use crate::units::Time;

/// The format of surveys that this program writes and reads.
pub const VERSION: u32 = 1;

/// What was read, or why it was not. What is unread is never taken for good or bad.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Known<T> {
    /// It was read.
    Known(T),
    /// It was not.
    Unread {
        /// For example `AccessDenied: ec2:DescribeImages`.
        why: String,
    },
}

impl<T> Known<T> {
    /// What was read, or why it was not.
    pub fn read(&self) -> Result<&T, &str> {
        match self {
            Self::Known(value) => Ok(value),
            Self::Unread { why } => Err(why),
        }
    }

    /// Not read, for this reason.
    pub fn unread(why: impl Into<String>) -> Self {
        Self::Unread { why: why.into() }
    }
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self::unread("the survey does not have it")
    }
}

/// Things asked for by name. `None`: there is no such thing. A name that is not there was not asked for.
pub type Asked<T> = BTreeMap<String, Known<Option<T>>>;

/// What was told of one name; `Ok(None)`: there is no such thing.
pub fn told<'a, T>(asked: &'a Asked<T>, name: &str) -> Result<Option<&'a T>, String> {
    match asked.get(name).map(Known::read) {
        Some(Ok(found)) => Ok(found.as_ref()),
        Some(Err(why)) => Err(why.to_owned()),
        None => Err(format!("the survey does not have {name}")),
    }
}

/// A time as RFC 3339 writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(pub Time);

impl TryFrom<String> for Timestamp {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let time = Time::parse(&text).map(Self);
        time.ok_or_else(|| format!("found {text:?}, expected a time such as 2026-01-01T00:00:00Z"))
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> Self {
        time.0.to_string()
    }
}

/// Everything that `check` reads of an account and region.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Survey {
    /// The format: [`VERSION`].
    pub version: u32,
    /// When it was made. What has an end (images, AL2) is compared with it.
    pub taken_at: Option<Timestamp>,
    /// The AWS account.
    pub account: String,
    /// The AWS region.
    pub region: String,
    /// DescribeComputeEnvironments: all of them.
    pub compute_environments: Known<Vec<ComputeEnvironment>>,
    /// DescribeJobQueues: all of them.
    pub job_queues: Known<Vec<JobQueue>>,
    /// DescribeSchedulingPolicies: by ARN.
    pub scheduling_policies: Asked<SchedulingPolicy>,
    /// DescribeJobDefinitions with status ACTIVE: the newest revision of each.
    pub job_definitions: Known<Vec<JobDefinition>>,
    /// DescribeLaunchTemplateVersions: by [`LaunchTemplateSpecification::key`].
    pub launch_templates: Asked<LaunchTemplateVersion>,
    /// DescribeImages: by image id.
    pub images: Asked<Image>,
    /// DescribeInstanceTypes: by name. Needed for types that the catalogue does not have, and for instance stores.
    pub instance_types: Asked<InstanceTypeInfo>,
    /// DescribeInstanceTypeOfferings: zones, each with the types that are offered there.
    pub offerings: Known<BTreeMap<String, Vec<String>>>,
    /// DescribeSubnets: by subnet id.
    pub subnets: Asked<Subnet>,
    /// GetInstanceProfile: by name.
    pub instance_profiles: Asked<InstanceProfile>,
    /// GetRole or ListRoles: by the name of the role. Policies are read of the roles of instances and Spot fleets only.
    pub roles: Asked<Role>,
    /// GetServiceQuota, else GetAWSDefaultServiceQuota: by code.
    pub quotas: Asked<Quota>,
    /// The tag without which an environment is only watched, as the settings have it; `None`: there is none.
    pub tag: Option<Tag>,
    /// Environments whose minvCpus or maxvCpus are not the operator's own at present, as guards or the daemon's memory tell.
    pub bases: Known<Vec<Base>>,
    /// The guard as the settings name it; `None`: the settings name none.
    pub guard: Known<Option<Guard>>,
    /// EventBridge rules that should wake the daemon; empty: none.
    pub event_rules: Known<Vec<EventRule>>,
    /// EventBridge schedules that call UpdateComputeEnvironment, other than guards.
    pub schedules: Known<Vec<Schedules>>,
    /// Whoever else was seen to write to an environment (CloudTrail, the journal's foreign changes).
    pub writers: Known<Vec<Writer>>,
    /// What autotune's own role may do, each probed without side effects.
    pub permissions: Known<Vec<Permission>>,
    /// Resources for which that role's policies allow batch:UpdateComputeEnvironment: ARNs, possibly with `*` and `?`.
    pub may_update: Known<Vec<String>>,
    /// SQS queues that the policy names: by name.
    pub sqs_queues: Asked<SqsQueue>,
    /// Parts that were read in part only, by the names of their fields, and what of them is left out.
    pub cut: BTreeMap<String, String>,
}

impl Survey {
    /// For the eyes of others: of user data only the lines that rules read, since the rest may hold secrets.
    #[must_use]
    pub fn shareable(mut self) -> Self {
        for template in self.launch_templates.values_mut() {
            if let Known::Known(Some(version)) = template
                && let Some(user_data) = &mut version.launch_template_data.user_data
            {
                *user_data = ec2::shareable(user_data);
            }
        }
        self
    }
}

/// `spot` of `arn:aws:batch:eu-central-1:111122223333:compute-environment/spot`; a bare name is one already.
pub fn name_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}
