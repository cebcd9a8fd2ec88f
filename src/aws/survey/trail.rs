//! Who wrote to environments, as CloudTrail has it: its history of events, which every account has, goes back 90 days.

use std::collections::BTreeMap;

use aws_sdk_cloudtrail::types::{Event, LookupAttribute, LookupAttributeKey};
use serde_json::Value;

use crate::account::survey::{ComputeEnvironment, Known, Timestamp, Writer, name_of};
use crate::aws::Aws;
use crate::aws::errors::{failed, unread};
use crate::daemon::cloud::Read;
use crate::units::{Span, Time};

const UPDATE: &str = "UpdateComputeEnvironment";
/// EventBridge Scheduler, where it calls for a schedule.
const SCHEDULER: &str = "scheduler.amazonaws.com";
const CREATE: &str = "CreateComputeEnvironment";
/// As many as CloudTrail gives at once, and so many pages of updates: it allows two requests a second.
const EVENTS_A_PAGE: i32 = 50;
const PAGES_MOST: usize = 2;
/// Whoever wrote before that may have stopped.
const LATELY: Span = Span::from_minutes(7 * 24 * 60);
/// What AWS Batch changes without new instances, and thus without looking at the launch template again.
const SCALING: [&str; 4] = ["minvCpus", "maxvCpus", "desiredvCpus", "scalingPolicy"];

/// What CloudTrail tells.
pub(super) struct Trail {
    pub(super) writers: Known<Vec<Writer>>,
    /// What of the writers is left out.
    pub(super) cut: Option<String>,
}

/// A write that was accepted.
#[derive(Clone, Debug, PartialEq)]
struct Write {
    at: Time,
    /// The environment's name.
    environment: String,
    /// Who made it: a role without its session, whose name may be that of a person.
    who: String,
    /// The same, however it is written.
    principal: String,
    /// A service that made it for somebody.
    by: Option<String>,
    /// It named minvCpus, maxvCpus or desiredvCpus.
    scales: bool,
    /// It made new instances, or will.
    renews: bool,
}

/// Writes, latest first.
#[derive(Debug, Default)]
struct History {
    writes: Vec<Write>,
    /// Since when nothing is missing; `None`: for as long as CloudTrail keeps events.
    since: Option<Time>,
}

impl Aws {
    pub(super) fn guard_role(&self) -> Option<&str> {
        self.settings.guard.as_ref().map(|guard| guard.role_arn.as_str())
    }

    /// Reads at most three pages. What autotune and its guard wrote is left out of it. Says of every environment when its settings
    /// were last taken over.
    pub(super) async fn survey_trail(
        &self,
        environments: &mut Known<Vec<ComputeEnvironment>>,
        autotune: &Read<String>,
        now: Time,
    ) -> Trail {
        let Known::Known(environments) = environments else {
            return Trail {
                writers: Known::unread("compute environments were not read"),
                cut: None,
            };
        };
        let updates = self.history(UPDATE, PAGES_MOST).await;
        // What was made lately took over then what it has; updates may tell already.
        let follow: Vec<&mut ComputeEnvironment> = environments.iter_mut().filter(|one| follows(one)).collect();
        let created = match &updates {
            Ok(updates) if follow.iter().any(|one| updates.renewed(one).is_none()) => self.history(CREATE, 1).await,
            Ok(_) => Ok(History::default()),
            Err(unread) => Err(unread.clone()),
        };
        for environment in follow {
            environment.infrastructure_updated_at = match (&updates, &created) {
                (Ok(updates), Ok(created)) => taken_over(environment, updates, created),
                (Err(unread), _) | (_, Err(unread)) => Known::unread(&unread.message),
            };
        }
        let (writers, cut) = match (&updates, autotune) {
            (Ok(updates), Ok(autotune)) => {
                let own: Vec<String> = [autotune.as_str()]
                    .into_iter()
                    .chain(self.guard_role())
                    .map(principal)
                    .collect();
                let since = updates.since.filter(|since| *since > now - LATELY);
                let cut = since.map(|since| format!("of CloudTrail's events the latest were read, since {since}"));
                // Without one in the settings, whose schedules write is told by the schedules themselves.
                let scheduler = self.guard_role().is_none().then_some(SCHEDULER);
                (Known::Known(updates.others(&own, scheduler, now)), cut)
            }
            (Err(unread), _) | (_, Err(unread)) => (Known::unread(&unread.message), None),
        };
        Trail { writers, cut }
    }

