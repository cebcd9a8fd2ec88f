//! Two daemons on one account, and a table in memory.

use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::account::START;
use super::{Life, account, boost, minutes};
use crate::clock::{self, Clock};
use crate::daemon::cloud::{Read, Unread};
use crate::daemon::leadership::{Claim, Claimed, Held, Lock, elect};
use crate::observation::GapReason;
use crate::units::{Span, Time};

/// A table with one item, which some cannot reach.
#[derive(Clone, Default)]
struct Table {
    held: Arc<Mutex<Option<Held>>>,
    cut_off: Arc<Mutex<Vec<String>>>,
}

impl Table {
    fn cut(&self, holders: &[&str]) {
        *self.cut_off.lock().unwrap() = holders.iter().map(ToString::to_string).collect();
    }

    fn holder(&self) -> Option<String> {
        self.held.lock().unwrap().as_ref().map(|held| held.holder.clone())
    }
}

impl Lock for Table {
    async fn claim(&self, claim: &Claim) -> Read<Claimed> {
        clock::wait(Span::from_millis(20)).await;
        if self.cut_off.lock().unwrap().contains(&claim.holder) {
            return Err(Unread {
                why: GapReason::Failed,
                message: "the table cannot be reached".to_owned(),
            });
        }
        let mut held = self.held.lock().unwrap();
        let free =
            held.is_none() || held.as_ref().is_some_and(|held| held.holder == claim.holder) || *held == claim.over;
        if !free {
            return Ok(Claimed::Theirs(held.clone().unwrap()));
        }
        *held = Some(Held {
            holder: claim.holder.clone(),
            renewals: held.as_ref().map_or(0, |held| held.renewals) + 1,
            lease: claim.lease,
        });
        Ok(Claimed::Ours)
    }

    async fn resign(&self, _: &str, holder: &str) -> Read<()> {
        let mut held = self.held.lock().unwrap();
        if held.as_ref().is_some_and(|held| held.holder == holder) {
            *held = None;
        }
        Ok(())
    }
}

