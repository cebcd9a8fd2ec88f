//! The native format: everything a [`Trace`] holds, as JSON lines.
//!
//! One JSON object a line, UTF-8, each with exactly one key that says what the line is. The first line is the header; the
//! others may stand in any order. Unknown keys are errors, so that a misspelt one is not lost in silence.
//!
//! ```text
//! {"autotune_trace":{"version":1,"jobs":3}}
//! {"job":{"id":0,"submit_ms":1700000000000,"run_ms":60000,"wait_ms":9000,"vcpus":4,"memory_mib":8192,"queue":"main","name":"align"}}
//! {"job":{"id":1,"submit_ms":1700000000000,"run_ms":5000,"vcpus":1,"memory_mib":2048,"queue":"main","name":"split","array":0}}
//! {"job":{"id":2,"think_ms":500,"run_ms":9000,"vcpus":1,"memory_mib":2048,"queue":"main","name":"merge","spawned_by":[0],"after_arrays":[0]}}
//! {"array":{"id":0,"children":1,"sequential":false}}
//! {"message":{"sqs_queue":"incoming","sent_ms":1699999990000,"received_ms":1699999999000}}
//! ```
//!
//! | line | key | unit | meaning |
//! |---|---|---|---|
//! | `autotune_trace` | `version` | | 1 |
//! | | `jobs` | count | how many job lines follow; a file cut short is noticed. Optional |
//! | | `left_out` | counts | jobs that were recorded and are not here: `unseen`, `unsubmitted`, `unstarted`, `unfinished`, `never_ran`; dropped `dependencies`; and `unfollowed`, jobs that were too many to follow, of each queue at its worst: some may be missing. Optional |
//! | `job` | `id` | | unique in the file, below 2^32; orders jobs with the same submit time. Children of an array have ids that no other job with their submit time lies between |
//! | | `submit_ms` | ms since 1970 UTC | when it is submitted |
//! | | `think_ms` | ms | in place of `submit_ms`: it is submitted by other jobs, this long after the last of them has ended |
//! | | `spawned_by`, `spawned_by_arrays` | ids | the jobs, and arrays with all their children, that submit it. Default: all of `after` and `after_arrays`, which it then does not wait for as PENDING |
//! | | `run_ms` | ms | RUNNING to the end |
//! | | `wait_ms` | ms | recorded wait from submission to RUNNING. Optional |
//! | | `vcpus`, `memory_mib` | vCPUs, MiB | what it asks for, per node. Optional for looking, not for replay |
//! | | `gpus`, `nodes` | counts | default 0 and 1 |
//! | | `queue`, `name` | | job queue; job definition, process or executable |
//! | | `failed` | | how it ended; default false |
//! | | `array` | | the array job it is a child of; children share their submit time |
//! | | `after`, `after_arrays` | ids | jobs, and arrays with all their children, that must have ended before |
//! | `array` | `id`, `children`, `sequential` | id, count, | an array job; `sequential`: children run one after the other |
//! | `message` | `sqs_queue`, `sent_ms`, `received_ms` | ms since 1970 UTC | an SQS message that became jobs |

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::build::{Builder, Draft, Role};
use super::input::{Input, unreadable};
use super::report::{Problem, Remark, excerpt};
use super::size::Ask;
use super::values::{plausible_span, time_from_millis};
use super::{Dependency, Ending, Job, Trace};
use crate::ids::{ArrayIndex, JobIndex};
use crate::units::{Span, Time, to_u64, to_usize};

/// The key of the header line, by which the format is recognised.
pub(super) const HEADER_KEY: &str = "autotune_trace";

/// The version that this program writes and reads.
pub const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    AutotuneTrace(Header),
    #[serde(borrow)]
    Job(JobLine<'a>),
    Array(ArrayLine),
    #[serde(borrow)]
    Message(MessageLine<'a>),
}

#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jobs: Option<u64>,
    #[serde(default, skip_serializing_if = "is_default")]
    left_out: LeftOut,
}

