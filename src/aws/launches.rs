//! Launches that EC2 refused, as Auto Scaling tells them: AWS Batch itself says nothing of a service quota that is used up.

use std::sync::Arc;

use aws_sdk_autoscaling::types::{Activity, Filter, ScalingActivityStatusCode};

use crate::aws::Aws;
use crate::aws::errors::unread;
use crate::daemon::cloud::{EnvironmentRead, FailedLaunch, LaunchSource, Read};
use crate::units::{Span, Time};

/// Until the topology is read again, which forgets them.
pub(super) const LISTED_FOR: Span = Span::from_minutes(24 * 60);

/// AWS Batch tags what it makes.
const MADE_BY_BATCH: &str = "AWSBatchServiceTag";
/// What it says on refusal, in words without a code, and EC2's code for it.
const KNOWN: [(&str, &str); 2] = [
    ("more vCPU capacity than your current vCPU limit", "VcpuLimitExceeded"),
    ("Max spot instance count exceeded", "MaxSpotInstanceCountExceeded"),
];

impl Aws {
    /// Of the newest hundred activities of each group, and of the history of a Spot fleet.
    pub(super) async fn read_failed_launches(
        &self,
        environment: &EnvironmentRead,
        since: Time,
    ) -> Read<Vec<FailedLaunch>> {
        let mut failed = Vec::new();
        if environment.spot_fleet {
            failed.extend(self.failed_in_fleets(environment, since).await?);
        }
        for group in self.groups_of(&environment.name).await? {
            let filter = |name: &str, value: String| Filter::builder().name(name).values(value).build();
            let call = self
                .autoscaling
                .describe_scaling_activities()
                .auto_scaling_group_name(group);
            let call = call.filters(filter("Status", "Failed".to_owned()));
            let answer = call
                .filters(filter("StartTimeLowerBound", since.to_string()))
                .send()
                .await;
            if answer.is_err() {
                self.forget_groups(); // one may be gone
            }
            let answer = answer.map_err(|e| unread("autoscaling:DescribeScalingActivities", &e))?;
            let activities = answer.activities.unwrap_or_default();
            failed.extend(
                activities
                    .iter()
                    .filter_map(failed_launch)
                    .filter(|launch| launch.at > since),
            );
        }
        Ok(failed)
    }

    /// The next reading lists the groups anew: Batch makes them with the environment, and others with an infrastructure update.
    pub(super) fn forget_groups(&self) {
        self.groups.forget();
        self.fleets.forget();
    }

    /// The Auto Scaling groups that AWS Batch made for an environment. All are listed by whoever asks first.
    async fn groups_of(&self, environment: &str) -> Read<Vec<String>> {
        let listing = async { self.groups_of_batch().await.map(Arc::new) };
        let all = self.groups.get(self.clock.now(), |_| LISTED_FOR, listing).await?;
        let own = all.iter().filter(|group| is_of(group, environment));
        Ok(own.cloned().collect())
    }

    async fn groups_of_batch(&self) -> Read<Vec<String>> {
        let filter = Filter::builder().name("tag-key").values(MADE_BY_BATCH).build();
        let call = self.autoscaling.describe_auto_scaling_groups().filters(filter);
        let mut pages = call.into_paginator().items().send();
        let mut groups = Vec::new();
        while let Some(group) = pages.next().await {
            let group = group.map_err(|e| unread("autoscaling:DescribeAutoScalingGroups", &e))?;
            groups.extend(group.auto_scaling_group_name);
        }
        Ok(groups)
    }
}

