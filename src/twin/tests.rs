//! A day is replayed twice, or it is said why not.

use std::sync::Arc;

use tokio::sync::watch;

use super::replay::{Hindsight, Present, compare, replayable};
use crate::account::Platform;
use crate::clock::{self, Clock};
use crate::daemon::Keys;
use crate::daemon::in_force::InForce;
use crate::daemon::snapshot::{QuotaStatus, Snapshot};
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
    compared_at(in_force, &Present::default(), change)
}

fn compared_at(in_force: &InForce, present: &Present, change: impl FnOnce(&mut Trace)) -> Result<Twin, String> {
    let (mut trace, now) = jobs();
    change(&mut trace);
    let count = trace.jobs.len() + 2;
    let exported = Exported {
        trace,
        ..Exported::default()
    };
    compare(in_force, present, exported, count, now)
}

/// The account, the later half of whose jobs run in one environment alone.
fn halved(environment: &str) -> (InForce, impl FnOnce(&mut Trace)) {
    let mut halved = in_force();
    let queue = halved.topology.queues.last_mut().unwrap();
    queue.environments = vec![environment.to_owned()];
    let name = queue.name.clone();
    (halved, move |trace: &mut Trace| {
        trace.queues.push(name);
        let half = trace.jobs.len() / 2;
        for job in &mut trace.jobs[half..] {
            job.queue = u16::try_from(trace.queues.len() - 1).unwrap();
        }
    })
}

/// Half of the jobs were replayed, half of them wait on both sides when the day is over.
fn is_half(twin: &Twin) {
    let jobs = jobs().0.jobs.len();
    assert_eq!((twin.jobs, twin.left_out), (jobs / 2, jobs - jobs / 2 + 2));
    assert_eq!(twin.measured.map(|measured| measured.jobs), Some(jobs / 2));
    let waiting = [&twin.tuned, &twin.alone].map(|side| side.waiting);
    assert_eq!(waiting, [jobs - jobs / 2; 2]);
    assert_eq!(twin.passed, Span::from_minutes(24 * 60));
}

#[test]
fn jobs_for_which_a_quota_leaves_no_room_end_with_the_day_and_are_counted() {
    let quota = |limit, others| QuotaStatus {
        code: "L-1216C47A".to_owned(),
        limit_vcpus: Some(Vcpus::new(limit)),
        used_by_others_vcpus: Some(Vcpus::new(others)),
        ..QuotaStatus::default()
    };
    let present = Present {
        quotas: vec![quota(512, 511)],
        ..Present::default()
    };
    let (in_force, change) = halved("on-demand");
    is_half(&compared_at(&in_force, &present, change).unwrap());
}

#[test]
fn environments_that_are_disabled_or_invalid_launch_nothing() {
    let present = Present {
        unusable: ["on-demand".to_owned()].into(),
        ..Present::default()
    };
    let (in_force, change) = halved("on-demand");
    is_half(&compared_at(&in_force, &present, change).unwrap());
}

#[test]
fn a_run_of_decades_ends_with_the_day() {
    let twin = compared(&in_force(), |trace| {
        trace.jobs[0].run = Span::from_minutes(40 * 365 * 24 * 60);
    })
    .unwrap();
    assert_eq!(twin.passed, Span::from_minutes(24 * 60));
    let (most, cost) = (MicroUsd::new(1_000_000_000), [twin.tuned.cost, twin.alone.cost]);
    assert!(cost.iter().all(|cost| *cost < most), "{cost:?}");
}

#[test]
fn children_that_were_never_seen_are_counted() {
    let (trace, now) = jobs();
    let count = trace.jobs.len();
    let mut exported = Exported {
        trace,
        ..Exported::default()
    };
    exported.left_out.unseen = 7;
    let twin = compare(&in_force(), &Present::default(), exported, count, now).unwrap();
    assert_eq!((twin.jobs, twin.left_out), (count, 7));
}

/// One environment of one type, and one job of an hour at ten in the morning; the day is replayed at ten in the evening.
fn one_hour(base: u32, policy: &str) -> (Twin, MicroUsd) {
    let scenario = format!(
        "version = 1\nmodel = \"recent\"\n[[environments]]\nname = \"one\"\npurchase = \"on_demand\"\nmin_vcpus = {base}\n\
         max_vcpus = 512\ninstance_types = [\"m6i.xlarge\"]\n[[queues]]\nname = \"all\"\nenvironments = [\"one\"]\n"
    );
    let in_force = InForce {
        policy: policy::parse("held", policy).unwrap(),
        topology: Scenario::from_toml("one", &scenario).unwrap().topology(),
        keys: Keys::default(),
    };
    let midnight = Time::from_seconds(1_767_225_600);
    let (mut trace, _) = jobs();
    trace.jobs.truncate(1);
    trace.arrays.clear();
    trace.jobs[0].array = None;
    trace.jobs[0].submit = midnight + Span::from_minutes(10 * 60);
    trace.jobs[0].run = Span::from_minutes(60);
    let exported = Exported {
        trace,
        ..Exported::default()
    };
    let hourly = in_force.topology.environments[0].types[0].per_hour;
    let now = midnight + Span::from_minutes(22 * 60);
    let twin = compare(&in_force, &Present::default(), exported, 1, now).unwrap();
    (twin, hourly)
}

/// Instances of four vCPUs, in tenths of an hour.
fn tenths(cost: MicroUsd, hourly: MicroUsd) -> i64 {
    cost.get() * 10 / hourly.get()
}

#[test]
fn what_a_schedule_holds_before_the_first_job_and_after_the_last_costs() {
    let held = "
        version = 1
        [queues.\"*\"]
        reference_job = { vcpus = \"4 vcpu\", memory = \"8 GiB\" }
        [[queues.\"*\".schedules]]
        cron = \"0 6 * * *\"
        duration = \"10h\"
        time_zone = \"Etc/UTC\"
        headroom_slots = 16
        ";
    let (twin, hourly) = one_hour(0, held);
    let (tuned, alone) = (tenths(twin.tuned.cost, hourly), tenths(twin.alone.cost, hourly));
    assert!((10..20).contains(&alone), "{alone}");
    // 16 instances of 4 vCPUs for ten hours, the one that is to be idle beside the job, and the time that AWS Batch keeps them.
    assert!((1_600..1_800).contains(&tuned), "{tuned}");
}

#[test]
fn base_costs_the_whole_day_on_both_sides() {
    let (twin, hourly) = one_hour(8, "version = 1\n[queues.\"*\"]\n");
    for cost in [twin.tuned.cost, twin.alone.cost] {
        let tenths = tenths(cost, hourly);
        assert!((475..=500).contains(&tenths), "{tenths}");
    }
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
    clock::wait(Span::from_minutes(60)).await;
    assert!(!saved.has_changed().unwrap(), "of a quiet account it is said once");

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
