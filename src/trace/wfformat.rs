//! Workflow graphs: WfFormat of the WfCommons project, and the same graphs flattened to one JSON object a line.
//!
//! WfFormat 1.4 and later split a workflow into `workflow.specification.tasks` (id, parents, children) and
//! `workflow.execution.tasks` (id, runtimeInSeconds, coreCount, memoryInBytes); up to 1.3 all of it is in `workflow.tasks`
//! (name, runtime or runtimeInSeconds, cores, memory in KB or memoryInBytes). (github.com/wfcommons/WfFormat, README and
//! `wfcommons-schema.json`.) A flattened line has `instance`, `executed_at` and `tasks` with `name`, `parents` (positions),
//! `runtime_s`, `cores`, `memory_bytes`.
//!
//! `memoryInBytes` is what the process held, not what it asked for: it counts as memory used. A graph holds no submit times:
//! tasks without parents are submitted when the workflow starts, the others when their parents have ended (as workflow
//! engines do), or all at the start with `submit_ahead`.

use std::collections::HashMap;

use serde::Deserialize;

use super::Ending;
use super::build::{Builder, Draft, Role};
use super::input::{Input, unreadable};
use super::report::{Problem, Remark};
use super::size::Ask;
use super::values;
use crate::units::{Span, Time, to_u64};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    name: Option<String>,
    workflow: Workflow,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Workflow {
    specification: Option<Tasks>,
    execution: Option<Tasks>,
    #[serde(alias = "jobs")]
    tasks: Option<Vec<Task>>,
    #[serde(alias = "executedat")]
    executed_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tasks {
    #[serde(default)]
    tasks: Vec<Task>,
    executed_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    id: Option<String>,
    name: Option<String>,
    #[serde(default)]
    parents: Vec<String>,
    #[serde(default)]
    children: Vec<String>,
    #[serde(alias = "runtime")]
    runtime_in_seconds: Option<f64>,
    #[serde(alias = "cores")]
    core_count: Option<f64>,
    memory_in_bytes: Option<f64>,
    /// KB, up to version 1.3.
    memory: Option<f64>,
}

#[derive(Deserialize)]
struct FlatGraph {
    instance: String,
    executed_at: Option<String>,
    tasks: Vec<FlatTask>,
}

#[derive(Deserialize)]
struct FlatTask {
    name: String,
    #[serde(default)]
    parents: Vec<usize>,
    runtime_s: Option<f64>,
    cores: Option<f64>,
    memory_bytes: Option<f64>,
}

/// One workflow in the one shape that both formats come to.
struct Graph {
    start: Option<Time>,
    name: String,
    line: u64,
    nodes: Vec<Node>,
}

struct Node {
    name: String,
    run_seconds: Option<f64>,
    cores: Option<f64>,
    memory_bytes: Option<f64>,
    parents: Vec<usize>,
    /// Parents that are not among the tasks.
    unknown: usize,
}

/// Reads a file of one or several documents of WfFormat.
pub(super) fn read_documents(input: Input, into: &mut Builder) -> Result<(), Problem> {
    let text = input.into_document(into.path(), &into.options.limits)?;
    let mut graphs = Vec::new();
    for document in serde_json::Deserializer::from_slice(&text).into_iter::<Document>() {
        let document = document.map_err(|error| {
            Problem::new(
                into.path(),
                format!("a document that is not understood: {error}"),
                "WfFormat",
            )
            .at(to_u64(error.line()))
        })?;
        graphs.push(graph(document));
    }
    push(graphs, into)
}

/// Reads a file with one flattened workflow a line.
pub(super) fn read_lines(input: Input, into: &mut Builder) -> Result<(), Problem> {
    let mut lines = input.into_lines(&into.options.limits);
    let mut graphs = Vec::new();
    loop {
        match lines.next() {
            Ok(Some((_, text))) if text.trim_ascii().is_empty() => {}
            Ok(Some((line, text))) => match serde_json::from_slice::<FlatGraph>(text) {
                Ok(flat) => graphs.push(flattened(flat, line)),
                Err(error) => into.skip(Remark::Malformed, line, error.to_string().as_bytes())?,
            },
            Ok(None) => break,
            Err(error) => return Err(unreadable(into.path(), lines.line(), &error)),
        }
    }
    push(graphs, into)
}

fn flattened(flat: FlatGraph, line: u64) -> Graph {
    let count = flat.tasks.len();
    let nodes = flat.tasks.into_iter().map(|task| {
        let all = task.parents.len();
        let parents: Vec<usize> = task.parents.into_iter().filter(|parent| *parent < count).collect();
        Node {
            unknown: all - parents.len(),
            name: task.name,
            run_seconds: task.runtime_s,
            cores: task.cores,
            memory_bytes: task.memory_bytes,
            parents,
        }
    });
    Graph {
        start: flat.executed_at.as_deref().and_then(start_time),
        name: flat.instance,
        line,
        nodes: nodes.collect(),
    }
}

fn graph(document: Document) -> Graph {
    let workflow = document.workflow;
    let mut started = workflow.executed_at;
    let mut tasks = workflow.tasks.unwrap_or_default();
    if let Some(specification) = workflow.specification {
        tasks.extend(specification.tasks);
    }
    let mut executed: HashMap<String, Task> = HashMap::new();
    if let Some(execution) = workflow.execution {
        started = execution.executed_at.or(started);
        executed = execution
            .tasks
            .into_iter()
            .filter_map(|task| Some((task.id.clone()?, task)))
            .collect();
    }
    let mut positions: HashMap<&str, usize> = HashMap::new();
    for (position, task) in tasks.iter().enumerate() {
        for key in [&task.name, &task.id].into_iter().flatten() {
            positions.insert(key, position);
        }
    }
    let mut parents: Vec<Vec<usize>> = vec![Vec::new(); tasks.len()];
    let mut unknown = vec![0; tasks.len()];
    for (position, task) in tasks.iter().enumerate() {
        for name in &task.parents {
            match positions.get(name.as_str()) {
                Some(parent) => parents
                    .get_mut(position)
                    .into_iter()
                    .for_each(|list| list.push(*parent)),
                None => unknown.get_mut(position).into_iter().for_each(|count| *count += 1),
            }
        }
        for child in task.children.iter().filter_map(|name| positions.get(name.as_str())) {
            parents.get_mut(*child).into_iter().for_each(|list| list.push(position));
        }
    }
    let nodes = tasks
        .iter()
        .zip(parents)
        .zip(unknown)
        .map(|((task, parents), unknown)| {
            let run = task.id.as_ref().and_then(|id| executed.get(id));
            let of = |field: fn(&Task) -> Option<f64>| run.and_then(field).or_else(|| field(task));
            Node {
                name: task.name.clone().or_else(|| task.id.clone()).unwrap_or_default(),
                run_seconds: of(|task| task.runtime_in_seconds),
                cores: of(|task| task.core_count),
                memory_bytes: of(|task| task.memory_in_bytes.or(task.memory.map(|kilobytes| kilobytes * 1024.0))),
                parents,
                unknown,
            }
        });
    let nodes = nodes.collect();
    Graph {
        start: started.as_deref().and_then(start_time),
        name: document.name.unwrap_or_default(),
        line: 1,
        nodes,
    }
}

fn start_time(text: &str) -> Option<Time> {
    values::time(text, &jiff::tz::TimeZone::UTC).map(|(time, _)| time)
}

fn push(mut graphs: Vec<Graph>, into: &mut Builder) -> Result<(), Problem> {
    graphs.sort_by(|a, b| (a.start, &a.name).cmp(&(b.start, &b.name)));
    let mut tie = 0;
    for graph in graphs {
        let start = graph.start.unwrap_or_else(|| {
            into.remark(Remark::RelativeTimes, graph.line, graph.name.as_bytes());
            into.options.start_at.unwrap_or(Time::EPOCH)
        });
        let queue = into.queue("default");
        let mut positions = Vec::with_capacity(graph.nodes.len());
        for node in &graph.nodes {
            let run = node
                .run_seconds
                .and_then(Span::from_seconds_f64)
                .and_then(values::plausible_span);
            let Some(run) = run else {
                into.skip(Remark::MissingRun, graph.line, node.name.as_bytes())?;
                positions.push(None);
                continue;
            };
            let cores = node.cores.and_then(values::vcpus);
            if let Some((_, true)) = cores {
                into.remark(Remark::VcpusRounded, graph.line, node.name.as_bytes());
            }
            let follows = !node.parents.is_empty() && !into.options.submit_ahead;
            let draft = Draft {
                submit: start,
                run,
                wait: None,
                ask: Ask {
                    vcpus: cores.map(|(count, _)| count),
                    memory_used: node.memory_bytes.and_then(|bytes| values::memory_of(bytes, "b")),
                    ..Ask::default()
                },
                name: into.name(kind(&node.name)),
                queue,
                ending: Ending::Succeeded,
                think: follows.then_some(Span::ZERO),
                array: None,
                tie: Some(tie),
                line: graph.line,
            };
            tie += 1;
            positions.push(Some(into.push(&draft)?));
        }
        for (node, child) in graph.nodes.iter().zip(&positions) {
            let lost = node
                .parents
                .iter()
                .filter(|parent| positions.get(**parent).copied().flatten().is_none())
                .count();
            for _ in 0..lost + node.unknown {
                into.remark(Remark::UnknownDependency, graph.line, node.name.as_bytes());
            }
            let Some(child) = child else { continue };
            let role = if into.options.submit_ahead {
                Role::Parent
            } else {
                Role::Spawner
            };
            for parent in node
                .parents
                .iter()
                .filter_map(|parent| positions.get(*parent).copied().flatten())
            {
                into.depend(*child, role, parent);
            }
        }
    }
    Ok(())
}

/// What tasks of one kind share: the name without a number at its end (`bwa_ID000003` is a `bwa`).
fn kind(name: &str) -> &str {
    match name.rsplit_once("_ID") {
        Some((kind, number)) if !kind.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => kind,
        _ => name,
    }
}