    async fn history(&self, name: &str, pages_most: usize) -> Read<History> {
        let attribute = LookupAttribute::builder()
            .attribute_key(LookupAttributeKey::EventName)
            .attribute_value(name)
            .build()
            .map_err(|e| failed(e.to_string()))?;
        let call = self.cloudtrail.lookup_events().lookup_attributes(attribute);
        let mut pages = call.max_results(EVENTS_A_PAGE).into_paginator().send();
        let (mut history, mut oldest) = (History::default(), None);
        for _ in 0..pages_most {
            let Some(page) = pages.next().await else {
                return Ok(history);
            };
            let page = page.map_err(|e| unread("cloudtrail:LookupEvents", &e))?;
            for event in page.events() {
                oldest = time(event).or(oldest);
                history.writes.extend(write(event));
            }
            if page.next_token.is_none() {
                return Ok(history);
            }
        }
        history.since = oldest;
        Ok(history)
    }
}

impl History {
    fn of<'a>(&'a self, environment: &'a ComputeEnvironment) -> impl Iterator<Item = &'a Write> {
        let name = &environment.compute_environment_name;
        self.writes.iter().filter(move |write| write.environment == *name)
    }

    fn renewed(&self, environment: &ComputeEnvironment) -> Option<Time> {
        let renewals = self.of(environment).filter(|write| write.renews);
        renewals.map(|write| write.at).max()
    }

    /// Those who lately wrote what autotune steers, but for autotune itself and what a service did: once for each environment and
    /// principal.
    fn others(&self, own: &[String], service: Option<&str>, now: Time) -> Vec<Writer> {
        let mut others: BTreeMap<(&str, &str), (usize, &Write)> = BTreeMap::new();
        for write in &self.writes {
            let is_own = own.contains(&write.principal) || service.is_some() && write.by.as_deref() == service;
            if is_own || !write.scales || write.at < now - LATELY {
                continue;
            }
            let known = others
                .entry((&write.environment, &write.principal))
                .or_insert((0, write));
            known.0 += 1;
            if write.at > known.1.at {
                known.1 = write;
            }
        }
        let writer = |(times, last): (usize, &Write)| {
            let often = if times == 1 {
                "once".to_owned()
            } else {
                format!("{times} times")
            };
            let by = last.by.as_ref().map_or_else(String::new, |by| format!(" through {by}"));
            Writer {
                compute_environment: last.environment.clone(),
                who: last.who.clone(),
                what: format!("{UPDATE} of vCPUs {often} in 7 days{by}, last at {}", last.at),
            }
        };
        others.into_values().map(writer).collect()
    }
}

/// Whether it matters when it took its launch template over.
fn follows(environment: &ComputeEnvironment) -> bool {
    let template = environment.compute_resources.as_ref();
    let Some(template) = template.and_then(|resources| resources.launch_template.as_ref()) else {
        return false;
    };
    let moves = |key: &str| key.ends_with(":$Latest") || key.ends_with(":$Default");
    moves(&template.key()) || template.overrides.iter().any(|one| moves(&one.key()))
}

fn taken_over(environment: &ComputeEnvironment, updates: &History, created: &History) -> Known<Timestamp> {
    let renewed = updates.renewed(environment).max(created.renewed(environment));
    // A later update may be among those that were not read.
    if let Some(at) = renewed.filter(|at| updates.since.is_none_or(|since| *at >= since)) {
        return Known::Known(Timestamp(at));
    }
    Known::unread(match updates.since.or(created.since) {
        Some(since) => format!("of CloudTrail's events the latest were read, since {since}: none made new instances"),
        None => "CloudTrail keeps events for 90 days, and none of them made new instances".to_owned(),
    })
}

fn time(event: &Event) -> Option<Time> {
    event.event_time?.to_millis().ok().map(Time::from_millis)
}

