//! The process is stopped, told to read its policies, frozen or killed at one effect after the other, on the same account and
//! journal; and whatever was done to it, no raise is without lease and guard, and base comes back.

use super::account::{Account, POLICY, START};
use super::crashes::tides;
use super::{Life, OnStop, minutes};
use crate::clock::{self, Clock};
use crate::units::{Span, to_u64};

/// So many effects a run has.
const EFFECTS: usize = 200;
/// It is struck at all of them in so many runs, in each from another effect on. In one more it is struck again sooner than that.
const APART: usize = 5;

/// What happens to the process.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    /// SIGKILL.
    Kill,
    /// SIGTERM, while every call is answered or none is any more.
    Stop(OnStop, Hangs),
    /// SIGHUP, with policies in turn.
    Reload(&'static [&'static str]),
    /// SIGHUP, while an environment of the account makes room for another.
    Replaced,
    /// SIGSTOP, or the machine is suspended; and SIGCONT after so long.
    Freeze(Span, Sleeps),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Hangs {
    Yes,
    No,
}

/// Who stands still: SIGSTOP does not stop the clock that timers go by, a suspended machine does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sleeps {
    Process,
    Machine,
}

const BAD: &str = "version = 1\n[queues.q]\nnonsense = 1\n";
const OTHER_NAME: &str = "version = 1\n[queues.\"q*\"]\n";
const DROPS: &str = "version = 1\n[queues.q]\nenvironments = [\"ondemand\"]\n";

fn troubles() -> Vec<Trouble> {
    let mut all = vec![
        Trouble::Kill,
        Trouble::Stop(OnStop::HandOver, Hangs::No),
        Trouble::Stop(OnStop::HandOver, Hangs::Yes),
        Trouble::Stop(OnStop::Restore, Hangs::No),
        Trouble::Stop(OnStop::Restore, Hangs::Yes),
        Trouble::Reload(&[POLICY]),
        Trouble::Reload(&[OTHER_NAME, POLICY]),
        Trouble::Reload(&[DROPS, POLICY, POLICY]),
        Trouble::Reload(&[BAD, POLICY]),
        Trouble::Replaced,
    ];
    for seconds in [1, 60, 20 * 60, 120 * 60] {
        for sleeps in [Sleeps::Process, Sleeps::Machine] {
            all.push(Trouble::Freeze(Span::from_seconds(seconds), sleeps));
        }
    }
    all
}

/// A trouble strikes; gives the process that goes on.
async fn strike(trouble: Trouble, number: usize, account: &Account, set: &impl Fn(Span), life: Life) -> Life {
    let begin = || Life::begin(account, |options| options.on_stop = on_stop(trouble));
    match trouble {
        Trouble::Kill => {
            life.task.abort();
            begin()
        }
        Trouble::Stop(how, hangs) => {
            if hangs == Hangs::Yes {
                account.with(|state| state.left = 0);
            }
            let began = account.clock.now();
            life.end().await.unwrap();
            let took = account.clock.now().since(began);
            assert!(took <= Span::from_seconds(10), "{trouble:?} {number}: {took}");
            if (how, hangs) == (OnStop::Restore, Hangs::No) {
                let min = (account.min("spot"), account.min("ondemand"));
                assert_eq!(min, (0, 0), "{number}: {:?}", account.log());
            }
            account.with(|state| state.left = usize::MAX);
            begin()
        }
        Trouble::Reload(texts) => {
            life.reads(texts[number % texts.len()]);
            life
        }
        Trouble::Replaced => {
            let names = ["spot", "other"];
            account.replace(names[number % 2], names[(number + 1) % 2]);
            life.reads(POLICY);
            life
        }
        Trouble::Freeze(span, sleeps) => {
            match sleeps {
                Sleeps::Process => tokio::time::advance(std::time::Duration::from_millis(to_u64(span.millis()))).await,
                Sleeps::Machine => set(span),
            }
            life
        }
    }
}

fn on_stop(trouble: Trouble) -> OnStop {
    match trouble {
        Trouble::Stop(how, _) => how,
        Trouble::Kill | Trouble::Reload(_) | Trouble::Replaced | Trouble::Freeze(..) => OnStop::HandOver,
    }
}

async fn meets(trouble: Trouble, first: usize) {
    let what = format!("{trouble:?}, from effect {first} on");
    let (clock, set) = Clock::to_be_set(START);
    let account = Account::new(clock);
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let world = tokio::spawn(tides(account.clone()));
    let mut life = Life::begin(&account, |options| options.on_stop = on_stop(trouble));
    for number in 0..EFFECTS / APART {
        // At this one, a little after it began: before, while or after it takes place.
        let next = match first {
            0 => 1 + number % APART,
            first if number == 0 => first,
            _ => APART,
        };
        assert!(
            account.effects(next).await,
            "{what}: nothing is done any more, {:?}",
            account.log()
        );
        clock::wait(Span::from_millis(i64::try_from(number * 37 % 120).unwrap())).await;
        life = strike(trouble, number, &account, &set, life).await;
    }
    world.abort();
    let wrong = account.with(|state| state.wrong.clone());
    assert_eq!(wrong, Vec::<String>::new(), "{what}");
    // Nobody wants anything any more, and all is well.
    account.set_runnable(0, 4);
    life.reads(POLICY);
    minutes(40).await;
    let left = account.with(|state| state.min.values().sum::<i64>());
    assert_eq!(left, 0, "{what}: {:?}", account.log());
    assert!(
        account.with(|state| state.guards.is_empty()),
        "{what}: {:?}",
        account.log()
    );
    assert!(account.kept.recovered().open.is_empty(), "{what}");
    assert!(account.kept.recovered().leases.is_empty(), "{what}");
    assert_eq!(life.snapshot.borrow().reload_refused, None, "{what}");
    life.end().await.unwrap();
    clock::wait(Span::from_minutes(3)).await;
    assert!(tasks() <= before, "{what}: {} tasks are left", tasks() - before);
}

#[tokio::test(start_paused = true)]
async fn whatever_strikes_at_an_effect_no_raise_is_unguarded_and_base_comes_back() {
    for trouble in troubles() {
        for first in 0..=APART {
            meets(trouble, first).await;
        }
    }
}

/// Its guard has fired meanwhile, or is about to: what was decided before is decided anew.
#[tokio::test(start_paused = true)]
async fn a_raise_that_froze_before_it_was_sent_is_not_sent_when_its_lease_has_run_out() {
    for (minutes_frozen, sent) in [(1, true), (7, true), (8, false), (20, false), (120, false)] {
        let (clock, set) = Clock::to_be_set(START);
        let account = Account::new(clock);
        account.set_runnable(8, 4);
        let life = Life::begin(&account, |_| {});
        // The first effect is the guard; it freezes just before that is answered.
        assert!(account.effects(1).await);
        clock::wait(Span::from_millis(49)).await;
        account.with(|state| {
            state.jobs.clear();
            state.hang.insert("list_jobs".to_owned());
        });
        set(Span::from_minutes(minutes_frozen));
        clock::wait(Span::from_seconds(5)).await;
        let log = account.log();
        assert_eq!(log.contains(&"send spot 0 -> 32".to_owned()), sent, "{log:?}");
        assert_eq!(account.with(|state| state.wrong.clone()), Vec::<String>::new());
        life.task.abort();
    }
}
