//! What others do to the account beside us: its operator, another daemon, an earlier process.

use super::account::START;
use super::{Life, account, boost, minutes};
use crate::daemon::cloud::NamedGuard;
use crate::units::{Span, Vcpus};

#[tokio::test(start_paused = true)]
async fn a_new_min_of_the_operator_becomes_the_base() {
    let account = account();
    let life = Life::begin(&account, |_| {});
    minutes(10).await;
    account.with(|state| state.min.insert("spot".to_owned(), 32));
    minutes(20).await;
    assert_eq!(account.log(), Vec::<String>::new());
    assert_eq!(life.snapshot.borrow().environments[0].base_vcpus, Vcpus::new(32));
    life.end().await.unwrap();
}

/// Also where account and policy cannot be read together any more: another hand's min stays, and so does what the rest is steered by.
#[tokio::test(start_paused = true)]
async fn a_new_min_of_the_operator_stays_also_where_the_account_cannot_be_read_anew() {
    for fails in ["topology", "guards"] {
        let account = account();
        let life = Life::begin(&account, |_| {});
        minutes(10).await;
        account.with(|state| {
            state.fail.insert(fails.to_owned());
            state.min.insert("spot".to_owned(), 32);
        });
        minutes(90).await;
        assert_eq!((account.min("spot"), account.log()), (32, Vec::new()), "{fails}");
        assert_eq!(life.snapshot.borrow().environments[0].base_vcpus, Vcpus::new(32));
        life.end().await.unwrap();
    }
}

/// In an incident nobody waits for the next hourly look.
#[tokio::test(start_paused = true)]
async fn an_environment_that_loses_its_tag_is_raised_no_more() {
    let account = account();
    let tagged = |on: bool| {
        account.with(|state| {
            for name in ["spot", "ondemand"] {
                let tags = state.tags.entry(name.to_owned()).or_default();
                tags.clear();
                tags.extend(on.then(|| ("autotune".to_owned(), "yes".to_owned())));
            }
        });
    };
    tagged(true);
    let life = Life::begin(&account, |options| {
        options.tag = Some(("autotune".to_owned(), "yes".to_owned()));
    });
    minutes(5).await;
    assert!(life.snapshot.borrow().environments[0].steered);
    account.with(|state| state.fail.insert("topology".to_owned()));
    tagged(false);
    minutes(1).await;
    assert!(!life.snapshot.borrow().environments[0].steered);
    account.set_runnable(8, 4);
    minutes(10).await;
    assert_eq!(account.log(), Vec::<String>::new());
    account.with(|state| state.fail.clear());
    tagged(true);
    minutes(10).await;
    assert_eq!(account.raises("spot").first(), Some(&32), "{:?}", account.log());
    life.end().await.unwrap();
}

/// It has no other way to tell.
#[tokio::test(start_paused = true)]
async fn a_stop_that_could_not_put_back_what_no_guard_does_fails_and_says_what_to_do() {
    let account = account();
    boost(&account, Some(40));
    let life = Life::begin(&account, |options| options.guard = false);
    minutes(3).await;
    account.with(|state| state.fail.insert("send spot".to_owned()));
    let error = life.end().await.unwrap_err().to_string();
    assert!(error.contains("autotune release --environment 'spot'"), "{error}");
    assert_eq!(account.min("spot"), 40);
}

/// Another daemon of the account may have armed it, for an environment that only it steers.
#[tokio::test(start_paused = true)]
async fn the_guard_of_an_environment_that_is_not_steered_is_left_alone() {
    let account = account();
    let fires = START + Span::from_minutes(30);
    account.with(|state| {
        let guard = NamedGuard {
            environment: "spot".to_owned(),
            fires,
            min_vcpus: Vcpus::ZERO,
            max_vcpus: None,
        };
        state.guards.insert("spot".to_owned(), guard);
        state.min.insert("spot".to_owned(), 40);
    });
    let life = Life::begin(&account, |options| {
        options.tag = Some(("autotune".to_owned(), "yes".to_owned()));
    });
    minutes(20).await;
    // The other one renews.
    account.with(|state| state.guards.get_mut("spot").unwrap().fires = fires + Span::from_minutes(60));
    minutes(60).await;
    assert_eq!((account.log(), account.min("spot")), (Vec::new(), 40));
    life.end().await.unwrap();
}

/// A journal with an update that has no answer, of a time long past: what the account shows now is the operator's.
#[tokio::test(start_paused = true)]
async fn an_update_that_was_never_answered_is_forgotten_with_its_lease() {
    let account = account();
    account.set_runnable(8, 4);
    let life = Life::begin(&account, |_| {});
    assert!(account.effects(2).await, "a guard and an update");
    life.task.abort();
    assert!(!account.kept.recovered().open.is_empty(), "{:?}", account.log());
    account.with(|state| state.jobs.clear());
    minutes(14 * 24 * 60).await;
    account.with(|state| {
        state.log.clear();
        state.min.insert("spot".to_owned(), 50);
    });
    let life = Life::begin(&account, |_| {});
    minutes(30).await;
    assert_eq!(
        (account.min("spot"), account.raises("spot")),
        (50, Vec::new()),
        "{:?}",
        account.log()
    );
    assert_eq!(life.snapshot.borrow().environments[0].base_vcpus, Vcpus::new(50));
    assert!(account.kept.recovered().open.is_empty());
    life.end().await.unwrap();
}
