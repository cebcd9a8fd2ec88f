//! The guard of an environment: a schedule in the account that puts base back again and again from the moment a lease ends,
//! should nobody be there to renew it. It calls UpdateComputeEnvironment itself; no code of ours runs.

use aws_sdk_scheduler::types::{
    ActionAfterCompletion, FlexibleTimeWindow, FlexibleTimeWindowMode, RetryPolicy, ScheduleState, Target,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::DateTime;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde::{Deserialize, Serialize};

use crate::account::survey::Base;
use crate::aws::errors::{code, failed, unread};
use crate::aws::{Aws, GuardSettings};
use crate::daemon::cloud::{NamedGuard, Read, Unread};
use crate::ids::fnv1a;
use crate::observation::GapReason;
use crate::units::{Span, Time, Vcpus};

/// What every schedule of ours begins with.
pub(super) const PREFIX: &str = "autotune-";
/// Longest name of a schedule.
const NAME_MOST: usize = 64;
/// An update may be refused while another is under way: try until it is not.
const EVERY: &str = "rate(5 minutes)";
/// After this nobody should be surprised by us any more.
const FOR: Span = Span::from_minutes(120);
/// UpdateComputeEnvironment as a target of its own.
pub(super) const TARGET: &str = "arn:aws:scheduler:::aws-sdk:batch:updateComputeEnvironment";

/// The request that the schedule makes. Targets of this kind want the model's member names with a capital first letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    compute_environment: String,
    compute_resources: Restored,
}

/// Nothing but scaling fields, as in our own updates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Restored {
    #[serde(rename = "MinvCpus")]
    min_vcpus: i64,
    #[serde(rename = "MaxvCpus", default, skip_serializing_if = "Option::is_none")]
    max_vcpus: Option<i64>,
}

impl Aws {
    /// Moves the guard, or creates it the first time. An update replaces the whole schedule, so both send all of it.
    pub(super) async fn set_guard(&self, guard: &NamedGuard) -> Read<()> {
        let settings = self.guard_settings()?;
        let name = name(&guard.environment);
        let target = target(settings, guard)?;
        let window = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build();
        let window = window.map_err(|e| failed(e.to_string()))?;
        let from = DateTime::from_millis(guard.fires.millis());
        let to = DateTime::from_millis((guard.fires + FOR).millis());
        let description = "Restores minvCpus if autotune is gone";
        let moved = self
            .scheduler
            .update_schedule()
            .name(&name)
            .group_name(&settings.group)
            .schedule_expression(EVERY)
            .start_date(from)
            .end_date(to)
            .description(description)
            .state(ScheduleState::Enabled)
            .flexible_time_window(window.clone())
            .target(target.clone())
            .action_after_completion(ActionAfterCompletion::Delete)
            .send()
            .await;
        match moved {
            Ok(_) => return Ok(()),
            Err(error) if code(&error) == Some("ResourceNotFoundException") => {}
            Err(error) => return Err(not_set("scheduler:UpdateSchedule", &error)),
        }
        let created = self
            .scheduler
            .create_schedule()
            .name(&name)
            .group_name(&settings.group)
            .schedule_expression(EVERY)
            .start_date(from)
            .end_date(to)
            .description(description)
            .state(ScheduleState::Enabled)
            .flexible_time_window(window)
            .target(target)
            .action_after_completion(ActionAfterCompletion::Delete)
            .send()
            .await;
        created.map_err(|e| not_set("scheduler:CreateSchedule", &e))?;
        Ok(())
    }

    pub(super) async fn remove_guard(&self, environment: &str) -> Read<()> {
        let Some(settings) = &self.settings.guard else {
            return Ok(());
        };
        let call = self.scheduler.delete_schedule().name(name(environment));
        match call.group_name(&settings.group).send().await {
            Ok(_) => Ok(()),
            Err(error) if code(&error) == Some("ResourceNotFoundException") => Ok(()),
            Err(error) => Err(unread("scheduler:DeleteSchedule", &error)),
        }
    }

