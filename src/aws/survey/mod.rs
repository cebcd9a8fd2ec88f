//! What `autotune check` reads: the account as AWS describes it, each part read or with the reason why it was not.
//!
//! Things are asked for once, however many environments name them, and many at a time where the service allows it: ten
//! environments take at most sixty requests.

mod around;
mod batch;
mod discovery;
mod identities;
mod places;
mod templates;
#[cfg(test)]
pub(super) mod tests;
mod trail;

use std::collections::{BTreeMap, BTreeSet};

use aws_smithy_types::DateTime;

use crate::account::survey::{
    Asked, ComputeEnvironment, Known, LaunchTemplateSpecification, Survey, Timestamp, VERSION, name_of,
};
use crate::aws::Aws;
use crate::aws::quota::STORAGE;
use crate::catalog::{Catalog, Purchase, quota_code};
use crate::daemon::cloud::{Principal, Read, Unread};
use crate::units::Time;

/// Up to so many things of a kind are asked for one by one; of more, all of the account are listed.
const FEW: usize = 3;
/// Pages of such a list: an account with more is asked for each thing after all.
const PAGES_MOST: usize = 3;

impl Aws {
    /// Everything that rules look at. Fails only where not even the account is known: whatever else cannot be read is said in
    /// its place.
    pub(super) async fn read_survey(&self, sqs_queues: &[String], principal: Principal) -> Read<Survey> {
        let identity = self.who().await?;
        let (mut compute_environments, job_queues) = tokio::join!(self.survey_environments(), self.survey_queues());
        let (now, caller) = (self.clock.now(), self.principal(principal).await);
        let trail = self.survey_trail(&mut compute_environments, &caller, now).await;
        let environments = compute_environments.read().map_or(&[][..], Vec::as_slice);
        let queues = job_queues.read().map_or(&[][..], Vec::as_slice);
        let named = Named::of(environments, self.guard_role());
        let policies = queues.iter().filter_map(|queue| queue.scheduling_policy_arn.clone());
        let policies = policies.collect();
        let (definitions, scheduling_policies, (launch_templates, images), instance_types, offerings) = tokio::join!(
            self.survey_definitions(queues),
            self.survey_scheduling_policies(policies),
            self.survey_templates(&named),
            self.survey_types(&named.types),
            self.survey_offerings(&named.types),
        );
        let (job_definitions, cut_definitions) = definitions;
        let partition = partition(environments);
        let (subnets, (instance_profiles, roles), quotas, guard, event_rules, written) = tokio::join!(
            self.survey_subnets(&named.subnets),
            self.survey_identities(&named, partition),
            self.survey_quotas(&named.quotas),
            self.survey_guard(),
            self.survey_event_rules(&identity, partition),
            self.survey_schedules(),
        );
        let ((permissions, may_update), sqs_queues) = tokio::join!(
            self.survey_permissions(caller, environments, queues),
            self.survey_sqs(sqs_queues),
        );
        let cut = [("job_definitions", cut_definitions), ("schedules", written.cut)];
        let cut = cut
            .into_iter()
            .chain([("writers", trail.cut)])
            .filter_map(|(part, cut)| Some((part.to_owned(), cut?)));
        Ok(Survey {
            version: VERSION,
            taken_at: Some(Timestamp(now)),
            account: identity.account,
            region: identity.region,
            compute_environments,
            job_queues,
            scheduling_policies,
            job_definitions,
            launch_templates,
            images,
            instance_types,
            offerings,
            subnets,
            instance_profiles,
            roles,
            quotas,
            // Not the account's: whoever knows the settings says so.
            tag: None,
            bases: written.bases,
            guard,
            event_rules,
            schedules: written.schedules,
            writers: trail.writers,
            permissions,
            may_update,
            sqs_queues,
            cut: cut.collect(),
        })
    }
}

/// What environments name, each once.
#[derive(Debug, Default)]
struct Named {
    templates: Vec<LaunchTemplateSpecification>,
    images: BTreeSet<String>,
    /// Types, families and words, as the environments have them.
    types: BTreeSet<String>,
    subnets: BTreeSet<String>,
    profiles: BTreeSet<String>,
    /// Roles of which only the trust counts,
    roles: BTreeSet<String>,
    /// and those whose policies count too.
    fleet_roles: BTreeSet<String>,
    quotas: BTreeSet<String>,
}

impl Named {
    fn of(environments: &[ComputeEnvironment], guard_role: Option<&str>) -> Self {
        let mut named = Self::default();
        named.roles.extend(guard_role.map(|role| name_of(role).to_owned()));
        if environments
            .iter()
            .any(|environment| environment.compute_resources.is_some())
        {
            named.quotas.extend(STORAGE.map(str::to_owned));
        }
        for environment in environments {
            let role = environment.service_role.as_deref().filter(|role| !role.is_empty());
            // The service-linked role is as AWS wants it.
            let role = role.map(name_of).filter(|role| *role != "AWSServiceRoleForBatch");
            named.roles.extend(role.map(str::to_owned));
            let Some(resources) = &environment.compute_resources else {
                continue;
            };
            named.templates.extend(resources.launch_template.clone());
            named.images.extend(resources.image_id.clone());
            let overridden = resources.ec2_configuration.iter();
            named
                .images
                .extend(overridden.filter_map(|one| one.image_id_override.clone()));
            named.types.extend(resources.instance_types.iter().cloned());
            named.subnets.extend(resources.subnets.iter().cloned());
            let profile = resources.instance_role.as_deref();
            named
                .profiles
                .extend(profile.map(|profile| name_of(profile).to_owned()));
            let fleet = resources.spot_iam_fleet_role.as_deref();
            named.fleet_roles.extend(fleet.map(|role| name_of(role).to_owned()));
            let purchase = match resources.r#type.as_str() {
                "SPOT" => Purchase::Spot,
                "EC2" => Purchase::OnDemand,
                _ => continue,
            };
            for name in &resources.instance_types {
                let known = Catalog::bundled()
                    .expand(std::slice::from_ref(name))
                    .unwrap_or_default();
                let codes = known.iter().filter_map(|one| quota_code(&one.name, purchase));
                named.quotas.extend(codes.map(str::to_owned));
            }
        }
        named
    }
}

/// `aws`, or that of another world, as ARNs have it.
fn partition(environments: &[ComputeEnvironment]) -> &str {
    let first = environments.first();
    let arn = first.map_or("", |environment| environment.compute_environment_arn.as_str());
    arn.split(':').nth(1).unwrap_or("aws")
}

/// What is said of a part that could not be read.
fn known<T>(read: Read<T>) -> Known<T> {
    match read {
        Ok(value) => Known::Known(value),
        Err(Unread { message, .. }) => Known::unread(message),
    }
}

/// What was told of names that were asked for in one request: those that are missing are not there.
fn each<T>(names: &BTreeSet<String>, told: Read<BTreeMap<String, T>>) -> Asked<T> {
    match told {
        Ok(mut told) => {
            let found = names.iter().map(|name| (name.clone(), Known::Known(told.remove(name))));
            found.collect()
        }
        Err(Unread { message, .. }) => names
            .iter()
            .map(|name| (name.clone(), Known::unread(message.clone())))
            .collect(),
    }
}

fn timestamp(time: Option<DateTime>) -> Option<Timestamp> {
    time?
        .to_millis()
        .ok()
        .map(|millis| Timestamp(Time::from_millis(millis)))
}

fn text<T: AsRef<str>>(value: Option<&T>) -> String {
    value.map(|value| value.as_ref().to_owned()).unwrap_or_default()
}
