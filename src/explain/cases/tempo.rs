//! How fast: up at once, down slowly, never while something is under way.

use insta::assert_snapshot;

use super::{Story, spot_only};
use crate::observation::{Gap, GapReason, Seen};
use crate::units::Span;

/// F9: right after a start nothing is lowered, whatever was left behind.
#[test]
fn nothing_is_lowered_right_after_a_start() {
    let mut story = Story::of(spot_only());
    story.memory.started = story.now;
    story.levels(0, 64, 64).instances(0, 1, 0).plan();
    story.wait(119).plan_again();
    story.wait(1).plan_again();
    assert_snapshot!(story.told, @"
    09:00:00 spot: just started, nothing is lowered before 2026-01-01T09:02:00Z
    09:01:59 spot: just started, nothing is lowered before 2026-01-01T09:02:00Z
    09:02:00 * spot: min 64 -> 0 vCPUs: the raise has been served, min goes back to base
    ");
}

/// F15: an environment that is being modified refuses updates, so none is sent.
#[test]
fn an_updating_environment_is_left_alone() {
    let mut story = Story::of(spot_only());
    story
        .levels(0, 0, 64)
        .instances(0, 1, 64)
        .placed(0, 4, 16)
        .runnable(0, 4, 8);
    story.environment_mut(0).updating = true;
    story.plan();
    story.after(300);
    story.environment_mut(0).updating = false;
    story.after(1);
    assert_snapshot!(story.told, @"
    09:00:00 spot: UPDATING: no update is accepted until that ends
    09:05:00 spot: UPDATING: no update is accepted until that ends
    09:05:01 * spot: min 0 -> 96, desired 64 -> 96 vCPUs: 32 vCPUs of RUNNABLE jobs wait
    ");
}

#[test]
fn updates_keep_their_distance_unless_the_ask_doubles() {
    let mut story = Story::of(spot_only());
    story.levels(0, 0, 64).instances(0, 1, 64).placed(0, 4, 16);
    story.runnable(0, 4, 2).plan();
    story.runnable(0, 4, 4).after(5);
    story.runnable(0, 4, 30).after(5);
    story.runnable(0, 4, 32).after(5);
    story.after(30);
    assert_snapshot!(story.told, @"
    09:00:00 * spot: min 0 -> 72, desired 64 -> 72 vCPUs: 8 vCPUs of RUNNABLE jobs wait
    09:00:05 spot: the last update is too recent, the next may follow at 2026-01-01T09:00:30Z
    09:00:10 * spot: min 72 -> 184, desired 72 -> 184 vCPUs: 112 vCPUs of RUNNABLE jobs wait
    09:00:15 spot: the last update is too recent, the next may follow at 2026-01-01T09:00:40Z
    09:00:45 * spot: min 184 -> 192, desired 184 -> 192 vCPUs: 8 vCPUs of RUNNABLE jobs wait
    ");
}

#[test]
fn served_capacity_is_let_go_after_a_minute() {
    let mut story = Story::of(spot_only());
    story.levels(0, 80, 80).runnable(0, 4, 20).plan();
    story.instances(0, 2, 80).runnable(0, 4, 0).placed(0, 4, 20).after(100);
    story.wait(59).plan_again();
    story.wait(1).plan_again();
    story.after(60);
    assert_snapshot!(story.told, @"
    09:00:00 nothing
    09:01:40 spot: less is wanted; min is lowered at 2026-01-01T09:02:40Z if that lasts
    09:02:39 spot: less is wanted; min is lowered at 2026-01-01T09:02:40Z if that lasts
    09:02:40 * spot: min 80 -> 0 vCPUs: the raise has been served, min goes back to base
    09:03:40 nothing
    ");
}

/// A min that is still needed by what boots stays, and what was asked too much of it goes.
#[test]
fn jobs_that_vanish_before_capacity_arrives_lower_min_slowly() {
    let mut story = Story::of(spot_only());
    story.levels(0, 192, 192).runnable(0, 4, 48).plan();
    story.runnable(0, 4, 16).after(10);
    story.after(60);
    assert_snapshot!(story.told, @"
    09:00:00 nothing
    09:00:10 spot: less is wanted; min is lowered at 2026-01-01T09:01:10Z if that lasts
    09:01:10 * spot: min 192 -> 64 vCPUs: no more than 64 vCPUs are wanted
    ");
}

/// F11: what was read before our own update does not cause it again.
#[test]
fn a_reading_older_than_our_update_is_not_acted_on() {
    let mut story = Story::of(spot_only());
    story
        .levels(0, 0, 64)
        .instances(0, 1, 64)
        .placed(0, 4, 16)
        .runnable(0, 4, 8);
    story.memory.environments[0].acted_at = Some(story.now);
    story.plan();
    story.after(1);
    assert_snapshot!(story.told, @"
    09:00:00 spot: an update of ours is under way, not seen yet, or failed a moment ago
    09:00:01 * spot: min 0 -> 96, desired 64 -> 96 vCPUs: 32 vCPUs of RUNNABLE jobs wait
    ");
}

#[test]
fn what_is_not_seen_is_not_changed_until_it_was_not_seen_for_too_long() {
    let mut story = Story::of(spot_only());
    story.levels(0, 64, 64).instances(0, 1, 0).runnable(0, 4, 30);
    let gap = Gap {
        since: story.now,
        why: GapReason::Throttled,
    };
    story.observation.queues[0].placed = Seen::Missing(gap);
    story.after(300).after(600).after(301);
    assert_snapshot!(story.told, @"
    09:05:00 q: the jobs were last read 5m ago
    09:15:00 q: the jobs were last read 15m ago
    09:20:01 * spot: min 64 -> 0 vCPUs: the jobs were last read 20m 1s ago
    09:20:01 q: the jobs were last read 20m 1s ago
    ");
}

/// Capacity that Batch launched besides ours makes us wait longer for Batch the next time.
#[test]
fn a_double_launch_gives_batch_more_time_to_act_first() {
    let mut story = Story::of(spot_only());
    story.runnable(0, 4, 16).plan();
    story.after(20);
    story
        .levels(0, 64, 192)
        .instances(0, 3, 64)
        .runnable(0, 4, 0)
        .placed(0, 4, 16)
        .after(100);
    assert_eq!(story.memory.environments[0].batch_first_more, Span::from_seconds(20));
    story.levels(0, 0, 0).instances(0, 0, 0).placed(0, 4, 0).after(300);
    story.runnable(0, 4, 16).after(1);
    assert_snapshot!(story.told, @"
    09:00:00 spot: Batch may act first until 2026-01-01T09:00:20Z
    09:00:20 * spot: min 0 -> 64, desired 0 -> 64 vCPUs: 64 vCPUs of RUNNABLE jobs wait
    09:02:00 spot: 128 vCPUs more than wanted arrived: Batch had launched too, so it is given more time to act first
    09:02:00 spot: less is wanted; min is lowered at 2026-01-01T09:03:00Z if that lasts
    09:07:00 nothing
    09:07:01 spot: Batch may act first until 2026-01-01T09:07:41Z
    ");
}

/// Counts of array children are told late by Batch: what jobs hold beyond those counted as placed is not asked for again.
#[test]
fn jobs_that_hold_room_already_are_not_asked_for_although_they_count_as_runnable() {
    let mut story = Story::of(spot_only());
    story
        .levels(0, 0, 64)
        .instances(0, 1, 64)
        .placed(0, 4, 4)
        .runnable(0, 4, 12);
    story.plan();
    story.runnable(0, 4, 14).after(10);
    assert_snapshot!(story.told, @"
    09:00:00 nothing
    09:00:10 * spot: min 0 -> 72, desired 64 -> 72 vCPUs: 8 vCPUs of RUNNABLE jobs wait
    ");
}

/// F16: one instance too many is no breach. Nothing is sent that Batch would refuse.
#[test]
fn while_batch_overshoots_no_raise_is_sent() {
    let mut setup = spot_only();
    setup.queues[0].idle_time = Span::from_minutes(10);
    let mut story = Story::of(setup);
    story.levels(0, 0, 320).instances(0, 5, 300).placed(0, 4, 75);
    story.plan();
    story.instances(0, 5, 200).placed(0, 4, 50).after(60);
    story.levels(0, 0, 256).instances(0, 4, 200).after(60);
    assert_snapshot!(story.told, @"
    09:00:00 spot: desired stands above max after an overshoot: no raise is accepted until it falls
    09:01:00 spot: desired stands above max after an overshoot: no raise is accepted until it falls
    09:02:00 * spot: min 0 -> 256 vCPUs: 256 vCPUs were in use within the idle time and are kept
    ");
}

/// What was let go in vain would be of the wrong shape again: for an hour Batch alone launches here.
#[test]
fn room_let_go_in_vain_is_not_raised_again_for_an_hour() {
    let mut story = Story::of(spot_only());
    let until = story.now + Span::from_minutes(60);
    story.memory.environments[0].left_to_batch_until = Some(until);
    story
        .levels(0, 0, 64)
        .instances(0, 1, 64)
        .placed(0, 4, 16)
        .runnable(0, 4, 8);
    story.plan();
    story.wait(3599).plan_again();
    story.wait(1).plan_again();
    assert_snapshot!(story.told, @"
    09:00:00 spot: Batch may act first until 2026-01-01T10:00:00Z
    09:59:59 spot: Batch may act first until 2026-01-01T10:00:00Z
    10:00:00 * spot: min 0 -> 96, desired 64 -> 96 vCPUs: 32 vCPUs of RUNNABLE jobs wait
    ");
}