/// A process that wants to lead.
struct Candidate {
    leads: watch::Receiver<Option<Time>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Candidate {
    fn new(table: &Table, holder: &str, clock: Clock) -> Self {
        let (sender, leads) = watch::channel(None);
        let stop = CancellationToken::new();
        let table = Arc::new(table.clone());
        let electing = elect(
            table,
            "autotune".to_owned(),
            holder.to_owned(),
            clock,
            sender,
            stop.clone(),
        );
        Self {
            leads,
            stop,
            task: tokio::spawn(electing),
        }
    }

    fn leads(&self, clock: Clock) -> bool {
        self.leads.borrow().is_some_and(|until| clock.now() < until)
    }
}

/// Whatever is cut off and for how long, two never lead at once, and after trouble one does.
#[tokio::test(start_paused = true)]
async fn no_two_processes_ever_lead_at_once() {
    let clock = Clock::paced(START);
    let table = Table::default();
    let candidates = ["a", "b", "c"].map(|holder| Candidate::new(&table, holder, clock));
    let troubles: [(&[&str], i64); 8] = [
        (&[], 90),
        (&["a"], 30),
        (&["a"], 200),
        (&["a", "b"], 120),
        (&["a", "b", "c"], 300),
        (&["c"], 61),
        (&["b", "c"], 59),
        (&[], 150),
    ];
    let mut led = 0;
    for (cut, seconds) in troubles {
        table.cut(cut);
        for _ in 0..seconds {
            clock::wait(Span::from_seconds(1)).await;
            let leaders = candidates.iter().filter(|candidate| candidate.leads(clock)).count();
            assert!(leaders <= 1, "{leaders} lead while {cut:?} are cut off");
            led += leaders;
        }
    }
    assert!(candidates.iter().any(|candidate| candidate.leads(clock)));
    assert!(led > 500, "led for {led} s of 1010");
}

#[tokio::test(start_paused = true)]
async fn who_cannot_renew_leads_no_longer_than_the_lease_whatever_the_clock_on_the_wall_says() {
    let table = Table::default();
    // Here the clock on the wall stands still while timers go on, as if it were set back again and again.
    let slow = Candidate::new(&table, "slow", Clock::Wall);
    clock::wait(Span::from_seconds(1)).await;
    assert!(slow.leads.borrow().is_some());
    table.cut(&["slow"]);
    clock::wait(Span::from_seconds(80)).await;
    assert_eq!(*slow.leads.borrow(), None);
}

#[tokio::test(start_paused = true)]
async fn who_stops_gives_the_lease_back_at_once() {
    let clock = Clock::paced(START);
    let table = Table::default();
    let first = Candidate::new(&table, "first", clock);
    clock::wait(Span::from_seconds(1)).await;
    let second = Candidate::new(&table, "second", clock);
    clock::wait(Span::from_seconds(1)).await;
    assert!(first.leads(clock) && !second.leads(clock));
    first.stop.cancel();
    first.task.await.unwrap();
    assert_eq!(table.holder(), None);
    clock::wait(Span::from_seconds(16)).await;
    assert!(second.leads(clock));
}

/// The second finds from the account's guards what the first had raised, holds it as long as somebody wants it, and restores it
/// afterwards. Each has a journal of its own.
#[tokio::test(start_paused = true)]
async fn a_successor_takes_over_what_a_dead_leader_raised() {
    let account = account();
    let mut other = account.clone();
    other.kept = crate::daemon::store::Kept::default();
    let table = Table::default();
    let candidates = ["first", "second"].map(|holder| {
        let candidate = Candidate::new(&table, holder, account.clock);
        (holder, candidate)
    });
    boost(&account, Some(40));
    clock::wait(Span::from_seconds(1)).await;
    let leads = |index: usize| Some(candidates[index].1.leads.clone());
    let first = Life::begin(&account, |options| options.leads = leads(0));
    let second = Life::begin(&other, |options| options.leads = leads(1));
    minutes(3).await;
    assert!(account.min("spot") >= 40, "{:?}", account.log());
    assert_eq!(other.kept.decisions().len(), 0, "the second only watches");
    assert!(first.snapshot.borrow().leads && !second.snapshot.borrow().leads);
    // Machine and process die together.
    first.task.abort();
    candidates[0].1.task.abort();
    for _ in 0..60 {
        clock::wait(Span::from_seconds(15)).await;
        assert!(account.min("spot") >= 40, "{:?}", account.log());
    }
    assert!(second.snapshot.borrow().leads);
    boost(&account, None);
    minutes(10).await;
    assert_eq!(account.min("spot"), 0, "{:?}", account.log());
    assert_eq!(account.with(|state| state.wrong.clone()), Vec::<String>::new());
    second.end().await.unwrap();
}

/// What is raised would be taken for base, and a guard that is overwritten tells nobody any more what base was.
#[tokio::test(start_paused = true)]
async fn a_successor_does_nothing_before_it_has_read_the_guards() {
    let account = account();
    let mut other = account.clone();
    other.kept = crate::daemon::store::Kept::default();
    let table = Table::default();
    let candidates = ["first", "second"].map(|holder| Candidate::new(&table, holder, account.clock));
    boost(&account, Some(40));
    clock::wait(Span::from_seconds(1)).await;
    let first = Life::begin(&account, |options| options.leads = Some(candidates[0].leads.clone()));
    let second = Life::begin(&other, |options| options.leads = Some(candidates[1].leads.clone()));
    minutes(3).await;
    assert_eq!(account.min("spot"), 40, "{:?}", account.log());
    first.task.abort();
    candidates[0].task.abort();
    account.with(|state| state.fail.insert("guards".to_owned()));
    boost(&account, Some(80));
    let before = account.log().len();
    minutes(5).await;
    assert!(!second.snapshot.borrow().leads, "who cannot steer yet does not say so");
    // Policies that are read again tell nothing of guards.
    second.reads(&format!(
        "{}[environments.spot]\ncap = 128\n",
        crate::daemon::tests::account::POLICY
    ));
    minutes(3).await;
    assert_eq!(account.log()[before..].to_vec(), Vec::<String>::new());
    account.with(|state| state.fail.clear());
    minutes(3).await;
    assert_eq!(account.min("spot"), 80, "{:?}", account.log());
    boost(&account, None);
    minutes(10).await;
    assert_eq!(account.min("spot"), 0, "{:?}", account.log());
    second.end().await.unwrap();
}

/// A queue's messages go to one receiver only: whoever does not lead would take them from who does.
#[tokio::test(start_paused = true)]
async fn only_the_leader_receives_wake_ups() {
    let account = account();
    let mut other = account.clone();
    other.kept = crate::daemon::store::Kept::default();
    let table = Table::default();
    let candidates = ["first", "second"].map(|holder| Candidate::new(&table, holder, account.clock));
    clock::wait(Span::from_seconds(1)).await;
    let begin = |account: &super::Account, index: usize| {
        Life::begin(account, |options| {
            options.leads = Some(candidates[index].leads.clone());
            options.events = true;
        })
    };
    let (first, second) = (begin(&account, 0), begin(&other, 1));
    // Each wait for them lasts 20 s.
    let heard_in_ten_minutes = async || {
        let heard = || account.with(|state| state.reads["hints"]);
        let before = heard();
        minutes(10).await;
        heard() - before
    };
    minutes(3).await;
    let heard = heard_in_ten_minutes().await;
    assert!((29..=31).contains(&heard), "{heard} waits");
    first.task.abort();
    candidates[0].task.abort();
    minutes(3).await;
    assert!(second.snapshot.borrow().leads);
    let heard = heard_in_ten_minutes().await;
    assert!((29..=31).contains(&heard), "{heard} waits");
    second.end().await.unwrap();
}
