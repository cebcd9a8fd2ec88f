//! SubmitJob, TerminateJob, CancelJob.
//!
//! Nothing runs: a job is RUNNING for as long as its environment variable `SANDBOX_RUN_SECONDS` says, or its command where that is
//! `sleep SECONDS`, or a minute. `SANDBOX_FAILS=true` lets it end as FAILED.

use serde_json::{Map, Value, json};

use crate::ids::ArrayIndex;
use crate::jobs::JobStatus;
use crate::sandbox::definitions::{Definition, nodes, shape};
use crate::sandbox::ids::JobRef;
use crate::sandbox::input::{Input, Taken};
use crate::sandbox::jobs::{Submitted, array_of};
use crate::sandbox::refused::Refused;
use crate::sandbox::state::State;
use crate::simulate::world::Submission;
use crate::trace::{Dependency, Ending};
use crate::units::{Span, to_u32};

/// How long a job runs that does not say.
const RUN: Span = Span::from_minutes(1);
/// How long one may run at most: longer than any job does.
const RUN_MOST: Span = Span::from_minutes(60 * 24 * 365);
/// Most jobs that one may wait for.
const PARENTS_MOST: usize = 20;
/// A payload's largest size (AWS Batch user guide, service quotas).
const PAYLOAD_MOST: usize = 30 << 10;

impl State {
    pub(in crate::sandbox) fn submit_job(&mut self, input: Input<'_>) -> Taken<Value> {
        let name = input.required("jobName")?;
        if !is_name(name) {
            return Err(Refused::executing("Job name should match valid pattern"));
        }
        let wanted_queue = input.required("jobQueue")?;
        let wanted_definition = input.required("jobDefinition")?;
        let queue = self.queue_or_refuse(wanted_queue)?;
        let definition = self.definitions.find(&self.names, wanted_definition)?;
        let definition_arn = definition.arn(&self.names);
        let overrides = input.structure("containerOverrides")?;
        let (ask, container) = asked(&definition, overrides)?;
        if container.to_string().len() > PAYLOAD_MOST {
            return Err(Refused::executing("Job payload is larger than 30 KiB"));
        }
        let size = match input.structure("arrayProperties")? {
            Some(array) => array.whole("size")?,
            None => None,
        };
        if let Some(size) = size.filter(|size| !(2..=10_000).contains(size)) {
            return Err(Refused::executing(&format!(
                "Array size {size} should be between 2 and 10000"
            )));
        }
        let size = size.map(to_u32);
        let parents = self.parents(input, size)?;
        let (run, ending) = course(&container);
        let submission = Submission {
            queue,
            shape: ask,
            name: definition_arn.rsplit('/').next().unwrap_or_default().to_owned(),
            run,
            ending,
            array: size,
            sequential: parents.sequential,
            after: parents.after,
            after_each: parents.after_each,
        };
        let full = || Refused::new(500, "ServerException", "The simulated account is full");
        let first = self.world.submit_now(&submission).ok_or_else(full)?;
        let job = match (size, self.world.recorded(first).and_then(|job| job.array)) {
            (Some(_), Some(array)) => JobRef::Array(array),
            _ => JobRef::Job(first),
        };
        let tags = input.map("tags")?;
        let submitted = Submitted {
            name: name.to_owned(),
            definition_arn,
            depends_on: parents.sent,
            container,
            tags: tags
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        };
        self.book.remember(first, submitted);
        self.hear();
        Ok(json!({"jobArn": self.names.job_arn(job), "jobName": name, "jobId": self.names.job_id(job)}))
    }

    /// TerminateJob ends everything; CancelJob only what has not been placed.
    pub(super) fn end_job(&mut self, input: Input<'_>, terminate: bool) -> Taken<Value> {
        let id = input.required("jobId")?;
        let reason = input.required("reason")?;
        // What the service says of an id that it never gave is not known.
        let unknown = || Refused::client(format!("Job {id} does not exist"));
        let job = self.names.job_ref(id).ok_or_else(unknown)?;
        self.see(job).ok_or_else(unknown)?;
        let mut all = self.children_of(job);
        if all.is_empty() {
            all.extend(self.index_of(job));
        }
        for job in all {
            let Some(now) = self.world.job(job) else { continue };
            let status = crate::sandbox::jobs::status(&now);
            let waits = matches!(status, JobStatus::Submitted | JobStatus::Pending | JobStatus::Runnable);
            let runs = matches!(status, JobStatus::Starting | JobStatus::Running);
            if waits || (runs && terminate) {
                self.book.note_end(job, reason, terminate);
                self.world.end_job(job);
            }
        }
        self.hear();
        Ok(json!({}))
    }

