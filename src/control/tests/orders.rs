//! What comes from outside: who leads, what people order, another policy.

use insta::assert_snapshot;

use super::{Desk, ON_DEMAND, SPOT, START, Script, desk, scripted};
use crate::control::{Effect, Failed, Input, Lease, Outcome, Planner};
use crate::forecast::Forecast;
use crate::overrides::{Order, Override};
use crate::planner::plan::Subject;
use crate::planner::worlds::{self, shape};
use crate::setup::Compiled;
use crate::units::{Span, Vcpus};

#[test]
fn who_does_not_lead_plans_but_writes_nothing() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.step(Input::Leadership(None)).read(1);
    assert_eq!(desk.controller.plan().actions.len(), 1);
    desk.step(Input::Leadership(Some(START + Span::from_minutes(1))))
        .read(1);
    assert_snapshot!(desk.told, @"
    09:00:00 does not lead
        wake at 09:00:00.001
    09:00:01 observed
    09:00:01 leads until 09:01:00
    09:00:02 observed
        commit spot min 64 desired 64, lease until 09:15:02
    ");
}

/// No request can outlast the leadership under which it began: UpdateComputeEnvironment knows no fencing.
#[test]
fn nothing_is_sent_in_the_last_seconds_of_leadership() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.step(Input::Leadership(Some(START + Span::from_seconds(20))))
        .read(1);
    desk.pass(5).step(Input::Committed(SPOT, Ok(())));
    assert_eq!(desk.effects, [], "{}", desk.told);
}

#[test]
fn a_former_leader_leaves_the_leases_to_his_successor() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0).carry_out().read(5);
    assert!(desk.controller.lease(SPOT).is_some());
    wishes.borrow_mut()[0] = None;
    desk.step(Input::Leadership(None));
    assert_eq!(desk.controller.lease(SPOT), None);
    desk.read(60 * 60);
    assert_eq!(desk.effects, [], "{}", desk.told);
}

/// The table could not be reached for a while; nobody else has taken over.
#[test]
fn a_late_renewal_forgets_nothing_and_moves_no_guard_meanwhile() {
    let (mut desk, wishes) = scripted();
    desk.step(Input::Leadership(Some(START + Span::from_minutes(2))));
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0).carry_out().read(5);
    let lease = desk.controller.lease(SPOT);
    assert!(lease.is_some());
    desk.controller.memory.environments[0].max_before = Some(Vcpus::new(256));
    desk.read(120);
    let until = START + Span::from_minutes(10);
    desk.step(Input::Leadership(Some(until)));
    assert_eq!(desk.controller.lease(SPOT), lease);
    assert_eq!(desk.controller.memory.environments[0].max_before, Some(Vcpus::new(256)));
    // Another one that may not lead when it stops.
    desk.read(9 * 60);
    desk.effects.clear();
    desk.step(Input::Stop);
    let arms = desk.effects.iter().filter(|effect| matches!(effect, Effect::Arm(_)));
    assert_eq!(arms.count(), 0, "{}", desk.told);
}

#[test]
fn who_loses_leadership_forgets_what_is_the_operators() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0).carry_out().read(5);
    desk.controller.memory.environments[0].max_before = Some(Vcpus::new(256));
    desk.controller.yielded[0] = Some((Vcpus::new(8), START));
    desk.step(Input::Leadership(None));
    assert_eq!(desk.controller.memory.environments[0].max_before, None);
    assert_eq!(desk.controller.yielded(SPOT), None);
}

fn order(order: Order, minutes: i64) -> Override {
    Override {
        order,
        since: START,
        until: START + Span::from_minutes(minutes),
    }
}

