//! Recordings of AWS Batch itself: EventBridge events "Batch Job State Change" as JSON lines, and the output of
//! `aws batch describe-jobs`.
//!
//! Both carry a `JobDetail` (AWS Batch user guide, "Job state change events"; API reference, "JobDetail"): times in
//! milliseconds since 1970, `resourceRequirements` whose values are strings, `arrayProperties` with a `size` on the parent and
//! an `index` on its children (whose ids are `parent:index`), `dependsOn`. Several records of one job, also from several
//! files, fold into one: of each field the value of the latest state counts, filled up from the earlier ones. So the order of
//! the records does not matter.
//!
//! Run time is `startedAt` to `stoppedAt` of the last attempt. The recorded wait is from `createdAt`, or from the end of the
//! last job it depended on, to the start of the first attempt.

mod detail;

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::Value;

use self::detail::JobDetail;
use super::Ending;
use super::build::{Builder, Draft, Role};
use super::input::{Exceeded, Input, unreadable};
use super::report::{Problem, Remark};
use super::values::{plausible_span, time_from_millis};
use crate::ids::ArrayIndex;
use crate::units::{Span, Time, to_u64};

/// Everything that events and descriptions of all files have said.
#[derive(Default)]
pub(super) struct Recording {
    jobs: BTreeMap<String, Known>,
}

struct Known {
    detail: JobDetail,
    file: usize,
    line: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Event {
    detail_type: Option<String>,
    detail: Option<Value>,
}

impl Recording {
    /// Reads events, one or several JSON objects a line.
    pub(super) fn read_events(&mut self, input: Input, into: &mut Builder) -> Result<(), Problem> {
        let mut lines = input.into_lines(&into.options.limits);
        loop {
            match lines.next() {
                Ok(Some((line, text))) => {
                    // Delivery streams write objects without line ends between them.
                    for event in serde_json::Deserializer::from_slice(text).into_iter::<Event>() {
                        match event {
                            Ok(event) => self.event(event, line, text, into)?,
                            Err(_) => into.skip(Remark::Malformed, line, text)?,
                        }
                    }
                }
                Ok(None) => return Ok(()),
                Err(error) => return Err(unreadable(into.path(), lines.line(), &error)),
            }
        }
    }

    fn event(&mut self, event: Event, line: u64, text: &[u8], into: &mut Builder) -> Result<(), Problem> {
        match (event.detail_type.as_deref(), event.detail) {
            (Some("Batch Job State Change") | None, Some(detail)) => self.record(detail, line, text, into),
            (Some("Batch Job State Change") | None, None) => into.skip(Remark::Malformed, line, text),
            (Some(_), _) => into.skip(Remark::OtherKind, line, text),
        }
    }

    /// Reads one or several replies of DescribeJobs.
    pub(super) fn read_descriptions(&mut self, input: Input, into: &mut Builder) -> Result<(), Problem> {
        let text = input.into_document(into.path(), &into.options.limits)?;
        for reply in serde_json::Deserializer::from_slice(&text).into_iter::<Value>() {
            let mut reply = reply.map_err(|error| {
                Problem::new(
                    into.path(),
                    format!("broken JSON: {error}"),
                    "the output of aws batch describe-jobs",
                )
                .at(to_u64(error.line()))
            })?;
            let Some(Value::Array(jobs)) = reply.get_mut("jobs").map(Value::take) else {
                into.skip(Remark::Malformed, 0, b"a document without a list of jobs")?;
                continue;
            };
            for (position, job) in jobs.into_iter().enumerate() {
                let example = job
                    .get("jobId")
                    .and_then(Value::as_str)
                    .unwrap_or("a job without jobId")
                    .to_owned();
                self.record(job, to_u64(position + 1), example.as_bytes(), into)?;
            }
        }
        Ok(())
    }