    fn parents(&self, input: Input<'_>, size: Option<u32>) -> Taken<Parents> {
        let sent = input.structures("dependsOn")?;
        if sent.len() > PARENTS_MOST {
            return Err(Refused::executing("A job can depend on 20 jobs at most"));
        }
        let mut parents = Parents::default();
        for parent in sent {
            let (id, kind) = (parent.text("jobId")?, parent.text("type")?);
            parents.sent.push((id.map(str::to_owned), kind.map(str::to_owned)));
            let array_only = || Refused::executing("Dependency types are for array jobs only");
            match (id, kind) {
                (None, Some("SEQUENTIAL")) => {
                    size.ok_or_else(array_only)?;
                    parents.sequential = true;
                }
                (Some(id), None | Some("N_TO_N" | "SEQUENTIAL")) => {
                    let unknown = || Refused::executing(&format!("Dependency job {id} does not exist"));
                    let job = self.names.job_ref(id).ok_or_else(unknown)?;
                    let index = self.index_of(job).ok_or_else(unknown)?;
                    match job {
                        JobRef::Array(array) if kind == Some("N_TO_N") => {
                            let theirs = array_of(self.world.trace(), array).map(|array| array.size);
                            if theirs != Some(size.ok_or_else(array_only)?) {
                                return Err(Refused::executing(
                                    "Arrays of an N_TO_N dependency should have the same size",
                                ));
                            }
                            parents.after_each.push(array);
                        }
                        JobRef::Array(array) => parents.after.push(Dependency::Array(array)),
                        JobRef::Job(_) | JobRef::Child(..) => parents.after.push(Dependency::Job(index)),
                    }
                }
                _ => {
                    return Err(Refused::executing(
                        "A dependency should have a jobId or the type SEQUENTIAL",
                    ));
                }
            }
        }
        Ok(parents)
    }
}

/// What a job waits for.
#[derive(Debug, Default)]
struct Parents {
    sent: Vec<(Option<String>, Option<String>)>,
    sequential: bool,
    after: Vec<Dependency>,
    after_each: Vec<ArrayIndex>,
}

/// Letters, digits, dashes and underscores, 128 at most, beginning with a letter or digit.
fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    name.len() <= 128 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(allowed)
}

/// What a job asks for, and its container with what was overridden.
fn asked(definition: &Definition, overrides: Option<Input<'_>>) -> Taken<(crate::observation::Shape, Value)> {
    let sent = Input::of(&definition.sent)?;
    if sent.text("type")? == Some("multinode") {
        return Ok((nodes(sent)?, json!({})));
    }
    let own = sent.structure("containerProperties")?;
    let ask = shape(&[own, overrides])?;
    let mut container = Map::new();
    for name in ["image", "command", "environment", "jobRoleArn"] {
        let given = overrides.and_then(|overrides| overrides.get(name));
        let given = given.filter(|_| name != "environment");
        if let Some(value) = given.or_else(|| own.and_then(|own| own.get(name))) {
            container.insert(name.to_owned(), value.clone());
        }
    }
    let mut variables: Vec<Value> = Vec::new();
    for source in [own, overrides].into_iter().flatten() {
        for variable in source.list("environment")? {
            let name = variable.get("name");
            variables.retain(|known| known.get("name") != name);
            variables.push(variable.clone());
        }
    }
    container.insert("environment".to_owned(), Value::Array(variables));
    Ok((ask, Value::Object(container)))
}

/// How long a container runs and how it ends.
fn course(container: &Value) -> (Span, Ending) {
    let variable = |wanted: &str| {
        let all = container.get("environment")?.as_array()?;
        let named = all
            .iter()
            .find(|variable| variable.get("name").and_then(Value::as_str) == Some(wanted))?;
        named.get("value")?.as_str()
    };
    let command: Vec<&str> = (container.get("command").and_then(Value::as_array).into_iter().flatten())
        .filter_map(Value::as_str)
        .collect();
    let sleeps = match command.as_slice() {
        ["sleep", seconds] => Some(*seconds),
        _ => None,
    };
    let seconds = variable("SANDBOX_RUN_SECONDS").or(sleeps);
    let seconds = seconds.and_then(|seconds| Span::from_seconds_f64(seconds.parse().ok()?));
    let ending = match variable("SANDBOX_FAILS") {
        Some("true") => Ending::Failed,
        _ => Ending::Succeeded,
    };
    (seconds.unwrap_or(RUN).max(Span::ZERO).min(RUN_MOST), ending)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_runs_as_long_as_it_says() {
        let cases = [
            (json!({}), 60_000),
            (json!({"command": ["sleep", "5"]}), 5_000),
            (json!({"command": ["sleep", "x"]}), 60_000),
            (json!({"command": ["sleep", "-5"]}), 0),
            (json!({"command": ["python", "run.py"]}), 60_000),
            (
                json!({"command": ["sleep", "5"], "environment": [{"name": "SANDBOX_RUN_SECONDS", "value": "0.5"}]}),
                500,
            ),
        ];
        for (container, millis) in cases {
            assert_eq!(
                course(&container),
                (Span::from_millis(millis), Ending::Succeeded),
                "{container}"
            );
        }
        let fails = json!({"environment": [{"name": "SANDBOX_FAILS", "value": "true"}]});
        assert_eq!(course(&fails).1, Ending::Failed);
    }
}