#[test]
fn a_pause_holds_what_stands_and_its_lease_is_renewed() {
    let mut desk = desk(Planner);
    worlds::add_runnable(&mut desk.observation, 0, shape(4), 16);
    desk.read(0).read(30).carry_out();
    desk.step(Input::Overridden(
        Subject::Environment(SPOT),
        Some(order(Order::Pause, 60)),
    ));
    worlds::add_runnable(&mut desk.observation, 0, shape(4), -16);
    desk.told.clear();
    for _ in 0..58 {
        desk.read(60).carry_out();
    }
    assert!(!desk.told.contains("send"), "{}", desk.told);
    assert!(desk.told.contains("arm"), "{}", desk.told);
    for _ in 0..5 {
        desk.read(60).carry_out();
    }
    assert!(desk.told.contains("send spot min 0"), "{}", desk.told);
}

/// F20: the lever for an incident.
#[test]
fn a_drain_gives_back_at_once_and_asks_for_nothing() {
    let mut desk = desk(Planner);
    worlds::add_runnable(&mut desk.observation, 0, shape(4), 16);
    desk.read(0).read(30).carry_out();
    desk.step(Input::Overridden(
        Subject::Environment(SPOT),
        Some(order(Order::Drain, 60)),
    ));
    desk.told.clear();
    desk.read(1).carry_out().read(30).carry_out();
    assert!(desk.told.contains("send spot min 0"), "{}", desk.told);
    assert!(!desk.told.contains("send spot min 64"), "{}", desk.told);
}

#[test]
fn a_boost_is_held_until_it_ends_or_is_cleared() {
    for clear in [false, true] {
        let mut desk = desk(Planner);
        desk.step(Input::Overridden(
            Subject::Environment(SPOT),
            Some(order(Order::Boost(Vcpus::new(96)), 60)),
        ));
        desk.read(1).carry_out();
        assert!(desk.told.contains("send spot min 96 desired 96"), "{}", desk.told);
        if clear {
            desk.step(Input::Overridden(Subject::Environment(SPOT), None));
        } else {
            desk.pass(60 * 60);
        }
        desk.told.clear();
        desk.read(60).carry_out().read(61).carry_out();
        assert!(desk.told.contains("send spot min 0"), "clear {clear}: {}", desk.told);
    }
}

#[test]
fn an_older_override_does_not_replace_a_newer_one() {
    let mut desk = desk(Planner);
    let newer = Override {
        order: Order::Pause,
        since: START + Span::from_seconds(5),
        until: START + Span::from_minutes(60),
    };
    desk.pass(10)
        .step(Input::Overridden(Subject::Environment(SPOT), Some(newer)));
    desk.step(Input::Overridden(
        Subject::Environment(SPOT),
        Some(order(Order::Drain, 90)),
    ));
    assert_eq!(desk.controller.memory().environments[0].overridden, Some(newer));
}

fn without_spot() -> Box<Compiled> {
    let mut setup = worlds::spot_then_on_demand();
    setup.environments.swap(0, 1);
    setup.queues[0].environments.swap(0, 1);
    Box::new(Compiled {
        setup,
        forecast: Forecast::default(),
        notes: Vec::new(),
    })
}

/// Leases, back-off and memory belong to names: indices change with every reload.
#[test]
fn a_reload_waits_for_the_update_under_way_and_then_keeps_what_keeps_its_name() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0);
    desk.step(Input::Reloaded(without_spot()));
    wishes.borrow_mut()[0] = None;
    desk.told.clear();
    desk.step(Input::Committed(SPOT, Ok(())));
    desk.armed(SPOT, Ok(()));
    desk.step(Input::Finished(SPOT, Outcome::Accepted));
    assert_snapshot!(desk.told, @"
    09:00:00 committed spot well
        arm spot: min 0 max 256 at 09:15:00
        wake at 09:00:10
    09:00:00 armed spot well
        send spot min 64 desired 64
        wake at 09:00:10
    09:00:00 finished spot Accepted
        observe
        renumbered
        observe
        wake at 09:00:00.001
    ");
    assert_eq!(desk.controller.lease(SPOT), None);
    let moved = crate::ids::EnvironmentIndex(1);
    assert!(matches!(desk.controller.lease(moved), Some(Lease { .. })));
    assert_eq!(desk.controller.setup().environments[1].name, "spot");
}

