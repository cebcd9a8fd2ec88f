//! Who needs how much, and from what it is served.

use insta::assert_snapshot;

use super::{Story, queue, room, shape, spot_only, two_queues};
use crate::ids::QueueIndex;
use crate::observation::{Arrival, Seen, Shape};
use crate::planner::worlds::resources;
use crate::units::{Span, Vcpus};

#[test]
fn a_burst_on_an_idle_queue_waits_for_batch_and_then_kicks() {
    let mut story = Story::of(spot_only());
    story.runnable(0, 4, 20).plan();
    story.wait(19).plan_again();
    story.wait(1).plan_again();
    story.after(30);
    assert_snapshot!(story.told, @"
    09:00:00 spot: Batch may act first until 2026-01-01T09:00:20Z
    09:00:19 spot: Batch may act first until 2026-01-01T09:00:20Z
    09:00:20 * spot: min 0 -> 80, desired 0 -> 80 vCPUs: 80 vCPUs of RUNNABLE jobs wait
    09:00:50 nothing
    ");
}

#[test]
fn a_burst_that_batch_serves_itself_is_left_to_batch() {
    let mut story = Story::of(spot_only());
    story.runnable(0, 4, 20).plan();
    story.levels(0, 0, 80).after(15);
    story.after(10);
    assert_snapshot!(story.told, @"
    09:00:00 spot: Batch may act first until 2026-01-01T09:00:20Z
    09:00:15 nothing
    09:00:25 nothing
    ");
}

#[test]
fn a_trickle_on_a_busy_environment_acts_at_once() {
    let mut story = Story::of(spot_only());
    story.levels(0, 0, 64).instances(0, 1, 64).placed(0, 4, 16);
    story.runnable(0, 4, 2).plan();
    assert_snapshot!(story.told, @"
    09:00:00 * spot: min 0 -> 72, desired 64 -> 72 vCPUs: 8 vCPUs of RUNNABLE jobs wait
    ");
}

/// F1: what is asked for and still boots is not asked for again.
#[test]
fn capacity_on_its_way_is_not_asked_for_twice() {
    let mut story = Story::of(spot_only());
    story.levels(0, 80, 80).runnable(0, 4, 20).plan();
    story.after(60);
    story.runnable(0, 4, 25).after(5);
    story.after(30);
    assert_snapshot!(story.told, @"
    09:00:00 nothing
    09:01:00 nothing
    09:01:05 * spot: min 80 -> 100, desired 80 -> 100 vCPUs: 20 vCPUs of RUNNABLE jobs wait
    09:01:35 nothing
    ");
}

/// F2: looking again and again at the same waiting jobs does not ask for more.
#[test]
fn desired_does_not_ratchet_while_nothing_arrives() {
    let mut story = Story::of(spot_only());
    story.runnable(0, 4, 20).plan();
    for _ in 0..20 {
        story.after(30);
    }
    let asked = story
        .told
        .lines()
        .filter(|line| line.contains("* spot: min 0 ->"))
        .count();
    let desired = story.environment_mut(0).desired_vcpus;
    assert_eq!((asked, desired), (1, Vcpus::new(80)), "{}", story.told);
}

/// F12: jobs that capacity does not cure ask for none.
#[test]
fn jobs_that_capacity_does_not_cure_are_no_demand() {
    let mut story = Story::of(spot_only());
    let now = &mut story.observation.queues[0];
    now.not_demand.pending = 100;
    now.not_demand.misconfigured = 7;
    now.not_demand.reserved = 3;
    now.not_demand.multi_node = 1;
    let waiting = now.runnable.value_mut().unwrap();
    waiting.add(shape(65), 5);
    waiting.add(
        Shape {
            resources: resources(4, 65 * 4096),
            nodes: 1,
        },
        6,
    );
    waiting.add(Shape { nodes: 4, ..shape(8) }, 2);
    story.plan();
    story.after(60);
    assert_snapshot!(story.told, @"
    09:00:00 q: 100 jobs wait for other jobs (PENDING)
    09:00:00 q: 7 jobs are blocked by MISCONFIGURATION, which no capacity cures
    09:00:00 q: 3 jobs are held by a fair-share reservation
    09:00:00 q: 1 job is multi-node, which Batch never serves from minvCpus
    09:00:00 q: 11 jobs fit no instance type of the queue's environments
    09:01:00 q: 100 jobs wait for other jobs (PENDING)
    09:01:00 q: 7 jobs are blocked by MISCONFIGURATION, which no capacity cures
    09:01:00 q: 3 jobs are held by a fair-share reservation
    09:01:00 q: 1 job is multi-node, which Batch never serves from minvCpus
    09:01:00 q: 11 jobs fit no instance type of the queue's environments
    ");
}

#[test]
fn memory_makes_a_job_larger_than_its_vcpus() {
    let mut story = Story::of(spot_only());
    story.levels(0, 0, 64).instances(0, 1, 64).placed(0, 4, 16);
    let hungry = Shape {
        resources: resources(1, 16 * 4096),
        nodes: 1,
    };
    story.observation.queues[0].runnable.value_mut().unwrap().add(hungry, 3);
    story.plan();
    assert_snapshot!(story.told, @"
    09:00:00 * spot: min 0 -> 112, desired 64 -> 112 vCPUs: 48 vCPUs of RUNNABLE jobs wait
    ");
}

/// Warm room in pieces too small for the job at the head is no room for it.
#[test]
fn warm_room_that_cannot_hold_the_job_is_not_counted() {
    let mut story = Story::of(spot_only());
    story.levels(0, 0, 192).instances(0, 3, 168).placed(0, 4, 42);
    story.instances_mut(0).rooms = vec![room(8, 3)];
    story.runnable(0, 16, 1).plan();
    story.runnable(0, 16, 0).runnable(0, 8, 3).after(60);
    assert_snapshot!(story.told, @"
    09:00:00 * spot: min 0 -> 208, desired 192 -> 208 vCPUs: 16 vCPUs of RUNNABLE jobs wait
    09:01:00 spot: less is wanted; min is lowered at 2026-01-01T09:02:00Z if that lasts
    ");
}

#[test]
fn two_queues_on_one_environment_claim_its_room_once() {
    let mut story = Story::of(two_queues());
    story.levels(0, 0, 64).instances(0, 1, 32).placed(0, 4, 8);
    story.runnable(0, 4, 8).runnable(1, 4, 8).plan();
    let claimed: Vec<Vcpus> = story.plan.queues.iter().map(|queue| queue.from_idle).collect();
    assert_eq!(claimed, [Vcpus::new(32), Vcpus::ZERO]);
    assert_snapshot!(story.told, @"
    09:00:00 * spot: min 0 -> 96, desired 64 -> 96 vCPUs: 32 vCPUs of RUNNABLE jobs wait
    ");
}

#[test]
fn the_queue_with_priority_is_served_first() {
    let mut setup = two_queues();
    setup.environments[0].cap = Some(Vcpus::new(96));
    setup.serve_order = vec![QueueIndex(1), QueueIndex(0)];
    let mut story = Story::of(setup);
    story.levels(0, 0, 64).instances(0, 1, 64).placed(0, 4, 16);
    story.runnable(0, 4, 8).runnable(1, 4, 6).plan();
    let granted: Vec<Vcpus> = story.plan.queues.iter().map(|queue| queue.granted).collect();
    assert_eq!(granted, [Vcpus::new(8), Vcpus::new(24)]);
    assert_snapshot!(story.told, @"
    09:00:00 * spot: min 0 -> 96, desired 64 -> 96 vCPUs: 32 vCPUs of RUNNABLE jobs wait
    09:00:00 spot: 24 vCPUs more are wanted, but the policy's cap of 96 vCPUs is reached
    ");
}

#[test]
fn what_was_counted_in_part_raises_and_never_lowers() {
    let mut story = Story::of(spot_only());
    story.levels(0, 128, 128).instances(0, 2, 64).placed(0, 4, 16);
    story.plan();
    let part = story.observation.queues[0].runnable.value().unwrap().clone();
    story.observation.queues[0].runnable = Seen::AtLeast(story.now, part);
    story.after(120).after(120);
    story.runnable(0, 4, 40).after(5);
    assert_snapshot!(story.told, @"
    09:00:00 spot: less is wanted; min is lowered at 2026-01-01T09:01:00Z if that lasts
    09:02:00 nothing
    09:04:00 nothing
    09:04:05 * spot: min 128 -> 224, desired 128 -> 224 vCPUs: 96 vCPUs of RUNNABLE jobs wait
    ");
}

#[test]
fn jobs_known_to_come_are_launched_for_when_a_launch_takes_as_long() {
    let mut story = Story::of(spot_only());
    story.observation.arrivals.push(Arrival {
        at: story.now + Span::from_seconds(200),
        queue: QueueIndex(0),
        shape: shape(4),
        jobs: 10,
    });
    story.plan();
    assert_eq!(story.plan.look_again_at, story.now + Span::from_seconds(50));
    story.wait(50).plan_again();
    assert_snapshot!(story.told, @"
    09:00:00 nothing
    09:00:50 * spot: min 0 -> 40, desired 0 -> 40 vCPUs: jobs known to come need 40 vCPUs
    ");
}

#[test]
fn a_queue_without_environments_asks_for_nothing() {
    let mut setup = spot_only();
    setup.queues.push(queue("orphan", &[]));
    setup.serve_order.push(QueueIndex(1));
    let mut story = Story::of(setup);
    story.runnable(1, 4, 3).plan();
    assert_snapshot!(story.told, @"
    09:00:00 orphan: 3 jobs fit no instance type of the queue's environments
    ");
}
