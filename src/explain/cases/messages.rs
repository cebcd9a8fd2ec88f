//! SQS messages that will become jobs.

use insta::assert_snapshot;

use super::{Story, shape, spot_only};
use crate::ids::{QueueIndex, SqsIndex};
use crate::observation::{Seen, SqsNow};
use crate::setup::{HandOff, Setup, SqsSetup};
use crate::units::{Span, Vcpus};

fn fed_by(hand_off: HandOff, cap: Option<i64>) -> Setup {
    let mut setup = spot_only();
    setup.sqs_sources = vec![SqsSetup {
        name: "inbox".to_owned(),
        queue: QueueIndex(0),
        hand_off,
        job: shape(4),
        cap: cap.map(Vcpus::new),
        patience: Span::from_minutes(10),
    }];
    setup.queues[0].sqs_sources = vec![SqsIndex(0)];
    setup
}

fn dispatcher(jobs_per_kilo_message: i64) -> HandOff {
    HandOff::Dispatcher { jobs_per_kilo_message }
}

fn messages(story: &mut Story, visible: i64, in_flight: i64) {
    let counts = SqsNow {
        visible,
        in_flight,
        delayed: 0,
    };
    story.observation.sqs[0] = Seen::Exactly(story.now, counts);
}

/// Batch cannot see messages, so nobody waits for it to act first; what is in flight is a job already.
#[test]
fn a_dispatcher_s_visible_messages_are_launched_for_at_once() {
    let mut story = Story::of(fed_by(dispatcher(500), None));
    messages(&mut story, 25, 1000);
    story.plan();
    assert_snapshot!(story.told, @"
    09:00:00 * spot: min 0 -> 52, desired 0 -> 52 vCPUs: SQS messages will need 52 vCPUs
    ");
}

#[test]
fn a_source_never_asks_for_more_than_its_cap() {
    let mut story = Story::of(fed_by(dispatcher(1000), Some(30)));
    messages(&mut story, 1_000_000_000, 0);
    story.plan();
    assert_snapshot!(story.told, @"
    09:00:00 * spot: min 0 -> 28, desired 0 -> 28 vCPUs: SQS messages will need 28 vCPUs
    ");
}

#[test]
fn workers_that_exist_are_taken_off_the_workers_wanted() {
    let mut story = Story::of(fed_by(
        HandOff::Workers {
            messages_per_worker: 10,
        },
        None,
    ));
    messages(&mut story, 95, 20);
    story
        .levels(0, 0, 64)
        .instances(0, 1, 64)
        .placed(0, 4, 5)
        .placed(0, 2, 22)
        .runnable(0, 4, 2)
        .plan();
    let sums = story.plan.queues[0];
    assert_eq!((sums.messages, sums.waiting), (Vcpus::new(12), Vcpus::new(8)));
    messages(&mut story, 60, 20);
    story.after(60);
    assert_eq!(story.plan.queues[0].messages, Vcpus::ZERO);
    assert_snapshot!(story.told, @"
    09:00:00 * spot: min 0 -> 84, desired 64 -> 84 vCPUs: 8 vCPUs of RUNNABLE jobs wait
    09:01:00 spot: less is wanted; min is lowered at 2026-01-01T09:02:00Z if that lasts
    ");
}

/// F11: a dispatcher that died must not hold capacity: what does not become jobs is believed less and less.
#[test]
fn messages_that_do_not_become_jobs_fade_away() {
    let mut story = Story::of(fed_by(dispatcher(1000), None));
    messages(&mut story, 10, 0);
    story.plan();
    story.wait(599).plan_again();
    for _ in 0..6 {
        let at = story.plan.look_again_at;
        let seconds = at.since(story.now).millis() / 1000;
        if seconds > 3600 {
            break;
        }
        story.wait(seconds).plan_again();
    }
    assert_snapshot!(story.told, @"
    09:00:00 * spot: min 0 -> 40, desired 0 -> 40 vCPUs: SQS messages will need 40 vCPUs
    09:09:59 nothing
    09:10:00 inbox: its messages do not become jobs; 80 % of their demand is still believed
    09:10:00 spot: less is wanted; min is lowered at 2026-01-01T09:11:00Z if that lasts
    09:11:00 * spot: min 40 -> 32 vCPUs: no more than 32 vCPUs are wanted
    09:11:00 inbox: its messages do not become jobs; 80 % of their demand is still believed
    09:12:00 inbox: its messages do not become jobs; 60 % of their demand is still believed
    09:12:00 spot: less is wanted; min is lowered at 2026-01-01T09:13:00Z if that lasts
    09:13:00 * spot: min 32 -> 24 vCPUs: no more than 24 vCPUs are wanted
    09:13:00 inbox: its messages do not become jobs; 60 % of their demand is still believed
    09:13:44 * spot: min 24 -> 0 vCPUs: no capacity comes; it is asked for again at 2026-01-01T09:28:44Z
    09:13:44 inbox: its messages do not become jobs; 60 % of their demand is still believed
    09:13:44 spot: 24 vCPUs more are wanted, but little is asked until a launch succeeds here
    09:14:00 spot: no capacity comes; it is asked for again at 2026-01-01T09:28:44Z
    09:14:00 inbox: its messages do not become jobs; 40 % of their demand is still believed
    09:14:00 spot: 16 vCPUs more are wanted, but little is asked until a launch succeeds here
    ");
}

#[test]
fn progress_makes_messages_believed_again() {
    let mut story = Story::of(fed_by(dispatcher(1000), None));
    messages(&mut story, 10, 0);
    story.plan();
    story.after(900);
    messages(&mut story, 9, 1);
    story.after(10);
    messages(&mut story, 0, 0);
    story.after(10);
    story.told.push_str("---\n");
    messages(&mut story, 10, 0);
    story.after(10);
    assert_snapshot!(story.told, @"
    09:00:00 * spot: min 0 -> 40, desired 0 -> 40 vCPUs: SQS messages will need 40 vCPUs
    09:15:00 inbox: its messages do not become jobs; 40 % of their demand is still believed
    09:15:00 spot: less is wanted; min is lowered at 2026-01-01T09:16:00Z if that lasts
    09:15:10 spot: less is wanted; min is lowered at 2026-01-01T09:16:00Z if that lasts
    09:15:20 spot: less is wanted; min is lowered at 2026-01-01T09:16:00Z if that lasts
    ---
    09:15:30 nothing
    ");
}

#[test]
fn messages_that_cannot_be_read_are_said_and_not_counted() {
    let mut story = Story::of(fed_by(dispatcher(1000), None));
    story.observation.sqs[0] = Seen::default();
    story.plan();
    assert_snapshot!(story.told, @"
    09:00:00 inbox: the messages were never read yet
    ");
}