/// One that hangs would otherwise hold up all others, since a reload waits for it.
#[test]
fn while_a_reload_waits_for_one_environment_others_go_on() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0);
    wishes.borrow_mut()[1] = Some((32, 256));
    desk.step(Input::Reloaded(without_spot()));
    desk.read(5);
    assert!(!desk.controller.is_sending(ON_DEMAND), "{}", desk.told);
    // What comes of the account in between begins no hold anew; and it is looked when the hold ends, whatever is read then.
    desk.told.clear();
    desk.step(Input::Reloaded(without_spot()));
    assert!(desk.told.contains("wake at 09:00:10"), "{}", desk.told);
    desk.pass(5).step(Input::Observed);
    assert!(desk.controller.is_sending(ON_DEMAND), "{}", desk.told);
    desk.step(Input::Committed(ON_DEMAND, Err(Failed)));
    assert!(desk.controller.is_sending(SPOT) && desk.controller.setup().environments[0].name == "spot");
    // In the next round there is a moment without any, and the reload takes place.
    desk.read(25);
    assert!(!desk.controller.is_sending(ON_DEMAND), "{}", desk.told);
    desk.step(Input::Committed(SPOT, Err(Failed)));
    assert_eq!(desk.controller.setup().environments[0].name, "ondemand");
}

/// The operator took back what he had written.
#[test]
fn a_setup_that_waits_is_forgotten_where_the_one_in_force_is_wanted_again() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0);
    let before = Compiled {
        setup: desk.controller.setup().clone(),
        ..Compiled::default()
    };
    desk.step(Input::Reloaded(without_spot()));
    assert!(desk.controller.awaits_setup());
    desk.step(Input::Reloaded(Box::new(before)));
    assert!(!desk.controller.awaits_setup());
    desk.step(Input::Committed(SPOT, Err(Failed)));
    assert_eq!(desk.controller.setup().environments[0].name, "spot");
}

/// What the plan would have noted is noted when it is sent.
#[test]
fn what_a_waiting_reload_holds_up_is_remembered_as_if_it_had_not_been_looked_at() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[1] = Some((32, 256));
    desk.read(0);
    desk.step(Input::Reloaded(without_spot()));
    wishes.borrow_mut()[0] = Some((0, 128));
    desk.read(5);
    let planned = |desk: &Desk<Script>| {
        desk.controller
            .plan()
            .actions
            .iter()
            .any(|action| action.environment() == SPOT)
    };
    assert!(planned(&desk) && !desk.controller.is_sending(SPOT), "{}", desk.told);
    assert_eq!(desk.controller.memory().environments[0].max_before, None);
    desk.read(5);
    assert!(desk.controller.is_sending(SPOT), "{}", desk.told);
    assert_eq!(
        desk.controller.memory().environments[0].max_before,
        Some(Vcpus::new(256))
    );
}

#[test]
fn an_environment_that_is_gone_after_a_reload_needs_no_guard() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0).carry_out();
    let mut next = without_spot();
    next.setup.environments.truncate(1);
    next.setup.queues[0].environments.truncate(1);
    desk.told.clear();
    desk.step(Input::Reloaded(next));
    assert!(desk.told.contains("disarm"), "{}", desk.told);
}

/// What could not be committed was not sent: the planner must not wait for what it would have brought.
#[test]
fn a_raise_that_was_not_sent_leaves_no_trace_in_memory() {
    let mut desk = desk(Planner);
    worlds::add_runnable(&mut desk.observation, 0, shape(4), 16);
    desk.read(0).read(30);
    assert!(desk.controller.memory().environments[0].raised.is_some());
    desk.step(Input::Committed(SPOT, Err(Failed)));
    let memory = desk.controller.memory().environments[0];
    assert!(memory.raised.is_none() && memory.updated.is_none(), "{memory:?}");
}
