//! Roles and instance profiles, and what the caller may do.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_iam::types::{
    self as sdk, EntityType, EvaluationResult, PolicyEvaluationDecisionType, ResourceSpecificResult,
};
use serde_json::Value;

use super::{FEW, Named, PAGES_MOST, known};
use crate::account::survey::{Asked, ComputeEnvironment, InstanceProfile, JobQueue, Known, Permission, Role};
use crate::aws::Aws;
use crate::aws::errors::{code, failed, unread};
use crate::daemon::cloud::{Principal, Read};

/// What the daemon calls on anything: the action, and what for. What our own policy allows on single clusters only is not asked
/// for here: a denial would say nothing.
const ANYWHERE: &[(&str, &str)] = &[
    ("batch:DescribeComputeEnvironments", "to see compute environments"),
    ("batch:DescribeJobQueues", "to see job queues"),
    ("batch:ListJobs", "to count jobs"),
    ("batch:DescribeJobs", "to know what jobs need"),
    (
        "ec2:DescribeInstanceTypes",
        "to know types that the catalogue does not have",
    ),
    ("servicequotas:GetServiceQuota", "to stay below service quotas"),
    (
        "servicequotas:GetAWSDefaultServiceQuota",
        "to stay below service quotas",
    ),
    (
        "cloudwatch:GetMetricStatistics",
        "to know what the account uses of its quotas",
    ),
    ("ec2:DescribeInstances", "to know that where no metric tells it"),
    (
        "autoscaling:DescribeAutoScalingGroups",
        "to see launches that EC2 refused",
    ),
    (
        "autoscaling:DescribeScalingActivities",
        "to see launches that EC2 refused",
    ),
    (
        "ec2:DescribeSpotFleetRequests",
        "to see launches that EC2 refused, with BEST_FIT",
    ),
    (
        "ec2:DescribeSpotFleetRequestHistory",
        "to see launches that EC2 refused, with BEST_FIT",
    ),
    ("ec2:DescribeSpotPriceHistory", "to know what Spot Instances cost"),
    ("cloudtrail:LookupEvents", "to know who else writes to environments"),
];
const ON_QUEUES: &[(&str, &str)] = &[("batch:GetJobQueueSnapshot", "to see the head of a job queue")];
const UPDATE: &str = "batch:UpdateComputeEnvironment";
/// As many as IAM gives on a page.
const ITEMS_MOST: i32 = 1000;

/// By name, with what was told of each.
type Roles = BTreeMap<String, Read<Option<Role>>>;

impl Aws {
    pub(super) async fn survey_identities(
        &self,
        named: &Named,
        partition: &str,
    ) -> (Asked<InstanceProfile>, Asked<Role>) {
        let (profiles, of_instances, mut roles) = self.profiles(&named.profiles).await;
        let policies: BTreeSet<String> = of_instances.iter().chain(&named.fleet_roles).cloned().collect();
        let mut wanted: BTreeSet<String> = named.roles.union(&policies).cloned().collect();
        // Perhaps the name of a role, where that of a profile belongs.
        let missing = profiles.iter().filter(|(_, told)| matches!(told.read(), Ok(None)));
        wanted.extend(missing.map(|(name, _)| name.clone()));
        wanted.retain(|name| !roles.contains_key(name));
        if wanted.len() > FEW
            && let Ok(Some(listed)) = self.roles().await
        {
            for name in std::mem::take(&mut wanted) {
                let role = listed.iter().find(|role| role.role_name == name);
                roles.insert(name, role.map(read_role).transpose());
            }
        }
        for name in wanted {
            let role = self.role(&name).await;
            roles.insert(name, role);
        }
        let able = if of_instances.len() > 1 {
            // Who may not ask this may ask each.
            self.roles_with(&for_instances(partition)).await.unwrap_or_default()
        } else {
            BTreeSet::new()
        };
        for name in &policies {
            let Some(Ok(Some(role))) = roles.get_mut(name) else {
                continue;
            };
            if able.contains(name) {
                role.attached_policies = vec![for_instances(partition)];
            } else if let Err(error) = self.policies_of(name, role, partition).await {
                roles.insert(name.clone(), Err(error));
            }
        }
        (
            profiles,
            roles.into_iter().map(|(name, role)| (name, known(role))).collect(),
        )
    }

