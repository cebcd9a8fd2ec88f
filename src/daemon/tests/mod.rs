//! The whole loop against an account in memory, on time that stands still until everybody waits.

pub(crate) mod account;
mod checks;
mod crashes;
mod hands;
mod leadership;
mod outages;
mod refused;
#[cfg(unix)]
mod supervised;
mod surges;
mod told;
mod troubles;

use std::io::Write as _;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::store::{Retention, Store};
use super::{Keys, OnStop, Options, look_once, run};
use crate::clock::{self, Clock};
use crate::metrics::Metrics;
use crate::observation::Seen;
use crate::planner::memory::Memory;
use crate::planner::plan::Plan;
use crate::planner::{self, Inputs};
use crate::policy::parse;
use crate::units::{Span, Vcpus};
use account::{Account, POLICY, START};

/// A daemon that runs, and the handles to it.
struct Life {
    stop: CancellationToken,
    reload: watch::Sender<u64>,
    snapshot: watch::Receiver<super::snapshot::Snapshot>,
    policy: tempfile::NamedTempFile,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Life {
    fn begin(account: &Account, change: impl FnOnce(&mut Options)) -> Self {
        let mut policy = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        policy.write_all(POLICY.as_bytes()).unwrap();
        let (reload, reloads) = watch::channel(0);
        let (sender, snapshot) = watch::channel(super::snapshot::Snapshot::default());
        let mut options = Options {
            policies: vec![policy.path().to_owned()],
            reload: reloads,
            apply: true,
            store: Store::Memory(account.kept.clone()),
            recovered: account.kept.recovered(),
            retention: Retention::default(),
            tag: None,
            account: None,
            region: None,
            on_stop: OnStop::HandOver,
            guard: true,
            unguarded_max_vcpus: Vcpus::new(64),
            periods: super::cadence::Periods::default(),
            events: false,
            leads: None,
            clock: account.clock,
            metrics: Arc::new(Metrics::default()),
            snapshot: sender,
            in_force: watch::Sender::new(None),
            saved: watch::channel(None).1,
            supervisor: super::Supervisor::default(),
        };
        change(&mut options);
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(Arc::new(account.clone()), options, stop.clone()));
        Self {
            stop,
            reload,
            snapshot,
            policy,
            task,
        }
    }

    fn reads(&self, text: &str) {
        std::fs::write(self.policy.path(), text).unwrap();
        self.reload.send_modify(|count| *count += 1);
    }

    async fn end(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.task.await.unwrap()
    }
}

fn account() -> Account {
    Account::new(Clock::paced(START))
}

/// A person orders that so much is held, or takes it back: the one thing that keeps min up here, since no job ever starts.
fn boost(account: &Account, vcpus: Option<i64>) {
    let until = START + Span::from_minutes(300);
    let value = vcpus.map(|vcpus| format!("boost:{vcpus} until={until} since={START}"));
    account.with(|state| {
        let tags = state.tags.entry("spot".to_owned()).or_default();
        tags.clear();
        tags.extend(value.map(|value| (crate::overrides::TAG.to_owned(), value)));
    });
}

async fn minutes(minutes: i64) {
    clock::wait(Span::from_minutes(minutes)).await;
}

