//! How well the rule that infers dependencies finds those of a graph that is known.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::{read_text, sized};
use crate::trace::{Dependency, ReadOptions, Trace};
use crate::units::{to_i64, to_usize};

/// What became of the edges of a graph that was played and inferred again.
#[derive(Debug)]
struct Score {
    /// Share of the inferred edges that the graph has.
    precision: f64,
    /// Share of the tasks with parents that got one that ended last.
    triggers: f64,
    /// Mean distance in seconds from when tasks truly become ready if nothing waits: with the inferred edges, and with the
    /// recorded submit times.
    error: f64,
    open_error: f64,
}

/// Submissions and ends of all jobs in milliseconds: a job is submitted when `submit` says, given its last parent's end.
fn times(
    parents: &[Vec<usize>],
    submit: impl Fn(usize, Option<i64>) -> i64,
    length: impl Fn(usize) -> i64,
) -> Vec<(i64, i64)> {
    let mut known = vec![None; parents.len()];
    while known.contains(&None) {
        for (job, parents) in parents.iter().enumerate() {
            let ends: Option<Vec<i64>> = parents
                .iter()
                .map(|parent| known[*parent].map(|(_, end)| end))
                .collect();
            if let Some(ends) = ends {
                let at = submit(job, ends.into_iter().max());
                known[job] = Some((at, at + length(job)));
            }
        }
    }
    known.into_iter().flatten().collect()
}

fn parents_of(trace: &Trace) -> Vec<Vec<usize>> {
    let parent = |dependency: &Dependency| match dependency {
        Dependency::Job(parent) => parent.position(),
        Dependency::Array(_) => unreachable!("workflow graphs have no arrays"),
    };
    let of = |job| trace.dependencies_of(job).iter().map(parent).collect();
    trace.jobs.iter().map(of).collect()
}

/// Plays a graph with waits of 10 to 200 s on an engine that looks at its jobs every `look_ms`, infers, and compares. The size
/// of a task's memory tells which it is.
fn score(graph: &str, look_ms: i64) -> Score {
    let ahead = ReadOptions {
        submit_ahead: true,
        ..sized()
    };
    let trace = read_text(graph, &ahead).unwrap().trace;
    let parents = parents_of(&trace);
    let run = |job: usize| trace.jobs[job].run.millis();
    let wait = |job: usize| 10_000 + to_i64(job + 1) * 7_919_777 % 190_000;
    let next_look = |end: i64| (end / look_ms + 1) * look_ms + 1_000;
    let played = times(&parents, |_, end| end.map_or(0, next_look), |job| wait(job) + run(job));

    let mut text = "task_id\tprocess\tname\tstatus\tsubmit\tstart\tcomplete\tcpus\tmemory_bytes\n".to_owned();
    for (job, (submit, end)) in played.iter().enumerate() {
        let process = &trace.names[to_usize(trace.jobs[job].name)];
        let [submit, start, end] =
            [*submit, submit + wait(job), *end].map(|millis| Timestamp::from_millisecond(millis).unwrap());
        let bytes = (job + 1) << 20;
        writeln!(
            text,
            "{job}\t{process}\t{process}\tCOMPLETED\t{submit}\t{start}\t{end}\t1\t{bytes}"
        )
        .unwrap();
    }
    let rebuild = ReadOptions {
        rebuild_dependencies: true,
        ..ReadOptions::default()
    };
    let rebuilt = read_text(&text, &rebuild).unwrap().trace;
    let which = |job| usize::try_from(rebuilt.shape_of(job).resources.memory.get()).unwrap() - 1;
    let order: Vec<usize> = rebuilt.jobs.iter().map(which).collect();
    let mut inferred = vec![Vec::new(); parents.len()];
    for (job, parents) in order.iter().zip(parents_of(&rebuilt)) {
        inferred[*job] = parents.into_iter().map(|parent| order[parent]).collect();
    }

    let share = |part: usize, all: usize| crate::units::usize_to_f64(part) / crate::units::usize_to_f64(all.max(1));
    let edges = inferred.iter().map(Vec::len).sum();
    let is_true = |job: usize| {
        inferred[job]
            .iter()
            .filter(|parent| parents[job].contains(parent))
            .count()
    };
    let children: Vec<usize> = (0..parents.len()).filter(|job| !parents[*job].is_empty()).collect();
    let last = |parents: &[usize]| parents.iter().map(|parent| played[*parent].1).max();
    let found = |job: &usize| {
        let mut inferred = inferred[*job].iter();
        inferred.any(|parent| parents[*job].contains(parent) && Some(played[*parent].1) == last(&parents[*job]))
    };
    // Again with next to no wait, each task as long after its parents as it was.
    let again = |parents: &[Vec<usize>]| {
        let submit = |job: usize, end: Option<i64>| match (end, last(&parents[job])) {
            (Some(now), Some(then)) => now + played[job].0 - then,
            _ => played[job].0,
        };
        times(parents, submit, |job| 10_000 + run(job))
    };
    let truth = again(&parents);
    let error = |other: &[(i64, i64)]| {
        let apart: i64 = truth.iter().zip(other).map(|(a, b)| (a.0 - b.0).abs()).sum();
        crate::units::i64_to_f64(apart / to_i64(truth.len())) / 1_000.0
    };
    Score {
        precision: share((0..parents.len()).map(is_true).sum(), edges),
        triggers: share(children.iter().filter(|job| found(job)).count(), children.len()),
        error: error(&again(&inferred)),
        open_error: error(&played),
    }
}

/// A workflow as engines run them: a first task, many samples that go through several processes of different lengths, and
/// one task that puts them together.
fn pipeline(samples: usize) -> String {
    let mut tasks = vec![r#"{"name":"PREPARE","parents":[],"runtime_s":30}"#.to_owned()];
    let mut last = Vec::new();
    for sample in 0..samples {
        let task = |name: &str, parent: usize, run: usize| {
            format!(r#"{{"name":"{name}","parents":[{parent}],"runtime_s":{run}}}"#)
        };
        let align = tasks.len();
        tasks.push(task("ALIGN", 0, 100 + sample * 37 % 90));
        tasks.push(task("SORT", align, 20 + sample * 13 % 30));
        tasks.push(task("CALL", align + 1, 200 + sample * 53 % 170));
        last.push(align + 2);
    }
    let report = format!(r#"{{"name":"REPORT","parents":{last:?},"runtime_s":20}}"#);
    tasks.push(report);
    format!(
        r#"{{"instance":"pipeline","executed_at":"1970-01-01T00:00:00Z","tasks":[{}]}}"#,
        tasks.join(",")
    )
}

#[test]
fn inferred_dependencies_are_mostly_those_of_the_graph() {
    // An engine that sees every end at once leaves little doubt; one that looks every 5 s leaves some.
    for (look_ms, least) in [(1, 0.95), (5_000, 0.7)] {
        let score = score(&pipeline(12), look_ms);
        assert!(
            score.precision >= least && score.triggers >= least,
            "{look_ms} {score:?}"
        );
        assert!(score.error <= 0.1 * score.open_error, "{look_ms} {score:?}");
    }
}
