//! A day is replayed twice, or it is said why not.

use std::sync::Arc;

use tokio::sync::watch;

use super::replay::{Hindsight, compare, replayable};
use crate::account::Platform;
use crate::clock::{self, Clock};
use crate::daemon::Keys;
use crate::daemon::in_force::InForce;
use crate::daemon::snapshot::Snapshot;
use crate::daemon::twin::{Measured, Saved, Source, Twin};
use crate::jobs::{JobSeen, JobStatus};
use crate::journal::{Exported, Journal, Transition};
use crate::observation::Shape;
use crate::policy;
use crate::simulate::scenario::Scenario;
use crate::trace::Trace;
use crate::trace::generate::{Days, Generator as _, SqsArray};
use crate::units::{Mebibytes, MicroUsd, Span, Time, Vcpus};

/// The demo's account under its policy, which is written for it.
fn in_force() -> InForce {
    let shipped = |all: &[(&str, &'static str)], name: &str| all.iter().find(|(known, _)| *known == name).unwrap().1;
    let scenario = shipped(&crate::simulate::scenario::SHIPPED, "demo-account");
    InForce {
        policy: policy::parse("demo", shipped(&policy::SHIPPED, "demo")).unwrap(),
        topology: Scenario::from_toml("demo-account", scenario).unwrap().topology(),
        keys: Keys::default(),
    }
}

/// A day of arrays, and when it is over. Messages are not in a ledger.
fn jobs() -> (Trace, Time) {
    let bursts = SqsArray {
        batches_per_day: 8,
        children: 30,
        ..SqsArray::default()
    };
    let mut trace = bursts.generate(1, Days(1));
    (trace.messages, trace.sqs_queues) = (Vec::new(), Vec::new());
    for job in &mut trace.jobs {
        job.recorded_wait = Span::from_seconds(30);
    }
    let last = trace
        .jobs
        .iter()
        .filter(|job| !job.is_spawned())
        .map(|job| job.submit)
        .max();
    (trace, last.unwrap() + Span::from_minutes(60))
}

fn compared(in_force: &InForce, change: impl FnOnce(&mut Trace)) -> Result<Twin, String> {
    let (mut trace, now) = jobs();
    change(&mut trace);
    let count = trace.jobs.len() + 2;
    let exported = Exported {
        trace,
        ..Exported::default()
    };
    compare(in_force, &[], exported, count, now)
}

#[test]
fn a_day_is_replayed_with_autotune_and_with_batch_alone_and_what_was_measured_stands_beside() {
    let twin = compared(&in_force(), |_| {}).unwrap();
    let jobs = jobs().0.jobs.len();
    assert!(jobs > 50 && twin.jobs == jobs, "{} of {jobs}", twin.jobs);
    assert_eq!(
        (twin.source, twin.left_out, twin.model.as_str()),
        (Source::Recording, 2, "recent")
    );
    let measured = Measured {
        jobs,
        mean: Span::from_seconds(30),
    };
    assert_eq!(twin.measured, Some(measured));
    assert!(twin.saved().unwrap() > Span::ZERO, "{twin:?}");
    assert!(twin.tuned.cost > MicroUsd::ZERO && twin.alone.cost > MicroUsd::ZERO);
    assert_eq!(twin.lasts, Span::from_minutes(24 * 60));
    let again = compared(&in_force(), |_| {}).unwrap();
    assert_eq!(twin, again, "the same day comes to the same");
}

#[test]
fn what_is_only_watched_saves_nothing_and_an_account_without_anything_else_is_not_replayed() {
    let mut watched = in_force();
    watched.keys.tag = Some(("autotune".to_owned(), "enabled".to_owned()));
    let why = compared(&watched, |_| {}).unwrap_err();
    assert!(why.contains("No environment is steered"), "{why}");
    // The last one alone, which no queue comes to before the others are full.
    let last = watched.topology.environments.last_mut().unwrap();
    last.tags.insert("autotune".to_owned(), "enabled".to_owned());
    let less = compared(&watched, |_| {}).unwrap().saved().unwrap();
    assert!(less < compared(&in_force(), |_| {}).unwrap().saved().unwrap());
}

#[test]
fn a_size_that_is_not_known_is_that_of_the_definition_or_said() {
    let without = |trace: &mut Trace, all: bool| {
        trace.shapes.push(Shape::default());
        let none = crate::ids::ShapeIndex(crate::units::to_u32(trace.shapes.len() - 1));
        let name = trace.jobs[0].name;
        let mut of_it = trace.jobs.iter_mut().filter(|job| job.name == name);
        if !all {
            assert!(of_it.next().is_some() && of_it.next().is_some());
        }
        of_it.for_each(|job| job.shape = none);
    };
    assert!(compared(&in_force(), |trace| without(trace, false)).is_ok());
    let why = compared(&in_force(), |trace| without(trace, true)).unwrap_err();
    assert!(why.contains("size") && why.contains("autotune simulate"), "{why}");
}

#[test]
fn nothing_to_replay_is_said_and_is_no_zero() {
    let why = compared(&in_force(), |trace| trace.jobs.clear()).unwrap_err();
    assert!(why.contains("No job") && why.contains("2 others"), "{why}");
}

#[test]
fn queues_on_what_the_model_does_not_know_are_left_out() {
    let mut topology = in_force().topology;
    let all = topology.queues.len();
    assert!(all > 1);
    assert_eq!(replayable(&topology).len(), all);
    topology.queues[0].environments = vec!["serverless".to_owned()];
    assert_eq!(replayable(&topology).len(), all - 1);
    for environment in &mut topology.environments {
        environment.platform = Platform::Fargate;
    }
    assert!(replayable(&topology).is_empty());
    // It keeps its place beside those that are known.
    let mut beside = in_force();
    let mut fargate = beside.topology.environments[0].clone();
    (fargate.name, fargate.platform) = ("serverless".to_owned(), Platform::Fargate);
    beside.topology.environments.insert(0, fargate);
    assert_eq!(
        compared(&beside, |_| {}).unwrap().saved(),
        compared(&in_force(), |_| {}).unwrap().saved()
    );
}

/// A job of the first queue, as the ledger has it.
fn ended(number: usize, submitted: Time) -> Transition {
    let job = JobSeen {
        id: format!("job-{number}"),
        name: "one".to_owned(),
        definition: "one:1".to_owned(),
        status: JobStatus::Succeeded,
        created: Some(submitted),
        started: Some(submitted + Span::from_seconds(40)),
        stopped: Some(submitted + Span::from_seconds(100)),
        ..JobSeen::default()
    };
    let mut shape = Shape {
        nodes: 1,
        ..Shape::default()
    };
    (shape.resources.vcpus, shape.resources.memory) = (Vcpus::new(2), Mebibytes::new(2048));
    Transition {
        at: submitted + Span::from_seconds(100),
        queue: in_force().topology.queues[0].name.clone(),
        job,
        shape: Some(shape),
        parents: Vec::new(),
        by_event: true,
    }
}

#[tokio::test(start_paused = true)]
async fn a_day_is_replayed_once_an_hour_and_only_if_something_has_changed() {
    let start = Time::from_seconds(1_767_258_000);
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(&folder.path().join("journal.db")).unwrap();
    let (told, mut saved) = watch::channel(None);
    let (_goes_on, in_force) = watch::channel(Some(Arc::new(in_force())));
    let (_snapshots, snapshot) = watch::channel(Snapshot::default());
    let hindsight = Hindsight {
        journal: journal.clone(),
        in_force,
        snapshot,
        clock: Clock::paced(start),
        most_jobs: 5,
        told,
    };
    let task = tokio::spawn(hindsight.hourly());
    clock::wait(Span::from_minutes(4)).await;
    assert!(!saved.has_changed().unwrap(), "a start comes first");
    clock::wait(Span::from_minutes(2)).await;
    let Some(Saved::Unknown { why, .. }) = saved.borrow_and_update().clone() else {
        panic!("nothing was recorded");
    };
    assert!(why.contains("No job"), "{why}");

    journal
        .jobs(&[ended(0, start), ended(1, start + Span::from_seconds(1))])
        .unwrap();
    clock::wait(Span::from_minutes(60)).await;
    let twin = saved.borrow_and_update().as_ref().and_then(Saved::twin).cloned();
    let twin = twin.expect("two jobs are replayed");
    assert_eq!((twin.jobs, twin.left_out), (2, 0));
    let mean = twin.measured.map(|measured| measured.mean);
    assert_eq!(mean, Some(Span::from_seconds(40)));

    clock::wait(Span::from_minutes(180)).await;
    assert!(!saved.has_changed().unwrap(), "nothing is replayed twice");
    let many: Vec<Transition> = (2..8).map(|number| ended(number, start)).collect();
    journal.jobs(&many).unwrap();
    clock::wait(Span::from_minutes(60)).await;
    let Some(Saved::Unknown { why, .. }) = saved.borrow_and_update().clone() else {
        panic!("so many are not replayed here");
    };
    assert!(
        why.contains("8 jobs in 24 hours") && why.contains("autotune record --from"),
        "{why}"
    );
    task.abort();
}