#[tokio::test(start_paused = true)]
async fn a_raise_is_committed_armed_and_sent_in_this_order() {
    let account = account();
    account.set_runnable(8, 4);
    let life = Life::begin(&account, |_| {});
    minutes(3).await;
    let log = account.log();
    assert_eq!(log[..2], ["arm spot 0", "send spot 0 -> 32"], "{log:?}");
    assert_eq!(account.with(|state| state.wrong.clone()), Vec::<String>::new());
    let decisions = account.kept.decisions();
    assert_eq!(decisions[0].intent.because, "waiting", "{decisions:?}");
    assert!(decisions[0].ended.is_some() && decisions[0].intent.lease.is_some());
    let snapshot = life.snapshot.borrow().clone();
    assert_eq!((snapshot.account.as_str(), snapshot.dry_run), ("123456789012", false));
    assert_eq!(snapshot.queues[0].runnable_jobs, 8);
    life.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_stops_raises_and_not_releases() {
    let account = account();
    account.set_runnable(8, 4);
    account.kept.fill(true);
    let life = Life::begin(&account, |_| {});
    minutes(3).await;
    assert_eq!(account.log(), Vec::<String>::new());
    account.kept.fill(false);
    minutes(3).await;
    assert!(!account.raises("spot").is_empty(), "{:?}", account.log());
    account.kept.fill(true);
    account.set_runnable(0, 4);
    minutes(10).await;
    assert_eq!(account.min("spot"), 0, "{:?}", account.log());
    life.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_environment_that_hangs_delays_no_other() {
    let account = account();
    account.set_runnable(8, 4);
    account.with(|state| {
        state.hang.insert("instances ondemand".to_owned());
        state.hang.insert("arm ondemand".to_owned());
    });
    let life = Life::begin(&account, |_| {});
    minutes(3).await;
    assert!(
        account.log().contains(&"send spot 0 -> 32".to_owned()),
        "{:?}",
        account.log()
    );
    let snapshot = life.snapshot.borrow().clone();
    let hangs = &snapshot.environments[1];
    assert!(
        hangs
            .reasons
            .iter()
            .any(|reason| reason.sentence.contains("not readable since")),
        "{hangs:?}"
    );
    life.end().await.unwrap();
}

/// F7: the gate is in the actuator.
#[tokio::test(start_paused = true)]
async fn a_dry_run_plans_and_changes_nothing() {
    let account = account();
    account.set_runnable(8, 4);
    let life = Life::begin(&account, |options| options.apply = false);
    minutes(30).await;
    assert_eq!(account.log(), Vec::<String>::new());
    assert_eq!(account.kept.decisions(), []);
    let snapshot = life.snapshot.borrow().clone();
    assert!(
        snapshot.dry_run && snapshot.environments[0].wanted_vcpus > Vcpus::ZERO,
        "{snapshot:?}"
    );
    life.end().await.unwrap();
    assert_eq!(account.log(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_environment_without_the_tag_is_not_written_to() {
    let account = account();
    account.set_runnable(8, 4);
    let life = Life::begin(&account, |options| {
        options.tag = Some(("autotune".to_owned(), "yes".to_owned()));
    });
    minutes(10).await;
    assert_eq!(account.log(), Vec::<String>::new());
    assert!(!life.snapshot.borrow().environments[0].steered);
    life.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn another_account_or_region_is_refused() {
    for (account_id, region, says) in [
        ("999999999999", "eu-central-1", "account"),
        ("123456789012", "us-east-1", "region"),
    ] {
        let account = account();
        let life = Life::begin(&account, |options| {
            options.account = Some(account_id.to_owned());
            options.region = Some(region.to_owned());
        });
        let error = life.task.await.unwrap().unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("expected"), "{error}");
        assert_eq!(account.log(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_guard_raises_are_capped_and_a_stop_restores() {
    let account = account();
    boost(&account, Some(200));
    let life = Life::begin(&account, |options| {
        options.guard = false;
        options.unguarded_max_vcpus = Vcpus::new(48);
    });
    minutes(3).await;
    assert_eq!(account.min("spot"), 48, "{:?}", account.log());
    let began = account.clock.now();
    life.end().await.unwrap();
    assert_eq!(account.min("spot"), 0, "{:?}", account.log());
    assert!(account.clock.now().since(began) < Span::from_seconds(10));
    assert!(account.kept.recovered().leases.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stop_hands_over_to_the_guard_within_ten_seconds_even_if_a_call_hangs() {
    let account = account();
    boost(&account, Some(40));
    let life = Life::begin(&account, |_| {});
    minutes(3).await;
    let held = account.min("spot");
    assert!(held > 0);
    account.with(|state| state.hang.insert("arm ondemand".to_owned()));
    let began = account.clock.now();
    life.end().await.unwrap();
    assert_eq!(account.min("spot"), held);
    assert!(account.clock.now().since(began) < Span::from_seconds(10));
    let fires = account.with(|state| state.guards["spot"].fires);
    assert!(
        fires <= began + Span::from_minutes(10) + Span::from_seconds(1),
        "{fires}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_next_daemon_goes_on_with_what_was_handed_over() {
    let account = account();
    boost(&account, Some(40));
    let life = Life::begin(&account, |_| {});
    minutes(3).await;
    let held = account.min("spot");
    assert_eq!(held, 40, "{:?}", account.log());
    life.end().await.unwrap();
    let before = account.log().len();
    let life = Life::begin(&account, |_| {});
    minutes(15).await;
    let log = account.log()[before..].to_vec();
    assert_eq!(account.min("spot"), held, "{log:?}");
    assert!(
        log.contains(&"arm spot 0".to_owned()),
        "renewed, and base is still 0: {log:?}"
    );
    boost(&account, None);
    minutes(10).await;
    assert_eq!(account.min("spot"), 0, "{:?}", account.log());
    assert!(account.with(|state| state.guards.is_empty()));
    life.end().await.unwrap();
}

/// The policy names no base and the journal is lost: only the guard knows that 0 was the operator's minvCpus.
#[tokio::test(start_paused = true)]
async fn base_is_found_again_from_the_guard_alone() {
    let mut account = account();
    boost(&account, Some(40));
    let life = Life::begin(&account, |_| {});
    minutes(3).await;
    life.end().await.unwrap();
    account.kept = super::store::Kept::default();
    assert_eq!(account.min("spot"), 40, "{:?}", account.log());
    boost(&account, None);
    let life = Life::begin(&account, |_| {});
    minutes(10).await;
    assert_eq!(account.min("spot"), 0, "{:?}", account.log());
    life.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_bad_policy_is_refused_and_a_good_one_taken_while_an_update_is_sent() {
    let account = account();
    account.with(|state| state.slow = Span::from_seconds(5));
    account.set_runnable(8, 4);
    let life = Life::begin(&account, |_| {});
    clock::wait(Span::from_seconds(25)).await;
    life.reads("version = 1\n[queues.q]\nnonsense = 1\n");
    minutes(1).await;
    let refused = life.snapshot.borrow().reload_refused.clone();
    assert!(refused.is_some_and(|why| why.contains("nonsense")));
    life.reads(&format!("{POLICY}[environments.spot]\ncap = 16\n"));
    minutes(10).await;
    assert_eq!(life.snapshot.borrow().reload_refused, None);
    assert!(account.min("spot") <= 16, "{:?}", account.log());
    assert_eq!(account.with(|state| state.wrong.clone()), Vec::<String>::new());
    life.end().await.unwrap();
}

/// Environments of two accounts are often called alike.
#[tokio::test(start_paused = true)]
async fn a_policy_for_another_account_is_refused_at_the_start_and_at_a_reload() {
    let account = account();
    account.set_runnable(8, 4);
    let other = format!("{POLICY}[account]\nid = \"999999999999\"\n");
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(other.as_bytes()).unwrap();
    let life = Life::begin(&account, |options| options.policies = vec![file.path().to_owned()]);
    let error = life.task.await.unwrap().unwrap_err().to_string();
    assert!(
        error.contains("account.id") && error.contains("999999999999"),
        "{error}"
    );
    let policy = parse("p.toml", &other).unwrap();
    let looked = look_once(Arc::new(account.clone()), &policy, &Keys::default(), account.clock).await;
    assert!(looked.unwrap_err().to_string().contains("999999999999"));
    assert_eq!(account.log(), Vec::<String>::new());

    let life = Life::begin(&account, |_| {});
    minutes(1).await;
    life.reads(&format!("{POLICY}[account]\nregion = \"us-east-1\"\n"));
    minutes(1).await;
    let refused = life.snapshot.borrow().reload_refused.clone();
    assert!(refused.is_some_and(|why| why.contains("us-east-1")));
    life.end().await.unwrap();
}

/// Raised by a process before, and its guard is gone meanwhile.
#[tokio::test(start_paused = true)]
async fn a_guard_that_does_not_stand_is_not_said_to() {
    let account = account();
    boost(&account, Some(40));
    let life = Life::begin(&account, |_| {});
    minutes(3).await;
    let guarded = |life: &Life| {
        let snapshot = life.snapshot.borrow();
        let spot = &snapshot.environments[0];
        (spot.lease_expires.is_some(), spot.guarded)
    };
    assert_eq!(guarded(&life), (true, true), "{:?}", account.log());
    life.end().await.unwrap();
    account.with(|state| {
        state.guards.clear();
        state.fail.insert("arm spot".to_owned());
    });
    let life = Life::begin(&account, |_| {});
    clock::wait(Span::from_seconds(10)).await;
    assert_eq!(guarded(&life), (true, false), "{:?}", account.log());
    life.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn events_that_cannot_be_received_are_told() {
    let account = account();
    let life = Life::begin(&account, |options| options.events = true);
    let told = |life: &Life| {
        let snapshot = life.snapshot.borrow();
        assert_ne!(snapshot.events, snapshot.events_fail);
        snapshot.events
    };
    minutes(1).await;
    assert!(told(&life));
    account.with(|state| state.fail.insert("hints".to_owned()));
    minutes(2).await;
    assert!(!told(&life), "jobs are polled meanwhile");
    account.with(|state| state.fail.clear());
    minutes(3).await;
    assert!(told(&life));
    life.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_order_in_a_tag_holds_until_the_tag_goes() {
    let account = account();
    boost(&account, Some(40));
    let life = Life::begin(&account, |_| {});
    minutes(10).await;
    assert_eq!(account.min("spot"), 40, "{:?}", account.log());
    assert!(life.snapshot.borrow().environments[0].overridden.is_some());
    boost(&account, None);
    minutes(10).await;
    assert_eq!(account.min("spot"), 0, "{:?}", account.log());
    life.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_look_reads_everything_once_and_says_what_it_could_not() {
    let account = account();
    account.set_runnable(8, 4);
    account.with(|state| state.fail.insert("instances ondemand".to_owned()));
    let policy = parse("p.toml", POLICY).unwrap();
    let looked = look_once(Arc::new(account.clone()), &policy, &Keys::default(), account.clock)
        .await
        .unwrap();
    let runnable = &looked.observation.queues[0].runnable;
    assert!(runnable.value().is_some_and(|tally| tally.jobs() == 8), "{runnable:?}");
    assert!(matches!(looked.observation.instances[1], Seen::Missing(_)));
    assert!(
        looked
            .notes
            .iter()
            .any(|note| note.contains("instances ondemand failed")),
        "{:?}",
        looked.notes
    );
    let mut plan = Plan::default();
    let inputs = Inputs {
        setup: &looked.setup,
        observation: &looked.observation,
        memory: &Memory::new(&looked.setup, looked.at),
        forecast: &looked.forecast,
        now: looked.at,
    };
    planner::plan(&inputs, &mut plan);
    assert_eq!(plan.queues[0].waiting, Vcpus::new(32));
    let twice = account.with(|state| {
        state
            .reads
            .iter()
            .find(|(call, count)| **count > 1 && *call != "list_jobs")
            .map(|(call, _)| call.clone())
    });
    assert_eq!(twice, None);
}

#[tokio::test(start_paused = true)]
async fn a_plan_says_that_sizes_are_sampled_or_cannot_be_read() {
    let account = account();
    account.set_runnable(900, 4);
    let policy = parse("p.toml", POLICY).unwrap();
    let notes = async || {
        let (cloud, keys) = (Arc::new(account.clone()), Keys::default());
        look_once(cloud, &policy, &keys, account.clock).await.unwrap().notes
    };
    let sampled = notes().await;
    assert!(
        sampled
            .iter()
            .any(|note| note.starts_with("q: the sizes of its jobs are sampled")),
        "{sampled:?}"
    );
    account.with(|state| state.fail.insert("head".to_owned()));
    let unread = notes().await;
    assert!(
        unread.iter().any(|note| note.starts_with("q: head failed")),
        "{unread:?}"
    );
}

/// Not five minutes later.
#[tokio::test(start_paused = true)]
async fn a_quota_that_had_to_wait_for_our_own_instances_is_read_again_once_they_are_known() {
    let account = account();
    account.with(|state| state.hang.insert("instances spot".to_owned()));
    let life = Life::begin(&account, |_| {});
    minutes(1).await;
    let reads = |code: &str| account.with(|state| state.reads.get(&format!("quota {code}")).copied());
    assert_eq!((reads("L-34B43A08"), reads("L-1216C47A")), (Some(1), Some(1)));
    let limit = || {
        life.snapshot
            .borrow()
            .quotas
            .iter()
            .find(|one| one.code == "L-34B43A08")
            .unwrap()
            .limit_vcpus
    };
    assert_eq!(limit(), None, "what is ours of it is not known");
    // The reading of instances is given up after two minutes.
    minutes(2).await;
    assert_eq!((reads("L-34B43A08"), reads("L-1216C47A")), (Some(2), Some(1)));
    assert!(limit().is_some());
    life.end().await.unwrap();
}