    /// Instance profiles, the names of their roles, and these roles without their policies.
    async fn profiles(&self, names: &BTreeSet<String>) -> (Asked<InstanceProfile>, BTreeSet<String>, Roles) {
        let listed = if names.len() > FEW {
            self.instance_profiles().await.ok().flatten()
        } else {
            None
        };
        let (mut found, mut of_instances, mut roles) = (Asked::new(), BTreeSet::new(), Roles::new());
        for name in names {
            let told = match &listed {
                Some(all) => Ok(all.iter().find(|one| one.instance_profile_name == *name).cloned()),
                None => self.instance_profile(name).await,
            };
            if let Ok(Some(profile)) = &told {
                for role in &profile.roles {
                    of_instances.insert(role.role_name.clone());
                    roles.insert(role.role_name.clone(), read_role(role).map(Some));
                }
            }
            let profile = told.map(|profile| {
                profile.map(|profile| InstanceProfile {
                    arn: profile.arn,
                    roles: profile.roles.into_iter().map(|role| role.role_name).collect(),
                })
            });
            found.insert(name.clone(), known(profile));
        }
        (found, of_instances, roles)
    }

    /// All of the account; `None`: too many.
    async fn instance_profiles(&self) -> Read<Option<Vec<sdk::InstanceProfile>>> {
        let call = self.iam.list_instance_profiles().max_items(ITEMS_MOST);
        let mut pages = call.into_paginator().send();
        let mut all = Vec::new();
        for _ in 0..PAGES_MOST {
            let Some(page) = pages.next().await else {
                return Ok(Some(all));
            };
            let page = page.map_err(|e| unread("iam:ListInstanceProfiles", &e))?;
            all.extend(page.instance_profiles);
        }
        Ok(pages.next().await.is_none().then_some(all))
    }

    /// All of the account; `None`: too many.
    async fn roles(&self) -> Read<Option<Vec<sdk::Role>>> {
        let mut pages = self.iam.list_roles().max_items(ITEMS_MOST).into_paginator().send();
        let mut all = Vec::new();
        for _ in 0..PAGES_MOST {
            let Some(page) = pages.next().await else {
                return Ok(Some(all));
            };
            all.extend(page.map_err(|e| unread("iam:ListRoles", &e))?.roles);
        }
        Ok(pages.next().await.is_none().then_some(all))
    }

    /// Names of the roles that have a policy.
    async fn roles_with(&self, policy: &str) -> Read<BTreeSet<String>> {
        let call = self.iam.list_entities_for_policy().policy_arn(policy);
        let call = call.entity_filter(EntityType::Role).max_items(ITEMS_MOST);
        let mut pages = call.into_paginator().send();
        let mut names = BTreeSet::new();
        for _ in 0..PAGES_MOST {
            let Some(page) = pages.next().await else { break };
            let page = page.map_err(|e| unread("iam:ListEntitiesForPolicy", &e))?;
            names.extend(
                page.policy_roles
                    .into_iter()
                    .flatten()
                    .filter_map(|role| role.role_name),
            );
        }
        Ok(names)
    }

    async fn instance_profile(&self, name: &str) -> Read<Option<sdk::InstanceProfile>> {
        match self.iam.get_instance_profile().instance_profile_name(name).send().await {
            Ok(answer) => Ok(answer.instance_profile),
            Err(error) if code(&error) == Some("NoSuchEntity") => Ok(None),
            Err(error) => Err(unread("iam:GetInstanceProfile", &error)),
        }
    }

    /// Without its policies.
    async fn role(&self, name: &str) -> Read<Option<Role>> {
        match self.iam.get_role().role_name(name).send().await {
            Ok(answer) => answer.role.as_ref().map(read_role).transpose(),
            Err(error) if code(&error) == Some("NoSuchEntity") => Ok(None),
            Err(error) => Err(unread("iam:GetRole", &error)),
        }
    }

    /// Inline policies only where the attached ones do not suffice.
    async fn policies_of(&self, name: &str, role: &mut Role, partition: &str) -> Read<()> {
        let attached = self.iam.list_attached_role_policies().role_name(name).send().await;
        let attached = attached.map_err(|e| unread("iam:ListAttachedRolePolicies", &e))?;
        let attached = attached.attached_policies.unwrap_or_default().into_iter();
        role.attached_policies = attached.filter_map(|one| one.policy_arn).collect();
        if !role.attached_policies.contains(&for_instances(partition)) {
            let inline = self.iam.list_role_policies().role_name(name).send().await;
            role.inline_policies = inline.map_err(|e| unread("iam:ListRolePolicies", &e))?.policy_names;
        }
        Ok(())
    }

