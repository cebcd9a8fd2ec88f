//! Roles and instance profiles, and what the caller may do.

use std::collections::BTreeSet;

use aws_sdk_iam::types::{EvaluationResult, PolicyEvaluationDecisionType, ResourceSpecificResult};
use serde_json::Value;

use super::known;
use crate::account::survey::{Asked, InstanceProfile, Known, Permission, Role};
use crate::aws::Aws;
use crate::aws::errors::{code, failed, unread};
use crate::daemon::cloud::Read;

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
];
const ON_QUEUES: &[(&str, &str)] = &[("batch:GetJobQueueSnapshot", "to see the head of a job queue")];
const UPDATE: &str = "batch:UpdateComputeEnvironment";

impl Aws {
    pub(super) async fn survey_identities(
        &self,
        profiles: &BTreeSet<String>,
        roles: &BTreeSet<String>,
    ) -> (Asked<InstanceProfile>, Asked<Role>) {
        let mut found = Asked::new();
        let mut names = roles.clone();
        for profile in profiles {
            let told = known(self.instance_profile(profile).await);
            if let Ok(Some(there)) = told.read() {
                names.extend(there.roles.iter().cloned());
            } else if matches!(told.read(), Ok(None)) {
                // Perhaps the name of a role, where that of a profile belongs.
                names.insert(profile.clone());
            }
            found.insert(profile.clone(), told);
        }
        let mut all = Asked::new();
        for name in names {
            let role = known(self.role(&name).await);
            all.insert(name, role);
        }
        (found, all)
    }

    async fn instance_profile(&self, name: &str) -> Read<Option<InstanceProfile>> {
        match self.iam.get_instance_profile().instance_profile_name(name).send().await {
            Ok(answer) => Ok(answer.instance_profile.map(|profile| InstanceProfile {
                arn: profile.arn,
                roles: profile.roles.into_iter().map(|role| role.role_name).collect(),
            })),
            Err(error) if code(&error) == Some("NoSuchEntity") => Ok(None),
            Err(error) => Err(unread("iam:GetInstanceProfile", &error)),
        }
    }

    async fn role(&self, name: &str) -> Read<Option<Role>> {
        let role = match self.iam.get_role().role_name(name).send().await {
            Ok(answer) => answer.role,
            Err(error) if code(&error) == Some("NoSuchEntity") => return Ok(None),
            Err(error) => return Err(unread("iam:GetRole", &error)),
        };
        let Some(role) = role else { return Ok(None) };
        let attached = self.iam.list_attached_role_policies().role_name(name);
        let inline = self.iam.list_role_policies().role_name(name);
        let (attached, inline) = tokio::join!(attached.send(), inline.send());
        let attached = attached.map_err(|e| unread("iam:ListAttachedRolePolicies", &e))?;
        let inline = inline.map_err(|e| unread("iam:ListRolePolicies", &e))?;
        let attached = attached.attached_policies.unwrap_or_default().into_iter();
        let document = role.assume_role_policy_document.as_deref();
        let trusted = document.map(trusted_services).transpose();
        Ok(Some(Role {
            arn: role.arn,
            trusted_services: trusted
                .map_err(|why| failed(format!("the trust policy of role `{name}` {why}")))?
                .unwrap_or_default(),
            attached_policies: attached.filter_map(|one| one.policy_arn).collect(),
            inline_policies: inline.policy_names,
        }))
    }

    /// What the caller may do, and which of these environments it may update. IAM evaluates the policies; nothing is called.
    pub(super) async fn survey_permissions(
        &self,
        environments: Vec<String>,
        queues: Vec<String>,
    ) -> (Known<Vec<Permission>>, Known<Vec<String>>) {
        let caller = match self.caller().await {
            Ok(caller) => caller,
            Err(error) => return (Known::unread(error.message.clone()), Known::unread(error.message)),
        };
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
