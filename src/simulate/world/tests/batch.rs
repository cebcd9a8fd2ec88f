//! What AWS Batch, EC2 and Spot do with instances, and that each switch changes what it says.

use super::*;
use crate::simulate::model::Lasting;
use crate::simulate::scenario::{DroughtSpec, QuotaSpec};

const OTHER: EnvironmentIndex = EnvironmentIndex(1);

fn at(seconds: i64) -> Time {
    Time::from_seconds(seconds)
}

fn one(max: u32, overrides: Overrides) -> Scenario {
    scenario(&[environment("a", Purchase::OnDemand, max)], overrides)
}

fn raise_min(vcpus: i64) -> Change {
    Change {
        min: Some(Vcpus::new(vcpus)),
        ..Change::default()
    }
}

#[test]
fn wait_is_decision_pending_boot_and_dispatch_and_start_latency_adds_pull_and_start() {
    let overrides = Overrides {
        decision_delay: Some(seconds("10s")),
        pending: Some(seconds("16s")),
        boot_on_demand: Some(seconds("100s")),
        dispatch: Some(seconds("5s")),
        pull: Some(seconds("12s")),
        container_start: Some(seconds("1s")),
        smallest_launched_vcpus: Some(2),
        idle_on_demand: Some(seconds("90s")),
        ..Overrides::default()
    };
    let result = run(&one(64, overrides), &Jobs::of(&[(0, 60, 2), (400, 60, 2)]).trace, 1);
    assert_eq!(waits(&result), [131, 131]);
    assert_eq!(result.jobs[0].start_latency(), Some(Span::from_seconds(144)));
    assert_eq!(result.jobs[0].avoidable, Span::from_seconds(131));
    let totals = &result.environments[0];
    // Running from 26 s to 126 s (registered), job 131 s to 204 s, idle until 294 s: 268 s of c6i.large at 0.085 USD/h, twice.
    assert_eq!(totals.launches, 2);
    assert_eq!(
        totals.cost,
        MicroUsd::new(85_000).per_hour_for(Span::from_seconds(268)).times(2)
    );
    assert_eq!(totals.booting, 2 * 2 * 100_000);
    assert_eq!(totals.used, 2 * 2 * 73_000);
    assert_eq!(totals.idle, 2 * 2 * 95_000);
}
use crate::units::MicroUsd;

#[test]
fn the_image_is_pulled_once_per_name_and_instance() {
    let overrides = Overrides {
        pull: Some(seconds("12s")),
        ..Overrides::default()
    };
    let result = run(&one(64, overrides), &Jobs::of(&[(0, 60, 2), (20, 60, 2)]).trace, 1);
    let latency: Vec<i64> = result
        .jobs
        .iter()
        .filter_map(|job| Some(job.start_latency()?.millis()))
        .collect();
    assert_eq!(latency, [12_000, 0]);
}

#[test]
fn desired_cannot_be_lowered_and_ranges_are_enforced() {
    let jobs = Jobs::of(&[(0, 1_000, 4)]);
    let scenario = one(
        64,
        Overrides {
            updating: Some(seconds("20s")),
            ..Overrides::default()
        },
    );
    let cases = [
        (
            Change {
                desired: Some(Vcpus::new(1)),
                ..Change::default()
            },
            RefusalKind::Lowering,
        ),
        (
            Change {
                desired: Some(Vcpus::new(65)),
                ..Change::default()
            },
            RefusalKind::DesiredOutOfRange,
        ),
        (
            Change {
                min: Some(Vcpus::new(65)),
                ..Change::default()
            },
            RefusalKind::MaxBelowMin,
        ),
        (
            Change {
                max: Some(Vcpus::new(8)),
                ..Change::default()
            },
            RefusalKind::DesiredOutOfRange,
        ),
        (Change::default(), RefusalKind::Empty),
    ];
    for (change, kind) in cases {
        let mut world = World::new(&scenario, &jobs.trace, 1).unwrap();
        world.advance(at(5));
        assert_eq!(world.environment(ENVIRONMENT).desired_vcpus, Vcpus::new(16));
        assert_eq!(
            world.update_compute_environment(ENVIRONMENT, &change),
            Err(Refusal { kind }),
            "{change:?}"
        );
    }
    let mut world = World::new(&scenario, &jobs.trace, 1).unwrap();
    world.advance(at(5));
    assert_eq!(world.update_compute_environment(ENVIRONMENT, &raise_min(32)), Ok(()));
    assert!(world.environment(ENVIRONMENT).updating);
    let refused = world
        .update_compute_environment(ENVIRONMENT, &raise_min(48))
        .unwrap_err();
    assert_eq!(refused.to_string(), "Cannot update, resource is being modified.");
    world.advance(at(25));
    assert_eq!(world.update_compute_environment(ENVIRONMENT, &raise_min(48)), Ok(()));
}