    fn record(&mut self, detail: Value, line: u64, text: &[u8], into: &mut Builder) -> Result<(), Problem> {
        let Ok(mut detail) = serde_json::from_value::<JobDetail>(detail) else {
            return into.skip(Remark::Malformed, line, text);
        };
        into.understood();
        let file = into.file();
        if let Some(known) = self.jobs.get_mut(&detail.job_id) {
            if detail.stage() < known.detail.stage() {
                std::mem::swap(&mut detail, &mut known.detail);
            }
            detail.fill_from(known.detail.clone());
            known.detail = detail;
            return Ok(());
        }
        if to_u64(self.jobs.len()) >= into.options.limits.jobs {
            let exceeded = Exceeded::error("jobs", into.options.limits.jobs, "--max-jobs");
            return Err(unreadable(into.path(), line, &exceeded));
        }
        self.jobs.insert(detail.job_id.clone(), Known { detail, file, line });
        Ok(())
    }

    /// Turns what is known into jobs.
    pub(super) fn finish(self, into: &mut Builder) -> Result<(), Problem> {
        if self.jobs.is_empty() {
            return Ok(());
        }
        into.begin_merged();
        let ends: HashMap<&str, Time> = self
            .jobs
            .iter()
            .filter_map(|(id, known)| Some((id.as_str(), known.detail.ended()?)))
            .collect();
        let mut arrays: BTreeMap<&str, Vec<&Known>> = BTreeMap::new();
        let mut order: Vec<(i64, &str)> = Vec::new();
        for (id, known) in &self.jobs {
            if let Some((parent, _)) = known.detail.child_of() {
                arrays.entry(parent).or_default().push(known);
            } else if known.detail.is_array_parent() {
                arrays.entry(id).or_default();
            } else {
                order.push((known.detail.created_at.unwrap_or(0), id));
            }
        }
        for (id, children) in &mut arrays {
            children.sort_by_key(|child| child.detail.child_of().map(|(_, index)| index));
            let own = self.jobs.get(*id).and_then(|parent| parent.detail.created_at);
            let created = own.or_else(|| children.iter().filter_map(|child| child.detail.created_at).min());
            order.push((created.unwrap_or(0), id));
        }
        order.sort_unstable();
        let mut placed = Placed {
            ends,
            jobs: HashMap::new(),
            arrays: HashMap::new(),
            tie: 0,
        };
        for (created, id) in order {
            match arrays.get(id) {
                Some(children) => placed.push_array(id, self.jobs.get(id), children, created, into)?,
                None => {
                    if let Some(known) = self.jobs.get(id) {
                        placed.push(known, &known.detail, known.detail.created_at, None, into)?;
                    }
                }
            }
        }
        placed.depend(&self.jobs, into);
        Ok(())
    }
}

/// Jobs that have their place in the trace.
struct Placed<'a> {
    ends: HashMap<&'a str, Time>,
    jobs: HashMap<&'a str, u32>,
    arrays: HashMap<&'a str, ArrayIndex>,
    tie: u64,
}

