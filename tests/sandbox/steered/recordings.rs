//! What a daemon saw of its account, written down, replays.

use std::process::Command;

use autotune::trace::{Dependency, ReadOptions, Trace, read};

use super::{Case, KEEPS, ON_DEMAND, Steered, Work};

impl Steered {
    /// `autotune record` beside the journal.
    fn record(&self) -> Trace {
        let out = self.path("recorded.jsonl.gz");
        let mut record = Command::new(env!("CARGO_BIN_EXE_autotune"));
        record.args(["record", "--keep-names", "--journal"]);
        let done = record.arg(self.path("journal.db")).arg("--out").arg(&out).output();
        assert!(done.as_ref().unwrap().status.success(), "{done:?}");
        read(&[out], &ReadOptions::default()).unwrap().trace
    }
}

/// What of a job is the same whoever writes it down: its times in milliseconds, its size, how many it waits for, how it ended.
fn jobs(trace: &Trace) -> Vec<String> {
    let mut jobs: Vec<String> = (trace.jobs.iter())
        .map(|job| {
            let waits_for: usize = (trace.dependencies_of(job).iter())
                .map(|parent| match parent {
                    Dependency::Job(_) => 1,
                    Dependency::Array(array) => trace.arrays[array.position()].size.try_into().unwrap(),
                })
                .sum();
            let shape = trace.shapes[job.shape.position()];
            let (submit, run) = (job.submit.millis(), job.run.millis());
            let is_child = job.array.is_some();
            format!("{submit} {run} {shape:?} {waits_for} {is_child} {:?}", job.ending)
        })
        .collect();
    jobs.sort_unstable();
    jobs
}

/// Jobs that one waits for, an array, and jobs that come and go between two looks at their queue.
fn work() -> Work {
    let short = |work: Work, number: i64| work.burst(1, 900 + number * 23, 12);
    let work = Work::default()
        .burst(8, 0, 240)
        .then(4, 90)
        .array_of_messages(6, 300, 150);
    (0..6).fold(work, short)
}

fn case(events: bool) -> Case {
    Case {
        events,
        ..Case::new(ON_DEMAND, KEEPS, work())
    }
}

/// With events, and by looking alone: five lines of settings name no queue of events.
#[test]
fn a_recording_holds_every_job_and_replays_as_the_work_itself() {
    for events in [true, false] {
        let case = case(events);
        let steered = Steered::begin(&case);
        let outcome = steered.finish();
        assert_eq!(steered.trouble(), [""; 0], "events: {events}");
        let (recorded, made) = (steered.record(), case.trace());
        assert_eq!(jobs(&recorded), jobs(&made), "events: {events}, {outcome:?}");
        let (again, expected) = (case.simulated_with(&recorded).mean(), case.simulated().mean());
        assert!((again - expected).abs() <= expected * 0.02, "{again} s, {expected} s");
    }
}

/// What ended meanwhile, AWS Batch still knows.
#[test]
fn a_daemon_that_was_away_asks_how_jobs_ended() {
    let case = case(false);
    let mut steered = Steered::begin(&case);
    let runs = |state: &super::State| state.all("there_vcpus") > 0;
    let begun = steered.until("seen", runs).now();
    steered.until("noted", |state| state.now() > begun + 120_000);
    steered.terminate();
    steered.until("over", |state| state.now() > begun + 900_000);
    steered.start_daemon();
    steered.finish();
    assert_eq!(jobs(&steered.record()), jobs(&case.trace()));
}
