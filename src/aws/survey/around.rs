//! What is around AWS Batch: quotas, the guard, wake-ups, schedules, SQS queues.

use std::collections::BTreeSet;

use serde_json::Value;

use super::known;
use crate::account::survey::{Asked, EventRule, Guard, Known, Quota, ScheduleTarget, Schedules, SqsQueue, name_of};
use crate::aws::Aws;
use crate::aws::errors::{code, unread};
use crate::aws::guard::TARGET;
use crate::daemon::cloud::{Identity, Read};

/// Rules and schedules that are looked at: more than these nobody reads.
const MOST: usize = 20;

impl Aws {
    pub(super) async fn survey_quotas(&self, codes: &BTreeSet<String>) -> Asked<Quota> {
        let mut found = Asked::new();
        for code in codes {
            let quota = known(self.survey_quota(code).await);
            found.insert(code.clone(), quota);
        }
        found
    }

    async fn survey_quota(&self, code: &str) -> Read<Option<Quota>> {
        let limit = self.limit_of(code).await?;
        let used = self.use_of(&limit.found, code).await;
        Ok(Some(Quota {
            value: limit.value,
            applied: limit.applied,
            used: known(used.map(crate::units::Vcpus::get)),
        }))
    }

    pub(super) async fn survey_guard(&self) -> Known<Option<Guard>> {
        let Some(settings) = &self.settings.guard else {
            return Known::Known(None);
        };
        let group_exists = match self.scheduler.get_schedule_group().name(&settings.group).send().await {
            Ok(_) => Known::Known(true),
            Err(error) if code(&error) == Some("ResourceNotFoundException") => Known::Known(false),
            Err(error) => Known::unread(unread("scheduler:GetScheduleGroup", &error).message),
        };
        Known::Known(Some(Guard {
            group: settings.group.clone(),
            group_exists,
            role_arn: settings.role_arn.clone(),
        }))
    }

    /// Without an SQS queue for wake-ups no rule reaches us.
    pub(super) async fn survey_event_rules(&self, identity: &Identity, partition: &str) -> Known<Vec<EventRule>> {
        let Some(url) = &self.settings.events_queue_url else {
            return Known::Known(Vec::new());
        };
        let arn = format!(
            "arn:{partition}:sqs:{}:{}:{}",
            identity.region,
            identity.account,
            name_of(url)
        );
        known(self.event_rules(&arn).await)
    }

    async fn event_rules(&self, queue_arn: &str) -> Read<Vec<EventRule>> {
        let answer = self
            .eventbridge
            .list_rule_names_by_target()
            .target_arn(queue_arn)
            .send()
            .await;
        let answer = answer.map_err(|e| unread("events:ListRuleNamesByTarget", &e))?;
        let mut rules = Vec::new();
        for name in answer.rule_names.unwrap_or_default().into_iter().take(MOST) {
            let rule = self.eventbridge.describe_rule().name(&name).send().await;
            let rule = rule.map_err(|e| unread("events:DescribeRule", &e))?;
            rules.push(EventRule {
                name,
                state: super::text(rule.state.as_ref()),
                reaches_us: rule.event_pattern.as_deref().is_some_and(is_of_batch),
            });
        }
        Ok(rules)
    }

    /// Schedules that update environments, but for guards of ours.
    pub(super) async fn survey_schedules(&self) -> Known<Vec<Schedules>> {
        known(self.update_schedules().await)
    }

    async fn update_schedules(&self) -> Read<Vec<Schedules>> {
        let ours = self.settings.guard.as_ref().map(|guard| guard.group.as_str());
        let mut pages = self.scheduler.list_schedules().into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(summary) = pages.next().await {
            let summary = summary.map_err(|e| unread("scheduler:ListSchedules", &e))?;
            let (name, group) = (summary.name.unwrap_or_default(), summary.group_name.unwrap_or_default());
            let updates = summary.target.is_some_and(|target| target.arn == TARGET);
            if !updates || ours == Some(group.as_str()) || found.len() >= MOST {
                continue;
            }
            let schedule = self
                .scheduler
                .get_schedule()
                .name(&name)
                .group_name(&group)
                .send()
                .await;
            let schedule = schedule.map_err(|e| unread("scheduler:GetSchedule", &e))?;
            let input = schedule.target.and_then(|target| target.input).unwrap_or_default();
            let input: Value = serde_json::from_str(&input).unwrap_or_default();
            found.push(Schedules {
                state: super::text(schedule.state.as_ref()),
                schedule_expression: schedule.schedule_expression.unwrap_or_default(),
                target: ScheduleTarget {
                    compute_environment: input["ComputeEnvironment"].as_str().unwrap_or_default().to_owned(),
                },
                name,
                group_name: group,
            });
        }
        Ok(found)
    }

    pub(super) async fn survey_sqs(&self, names: &[String]) -> Asked<SqsQueue> {
        let mut found = Asked::new();
        for name in names {
            let queue = known(self.sqs_queue(name).await);
            found.insert(name.clone(), queue);
        }
        found
    }

    async fn sqs_queue(&self, name: &str) -> Read<Option<SqsQueue>> {
        let is_named = !(name.starts_with("https://") || name.starts_with("http://"));
        if is_named
            && let Err(error) = self.sqs.get_queue_url().queue_name(name).send().await
            && code(&error).is_some_and(|code| code.contains("QueueDoesNotExist") || code.contains("NonExistentQueue"))
        {
            return Ok(None);
        }
        let messages = self.read_messages(name).await?;
        let oldest = self.read_oldest(name).await;
        Ok(Some(SqsQueue {
            visible: messages.visible,
            in_flight: messages.in_flight,
            oldest_seconds: known(oldest.map(|age| age.map_or(0, |age| age.millis() / 1_000))),
        }))
    }
}

fn is_of_batch(pattern: &str) -> bool {
    let pattern: Value = serde_json::from_str(pattern).unwrap_or_default();
    let sources = pattern["source"].as_array();
    sources.is_some_and(|sources| sources.iter().any(|source| source == "aws.batch"))
}