/// The API does not say whose a group is. Its name begins with that of the environment: `AWSBatch-NAME-asg-` and an id. The rest
/// must not be that of an environment with a longer name.
fn is_of(group: &str, environment: &str) -> bool {
    let rest = group
        .strip_prefix("AWSBatch-")
        .and_then(|rest| rest.strip_prefix(environment));
    let Some(rest) = rest.and_then(|rest| rest.strip_prefix('-')) else {
        return false;
    };
    let id = rest.strip_prefix("asg-").unwrap_or(rest);
    id.len() >= 32 && id.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

fn failed_launch(activity: &Activity) -> Option<FailedLaunch> {
    if activity.status_code != Some(ScalingActivityStatusCode::Failed) {
        return None;
    }
    let message = activity.status_message.clone().unwrap_or_default();
    let at = activity.start_time.as_ref()?.to_millis().ok()?;
    Some(FailedLaunch {
        at: Time::from_millis(at),
        code: code(&message),
        message,
        quota: None,
        source: LaunchSource::AutoScaling,
    })
}

/// EC2's code: of its sentence, else a word of its form that stands before a hyphen or colon.
fn code(message: &str) -> String {
    if let Some((_, code)) = KNOWN.iter().find(|(sentence, _)| message.contains(sentence)) {
        return (*code).to_owned();
    }
    let is_code = |word: &&str| {
        word.len() > 4
            && word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.chars().skip(1).any(|c| c.is_ascii_uppercase())
            && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')
    };
    let mut parts = message.split([':', ' ']).zip(message.split([':', ' ']).skip(1));
    let named = parts.find(|(word, next)| is_code(word) && (next.is_empty() || *next == "-"));
    named.map(|(word, _)| word.to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::replay::{Replay, Reply, query_xml};
    use crate::daemon::cloud::Cloud as _;

    const ID: &str = "1c5a2b3d-0e4f-4a6b-8c7d-9e0f1a2b3c4d";

    #[test]
    fn a_group_belongs_to_the_environment_that_its_name_says_and_to_no_longer_one() {
        for (group, environment, expected) in [
            (format!("AWSBatch-spot-asg-{ID}"), "spot", true),
            (format!("AWSBatch-spot-{ID}"), "spot", true),
            (format!("AWSBatch-spot-large-asg-{ID}"), "spot", false),
            (format!("AWSBatch-spot-large-asg-{ID}"), "spot-large", true),
            (format!("web-spot-asg-{ID}"), "spot", false),
            ("AWSBatch-spot-asg-".to_owned(), "spot", false),
        ] {
            assert_eq!(is_of(&group, environment), expected, "{group} of {environment}");
        }
    }

    #[test]
    fn codes_are_found_in_the_words_of_auto_scaling() {
        for (message, expected) in [
            (
                "You have requested more vCPU capacity than your current vCPU limit of 64 allows for the instance bucket that \
                 the specified instance type belongs to. Launching EC2 instance failed.",
                "VcpuLimitExceeded",
            ),
            (
                "Could not launch Spot Instances. MaxSpotInstanceCountExceeded - Max spot instance count exceeded. Launching \
                 EC2 instance failed.",
                "MaxSpotInstanceCountExceeded",
            ),
            (
                "Could not launch Spot Instances. UnfulfillableCapacity - Unable to fulfill capacity due to your request \
                 configuration. Launching EC2 instance failed.",
                "UnfulfillableCapacity",
            ),
            (
                "InsufficientInstanceCapacity: there is none",
                "InsufficientInstanceCapacity",
            ),
            ("Launching EC2 instance failed.", ""),
            ("", ""),
        ] {
            assert_eq!(code(message), expected, "{message}");
        }
    }

    #[tokio::test]
    async fn refused_launches_are_those_that_failed_since_in_groups_of_the_environment() {
        let groups = || Reply::Made(query_xml("describe-auto-scaling-groups"));
        let activities = || Reply::Made(query_xml("describe-scaling-activities"));
        let refused = Reply::Error(400, "ValidationError", "Group name not found");
        let replies = [groups(), activities(), activities(), refused, groups(), activities()];
        let (aws, replay) = Replay::account(&replies);
        let spot = EnvironmentRead {
            name: "spot".to_owned(),
            ..EnvironmentRead::default()
        };
        let since = Time::parse("2026-06-21T00:00:00Z").unwrap();
        let failed = aws.failed_launches(&spot, since).await.unwrap();
        assert_eq!(failed.len(), 1, "{failed:?}");
        assert_eq!(failed[0].code, "MaxSpotInstanceCountExceeded");
        assert_eq!(failed[0].at, Time::parse("2026-06-21T00:10:00Z").unwrap());
        aws.failed_launches(&spot, since).await.unwrap();
        assert_eq!(replay.asked().len(), 3, "groups are listed once");
        aws.failed_launches(&spot, since).await.unwrap_err();
        aws.failed_launches(&spot, since).await.unwrap();
        assert_eq!(replay.asked().len(), 6, "after trouble they are listed anew");
    }
}
