//! Shipped policies under every answer to what no document says about AWS Batch.
//!
//! A policy that is good under one answer only would be a bet. So each doubt about the model is turned to its other answer, one
//! at a time, and the policies have to stay as good beside AWS Batch alone. A parameter that is added to the model fails the
//! test until it is listed here, as a doubt or as a plain parameter.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use autotune::control::Decide;
use autotune::planner::plan::{Because, Plan};
use autotune::planner::{self, Inputs};
use autotune::simulate::drive::Drive;
use autotune::simulate::ledger::{Fate, RunResult};
use autotune::simulate::model::{BatchModel, Overrides};
use autotune::simulate::scenario::Scenario;
use autotune::trace::Trace;
use autotune::trace::generate::{Days, Diurnal, Generator};

use crate::worlds::{alone, on_demand, policy, spot, steered, steered_by, traces};

/// Every open question, and the other answer as a scenario file gives it. Where a number is asked for, one at the far end of
/// what is plausible.
const DOUBTS: &[(&str, &str)] = &[
    ("accepts_min_above_desired", "false"),
    ("accepts_max_below_desired", "true"),
    ("min_raise_delay", "'120s'"),
    ("updating", "'300s'"),
    ("scales_while_updating", "false"),
    ("desired_kept", "'20m'"),
    ("idle_on_demand", "'10m'"),
    ("idle_spot", "'30m'"),
    ("next_environment_after", "'300s'"),
    ("ends_unused_at_once", "true"),
    ("counts_capacity_of_updates", "false"),
    ("places_on_later_environments", "false"),
    ("keeps_unfulfilled_when_min_falls", "true"),
    ("head_of_line_blocking", "false"),
    ("overshoots_max", "false"),
    ("smallest_launched_vcpus", "2"),
    ("decision_delay", "'60s'"),
    ("evaluation_interval", "'300s'"),
    ("looks_at_once_when_idle", "false\nevaluation_interval = '300s'"),
    ("cooldown_after_scale_in", "'300s'"),
];

/// What is known well enough, or is the same delay for everybody.
const PLAIN: &[(&str, &str)] = &[
    ("pending", "measured; before every launch, whoever asks for it"),
    ("boot_on_demand", "measured; after every launch, whoever asked for it"),
    ("boot_spot", "measured; after every launch, whoever asked for it"),
    ("dispatch", "measured; before every job"),
    ("pull", "measured; before the first job of a name on an instance"),
    ("container_start", "before every job"),
    ("launch_retry", "only Batch asks again, with or without us"),
    ("interruption_factor", "about EC2, not about Batch"),
    ("interrupted_share", "about EC2, not about Batch"),
    ("interruption_warning", "documented"),
];

/// How a policy must compare with AWS Batch alone in a situation, under every answer: cost and mean wait at most so many times
/// as large.
struct Promise {
    policy: &'static str,
    situation: &'static str,
    cost: f64,
    wait: f64,
}

const fn promise(policy: &'static str, situation: &'static str, cost: f64, wait: f64) -> Promise {
    Promise {
        policy,
        situation,
        cost,
        wait,
    }
}

/// Where nothing idle is paid for, a policy is never much worse than nobody. Where room is paid for, it has to start jobs sooner.
const PROMISES: &[Promise] = &[
    promise("reactive", "sqs-array", 1.1, 1.1),
    promise("reactive", "object-created", 1.1, 1.1),
    promise("reactive", "diurnal", 1.1, 1.1),
    promise("spot-first", "nightly", 1.1, 1.1),
    promise("spot-first", "object-created", 1.1, 1.1),
    promise("thrifty", "nightly", 1.1, 1.1),
    promise("thrifty", "diurnal", 1.1, 1.1),
    promise("sqs-ahead", "sqs-array", 1.2, 0.7),
    promise("warm-hours", "diurnal", 2.6, 0.9),
    promise("latency-first", "object-created", 4.5, 0.5),
];

/// What a policy does rest on: where an answer breaks a promise, the limits that hold instead, and why.
const EXCEPTIONS: &[(&str, &str, f64, f64)] = &[
    // Batch launches for the jobs what was launched for their messages.
    ("sqs-ahead", "counts_capacity_of_updates", 1.8, 0.7),
    // Messages that come in while their first update keeps the environment UPDATING are asked for when their jobs are there.
    ("sqs-ahead", "updating", 1.2, 1.0),
    // Batch alone then finds instances of the batch before.
    ("sqs-ahead", "idle_spot", 1.2, 0.75),
    // Batch alone looks every five minutes. Jobs that wait less long for room keep it a little longer for those that follow.
    ("spot-first", "evaluation_interval", 1.2, 0.9),
    ("spot-first", "looks_at_once_when_idle", 1.2, 0.9),
];

/// Luck is shared, but one job more or less on an instance changes what the next job finds; so many runs are added up.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=6;

/// The largest cost and mean wait that are allowed.
fn limits(promise: &Promise, doubt: &str) -> (f64, f64) {
    let mut exceptions = EXCEPTIONS.iter();
    let exception = exceptions.find(|(policy, about, ..)| *policy == promise.policy && *about == doubt);
    exception.map_or((promise.cost, promise.wait), |(_, _, cost, wait)| (*cost, *wait))
}

