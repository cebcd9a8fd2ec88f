//! Falling back to On-Demand in a Spot drought, under both answers to a question that no document answers: does AWS Batch place
//! jobs on idle capacity of a later environment although an earlier one could still grow?

use autotune::control::{Decide, Planner};
use autotune::planner::plan::{Action, Because, Plan};
use autotune::planner::{self, Inputs};
use autotune::simulate::drive::Drive;
use autotune::simulate::ledger::RunResult;
use autotune::simulate::model::Lasting;
use autotune::simulate::scenario::{DroughtSpec, Scenario};
use autotune::trace::Trace;
use autotune::trace::generate::{Days, Generator, Nightly};
use autotune::units::{Span, Time};

use crate::worlds::{alone, policy, spot, steered, steered_by};

/// Spot without capacity from shortly before the first job on, for five hours.
fn drought(places_on_later_environments: bool) -> Scenario {
    let mut scenario = spot();
    scenario.random_droughts = None;
    scenario.model_overrides.interruption_factor = Some(0.0);
    scenario.model_overrides.places_on_later_environments = Some(places_on_later_environments);
    scenario.droughts = vec![DroughtSpec {
        environment: "spot".to_owned(),
        instance_type: None,
        zone: None,
        start: Lasting::default(),
        length: Lasting(Span::from_minutes(300)),
    }];
    scenario
}

fn burst(seed: u64) -> Trace {
    let nightly = Nightly {
        // Less than maxvCpus of the Spot environment: beyond it AWS Batch moves on by itself.
        jobs: 12,
        ..Nightly::default()
    };
    nightly.generate(seed, Days(1))
}

fn mean_wait(result: &RunResult) -> i64 {
    let waits = result.jobs.iter().map(|job| job.wait().unwrap().millis());
    waits.sum::<i64>() / i64::try_from(result.jobs.len()).unwrap()
}

/// Our planner, and what it said about room that AWS Batch does not use.
struct Listening<'a> {
    said: &'a mut Vec<Time>,
}

impl Decide for Listening<'_> {
    fn decide(&mut self, inputs: &Inputs<'_>, plan: &mut Plan) {
        planner::plan(inputs, plan);
        if plan.reasons.iter().any(|reason| reason.because == Because::NotPlaced) {
            self.said.push(inputs.now);
        }
    }
}

#[test]
fn falling_back_starts_jobs_sooner_where_batch_uses_what_it_bought() {
    let scenario = drought(true);
    for seed in [1, 2, 3] {
        let trace = burst(seed);
        let stock = alone(&scenario, &trace, seed);
        for name in ["reactive", "spot-first", "latency-first"] {
            let (result, _) = steered(&scenario, &trace, &policy(name), Drive::default(), seed);
            let (ours, theirs) = (mean_wait(&result), mean_wait(&stock));
            assert!(ours < theirs / 2, "{name} seed {seed}: {ours} ms, stock {theirs} ms");
            assert!(
                result.environments[1].launches > 0,
                "{name} seed {seed}: nothing was bought On-Demand"
            );
        }
        // A policy without patience pairs never asks for On-Demand; AWS Batch itself may.
        let (_, thrifty) = steered(&scenario, &trace, &policy("thrifty"), Drive::default(), seed);
        let asks =
            |action: &Action| action.environment().position() == 1 && action.to().min_vcpus > action.from().min_vcpus;
        let fell_back = |action: &Action| asks(action) && matches!(action.because(), Because::Fallback(..));
        assert!(
            !thrifty.updates.iter().any(|(_, action, _)| fell_back(action)),
            "seed {seed}: {:?}",
            thrifty.updates
        );
    }
}

#[test]
fn falling_back_ends_and_says_so_where_batch_leaves_it_idle() {
    let scenario = drought(false);
    for seed in [1, 2, 3] {
        let trace = burst(seed);
        for name in ["reactive", "spot-first", "latency-first"] {
            let mut said = Vec::new();
            let listening = Listening { said: &mut said };
            let (result, steering) = steered_by(listening, &scenario, &trace, &policy(name), Drive::default(), seed);
            let what = format!("{name} seed {seed}");
            let first = *said.first().unwrap_or_else(|| panic!("{what}: nothing was said"));
            let bought = |at: &dyn Fn(Time) -> bool| {
                let raises = steering.updates.iter().filter(|(when, action, accepted)| {
                    *accepted
                        && at(*when)
                        && action.environment().position() == 1
                        && action.to().min_vcpus > action.from().min_vcpus
                });
                raises.count()
            };
            assert!(bought(&|at| at < first) > 0, "{what}: never fell back");
            // It tries again when the answer may have changed, an hour later at the earliest.
            let hour = Span::from_minutes(60);
            let soon = bought(&|at| at > first + Span::from_seconds(1) && at < first + hour - Span::from_seconds(1));
            assert_eq!(soon, 0, "{what}: went on after {first}: {:#?}", steering.updates);
            // What was bought in vain is not kept: less than the whole drought.
            let idle_hours = result.environments[1].idle / 3_600_000;
            let most = i128::from(result.environments[1].most_there.get()) * 5;
            assert!(idle_hours < most, "{what}: {idle_hours} vCPU-hours idle");
        }
    }
}

#[test]
fn without_a_drought_nothing_is_bought_on_demand_under_either_answer() {
    for places in [true, false] {
        let mut scenario = drought(places);
        scenario.droughts.clear();
        let trace = burst(1);
        let (result, _) = steered_by(Planner, &scenario, &trace, &policy("spot-first"), Drive::default(), 1);
        let stock = alone(&scenario, &trace, 1);
        assert!(result.environments[1].launches <= stock.environments[1].launches);
    }
}
