//! The one call that changes capacity, and tags.

use aws_sdk_batch::types::ComputeResourceUpdate;

use crate::aws::Aws;
use crate::aws::errors::{failed, unread, update_refused};
use crate::control::Outcome;
use crate::daemon::cloud::{Answer, Read, Tagged};
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

    /// Sets or removes a tag.
    pub(super) async fn set_tag(&self, subject: &Tagged, key: &str, value: Option<&str>) -> Read<()> {
        let arn = self.arn_of(subject).await?;
        if let Some(value) = value {
            let call = self.batch.tag_resource().resource_arn(arn).tags(key, value);
            call.send().await.map_err(|e| unread("batch:TagResource", &e))?;
        } else {
            let call = self.batch.untag_resource().resource_arn(arn).tag_keys(key);
            call.send().await.map_err(|e| unread("batch:UntagResource", &e))?;
        }
        Ok(())
    }

    async fn arn_of(&self, subject: &Tagged) -> Read<String> {
        let (kind, name) = match subject {
            Tagged::Environment(name) => ("compute environment", name),
            Tagged::Queue(name) => ("job queue", name),
        };
        if let Some(arn) = self.known_arn(subject) {
            return Ok(arn);
        }
        let names = std::slice::from_ref(name);
        match subject {
            Tagged::Environment(_) => drop(self.describe_environments(names).await?),
            Tagged::Queue(_) => drop(self.describe_queues(names).await?),
        }
        self.known_arn(subject)
            .ok_or_else(|| failed(format!("there is no {kind} `{name}` in {}", self.region)))
    }
}

/// As the service counts vCPUs.
fn count(vcpus: Vcpus) -> i32 {
    i32::try_from(vcpus.get()).unwrap_or(i32::MAX)
}
