//! EventBridge Scheduler: groups, and schedules that call UpdateComputeEnvironment by themselves.
//!
//! What fires is what the service would fire: every five minutes from the start date to the end date. One attempt each time: a
//! retry policy of more attempts is kept and told, and not acted on.

use std::collections::BTreeMap;

use serde_json::Value;

use super::input::{Input, Taken};
use super::refused::Refused;
use super::state::{Due, Hand, State};
use crate::simulate::world::Change;
use crate::units::{Span, Time, Vcpus};

/// The group that is always there.
pub(super) const DEFAULT_GROUP: &str = "default";
/// The group that `autotune init --events` makes; here it is there from the start.
pub const GUARD_GROUP: &str = "autotune";
/// The target that fires.
const UPDATE_TARGET: &str = "arn:aws:scheduler:::aws-sdk:batch:updateComputeEnvironment";
/// Members of UpdateComputeEnvironment as a universal target takes them, and of its `ComputeResources` that scale.
const INPUT_MEMBERS: [&str; 2] = ["ComputeEnvironment", "ComputeResources"];
const RESOURCE_MEMBERS: [&str; 3] = ["MinvCpus", "MaxvCpus", "DesiredvCpus"];

/// When a schedule fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// Every so often, from the start.
    Every(Span),
    /// Once.
    At(Time),
}

/// A schedule.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    pub(super) group: String,
    pub(super) name: String,
    when: When,
    end: Option<Time>,
    /// The request as it was sent, which GetSchedule tells again.
    pub(super) sent: Value,
    pub(super) created: Time,
    pub(super) changed: Time,
    /// Rises with every change: firings planned before are void.
    number: u64,
    /// What its firings came to, latest last.
    pub(super) fired: Vec<(Time, String)>,
}

/// All schedules, by group and name.
#[derive(Debug)]
pub(super) struct Schedules {
    groups: BTreeMap<String, Time>,
    all: BTreeMap<(String, String), Schedule>,
    numbers: u64,
}

impl Default for Schedules {
    fn default() -> Self {
        Self {
            groups: BTreeMap::from([DEFAULT_GROUP, GUARD_GROUP].map(|group| (group.to_owned(), Time::EPOCH))),
            all: BTreeMap::new(),
            numbers: 0,
        }
    }
}

/// The most firings that are remembered of a schedule.
const REMEMBERED: usize = 100;

impl Schedules {
    pub(super) fn groups(&self) -> impl Iterator<Item = (&String, Time)> {
        self.groups.iter().map(|(name, created)| (name, *created))
    }

    pub(super) fn group(&self, name: &str) -> Taken<Time> {
        let created = self.groups.get(name).copied();
        created.ok_or_else(|| {
            Refused::new(
                404,
                "ResourceNotFoundException",
                format!("Schedule group {name} does not exist."),
            )
        })
    }

    pub(super) fn create_group(&mut self, name: &str, now: Time) -> Taken<()> {
        checked_name(name)?;
        if self.groups.contains_key(name) {
            let message = format!("Schedule group {name} already exists.");
            return Err(Refused::new(409, "ConflictException", message));
        }
        self.groups.insert(name.to_owned(), now);
        Ok(())
    }

    pub(super) fn delete_group(&mut self, name: &str) -> Taken<()> {
        self.group(name)?;
        if name == DEFAULT_GROUP {
            return Err(Refused::validation("The default schedule group cannot be deleted."));
        }
        self.groups.remove(name);
        self.all.retain(|(group, _), _| group != name);
        Ok(())
    }

    pub(super) fn get(&self, group: &str, name: &str) -> Taken<&Schedule> {
        let found = self.all.get(&(group.to_owned(), name.to_owned()));
        found.ok_or_else(|| unknown(name))
    }

    pub(super) fn delete(&mut self, group: &str, name: &str) -> Taken<()> {
        let removed = self.all.remove(&(group.to_owned(), name.to_owned()));
        removed.map(drop).ok_or_else(|| unknown(name))
    }

    /// Schedules in the order of their names.
    pub(super) fn all(&self) -> impl Iterator<Item = &Schedule> {
        self.all.values()
    }
}

fn unknown(name: &str) -> Refused {
    Refused::new(
        404,
        "ResourceNotFoundException",
        format!("Schedule {name} does not exist."),
    )
}

