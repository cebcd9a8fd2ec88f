//! Tasks of Nextflow: `trace.txt`, Seqera's `workflow-tasks.json`, and Seqera's tasks as a table.
//!
//! All three describe the same tasks under slightly different names, so one mapping serves them:
//!
//! | meaning | `trace.txt` | JSON | table |
//! |---|---|---|---|
//! | submit, start, complete | civil times without a zone | ISO 8601 | ISO 8601 |
//! | whole and run time | `duration`, `realtime` as text | milliseconds | `duration_ms`, `realtime_ms` |
//! | size | `cpus`, `memory` (often absent) | `cpus`, `memory` in bytes | `cpus`, `memory_bytes` |
//! | what was used | `peak_rss` | `peakRss` | `peak_rss` |
//! | run | the file | the file | `run` |
//!
//! Run time is start to complete where both are recorded (RUNNING to the end, as AWS Batch counts it). `trace.txt` has no
//! start by default: then it is `realtime`, and the wait is the rest of `duration`, staging included. (Nextflow documentation,
//! "Tracing & visualisation, Trace file": `realtime` is the time of the task's own script, `duration` that from submission to
//! completion.) Which attempt a task is comes from its own column, else from how often its name has occurred.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;

use super::Ending;
use super::build::{Builder, Draft, Role};
use super::input::{Exceeded, Input, unreadable};
use super::rebuild;
use super::report::{Problem, Remark};
use super::rows::{Row, Rows};
use super::size::Ask;
use super::{table, values};
use crate::units::{Span, Time, to_u32, to_u64};

/// A task that ran.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// Which run it belongs to; tasks of different runs have nothing to do with each other.
    pub(super) run: String,
    /// Its number within the run.
    pub(super) id: u64,
    /// Process and tag: `FASTQC (sample 1)`.
    pub(super) name: String,
    /// `FASTQC`.
    pub(super) process: String,
    /// Which attempt, from 1; zero until it is known.
    pub(super) attempt: u32,
    /// When it was submitted.
    pub(super) submit: Time,
    /// When it ended.
    pub(super) end: Time,
    /// Whether it failed.
    pub(super) failed: bool,
    run_time: Span,
    wait: Span,
    ask: Ask,
    queue: String,
    line: u64,
}

/// A record by the names of its fields.
trait Record {
    /// The first of these fields that is there and not empty.
    fn get(&self, names: &[&str]) -> Option<Cow<'_, str>>;
}

struct TableRecord<'a> {
    columns: &'a HashMap<String, usize>,
    row: &'a Row,
}

impl Record for TableRecord<'_> {
    fn get(&self, names: &[&str]) -> Option<Cow<'_, str>> {
        let found = names.iter().find_map(|name| self.row.cell(*self.columns.get(*name)?));
        found.filter(|text| *text != "-").map(Cow::Borrowed)
    }
}

impl Record for serde_json::Map<String, Value> {
    fn get(&self, names: &[&str]) -> Option<Cow<'_, str>> {
        names.iter().find_map(|name| match Self::get(self, *name)? {
            Value::String(text) if !text.is_empty() => Some(Cow::Borrowed(text.as_str())),
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        })
    }
}

/// Reads `trace.txt` and the table of Seqera.
pub(super) fn read_table(input: Input, into: &mut Builder) -> Result<(), Problem> {
    let delimiter = std::str::from_utf8(input.head())
        .ok()
        .and_then(|head| table::delimiter(head.lines().next()?));
    let path = into.path().to_path_buf();
    let delimiter = u8::try_from(delimiter.unwrap_or('\t')).unwrap_or(b'\t');
    let mut rows = Rows::open(&path, input, delimiter, &into.options.limits)?;
    let columns: HashMap<String, usize> = rows.columns.iter().cloned().zip(0..).collect();
    let mut tasks = Tasks::default();
    let mut row = Row::default();
    while rows.next(&mut row)? {
        if row.len() == columns.len() {
            tasks.take(
                &TableRecord {
                    columns: &columns,
                    row: &row,
                },
                row.line,
                row.text(),
                into,
            )?;
        } else {
            into.skip(Remark::Malformed, row.line, row.text())?;
        }
    }
    tasks.finish(into)
}