    /// All guards of the group. Schedules that do not read as one of ours are left alone.
    pub(super) async fn read_guards(&self) -> Read<Vec<NamedGuard>> {
        let Some(settings) = &self.settings.guard else {
            return Ok(Vec::new());
        };
        let call = self
            .scheduler
            .list_schedules()
            .group_name(&settings.group)
            .name_prefix(PREFIX);
        let mut pages = call.into_paginator().items().send();
        let mut names = Vec::new();
        while let Some(summary) = pages.next().await {
            let summary = summary.map_err(|e| unread("scheduler:ListSchedules", &e))?;
            names.extend(summary.name);
        }
        let mut guards = Vec::with_capacity(names.len());
        for name in names {
            let call = self.scheduler.get_schedule().group_name(&settings.group).name(&name);
            let schedule = match call.send().await {
                Ok(schedule) => schedule,
                // Its time was over, or somebody removed it, after it was listed.
                Err(error) if code(&error) == Some("ResourceNotFoundException") => continue,
                Err(error) => return Err(unread("scheduler:GetSchedule", &error)),
            };
            let fires = schedule.start_date.and_then(|at| at.to_millis().ok());
            let input = schedule.target.and_then(|target| target.input);
            if let (Some(fires), Some(input)) = (
                fires,
                input.and_then(|input| serde_json::from_str::<Input>(&input).ok()),
            ) {
                guards.push(named(input, Time::from_millis(fires)));
            } else {
                tracing::warn!(schedule = name, "A schedule with our prefix is not a guard of ours");
            }
        }
        Ok(guards)
    }

    fn guard_settings(&self) -> Read<&GuardSettings> {
        let settings = self.settings.guard.as_ref();
        settings.ok_or_else(|| failed("no guard is configured; expected a schedule group and a role"))
    }
}

/// Handing the guard's role over is a permission of its own, and its lack looks the same.
fn not_set<E>(action: &str, error: &SdkError<E, HttpResponse>) -> Unread
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let mut unread = unread(action, error);
    if unread.why == GapReason::Denied && code(error) == Some("AccessDeniedException") {
        unread.message.push_str(", and `iam:PassRole` for the guard's role");
    }
    unread
}

/// What a schedule puts back, by its input; `None`: it is no guard's.
pub(super) fn restored(input: &str) -> Option<Base> {
    let input: Input = serde_json::from_str(input).ok()?;
    Some(Base {
        compute_environment: input.compute_environment,
        min_vcpus: input.compute_resources.min_vcpus,
        max_vcpus: input.compute_resources.max_vcpus,
    })
}

fn named(input: Input, fires: Time) -> NamedGuard {
    NamedGuard {
        environment: input.compute_environment,
        fires,
        min_vcpus: Vcpus::new(input.compute_resources.min_vcpus),
        max_vcpus: input.compute_resources.max_vcpus.map(Vcpus::new),
    }
}

fn target(settings: &GuardSettings, guard: &NamedGuard) -> Read<Target> {
    let input = Input {
        compute_environment: guard.environment.clone(),
        compute_resources: Restored {
            min_vcpus: guard.min_vcpus.get(),
            max_vcpus: guard.max_vcpus.map(Vcpus::get),
        },
    };
    let input = serde_json::to_string(&input).map_err(|e| failed(e.to_string()))?;
    Target::builder()
        .arn(TARGET)
        .role_arn(&settings.role_arn)
        // A refused attempt is not repeated by itself: it could land hours later on somebody else's raise.
        .retry_policy(RetryPolicy::builder().maximum_retry_attempts(0).build())
        .input(input)
        .build()
        .map_err(|e| failed(e.to_string()))
}

/// The schedule's name: the environment's, if it is short and plain; otherwise cut, with a hash of the whole.
fn name(environment: &str) -> String {
    let plain = environment
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if plain && environment.len() <= NAME_MOST - PREFIX.len() {
        return format!("{PREFIX}{environment}");
    }
    // A dot appears in no environment's name, so a cut name is never another's whole name.
    let hash = format!(".{:016x}", fnv1a(environment));
    let room = NAME_MOST - PREFIX.len() - hash.len();
    let safe = environment
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' });
    let cut: String = safe.take(room).collect();
    format!("{PREFIX}{cut}{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_schedules_are_safe_short_and_never_shared() {
        let long = "e".repeat(128);
        let names = [
            "spot",
            "Spot",
            "a_b",
            "a.b",
            "a/b",
            "é",
            "",
            &long,
            &long[..127],
            &long[..55],
            &long[..56],
        ];
        let schedules: std::collections::BTreeSet<String> = names.iter().map(|n| name(n)).collect();
        assert_eq!(schedules.len(), names.len());
        assert_eq!(name("spot"), "autotune-spot");
        for schedule in &schedules {
            assert!(schedule.len() <= 64, "{schedule}");
            let safe = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            assert!(schedule.chars().all(safe), "{schedule}");
        }
    }
}
