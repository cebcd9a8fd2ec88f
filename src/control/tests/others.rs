//! What others left or change: an earlier process, another hand; and what we put back when we go.

use insta::assert_snapshot;

use super::{SPOT, START, scripted};
use crate::control::{Input, Lease, Outcome};
use crate::planner::memory::Memory;
use crate::units::{Span, Vcpus};

fn lease(min: i64, seconds: i64) -> Lease {
    Lease {
        min_vcpus: Vcpus::new(min),
        expires: START + Span::from_seconds(seconds),
    }
}

#[test]
fn an_adopted_lease_is_renewed_and_an_expired_one_restored() {
    let (mut desk, _) = scripted();
    desk.see(64, 64, 256);
    desk.step(Input::Adopted(SPOT, lease(64, 120), None));
    desk.read(1);
    assert!(desk.told.contains("arm spot: min 0 max 256"), "{}", desk.told);
    let (mut desk, _) = scripted();
    desk.see(64, 64, 256);
    desk.step(Input::Adopted(SPOT, lease(64, -5), Some(Vcpus::new(300))));
    desk.read(1);
    assert!(
        desk.told.contains("commit spot min 0 max 300, no lease"),
        "{}",
        desk.told
    );
}

/// While a lease stands, minvCpus as the account shows it may be ours.
#[test]
fn base_is_remembered_while_a_raise_stands() {
    let (mut desk, wishes) = scripted();
    let base = |desk: &super::Desk<_>| desk.controller.memory().environments[0].base_before;
    wishes.borrow_mut()[0] = Some((64, 256));
    assert_eq!(base(&desk), None);
    desk.read(0);
    assert_eq!(base(&desk), Some(Vcpus::ZERO));
    desk.carry_out().read(60);
    assert_eq!(base(&desk), Some(Vcpus::ZERO));
    wishes.borrow_mut()[0] = Some((0, 256));
    desk.read(60).carry_out().read(1);
    assert_eq!(base(&desk), None, "{}", desk.told);
}

#[test]
fn a_min_of_another_hand_is_yielded_to_and_its_guard_removed() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0).carry_out();
    wishes.borrow_mut()[0] = None;
    desk.see(100, 100, 256);
    desk.told.clear();
    desk.read(60);
    assert!(desk.controller.lease(SPOT).is_some(), "a reading may lag behind");
    desk.read(60);
    assert_eq!(desk.controller.lease(SPOT), None, "{}", desk.told);
    assert_eq!(desk.controller.yielded(SPOT), Some((Vcpus::new(100), desk.now)));
    assert!(desk.told.contains("disarm spot"), "{}", desk.told);
}

/// The planner still wants what it wanted, and would write over it at the look that tells of it.
#[test]
fn a_min_of_another_hand_is_yielded_to_also_where_more_is_wanted() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0).carry_out();
    desk.see(20, 64, 256);
    desk.told.clear();
    desk.read(240);
    assert_eq!(desk.commits(), 0, "{}", desk.told);
    assert_eq!(desk.controller.yielded(SPOT), Some((Vcpus::new(20), desk.now)));
    assert!(desk.told.contains("disarm spot"), "{}", desk.told);
}

/// Whatever the plan makes of it, and whether or not the account can be read anew.
#[test]
fn a_min_that_nothing_of_ours_raised_is_lowered_only_where_the_policy_names_base() {
    for (named, covered) in [(false, true), (true, true), (false, false)] {
        let (mut desk, wishes) = scripted();
        let setup = &mut desk.controller.setup.environments[0];
        (setup.base_named, setup.covered) = (named, covered);
        desk.see(24, 24, 256);
        wishes.borrow_mut()[0] = Some((0, 256));
        desk.read(0);
        assert_eq!(desk.commits(), usize::from(named), "{}", desk.told);
        let yields = !named && covered;
        let yielded = yields.then_some((Vcpus::new(24), desk.now));
        assert_eq!(desk.controller.yielded(SPOT), yielded, "{}", desk.told);
        if yields {
            assert_eq!(desk.controller.setup().environments[0].base, Vcpus::new(24));
        }
        assert!(!desk.told.contains("arm spot"), "there is no guard: {}", desk.told);
    }
}

/// A reading that shows it so soon may be late: then it is neither lowered nor taken for base.
#[test]
fn a_min_that_shows_right_after_our_release_waits_to_be_understood() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0).carry_out();
    desk.see(64, 64, 256);
    wishes.borrow_mut()[0] = Some((0, 256));
    desk.read(30).carry_out();
    desk.see(0, 64, 256);
    wishes.borrow_mut()[0] = None;
    desk.read(10);
    assert_eq!(desk.controller.lease(SPOT), None, "{}", desk.told);
    desk.see(24, 64, 256);
    wishes.borrow_mut()[0] = Some((0, 256));
    desk.told.clear();
    desk.read(60);
    assert_eq!(
        (desk.commits(), desk.controller.yielded(SPOT)),
        (0, None),
        "{}",
        desk.told
    );
    desk.read(60);
    assert_eq!(desk.commits(), 0, "{}", desk.told);
    assert_eq!(desk.controller.yielded(SPOT).map(|(min, _)| min), Some(Vcpus::new(24)));
}

