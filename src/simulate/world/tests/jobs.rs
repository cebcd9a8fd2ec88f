//! What AWS Batch does with jobs.

use super::*;
use crate::simulate::ledger::Fate;

fn fixed(vcpus: i64) -> Scenario {
    Scenario::fixed(Vcpus::new(vcpus))
}

fn starts(result: &RunResult) -> Vec<i64> {
    result.jobs.iter().map(|job| job.starting.millis() / 1000).collect()
}

#[test]
fn jobs_start_in_the_order_of_submission_and_a_blocked_head_holds_the_rest() {
    let jobs = Jobs::of(&[(0, 100, 3), (1, 10, 3), (2, 10, 1)]);
    let result = run(&fixed(4), &jobs.trace, 1);
    assert_eq!(starts(&result), [0, 100, 100]);
}

#[test]
fn without_head_of_line_blocking_smaller_jobs_pass() {
    let jobs = Jobs::of(&[(0, 100, 3), (1, 10, 3), (2, 10, 1)]);
    let mut scenario = fixed(4);
    scenario.model_overrides.head_of_line_blocking = Some(false);
    assert_eq!(starts(&run(&scenario, &jobs.trace, 1)), [0, 100, 2]);
}

#[test]
fn children_of_a_sequential_array_run_one_after_the_other() {
    let mut jobs = Jobs::default();
    jobs.add_array(0, 10, 3, true);
    let after = jobs.add_array(0, 10, 3, false);
    jobs.add_after(0, 5, 1, &[Dependency::Array(after)]);
    let result = run(&fixed(8), &jobs.trace, 1);
    assert_eq!(starts(&result), [0, 10, 20, 0, 0, 0, 10]);
}

#[test]
fn a_job_waits_for_its_last_dependency_and_counts_from_there() {
    let mut jobs = Jobs::default();
    let a = jobs.add(0, 50, 1);
    let b = jobs.add(0, 80, 1);
    let c = jobs.add_after(5, 10, 1, &[Dependency::Job(a), Dependency::Job(b)]);
    let mut world = World::new(&fixed(2), &jobs.trace, 1).unwrap();
    world.advance(Time::from_seconds(60));
    assert_eq!(world.not_demand(QueueIndex(0)).pending, 1);
    let mut arrivals = Vec::new();
    world.upcoming(Span::from_seconds(19), &mut arrivals);
    assert_eq!(arrivals, []);
    world.upcoming(Span::from_seconds(20), &mut arrivals);
    assert_eq!(
        arrivals.iter().map(|a| (a.at.millis(), a.jobs)).collect::<Vec<_>>(),
        [(80_000, 1)]
    );
    world.run_to_end();
    let result = world.into_result();
    let outcome = result.jobs[c.position()];
    assert_eq!(
        (outcome.ready, outcome.wait()),
        (Time::from_seconds(80), Some(Span::ZERO))
    );
    assert_eq!(result.makespans, [Span::from_seconds(90)]);
}

#[test]
fn a_spawned_job_does_not_exist_before_its_parents_end_and_comes_after_its_think_time() {
    let mut jobs = Jobs::default();
    let parent = JobIndex(1);
    let spawned = jobs.add_after(7, 10, 1, &[Dependency::Job(parent)]);
    jobs.trace.jobs[spawned.position()].spawners = 1;
    jobs.add(100, 30, 1);
    let mut world = World::new(&fixed(2), &jobs.trace, 1).unwrap();
    world.advance(Time::from_seconds(120));
    assert_eq!(world.not_demand(QueueIndex(0)).pending, 0);
    world.run_to_end();
    assert_eq!(starts(&world.into_result()), [137, 100]);
}

#[test]
fn a_job_that_one_submits_is_pending_until_the_others_end() {
    let mut jobs = Jobs::default();
    // Jobs that others submit come first, by their think times: a part that runs from 25 to 85, and a join that is submitted
    // at 30 and waits for the part.
    let [part, join, start] = [JobIndex(0), JobIndex(1), JobIndex(2)];
    jobs.add_after(5, 60, 1, &[Dependency::Job(start)]);
    jobs.add_after(10, 20, 1, &[Dependency::Job(start), Dependency::Job(part)]);
    jobs.add(10_000, 20, 1);
    jobs.trace.jobs[part.position()].spawners = 1;
    jobs.trace.jobs[join.position()].spawners = 1;
    let mut world = World::new(&fixed(2), &jobs.trace, 1).unwrap();
    let begin = 10_000;
    let pending = |world: &World| world.not_demand(QueueIndex(0)).pending;
    let upcoming = |world: &World, within: i64| {
        let mut arrivals = Vec::new();
        world.upcoming(Span::from_seconds(within), &mut arrivals);
        arrivals
            .iter()
            .map(|arrival| (arrival.at.millis() / 1_000 - begin, arrival.jobs))
            .collect::<Vec<_>>()
    };
    world.advance(Time::from_seconds(begin + 15));
    assert_eq!((pending(&world), upcoming(&world, 100)), (0, vec![(25, 1)]));
    world.advance(Time::from_seconds(begin + 27));
    // The part runs; the join is not yet submitted and will wait for the part, which the oracle sees.
    assert_eq!((pending(&world), upcoming(&world, 57)), (0, vec![]));
    assert_eq!(upcoming(&world, 58), [(85, 1)]);
    world.advance(Time::from_seconds(begin + 31));
    assert_eq!((pending(&world), upcoming(&world, 100)), (1, vec![(85, 1)]));
    world.run_to_end();
    let result = world.into_result();
    assert_eq!(starts(&result), [begin + 25, begin + 85, begin]);
    assert_eq!(result.jobs[join.position()].ready, Time::from_seconds(begin + 85));
}