/// What a recorder knows to be missing from its recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LeftOut {
    /// Children of arrays that were never seen.
    pub unseen: u64,
    /// Jobs whose submit time is unknown.
    pub unsubmitted: u64,
    /// Jobs that ended, with an unknown start.
    pub unstarted: u64,
    /// Jobs that have not ended yet, or with an unknown end.
    pub unfinished: u64,
    /// Jobs that failed or were cancelled before they ran.
    pub never_ran: u64,
    /// Dependencies on jobs that are not in the recording.
    pub dependencies: u64,
    /// Jobs that were too many for the recorder to follow, of each queue at its worst: some of them may be missing, and are counted
    /// nowhere else.
    pub unfollowed: u64,
}

impl LeftOut {
    /// Jobs of all kinds.
    pub const fn jobs(&self) -> u64 {
        self.unseen
            .saturating_add(self.unsubmitted)
            .saturating_add(self.unstarted)
            .saturating_add(self.unfinished)
            .saturating_add(self.never_ran)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobLine<'a> {
    id: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    submit_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    think_ms: Option<i64>,
    run_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wait_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vcpus: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    memory_mib: Option<i64>,
    #[serde(default, skip_serializing_if = "is_default")]
    gpus: u32,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    nodes: u32,
    #[serde(borrow)]
    queue: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "is_default")]
    failed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    array: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    spawned_by: Vec<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    spawned_by_arrays: Vec<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    after: Vec<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    after_arrays: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArrayLine {
    id: u32,
    children: u32,
    #[serde(default)]
    sequential: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageLine<'a> {
    #[serde(borrow)]
    sqs_queue: Cow<'a, str>,
    sent_ms: i64,
    received_ms: i64,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

const fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
const fn is_one(value: &u32) -> bool {
    *value == 1
}

/// What the first line of a recording says: how many jobs follow, if it tells, and what is missing. `None` if it is no header.
pub fn announced(line: &str) -> Option<(Option<u64>, LeftOut)> {
    match serde_json::from_str(line) {
        Ok(Line::AutotuneTrace(header)) => Some((header.jobs, header.left_out)),
        Ok(Line::Job(_) | Line::Array(_) | Line::Message(_)) | Err(_) => None,
    }
}

/// Writes a trace. Reading it back gives the same trace if this one is canonical (see [`Trace::canonicalise`]).
pub fn write(trace: &Trace, out: &mut impl Write) -> io::Result<()> {
    write_recording(trace, LeftOut::default(), out)
}

/// The same, with what the recorder knows to be missing.
pub fn write_recording(trace: &Trace, left_out: LeftOut, out: &mut impl Write) -> io::Result<()> {
    let mut line = |line: &Line| -> io::Result<()> {
        serde_json::to_writer(&mut *out, line)?;
        out.write_all(b"\n")
    };
    line(&Line::AutotuneTrace(Header {
        version: VERSION,
        jobs: Some(to_u64(trace.jobs.len())),
        left_out,
    }))?;
    for (array, id) in trace.arrays.iter().zip(0..) {
        line(&Line::Array(ArrayLine {
            id,
            children: array.size,
            sequential: array.sequential,
        }))?;
    }
    for message in &trace.messages {
        let name = trace
            .sqs_queues
            .get(to_usize(message.source))
            .map_or("", String::as_str);
        let message = MessageLine {
            sqs_queue: Cow::Borrowed(name),
            sent_ms: message.sent.millis(),
            received_ms: message.received.millis(),
        };
        line(&Line::Message(message))?;
    }
    for (job, id) in trace.jobs.iter().zip(0..) {
        line(&Line::Job(job_line(trace, job, id)))?;
    }
    Ok(())
}

fn job_line<'a>(trace: &'a Trace, job: &Job, id: u32) -> JobLine<'a> {
    let shape = trace.shape_of(job);
    let positive = |number: i64| (number > 0).then_some(number);
    // Files without `spawned_by`, where nothing needs it, are understood by readers that do not know it.
    let (spawners, others) = match trace.spawners_and_others(job) {
        (all, []) => (&[][..], all),
        split => split,
    };
    let (spawned_by, spawned_by_arrays) = jobs_and_arrays(spawners);
    let (after, after_arrays) = jobs_and_arrays(others);
    JobLine {
        id,
        submit_ms: (!job.is_spawned()).then(|| job.submit.millis()),
        think_ms: job.think_time().map(Span::millis),
        run_ms: job.run.millis(),
        wait_ms: job.recorded_wait().map(Span::millis),
        vcpus: positive(shape.resources.vcpus.get()),
        memory_mib: positive(shape.resources.memory.get()),
        gpus: shape.resources.gpus,
        nodes: shape.nodes,
        queue: Cow::Borrowed(trace.queues.get(to_usize(job.queue)).map_or("", String::as_str)),
        name: Cow::Borrowed(trace.names.get(to_usize(job.name)).map_or("", String::as_str)),
        failed: job.ending == Ending::Failed,
        array: job.array.map(|array| array.0),
        spawned_by,
        spawned_by_arrays,
        after,
        after_arrays,
    }
}

