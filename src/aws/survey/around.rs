//! What is around AWS Batch: quotas, the guard, wake-ups, schedules, SQS queues.

use std::collections::BTreeSet;

use serde_json::Value;

use super::known;
use crate::account::survey::{
    Asked, Base, Counted, EventRule, Guard, Known, Quota, ScheduleTarget, Schedules, SqsQueue, name_of,
};
use crate::aws::Aws;
use crate::aws::errors::{code, unread};
use crate::aws::guard::{PREFIX, TARGET, restored};
use crate::aws::quota::STORAGE;
use crate::daemon::cloud::{Identity, Read};

/// Rules and schedules that are looked at: more than these nobody reads.
const MOST: usize = 20;
/// As many as EventBridge Scheduler gives, and so many pages: accounts have schedules for other things.
const SCHEDULES_A_PAGE: i32 = 100;
const SCHEDULE_PAGES: usize = 10;

/// What schedules tell of those who write to environments.
pub(super) struct Written {
    pub(super) schedules: Known<Vec<Schedules>>,
    /// What guards put back.
    pub(super) bases: Known<Vec<Base>>,
    /// What was left out.
    pub(super) cut: Option<String>,
}

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
        let mut quota = Quota {
            value: limit.value,
            applied: limit.applied,
            used: Known::unread("no rule asks for it"),
            counted: Counted::default(),
        };
        if !STORAGE.contains(&code) {
            let used = self.use_of(&limit.found, code).await;
            quota.counted = used.as_ref().map_or(quota.counted, |(_, counted, _)| *counted);
            quota.used = known(used.map(|(used, ..)| used.get()));
        }
        Ok(Some(quota))
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

    /// Schedules that update environments, and what guards among them put back.
    pub(super) async fn survey_schedules(&self) -> Written {
        match self.update_schedules().await {
            Ok(written) => written,
            Err(error) => Written {
                schedules: Known::unread(&error.message),
                bases: Known::unread(&error.message),
                cut: None,
            },
        }
    }

    /// Those that update environments: their names and groups.
    async fn list_update_schedules(&self) -> Read<(Vec<(String, String)>, Option<String>)> {
        let call = self.scheduler.list_schedules().max_results(SCHEDULES_A_PAGE);
        let mut pages = call.into_paginator().send();
        let (mut read, mut found) = (0, Vec::new());
        for _ in 0..SCHEDULE_PAGES {
            let Some(page) = pages.next().await else {
                return Ok((found, None));
            };
            let page = page.map_err(|e| unread("scheduler:ListSchedules", &e))?;
            read += page.schedules.len();
            let updates = page.schedules.into_iter();
            let updates = updates.filter(|one| one.target.as_ref().is_some_and(|target| target.arn == TARGET));
            found.extend(updates.map(|one| (one.name.unwrap_or_default(), one.group_name.unwrap_or_default())));
            if page.next_token.is_none() {
                return Ok((found, None));
            }
        }
        Ok((
            found,
            Some(format!("the account has more than {read} schedules; these were read")),
        ))
    }

    async fn update_schedules(&self) -> Read<Written> {
        let ours = self.settings.guard.as_ref().map(|guard| guard.group.as_str());
        let (names, unlisted) = self.list_update_schedules().await?;
        let mut cut = unlisted.clone();
        let (mut found, mut bases) = (Vec::new(), Vec::new());
        for (name, group) in names {
            // Where the settings name no guard, what is named like one is the daemon's.
            let is_guard = ours.map_or(name.starts_with(PREFIX), |ours| ours == group);
            if !is_guard && found.len() >= MOST {
                cut = Some(format!(
                    "more than {MOST} schedules update environments; the first were read"
                ));
                continue;
            }
            let schedule = self
                .scheduler
                .get_schedule()
                .name(&name)
                .group_name(&group)
                .send()
                .await;
            let schedule = match schedule {
                Ok(schedule) => schedule,
                // A guard comes and goes with each raise.
                Err(error) if code(&error) == Some("ResourceNotFoundException") => continue,
                Err(error) => return Err(unread("scheduler:GetSchedule", &error)),
            };
            let input = schedule.target.and_then(|target| target.input).unwrap_or_default();
            let base = restored(&input).filter(|_| is_guard);
            if let Some(base) = base {
                bases.push(base);
                continue;
            }
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
        let bases = if ours.is_none() && bases.is_empty() {
            Known::unread("the settings name no guard, and no other tells")
        } else if let Some(unlisted) = unlisted {
            Known::unread(unlisted)
        } else {
            Known::Known(bases)
        };
        Ok(Written {
            schedules: Known::Known(found),
            bases,
            cut,
        })
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
        let mut url = None;
        if is_named {
            match self.sqs.get_queue_url().queue_name(name).send().await {
                Ok(answer) => url = answer.queue_url,
                Err(error) if code(&error).is_some_and(is_missing) => return Ok(None),
                Err(error) => return Err(unread("sqs:GetQueueUrl", &error)),
            }
        }
        let messages = self.read_messages(url.as_deref().unwrap_or(name)).await?;
        let oldest = self.read_oldest(name).await;
        Ok(Some(SqsQueue {
            visible: messages.visible,
            in_flight: messages.in_flight,
            oldest_seconds: known(oldest.map(|age| age.map_or(0, |age| age.millis() / 1_000))),
        }))
    }
}

fn is_missing(code: &str) -> bool {
    code.contains("QueueDoesNotExist") || code.contains("NonExistentQueue")
}

fn is_of_batch(pattern: &str) -> bool {
    let pattern: Value = serde_json::from_str(pattern).unwrap_or_default();
    let sources = pattern["source"].as_array();
    sources.is_some_and(|sources| sources.iter().any(|source| source == "aws.batch"))
}