#[test]
fn a_job_is_submitted_after_its_spawner_though_the_others_ended_before() {
    let mut jobs = Jobs::default();
    let [early, late] = [JobIndex(1), JobIndex(2)];
    jobs.add_after(7, 10, 1, &[Dependency::Job(late), Dependency::Job(early)]);
    jobs.trace.jobs[0].spawners = 1;
    jobs.add(100, 10, 1);
    jobs.add(100, 50, 1);
    let mut world = World::new(&fixed(2), &jobs.trace, 1).unwrap();
    world.advance(Time::from_seconds(152));
    assert_eq!(world.not_demand(QueueIndex(0)).pending, 0);
    world.run_to_end();
    assert_eq!(starts(&world.into_result()), [157, 100, 100]);
}

#[test]
fn a_circle_through_submission_and_waiting_is_refused() {
    let mut jobs = Jobs::default();
    jobs.add_after(0, 10, 1, &[Dependency::Job(JobIndex(1))]);
    jobs.trace.jobs[0].spawners = 1;
    jobs.add_after(0, 10, 1, &[Dependency::Job(JobIndex(0))]);
    assert!(World::new(&fixed(8), &jobs.trace, 1).is_err());
}

#[test]
fn a_job_that_never_fits_is_set_aside_with_all_that_wait_for_it() {
    let mut jobs = Jobs::default();
    let large = jobs.add(0, 10, 9);
    let after = jobs.add_after(0, 10, 1, &[Dependency::Job(large)]);
    jobs.add_after(0, 10, 1, &[Dependency::Job(after)]);
    jobs.add(1, 10, 1);
    let result = run(&fixed(8), &jobs.trace, 1);
    assert_eq!(
        result.jobs.iter().map(|job| job.fate).collect::<Vec<_>>(),
        [Fate::NeverFits, Fate::NeverReady, Fate::NeverReady, Fate::Succeeded]
    );
}

#[test]
fn dependencies_in_a_circle_are_refused_with_their_number() {
    let mut jobs = Jobs::default();
    jobs.add(0, 10, 1);
    jobs.add_after(0, 10, 1, &[Dependency::Job(JobIndex(2))]);
    jobs.add_after(0, 10, 1, &[Dependency::Job(JobIndex(1))]);
    let problems = World::new(&fixed(8), &jobs.trace, 1).unwrap_err();
    assert!(
        problems[0].contains("2 jobs") && problems[0].contains("job 1"),
        "{problems:?}"
    );
}

/// Interruptions many times a day, so that retries happen.
fn stormy(attempts: u8) -> Scenario {
    let mut spot = environment("spot", Purchase::Spot, 64);
    spot.instance_types = vec!["c5.4xlarge".to_owned()];
    let mut scenario = scenario(
        &[spot],
        Overrides {
            interruption_factor: Some(3_000.0),
            interrupted_share: Some(1.0),
            ..Overrides::default()
        },
    );
    scenario.retries.attempts = attempts;
    scenario
}

#[test]
fn interrupted_jobs_are_tried_again_from_the_front_and_fail_after_the_last_attempt() {
    let mut jobs = Jobs::default();
    for _ in 0..40 {
        jobs.add(0, 7_200, 8);
    }
    let many = run(&stormy(10), &jobs.trace, 5);
    assert!(many.retries > 0 && many.environments[0].interruptions > 0);
    let attempts: u64 = many.jobs.iter().map(|job| u64::from(job.attempts) - 1).sum();
    assert!(many.retries <= attempts + u64::try_from(many.count(Fate::Failed)).unwrap());
    let one = run(&stormy(1), &jobs.trace, 5);
    assert_eq!(one.retries, 0);
    assert!(one.count(Fate::Failed) > 0);
    assert_eq!(one.count(Fate::Failed) + one.count(Fate::Succeeded), 40);
}

#[test]
fn jobs_after_a_job_that_failed_for_good_fail_too() {
    let mut jobs = Jobs::default();
    let mut last = jobs.add(0, 86_400, 16);
    for _ in 0..3 {
        last = jobs.add_after(0, 10, 1, &[Dependency::Job(last)]);
    }
    let result = run(&stormy(1), &jobs.trace, 5);
    assert_eq!(
        (result.count(Fate::Failed), result.count(Fate::DependencyFailed)),
        (1, 3)
    );
}