fn jobs_and_arrays(dependencies: &[Dependency]) -> (Vec<u32>, Vec<u32>) {
    let (mut jobs, mut arrays) = (Vec::new(), Vec::new());
    for dependency in dependencies {
        match dependency {
            Dependency::Job(parent) => jobs.push(parent.0),
            Dependency::Array(array) => arrays.push(array.0),
        }
    }
    (jobs, arrays)
}

/// Reads a whole file.
pub(super) fn read(input: Input, into: &mut Builder) -> Result<(), Problem> {
    let mut lines = input.into_lines(&into.options.limits);
    let mut file = Native::default();
    loop {
        match lines.next() {
            Ok(Some((_, text))) if text.trim_ascii().is_empty() => {}
            Ok(Some((line, text))) => file.line(line, text, into)?,
            Ok(None) => break,
            Err(error) => return Err(unreadable(into.path(), lines.line(), &error)),
        }
    }
    file.finish(into)
}

#[derive(Default)]
struct Native {
    announced: Option<u64>,
    jobs: u64,
    /// Positions by id.
    ids: HashMap<u32, u32>,
    arrays: HashMap<u32, ArrayIndex>,
    /// Children per array: announced less seen.
    children: HashMap<u32, i64>,
    edges: Vec<(u32, Role, Dependency, u64)>,
    /// Jobs that others submit and none of those is known yet, with their lines.
    unsubmitted: BTreeMap<u32, u64>,
}

impl Native {
    fn line(&mut self, line: u64, text: &[u8], into: &mut Builder) -> Result<(), Problem> {
        match serde_json::from_slice(text) {
            Ok(Line::AutotuneTrace(header)) => {
                self.announced = header.jobs;
                if header.version == VERSION {
                    into.remark_many(Remark::LeftOut, header.left_out.jobs(), line, text);
                    into.remark_many(Remark::UnknownDependency, header.left_out.dependencies, line, text);
                    into.remark_many(Remark::Unfollowed, header.left_out.unfollowed, line, text);
                    return Ok(());
                }
                let found = format!("version {}", header.version);
                Err(Problem::new(into.path(), found, format!("version {VERSION}"))
                    .at(line)
                    .hint("convert it again"))
            }
            Ok(Line::Job(job)) => {
                self.jobs += 1;
                self.job(line, text, &job, into)
            }
            Ok(Line::Array(array)) => {
                let index = self.array(array.id, into);
                if array.sequential {
                    into.set_sequential(index);
                }
                *self.children.entry(array.id).or_default() += i64::from(array.children);
                Ok(())
            }
            Ok(Line::Message(message)) => {
                match (time_from_millis(message.sent_ms), time_from_millis(message.received_ms)) {
                    (Some(sent), Some(received)) if sent <= received => {
                        into.message(&message.sqs_queue, sent, received);
                        Ok(())
                    }
                    _ => into.skip(Remark::TimesReversed, line, text),
                }
            }
            Err(error) => {
                let example = format!("{} in {}", error, excerpt(text));
                into.skip(Remark::Malformed, line, example.as_bytes())
            }
        }
    }

    fn array(&mut self, id: u32, into: &mut Builder) -> ArrayIndex {
        *self.arrays.entry(id).or_insert_with(|| into.array(false))
    }

