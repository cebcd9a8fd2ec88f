//! Launches that EC2 refused to a Spot fleet, behind environments of Spot instances with `BEST_FIT`.
//!
//! No API says whose a fleet is. That AWS Batch names the ECS cluster of the environment in what the fleet launches (the user data,
//! which makes instances join that cluster, or a tag) is inferred; the cluster's name is unique, so a fleet is at most taken for
//! nobody's. A fleet that names only a launch template of Batch's own is one of those.

use std::sync::Arc;

use aws_sdk_ec2::types::{
    EventType, HistoryRecord, SpotFleetRequestConfig, SpotFleetRequestConfigData, SpotFleetTagSpecification,
};
use aws_smithy_types::{DateTime, base64};

use crate::aws::Aws;
use crate::aws::errors::unread;
use crate::aws::launches::LISTED_FOR;
use crate::daemon::cloud::{EnvironmentRead, FailedLaunch, LaunchSource, Read};
use crate::units::Time;

/// So many pages of fleets, a thousand each.
const PAGES_MOST: usize = 3;
/// Names that Spot fleets have for what has a code of EC2.
const KNOWN: [(&str, &str); 1] = [("spotInstanceCountLimitExceeded", "MaxSpotInstanceCountExceeded")];

/// A Spot fleet, and all that it says of what it launches.
#[derive(Clone, Debug, Default)]
pub(super) struct Fleet {
    id: String,
    says: Vec<String>,
}

impl Aws {
    /// Of the first thousand errors since then.
    pub(super) async fn failed_in_fleets(&self, environment: &EnvironmentRead, since: Time) -> Read<Vec<FailedLaunch>> {
        let Some(cluster) = environment.cluster.as_deref() else {
            return Ok(Vec::new());
        };
        let cluster = cluster.rsplit('/').next().unwrap_or(cluster);
        let listing = async { self.list_fleets().await.map(Arc::new) };
        let all = self.fleets.get(self.clock.now(), |_| LISTED_FOR, listing).await?;
        let mut failed = Vec::new();
        for fleet in all.iter().filter(|fleet| fleet.launches_for(cluster)) {
            let call = self.ec2.describe_spot_fleet_request_history();
            let call = call.spot_fleet_request_id(&fleet.id).event_type(EventType::Error);
            let start = DateTime::from_millis(since.millis());
            let answer = call.start_time(start).max_results(1_000).send().await;
            if answer.is_err() {
                self.forget_groups(); // it may be gone
            }
            let answer = answer.map_err(|e| unread("ec2:DescribeSpotFleetRequestHistory", &e))?;
            let launches = answer.history_records().iter().filter_map(failed_launch);
            failed.extend(launches.filter(|launch| launch.at > since));
        }
        Ok(failed)
    }

    async fn list_fleets(&self) -> Read<Vec<Fleet>> {
        let call = self.ec2.describe_spot_fleet_requests().max_results(1_000);
        let mut pages = call.into_paginator().send();
        let mut fleets = Vec::new();
        for _ in 0..PAGES_MOST {
            let Some(page) = pages.next().await else { break };
            let page = page.map_err(|e| unread("ec2:DescribeSpotFleetRequests", &e))?;
            fleets.extend(page.spot_fleet_request_configs().iter().map(fleet));
            if page.next_token.is_none_or(|token| token.is_empty()) {
                break;
            }
        }
        Ok(fleets)
    }
}

impl Fleet {
    /// Whether it names this cluster, and not only one with a longer name.
    fn launches_for(&self, cluster: &str) -> bool {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let names = |text: &String| {
            text.match_indices(cluster).any(|(at, found)| {
                let before = text.get(..at).and_then(|text| text.chars().next_back());
                let after = text.get(at + found.len()..).and_then(|text| text.chars().next());
                !before.is_some_and(is_part) && !after.is_some_and(is_part)
            })
        };
        !cluster.is_empty() && self.says.iter().any(names)
    }
}