    /// The ARN of autotune's own role or user.
    pub(super) async fn principal(&self, principal: Principal) -> Read<String> {
        match principal {
            Principal::Caller => self.caller().await,
            Principal::Role(arn) => Ok(arn),
            Principal::Nobody => Err(failed(
                "whose to look at was not said: --role ARN names autotune's own role",
            )),
        }
    }

    /// What autotune's role may do, and which of these environments it may update. IAM evaluates the policies; nothing is called.
    pub(super) async fn survey_permissions(
        &self,
        caller: Read<String>,
        environments: &[ComputeEnvironment],
        queues: &[JobQueue],
    ) -> (Known<Vec<Permission>>, Known<Vec<String>>) {
        let caller = match caller {
            Ok(caller) => caller,
            Err(error) => return (Known::unread(error.message.clone()), Known::unread(error.message)),
        };
        let environments = environments.iter().map(|one| one.compute_environment_arn.clone());
        let environments = environments.collect();
        let queues = queues.iter().map(|one| one.job_queue_arn.clone()).collect();
        let (granted, updatable) = tokio::join!(
            self.granted(&caller, queues),
            self.decisions(&caller, &[UPDATE], environments)
        );
        (known(granted), known(updatable.and_then(updatable_of)))
    }

    /// The ARN whose policies count: of a role, not of its session.
    async fn caller(&self) -> Read<String> {
        let answer = self.sts.get_caller_identity().send().await;
        let arn = answer
            .map_err(|e| unread("sts:GetCallerIdentity", &e))?
            .arn
            .unwrap_or_default();
        let Some((_, session)) = arn.split_once(":assumed-role/") else {
            return Ok(arn);
        };
        let name = session.split('/').next().unwrap_or_default();
        let answer = self.iam.get_role().role_name(name).send().await;
        let role = answer.map_err(|e| unread("iam:GetRole", &e))?.role;
        role.map(|role| role.arn)
            .ok_or_else(|| failed(format!("iam:GetRole told nothing of role `{name}`")))
    }