#[test]
fn a_raised_min_launches_after_its_delay_and_a_raised_desired_at_once() {
    let jobs = Jobs::of(&[(0, 10, 1), (10_000, 1, 1)]);
    let scenario = one(
        256,
        Overrides {
            min_raise_delay: Some(seconds("30s")),
            ..Overrides::default()
        },
    );
    let both = Change {
        desired: Some(Vcpus::new(64)),
        ..raise_min(64)
    };
    for (change, after) in [(raise_min(64), 30), (both, 0)] {
        let mut world = World::new(&scenario, &jobs.trace, 1).unwrap();
        world.advance(at(1_000));
        assert_eq!(world.there(ENVIRONMENT), Vcpus::ZERO);
        world.update_compute_environment(ENVIRONMENT, &change).unwrap();
        if after > 0 {
            world.advance(at(1_000 + after - 1));
            assert_eq!(world.there(ENVIRONMENT), Vcpus::ZERO);
        }
        world.advance(at(1_000 + after));
        assert_eq!(world.there(ENVIRONMENT), Vcpus::new(64));
        world.advance(at(5_000));
        assert_eq!(world.there(ENVIRONMENT), Vcpus::new(64), "min holds");
        world.update_compute_environment(ENVIRONMENT, &raise_min(0)).unwrap();
        world.advance(at(5_000));
        assert_eq!(
            world.there(ENVIRONMENT),
            Vcpus::ZERO,
            "idle for long: goes at once when min allows"
        );
    }
}

#[test]
fn a_raised_desired_alone_is_taken_back() {
    let jobs = Jobs::of(&[(0, 10, 1), (10_000, 1, 1)]);
    let mut world = World::new(&one(256, Overrides::default()), &jobs.trace, 1).unwrap();
    world.advance(at(1_000));
    let change = Change {
        desired: Some(Vcpus::new(64)),
        ..Change::default()
    };
    world.update_compute_environment(ENVIRONMENT, &change).unwrap();
    assert_eq!(world.environment(ENVIRONMENT).desired_vcpus, Vcpus::new(64));
    world.advance(at(1_000 + 121));
    assert_eq!(world.environment(ENVIRONMENT).desired_vcpus, Vcpus::ZERO);
}

#[test]
fn scale_down_delay_holds_what_has_run_a_job_and_not_what_has_not() {
    let mut spec = environment("a", Purchase::OnDemand, 64);
    spec.scale_down_delay = Lasting::seconds(1_200);
    let scenario = scenario(
        &[spec],
        Overrides {
            idle_on_demand: Some(seconds("60s")),
            ..Overrides::default()
        },
    );
    let jobs = Jobs::of(&[(0, 10, 1), (10_000, 1, 1)]);
    let mut world = World::new(&scenario, &jobs.trace, 1).unwrap();
    world.advance(at(20));
    let change = Change {
        desired: Some(Vcpus::new(32)),
        ..Change::default()
    };
    world.update_compute_environment(ENVIRONMENT, &change).unwrap();
    world.advance(at(81));
    assert_eq!(
        world.there(ENVIRONMENT),
        Vcpus::new(16),
        "the unused one went after its idle time"
    );
    world.advance(at(1_209));
    assert_eq!(world.there(ENVIRONMENT), Vcpus::new(16));
    world.advance(at(1_210));
    assert_eq!(world.there(ENVIRONMENT), Vcpus::ZERO);
}

#[test]
fn max_is_exceeded_only_where_the_model_allows_and_by_less_than_one_instance() {
    let jobs = Jobs::of(&[(0, 100, 4), (0, 100, 4), (0, 100, 4)]);
    for (overshoots, most, waited) in [(true, 12, [0, 0, 0]), (false, 8, [0, 0, 190])] {
        let overrides = Overrides {
            overshoots_max: Some(overshoots),
            smallest_launched_vcpus: Some(4),
            idle_on_demand: Some(seconds("90s")),
            ..Overrides::default()
        };
        let mut spec = environment("a", Purchase::OnDemand, 10);
        spec.instance_types = vec!["c6i.xlarge".to_owned()];
        let result = run(&scenario(&[spec], overrides), &jobs.trace, 1);
        assert_eq!(result.environments[0].most_there, Vcpus::new(most));
        // The third either starts on the extra instance or takes the first that becomes free.
        let expected = if overshoots { waited } else { [0, 0, 100] };
        assert_eq!(waits(&result), expected);
    }
}