fn fleet(request: &SpotFleetRequestConfig) -> Fleet {
    let mut says: Vec<String> = request.tags().iter().filter_map(|tag| tag.value.clone()).collect();
    let config = request.spot_fleet_request_config.iter();
    for launched in config.flat_map(SpotFleetRequestConfigData::launch_specifications) {
        let user_data = launched.user_data.as_deref().and_then(|data| base64::decode(data).ok());
        says.extend(user_data.map(|data| String::from_utf8_lossy(&data).into_owned()));
        let tags = launched
            .tag_specifications()
            .iter()
            .flat_map(SpotFleetTagSpecification::tags);
        says.extend(tags.filter_map(|tag| tag.value.clone()));
    }
    Fleet {
        id: request.spot_fleet_request_id.clone().unwrap_or_default(),
        says,
    }
}

fn failed_launch(record: &HistoryRecord) -> Option<FailedLaunch> {
    let at = Time::from_millis(record.timestamp.as_ref()?.to_millis().ok()?);
    let event = record.event_information.as_ref();
    let told = event.and_then(|event| event.event_sub_type.clone()).unwrap_or_default();
    let words = event
        .and_then(|event| event.event_description.clone())
        .unwrap_or_default();
    let known = KNOWN.iter().find(|(name, _)| *name == told);
    Some(FailedLaunch {
        at,
        message: if words.is_empty() { told.clone() } else { words },
        code: known.map_or(told, |(_, code)| (*code).to_owned()),
        quota: None,
        source: LaunchSource::SpotFleet,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::replay::{Replay, Reply, ec2_xml};
    use crate::daemon::cloud::Cloud as _;

    const CLUSTER: &str = "AWSBatch-spot-1c5a2b3d-0e4f-4a6b-8c7d-9e0f1a2b3c4d_Batch_5e6f7a8b";

    #[test]
    fn a_fleet_is_that_of_the_cluster_which_it_names_whole() {
        for (says, expected) in [
            (format!("ECS_CLUSTER={CLUSTER}"), true),
            (format!("echo ECS_CLUSTER={CLUSTER}>>/etc/ecs/ecs.config\n"), true),
            (CLUSTER.to_owned(), true),
            (format!("ECS_CLUSTER={CLUSTER}9"), false),
            (format!("ECS_CLUSTER=x{CLUSTER}"), false),
            ("spot".to_owned(), false),
        ] {
            let fleet = Fleet {
                says: vec![says.clone()],
                ..Fleet::default()
            };
            assert_eq!(fleet.launches_for(CLUSTER), expected, "{says}");
            assert!(!fleet.launches_for(""));
        }
    }

    #[tokio::test]
    async fn launches_that_a_spot_fleet_could_not_make_are_those_of_its_environment() {
        const GROUPS: &str = "<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult><AutoScalingGroups/>\
            </DescribeAutoScalingGroupsResult></DescribeAutoScalingGroupsResponse>";
        let fleets = Reply::Made(ec2_xml("describe-spot-fleet-requests"));
        let history = || Reply::Made(ec2_xml("describe-spot-fleet-request-history"));
        let replies = [fleets, history(), Reply::Text(GROUPS), history()];
        let (aws, replay) = Replay::account(&replies);
        let spot = EnvironmentRead {
            name: "spot".to_owned(),
            cluster: Some(format!("arn:aws:ecs:eu-central-1:111122223333:cluster/{CLUSTER}")),
            spot_fleet: true,
            ..EnvironmentRead::default()
        };
        let since = Time::parse("2026-06-21T00:00:00Z").unwrap();
        for calls in [3, 4] {
            let failed = aws.failed_launches(&spot, since).await.unwrap();
            let codes: Vec<_> = failed.iter().map(|one| (one.code.as_str(), one.source)).collect();
            assert_eq!(
                codes,
                [
                    ("MaxSpotInstanceCountExceeded", LaunchSource::SpotFleet),
                    ("allLaunchSpecsTemporarilyBlacklisted", LaunchSource::SpotFleet)
                ]
            );
            assert_eq!(replay.asked().len(), calls, "fleets and groups are listed once");
        }
        let asked = &replay.asked()[1].text;
        assert!(
            asked.contains("SpotFleetRequestId=sfr-ours") && asked.contains("EventType=error"),
            "{asked}"
        );
    }
}
