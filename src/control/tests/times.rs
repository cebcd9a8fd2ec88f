//! Leases and guards tell the same time, whatever the clock does and however late an answer comes.

use super::{SPOT, START, scripted};
use crate::control::{Effect, Failed, Input, Outcome};
use crate::units::{Span, Time, Vcpus};

/// The process stood still between asking for a renewal and hearing of it: the guard fires when it was told to.
#[test]
fn a_renewed_lease_lasts_no_longer_than_its_guard() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0).carry_out();
    desk.read(450);
    let fires = desk.fires[0];
    assert!(fires > START + Span::from_minutes(20), "{}", desk.told);
    desk.pass(600).armed(SPOT, Ok(()));
    assert_eq!(desk.controller.lease(SPOT).unwrap().expires, fires, "{}", desk.told);
}

/// A renewal that was asked for before may be answered while a raise waits for its own guard.
#[test]
fn the_answer_to_a_renewal_is_not_taken_for_that_to_a_raise() {
    for result in [Ok(()), Err(Failed)] {
        let (mut desk, wishes) = scripted();
        wishes.borrow_mut()[0] = Some((64, 256));
        desk.read(0).carry_out();
        desk.read(450);
        let renewal = desk.fires[0];
        wishes.borrow_mut()[0] = Some((128, 256));
        desk.read(5).step(Input::Committed(SPOT, Ok(())));
        desk.step(Input::Armed(SPOT, renewal, result));
        assert!(!desk.told.contains("send spot min 128"), "{}", desk.told);
        desk.armed(SPOT, Ok(()));
        assert!(desk.told.contains("send spot min 128"), "{}", desk.told);
    }
}

#[test]
fn a_renewal_is_asked_for_less_and_less_often_while_it_fails_or_nobody_answers() {
    for answered in [true, false] {
        let (mut desk, wishes) = scripted();
        wishes.borrow_mut()[0] = Some((64, 256));
        desk.read(0).carry_out();
        let mut asked = Vec::new();
        for second in 0..840 {
            desk.read(1);
            if desk.effects.iter().any(|effect| matches!(effect, Effect::Arm(_))) {
                asked.push(second);
                if answered {
                    desk.armed(SPOT, Err(Failed));
                }
            }
        }
        let gaps = asked.windows(2).map(|pair| pair[1] - pair[0]);
        for (gap, whole) in gaps.zip([10, 20, 40, 80, 160, 300]) {
            // Looked at once a second.
            assert!((whole / 2..=whole + 1).contains(&gap), "{asked:?}");
        }
        assert!((5..=7).contains(&asked.len()), "{asked:?}");
    }
}

/// What was not sent needs no guard, and one that stays would undo what the operator changes.
#[test]
fn a_guard_that_was_armed_in_vain_goes_when_base_is_seen() {
    for outcome in [
        None,
        Some(Outcome::Raced),
        Some(Outcome::Throttled),
        Some(Outcome::Overshoot),
    ] {
        let (mut desk, wishes) = scripted();
        wishes.borrow_mut()[0] = Some((64, 256));
        desk.read(0).step(Input::Committed(SPOT, Ok(())));
        match outcome {
            Some(outcome) => desk.armed(SPOT, Ok(())).step(Input::Finished(SPOT, outcome)),
            None => desk.pass(450).armed(SPOT, Ok(())),
        };
        assert_eq!(desk.controller.lease(SPOT).unwrap().min_vcpus, Vcpus::ZERO);
        wishes.borrow_mut()[0] = None;
        desk.read(60);
        assert!(desk.told.contains("disarm spot"), "{outcome:?} {}", desk.told);
        assert_eq!(desk.controller.lease(SPOT), None);
    }
}

/// A raise that is answered while we put base back is put back as well.
#[test]
fn what_was_raised_while_stopping_goes_back() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0).step(Input::Committed(SPOT, Ok(()))).armed(SPOT, Ok(()));
    desk.step(Input::Restore);
    desk.step(Input::Finished(SPOT, Outcome::Accepted));
    assert!(desk.told.contains("commit spot min 0"), "{}", desk.told);
}

#[test]
fn a_clock_that_is_set_back_makes_no_lease_longer_and_holds_nothing_up() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0).carry_out().read(60);
    desk.now = START - Span::from_minutes(60);
    desk.told.clear();
    desk.read(1).read(1);
    let lease = desk.controller.lease(SPOT).unwrap();
    assert!(lease.expires <= desk.now + Span::from_minutes(15), "{}", lease.expires);
    assert!(desk.told.contains("arm spot"), "renewed at once: {}", desk.told);
    desk.armed(SPOT, Ok(()));
    wishes.borrow_mut()[0] = Some((128, 256));
    desk.read(1).carry_out();
    assert!(desk.told.contains("send spot min 128"), "{}", desk.told);
    let memory = desk.controller.memory();
    let times = [memory.environments[0].acted_at, Some(memory.started)];
    assert!(times.iter().all(|at| at.is_some_and(|at| at <= desk.now)), "{times:?}");
}

/// No request begins that could outlast the lease it stands on, or our leadership.
#[test]
fn an_update_has_a_time_before_which_it_begins() {
    for (leads, expected) in [(None, 120), (Some(60), 45)] {
        let (mut desk, wishes) = scripted();
        if let Some(seconds) = leads {
            desk.step(Input::Leadership(Some(START + Span::from_seconds(seconds))));
        }
        wishes.borrow_mut()[0] = Some((64, 256));
        desk.read(0).step(Input::Committed(SPOT, Ok(()))).armed(SPOT, Ok(()));
        let before: Vec<Time> = desk
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Send(_, before) => Some(*before),
                Effect::Observe
                | Effect::Commit(..)
                | Effect::Arm(_)
                | Effect::Disarm(_)
                | Effect::Renumbered
                | Effect::WakeAt(_) => None,
            })
            .collect();
        assert_eq!(before, [START + Span::from_seconds(expected)], "{}", desk.told);
    }
}

/// Else an account that throttles is asked by all of them at once, again and again.
#[test]
fn environments_that_were_throttled_together_do_not_come_back_together() {
    let (desk, _) = scripted();
    let first = Span::from_seconds(5);
    let mut apart = 0;
    for tries in 0..12 {
        let whole = first.times(1 << tries.min(6)).min(Span::from_minutes(5));
        let pauses = [0, 1].map(|position| desk.controller.again_after(first, tries, position));
        let half = whole.scaled_down(1, 2);
        assert!(
            pauses.iter().all(|pause| (half..=whole).contains(pause)),
            "{tries}: {pauses:?}"
        );
        apart += i32::from((pauses[0].millis() - pauses[1].millis()).abs() * 20 > whole.millis());
    }
    assert!(apart >= 9, "{apart} of 12");
}
