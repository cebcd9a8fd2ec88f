//! Spot first, On-Demand when Spot does not deliver, and back.

use insta::assert_snapshot;

use super::Story;
use crate::planner::memory::Supply;
use crate::planner::worlds::spot_then_on_demand;
use crate::setup::{Limits, Patience, Setup};
use crate::units::{Span, Vcpus};

/// Spot has one busy instance; jobs for 192 vCPUs have been asked for and one of three instances came.
fn half_served(setup: Setup) -> Story {
    let mut story = Story::of(setup);
    story
        .levels(0, 0, 64)
        .instances(0, 1, 64)
        .placed(0, 4, 16)
        .runnable(0, 4, 48)
        .plan();
    story.instances(0, 2, 128).placed(0, 4, 32).runnable(0, 4, 32).after(60);
    story
}

/// F4: a capacity error bounds what is still asked, here to a tenth of max, and does not stop the rest.
#[test]
fn after_a_capacity_error_little_is_asked_until_a_launch_succeeds() {
    let mut story = Story::of(spot_then_on_demand());
    story.levels(0, 0, 64).instances(0, 1, 64).placed(0, 4, 16);
    story.capacity_error(0).runnable(0, 4, 40);
    story.instances_mut(0).registered = None;
    story.plan();
    story.after(60);
    story.instances(0, 2, 88).placed(0, 4, 22).after(30);
    assert_snapshot!(story.told, @"
    09:00:00 * spot: min 0 -> 90, desired 64 -> 90 vCPUs: 26 vCPUs of RUNNABLE jobs wait
    09:00:00 ondemand: On-Demand is not paid for before 2026-01-01T09:04:00Z
    09:00:00 spot: 134 vCPUs more are wanted, but little is asked until a launch succeeds here
    09:01:00 ondemand: On-Demand is not paid for before 2026-01-01T09:04:00Z
    09:01:00 spot: 134 vCPUs more are wanted, but little is asked until a launch succeeds here
    09:01:30 * spot: min 90 -> 248, desired 90 -> 248 vCPUs: 120 vCPUs of RUNNABLE jobs wait
    ");
}

/// F4, F6: only what Spot does not deliver moves to On-Demand, in the plan that lowers the Spot min to what is there.
#[test]
fn on_demand_takes_over_what_spot_does_not_deliver() {
    let mut story = half_served(spot_then_on_demand());
    story.capacity_error(0).after(30);
    story.after(209).after(1);
    story.after(60);
    assert_snapshot!(story.told, @"
    09:00:00 * spot: min 0 -> 256, desired 64 -> 256 vCPUs: 192 vCPUs of RUNNABLE jobs wait
    09:01:00 nothing
    09:01:30 nothing
    09:04:59 nothing
    09:05:00 * spot: min 256 -> 128 vCPUs: no capacity comes; it is asked for again at 2026-01-01T09:20:00Z
    09:05:00 * ondemand: min 0 -> 128, desired 0 -> 128 vCPUs: 128 vCPUs that spot does not deliver are asked for here
    09:05:00 spot: 128 vCPUs more are wanted, but little is asked until a launch succeeds here
    09:06:00 spot: no capacity comes; it is asked for again at 2026-01-01T09:20:00Z
    09:06:00 spot: less is wanted; min is lowered at 2026-01-01T09:07:00Z if that lasts
    ");
}

/// Without an error message, a launch that takes longer than launches take is a drought as well.
#[test]
fn a_launch_that_never_comes_is_a_drought_too() {
    let mut setup = spot_then_on_demand();
    setup.queues[0].patience[0].after = Span::from_minutes(1);
    let mut story = half_served(setup);
    story.after(224).after(1);
    assert_snapshot!(story.told, @"
    09:00:00 * spot: min 0 -> 256, desired 64 -> 256 vCPUs: 192 vCPUs of RUNNABLE jobs wait
    09:01:00 nothing
    09:04:44 nothing
    09:04:45 * spot: min 256 -> 128 vCPUs: no capacity comes; it is asked for again at 2026-01-01T09:19:45Z
    09:04:45 * ondemand: min 0 -> 128, desired 0 -> 128 vCPUs: 128 vCPUs that spot does not deliver are asked for here
    09:04:45 spot: 128 vCPUs more are wanted, but little is asked until a launch succeeds here
    ");
}

/// F5: the memory of a drought doubles with every probe that fails, up to an hour.
#[test]
fn the_memory_of_a_drought_doubles_with_every_failed_probe() {
    let mut story = half_served(spot_then_on_demand());
    let mut lengths = Vec::new();
    let mut last = None;
    for _ in 0..(5 * 60 * 60 / 30) {
        story.wait(30).capacity_error(0).plan();
        let supply = story.memory.environments[0].supply;
        if let (Supply::Drought { until }, true) = (supply, last != Some(supply)) {
            lengths.push(until.since(story.now).to_string());
        }
        last = Some(supply);
    }
    assert_eq!(lengths, ["15m", "30m", "60m", "60m", "60m", "60m"]);
}

/// F5: a drought that follows soon after a recovery is remembered for longer than the first.
#[test]
fn a_relapse_is_remembered_for_longer_and_a_late_one_is_not() {
    let mut lengths = Vec::new();
    for quiet_minutes in [10, 61] {
        let mut story = half_served(spot_then_on_demand());
        story.capacity_error(0).after(240);
        story.after(15 * 60).wait(30);
        story.instances(0, 3, 192).placed(0, 4, 48).runnable(0, 4, 0);
        story.levels(0, 0, 192).after(60);
        assert_eq!(story.memory.environments[0].supply, Supply::Delivers);
        story.wait(quiet_minutes * 60).plan();
        story.levels(0, 256, 256).runnable(0, 4, 60).after(30);
        story.capacity_error(0).after(240);
        let Supply::Drought { until } = story.memory.environments[0].supply else {
            panic!("{}", story.told)
        };
        lengths.push(until.since(story.now).to_string());
    }
    assert_eq!(lengths, ["30m", "15m"]);
}

/// F6: Spot is asked again, a little; the first instance that comes ends the drought.
#[test]
fn spot_is_probed_and_trusted_again_when_one_instance_comes() {
    let mut story = half_served(spot_then_on_demand());
    story.capacity_error(0).after(240);
    story.instances(1, 2, 128).runnable(0, 4, 0).placed(0, 4, 64).after(120);
    story.told.clear();
    // Nothing is RUNNABLE, so Batch takes desired back to what jobs hold.
    story.levels(0, 128, 128).after(800);
    story.runnable(0, 4, 40).after(60);
    story.after(30);
    story.instances(0, 3, 156).placed(0, 4, 71).runnable(0, 4, 33).after(60);
    story.after(30);
    assert_snapshot!(story.told, @"
    09:20:20 * spot: min 128 -> 0 vCPUs: the raise has been served, min goes back to base
    09:20:20 * ondemand: min 128 -> 0 vCPUs: the raise has been served, min goes back to base
    09:21:20 * spot: min 0 -> 154, desired 128 -> 154 vCPUs: after a drought, 26 vCPUs asked for as a probe
    09:21:20 * ondemand: min 0 -> 256, desired 128 -> 256 vCPUs: 128 vCPUs that spot does not deliver are asked for here
    09:21:20 spot: 134 vCPUs more are wanted, but little is asked until a launch succeeds here
    09:21:20 ondemand: 8 vCPUs more are wanted, but maxvCpus is reached
    09:21:50 spot: 6 vCPUs more are wanted, but little is asked until a launch succeeds here
    09:21:50 ondemand: 8 vCPUs more are wanted, but maxvCpus is reached
    09:22:50 spot: capacity comes again after a drought
    09:22:50 spot: less is wanted; min is lowered at 2026-01-01T09:23:50Z if that lasts
    09:22:50 ondemand: less is wanted; min is lowered at 2026-01-01T09:23:50Z if that lasts
    09:23:20 spot: less is wanted; min is lowered at 2026-01-01T09:23:50Z if that lasts
    09:23:20 ondemand: less is wanted; min is lowered at 2026-01-01T09:23:50Z if that lasts
    ");
}

/// The more jobs wait, the sooner On-Demand is paid for.
#[test]
fn patience_ends_with_the_first_pair_that_is_used_up() {
    let mut setup = spot_then_on_demand();
    setup.environments[0].cap = Some(Vcpus::new(64));
    let pair = |jobs, minutes| Patience {
        jobs,
        after: Span::from_minutes(minutes),
    };
    setup.queues[0].patience = vec![pair(1, 10), pair(20, 2)];
    let mut story = Story::of(setup);
    story.levels(0, 0, 64).instances(0, 1, 64).placed(0, 4, 16);
    story.runnable(0, 4, 5).plan();
    story.runnable(0, 4, 25).after(60);
    story.wait(119).plan_again();
    story.wait(1).plan_again();
    story.wait(20).plan_again();
    assert_snapshot!(story.told, @"
    09:00:00 ondemand: On-Demand is not paid for before 2026-01-01T09:10:00Z
    09:00:00 spot: 20 vCPUs more are wanted, but the policy's cap of 64 vCPUs is reached
    09:01:00 ondemand: On-Demand is not paid for before 2026-01-01T09:03:00Z
    09:01:00 spot: 100 vCPUs more are wanted, but the policy's cap of 64 vCPUs is reached
    09:02:59 ondemand: On-Demand is not paid for before 2026-01-01T09:03:00Z
    09:02:59 spot: 100 vCPUs more are wanted, but the policy's cap of 64 vCPUs is reached
    09:03:00 * ondemand: min 0 -> 100, desired 0 -> 100 vCPUs: 100 vCPUs of RUNNABLE jobs wait
    09:03:00 spot: 100 vCPUs more are wanted, but the policy's cap of 64 vCPUs is reached
    09:03:20 nothing
    ");
}

#[test]
fn without_patience_pairs_a_limit_on_spot_never_costs_on_demand() {
    let mut setup = spot_then_on_demand();
    setup.environments[0].cap = Some(Vcpus::new(64));
    setup.queues[0].patience.clear();
    let mut story = Story::of(setup);
    story
        .levels(0, 0, 64)
        .instances(0, 1, 64)
        .placed(0, 4, 16)
        .runnable(0, 4, 25);
    story.plan().after(3600);
    assert_snapshot!(story.told, @"
    09:00:00 spot: 100 vCPUs more are wanted, but the policy's cap of 64 vCPUs is reached
    10:00:00 spot: 100 vCPUs more are wanted, but the policy's cap of 64 vCPUs is reached
    ");
}

#[test]
fn a_guaranteed_base_is_on_demand_from_the_start() {
    let mut setup = spot_then_on_demand();
    setup.queues[0].on_demand_base = Vcpus::new(16);
    let mut story = Story::of(setup);
    story.runnable(0, 4, 20).plan();
    story.wait(20).plan_again();
    assert_snapshot!(story.told, @"
    09:00:00 * ondemand: min 0 -> 16, desired 0 -> 16 vCPUs: 16 vCPUs of RUNNABLE jobs wait
    09:00:00 spot: Batch may act first until 2026-01-01T09:00:20Z
    09:00:20 * spot: min 0 -> 64, desired 0 -> 64 vCPUs: 64 vCPUs of RUNNABLE jobs wait
    ");
}

/// Interrupted jobs are RUNNABLE again; what they held is wanted at once.
#[test]
fn interrupted_capacity_is_wanted_again_at_once() {
    let mut story = Story::of(spot_then_on_demand());
    story.levels(0, 0, 128).instances(0, 2, 128).placed(0, 4, 32).plan();
    story
        .levels(0, 0, 64)
        .instances(0, 1, 64)
        .placed(0, 4, 16)
        .runnable(0, 4, 16)
        .after(5);
    assert_snapshot!(story.told, @"
    09:00:00 nothing
    09:00:05 * spot: min 0 -> 128, desired 64 -> 128 vCPUs: 64 vCPUs of RUNNABLE jobs wait
    ");
}

/// Where limits are enforced, max is lowered in a drought so that Batch places on the next environment, and restored.
#[test]
fn enforced_limits_make_batch_move_on_and_are_taken_back() {
    let mut setup = spot_then_on_demand();
    setup.environments[0].limits = Limits::Enforce;
    let mut story = Story::of(setup);
    story
        .levels(0, 128, 128)
        .instances(0, 1, 64)
        .placed(0, 4, 16)
        .runnable(0, 4, 16);
    story.plan().capacity_error(0).after(240);
    story.instances(1, 1, 64).runnable(0, 4, 0).placed(0, 4, 32).after(60);
    story.after(900);
    assert_snapshot!(story.told, @"
    09:00:00 nothing
    09:04:00 * spot: min 128 -> 64, max 256 -> 128 vCPUs: no capacity comes; it is asked for again at 2026-01-01T09:19:00Z
    09:04:00 * ondemand: min 0 -> 64, desired 0 -> 64 vCPUs: 64 vCPUs that spot does not deliver are asked for here
    09:04:00 spot: 64 vCPUs more are wanted, but little is asked until a launch succeeds here
    09:05:00 spot: no capacity comes; it is asked for again at 2026-01-01T09:19:00Z
    09:05:00 spot: less is wanted; min is lowered at 2026-01-01T09:06:00Z if that lasts
    09:05:00 ondemand: less is wanted; min is lowered at 2026-01-01T09:06:00Z if that lasts
    09:20:00 * spot: min 64 -> 0, max 128 -> 256 vCPUs: the raise has been served, min goes back to base
    09:20:00 * ondemand: min 64 -> 0 vCPUs: the raise has been served, min goes back to base
    ");
}

/// A max that a person sets while ours is lowered is left alone, whatever the drought.
#[test]
fn a_max_that_a_person_sets_meanwhile_is_left_alone() {
    let mut setup = spot_then_on_demand();
    setup.environments[0].limits = Limits::Enforce;
    let mut story = Story::of(setup);
    story
        .levels(0, 128, 128)
        .instances(0, 1, 64)
        .placed(0, 4, 16)
        .runnable(0, 4, 16);
    story.plan().capacity_error(0).after(240);
    story.environment_mut(0).max_vcpus = Vcpus::new(512);
    story.instances(1, 1, 64).runnable(0, 4, 0).placed(0, 4, 32).after(60);
    story.after(900);
    assert_eq!(story.environment_mut(0).max_vcpus, Vcpus::new(512));
    assert_snapshot!(story.told, @"
    09:00:00 nothing
    09:04:00 * spot: min 128 -> 64, max 256 -> 128 vCPUs: no capacity comes; it is asked for again at 2026-01-01T09:19:00Z
    09:04:00 * ondemand: min 0 -> 64, desired 0 -> 64 vCPUs: 64 vCPUs that spot does not deliver are asked for here
    09:04:00 spot: 64 vCPUs more are wanted, but little is asked until a launch succeeds here
    09:05:00 spot: no capacity comes; it is asked for again at 2026-01-01T09:19:00Z
    09:05:00 spot: another hand changed max; it is left alone until 2026-01-01T10:05:00Z
    09:05:00 spot: less is wanted; min is lowered at 2026-01-01T09:06:00Z if that lasts
    09:05:00 ondemand: less is wanted; min is lowered at 2026-01-01T09:06:00Z if that lasts
    09:20:00 * spot: min 64 -> 0 vCPUs: the raise has been served, min goes back to base
    09:20:00 * ondemand: min 64 -> 0 vCPUs: the raise has been served, min goes back to base
    09:20:00 spot: another hand changed max; it is left alone until 2026-01-01T10:05:00Z
    ");
}

/// An update that was refused changed nothing, so there is nothing to restore.
#[test]
fn a_lowered_max_that_was_refused_is_forgotten() {
    let mut setup = spot_then_on_demand();
    setup.environments[0].limits = Limits::Enforce;
    let mut story = Story::of(setup);
    story.levels(0, 128, 128).instances(0, 1, 64).placed(0, 4, 16);
    story.runnable(0, 4, 16).plan().capacity_error(0).after(240);
    // Refused: the environment shows what it showed before. Then the drought ends and max is raised by a person.
    story.levels(0, 64, 128).environment_mut(0).max_vcpus = Vcpus::new(256);
    story.setup.environments[0].limits = Limits::Clamp;
    story.after(60);
    story.environment_mut(0).max_vcpus = Vcpus::new(512);
    story.runnable(0, 4, 0).after(1000).after(60);
    assert_eq!(story.environment_mut(0).max_vcpus, Vcpus::new(512));
}

/// Idle On-Demand beside RUNNABLE jobs that fit: Batch does not place there, so paying for more of it helps nobody.
#[test]
fn on_demand_that_batch_does_not_use_is_not_paid_for_again() {
    let mut told = String::new();
    for enforce in [false, true] {
        let mut setup = spot_then_on_demand();
        setup.environments[0].limits = if enforce { Limits::Enforce } else { Limits::Clamp };
        let mut story = half_served(setup);
        story.capacity_error(0).after(240);
        story.instances(1, 2, 0).after(60);
        story.wait(179).plan_again();
        story.told = format!("limits enforced: {enforce}\n");
        story.wait(1).plan_again();
        story.after(60);
        told.push_str(&story.told);
    }
    assert_snapshot!(told, @r#"
    limits enforced: false
    09:09:00 spot: no capacity comes; it is asked for again at 2026-01-01T09:20:00Z
    09:09:00 ondemand: Batch leaves room idle here beside RUNNABLE jobs that fit; falling back needs limits = "enforce"
    09:09:00 spot: 128 vCPUs more are wanted, but little is asked until a launch succeeds here
    09:10:00 spot: no capacity comes; it is asked for again at 2026-01-01T09:20:00Z
    09:10:00 ondemand: Batch leaves room idle here beside RUNNABLE jobs that fit; falling back needs limits = "enforce"
    09:10:00 spot: 128 vCPUs more are wanted, but little is asked until a launch succeeds here
    limits enforced: true
    09:09:00 spot: no capacity comes; it is asked for again at 2026-01-01T09:20:00Z
    09:10:00 spot: no capacity comes; it is asked for again at 2026-01-01T09:20:00Z
    "#);
}
