//! The process dies between any two effects, again and again, on the same account and journal.

use std::path::Path;

use super::account::Account;
use super::{Life, Store, account, boost, minutes};
use crate::clock;
use crate::journal::{Asked, Intent, Journal, NotOurs, Owner};
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

impl Account {
    /// What the process would find that comes after this one.
    pub(super) fn open_intents(&self) -> Vec<Intent> {
        let Some(path) = &self.journal else {
            return self.kept.recovered().open;
        };
        let asked = Asked {
            last: 100,
            ..Asked::default()
        };
        let mut decisions = Journal::read(path).unwrap().decisions(&asked).unwrap();
        decisions.retain(|decision| decision.ended.is_none());
        decisions.into_iter().map(|decision| decision.intent).collect()
    }
}

/// A daemon with the journal as the one before left it: what that would still write when it is gone, nobody reads.
fn with_journal(account: &mut Account, folder: &Path, life: usize) -> Life {
    let path = folder.join(format!("{life}.db"));
    if let Some(before) = account.journal.replace(path.clone()) {
        // What is committed at one moment: copied files might be of two, since the dead still close them.
        let reader = rusqlite::Connection::open(&before).unwrap();
        reader.busy_timeout(std::time::Duration::from_mins(1)).unwrap();
        reader.execute("VACUUM INTO ?1", [path.to_str().unwrap()]).unwrap();
    }
    let (journal, recovered) = Journal::open(&path).unwrap();
    Life::begin(account, |options| {
        (options.store, options.recovered) = (Store::Journal(journal), recovered);
    })
}

#[tokio::test(start_paused = true)]
async fn no_raise_is_without_lease_and_guard_and_base_comes_back_wherever_we_die() {
    dies_again_and_again(None).await;
}

#[tokio::test(start_paused = true)]
async fn a_journal_tells_the_next_process_what_was_raised_wherever_we_die() {
    let folder = tempfile::tempdir().unwrap();
    dies_again_and_again(Some(folder.path())).await;
}

async fn dies_again_and_again(journals: Option<&Path>) {
    let mut account = account();
    let begins = |account: &mut Account, life: usize| match journals {
        None => Life::begin(account, |_| {}),
        Some(folder) => with_journal(account, folder, life),
    };
    let world = tokio::spawn(tides(account.clone()));
    let mut done = 0;
    for life in 0_usize.. {
        if done >= 200 {
            break;
        }
        // Dies after so many effects; what is under way then is lost, whether or not it took place.
        let lives = 1 + life % 5;
        account.with(|state| state.left = lives);
        let daemon = begins(&mut account, life);
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
    let daemon = begins(&mut account, 1_000);
    minutes(30).await;
    assert_eq!(
        (account.min("spot"), account.min("ondemand")),
        (0, 0),
        "{:?}",
        account.log()
    );
    assert!(account.with(|state| state.guards.is_empty()));
    daemon.end().await.unwrap();
    let left = match &account.journal {
        None => account.kept.recovered(),
        Some(path) => Journal::open(path).unwrap().1,
    };
    assert!(left.open.is_empty() && left.leases.is_empty(), "{left:?}");
}

/// A profile of another account, with environments of the same names: what was raised there is not raised here.
#[tokio::test(start_paused = true)]
async fn a_journal_of_another_account_or_region_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut account = account();
    let life = with_journal(&mut account, folder.path(), 0);
    minutes(1).await;
    life.end().await.unwrap();
    let path = account.journal.clone().unwrap();
    let ours = Owner {
        account: "123456789012".to_owned(),
        region: "eu-central-1".to_owned(),
    };
    assert_eq!(Journal::open(&path).unwrap().1.owner, Some(ours.clone()));
    let life = with_journal(&mut account, folder.path(), 1);
    minutes(1).await;
    life.end().await.unwrap();
    let strangers = [("999999999999", "eu-central-1"), ("123456789012", "us-east-1")];
    for (life, (account_id, region)) in (2..).zip(strangers) {
        let path = account.journal.clone().unwrap();
        let (journal, _) = Journal::open(&path).unwrap();
        let other = Owner {
            account: account_id.to_owned(),
            region: region.to_owned(),
        };
        journal.own(&other).unwrap();
        drop(journal);
        account.with(|state| state.reads.clear());
        let refused = with_journal(&mut account, folder.path(), life);
        minutes(1).await;
        let error = refused.end().await.unwrap_err();
        let told = error.downcast_ref::<NotOurs>().unwrap();
        assert_eq!((&told.found, &told.expected), (&other, &ours));
        let text = error.to_string();
        for says in [&format!("{life}.db"), account_id, region, "eu-central-1", "hint: "] {
            assert!(text.contains(says), "{text}");
        }
        assert_eq!(
            account.with(|state| state.reads.keys().cloned().collect::<Vec<_>>()),
            ["identity"]
        );
    }
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
