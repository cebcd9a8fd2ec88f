//! Laws over random traces and scenarios.

use proptest::prelude::*;

use super::*;
use crate::simulate::draws::{Cause, draw};
use crate::simulate::ledger::Fate;
use crate::simulate::model::Lasting;
use crate::simulate::scenario::{Account, RandomDroughts};

/// Jobs with sizes, some of them after an earlier one, some in arrays.
pub(super) fn traces() -> impl Strategy<Value = Trace> {
    let job = (
        0_i64..4_000,
        0_i64..3_000,
        1_i64..20,
        1_i64..40,
        any::<proptest::sample::Index>(),
        0_u8..8,
    );
    proptest::collection::vec(job, 1..40).prop_map(|mut rows| {
        rows.sort_by_key(|row| row.0);
        let mut jobs = Jobs::default();
        for (submit, run, vcpus, gib, parent, kind) in rows {
            let size = shape(vcpus, gib * 1024, 0, if kind == 7 { 2 } else { 1 });
            let earlier = jobs.trace.jobs.len();
            let parents = if kind < 3 && earlier > 0 {
                vec![Dependency::Job(JobIndex::at(parent.index(earlier)))]
            } else {
                Vec::new()
            };
            jobs.add_sized(submit, run, size, &parents);
            if kind == 6 {
                jobs.add_array(submit, run, 3, vcpus % 2 == 0);
            }
        }
        jobs.trace
    })
}

pub(super) fn scenarios() -> impl Strategy<Value = Scenario> {
    let switches = proptest::collection::vec(any::<bool>(), 8);
    (
        switches,
        20_u32..200,
        0_u32..200,
        prop_oneof![Just("recent"), Just("folk-2020")],
        1_u8..4,
    )
        .prop_map(|(switch, spot_max, on_demand_max, model, attempts)| {
            let overrides = Overrides {
                head_of_line_blocking: Some(switch[0]),
                counts_capacity_of_updates: Some(switch[1]),
                scales_while_updating: Some(switch[2]),
                places_on_later_environments: Some(switch[3]),
                overshoots_max: Some(switch[4]),
                next_environment_after: switch[5].then(|| Lasting::seconds(300)),
                interruption_factor: Some(if switch[6] { 2_000.0 } else { 0.0 }),
                ..Overrides::default()
            };
            let mut on_demand = environment("on-demand", Purchase::OnDemand, on_demand_max + 64);
            on_demand.instance_types = vec!["m6i".to_owned(), "r6i".to_owned()];
            let mut scenario = scenario(&[environment("spot", Purchase::Spot, spot_max), on_demand], overrides);
            scenario.model = model.to_owned();
            scenario.retries.attempts = attempts;
            scenario.random_droughts = switch[7].then(|| RandomDroughts {
                mean_between: Lasting::seconds(2_000),
                mean_length: Lasting::seconds(1_000),
            });
            scenario
        })
}

/// A controller that does arbitrary things at arbitrary times.
pub(super) fn meddling() -> impl Strategy<Value = Vec<(i64, u16, i64)>> {
    proptest::collection::vec((0_i64..5_000, 0_u16..2, 0_i64..100), 0..8).prop_map(|mut steps| {
        steps.sort_unstable();
        steps
    })
}

