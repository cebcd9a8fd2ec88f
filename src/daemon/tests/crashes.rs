//! The process dies between any two effects, again and again, on the same account and journal.

use super::account::Account;
use super::{Life, account, boost, minutes};
use crate::clock;
use crate::units::Span;

/// Jobs come and go in tides, whoever lives.
pub(super) async fn tides(account: Account) {
    for tide in 0_usize.. {
        account.set_runnable(if tide.is_multiple_of(2) { 8 + tide % 5 } else { 0 }, 4);
        for _ in 0..12 {
            clock::wait(Span::from_seconds(20)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_raise_is_without_lease_and_guard_and_base_comes_back_wherever_we_die() {
    let account = account();
    let world = tokio::spawn(tides(account.clone()));
    let mut done = 0;
    for life in 0_usize.. {
        if done >= 200 {
            break;
        }
        // Dies after so many effects; what is under way then is lost, whether or not it took place.
        let lives = 1 + life % 5;
        account.with(|state| state.left = lives);
        let daemon = Life::begin(&account, |_| {});
        for _ in 0..240 {
            clock::wait(Span::from_seconds(10)).await;
            if account.with(|state| state.left) == 0 {
                break;
            }
        }
        clock::wait(Span::from_millis(i64::try_from(life * 37 % 120).unwrap())).await;
        daemon.task.abort();
        done += lives - account.with(|state| state.left);
        assert!(life < 400, "only {done} effects");
    }
    world.abort();
    assert_eq!(account.with(|state| state.wrong.clone()), Vec::<String>::new());
    // Nobody wants anything any more, and nobody is killed.
    account.set_runnable(0, 4);
    account.with(|state| state.left = usize::MAX);
    let daemon = Life::begin(&account, |_| {});
    minutes(30).await;
    assert_eq!(
        (account.min("spot"), account.min("ondemand")),
        (0, 0),
        "{:?}",
        account.log()
    );
    assert!(account.with(|state| state.guards.is_empty()));
    assert!(account.kept.recovered().open.is_empty());
    daemon.end().await.unwrap();
}

/// Nobody starts again: the account's own guard puts base back.
#[tokio::test(start_paused = true)]
async fn base_comes_back_without_us() {
    let account = account();
    boost(&account, Some(40));
    let daemon = Life::begin(&account, |_| {});
    minutes(3).await;
    assert!(account.min("spot") > 0);
    daemon.task.abort();
    minutes(20).await;
    assert_eq!(account.min("spot"), 0);
}

/// The guard put base back long ago, and then somebody else changed min.
#[tokio::test(start_paused = true)]
async fn a_min_that_others_set_while_nobody_was_here_is_left_alone() {
    let account = account();
    boost(&account, Some(40));
    let daemon = Life::begin(&account, |_| {});
    minutes(3).await;
    daemon.task.abort();
    boost(&account, None);
    minutes(3 * 24 * 60).await;
    assert_eq!(account.min("spot"), 0);
    account.with(|state| state.min.insert("spot".to_owned(), 32));
    let daemon = Life::begin(&account, |_| {});
    minutes(60).await;
    assert_eq!(account.min("spot"), 32, "{:?}", account.log());
    assert!(account.kept.recovered().leases.is_empty());
    daemon.end().await.unwrap();
}