/// Reads `workflow-tasks.json`: a list of tasks, or the reply of the API (`{"tasks":[{"task":{...}}]}`), or several of them.
pub(super) fn read_json(input: Input, into: &mut Builder) -> Result<(), Problem> {
    let text = input.into_document(into.path(), &into.options.limits)?;
    let mut tasks = Tasks::default();
    for document in serde_json::Deserializer::from_slice(&text).into_iter::<Value>() {
        let document = document.map_err(|error| {
            Problem::new(into.path(), format!("broken JSON: {error}"), "Seqera tasks").at(to_u64(error.line()))
        })?;
        let list = match document {
            Value::Array(list) => list,
            Value::Object(mut object) => match object.remove("tasks") {
                Some(Value::Array(list)) => list,
                _ => vec![Value::Object(object)],
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        };
        for (position, item) in list.into_iter().enumerate() {
            // JSON has no useful lines; records are counted instead.
            let number = to_u64(position + 1);
            match item {
                Value::Object(mut object) => {
                    let inner = match object.remove("task") {
                        Some(Value::Object(inner)) => inner,
                        _ => object,
                    };
                    let name = Record::get(&inner, &["name", "process"])
                        .unwrap_or_default()
                        .into_owned();
                    tasks.take(&inner, number, name.as_bytes(), into)?;
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                    into.skip(Remark::Malformed, number, b"a task that is no object")?;
                }
            }
        }
    }
    tasks.finish(into)
}

/// What of a record is not a task that can be replayed.
struct Unusable(Remark);

#[derive(Default)]
struct Tasks {
    tasks: Vec<Task>,
    /// Tasks with a number in place of an AWS Batch job id, with their lines: they ran beside Batch if others have ids.
    local: Vec<Task>,
}

impl Tasks {
    fn take(&mut self, record: &impl Record, line: u64, text: &[u8], into: &mut Builder) -> Result<(), Problem> {
        match task(record, line, text, into) {
            Ok(task) => {
                let id = record.get(&["native_id", "nativeId"]);
                let executor = record.get(&["executor"]);
                let by_executor = executor.map(|name| name != "awsbatch");
                if by_executor.unwrap_or_else(|| id.is_some_and(|id| id.parse::<u64>().is_ok())) {
                    self.local.push(task);
                } else {
                    self.tasks.push(task);
                }
                let most = into.options.limits.jobs;
                if to_u64(self.tasks.len() + self.local.len()) > most {
                    return Err(unreadable(
                        into.path(),
                        line,
                        &Exceeded::error("jobs", most, "--max-jobs"),
                    ));
                }
                Ok(())
            }
            Err(Unusable(remark)) => into.skip(remark, line, text),
        }
    }

    fn finish(mut self, into: &mut Builder) -> Result<(), Problem> {
        if self.tasks.is_empty() {
            self.tasks.append(&mut self.local);
        }
        for task in self.local {
            into.remark(Remark::RanElsewhere, task.line, task.name.as_bytes());
        }
        let mut tasks = self.tasks;
        tasks.sort_by(|a, b| {
            (a.submit, &a.run, a.id, &a.name, a.end, a.line).cmp(&(b.submit, &b.run, b.id, &b.name, b.end, b.line))
        });
        number_attempts(&mut tasks);
        let inferred = if into.options.rebuild_dependencies {
            rebuild::infer(&tasks, into.options.rebuild_window)
        } else {
            Vec::new()
        };
        let mut thinks = vec![None; tasks.len()];
        for edge in &inferred {
            if let Some(slot) = thinks.get_mut(edge.child) {
                *slot = Some(edge.think);
            }
        }
        let mut positions = Vec::with_capacity(tasks.len());
        for ((task, think), tie) in tasks.iter().zip(thinks).zip(0..) {
            let draft = Draft {
                submit: task.submit,
                run: task.run_time,
                wait: Some(task.wait),
                ask: Ask {
                    attempt: task.attempt,
                    ..task.ask
                },
                name: into.name(&task.process),
                queue: into.queue(&task.queue),
                ending: if task.failed { Ending::Failed } else { Ending::Succeeded },
                think,
                array: None,
                tie: Some(tie),
                line: task.line,
            };
            positions.push(into.push(&draft)?);
        }
        for edge in inferred {
            if let (Some(child), Some(parent)) = (positions.get(edge.child), positions.get(edge.parent)) {
                into.depend(*child, Role::Spawner, *parent);
                let line = tasks.get(edge.child).map_or(0, |task| task.line);
                let name = tasks.get(edge.child).map_or("", |task| task.name.as_str());
                into.remark(Remark::Inferred, line, name.as_bytes());
            }
        }
        Ok(())
    }
}

fn task(record: &impl Record, line: u64, text: &[u8], into: &mut Builder) -> Result<Task, Unusable> {
    let status = record.get(&["status"]).unwrap_or(Cow::Borrowed("COMPLETED"));
    let failed = match status.as_ref() {
        "COMPLETED" => false,
        "FAILED" => true,
        "CACHED" => return Err(Unusable(Remark::Cached)),
        "ABORTED" => return Err(Unusable(Remark::NeverRan)),
        "NEW" | "SUBMITTED" | "PENDING" | "RUNNING" => return Err(Unusable(Remark::Unfinished)),
        _ => return Err(Unusable(Remark::Malformed)),
    };
    let mut time = |names: &[&str]| {
        let (time, own_zone) = values::time(&record.get(names)?, &into.options.time_zone)?;
        if !own_zone {
            into.remark(Remark::ZoneAssumed, line, text);
        }
        Some(time)
    };
    let submit = time(&["submit"]).ok_or(Unusable(Remark::MissingSubmit))?;
    let (start, complete) = (time(&["start"]), time(&["complete"]));
    let span = |names: &[&str]| values::span(&record.get(names)?);
    let (duration, realtime) = (span(&["duration", "duration_ms"]), span(&["realtime", "realtime_ms"]));
    let end = complete.or_else(|| Some(submit + duration?));
    let mut reversed = false;
    let mut between = |from: Time, to: Time| {
        reversed |= to < from;
        if to < from { Span::ZERO } else { to.since(from) }
    };
    let (wait, run_time, end) = match (start, end, realtime) {
        (Some(start), Some(end), _) => (between(submit, start), between(start, end), end),
        (Some(start), None, Some(realtime)) => (between(submit, start), realtime, start + realtime),
        (None, Some(end), Some(realtime)) => {
            into.remark(Remark::StartUnknown, line, text);
            (between(submit + realtime, end), realtime, end)
        }
        _ if failed => return Err(Unusable(Remark::NeverRan)),
        _ => return Err(Unusable(Remark::MissingRun)),
    };
    if reversed {
        into.remark(Remark::TimesReversed, line, text);
    }
    let (run_time, wait) = (between_plausible(run_time)?, between_plausible(wait)?);
    let name = record
        .get(&["name", "process"])
        .unwrap_or(Cow::Borrowed("task"))
        .into_owned();
    let process = match record.get(&["process"]) {
        Some(process) => process.into_owned(),
        None => name.split(" (").next().unwrap_or(&name).to_owned(),
    };
    let whole = |names: &[&str]| record.get(names).and_then(|text| text.parse::<u64>().ok());
    Ok(Task {
        run: record
            .get(&["run", "workflowId"])
            .map(Cow::into_owned)
            .unwrap_or_default(),
        id: whole(&["task_id", "taskId"]).unwrap_or(0),
        attempt: whole(&["attempt"]).map_or(0, to_u32),
        ask: ask(record, line, into),
        queue: record
            .get(&["queue"])
            .map_or_else(|| "default".to_owned(), Cow::into_owned),
        name,
        process,
        submit,
        end,
        failed,
        run_time,
        wait,
        line,
    })
}

/// Each time may be plausible, and what lies between is not.
fn between_plausible(span: Span) -> Result<Span, Unusable> {
    values::plausible_span(span).ok_or(Unusable(Remark::MissingRun))
}

fn ask(record: &impl Record, line: u64, into: &mut Builder) -> Ask {
    let memory = |names: &[&str]| values::memory(&record.get(names)?);
    let cpus = record.get(&["cpus"]).and_then(|text| values::vcpus(text.parse().ok()?));
    if let Some((_, true)) = cpus {
        into.remark(
            Remark::VcpusRounded,
            line,
            record.get(&["cpus"]).unwrap_or_default().as_bytes(),
        );
    }
    let gpus = record
        .get(&["accelerator", "accelerators", "numGpus"])
        .and_then(|text| text.parse().ok());
    Ask {
        vcpus: cpus.map(|(count, _)| count),
        memory: memory(&["memory", "memory_bytes"]),
        memory_used: memory(&["peak_rss", "peakRss"]),
        gpus: gpus.unwrap_or(0),
        ..Ask::default()
    }
}

/// Tasks without an attempt of their own: how often the same name has been submitted before in the same run.
fn number_attempts(tasks: &mut [Task]) {
    let mut seen: HashMap<(String, String), u32> = HashMap::new();
    for task in tasks {
        let count = seen.entry((task.run.clone(), task.name.clone())).or_default();
        *count += 1;
        if task.attempt == 0 {
            task.attempt = *count;
        }
    }
}