impl<'a> Placed<'a> {
    fn push_array(
        &mut self,
        id: &'a str,
        parent: Option<&'a Known>,
        children: &[&'a Known],
        created: i64,
        into: &mut Builder,
    ) -> Result<(), Problem> {
        if children.is_empty() {
            let (file, line) = parent.map_or((0, 0), |parent| (parent.file, parent.line));
            into.resume(file);
            return into.skip(Remark::ArrayWithoutChildren, line, id.as_bytes());
        }
        let sequential = parent.is_some_and(|parent| {
            parent
                .detail
                .depends_on
                .iter()
                .flatten()
                .any(|on| on.r#type.as_deref() == Some("SEQUENTIAL"))
        });
        let array = into.array(sequential);
        for child in children {
            let mut detail = child.detail.clone();
            if let Some(parent) = parent {
                let child_has_none = detail.depends_on.as_ref().is_none_or(Vec::is_empty);
                if child_has_none {
                    detail.depends_on.clone_from(&parent.detail.depends_on);
                }
                detail.fill_from(parent.detail.clone());
            }
            if self.push(child, &detail, Some(created), Some(array), into)? {
                self.arrays.insert(id, array);
            }
        }
        let announced = parent.and_then(|parent| parent.detail.array_properties.as_ref()?.size);
        if announced.is_some_and(|size| to_u64(children.len()) != u64::from(size)) {
            into.remark(Remark::Incomplete, 0, id.as_bytes());
        }
        Ok(())
    }

    /// Adds a job; `false` if it cannot be replayed, which is remarked.
    fn push(
        &mut self,
        known: &'a Known,
        detail: &JobDetail,
        created: Option<i64>,
        array: Option<ArrayIndex>,
        into: &mut Builder,
    ) -> Result<bool, Problem> {
        into.resume(known.file);
        let id = known.detail.job_id.as_bytes();
        let failed = detail.status.as_deref() == Some("FAILED");
        let skip = |remark, into: &mut Builder| into.skip(remark, known.line, id).map(|()| false);
        let Some(submit) = created.and_then(time_from_millis) else {
            return skip(Remark::MissingSubmit, into);
        };
        let (start, end) = (known.detail.started_at.and_then(time_from_millis), known.detail.ended());
        let (start, end) = match (start, end) {
            (Some(start), Some(end)) => (start, end),
            (None, Some(_)) if failed => return skip(Remark::NeverRan, into),
            (_, Some(_)) => return skip(Remark::MissingRun, into),
            (_, None) => return skip(Remark::Unfinished, into),
        };
        let Some(run) = plausible_span(end.since(start).max(Span::ZERO)) else {
            return skip(Remark::MissingRun, into);
        };
        let ready = detail.depends_on.iter().flatten().filter_map(|on| on.job_id.as_deref());
        let ready = ready
            .map(|parent| self.ends.get(parent).copied())
            .try_fold(submit, |at, end| Some(at.max(end?)));
        let first = known.detail.first_start().unwrap_or(start);
        if end < start || ready.is_some_and(|ready| first < ready) {
            into.remark(Remark::TimesReversed, known.line, id);
        }
        if known
            .detail
            .attempts
            .as_ref()
            .is_some_and(|attempts| attempts.len() > 1)
        {
            into.remark(Remark::Retried, known.line, id);
        }
        let queue = detail.job_queue.as_deref().map_or("default", last_part);
        let name = detail
            .job_definition
            .as_deref()
            .map_or(detail.job_name.as_deref().unwrap_or("job"), last_part);
        let (ask, remarks) = detail.ask();
        for remark in remarks.into_iter().flatten() {
            into.remark(remark, known.line, id);
        }
        let draft = Draft {
            submit,
            run,
            wait: ready.and_then(|ready| plausible_span(first.since(ready).max(Span::ZERO))),
            ask,
            name: into.name(name),
            queue: into.queue(queue),
            ending: if failed { Ending::Failed } else { Ending::Succeeded },
            think: None,
            array,
            tie: Some(self.tie),
            line: known.line,
        };
        self.tie += 1;
        let position = into.push_understood(&draft)?;
        self.jobs.insert(&known.detail.job_id, position);
        Ok(true)
    }

    fn depend(&self, jobs: &BTreeMap<String, Known>, into: &mut Builder) {
        for (id, child) in &self.jobs {
            let Some(known) = jobs.get(*id) else { continue };
            let own = known.detail.depends_on.as_deref().unwrap_or(&[]);
            let array = known.detail.child_of();
            let inherited = array
                .and_then(|(parent, _)| jobs.get(parent)?.detail.depends_on.as_deref())
                .unwrap_or(&[]);
            for on in own.iter().chain(inherited) {
                // SEQUENTIAL without an id is about the array itself.
                let Some(parent) = on.job_id.as_deref() else { continue };
                let twin = array.filter(|_| on.r#type.as_deref() == Some("N_TO_N"));
                let twin = twin.and_then(|(_, index)| self.jobs.get(format!("{parent}:{index}").as_str()));
                if let Some(position) = twin.or_else(|| self.jobs.get(parent)) {
                    into.depend(*child, Role::Parent, *position);
                } else if let Some(array) = self.arrays.get(parent) {
                    into.depend_on_array(*child, Role::Parent, *array);
                } else {
                    into.resume(known.file);
                    into.remark(Remark::UnknownDependency, known.line, parent.as_bytes());
                }
            }
        }
    }
}

/// What follows the last slash of an ARN, without a revision: `main` of `arn:aws:batch:...:job-queue/main`.
fn last_part(arn: &str) -> &str {
    let name = arn.rsplit('/').next().unwrap_or(arn);
    match name.rsplit_once(':') {
        Some((name, revision)) if revision.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => name,
    }
}
