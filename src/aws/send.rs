//! The one call that changes capacity, and tags.

use std::fmt::Write as _;

use aws_sdk_batch::types::ComputeResourceUpdate;

use crate::aws::Aws;
use crate::aws::errors::{unread, update_refused};
use crate::control::Outcome;
use crate::daemon::cloud::{Answer, Read, Tagged};
use crate::observation::GapReason;
use crate::planner::plan::Change;
use crate::units::Vcpus;

impl Aws {
    /// One UpdateComputeEnvironment with nothing but scaling fields, attempted once. Any other field would make it an
    /// infrastructure update, which replaces instances.
    pub(super) async fn update(&self, environment: &str, change: &Change) -> Answer {
        if *change == Change::default() {
            return Answer {
                outcome: Outcome::Failed,
                message: "nothing to change; expected minvCpus, desiredvCpus or maxvCpus".to_owned(),
            };
        }
        let resources = ComputeResourceUpdate::builder()
            .set_minv_cpus(change.min_vcpus.map(count))
            .set_desiredv_cpus(change.desired_vcpus.map(count))
            .set_maxv_cpus(change.max_vcpus.map(count))
            .build();
        let answer = self
            .batch_once
            .update_compute_environment()
            .compute_environment(environment)
            .compute_resources(resources)
            .send()
            .await;
        match answer {
            Ok(_) => Answer {
                outcome: Outcome::Accepted,
                message: String::new(),
            },
            Err(error) => {
                let (outcome, message) = update_refused(&error);
                Answer { outcome, message }
            }
        }
    }

    /// Sets or removes a tag. Needs no permission but for that: the ARN is made of what everybody may ask.
    pub(super) async fn set_tag(&self, subject: &Tagged, key: &str, value: Option<&str>) -> Read<()> {
        let arn = self.arn_of(subject).await?;
        let failed = if let Some(value) = value {
            let call = self.batch.tag_resource().resource_arn(&arn).tags(key, value);
            call.send().await.err().map(|e| unread("batch:TagResource", &e))
        } else {
            let call = self.batch.untag_resource().resource_arn(&arn).tag_keys(key);
            call.send().await.err().map(|e| unread("batch:UntagResource", &e))
        };
        let Some(mut failed) = failed else {
            return Ok(());
        };
        if failed.why == GapReason::Failed {
            let _ = write!(failed.message, "; hint: is there a {arn}?");
        }
        Err(failed)
    }

    async fn arn_of(&self, subject: &Tagged) -> Read<String> {
        let (kind, name) = match subject {
            Tagged::Environment(name) => ("compute-environment", name),
            Tagged::Queue(name) => ("job-queue", name),
        };
        let caller = self.sts.get_caller_identity().send().await;
        let caller = caller.map_err(|e| unread("sts:GetCallerIdentity", &e))?;
        // `aws`, or another in China and in the clouds of governments.
        let partition = caller.arn().and_then(|arn| arn.split(':').nth(1)).unwrap_or("aws");
        let account = caller.account().unwrap_or_default();
        Ok(format!("arn:{partition}:batch:{}:{account}:{kind}/{name}", self.region))
    }
}

/// As the service counts vCPUs.
fn count(vcpus: Vcpus) -> i32 {
    i32::try_from(vcpus.get()).unwrap_or(i32::MAX)
}
