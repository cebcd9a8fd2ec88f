//! The recordings, accounts and policies that the tests replay.

use autotune::control::{Decide, Planner};
use autotune::explain;
use autotune::policy::{self, Policy};
use autotune::setup::{self, Compiled, Setup};
use autotune::simulate::distribution::Distribution;
use autotune::simulate::drive::{self, Drive, Steering};
use autotune::simulate::ledger::RunResult;
use autotune::simulate::scenario::Scenario;
use autotune::trace::Trace;
use autotune::trace::generate::{Days, Generator, Nightly, ObjectCreated, SqsArray, Trickle};
use autotune::units::{Span, Time};

/// The names of the shipped policies.
pub(crate) fn policies() -> impl Iterator<Item = &'static str> {
    policy::SHIPPED.iter().map(|(name, _)| *name)
}

/// A shipped policy.
pub(crate) fn policy(name: &str) -> Policy {
    let text = policy::SHIPPED.iter().find(|(known, _)| *known == name).unwrap().1;
    policy::parse(name, text).unwrap()
}

/// A day of each situation, small enough to be replayed often.
pub(crate) fn traces(seed: u64) -> Vec<(&'static str, Trace)> {
    let sqs = SqsArray {
        children: 40,
        ..SqsArray::default()
    };
    let nightly = Nightly {
        jobs: 150,
        ..Nightly::default()
    };
    let trickle = Trickle {
        jobs_per_hour: 10,
        ..Trickle::default()
    };
    vec![
        ("sqs-array", sqs.generate(seed, Days(1))),
        ("object-created", ObjectCreated::default().generate(seed, Days(1))),
        ("nightly", nightly.generate(seed, Days(1))),
        ("trickle", trickle.generate(seed, Days(1))),
    ]
}

/// The shipped account with Spot before On-Demand, droughts and interruptions.
pub(crate) fn spot() -> Scenario {
    let text = include_str!("../../policies/scenarios/spot-128.toml");
    Scenario::from_toml("spot-128.toml", text).unwrap()
}

/// The shipped account with one On-Demand environment.
pub(crate) fn on_demand() -> Scenario {
    let text = include_str!("../../policies/scenarios/on-demand-500.toml");
    Scenario::from_toml("on-demand-500.toml", text).unwrap()
}

/// An account as it is, but nothing that AWS does takes time.
pub(crate) fn without_delays(mut scenario: Scenario) -> Scenario {
    let overrides = &mut scenario.model_overrides;
    for delay in [
        &mut overrides.decision_delay,
        &mut overrides.pending,
        &mut overrides.boot_on_demand,
        &mut overrides.boot_spot,
        &mut overrides.dispatch,
        &mut overrides.pull,
        &mut overrides.container_start,
        &mut overrides.min_raise_delay,
        &mut overrides.updating,
    ] {
        *delay = Some(Distribution::ZERO);
    }
    scenario
}

/// What the planner knows of an account; schedules are known for the days around the trace.
pub(crate) fn compiled(policy: &Policy, scenario: &Scenario, trace: &Trace) -> Compiled {
    let month = Span::from_minutes(30 * 24 * 60);
    let submits = trace.jobs.iter().filter(|job| !job.is_spawned()).map(|job| job.submit);
    let first = submits.clone().min().unwrap_or(Time::EPOCH);
    let last = submits.max().unwrap_or(first);
    let horizon = (first - month, last + month);
    setup::compile(policy, &scenario.topology(), horizon).unwrap()
}

/// Replays with our planner.
pub(crate) fn steered(
    scenario: &Scenario,
    trace: &Trace,
    policy: &Policy,
    drive: Drive,
    seed: u64,
) -> (RunResult, Steering) {
    steered_by(Planner, scenario, trace, policy, drive, seed)
}

/// Replays with whoever decides.
pub(crate) fn steered_by<D: Decide>(
    decide: D,
    scenario: &Scenario,
    trace: &Trace,
    policy: &Policy,
    drive: Drive,
    seed: u64,
) -> (RunResult, Steering) {
    let compiled = compiled(policy, scenario, trace);
    drive::replay(scenario, trace, (compiled, decide), drive, seed, &mut |_| {}).unwrap()
}

/// Replays without anybody.
pub(crate) fn alone(scenario: &Scenario, trace: &Trace, seed: u64) -> RunResult {
    drive::replay_alone(scenario, trace, seed, Span::ZERO, &mut |_| {}).unwrap()
}

/// Everything that was done and everything that came of it, one line each.
pub(crate) fn journal(setup: &Setup, result: &RunResult, steering: &Steering) -> String {
    let updates = steering.updates.iter().map(|(at, action, accepted)| {
        let word = if *accepted { "accepted" } else { "refused" };
        format!("{at} {word}: {}: {action:?}\n", explain::action(setup, action))
    });
    let jobs = result.jobs.iter().map(|job| format!("{job:?}\n"));
    let environments = result.environments.iter().map(|totals| format!("{totals:?}\n"));
    let releases = result.releases.iter().map(|release| format!("{release:?}\n"));
    let rest = format!(
        "{} retries, {:?}, leases {}\n",
        result.retries, result.makespans, steering.leases_expired
    );
    updates
        .chain(jobs)
        .chain(environments)
        .chain(releases)
        .chain([rest])
        .collect()
}
