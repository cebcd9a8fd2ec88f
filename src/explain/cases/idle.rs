//! Idle room that is wanted on purpose: headroom, schedules, what was in use a moment ago.

use insta::assert_snapshot;

use super::{Story, spot_only};
use crate::forecast::{Forecast, Window};
use crate::setup::{QueueSetup, Setup};
use crate::units::{Span, Vcpus};

fn with_queue(change: impl FnOnce(&mut QueueSetup)) -> Setup {
    let mut setup = spot_only();
    change(&mut setup.queues[0]);
    setup
}

fn window(from_minutes: i64, to_minutes: i64, floor: i64, slots: i64) -> Window {
    Window {
        start: super::START + Span::from_minutes(from_minutes),
        end: super::START + Span::from_minutes(to_minutes),
        floor_vcpus: Vcpus::new(floor),
        headroom_slots: slots,
    }
}

fn foreseen(windows: Vec<Window>) -> Story {
    let mut story = Story::of(spot_only());
    story.forecast = Forecast::new(1, vec![windows]);
    story
}

#[test]
fn headroom_is_idle_room_beside_what_is_in_use() {
    let mut story = Story::of(with_queue(|queue| queue.headroom_slots = 8));
    story.levels(0, 0, 64).instances(0, 1, 64).placed(0, 4, 16).plan();
    story.instances(0, 2, 64).after(120);
    story.after(60);
    story.instances(0, 2, 112).placed(0, 4, 28).after(60);
    assert_snapshot!(story.told, @"
    09:00:00 * spot: min 0 -> 96, desired 64 -> 96 vCPUs: 32 vCPUs of idle room are wanted
    09:00:00 q: 32 vCPUs of idle room are wanted
    09:02:00 q: 32 vCPUs of idle room are wanted
    09:03:00 q: 32 vCPUs of idle room are wanted
    09:04:00 * spot: min 96 -> 144, desired 96 -> 144 vCPUs: 16 vCPUs of idle room are wanted
    09:04:00 q: 32 vCPUs of idle room are wanted
    ");
}

/// Three quarters of the idle room are enough: what is there is held, and nothing is launched for a slot that comes and goes.
#[test]
fn a_slot_that_comes_and_goes_is_not_launched_for() {
    let mut story = Story::of(with_queue(|queue| queue.headroom_slots = 8));
    story.levels(0, 96, 128).instances(0, 2, 64).placed(0, 4, 16).plan();
    story.instances(0, 2, 104).placed(0, 4, 26).after(60);
    story.instances(0, 2, 108).placed(0, 4, 27).after(60);
    assert_snapshot!(story.told, @"
    09:00:00 q: 32 vCPUs of idle room are wanted
    09:01:00 * spot: min 96 -> 128 vCPUs: 24 vCPUs of idle room are wanted
    09:01:00 q: 32 vCPUs of idle room are wanted
    09:02:00 * spot: min 128 -> 140, desired 128 -> 140 vCPUs: 12 vCPUs of idle room are wanted
    09:02:00 q: 32 vCPUs of idle room are wanted
    ");
}

#[test]
fn a_scheduled_floor_is_launched_ahead_and_let_go_when_it_ends() {
    let mut story = foreseen(vec![window(10, 60, 128, 0)]);
    story.plan();
    // A launch takes 150 s here.
    assert_eq!(story.plan.look_again_at, super::START + Span::from_seconds(600 - 150));
    story.wait(449).plan_again();
    story.wait(1).plan_again();
    story.instances(0, 2, 0).after(150);
    story.instances(0, 2, 40).placed(0, 4, 10).after(600);
    story.instances(0, 2, 0).placed(0, 4, 0).after(39 * 60);
    story.after(60).after(60);
    assert_snapshot!(story.told, @"
    09:00:00 nothing
    09:07:29 nothing
    09:07:30 * spot: min 0 -> 128, desired 0 -> 128 vCPUs: 128 vCPUs of idle room are wanted
    09:07:30 q: the schedule wants 128 vCPUs of idle room
    09:10:00 q: the schedule wants 128 vCPUs of idle room
    09:20:00 q: the schedule wants 88 vCPUs of idle room
    09:59:00 q: the schedule wants 128 vCPUs of idle room
    10:00:00 spot: less is wanted; min is lowered at 2026-01-01T10:01:00Z if that lasts
    10:01:00 * spot: min 128 -> 0 vCPUs: the raise has been served, min goes back to base
    ");
}

#[test]
fn of_overlapping_windows_the_largest_holds() {
    let windows = vec![window(-60, 60, 64, 0), window(-30, 30, 128, 0), window(-10, 90, 32, 4)];
    let mut story = foreseen(windows);
    story.plan();
    story.wait(1).plan();
    assert_snapshot!(story.told, @"
    09:00:00 * spot: min 0 -> 128, desired 0 -> 128 vCPUs: 128 vCPUs of idle room are wanted
    09:00:00 q: the schedule wants 128 vCPUs of idle room
    09:00:01 q: the schedule wants 128 vCPUs of idle room
    ");
}

/// F18: what jobs held a moment ago is there for those that come next.
#[test]
fn what_jobs_used_is_kept_for_the_idle_time() {
    let mut story = Story::of(with_queue(|queue| queue.idle_time = Span::from_minutes(10)));
    story.levels(0, 0, 128).instances(0, 2, 128).placed(0, 4, 32).plan();
    story.instances(0, 2, 32).placed(0, 4, 8).after(60);
    story.wait(300).plan();
    story.wait(300).plan();
    story.after(60);
    assert_snapshot!(story.told, @"
    09:00:00 nothing
    09:01:00 * spot: min 0 -> 128 vCPUs: 128 vCPUs were in use within the idle time and are kept
    09:06:00 nothing
    09:11:00 spot: less is wanted; min is lowered at 2026-01-01T09:12:00Z if that lasts
    09:12:00 * spot: min 128 -> 32 vCPUs: 32 vCPUs were in use within the idle time and are kept
    ");
}
