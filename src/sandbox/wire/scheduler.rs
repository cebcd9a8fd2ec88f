//! EventBridge Scheduler: schedules and groups.

use serde_json::{Value, json};

use super::Reply;
use super::batch::page;
use super::calls::Call;
use crate::sandbox::input::{Input, Taken};
use crate::sandbox::refused::Refused;
use crate::sandbox::schedules::{DEFAULT_GROUP, Schedule};
use crate::sandbox::state::State;
use crate::units::{Time, i64_to_f64, to_usize};

/// What of EventBridge Scheduler is served.
pub(super) const OPERATIONS: [&str; 9] = [
    "CreateSchedule",
    "UpdateSchedule",
    "GetSchedule",
    "ListSchedules",
    "DeleteSchedule",
    "CreateScheduleGroup",
    "GetScheduleGroup",
    "ListScheduleGroups",
    "DeleteScheduleGroup",
];

/// Most schedules of a page.
const PAGE: usize = 100;

pub(super) fn perform(state: &mut State, call: &Call) -> Taken<Reply> {
    let name = call.resource.as_str();
    let group = call.asked("groupName").unwrap_or(DEFAULT_GROUP);
    let answer = match call.operation {
        "CreateSchedule" | "UpdateSchedule" => {
            Input::of(&call.input)?;
            let create = call.operation == "CreateSchedule";
            let (arn, _) = state.put_schedule(name, &call.input, create)?;
            json!({"ScheduleArn": arn})
        }
        "GetSchedule" => {
            state.schedules.group(group)?;
            state.schedule(state.schedules.get(group, name)?)
        }
        "DeleteSchedule" => {
            state.schedules.group(group)?;
            state.schedules.delete(group, name)?;
            json!({})
        }
        "ListSchedules" => list(state, call)?,
        "CreateScheduleGroup" => {
            state.schedules.create_group(name, state.now)?;
            json!({"ScheduleGroupArn": state.names.arn("scheduler", &format!("schedule-group/{name}"))})
        }
        "GetScheduleGroup" => {
            let created = state.schedules.group(name)?;
            told_group(state, name, created)
        }
        "ListScheduleGroups" => {
            let groups = state
                .schedules
                .groups()
                .map(|(name, created)| told_group(state, name, created));
            json!({"ScheduleGroups": groups.collect::<Vec<Value>>()})
        }
        _ => {
            state.schedules.delete_group(name)?;
            json!({})
        }
    };
    Ok(Reply::Members(answer))
}

fn seconds(at: Time) -> Value {
    json!(i64_to_f64(at.millis()) / 1_000.0)
}

fn told_group(state: &State, name: &str, created: Time) -> Value {
    json!({
        "Arn": state.names.arn("scheduler", &format!("schedule-group/{name}")),
        "Name": name,
        "State": "ACTIVE",
        "CreationDate": seconds(created),
        "LastModificationDate": seconds(created),
    })
}

fn list(state: &State, call: &Call) -> Taken<Value> {
    let group = call.asked("ScheduleGroup");
    if let Some(group) = group {
        state.schedules.group(group)?;
    }
    let prefix = call.asked("NamePrefix").unwrap_or_default();
    let wanted_state = call.asked("State");
    let chosen = state.schedules.all().filter(|schedule| {
        group.is_none_or(|group| group == schedule.group)
            && schedule.name.starts_with(prefix)
            && wanted_state.is_none_or(|wanted| wanted == enabled(schedule))
    });
    let chosen: Vec<&Schedule> = chosen.collect();
    let asked = call
        .asked("MaxResults")
        .map(|most| most.parse::<i64>().ok().filter(|most| (1..=100).contains(most)));
    let most = match asked {
        None => PAGE,
        Some(Some(most)) => to_usize(most),
        Some(None) => return Err(Refused::validation("MaxResults must be between 1 and 100.")),
    };
    let bad = |_| Refused::validation("Invalid token.");
    let (chosen, next) = page(state, "schedules", chosen, call.asked("NextToken"), most).map_err(bad)?;
    let told = chosen.into_iter().map(|schedule| {
        let target = schedule.sent.get("Target").and_then(|target| target.get("Arn"));
        json!({
            "Arn": state.schedule_arn(&schedule.group, &schedule.name),
            "Name": schedule.name,
            "GroupName": schedule.group,
            "State": enabled(schedule),
            "CreationDate": seconds(schedule.created),
            "LastModificationDate": seconds(schedule.changed),
            "Target": {"Arn": target.cloned().unwrap_or_default()},
        })
    });
    let mut answer = json!({"Schedules": told.collect::<Vec<Value>>()});
    if let (Some(next), Value::Object(members)) = (next, &mut answer) {
        members.insert("NextToken".to_owned(), json!(next));
    }
    Ok(answer)
}

fn enabled(schedule: &Schedule) -> &str {
    schedule.sent.get("State").and_then(Value::as_str).unwrap_or("ENABLED")
}

impl State {
    /// What was sent, with what the service adds. What was left out has its default.
    fn schedule(&self, schedule: &Schedule) -> Value {
        let mut told = schedule.sent.clone();
        if let Value::Object(members) = &mut told {
            members.remove("ClientToken");
            let added = [
                ("Arn", json!(self.schedule_arn(&schedule.group, &schedule.name))),
                ("Name", json!(schedule.name)),
                ("GroupName", json!(schedule.group)),
                ("CreationDate", seconds(schedule.created)),
                ("LastModificationDate", seconds(schedule.changed)),
            ];
            members.extend(added.map(|(name, value)| (name.to_owned(), value)));
            let defaults = [
                ("State", "ENABLED"),
                ("ScheduleExpressionTimezone", "UTC"),
                ("ActionAfterCompletion", "NONE"),
            ];
            for (name, value) in defaults {
                members.entry(name).or_insert_with(|| json!(value));
            }
            if let Some(Value::Object(target)) = members.get_mut("Target") {
                let retries = json!({"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185});
                let given = target.entry("RetryPolicy").or_insert_with(|| retries.clone());
                if let (Value::Object(given), Value::Object(retries)) = (given, retries) {
                    for (name, value) in retries {
                        given.entry(name).or_insert(value);
                    }
                }
            }
        }
        told
    }
}