#[test]
fn a_quota_stops_launches_silently_and_they_come_when_it_frees_up() {
    let mut scenario = one(256, Overrides::default());
    scenario.account.quotas = vec![QuotaSpec {
        code: "L-1216C47A".to_owned(),
        limit_vcpus: 40,
        used_by_others_vcpus: 8,
    }];
    let jobs = Jobs::of(&[(0, 1_000, 16), (1, 1_000, 16), (2, 10, 16)]);
    let mut world = World::new(&scenario, &jobs.trace, 1).unwrap();
    world.advance(at(3));
    assert_eq!(world.there(ENVIRONMENT), Vcpus::new(32));
    assert_eq!(world.capacity_error(ENVIRONMENT), Some(at(2)));
    world.run_to_end();
    let result = world.into_result();
    assert_eq!(waits(&result), [0, 0, 998]);
    assert_eq!(result.jobs[2].avoidable, Span::ZERO, "nothing could have been launched");
}

#[test]
fn a_quota_that_is_too_tight_for_one_size_is_filled_with_smaller_ones() {
    let mut scenario = one(
        256,
        Overrides {
            head_of_line_blocking: Some(false),
            ..Overrides::default()
        },
    );
    scenario.account.quotas = vec![QuotaSpec {
        code: "L-1216C47A".to_owned(),
        limit_vcpus: 22,
        used_by_others_vcpus: 0,
    }];
    let jobs = Jobs::of(&[(0, 1_000, 1); 40]);
    let mut world = World::new(&scenario, &jobs.trace, 1).unwrap();
    world.advance(at(200));
    assert_eq!(world.there(ENVIRONMENT), Vcpus::new(22));
    world.update_compute_environment(ENVIRONMENT, &raise_min(22)).unwrap();
    world.run_to_end();
    assert_eq!(world.there(ENVIRONMENT), Vcpus::new(22));
}

fn drought(environment: &str, start: i64, length: i64) -> DroughtSpec {
    DroughtSpec {
        environment: environment.to_owned(),
        instance_type: None,
        zone: None,
        start: Lasting::seconds(start),
        length: Lasting::seconds(length),
    }
}

fn spot_then_on_demand(overrides: Overrides) -> Scenario {
    scenario(
        &[
            environment("spot", Purchase::Spot, 32),
            environment("on-demand", Purchase::OnDemand, 64),
        ],
        overrides,
    )
}

#[test]
fn in_a_drought_batch_keeps_asking_and_delivers_late() {
    let mut scenario = spot_then_on_demand(Overrides::default());
    scenario.droughts = vec![drought("spot", 0, 600)];
    let result = run(&scenario, &Jobs::of(&[(0, 10, 4)]).trace, 1);
    assert_eq!(waits(&result), [600]);
    assert_eq!(result.jobs[0].avoidable, Span::from_seconds(600));
    assert!(result.environments[0].failed_launches >= 10);
    assert_eq!(result.environments[1].launches, 0);
}

#[test]
fn a_shortage_passes_work_on_only_if_the_model_says_so() {
    let mut scenario = spot_then_on_demand(Overrides {
        next_environment_after: Some(Lasting::seconds(180)),
        ..Overrides::default()
    });
    scenario.droughts = vec![drought("spot", 0, 600)];
    let result = run(&scenario, &Jobs::of(&[(0, 10, 4)]).trace, 1);
    assert_eq!(waits(&result), [180]);
    assert_eq!(result.environments[1].launches, 1);
}

#[test]
fn work_beyond_the_first_max_goes_to_the_next_environment() {
    let result = run(
        &spot_then_on_demand(Overrides::default()),
        &Jobs::of(&[(0, 100, 16); 4]).trace,
        1,
    );
    assert_eq!(waits(&result), [0; 4]);
    let most: Vec<i64> = result
        .environments
        .iter()
        .map(|totals| totals.most_there.get())
        .collect();
    assert_eq!(most, [32, 32]);
}

#[test]
fn idle_capacity_of_a_later_environment_is_used_only_if_the_model_says_so() {
    for (places, waited) in [(true, 0), (false, 600)] {
        let mut scenario = spot_then_on_demand(Overrides {
            places_on_later_environments: Some(places),
            ..Overrides::default()
        });
        scenario.environments[1].min_vcpus = 16;
        scenario.droughts = vec![drought("spot", 0, 600)];
        assert_eq!(
            waits(&run(&scenario, &Jobs::of(&[(0, 10, 4)]).trace, 1)),
            [waited],
            "{places}"
        );
    }
}