/// Letters, digits, dashes, underscores and dots, 64 at most, as the service model says.
fn checked_name(name: &str) -> Taken<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.is_empty() && name.len() <= 64 && name.chars().all(allowed) {
        return Ok(());
    }
    Err(Refused::validation(format!(
        "1 validation error detected: Value '{name}' at 'name' failed to satisfy constraint: Member must satisfy regular \
         expression pattern: [0-9a-zA-Z-_.]+"
    )))
}

fn expression(text: &str) -> Option<When> {
    if let Some(at) = text.strip_prefix("at(").and_then(|rest| rest.strip_suffix(')')) {
        return Time::parse(&format!("{at}Z")).map(When::At);
    }
    let (count, unit) = text.strip_prefix("rate(")?.strip_suffix(')')?.split_once(' ')?;
    let count: i64 = count.parse().ok().filter(|count| *count > 0)?;
    let minutes = match (unit, count) {
        ("minute", 1) | ("minutes", 2..) => 1,
        ("hour", 1) | ("hours", 2..) => 60,
        ("day", 1) | ("days", 2..) => 24 * 60,
        _ => return None,
    };
    Some(When::Every(Span::from_minutes(count.saturating_mul(minutes))))
}

fn date(input: Input<'_>, name: &str) -> Taken<Option<Time>> {
    let seconds = input.number(name)?;
    let time = |seconds: f64| Span::from_seconds_f64(seconds).map(|span| Time::EPOCH + span);
    match seconds.map(time) {
        None => Ok(None),
        Some(Some(time)) => Ok(Some(time)),
        Some(None) => Err(Refused::validation(format!("{name} is not a time."))),
    }
}

impl State {
    /// CreateSchedule, or UpdateSchedule, which replaces all of it.
    pub(super) fn put_schedule(&mut self, name: &str, sent: &Value, create: bool) -> Taken<(String, String)> {
        checked_name(name)?;
        let input = Input::of(sent)?;
        let group = input.text("GroupName")?.unwrap_or(DEFAULT_GROUP).to_owned();
        self.schedules.group(&group)?;
        let key = (group.clone(), name.to_owned());
        let known = self.schedules.all.get(&key);
        if create && known.is_some() {
            let message = format!("Schedule {name} already exists.");
            return Err(Refused::new(409, "ConflictException", message));
        }
        if !create && known.is_none() {
            return Err(unknown(name));
        }
        let created = known.map_or(self.now, |known| known.created);
        let fired = known.map(|known| known.fired.clone()).unwrap_or_default();
        let missing = |member: &str| {
            Refused::validation(format!(
                "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
            ))
        };
        let text = input
            .text("ScheduleExpression")?
            .ok_or_else(|| missing("scheduleExpression"))?;
        let when =
            expression(text).ok_or_else(|| Refused::validation(format!("Invalid Schedule Expression {text}.")))?;
        input
            .structure("FlexibleTimeWindow")?
            .ok_or_else(|| missing("flexibleTimeWindow"))?;
        let target = input.structure("Target")?.ok_or_else(|| missing("target"))?;
        for member in ["Arn", "RoleArn"] {
            target
                .text(member)?
                .ok_or_else(|| missing(&format!("target.{}", member.to_lowercase())))?;
        }
        let (start, end) = (date(input, "StartDate")?, date(input, "EndDate")?);
        if let (Some(start), Some(end)) = (start, end)
            && end <= start
        {
            return Err(Refused::validation(
                "The EndDate you specify must come after the StartDate.",
            ));
        }
        self.schedules.numbers += 1;
        let number = self.schedules.numbers;
        let schedule = Schedule {
            name: name.to_owned(),
            sent: sent.clone(),
            created,
            changed: self.now,
            group,
            when,
            end,
            number,
            fired,
        };
        let arn = self.schedule_arn(&schedule.group, name);
        let first = match when {
            When::Every(every) => match start {
                Some(start) => start + every.times(rounds(self.now.since(start), every)),
                None => self.now + every,
            },
            When::At(at) => at,
        };
        self.schedules.all.insert(key, schedule);
        let enabled = input.text("State")?.unwrap_or("ENABLED") == "ENABLED";
        if enabled {
            self.plan(first.max(self.now), Due::Schedule(arn.clone(), number));
        }
        Ok((arn, name.to_owned()))
    }

