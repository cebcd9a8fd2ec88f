//! What outlives an update: leases, the guard in the account, and what a stop leaves behind.

use insta::assert_snapshot;

use super::{ON_DEMAND, SPOT, START, scripted};
use crate::control::{Input, Outcome};
use crate::units::{Span, Vcpus};

/// A max that is lowered outlives us as a raised min does, so it is guarded as well.
#[test]
fn a_lowered_max_is_guarded_like_a_raise() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((0, 64));
    desk.read(0).carry_out().read(5);
    wishes.borrow_mut()[0] = None;
    desk.read(900);
    assert_snapshot!(desk.told, @"
    09:00:00 observed
        commit spot max 64, lease until 09:15:00
    09:00:01 committed spot well
        arm spot: min 0 max 256 at 09:15:00
    09:00:02 armed spot well
        send spot max 64
    09:00:03 finished spot Accepted
        observe
        wake at 09:07:30
    09:00:08 observed
        wake at 09:07:30
    09:15:08 observed
        commit spot max 256, no lease
        wake at 09:15:18
    ");
}

/// The guard that was armed for a raise may know nothing of max: it is armed anew, once.
#[test]
fn the_first_lowering_of_max_waits_for_its_guard_although_min_is_raised() {
    let (mut desk, wishes) = scripted();
    let armed = |desk: &super::Desk<_>| desk.told.contains("arm spot");
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0).carry_out();
    desk.told.clear();
    wishes.borrow_mut()[0] = Some((64, 192));
    desk.read(60).carry_out();
    assert!(desk.told.contains("arm spot: min 0 max 256"), "{}", desk.told);
    desk.told.clear();
    wishes.borrow_mut()[0] = Some((64, 128));
    desk.read(60).carry_out();
    assert!(
        desk.told.contains("send spot max 128") && !armed(&desk),
        "{}",
        desk.told
    );
}

#[test]
fn leases_are_renewed_at_half_their_time_while_we_see() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0).carry_out();
    desk.told.clear();
    desk.read(60).read(386).read(1).carry_out().read(60);
    assert_snapshot!(desk.told, @"
    09:01:03 observed
        wake at 09:07:30
    09:07:29 observed
        wake at 09:07:30
    09:07:30 observed
        arm spot: min 0 max 256 at 09:22:30
        wake at 09:07:39.208
    09:07:31 armed spot well
        wake at 09:15:00
    09:08:31 observed
        wake at 09:15:00
    ");
}

#[test]
fn a_lease_that_cannot_be_renewed_ends_at_base_even_when_blind() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0).carry_out().read(5);
    desk.blind();
    desk.told.clear();
    for _ in 0..4 {
        desk.pass(240).step(Input::Observed);
    }
    desk.carry_out();
    desk.pass(60).step(Input::Observed);
    wishes.borrow_mut()[0] = None;
    desk.see(0, 64, 256);
    desk.read(1);
    assert_eq!(desk.controller.sent()[0].expired, 1);
    assert_snapshot!(desk.told, @"
    09:04:08 observed
        wake at 09:07:30
    09:08:08 observed
        wake at 09:08:18
    09:12:08 observed
        wake at 09:12:18
    09:16:08 observed
        commit spot min 0, no lease
        wake at 09:16:18
    09:16:09 committed spot well
        send spot min 0
        wake at 09:16:19
    09:16:10 finished spot Accepted
        observe
        wake at 09:16:20
    09:17:10 observed
        wake at 09:17:20
    09:17:11 observed
        disarm spot
    ");
}

/// A guard that goes is one that nobody needs: base is seen first.
#[test]
fn the_guard_is_removed_after_base_was_seen() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0).carry_out().read(5);
    wishes.borrow_mut()[0] = Some((0, 256));
    desk.told.clear();
    desk.read(60).carry_out().pass(1).step(Input::Observed);
    desk.see(0, 64, 256);
    desk.read(1).read(60);
    assert_snapshot!(desk.told, @"
    09:01:08 observed
        commit spot min 0, no lease
        wake at 09:07:30
    09:01:09 committed spot well
        send spot min 0
        wake at 09:07:30
    09:01:10 finished spot Accepted
        observe
        wake at 09:07:30
    09:01:11 observed
        wake at 09:07:30
    09:01:12 observed
        disarm spot
    09:02:12 observed
    ");
}

/// Giving back a part arms nothing, so the lease ends when the guard in force fires.
#[test]
fn a_partial_release_keeps_the_expiry_of_its_guard() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0).carry_out();
    let armed = desk.controller.lease(SPOT).unwrap();
    wishes.borrow_mut()[0] = Some((32, 256));
    desk.read(300).carry_out();
    let lease = desk.controller.lease(SPOT).unwrap();
    assert_eq!((lease.min_vcpus, lease.expires), (Vcpus::new(32), armed.expires));
}

/// No answer: the raise may have been taken, so its lease stands until the environment is read.
#[test]
fn an_update_without_an_answer_keeps_its_lease() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0).step(Input::Committed(SPOT, Ok(()))).armed(SPOT, Ok(()));
    desk.step(Input::Finished(SPOT, Outcome::Failed));
    assert!(desk.controller.lease(SPOT).is_some());
    wishes.borrow_mut()[0] = None;
    desk.read(1);
    desk.read(449);
    assert!(
        desk.controller.lease(SPOT).is_some(),
        "a reading may lag behind the update"
    );
    desk.read(450);
    assert_eq!(desk.controller.lease(SPOT), None, "{}", desk.told);
}

#[test]
fn stop_hands_over_what_is_raised_and_starts_nothing_more() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0).carry_out().read(5);
    *wishes.borrow_mut() = vec![Some((128, 256)), Some((32, 256))];
    desk.read(60);
    desk.step(Input::Committed(ON_DEMAND, Ok(())));
    desk.told.clear();
    desk.pass(1).step(Input::Stop).armed(SPOT, Ok(()));
    desk.step(Input::Committed(SPOT, Ok(())));
    desk.armed(ON_DEMAND, Ok(()));
    desk.step(Input::Woken).read(60);
    assert_eq!(
        desk.controller.lease(SPOT).unwrap().expires,
        START + Span::from_seconds(69 + 600)
    );
    assert_snapshot!(desk.told, @"
    09:01:09 stop
        arm spot: min 0 max 256 at 09:11:09
    09:01:09 armed spot well
    09:01:09 committed spot well
    09:01:09 armed ondemand well
    09:01:09 woken
    09:02:09 observed
    ");
}

#[test]
fn an_environment_that_is_released_when_we_stop_is_still_released() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0).carry_out().read(5);
    wishes.borrow_mut()[0] = Some((0, 256));
    desk.read(60).step(Input::Stop);
    desk.told.clear();
    desk.step(Input::Committed(SPOT, Ok(())));
    desk.step(Input::Finished(SPOT, Outcome::Accepted));
    assert_snapshot!(desk.told, @"
    09:01:08 committed spot well
        send spot min 0
    09:01:08 finished spot Accepted
    ");
}