#[test]
fn capacity_of_updates_is_launched_again_if_batch_does_not_count_it() {
    for (counts, launches) in [(true, 1), (false, 2)] {
        let overrides = Overrides {
            counts_capacity_of_updates: Some(counts),
            boot_on_demand: Some(seconds("100s")),
            ..Overrides::default()
        };
        let mut world_jobs = Jobs::of(&[(0, 1, 1)]);
        world_jobs.add(1_000, 10, 16);
        let scenario = one(256, overrides);
        let mut world = World::new(&scenario, &world_jobs.trace, 1).unwrap();
        world.advance(at(990));
        let change = Change {
            desired: Some(Vcpus::new(16)),
            ..raise_min(16)
        };
        world.update_compute_environment(ENVIRONMENT, &change).unwrap();
        world.advance(at(3_000));
        assert_eq!(world.into_result().environments[0].launches, launches + 1, "{counts}");
    }
}

#[test]
fn an_updating_environment_is_scaled_only_if_the_model_says_so() {
    for (scales, waited) in [(true, 0), (false, 25)] {
        let overrides = Overrides {
            scales_while_updating: Some(scales),
            updating: Some(seconds("30s")),
            ..Overrides::default()
        };
        let jobs = Jobs::of(&[(0, 1, 1), (1_005, 10, 16)]);
        let scenario = one(256, overrides);
        let mut world = World::new(&scenario, &jobs.trace, 1).unwrap();
        world.advance(at(1_000));
        let change = Change {
            max: Some(Vcpus::new(128)),
            ..Change::default()
        };
        world.update_compute_environment(ENVIRONMENT, &change).unwrap();
        world.run_to_end();
        assert_eq!(waits(&world.into_result())[1], waited, "{scales}");
    }
}

#[test]
fn looks_at_intervals_and_the_cooldown_delay_launches() {
    let overrides = Overrides {
        evaluation_interval: Some(Lasting::seconds(600)),
        looks_at_once_when_idle: Some(true),
        cooldown_after_scale_in: Some(Lasting::seconds(300)),
        idle_on_demand: Some(seconds("60s")),
        smallest_launched_vcpus: Some(2),
        ..Overrides::default()
    };
    // The first finds an idle environment. The second waits for the next look. The third comes 20 s into the cooldown.
    let jobs = Jobs::of(&[(0, 2_000, 2), (10, 100, 2), (2_080, 5, 2)]);
    let result = run(&one(64, overrides), &jobs.trace, 1);
    let waited = waits(&result);
    assert_eq!(waited[0], 0);
    assert!((1..=600).contains(&waited[1]), "{waited:?}");
    assert_eq!(waited[2], 280);
}

#[test]
fn unfulfilled_launches_of_an_update_end_with_min_unless_the_model_keeps_them() {
    for (keeps, desired) in [(false, 0), (true, 16)] {
        let overrides = Overrides {
            keeps_unfulfilled_when_min_falls: Some(keeps),
            launch_retry: Some(Lasting::seconds(3_600)),
            ..Overrides::default()
        };
        let mut scenario = one(256, overrides);
        scenario.droughts = vec![drought("a", 500, 100_000)];
        let jobs = Jobs::of(&[(0, 1, 1), (50_000, 1, 1)]);
        let mut world = World::new(&scenario, &jobs.trace, 1).unwrap();
        world.advance(at(1_000));
        world.update_compute_environment(ENVIRONMENT, &raise_min(16)).unwrap();
        world.advance(at(2_000));
        world.update_compute_environment(ENVIRONMENT, &raise_min(0)).unwrap();
        assert_eq!(
            world.environment(ENVIRONMENT).desired_vcpus,
            Vcpus::new(desired),
            "{keeps}"
        );
    }
}

#[test]
fn max_below_desired_and_min_above_desired_follow_their_switches() {
    let jobs = Jobs::of(&[(0, 1_000, 16)]);
    let lower_max = Change {
        max: Some(Vcpus::new(8)),
        ..Change::default()
    };
    for accepts in [true, false] {
        let overrides = Overrides {
            accepts_max_below_desired: Some(accepts),
            accepts_min_above_desired: Some(accepts),
            ..Overrides::default()
        };
        let scenario = one(64, overrides);
        let mut world = World::new(&scenario, &jobs.trace, 1).unwrap();
        world.advance(at(1));
        assert_eq!(
            world.update_compute_environment(ENVIRONMENT, &raise_min(32)).is_ok(),
            accepts
        );
        let mut world = World::new(&scenario, &jobs.trace, 1).unwrap();
        world.advance(at(1));
        assert_eq!(
            world.update_compute_environment(ENVIRONMENT, &lower_max).is_ok(),
            accepts
        );
    }
}