    pub(super) fn schedule_arn(&self, group: &str, name: &str) -> String {
        self.names.arn("scheduler", &format!("schedule/{group}/{name}"))
    }

    /// A schedule's time has come.
    pub(super) fn fire(&mut self, arn: &str, number: u64) {
        let found = self.schedules.all.values().find(|schedule| schedule.number == number);
        let Some(schedule) = found.cloned() else { return };
        let over = schedule.end.is_some_and(|end| self.now > end);
        let deletes = schedule.sent.get("ActionAfterCompletion").and_then(Value::as_str) == Some("DELETE");
        if !over {
            let answer = match self.run_target(&schedule.sent) {
                Ok(()) => "accepted".to_owned(),
                Err(refused) => refused.to_string(),
            };
            if let Some(kept) = self
                .schedules
                .all
                .get_mut(&(schedule.group.clone(), schedule.name.clone()))
            {
                kept.fired.push((self.now, answer));
                let most = kept.fired.len().saturating_sub(REMEMBERED);
                kept.fired.drain(..most);
            }
        }
        match schedule.when {
            When::Every(every) if !over => self.plan(self.now + every, Due::Schedule(arn.to_owned(), number)),
            When::Every(_) | When::At(_) if deletes => {
                self.schedules.all.remove(&(schedule.group, schedule.name));
            }
            When::Every(_) | When::At(_) => {}
        }
    }

    /// Makes the request that a target describes. Universal targets want members with a capital first letter.
    fn run_target(&mut self, sent: &Value) -> Taken<()> {
        let target = Input::of(sent)?.structure("Target")?;
        let arn = target.map(|target| target.text("Arn")).transpose()?.flatten();
        if arn != Some(UPDATE_TARGET) {
            return Err(Refused::validation("this simulated account knows no such target"));
        }
        let input = target
            .map(|target| target.text("Input"))
            .transpose()?
            .flatten()
            .unwrap_or("{}");
        let request: Value =
            serde_json::from_str(input).map_err(|_| Refused::serialization("The target's input is not JSON"))?;
        let request = Input::of(&request)?;
        let resources = request.structure("ComputeResources")?;
        let unknown = (request.names().find(|name| !INPUT_MEMBERS.contains(name)))
            .or_else(|| resources.and_then(|r| r.names().find(|name| !RESOURCE_MEMBERS.contains(name))));
        if let Some(name) = unknown {
            return Err(Refused::validation(format!("Unknown parameter in input: {name}")));
        }
        let name = request.required("ComputeEnvironment")?;
        let level = |name: &str| -> Taken<Option<Vcpus>> {
            let count = resources.map(|resources| resources.whole(name)).transpose()?.flatten();
            Ok(count.map(Vcpus::new))
        };
        let change = Change {
            min: level("MinvCpus")?,
            desired: level("DesiredvCpus")?,
            max: level("MaxvCpus")?,
        };
        let Some(environment) = self.environment(name) else {
            return Err(Refused::client(format!("{name} does not exist")));
        };
        self.scale(Hand::Schedule, environment, &change)
            .map_err(|refusal| Refused::client(refusal.text()))
    }
}

/// How many whole intervals, rounded up, have passed of a span; none of one that is still to come.
fn rounds(passed: Span, every: Span) -> i64 {
    let (passed, every) = (passed.millis().max(0), every.millis().max(1));
    passed.saturating_add(every - 1).div_euclid(every)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_rates_with_their_grammar_and_single_times() {
        let every = |minutes| Some(When::Every(Span::from_minutes(minutes)));
        let cases = [
            ("rate(5 minutes)", every(5)),
            ("rate(1 minute)", every(1)),
            ("rate(2 hours)", every(120)),
            ("rate(1 days)", None),
            ("rate(1 minutes)", None),
            ("rate(0 minutes)", None),
            ("rate(-1 minutes)", None),
            ("rate(5 fortnights)", None),
            ("rate 5 minutes", None),
            ("", None),
            (
                "at(2026-01-01T00:00:00)",
                Some(When::At(Time::from_seconds(1_767_225_600))),
            ),
            ("at(soon)", None),
        ];
        for (text, expected) in cases {
            assert_eq!(expression(text), expected, "{text}");
        }
    }
}