fn situation(name: &str, seed: u64) -> (Scenario, Trace) {
    if name == "diurnal" {
        let diurnal = Diurnal {
            peak_per_hour: 20,
            ..Diurnal::default()
        };
        return (spot(), diurnal.generate(seed, Days(1)));
    }
    let mut all = traces(seed).into_iter();
    let trace = all.find(|(known, _)| *known == name).unwrap().1;
    let scenario = if name == "object-created" { on_demand() } else { spot() };
    (scenario, trace)
}

/// Cost in millionths of a dollar, and all waits together in ms.
fn score(results: &[RunResult]) -> (i64, i64) {
    let cost = results.iter().map(|result| result.cost().get()).sum();
    let jobs = results.iter().flat_map(|result| &result.jobs);
    (cost, jobs.map(|job| job.wait().unwrap().millis()).sum())
}

/// What a policy costs and how long jobs wait under it, as shares of what AWS Batch alone does.
fn compared(promise: &Promise, overrides: &Overrides) -> (f64, f64) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for seed in SEEDS {
        let (mut scenario, trace) = situation(promise.situation, seed);
        scenario.model_overrides = overrides.clone();
        let (result, _) = steered(&scenario, &trace, &policy(promise.policy), Drive::default(), seed);
        ours.push(result);
        theirs.push(alone(&scenario, &trace, seed));
    }
    let succeeded = |results: &[RunResult]| -> usize { results.iter().map(|r| r.count(Fate::Succeeded)).sum() };
    assert_eq!(succeeded(&ours), succeeded(&theirs), "jobs were lost");
    let ((cost, wait), (their_cost, their_wait)) = (score(&ours), score(&theirs));
    (ratio(cost, their_cost), ratio(wait, their_wait))
}

fn ratio(ours: i64, theirs: i64) -> f64 {
    let permille = i128::from(ours) * 1_000 / i128::from(theirs.max(1));
    f64::from(i32::try_from(permille).unwrap()) / 1_000.0
}

fn answered(name: &str, answer: &str) -> Overrides {
    let overrides: Overrides = toml::from_str(&format!("{name} = {answer}")).unwrap();
    assert_ne!(
        BatchModel::recent().with(&overrides),
        BatchModel::recent(),
        "{name} is not another answer"
    );
    overrides
}

#[test]
fn every_parameter_of_the_model_is_scored_or_says_why_not() {
    let known: BTreeSet<&str> = BatchModel::provenance().iter().map(|(name, _)| *name).collect();
    let listed: Vec<&str> = DOUBTS.iter().chain(PLAIN).map(|(name, _)| *name).collect();
    let distinct: BTreeSet<&str> = listed.iter().copied().collect();
    assert_eq!(listed.len(), distinct.len(), "listed twice");
    assert_eq!(known, distinct);
}

#[test]
fn no_shipped_policy_rests_on_one_answer() {
    let mut answers = vec![("as assumed", Overrides::default())];
    answers.extend(DOUBTS.iter().map(|(name, answer)| (*name, answered(name, answer))));
    let cases: Vec<_> = answers
        .iter()
        .flat_map(|answer| PROMISES.iter().map(move |promise| (answer, promise)))
        .collect();
    let (next, told) = (AtomicUsize::new(0), Mutex::new(String::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(((doubt, overrides), promise)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (cost, wait) = compared(promise, overrides);
                    let (most_cost, most_wait) = limits(promise, doubt);
                    let mark = if cost > most_cost || wait > most_wait {
                        "BROKEN "
                    } else {
                        ""
                    };
                    let line = format!(
                        "{mark}{} on {}, {doubt}: cost {cost} (at most {most_cost}), wait {wait} (at most {most_wait})",
                        promise.policy, promise.situation
                    );
                    writeln!(told.lock().unwrap(), "{line}").unwrap();
                }
            });
        }
    });
    let told = told.into_inner().unwrap();
    assert_eq!(told.lines().count(), cases.len());
    assert!(!told.contains("BROKEN"), "{told}");
}

/// Our planner, and how often it said that Batch launched besides it.
struct Counting<'a> {
    said: &'a mut usize,
}

impl Decide for Counting<'_> {
    fn decide(&mut self, inputs: &Inputs<'_>, plan: &mut Plan) {
        planner::plan(inputs, plan);
        let doubles = plan
            .reasons
            .iter()
            .filter(|r| matches!(r.because, Because::DoubleLaunch(_)));
        *self.said += doubles.count();
    }
}

#[test]
fn double_launches_are_seen_where_batch_launches_twice() {
    for (name, about) in [("reactive", "diurnal"), ("latency-first", "object-created")] {
        let said = [true, false].map(|counts| {
            let mut said = 0;
            for seed in SEEDS {
                let (mut scenario, trace) = situation(about, seed);
                scenario.model_overrides.counts_capacity_of_updates = Some(counts);
                let counting = Counting { said: &mut said };
                steered_by(counting, &scenario, &trace, &policy(name), Drive::default(), seed);
            }
            said
        });
        assert!(said[1] > 5 && said[0] * 5 < said[1], "{name} on {about}: {said:?}");
    }
}