/// What an event tells, unless the call was refused.
fn write(event: &Event) -> Option<Write> {
    let told: Value = serde_json::from_str(event.cloud_trail_event.as_deref()?).ok()?;
    if !told["errorCode"].is_null() {
        return None;
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let asked = &told["requestParameters"];
    let environment = [&asked["computeEnvironment"], &asked["computeEnvironmentName"]];
    let environment = environment.into_iter().find_map(text)?;
    let resources = asked["computeResources"].as_object();
    let names = || resources.into_iter().flatten().map(|(name, _)| name.as_str());
    let identity = &told["userIdentity"];
    let issuer = text(&identity["sessionContext"]["sessionIssuer"]["arn"]);
    let who = issuer.or_else(|| text(&identity["arn"]).map(|arn| without_session(&arn).to_owned()));
    let who = who
        .or_else(|| text(&identity["invokedBy"]))
        .unwrap_or_else(|| "an unknown principal".to_owned());
    Some(Write {
        at: time(event)?,
        environment: name_of(&environment).to_owned(),
        principal: principal(&who),
        who,
        by: text(&identity["invokedBy"]),
        scales: names().any(|name| SCALING[..3].contains(&name)),
        renews: event.event_name.as_deref() == Some(CREATE)
            || names().any(|name| !SCALING.contains(&name))
            || !asked["serviceRole"].is_null(),
    })
}

fn without_session(arn: &str) -> &str {
    match arn.rsplit_once('/') {
        Some((role, _)) if role.contains(":assumed-role/") => role,
        _ => arn,
    }
}

/// Of whom a session is: `arn:aws:sts::1:assumed-role/NAME/SESSION` and `arn:aws:iam::1:role/PATH/NAME` are one.
fn principal(arn: &str) -> String {
    let account = arn.split(':').nth(4).unwrap_or_default();
    let role = match (arn.split_once(":assumed-role/"), arn.split_once(":role/")) {
        (Some((_, session)), _) => session.split('/').next(),
        (None, Some((_, path))) => path.rsplit('/').next(),
        (None, None) => None,
    };
    role.map_or_else(|| arn.to_owned(), |name| format!("{account}:role/{name}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::account::survey::{ComputeResources, LaunchTemplateSpecification};
    use crate::aws::replay::{Asked, Replay, Reply};

    const NOW: Time = Time::from_seconds(1_782_000_000);
    const OWN: &str = "arn:aws:iam::111122223333:role/service/autotune";

    fn environment(name: &str, version: &str) -> ComputeEnvironment {
        ComputeEnvironment {
            compute_environment_name: name.to_owned(),
            compute_resources: Some(ComputeResources {
                launch_template: Some(LaunchTemplateSpecification {
                    launch_template_id: Some("lt-1".to_owned()),
                    version: Some(version.to_owned()),
                    ..LaunchTemplateSpecification::default()
                }),
                ..ComputeResources::default()
            }),
            ..ComputeEnvironment::default()
        }
    }

    /// An event that many minutes ago: who, in which environment, and what of computeResources.
    fn event(name: &str, minutes: i64, who: &str, environment: &str, resources: &Value) -> Value {
        let key = if name == CREATE {
            "computeEnvironmentName"
        } else {
            "computeEnvironment"
        };
        let told = json!({
            "userIdentity": { "type": "AssumedRole", "arn": who },
            "requestParameters": { key: environment, "computeResources": resources },
        });
        json!({
            "EventName": name,
            "EventTime": NOW.millis() / 1000 - minutes * 60,
            "CloudTrailEvent": told.to_string(),
        })
    }

    fn session(role: &str, session: &str) -> String {
        format!("arn:aws:sts::111122223333:assumed-role/{role}/{session}")
    }

    async fn trail(replies: &[Reply]) -> (Trail, Vec<ComputeEnvironment>, Vec<Asked>) {
        let (aws, replay) = Replay::account(replies);
        let mut environments = Known::Known(vec![
            environment("spot", "$Latest"),
            environment("old", "$Default"),
            environment("new", "$Latest"),
            environment("fixed", "3"),
        ]);
        let trail = aws.survey_trail(&mut environments, &Ok(OWN.to_owned()), NOW).await;
        let Known::Known(environments) = environments else {
            panic!("they were read")
        };
        (trail, environments, replay.asked())
    }

    fn page(events: &[Value], next: Option<&str>) -> Reply {
        Reply::Made(json!({ "Events": events, "NextToken": next }).to_string())
    }

    fn ago(minutes: i64) -> Known<Timestamp> {
        Known::Known(Timestamp(NOW - Span::from_minutes(minutes)))
    }

    #[tokio::test]
    async fn others_are_those_who_wrote_vcpus_lately_and_neither_we_nor_the_guard() {
        let min = json!({ "minvCpus": 4 });
        let template = json!({ "launchTemplate": { "launchTemplateId": "lt-1" }, "maxvCpus": 8 });
        let arn = "arn:aws:batch:eu-central-1:111122223333:compute-environment/spot";
        let day = 24 * 60;
        let mut refused = event(UPDATE, 9, &session("ci", "x"), "spot", &min);
        refused["CloudTrailEvent"] = json!(
            json!({ "errorCode": "ClientException", "requestParameters": { "computeEnvironment": "spot" } })
                .to_string()
        );
        let events = [
            event(UPDATE, 1, &session("autotune", "i-1"), "spot", &min),
            event(UPDATE, 1, &session("autotune-guard", "x"), "spot", &min),
            event(UPDATE, 2, &session("nightly", "a"), arn, &min),
            event(
                UPDATE,
                3,
                &session("nightly", "b"),
                "spot",
                &json!({ "desiredvCpus": 8 }),
            ),
            event(
                UPDATE,
                4,
                &session("admin", "ann"),
                "spot",
                &json!({ "instanceTypes": ["m5"] }),
            ),
            event(UPDATE, day, "arn:aws:iam::111122223333:user/bob", "old", &template),
            event(UPDATE, 8 * day, &session("past", "x"), "old", &min),
            refused,
        ];
        let created = [event(CREATE, 30 * day, &session("admin", "ann"), "spot", &template)];
        let (trail, environments, asked) = trail(&[page(&events, None), page(&created, None)]).await;
        let writer = |environment: &str, who: &str, what: String| Writer {
            compute_environment: environment.to_owned(),
            who: who.to_owned(),
            what,
        };
        let last = |times: u32, minutes: i64| {
            let at = NOW - Span::from_minutes(minutes);
            let often = if times == 1 {
                "once".to_owned()
            } else {
                format!("{times} times")
            };
            format!("UpdateComputeEnvironment of vCPUs {often} in 7 days, last at {at}")
        };
        let expected = [
            writer("old", "arn:aws:iam::111122223333:user/bob", last(1, day)),
            writer("spot", "arn:aws:sts::111122223333:assumed-role/nightly", last(2, 2)),
        ];
        assert_eq!(trail.writers, Known::Known(expected.to_vec()));
        assert_eq!(trail.cut, None);
        let taken: Vec<_> = environments
            .into_iter()
            .map(|one| one.infrastructure_updated_at)
            .collect();
        assert_eq!(taken[..2], [ago(4), ago(day)]);
        assert!(taken[2].read().unwrap_err().contains("90 days"), "{taken:?}");
        assert!(taken[3].read().is_err(), "nobody asks");
        assert_eq!(asked.len(), 2);
        assert!(asked[0].text.contains("UpdateComputeEnvironment"), "{asked:?}");
    }

    #[tokio::test]
    async fn an_event_of_a_stack_tells_the_role_behind_it_and_that_new_instances_came() {
        let replies = [Reply::File("lookup-events"), page(&[], None)];
        let (trail, environments, _) = trail(&replies).await;
        let at = Time::parse("2026-06-20T23:00:00Z").unwrap();
        let writer = Writer {
            compute_environment: "spot".to_owned(),
            who: "arn:aws:iam::111122223333:role/stacks/nightly".to_owned(),
            what: format!(
                "UpdateComputeEnvironment of vCPUs once in 7 days through cloudformation.amazonaws.com, last at {at}"
            ),
        };
        assert_eq!(trail.writers, Known::Known(vec![writer]));
        assert_eq!(environments[0].infrastructure_updated_at, Known::Known(Timestamp(at)));
    }

    #[tokio::test]
    async fn what_a_daemons_own_updates_bury_is_said_and_not_taken_for_nothing() {
        let own = event(
            UPDATE,
            5,
            &session("autotune", "i-1"),
            "spot",
            &json!({ "minvCpus": 4 }),
        );
        let new = [event(CREATE, 60, &session("admin", "ann"), "new", &json!({}))];
        let replies = [
            page(std::slice::from_ref(&own), Some("1")),
            page(&[own], Some("2")),
            page(&new, None),
        ];
        let (trail, environments, asked) = trail(&replies).await;
        assert_eq!(trail.writers, Known::Known(Vec::new()));
        let since = (NOW - Span::from_minutes(5)).to_string();
        assert!(trail.cut.unwrap().contains(&since));
        assert!(
            environments[0]
                .infrastructure_updated_at
                .read()
                .unwrap_err()
                .contains(&since)
        );
        let why = environments[2].infrastructure_updated_at.read().unwrap_err();
        assert!(
            why.contains(&since),
            "it was made before that, and perhaps updated since: {why}"
        );
        assert_eq!(asked.len(), 3);
    }

    #[tokio::test]
    async fn what_is_denied_is_not_read_and_is_asked_for_once() {
        let denied = Reply::Error(403, "AccessDeniedException", "not authorized");
        let (trail, environments, asked) = trail(&[denied]).await;
        for why in [
            trail.writers.read().unwrap_err(),
            environments[0].infrastructure_updated_at.read().unwrap_err(),
        ] {
            assert!(why.contains("allow `cloudtrail:LookupEvents`"), "{why}");
        }
        assert_eq!(asked.len(), 1);
    }

    #[test]
    fn a_session_is_of_its_role_wherever_that_is() {
        for (one, other, same) in [
            (OWN, session("autotune", "x").as_str(), true),
            (OWN, session("autotune2", "x").as_str(), false),
            (OWN, "arn:aws:iam::111122223333:user/autotune", false),
            (OWN, "arn:aws:sts::999999999999:assumed-role/autotune/x", false),
        ] {
            assert_eq!(principal(one) == principal(other), same, "{one} {other}");
        }
    }
}
