//! AT5xx: job definitions.

use super::Report;
use super::rule::{Finding, Severity, batch_api, batch_guide, rules};
use super::view::{View, registered, size_of};
use crate::account::survey::{EvaluateOnExit, JobDefinition, RetryStrategy};
use crate::catalog::{InstanceType, Purchase, Resources};

rules! {
    NO_RETRY = "AT501" "spot-without-retry" Warning {
        finds: "A job definition whose jobs may run on Spot and are not tried again when the instance is taken away.",
        why: "An interruption ends the job with \"Host EC2 (instance i-...) terminated\". By default a job has one attempt, so it is lost.",
        fix: r#"retryStrategy: {"attempts": 3, "evaluateOnExit": [{"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}]}"#,
        sources: [batch_guide!("job_retries"), "https://aws.amazon.com/blogs/compute/introducing-retry-strategies-for-aws-batch/"],
    }
    NOMINAL = "AT502" "memory-at-nominal-size" Warning {
        finds: "A job that asks for about as much memory as a type has on paper, so that it just does not fit there.",
        why: "The system and the ECS agent keep a part: m4.large has 8,192 MiB and registers 7,985 less 32. Such a job goes to the next larger \
              type and leaves half of it idle, or fits nowhere. How much is kept differs; here 2.6 % are assumed.",
        fix: "Ask for what the type registers (about 5 % less than it has on paper).",
        sources: [batch_guide!("memory-management"), batch_guide!("ecs-reserved-memory")],
    }
    NO_TIMEOUT = "AT503" "no-timeout" Info {
        finds: "A job definition without a timeout.",
        why: "A job that hangs keeps its instance until somebody notices.",
        fix: r#"timeout: {"attemptDurationSeconds": SECONDS}, several times what its jobs take"#,
        sources: [batch_guide!("job_timeouts"), batch_api!("JobTimeout")],
    }
}

pub(super) fn check(view: &View<'_>, report: &mut Report) {
    let definitions = match view.survey.job_definitions.read() {
        Ok(definitions) => definitions,
        Err(why) => {
            let all: Vec<_> = RULES.to_vec();
            return report.unread(&all, "job definitions", why);
        }
    };
    if let Some(why) = view.survey.cut.get("job_definitions") {
        report.unread(RULES, "job definitions", why);
    }
    timeouts(definitions, report);
    let mut told: Vec<(&str, &'static str)> = Vec::new();
    for (environment, _) in view.on_ecs() {
        // Why job queues are not known is told elsewhere; without them every definition counts.
        let Ok((theirs, seen)) = view.definitions_of(environment.name()) else {
            report.unread(
                &[&NO_RETRY, &NOMINAL],
                environment.name(),
                "which jobs come to it is not known",
            );
            continue;
        };
        if let Some(why) = environment.unknown() {
            report.unread(&[&NOMINAL], environment.name(), why);
        }
        for definition in theirs {
            let name = definition.job_definition_name.as_str();
            // Multi-node jobs never run on Spot.
            if environment.purchase == Purchase::Spot
                && definition.r#type != "multinode"
                && !survives(definition.retry_strategy.as_ref())
                && !told.contains(&(name, NO_RETRY.code))
            {
                told.push((name, NO_RETRY.code));
                let finding = Finding::of(&NO_RETRY, name, "its jobs are lost when a Spot instance is taken away");
                let attempts = definition
                    .retry_strategy
                    .as_ref()
                    .and_then(|retry| retry.attempts)
                    .unwrap_or(1);
                let finding = finding
                    .with("attempts", attempts)
                    .with("compute environment", environment.name());
                report.add(if seen {
                    finding.with("its jobs there", "were seen")
                } else {
                    let finding = finding.with("its jobs there", "are possible (assumed)");
                    finding.rated(Severity::Info)
                });
            }
            if told.contains(&(name, NOMINAL.code)) {
                continue;
            }
            if let Some((size, one)) = just_too_large(definition, &environment.types) {
                told.push((name, NOMINAL.code));
                let room = registered(one).memory.get();
                let message = format!(
                    "{} MiB just do not fit on {}, which has about {room} for jobs",
                    size.memory.get(),
                    one.name
                );
                let finding = Finding::of(&NOMINAL, name, message)
                    .with("MEMORY", size.memory.get())
                    .with("type", &one.name);
                report.add(
                    finding
                        .with("nominal", one.nominal.memory.get())
                        .with("registered", format!("{room} (assumed)")),
                );
            }
        }
    }
}

/// AT503.
fn timeouts(definitions: &[JobDefinition], report: &mut Report) {
    for definition in definitions {
        if definition
            .timeout
            .as_ref()
            .and_then(|timeout| timeout.attempt_duration_seconds)
            .is_none()
        {
            let name = &definition.job_definition_name;
            report.add(Finding::of(&NO_TIMEOUT, name, "its jobs may run for ever").with("timeout", "not set"));
        }
    }
}

/// Whether a job is tried again after its host is gone: the first condition that matches decides, none means that it is.
fn survives(retry: Option<&RetryStrategy>) -> bool {
    let Some(retry) = retry else { return false };
    if retry.attempts.unwrap_or(1) < 2 {
        return false;
    }
    let first = retry
        .evaluate_on_exit
        .iter()
        .find(|condition| matches_host_loss(condition));
    first.is_none_or(|condition| condition.action.eq_ignore_ascii_case("RETRY"))
}

/// As AWS Batch says it of a job whose instance is gone. There is no exit code, and what the container's reason is, is not documented:
/// only a pattern that matches everything is taken to match it.
fn matches_host_loss(condition: &EvaluateOnExit) -> bool {
    let status = condition.on_status_reason.as_deref().is_none_or(|pattern| {
        let reason = "Host EC2 (instance i-0123456789abcdef0) terminated.";
        match pattern.strip_suffix('*') {
            Some(begins) => reason.starts_with(begins),
            None => reason == pattern,
        }
    });
    let anything = |pattern: Option<&String>| pattern.is_none_or(|pattern| pattern == "*");
    status && anything(condition.on_reason.as_ref()) && anything(condition.on_exit_code.as_ref())
}

/// A type on which the job fits on paper with nothing left of memory to speak of, and not in truth.
fn just_too_large<'t>(definition: &JobDefinition, types: &'t [InstanceType]) -> Option<(Resources, &'t InstanceType)> {
    let size = size_of(definition)?;
    let on_paper = |one: &&InstanceType| one.nominal.hold(&size) && !registered(one).hold(&size);
    let found = types.iter().filter(on_paper).min_by_key(|one| one.nominal)?;
    Some((size, found))
}