#[test]
fn unused_instances_end_with_min_at_once_only_if_the_model_says_so() {
    for (at_once, there) in [(true, 0), (false, 16)] {
        let overrides = Overrides {
            ends_unused_at_once: Some(at_once),
            idle_on_demand: Some(seconds("60s")),
            ..Overrides::default()
        };
        let jobs = Jobs::of(&[(0, 1, 1), (10_000, 1, 1)]);
        let scenario = one(64, overrides);
        let mut world = World::new(&scenario, &jobs.trace, 1).unwrap();
        world.advance(at(1_000));
        world.update_compute_environment(ENVIRONMENT, &raise_min(16)).unwrap();
        world.advance(at(1_010));
        world.update_compute_environment(ENVIRONMENT, &raise_min(0)).unwrap();
        assert_eq!(world.there(ENVIRONMENT), Vcpus::new(there));
        world.advance(at(1_060));
        assert_eq!(world.there(ENVIRONMENT), Vcpus::ZERO);
    }
}

#[test]
fn memory_decides_the_family_and_a_burst_the_size() {
    let mut spec = environment("a", Purchase::OnDemand, 1_000);
    spec.instance_types = vec!["c6i".to_owned(), "m6i".to_owned(), "r6i".to_owned()];
    let scenario = scenario(&[spec], Overrides::default());
    // (jobs, vcpus, memory MiB) -> vCPUs that are there afterwards and the price of the first instance's family per hour.
    for (jobs, vcpus, memory, there) in [
        (1, 1, 1_000, 16),
        (3, 16, 30_000, 48),
        (40, 4, 15_000, 160),
        (5, 4, 31_000, 32),
    ] {
        let mut all = Jobs::default();
        for _ in 0..jobs {
            all.add_sized(0, 10, shape(vcpus, memory, 0, 1), &[]);
        }
        let result = run(&scenario, &all.trace, 1);
        let most = result.environments[0].most_there;
        assert!(most >= Vcpus::new(vcpus * jobs), "{jobs} x {vcpus}");
        assert!(most <= Vcpus::new(2 * there), "{jobs} x {vcpus}: {most}");
        assert_eq!(waits(&result), vec![0; usize::try_from(jobs).unwrap()]);
    }
}

#[test]
fn the_second_environment_sees_no_launch_while_the_first_suffices() {
    let result = run(
        &spot_then_on_demand(Overrides::default()),
        &Jobs::of(&[(0, 100, 4); 4]).trace,
        1,
    );
    assert_eq!(result.environments[OTHER.position()].launches, 0);
}

#[test]
fn an_instance_that_ec2_interrupts_in_its_first_hour_is_free() {
    let mut spec = environment("spot", Purchase::Spot, 16);
    spec.instance_types = vec!["c5.4xlarge".to_owned()];
    let overrides = Overrides {
        interruption_factor: Some(20_000.0),
        interrupted_share: Some(1.0),
        ..Overrides::default()
    };
    let result = run(&scenario(&[spec], overrides), &Jobs::of(&[(0, 40_000, 16)]).trace, 3);
    let totals = &result.environments[0];
    let lasted = result.jobs[0].ended.since(result.jobs[0].starting);
    assert_eq!(totals.interruptions, 1);
    assert!(lasted < Span::from_minutes(60), "{lasted}");
    assert_eq!(totals.cost, MicroUsd::ZERO);
}

/// A parent's `statusSummary` lags, and with it the counts of its children; the head of the queue is told at once.
#[test]
fn children_of_arrays_are_counted_late_and_other_jobs_at_once() {
    let mut jobs = Jobs::of(&[(0, 600, 1)]);
    jobs.add_array(0, 600, 4, false);
    let overrides = Overrides {
        decision_delay: Some(seconds("3600s")),
        ..Overrides::default()
    };
    let scenario = scenario(&[environment("e", Purchase::OnDemand, 16)], overrides);
    let mut world = World::new(&scenario, &jobs.trace, 1).unwrap();
    world.lag_summaries(Span::from_seconds(10));
    let counted = |world: &World<'_>| world.runnable(QueueIndex::at(0)).jobs();
    world.advance(Time::from_seconds(9));
    assert_eq!(
        (counted(&world), world.head(QueueIndex::at(0))),
        (1, Some(shape(1, 1024, 0, 1)))
    );
    world.advance(Time::from_seconds(10));
    assert_eq!(counted(&world), 5);
}
