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

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::Value;

use super::Ending;
use super::build::{Builder, Draft};
use super::input::{Exceeded, Input, unreadable};
use super::report::{Problem, Remark};
use super::size::Ask;
use super::values::{self, time_from_millis};
use crate::ids::ArrayIndex;
use crate::units::{Mebibytes, Span, Time, to_u64};

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

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobDetail {
    job_id: String,
    job_name: Option<String>,
    job_queue: Option<String>,
    job_definition: Option<String>,
    status: Option<String>,
    created_at: Option<i64>,
    started_at: Option<i64>,
    stopped_at: Option<i64>,
    attempts: Option<Vec<Attempt>>,
    depends_on: Option<Vec<DependsOn>>,
    array_properties: Option<ArrayProperties>,
    container: Option<Container>,
    node_properties: Option<NodeProperties>,
    ecs_properties: Option<Value>,
    eks_properties: Option<Value>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attempt {
    started_at: Option<i64>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DependsOn {
    job_id: Option<String>,
    r#type: Option<String>,
}

#[derive(Clone, Deserialize)]
struct ArrayProperties {
    size: Option<u32>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    vcpus: Option<i64>,
    memory: Option<i64>,
    resource_requirements: Option<Vec<Requirement>>,
}

#[derive(Clone, Deserialize)]
struct Requirement {
    r#type: String,
    value: String,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeProperties {
    num_nodes: Option<u32>,
    node_range_properties: Option<Vec<NodeRange>>,
}

#[derive(Clone, Deserialize)]
struct NodeRange {
    container: Option<Container>,
}

impl JobDetail {
    /// How far a record is along its job's life.
    fn stage(&self) -> (usize, usize, Option<i64>) {
        const STATES: [&str; 7] = [
            "SUBMITTED",
            "PENDING",
            "RUNNABLE",
            "STARTING",
            "RUNNING",
            "SUCCEEDED",
            "FAILED",
        ];
        let state = STATES
            .iter()
            .position(|name| self.status.as_deref() == Some(*name))
            .unwrap_or(0);
        (state, self.attempts.as_ref().map_or(0, Vec::len), self.started_at)
    }

    /// What is missing here and known there.
    fn fill_from(&mut self, other: Self) {
        macro_rules! fill {
            ($($field:ident),*) => { $( if self.$field.is_none() { self.$field = other.$field; } )* };
        }
        fill!(
            job_name,
            job_queue,
            job_definition,
            created_at,
            started_at,
            stopped_at,
            attempts,
            depends_on
        );
        fill!(
            array_properties,
            container,
            node_properties,
            ecs_properties,
            eks_properties
        );
    }

    fn ended(&self) -> Option<Time> {
        let done = matches!(self.status.as_deref(), Some("SUCCEEDED" | "FAILED"));
        self.stopped_at.filter(|_| done).and_then(time_from_millis)
    }

    fn first_start(&self) -> Option<Time> {
        let attempts = self.attempts.iter().flatten().filter_map(|attempt| attempt.started_at);
        attempts.chain(self.started_at).min().and_then(time_from_millis)
    }

    /// The id of the array that this is a child of, and the child's index.
    fn child_of(&self) -> Option<(&str, u32)> {
        let (parent, index) = self.job_id.rsplit_once(':')?;
        Some((parent, index.parse().ok()?))
    }

    fn is_array_parent(&self) -> bool {
        self.child_of().is_none() && self.array_properties.as_ref().is_some_and(|array| array.size.is_some())
    }
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
        match self.jobs.get_mut(&detail.job_id) {
            Some(known) => {
                if detail.stage() < known.detail.stage() {
                    std::mem::swap(&mut detail, &mut known.detail);
                }
                detail.fill_from(known.detail.clone());
                known.detail = detail;
            }
            None => {
                if to_u64(self.jobs.len()) >= into.options.limits.jobs {
                    let exceeded = Exceeded::error("jobs", into.options.limits.jobs, "--max-jobs");
                    return Err(unreadable(into.path(), line, &exceeded));
                }
                self.jobs.insert(detail.job_id.clone(), Known { detail, file, line });
            }
        }
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
        let draft = Draft {
            submit,
            run: end.since(start).max(Span::ZERO),
            wait: ready.map(|ready| first.since(ready).max(Span::ZERO)),
            ask: ask(detail, known, into),
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
                    into.depend(*child, *position);
                } else if let Some(array) = self.arrays.get(parent) {
                    into.depend_on_array(*child, *array);
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

/// What a job asks for; for a multi-node job what its first node asks for.
fn ask(detail: &JobDetail, known: &Known, into: &mut Builder) -> Ask {
    let nodes = detail.node_properties.as_ref();
    let node = nodes.and_then(|nodes| nodes.node_range_properties.as_ref()?.first()?.container.as_ref());
    let mut asked = Asked::default();
    if let Some(container) = node.or(detail.container.as_ref()) {
        asked.container(container);
    }
    let tasks = detail
        .ecs_properties
        .as_ref()
        .and_then(|ecs| ecs.pointer("/taskProperties/0/containers"));
    for container in tasks.and_then(Value::as_array).into_iter().flatten() {
        if let Ok(container) = serde_json::from_value(container.clone()) {
            asked.container(&container);
        }
    }
    let pods = detail
        .eks_properties
        .as_ref()
        .and_then(|eks| eks.pointer("/podProperties/containers"));
    for container in pods.and_then(Value::as_array).into_iter().flatten() {
        asked.pod(container);
    }
    if asked.unknown {
        into.remark(Remark::UnknownResource, known.line, known.detail.job_id.as_bytes());
    }
    let vcpus = values::vcpus(asked.vcpus);
    if let Some((_, true)) = vcpus {
        into.remark(Remark::VcpusRounded, known.line, known.detail.job_id.as_bytes());
    }
    Ask {
        vcpus: vcpus.map(|(count, _)| count),
        memory: Some(asked.memory).filter(|memory| !memory.is_zero()),
        gpus: asked.gpus,
        nodes: nodes.and_then(|nodes| nodes.num_nodes).unwrap_or(1),
        ..Ask::default()
    }
}

#[derive(Default)]
struct Asked {
    vcpus: f64,
    memory: Mebibytes,
    gpus: u32,
    unknown: bool,
}

impl Asked {
    fn container(&mut self, container: &Container) {
        let requirements = container.resource_requirements.as_deref().unwrap_or(&[]);
        let has = |kind: &str| requirements.iter().any(|requirement| requirement.r#type == kind);
        // The older fields say the same as the requirements where both are there.
        if let Some(vcpus) = container.vcpus.filter(|_| !has("VCPU")) {
            self.vcpu(&vcpus.to_string());
        }
        if let Some(memory) = container.memory.filter(|_| !has("MEMORY")) {
            self.memory = self.memory + Mebibytes::new(memory);
        }
        for requirement in requirements {
            let value = requirement.value.trim();
            match requirement.r#type.as_str() {
                "VCPU" => self.vcpu(value),
                "MEMORY" => match value.parse::<i64>() {
                    Ok(mebibytes) => self.memory = self.memory + Mebibytes::new(mebibytes),
                    Err(_) => self.unknown = true,
                },
                "GPU" => match value.parse::<u32>() {
                    Ok(gpus) => self.gpus = self.gpus.saturating_add(gpus),
                    Err(_) => self.unknown = true,
                },
                _ => self.unknown = true,
            }
        }
    }

    fn vcpu(&mut self, value: &str) {
        match value.parse::<f64>() {
            Ok(vcpus) if vcpus.is_finite() && vcpus >= 0.0 => self.vcpus += vcpus,
            _ => self.unknown = true,
        }
    }

    /// A container of a pod: quantities of Kubernetes such as `500m` and `2048Mi`.
    fn pod(&mut self, container: &Value) {
        let quantity = |name: &str| {
            let of = |kind: &str| {
                container
                    .pointer(&format!("/resources/{kind}/{name}"))
                    .and_then(Value::as_str)
            };
            of("requests").or_else(|| of("limits"))
        };
        if let Some(cpu) = quantity("cpu") {
            match cpu.strip_suffix('m').map(str::parse::<f64>) {
                Some(Ok(millis)) => self.vcpu(&(millis / 1000.0).to_string()),
                Some(Err(_)) => self.unknown = true,
                None => self.vcpu(cpu),
            }
        }
        if let Some(memory) = quantity("memory") {
            match values::memory(memory) {
                Some(memory) => self.memory = self.memory + memory,
                None => self.unknown = true,
            }
        }
        if let Some(gpus) = quantity("nvidia.com~1gpu").and_then(|gpus| gpus.parse::<u32>().ok()) {
            self.gpus = self.gpus.saturating_add(gpus);
        }
    }
}