/// The guard carries both: it must not undo his min, nor forget the operator's max.
#[test]
fn a_min_of_another_hand_is_yielded_to_while_max_is_lowered_and_the_lease_is_kept_for_max() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 128));
    desk.read(0).carry_out();
    wishes.borrow_mut()[0] = None;
    desk.see(100, 100, 128);
    desk.told.clear();
    desk.read(60).read(60);
    assert_eq!(desk.controller.yielded(SPOT).map(|(min, _)| min), Some(Vcpus::new(100)));
    let lease = desk.controller.lease(SPOT).expect("max is lowered");
    assert_eq!(lease.min_vcpus, Vcpus::new(100));
    assert!(desk.told.contains("arm spot: min 100 max 256"), "{}", desk.told);
    assert!(!desk.told.contains("disarm"), "{}", desk.told);
    // It runs out: max goes back, his min stays.
    desk.told.clear();
    desk.read(1000);
    assert!(desk.told.contains("commit spot max 256"), "{}", desk.told);
    assert!(!desk.told.contains("min 0"), "{}", desk.told);
}

/// By us or by the guard: either way nobody else has changed it.
#[test]
fn a_max_whose_lease_ran_out_is_expected_back() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((0, 128));
    desk.read(0).carry_out();
    wishes.borrow_mut()[0] = None;
    let expected = |desk: &super::Desk<_>| desk.controller.memory().environments[0].max_ours;
    desk.read(300);
    assert_ne!(expected(&desk), Vcpus::new(256));
    desk.pass(700).step(Input::Observed);
    assert_eq!(expected(&desk), Vcpus::new(256));
}

/// Whoever drives reads meanwhile what base is now. A raise before that would return to the base of before.
#[test]
fn nothing_is_raised_right_after_another_hand_has_changed_min() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0).carry_out();
    desk.see(20, 100, 256);
    wishes.borrow_mut()[0] = None;
    desk.read(60).read(60);
    assert_eq!(desk.controller.yielded(SPOT), Some((Vcpus::new(20), desk.now)));
    wishes.borrow_mut()[0] = Some((128, 256));
    desk.told.clear();
    desk.read(30).read(60);
    assert!(!desk.told.contains("commit"), "{}", desk.told);
    desk.read(60);
    assert!(desk.told.contains("commit"), "{}", desk.told);
}

/// No answer: both what was before and what was asked for may stand, and neither is another hand's.
#[test]
fn what_may_be_ours_is_no_other_hand() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0).carry_out();
    wishes.borrow_mut()[0] = Some((128, 256));
    desk.read(60)
        .step(Input::Committed(SPOT, Ok(())))
        .armed(SPOT, Ok(()))
        .step(Input::Finished(SPOT, Outcome::Failed));
    wishes.borrow_mut()[0] = None;
    desk.see(128, 128, 256);
    desk.read(200);
    assert!(desk.controller.lease(SPOT).is_some(), "{}", desk.told);
    assert_eq!(desk.controller.yielded(SPOT), None);
}

#[test]
fn a_stop_that_restores_puts_base_back_and_tries_again_what_was_refused() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0).carry_out().read(5);
    desk.told.clear();
    desk.pass(1)
        .step(Input::Restore)
        .step(Input::Committed(SPOT, Ok(())))
        .step(Input::Finished(SPOT, Outcome::Throttled));
    desk.pass(6).step(Input::Restore).carry_out();
    desk.pass(1).step(Input::Restore);
    assert!(!desk.controller.is_sending(SPOT));
    assert_snapshot!(desk.told, @"
    09:00:09 restore
        commit spot min 0, no lease
    09:00:09 committed spot well
        send spot min 0
    09:00:09 finished spot Throttled
    09:00:15 restore
        commit spot min 0, no lease
    09:00:16 committed spot well
        send spot min 0
    09:00:17 finished spot Accepted
    09:00:18 restore
    ");
}

#[test]
fn memory_of_another_size_is_not_taken() {
    let (desk, _) = scripted();
    let mut memory = desk.controller.memory().clone();
    memory.environments[0].batch_first_more = Span::from_seconds(7);
    memory.started = START + Span::from_minutes(5);
    let controller = desk.controller.with_memory(memory.clone());
    assert_eq!(controller.memory().environments, memory.environments);
    assert_ne!(controller.memory().started, memory.started);
    assert_eq!(controller.with_memory(Memory::default()).memory().environments.len(), 2);
}
