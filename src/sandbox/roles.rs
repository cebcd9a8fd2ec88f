//! Roles and instance profiles, in the shape in which IAM tells them.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::flaws::Flaw;
use super::ids::Names;
use super::state::State;
use crate::simulate::draws::key_of;

/// What instances have, as role and as profile.
pub(super) const INSTANCE_ROLE: &str = "ecsInstanceRole";
pub(super) const GUARD_ROLE: &str = "autotune-guard";
pub(super) const FLEET_ROLE: &str = "AmazonEC2SpotFleetTaggingRole";
const SERVICE_ROLE: &str = "AWSServiceRoleForBatch";
/// The policy that the guard's role has in itself.
pub(super) const GUARD_POLICY: &str = "update-compute-environments";
const ROLE_ID: u64 = 8;

/// A role.
#[derive(Clone, Debug)]
pub(super) struct Role {
    pub(super) name: &'static str,
    path: &'static str,
    trusts: &'static str,
    /// Managed policies, without `arn:aws:iam::aws:policy/`.
    pub(super) attached: &'static [&'static str],
    pub(super) inline: &'static [&'static str],
}

const ROLES: [Role; 5] = [
    Role {
        name: SERVICE_ROLE,
        path: "/aws-service-role/batch.amazonaws.com/",
        trusts: "batch.amazonaws.com",
        attached: &["aws-service-role/BatchServiceRolePolicy"],
        inline: &[],
    },
    Role {
        name: FLEET_ROLE,
        path: "/",
        trusts: "spotfleet.amazonaws.com",
        attached: &["service-role/AmazonEC2SpotFleetTaggingRole"],
        inline: &[],
    },
    Role {
        name: GUARD_ROLE,
        path: "/",
        trusts: "scheduler.amazonaws.com",
        attached: &[],
        inline: &[GUARD_POLICY],
    },
    // As which the daemon would run on ECS.
    Role {
        name: "autotune",
        path: "/",
        trusts: "ecs-tasks.amazonaws.com",
        attached: &[],
        inline: &[],
    },
    Role {
        name: INSTANCE_ROLE,
        path: "/",
        trusts: "ec2.amazonaws.com",
        attached: &["service-role/AmazonEC2ContainerServiceforEC2Role"],
        inline: &[],
    },
];

impl Names {
    /// Whoever has the sandbox's credentials.
    pub(super) fn user_arn(&self) -> String {
        self.iam_arn("user/sandbox")
    }

    /// IAM has no regions.
    pub(super) fn iam_arn(&self, resource: &str) -> String {
        format!("arn:aws:iam::{}:{resource}", self.account)
    }

    /// The service role of environments.
    pub(super) fn service_role_arn(&self) -> String {
        self.iam_arn(&format!("role/aws-service-role/batch.amazonaws.com/{SERVICE_ROLE}"))
    }

    /// An id as IAM gives it: four letters that say of what, and more of its alphabet.
    fn iam_id(&self, kind: &str, name: &str) -> String {
        let digits = self.uuid(ROLE_ID, key_of(name) >> 24).replace('-', "").to_uppercase();
        format!("{kind}{}", digits.get(..17).unwrap_or_default())
    }
}

impl State {
    /// A role of this name.
    pub(super) fn role(&self, name: &str) -> Option<Role> {
        let gone = name == GUARD_ROLE && self.flaws.has(Flaw::NoGuardRole);
        let mut role = ROLES.into_iter().find(|role| role.name == name && !gone)?;
        if role.name == INSTANCE_ROLE && self.flaws.has(Flaw::WrongTrust) {
            role.trusts = "ecs-tasks.amazonaws.com";
        }
        Some(role)
    }

    /// The role of this ARN.
    pub(super) fn has_principal(&self, arn: &str) -> bool {
        let of_role = |role: &Role| self.names.iam_arn(&format!("role{}{}", role.path, role.name)) == arn;
        arn == self.names.user_arn() || ROLES.iter().any(of_role)
    }

    pub(super) fn role_told(&self, role: &Role) -> Value {
        let trust = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"Service": role.trusts}, "Action": "sts:AssumeRole"}
        ]});
        json!({
            "Path": role.path,
            "RoleName": role.name,
            "RoleId": self.names.iam_id("AROA", role.name),
            "Arn": self.names.iam_arn(&format!("role{}{}", role.path, role.name)),
            "CreateDate": self.made().to_string(),
            "AssumeRolePolicyDocument": encoded(&trust),
            "MaxSessionDuration": 3_600,
        })
    }

    /// The one profile there is.
    pub(super) fn instance_profile(&self, name: &str) -> Option<Value> {
        if name != INSTANCE_ROLE || self.flaws.has(Flaw::NoProfile) {
            return None;
        }
        let role = self.role(name)?;
        Some(json!({
            "Path": "/",
            "InstanceProfileName": name,
            "InstanceProfileId": self.names.iam_id("AIPA", name),
            "Arn": self.names.iam_arn(&format!("instance-profile/{name}")),
            "CreateDate": self.made().to_string(),
            "Roles": [self.role_told(&role)],
        }))
    }

    /// What the guard's role allows.
    pub(super) fn guard_policy(&self) -> String {
        encoded(&json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "batch:UpdateComputeEnvironment", "Resource": self.names.environment_arn("*")}
        ]}))
    }
}

/// IAM hands documents out percent-encoded.
fn encoded(document: &Value) -> String {
    utf8_percent_encode(&document.to_string(), NON_ALPHANUMERIC).to_string()
}