fn meddled<'t>(scenario: &Scenario, trace: &'t Trace, steps: &[(i64, u16, i64)]) -> World<'t> {
    let mut world = World::new(scenario, trace, 7).unwrap();
    let origin = world.now();
    for (at, environment, min) in steps {
        world.advance(origin + Span::from_seconds(*at));
        let change = Change {
            min: Some(Vcpus::new(*min)),
            ..Change::default()
        };
        let _ = world.update_compute_environment(EnvironmentIndex(*environment), &change);
    }
    for environment in 0..2 {
        let target = world.now() + Span::from_minutes(10);
        world.advance(target);
        let change = Change {
            min: Some(Vcpus::ZERO),
            ..Change::default()
        };
        world
            .update_compute_environment(EnvironmentIndex(environment), &change)
            .unwrap();
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Every job ends exactly once, in order of its dependencies; accounts match what jobs held; nothing outlives its work.
    #[test]
    fn nothing_is_lost_or_counted_twice(trace in traces(), scenario in scenarios(), steps in meddling()) {
        let mut world = meddled(&scenario, &trace, &steps);
        world.run_to_end();
        prop_assert!(world.finished());
        prop_assert!(world.settled());
        let kept: Vec<u32> = (0..2).map(|environment| world.instances(EnvironmentIndex(environment))).collect();
        let result = world.into_result();
        for (job, outcome) in trace.jobs.iter().zip(&result.jobs) {
            prop_assert_ne!(outcome.fate, Fate::Open);
            if let Some(wait) = outcome.wait() {
                prop_assert!(outcome.ready >= job.submit && wait >= Span::ZERO);
                prop_assert!(outcome.avoidable >= Span::ZERO && outcome.avoidable <= wait);
            }
            if outcome.fate == Fate::Succeeded && outcome.attempts == 1 {
                prop_assert_eq!(outcome.ended, outcome.running + job.run);
            }
            for dependency in trace.dependencies_of(job) {
                if let (Dependency::Job(parent), Some(_)) = (dependency, outcome.wait()) {
                    prop_assert!(outcome.ready >= result.jobs[parent.position()].ended);
                }
            }
        }
        if result.retries == 0 && result.count(Fate::Failed) == 0 {
            let held: i128 = trace.jobs.iter().zip(&result.jobs).filter(|(job, _)| trace.shape_of(job).nodes == 1)
                .filter_map(|(job, outcome)| {
                    let vcpus = i128::from(trace.shape_of(job).resources.vcpus.get());
                    outcome.wait().map(|_| vcpus * i128::from(outcome.ended.since(outcome.starting).millis()))
                }).sum();
            let used: i128 = result.environments.iter().map(|totals| totals.used).sum();
            let single = trace.jobs.iter().all(|job| trace.shape_of(job).nodes == 1);
            prop_assert!(used == held || (!single && used > held), "used {used}, held {held}");
        }
        for (totals, kept) in result.environments.iter().zip(kept) {
            prop_assert!(totals.idle >= 0 && totals.booting >= 0);
            prop_assert_eq!(totals.launches, totals.released + totals.interruptions + u64::from(kept));
        }
    }

    /// The same world twice gives the same result; shifted in time, the same waits.
    #[test]
    fn results_repeat_and_do_not_depend_on_the_date(trace in traces(), scenario in scenarios(), days in 1_i64..4_000) {
        let result = run_open(&scenario, &trace);
        prop_assert_eq!(&result, &run_open(&scenario, &trace));
        let mut later = trace.clone();
        for job in &mut later.jobs {
            job.submit = job.submit + Span::from_minutes(days * 1_440 + 7);
        }
        let shifted = run_open(&scenario, &later);
        let seen = |result: &RunResult| -> Vec<_> {
            result.jobs.iter().map(|job| (job.wait(), job.start_latency(), job.avoidable, job.fate)).collect()
        };
        prop_assert_eq!(seen(&result), seen(&shifted));
        prop_assert_eq!(result.environments, shifted.environments);
    }

    /// Without delays there is nothing to avoid.
    #[test]
    fn zero_launch_delay_gives_zero_avoidable_wait(trace in traces(), max in 40_u32..100) {
        let mut scenario = scenario(&[environment("a", Purchase::OnDemand, max)],
            Overrides { smallest_launched_vcpus: Some(2), head_of_line_blocking: Some(false), ..Overrides::default() },
        );
        scenario.environments[0].instance_types = vec!["r6i.large".to_owned(), "r6i.16xlarge".to_owned()];
        scenario.environments[0].max_vcpus = max + 64;
        let single: Trace = Trace {
            shapes: trace.shapes.iter().map(|_| shape(1, 0, 0, 1)).collect(),
            ..trace
        };
        for job in run_open(&scenario, &single).jobs {
            prop_assert_eq!(job.avoidable, Span::ZERO);
        }
    }

    /// With room for everything, a job waits for delays only.
    #[test]
    fn unlimited_max_leaves_only_delays(trace in traces()) {
        let delays = Overrides {
            decision_delay: Some(seconds("10s")), pending: Some(seconds("16s")), boot_on_demand: Some(seconds("100s")),
            dispatch: Some(seconds("5s")), head_of_line_blocking: Some(false),
            ..Overrides::default()
        };
        let mut spec = environment("a", Purchase::OnDemand, 1_000_000);
        spec.instance_types = vec!["c6i".to_owned(), "m6i".to_owned(), "r6i".to_owned()];
        for job in run_open(&scenario(&[spec], delays), &trace).jobs {
            if let Some(wait) = job.wait() {
                prop_assert!(wait <= Span::from_seconds(131), "{wait}");
            }
        }
    }

    /// Half the price is half the bill and changes nothing else.
    #[test]
    fn halved_prices_halve_the_cost(trace in traces(), scenario in scenarios()) {
        let whole = run_open(&scenario, &trace);
        let account = Account { on_demand_price_percent: Some(50), spot_price_percent: Some(50), ..Account::default() };
        let half = run_open(&Scenario { account, ..scenario }, &trace);
        prop_assert_eq!(&whole.jobs, &half.jobs);
        let (expected, found) = (whole.cost().get(), 2 * half.cost().get());
        let launches: u64 = whole.environments.iter().map(|totals| totals.launches).sum();
        // Each bill is rounded to a millionth of a dollar, each price per hour down to one.
        let hours = whole.closed.since(trace.jobs[0].submit).millis() / 3_600_000 + 2;
        let tolerance = i64::try_from(launches).unwrap() * (3 + hours);
        prop_assert!((expected - found).abs() <= tolerance, "{expected} {found}");
    }

    /// A job left out changes the luck of no other job.
    #[test]
    fn removing_one_job_changes_no_draw_of_another(trace in traces(), which in any::<proptest::sample::Index>()) {
        let independent = Trace { dependencies: Vec::new(), arrays: Vec::new(), jobs: trace.jobs.iter().map(|job| Job { dependencies_count: 0, array: None, ..*job }).collect(), ..trace };
        if independent.jobs.len() < 2 {
            return Ok(());
        }
        let scenario = Scenario { model: "recent".to_owned(), ..Scenario::fixed(Vcpus::new(64)) };
        let removed = 1 + which.index(independent.jobs.len() - 1);
        let mut fewer = independent.clone();
        let gone = fewer.jobs.remove(removed);
        let luck = |trace: &Trace| -> Vec<u64> {
            let world = World::new(&scenario, trace, 9).unwrap();
            (0..trace.jobs.len()).map(|job| draw(9, Cause::Dispatch, world.jobs.identity(JobIndex::at(job)), 0)).collect()
        };
        let (mut before, after) = (luck(&independent), luck(&fewer));
        // Of jobs alike in time, name and size the last counts as the one that is gone.
        let alike = |job: &Job| (job.submit, job.name, job.shape) == (gone.submit, gone.name, gone.shape);
        let last = (0..independent.jobs.len()).rev().find(|job| alike(&independent.jobs[*job])).unwrap();
        before.remove(last);
        let mut after_sorted = after;
        before.sort_unstable();
        after_sorted.sort_unstable();
        prop_assert_eq!(before, after_sorted);
    }
}

fn run_open(scenario: &Scenario, trace: &Trace) -> RunResult {
    let mut world = World::new(scenario, trace, 7).unwrap();
    world.run_to_end();
    world.into_result()
}

#[test]
fn models_have_names_that_scenarios_may_use() {
    for name in BatchModel::NAMES {
        let scenario = Scenario {
            model: name.to_owned(),
            ..Scenario::fixed(Vcpus::new(1))
        };
        assert_eq!(scenario.problems(), []);
    }
}