#[test]
fn a_multi_node_job_gets_whole_instances_of_its_own_and_never_those_of_min() {
    let mut on_demand = environment("on-demand", Purchase::OnDemand, 64);
    on_demand.min_vcpus = 16;
    let mut jobs = Jobs::default();
    jobs.add_sized(10, 100, shape(4, 1024, 0, 3), &[]);
    let scenario = scenario(&[on_demand], Overrides::default());
    let mut world = World::new(&scenario, &jobs.trace, 1).unwrap();
    world.advance(Time::from_seconds(11));
    assert_eq!(
        (world.there(ENVIRONMENT), world.used(ENVIRONMENT)),
        (Vcpus::new(28), Vcpus::new(12))
    );
    assert_eq!(world.not_demand(QueueIndex(0)).multi_node, 0);
    world.run_to_end();
    assert_eq!(waits(&world.into_result()), [0]);
}

/// From a launch until its instance has registered it takes 26 seconds; the second is submitted while the first one waits.
#[test]
fn without_head_of_line_blocking_no_multi_node_job_waits_for_another_of_its_size() {
    let delays = Overrides {
        decision_delay: Some(seconds("10s")),
        pending: Some(seconds("6s")),
        boot_on_demand: Some(seconds("20s")),
        ..Overrides::default()
    };
    let mut scenario = scenario(&[environment("on-demand", Purchase::OnDemand, 640)], delays);
    let mut jobs = Jobs::default();
    for submit in [0, 0, 16, 35] {
        jobs.add_sized(submit, 100, shape(4, 1024, 0, 2), &[]);
    }
    scenario.model_overrides.head_of_line_blocking = Some(false);
    let delays_only = waits(&run(&scenario, &jobs.trace, 1));
    assert!(delays_only.iter().all(|wait| *wait <= 36), "{delays_only:?}");
    scenario.model_overrides.head_of_line_blocking = Some(true);
    let one_by_one = waits(&run(&scenario, &jobs.trace, 1));
    assert!(
        one_by_one[0] <= 36 && one_by_one[1..].iter().all(|wait| *wait > 36),
        "{one_by_one:?}"
    );
}

#[test]
fn without_head_of_line_blocking_the_multi_node_job_that_is_ready_first_starts_first() {
    let delays = Overrides {
        boot_on_demand: Some(seconds("10s to 100s")),
        head_of_line_blocking: Some(false),
        ..Overrides::default()
    };
    let scenario = scenario(&[environment("on-demand", Purchase::OnDemand, 640)], delays);
    let mut jobs = Jobs::default();
    for _ in 0..10 {
        jobs.add_sized(0, 1_000, shape(4, 1024, 0, 2), &[]);
    }
    let waits = waits(&run(&scenario, &jobs.trace, 1));
    assert!(waits.iter().all(|wait| *wait <= 100), "{waits:?}");
    assert!(!waits.is_sorted(), "{waits:?}");
}

/// An account is there before its first job, and time passes in it: what is raised then boots then.
#[test]
fn what_is_done_before_the_first_job_happens_before_it() {
    let delays = Overrides {
        boot_on_demand: Some(seconds("100s")),
        ..Overrides::default()
    };
    let scenario = scenario(&[environment("on-demand", Purchase::OnDemand, 64)], delays);
    let jobs = Jobs::of(&[(1_000, 10, 1)]);
    let begin = Time::from_seconds(700);
    let mut world = World::owning(&scenario, jobs.trace.clone(), 1, begin).unwrap();
    assert_eq!(world.now(), begin);
    let change = Change {
        min: Some(Vcpus::new(2)),
        ..Change::default()
    };
    world.update_compute_environment(ENVIRONMENT, &change).unwrap();
    world.advance(Time::from_seconds(900));
    assert!(world.there(ENVIRONMENT) >= Vcpus::new(2));
    world.run_to_end();
    assert_eq!(waits(&world.into_result()), [0]);
}

#[test]
fn higher_priority_takes_the_room_first() {
    let mut scenario = fixed(1);
    scenario.queues = vec![
        QueueSpec {
            priority: 1,
            ..QueueSpec::over("low", &["fixed"])
        },
        QueueSpec {
            priority: 5,
            ..QueueSpec::over("high", &["fixed"])
        },
    ];
    let mut jobs = Jobs::of(&[(0, 10, 1), (1, 10, 1), (2, 10, 1)]);
    jobs.trace.queues = vec!["low".to_owned(), "high".to_owned()];
    jobs.trace.jobs[2].queue = 1;
    assert_eq!(starts(&run(&scenario, &jobs.trace, 1)), [0, 20, 10]);
}

#[test]
fn a_fair_share_reservation_keeps_its_part_of_max_unused() {
    let mut scenario = fixed(8);
    scenario.queues[0].reservation_percent = 50;
    let jobs = Jobs::of(&[(0, 10, 1); 6]);
    assert_eq!(starts(&run(&scenario, &jobs.trace, 1)), [0, 0, 0, 0, 10, 10]);
}
