//! The ledger as a trace: what goes in comes out, and what cannot is counted.

use super::*;
use crate::catalog::Resources;
use crate::jobs::ArraySeen;
use crate::trace::{LeftOut, ReadOptions, Remark, Trace, read};
use crate::units::{Mebibytes, Span, to_usize};

fn shape(vcpus: i64) -> Shape {
    let resources = Resources {
        vcpus: Vcpus::new(vcpus),
        memory: Mebibytes::new(vcpus * 1024),
        gpus: 0,
    };
    Shape { resources, nodes: 1 }
}

/// A job that was submitted, ran and ended at these seconds.
fn done(id: &str, created: i64, ran: Option<(i64, i64)>, parents: &[&str]) -> Transition {
    let job = JobSeen {
        id: id.to_owned(),
        name: format!("name of {id}"),
        definition: "arn:aws:batch:eu-central-1:123456789012:job-definition/align:7".to_owned(),
        status: ran.map_or(JobStatus::Failed, |_| JobStatus::Succeeded),
        created: Some(at(created)),
        started: ran.map(|(start, _)| at(start)),
        stopped: Some(at(ran.map_or(created, |(_, end)| end))),
        ..JobSeen::default()
    };
    Transition {
        at: at(900),
        queue: "secret-queue".to_owned(),
        job,
        shape: Some(shape(2)),
        parents: parents.iter().map(|parent| (*parent).to_owned()).collect(),
        by_event: true,
    }
}

fn recorded(journal: &Journal) {
    let mut array = done("array", 20, Some((30, 200)), &["first"]);
    array.job.array = Some(ArraySeen {
        size: 4,
        ..ArraySeen::default()
    });
    array.shape = Some(shape(8));
    let mut runs = done("runs", 50, Some((60, 61)), &[]);
    (runs.job.status, runs.job.stopped) = (JobStatus::Running, None);
    let mut child = done("array:1", 121, Some((140, 150)), &[]);
    child.shape = None;
    let mut retried = done("first", 0, Some((10, 20)), &[]);
    retried.job.status = JobStatus::Running;
    journal
        .jobs(&[
            retried,
            done("first", 0, Some((70, 120)), &[]),
            array,
            child,
            done("array:0", 122, Some((130, 170)), &[]),
            done("array:2", 121, None, &[]),
            done("last", 30, Some((180, 185)), &["array", "long-gone"]),
            runs,
            done("outside", 5_000, Some((5_001, 5_002)), &[]),
        ])
        .unwrap();
}

fn jobs(trace: &Trace) -> Vec<String> {
    let line = |job: &crate::trace::Job| {
        format!(
            "{} +{} {} {:?} {} {:?} {:?}",
            trace.names[to_usize(job.name)],
            job.submit.since(at(0)),
            job.run,
            job.recorded_wait().map(Span::millis),
            trace.shape_of(job).resources.vcpus,
            job.array.map(|array| array.0),
            trace.dependencies_of(job),
        )
    };
    trace.jobs.iter().map(line).collect()
}

#[test]
fn an_export_is_read_back_as_the_jobs_that_ran() {
    let (folder, _path, journal) = made();
    recorded(&journal);
    let out = folder.path().join("trace.jsonl.zst");
    let exported = journal.export(at(0), at(1_000), true, &out).unwrap();
    assert_eq!(
        jobs(&exported.trace),
        [
            "align +0s 50s Some(10000) 2 vCPUs None []",
            "align +20s 40s Some(10000) 2 vCPUs Some(0) [Job(JobIndex(0))]",
            "align +20s 10s Some(20000) 8 vCPUs Some(0) [Job(JobIndex(0))]",
            "align +30s 5s None 2 vCPUs None [Array(ArrayIndex(0))]",
        ]
    );
    let left_out = LeftOut {
        unseen: 1,
        unfinished: 1,
        never_ran: 1,
        dependencies: 1,
        ..LeftOut::default()
    };
    assert_eq!(exported.left_out, left_out);
    let loaded = read(&[out], &ReadOptions::default()).unwrap();
    assert_eq!(loaded.trace, exported.trace);
    assert_eq!(loaded.report.count(Remark::LeftOut), 3);
    assert_eq!(loaded.report.count(Remark::UnknownDependency), 1);
}

/// Told once a minute; the worst of an hour is kept, and counts where that hour may belong to the time that is exported.
#[test]
fn jobs_that_were_too_many_to_follow_are_counted_in_the_header() {
    let (folder, _path, journal) = made();
    recorded(&journal);
    let hour = 3_600;
    for (queue, second, jobs) in [
        ("a", 0, 70),
        ("a", 60, 300),
        ("a", 120, 20),
        ("a", 2 * hour, 40),
        ("b", 60, 5),
        ("b", 9 * hour, 9_000),
    ] {
        journal.unfollowed(queue, at(second), jobs).unwrap();
    }
    let unfollowed = |from: i64, to: i64| journal.trace(at(from), at(to), true).unwrap().left_out.unfollowed;
    assert_eq!(unfollowed(0, 1_000), 305);
    assert_eq!(unfollowed(0, 4 * hour), 305);
    assert_eq!(unfollowed(2 * hour, 4 * hour), 40);
    assert_eq!(unfollowed(0, 10 * hour), 9_300);
    let out = folder.path().join("trace.jsonl");
    journal.export(at(0), at(1_000), false, &out).unwrap();
    let loaded = read(&[out], &ReadOptions::default()).unwrap();
    assert_eq!(loaded.report.count(Remark::Unfollowed), 305);
    tidied(&journal, Tidying::new(at(8 * hour), u64::MAX));
    assert_eq!(unfollowed(0, 10 * hour), 9_000);
}