    fn job(&mut self, line: u64, text: &[u8], job: &JobLine, into: &mut Builder) -> Result<(), Problem> {
        let think = job
            .think_ms
            .and_then(|millis| plausible_span(Span::from_millis(millis)));
        let named = !(job.spawned_by.is_empty() && job.spawned_by_arrays.is_empty());
        let waits = !(job.after.is_empty() && job.after_arrays.is_empty());
        let submit = match (job.submit_ms, job.think_ms) {
            (Some(millis), None) if !named => time_from_millis(millis),
            (None, Some(_)) if named || waits => think.map(|_| Time::EPOCH),
            _ => None,
        };
        let Some(submit) = submit else {
            return into.skip(Remark::MissingSubmit, line, text);
        };
        let Some(run) = plausible_span(Span::from_millis(job.run_ms)) else {
            return into.skip(Remark::MissingRun, line, text);
        };
        let draft = Draft {
            submit,
            run,
            wait: job.wait_ms.and_then(|millis| plausible_span(Span::from_millis(millis))),
            ask: Ask {
                gpus: job.gpus,
                nodes: job.nodes,
                ..Ask::of(job.vcpus.unwrap_or(0), job.memory_mib.unwrap_or(0))
            },
            name: into.name(&job.name),
            queue: into.queue(&job.queue),
            ending: if job.failed { Ending::Failed } else { Ending::Succeeded },
            think,
            array: job.array.map(|id| self.array(id, into)),
            tie: Some(u64::from(job.id)),
            line,
        };
        let position = into.push(&draft)?;
        if think.is_some() {
            self.unsubmitted.insert(position, line);
        }
        if let Some(array) = job.array {
            *self.children.entry(array).or_default() -= 1;
        }
        if self.ids.contains_key(&job.id) {
            into.remark(Remark::DuplicateId, line, text);
        }
        self.ids.entry(job.id).or_insert(position);
        let after = if think.is_some() && !named {
            Role::Spawner
        } else {
            Role::Parent
        };
        for (role, jobs, arrays) in [
            (Role::Spawner, &job.spawned_by, &job.spawned_by_arrays),
            (after, &job.after, &job.after_arrays),
        ] {
            let jobs = jobs.iter().map(|id| Dependency::Job(JobIndex(*id)));
            let arrays = arrays.iter().map(|id| Dependency::Array(ArrayIndex(*id)));
            self.edges
                .extend(jobs.chain(arrays).map(|dependency| (position, role, dependency, line)));
        }
        Ok(())
    }

    /// Ids become positions; what is announced is compared with what came.
    fn finish(mut self, into: &mut Builder) -> Result<(), Problem> {
        for (child, role, dependency, line) in self.edges {
            let known = match dependency {
                Dependency::Job(id) => self.ids.get(&id.0).map(|parent| into.depend(child, role, *parent)),
                Dependency::Array(id) => self
                    .arrays
                    .get(&id.0)
                    .map(|array| into.depend_on_array(child, role, *array)),
            };
            if known.is_some() && role == Role::Spawner {
                self.unsubmitted.remove(&child);
            }
            if known.is_none() {
                into.remark(Remark::UnknownDependency, line, format!("{dependency:?}").as_bytes());
            }
        }
        if self.announced.is_some_and(|announced| announced != self.jobs) {
            let example = format!("{} jobs announced, {} found", self.announced.unwrap_or(0), self.jobs);
            into.remark(Remark::Incomplete, 1, example.as_bytes());
        }
        let torn = self.children.values().filter(|difference| **difference != 0).count();
        for _ in 0..torn {
            into.remark(Remark::Incomplete, 1, b"an array job without all of its children");
        }
        // They have no time of their own: in a replay they would all come at the beginning of 1970.
        match self.unsubmitted.first_key_value() {
            None => Ok(()),
            Some((_, line)) => {
                let found = format!(
                    "{} jobs that others submit, without any of those",
                    self.unsubmitted.len()
                );
                Err(Problem::new(into.path(), found, "the jobs that submit them")
                    .at(*line)
                    .hint("the file may have been cut short: convert the recording again"))
            }
        }
    }
}
