//! Who submitted whom, inferred from times.
//!
//! Recordings of workflow engines hold no graph, but they hold its shadow: an engine submits a task as soon as the tasks that
//! feed it have ended. Without the graph a replay is open loop: children arrive when the *recorded* parents ended, delays of
//! the recorded account included. The rule is careful rather than complete. Within one run, for a task C:
//!
//! 1. **Trigger.** Among the tasks that ended at or before C's submission and at most `window` before it, those with the latest
//!    end are candidates. Of these the parent is the one with C's name if it failed (C is its retry), else one with C's tag
//!    (the text in brackets of the name), else the one with the fewest children so far, else the one submitted first.
//!    No candidate: C keeps its recorded submit time.
//! 2. **Gathering.** If C is the only task of its process in the run, and its trigger's process has several, all of which had
//!    ended when C was submitted, then C depends on all of them.
//!
//! C's think time is its submission less its trigger's end. A trigger always ends at or before its child is submitted, and takes
//! time or was submitted earlier, so the graph has no cycles: edges lead from tasks earlier in the order of submission.

use std::collections::HashMap;

use super::nextflow::Task;
use crate::units::{Span, to_usize};

/// One inferred dependency; positions are those of the list of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) child: usize,
    pub(super) parent: usize,
    pub(super) think: Span,
}

/// Infers dependencies of tasks that are sorted by submission.
pub(super) fn infer(tasks: &[Task], window: Span) -> Vec<Edge> {
    let mut runs: HashMap<&str, Vec<usize>> = HashMap::new();
    for (position, task) in tasks.iter().enumerate() {
        runs.entry(&task.run).or_default().push(position);
    }
    let mut edges: Vec<Edge> = runs
        .values()
        .flat_map(|members| infer_run(tasks, members, window))
        .collect();
    edges.sort_unstable_by_key(|edge| (edge.child, edge.parent));
    edges
}

fn infer_run(tasks: &[Task], members: &[usize], window: Span) -> Vec<Edge> {
    let task = |position: &usize| tasks.get(*position);
    let mut by_end: Vec<usize> = members.to_vec();
    by_end.sort_by_key(|position| task(position).map(|task| (task.end, *position)));
    let mut processes: HashMap<&str, Vec<usize>> = HashMap::new();
    for position in members {
        if let Some(task) = task(position) {
            processes.entry(&task.process).or_default().push(*position);
        }
    }
    let mut children: HashMap<usize, u32> = HashMap::new();
    let mut edges = Vec::new();
    for position in members {
        let Some(child) = task(position) else { continue };
        // Only tasks earlier in the order of submission can be parents; a task of zero length may end as it is submitted.
        let ended = by_end.partition_point(|other| task(other).is_some_and(|other| other.end <= child.submit));
        let earlier = by_end
            .get(..ended)
            .unwrap_or(&[])
            .iter()
            .rev()
            .filter(|other| *other < position);
        let Some(latest) = earlier.clone().next().and_then(task).map(|task| task.end) else {
            continue;
        };
        if child.submit.since(latest) > window {
            continue;
        }
        let candidates = earlier.take_while(|other| task(other).is_some_and(|other| other.end == latest));
        let rank = |other: &&usize| {
            let parent = task(other);
            let retry = parent.is_some_and(|parent| is_retry(parent, child));
            let kin = parent.is_some_and(|parent| tag(&parent.name).is_some() && tag(&parent.name) == tag(&child.name));
            (!retry, !kin, children.get(*other).copied().unwrap_or(0), **other)
        };
        let Some(trigger) = candidates.min_by_key(rank).copied() else {
            continue;
        };
        *children.entry(trigger).or_default() += 1;
        let think = child.submit.since(latest);
        let gathered = gathered(tasks, &processes, *position, trigger);
        edges.extend(gathered.iter().map(|parent| Edge {
            child: *position,
            parent: *parent,
            think,
        }));
    }
    edges
}

/// The trigger, or all tasks of its process if the child gathers them.
fn gathered(tasks: &[Task], processes: &HashMap<&str, Vec<usize>>, child: usize, trigger: usize) -> Vec<usize> {
    let of_process = |position: usize| {
        tasks
            .get(position)
            .and_then(|task| processes.get(task.process.as_str()))
    };
    let (Some(own), Some(feeding), Some(submit)) = (
        of_process(child),
        of_process(trigger),
        tasks.get(child).map(|task| task.submit),
    ) else {
        return vec![trigger];
    };
    let ended = |position: &usize| *position < child && tasks.get(*position).is_some_and(|task| task.end <= submit);
    if own.len() == 1 && feeding.len() > 1 && feeding.iter().all(ended) {
        feeding.clone()
    } else {
        vec![trigger]
    }
}

fn is_retry(parent: &Task, child: &Task) -> bool {
    parent.failed && parent.name == child.name && to_usize(child.attempt) > to_usize(parent.attempt)
}

/// The text in the last brackets of a name.
fn tag(name: &str) -> Option<&str> {
    name.strip_suffix(')')?.rsplit_once(" (").map(|(_, tag)| tag)
}