#[test]
fn names_are_hidden_under_another_key_each_time() {
    let (folder, _path, journal) = made();
    recorded(&journal);
    let told = |number: u32| {
        let out = folder.path().join(format!("{number}.jsonl"));
        let exported = journal.export(at(0), at(1_000), false, &out).unwrap();
        let text = fs::read_to_string(&out).unwrap();
        for secret in ["align", "secret", "first", "array:", "1234"] {
            assert!(!text.replace("\"array\":", "").contains(secret), "{secret} in {text}");
        }
        exported.trace
    };
    let (one, two) = (told(1), told(2));
    assert_ne!((&one.names, &one.queues), (&two.names, &two.queues));
    assert_eq!((one.names.len(), &one.jobs), (1, &two.jobs));
}

/// Spot took it, it waited for hours, and was cancelled: only the first attempt ran, and who depends on it waited to the end.
#[test]
fn a_job_that_ended_while_it_waited_ran_as_long_as_its_last_attempt() {
    let (_folder, _path, journal) = made();
    let attempt = |started, stopped: Option<i64>| Attempt {
        started: at(started),
        stopped: stopped.map(at),
        ..Attempt::default()
    };
    let tried = |id: &str, attempts: &[Attempt]| {
        let mut told = done(id, 0, None, &[]);
        (told.job.attempt, told.job.attempts) = (3, attempts.to_vec());
        told.job.stopped = Some(at(20_000));
        told
    };
    let all = [
        tried("taken", &[attempt(10, Some(70)), attempt(100, Some(700))]),
        tried("untold", &[attempt(10, Some(70)), attempt(19_000, None)]),
        done("child", 5, Some((20_030, 20_040)), &["taken"]),
    ];
    journal.jobs(&all).unwrap();
    let exported = journal.trace(at(0), at(1_000), true).unwrap();
    assert_eq!(
        jobs(&exported.trace),
        [
            "align +0s 10m Some(10000) 2 vCPUs None []",
            "align +0s 16m 40s Some(10000) 2 vCPUs None []",
            "align +5s 10s Some(30000) 2 vCPUs None [Job(JobIndex(0))]",
        ]
    );
}

/// Only events and descriptions tell, listings say no.
#[test]
fn children_that_ran_one_after_the_other_do_so_in_the_recording() {
    let (folder, _path, journal) = made();
    let array = |id: &str, sequential: bool| {
        let mut told = done(id, 0, Some((10, 90)), &[]);
        let (size, sequential) = (2, sequential);
        told.job.array = Some(ArraySeen {
            size,
            sequential,
            ..ArraySeen::default()
        });
        told
    };
    // May be said to wait for itself.
    let mut ordered = array("ordered", true);
    ordered.parents = vec!["ordered".to_owned()];
    let all = [
        ordered,
        array("ordered", false),
        done("ordered:1", 0, Some((45, 60)), &[]),
        done("ordered:0", 0, Some((10, 40)), &[]),
        array("together", false),
        done("together:0", 0, Some((10, 40)), &[]),
        done("together:1", 0, Some((10, 60)), &[]),
    ];
    journal.jobs(&all).unwrap();
    let out = folder.path().join("trace.jsonl");
    let exported = journal.export(at(0), at(1_000), true, &out).unwrap();
    assert_eq!(exported.left_out, LeftOut::default());
    assert_eq!(
        jobs(&exported.trace),
        [
            "align +0s 30s Some(10000) 2 vCPUs Some(0) []",
            "align +0s 15s Some(5000) 2 vCPUs Some(0) []",
            "align +0s 30s Some(10000) 2 vCPUs Some(1) []",
            "align +0s 50s Some(10000) 2 vCPUs Some(1) []",
        ]
    );
    let read = read(&[out], &ReadOptions::default()).unwrap().trace;
    let sequential: Vec<bool> = read.arrays.iter().map(|array| array.sequential).collect();
    assert_eq!(sequential, [true, false]);
}

#[test]
fn sizes_that_nobody_told_are_counted() {
    let (_folder, _path, journal) = made();
    let mut listed = done("listed", 0, Some((1, 2)), &[]);
    (listed.shape, listed.job.vcpus) = (None, Some(Vcpus::new(4)));
    journal.jobs(&[listed]).unwrap();
    let exported = journal.trace(at(0), at(10), true).unwrap();
    assert_eq!(exported.without_size, 1);
    let job = exported.trace.jobs[0];
    assert_eq!(exported.trace.shape_of(&job).resources.vcpus, Vcpus::new(4));
}

#[test]
fn jobs_are_counted_as_they_would_be_exported_and_those_of_other_queues_are_left_away() {
    let (_folder, _, journal) = made();
    recorded(&journal);
    // Not the array itself, but its three children that were seen; not the job of another day.
    let (jobs, latest) = journal.counted(at(0), at(1_000)).unwrap();
    assert_eq!((jobs, latest), (6, Some(at(900))));
    assert_eq!(journal.counted(at(6_000), at(7_000)).unwrap(), (0, None));
    let of = |queue: &str| {
        let queues = [queue.to_owned()].into();
        journal.trace_of(at(0), at(1_000), &queues).unwrap().trace
    };
    let known = journal.trace(at(0), at(1_000), true).unwrap().trace;
    assert!(!known.jobs.is_empty());
    assert_eq!(of("secret-queue"), known);
    assert!(of("another").jobs.is_empty());
}