    async fn granted(&self, caller: &str, queues: Vec<String>) -> Read<Vec<Permission>> {
        let names = |actions: &[(&'static str, &str)]| -> Vec<&str> { actions.iter().map(|(name, _)| *name).collect() };
        let mut decided = self.decisions(caller, &names(ANYWHERE), vec!["*".to_owned()]).await?;
        decided.extend(self.decisions(caller, &names(ON_QUEUES), queues).await?);
        let permission = |decision: Decision| {
            let all = ANYWHERE.iter().chain(ON_QUEUES);
            let needed_for = all
                .filter(|(name, _)| *name == decision.action)
                .map(|(_, why)| *why)
                .next();
            Permission {
                action: decision.action,
                resource: decision.resource,
                allowed: decision.allowed,
                needed_for: needed_for.unwrap_or_default().to_owned(),
            }
        };
        Ok(decided.into_iter().map(permission).collect())
    }

    /// What IAM decides about each action on each resource.
    async fn decisions(&self, caller: &str, actions: &[&str], resources: Vec<String>) -> Read<Vec<Decision>> {
        if resources.is_empty() {
            return Ok(Vec::new());
        }
        let names = actions.iter().map(|name| (*name).to_owned()).collect();
        let call = self
            .iam
            .simulate_principal_policy()
            .policy_source_arn(caller)
            .set_action_names(Some(names));
        let call = call.set_resource_arns(Some(resources));
        let mut pages = call.into_paginator().items().send();
        let mut decisions = Vec::new();
        while let Some(result) = pages.next().await {
            let result = result.map_err(|e| unread("iam:SimulatePrincipalPolicy", &e))?;
            decisions.extend(decisions_of(result));
        }
        Ok(decisions)
    }
}

/// What IAM says of one action on one resource.
#[derive(Clone, Debug, PartialEq)]
struct Decision {
    action: String,
    resource: String,
    allowed: Known<bool>,
}

fn decisions_of(result: EvaluationResult) -> Vec<Decision> {
    let action = result.eval_action_name;
    let each = result.resource_specific_results.unwrap_or_default();
    if each.is_empty() {
        return vec![Decision {
            action,
            resource: result.eval_resource_name.unwrap_or_else(|| "*".to_owned()),
            allowed: allowed(&result.eval_decision, result.missing_context_values.as_deref()),
        }];
    }
    let one = |one: ResourceSpecificResult| Decision {
        action: action.clone(),
        allowed: allowed(&one.eval_resource_decision, one.missing_context_values.as_deref()),
        resource: one.eval_resource_name,
    };
    each.into_iter().map(one).collect()
}

/// A denial that depends on what a real request would carry, such as tags, is none.
fn allowed(decision: &PolicyEvaluationDecisionType, missing: Option<&[String]>) -> Known<bool> {
    match missing {
        _ if *decision == PolicyEvaluationDecisionType::Allowed => Known::Known(true),
        Some(missing) if !missing.is_empty() => Known::unread(format!("it depends on {}", missing.join(", "))),
        _ => Known::Known(false),
    }
}

/// The resources that are allowed, if of none it is open.
fn updatable_of(decisions: Vec<Decision>) -> Read<Vec<String>> {
    let mut updatable = Vec::new();
    for decision in decisions {
        match decision.allowed {
            Known::Known(true) => updatable.push(decision.resource),
            Known::Known(false) => {}
            Known::Unread { why } => {
                return Err(failed(format!(
                    "whether {} may be updated is open: {why}",
                    decision.resource
                )));
            }
        }
    }
    Ok(updatable)
}

/// Without its policies.
fn read_role(told: &sdk::Role) -> Read<Role> {
    let trusted = told
        .assume_role_policy_document
        .as_deref()
        .map(trusted_services)
        .transpose();
    let trusted = trusted.map_err(|why| failed(format!("the trust policy of role `{}` {why}", told.role_name)))?;
    Ok(Role {
        arn: told.arn.clone(),
        trusted_services: trusted.unwrap_or_default(),
        ..Role::default()
    })
}

/// What the ECS agent needs.
fn for_instances(partition: &str) -> String {
    format!("arn:{partition}:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role")
}

/// Services that a trust policy names. IAM hands the document out percent-encoded.
fn trusted_services(document: &str) -> Result<Vec<String>, String> {
    let text = percent_encoding::percent_decode_str(document).decode_utf8();
    let text = text.map_err(|error| format!("is no text: {error}"))?;
    let document: Value = serde_json::from_str(&text).map_err(|error| format!("is not JSON: {error}"))?;
    let mut services = BTreeSet::new();
    for statement in one_or_many(&document["Statement"]) {
        if statement["Effect"] == "Allow" {
            let named = one_or_many(&statement["Principal"]["Service"]);
            services.extend(named.iter().filter_map(Value::as_str).map(str::to_owned));
        }
    }
    Ok(services.into_iter().collect())
}

/// Policies may have one value where a list could be.
fn one_or_many(value: &Value) -> &[Value] {
    match value {
        Value::Array(many) => many,
        Value::Null => &[],
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => std::slice::from_ref(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_that_depends_on_the_request_is_none() {
        use PolicyEvaluationDecisionType::{Allowed, ImplicitDeny};
        let result = |decision: PolicyEvaluationDecisionType, missing: &[&str]| {
            let missing = missing.iter().map(ToString::to_string).collect();
            EvaluationResult::builder()
                .eval_action_name(UPDATE)
                .eval_resource_name("arn")
                .eval_decision(decision)
                .set_missing_context_values(Some(missing))
                .build()
                .unwrap()
        };
        let updatable = |result| updatable_of(decisions_of(result));
        assert_eq!(updatable(result(Allowed, &[])).unwrap(), ["arn"]);
        assert_eq!(updatable(result(ImplicitDeny, &[])).unwrap(), Vec::<String>::new());
        let open = updatable(result(ImplicitDeny, &["aws:ResourceTag/autotune"])).unwrap_err();
        assert!(open.message.contains("aws:ResourceTag/autotune"), "{open}");
    }

    #[test]
    fn trust_policies_name_services_in_every_form_that_iam_allows() {
        let cases = [
            (
                r#"{"Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"}}]}"#,
                vec!["ec2.amazonaws.com"],
            ),
            (
                r#"{"Statement":{"Effect":"Allow","Principal":{"Service":["b.amazonaws.com","a.amazonaws.com"]}}}"#,
                vec!["a.amazonaws.com", "b.amazonaws.com"],
            ),
            (
                r#"{"Statement":[{"Effect":"Deny","Principal":{"Service":"ec2.amazonaws.com"}}]}"#,
                vec![],
            ),
            (r#"{"Statement":[{"Effect":"Allow","Principal":"*"}]}"#, vec![]),
            (
                "%7B%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%7B%22Service%22%3A%22x.amazonaws.com%22%7D%7D%5D%7D",
                vec!["x.amazonaws.com"],
            ),
        ];
        for (document, expected) in cases {
            assert_eq!(trusted_services(document).unwrap(), expected, "{document}");
        }
        assert!(trusted_services("no").is_err());
    }
}
