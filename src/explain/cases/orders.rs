//! What people order for a while.

use insta::assert_snapshot;

use super::{START, Story, spot_only, two_queues};
use crate::overrides::{Order, Override};
use crate::units::{Span, Vcpus};

fn order(order: Order) -> Override {
    Override {
        order,
        since: START,
        until: START + Span::from_minutes(30),
    }
}

#[test]
fn a_paused_environment_is_left_as_it_is() {
    let mut story = Story::of(spot_only());
    story.memory.environments[0].overridden = Some(order(Order::Pause));
    story.levels(0, 64, 64).instances(0, 1, 0).plan();
    story.runnable(0, 4, 40).after(300);
    story.after(1500);
    assert_snapshot!(story.told, @"
    09:00:00 spot: paused by a person until 2026-01-01T09:30:00Z: nothing is asked for, nothing is given back
    09:05:00 spot: paused by a person until 2026-01-01T09:30:00Z: nothing is asked for, nothing is given back
    09:05:00 spot: 96 vCPUs more are wanted, but a person stopped it for now
    09:30:00 * spot: min 64 -> 160, desired 64 -> 160 vCPUs: 96 vCPUs of RUNNABLE jobs wait
    ");
}

#[test]
fn a_boost_counts_what_jobs_use() {
    let mut story = Story::of(spot_only());
    story.memory.environments[0].overridden = Some(order(Order::Boost(Vcpus::new(128))));
    story.levels(0, 0, 64).instances(0, 1, 48).placed(0, 4, 12).plan();
    story.instances(0, 2, 48).after(120);
    assert_snapshot!(story.told, @"
    09:00:00 * spot: min 0 -> 128, desired 64 -> 128 vCPUs: 64 vCPUs of idle room are wanted
    09:00:00 spot: a person wants at least 128 vCPUs held until 2026-01-01T09:30:00Z
    09:02:00 spot: a person wants at least 128 vCPUs held until 2026-01-01T09:30:00Z
    ");
}

#[test]
fn a_drained_queue_asks_for_nothing_while_another_goes_on() {
    let mut story = Story::of(two_queues());
    story.memory.queues[0].overridden = Some(order(Order::Drain));
    story.levels(0, 0, 64).instances(0, 1, 64).placed(0, 4, 16);
    story.runnable(0, 4, 10).runnable(1, 4, 3).plan();
    assert_snapshot!(story.told, @"
    09:00:00 * spot: min 0 -> 76, desired 64 -> 76 vCPUs: 12 vCPUs of RUNNABLE jobs wait
    09:00:00 a: drained by a person until 2026-01-01T09:30:00Z: nothing is asked for, what was raised goes back
    ");
}

#[test]
fn a_boosted_queue_has_a_floor() {
    let mut story = Story::of(spot_only());
    story.memory.queues[0].overridden = Some(order(Order::Boost(Vcpus::new(64))));
    story.plan();
    story.wait(29 * 60).plan();
    story.wait(61).plan_again();
    assert_snapshot!(story.told, @"
    09:00:00 * spot: min 0 -> 64, desired 0 -> 64 vCPUs: 64 vCPUs of idle room are wanted
    09:00:00 q: a person wants at least 64 vCPUs held until 2026-01-01T09:30:00Z
    09:29:00 q: a person wants at least 64 vCPUs held until 2026-01-01T09:30:00Z
    09:30:01 spot: less is wanted; min is lowered at 2026-01-01T09:31:01Z if that lasts
    ");
}
