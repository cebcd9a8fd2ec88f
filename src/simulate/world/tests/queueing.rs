//! Against theory and against a model that is slow but obvious.

use proptest::prelude::*;

use super::*;
use crate::simulate::draws::{Cause, draw, fraction};
use crate::units::{i64_to_f64, usize_to_f64};

/// Poisson arrivals, exponential run times, one vCPU each.
fn markov(seed: u64, jobs: u64, mean_gap: f64, mean_run: f64) -> Jobs {
    let exponential = |cause, entity, mean: f64| {
        let drawn = -libm::log(1.0 - fraction(draw(seed, cause, entity, 0))) * mean;
        Span::from_seconds_f64(drawn).unwrap()
    };
    let mut all = Jobs::default();
    let mut at = Time::EPOCH;
    for entity in 0..jobs {
        at = at + exponential(Cause::Drought, entity, mean_gap);
        let job = all.add(0, 0, 1);
        all.trace.jobs[job.position()].submit = at;
        all.trace.jobs[job.position()].run = exponential(Cause::Boot, entity, mean_run);
    }
    all
}

/// Erlang's C formula: the probability that an arrival has to wait.
fn erlang_c(servers: u32, load: f64) -> f64 {
    let mut blocked = 1.0;
    for k in 1..=servers {
        blocked = load * blocked / (f64::from(k) + load * blocked);
    }
    let utilisation = load / f64::from(servers);
    blocked / (1.0 - utilisation * (1.0 - blocked))
}

#[test]
fn a_fixed_pool_waits_as_erlang_computed() {
    let (servers, mean_gap, mean_run) = (10, 100.0, 800.0);
    let load = mean_run / mean_gap;
    let expected = erlang_c(servers, load) * mean_run / (f64::from(servers) - load);
    let means: Vec<f64> = (0..12)
        .map(|seed| {
            let jobs = markov(seed, 6_000, mean_gap, mean_run);
            let result = run(&Scenario::fixed(Vcpus::new(i64::from(servers))), &jobs.trace, 1);
            // The first thousand find an empty pool.
            let waits: Vec<f64> = result
                .jobs
                .iter()
                .skip(1_000)
                .filter_map(|j| Some(j.wait()?.seconds_f64()))
                .collect();
            waits.iter().sum::<f64>() / usize_to_f64(waits.len())
        })
        .collect();
    let n = usize_to_f64(means.len());
    let mean = means.iter().sum::<f64>() / n;
    let variance = means.iter().map(|m| (m - mean) * (m - mean)).sum::<f64>() / (n - 1.0);
    // Student's t for 99.9 % and 11 degrees of freedom is 4.44.
    let interval = 4.44 * (variance / n).sqrt();
    assert!(
        (mean - expected).abs() < interval,
        "found {mean:.1} s, expected {expected:.1} within {interval:.1}"
    );
    assert!(
        interval < expected / 2.0,
        "an interval of {interval:.1} s proves nothing"
    );
}

#[test]
fn the_mean_number_in_the_system_is_arrival_rate_times_mean_time() {
    let jobs = markov(3, 2_000, 100.0, 700.0);
    let scenario = Scenario::fixed(Vcpus::new(8));
    let mut world = World::new(&scenario, &jobs.trace, 1).unwrap();
    let (mut area, mut last, begin) = (0_i64, world.now(), world.now());
    while !world.finished() {
        let at = world.next_event().unwrap();
        let inside = world.runnable(QueueIndex(0)).jobs() + world.placed(QueueIndex(0)).jobs();
        area += inside * at.since(last).millis();
        last = at;
        world.advance(at);
    }
    let length = world.now().since(begin).millis();
    let result = world.into_result();
    let sojourn: i64 = result.jobs.iter().map(|job| job.ended.since(job.ready).millis()).sum();
    assert_eq!(area, sojourn, "number in the system over time");
    let left = i64_to_f64(area) / i64_to_f64(length);
    let right =
        usize_to_f64(result.jobs.len()) / i64_to_f64(length) * i64_to_f64(sojourn) / usize_to_f64(result.jobs.len());
    assert!((left - right).abs() < 1e-9);
}

/// Second by second: who has ended leaves; then the line is served from the front until somebody does not fit.
fn second_by_second(nodes: &[i64], jobs: &[(i64, i64, i64)], blocking: bool) -> Vec<i64> {
    let mut free = nodes.to_vec();
    let mut running: Vec<(i64, usize, i64)> = Vec::new();
    let mut waiting: Vec<usize> = Vec::new();
    let mut started = vec![-1; jobs.len()];
    for now in 0..400 {
        running.retain(|(end, node, vcpus)| {
            if *end == now {
                free[*node] += vcpus;
            }
            *end != now
        });
        waiting.extend((0..jobs.len()).filter(|job| jobs[*job].0 == now));
        loop {
            let fits = |job: &usize| free.iter().position(|room| *room >= jobs[*job].2);
            let candidates = if blocking {
                &waiting[..waiting.len().min(1)]
            } else {
                &waiting[..]
            };
            let Some((place, node)) = candidates.iter().enumerate().find_map(|(p, job)| Some((p, fits(job)?))) else {
                break;
            };
            let job = waiting.remove(place);
            free[node] -= jobs[job].2;
            running.push((now + jobs[job].1, node, jobs[job].2));
            started[job] = now;
        }
    }
    started
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn placement_is_that_of_a_slow_obvious_model(
        mut jobs in proptest::collection::vec((0_i64..20, 1_i64..15, 1_i64..5), 5),
        nodes in proptest::collection::vec(4_u32..7, 1..4),
        blocking in any::<bool>(),
    ) {
        jobs.sort_by_key(|job| job.0);
        let mut scenario = Scenario::fixed(Vcpus::new(1));
        scenario.model_overrides.head_of_line_blocking = Some(blocking);
        scenario.environments[0].own_instances = nodes
            .iter()
            .map(|vcpus| crate::simulate::scenario::OwnInstances { count: 1, vcpus: *vcpus, memory_mib: None, gpus: None })
            .collect();
        let result = run(&scenario, &Jobs::of(&jobs).trace, 1);
        let found: Vec<i64> = result.jobs.iter().map(|job| job.starting.millis() / 1000).collect();
        let nodes: Vec<i64> = nodes.iter().map(|vcpus| i64::from(*vcpus)).collect();
        prop_assert_eq!(found, second_by_second(&nodes, &jobs, blocking));
    }
}
