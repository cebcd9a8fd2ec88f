//! What goes wrong outside of the process: its clock, its credentials, its permissions, its disk, the service.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

use super::account::{Account, START};
use super::{Life, account, boost, minutes};
use crate::clock::{self, Clock};
use crate::jobs::JobStatus;
use crate::metrics::Metrics;
use crate::observation::GapReason;
use crate::units::{Span, Time};

/// What is logged by this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    fn keep(&self) -> tracing::subscriber::DefaultGuard {
        let subscriber = tracing_subscriber::fmt().with_writer(self.clone()).with_ansi(false);
        tracing::subscriber::set_default(subscriber.finish())
    }

    fn lines(&self, with: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .filter(|line| line.contains(with))
            .map(str::to_owned)
            .collect()
    }
}

/// Calls so far, by name.
fn calls(account: &Account) -> BTreeMap<String, u32> {
    account.with(|state| state.reads.clone())
}

fn made(before: &BTreeMap<String, u32>, after: &BTreeMap<String, u32>, kind: &str) -> u32 {
    let more = |(call, count): (&String, &u32)| count - before.get(call).unwrap_or(&0);
    after.iter().filter(|(call, _)| call.starts_with(kind)).map(more).sum()
}

fn fail(account: &Account, calls: &[&str], why: GapReason, says: &'static str) {
    account.with(|state| {
        state.fail = calls.iter().map(|call| (*call).to_owned()).collect();
        state.why = (why, says);
    });
}

/// The order to hold 40 vCPUs in both environments, until then.
fn hold_both(account: &Account, until: Time) {
    let value = format!("boost:40 until={until} since={START}");
    let tags = BTreeMap::from([(crate::overrides::TAG.to_owned(), value)]);
    account.with(|state| {
        for name in ["spot", "ondemand"] {
            state.tags.insert(name.to_owned(), tags.clone());
        }
    });
}

const HOUR: Span = Span::from_minutes(60);
const TEN_YEARS: Span = Span::from_minutes(10 * 365 * 24 * 60);

/// The machine's clock alone is wrong for half an hour, and AWS refuses what it signs; or all clocks are set together.
#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_holds_no_lease_too_long_and_starts_no_storm() {
    for by in [HOUR, Span::ZERO - HOUR, TEN_YEARS, Span::ZERO - TEN_YEARS] {
        for alone in [true, false] {
            let (clock, set) = Clock::to_be_set(START);
            let account = Account::new(if alone { Clock::paced(START) } else { clock });
            boost(&account, Some(40));
            let life = Life::begin(&account, |options| options.clock = clock);
            minutes(60).await;
            assert_eq!(account.min("spot"), 40, "{:?}", account.log());
            let quiet = calls(&account);
            set(by);
            if alone {
                fail(
                    &account,
                    &["*"],
                    GapReason::Denied,
                    "was denied; hint: check the keys and the clock",
                );
                minutes(30).await;
                assert_eq!(account.min("spot"), 0, "the guard fired: {:?}", account.log());
                fail(&account, &[], GapReason::Failed, "");
                set(Span::ZERO - by);
            } else {
                minutes(2).await;
                let fires = account.with(|state| state.guards.get("spot").map(|guard| guard.fires));
                let latest = clock.now() + Span::from_minutes(15);
                assert!(fires.is_none_or(|fires| fires <= latest), "{by} {fires:?}");
                minutes(28).await;
            }
            // What a person ordered may be over by then; what jobs need never is.
            let raised = account.raises("spot").len();
            account.set_runnable(16, 4);
            minutes(5).await;
            let context = format!("{by} alone {alone}: {:?}", account.log());
            assert!(account.raises("spot").len() > raised, "{context}");
            let noisy = calls(&account);
            let total = |calls: &BTreeMap<String, u32>| calls.values().sum::<u32>();
            assert!(total(&noisy) - total(&quiet) <= total(&quiet) + 60, "{context}");
            assert!(made(&quiet, &noisy, "send") <= 20, "{context}");
            boost(&account, None);
            account.set_runnable(0, 4);
            minutes(40).await;
            assert_eq!(account.min("spot"), 0, "{context}");
            assert!(account.with(|state| state.guards.is_empty()), "{:?}", account.log());
            assert_eq!(account.with(|state| state.wrong.clone()), Vec::<String>::new());
            life.end().await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn expired_credentials_are_told_and_survived() {
    let log = Log::default();
    let _kept = log.keep();
    let account = account();
    boost(&account, Some(40));
    let life = Life::begin(&account, |_| {});
    minutes(30).await;
    let before = calls(&account);
    let says = "was denied because the credentials have expired; hint: renew them";
    fail(&account, &["*"], GapReason::Denied, says);
    minutes(20).await;
    assert_eq!(account.min("spot"), 0, "the guard fired: {:?}", account.log());
    let after = calls(&account);
    assert!(
        after.values().sum::<u32>() - before.values().sum::<u32>() <= 160,
        "{before:?} {after:?}"
    );
    let reasons = life.snapshot.borrow().environments[0]
        .reasons
        .iter()
        .map(|told| told.sentence.as_str())
        .collect::<Vec<_>>()
        .join("\n");
    assert!(reasons.contains("renew them"), "{reasons}");
    let told = log.lines("renew them");
    assert!((1..=10).contains(&told.len()), "{told:#?}");
    fail(&account, &[], GapReason::Failed, "");
    minutes(10).await;
    assert_eq!(account.min("spot"), 40, "{:?}", account.log());
    assert_eq!(account.with(|state| state.wrong.clone()), Vec::<String>::new());
    life.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_denied_is_told_once_and_other_environments_go_on() {
    for (call, action) in [
        ("send spot", "batch:UpdateComputeEnvironment"),
        ("arm spot", "scheduler:CreateSchedule"),
        ("disarm spot", "scheduler:DeleteSchedule"),
        ("describe_jobs", "batch:DescribeJobs"),
        ("head", "batch:GetJobQueueSnapshot"),
        ("instances spot", "ecs:ListContainerInstances"),
        ("queues", "batch:DescribeJobQueues"),
    ] {
        let log = Log::default();
        let kept = log.keep();
        let account = account();
        fail(&account, &[call], GapReason::Denied, action);
        hold_both(&account, START + Span::from_minutes(60));
        account.set_runnable(8, 4);
        let life = Life::begin(&account, |_| {});
        minutes(55).await;
        assert_eq!(account.min("ondemand"), 40, "{call}: {:?}", account.log());
        let snapshot = life.snapshot.borrow().clone();
        let said = format!("{:?} {:?}", snapshot.environments, snapshot.queues);
        assert!(call.starts_with("disarm") || said.contains(action), "{call}: {said}");
        minutes(60).await;
        let told = log.lines(action);
        assert_eq!(told.len(), 1, "{call}: {told:#?}");
        let asked = calls(&account).get(call).copied().unwrap_or_default();
        assert!((1..=270).contains(&asked), "{call}: {asked}");
        assert_eq!(account.with(|state| state.wrong.clone()), Vec::<String>::new());
        life.end().await.unwrap();
        drop(kept);
    }
}

/// Every call is throttled for half an hour, while much is wanted and something is held.
#[tokio::test(start_paused = true)]
async fn a_throttled_daemon_asks_less_and_less_often() {
    let account = account();
    hold_both(&account, START + Span::from_minutes(300));
    account.set_runnable(200, 1);
    let life = Life::begin(&account, |_| {});
    minutes(30).await;
    let before = calls(&account);
    fail(&account, &["*"], GapReason::Throttled, "was throttled");
    minutes(30).await;
    let after = calls(&account);
    let total = after.values().sum::<u32>() - before.values().sum::<u32>();
    assert!(total <= 300, "{total}: {before:?} {after:?}");
    for kind in ["arm", "send"] {
        let made = made(&before, &after, kind);
        assert!(made <= 24, "{kind} {made}");
    }
    let raised = account.raises("spot").len();
    fail(&account, &[], GapReason::Failed, "");
    minutes(10).await;
    assert!(account.raises("spot").len() > raised, "{:?}", account.log());
    life.end().await.unwrap();
}

/// Only the guards are throttled: a renewal is not asked for with every look.
#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_renewed_is_asked_for_a_few_times_only() {
    let account = account();
    boost(&account, Some(40));
    let life = Life::begin(&account, |_| {});
    minutes(5).await;
    let before = calls(&account);
    fail(&account, &["arm spot"], GapReason::Throttled, "was throttled");
    minutes(10).await;
    let made = made(&before, &calls(&account), "arm spot");
    assert!((2..=7).contains(&made), "{made}");
    minutes(5).await;
    assert_eq!(account.min("spot"), 0, "{:?}", account.log());
    life.end().await.unwrap();
}

/// What an update led to is written when there is room again: a restart finds nothing that was not so.
#[tokio::test(start_paused = true)]
async fn what_a_full_disk_did_not_take_is_written_later() {
    let account = account();
    boost(&account, Some(40));
    let life = Life::begin(&account, |_| {});
    minutes(3).await;
    assert!(!account.kept.recovered().leases.is_empty());
    account.kept.fill(true);
    boost(&account, None);
    minutes(10).await;
    assert_eq!(account.min("spot"), 0, "releases go on: {:?}", account.log());
    assert!(!account.kept.recovered().leases.is_empty());
    account.kept.fill(false);
    account.set_runnable(1, 1);
    minutes(5).await;
    life.task.abort();
    assert!(
        account
            .kept
            .recovered()
            .leases
            .values()
            .all(|(lease, _)| lease.min_vcpus.get() < 40)
    );
    assert!(
        account.kept.recovered().open.len() <= 1,
        "{:?}",
        account.kept.recovered().open
    );
}

/// A disk that hangs gives no error: whoever waits for it, and whoever looks at the daemon, learns of it all the same.
#[tokio::test(start_paused = true)]
async fn a_journal_that_hangs_is_told_once_and_leaves_nothing_open() {
    let log = Log::default();
    let _kept = log.keep();
    let account = account();
    let metrics = Arc::new(Metrics::default());
    let life = Life::begin(&account, |options| options.metrics = Arc::clone(&metrics));
    minutes(1).await;
    account.set_runnable(8, 4);
    let hangs = account.kept.hang();
    // Time goes on by itself only while no thread waits.
    for _ in 0..1_200 {
        tokio::time::advance(std::time::Duration::from_millis(100)).await;
    }
    assert!(metrics.render().contains("autotune_journal_writable 0"));
    assert_eq!(account.log(), Vec::<String>::new());
    assert_eq!(log.lines("The journal cannot be written").len(), 1);
    let reasons = format!("{:?}", life.snapshot.borrow().environments[0].reasons);
    assert!(reasons.contains("the journal could not be written"), "{reasons}");
    drop(hangs);
    minutes(5).await;
    assert!(metrics.render().contains("\nautotune_journal_writable 1"));
    assert_eq!(log.lines("The journal can be written again").len(), 1);
    assert!(!account.raises("spot").is_empty(), "{:?}", account.log());
    let reasons = format!("{:?}", life.snapshot.borrow().environments[0].reasons);
    assert!(!reasons.contains("the journal could not be written"), "{reasons}");
    life.end().await.unwrap();
    let decisions = account.kept.decisions();
    assert!(decisions[0].ending().starts_with("not sent"), "{decisions:?}");
    assert!(
        decisions.iter().all(|decision| decision.ended.is_some()),
        "{decisions:?}"
    );
}

/// How large they are is nowhere to be read; that they run on container instances is.
#[tokio::test(start_paused = true)]
async fn jobs_that_run_keep_nothing_raised_while_they_cannot_be_described() {
    let account = account();
    fail(&account, &["describe_jobs"], GapReason::Denied, "batch:DescribeJobs");
    account.set_runnable(8, 4);
    account.with(|state| {
        for (job, _) in &mut state.jobs {
            job.status = JobStatus::Running;
        }
    });
    boost(&account, Some(40));
    let life = Life::begin(&account, |_| {});
    minutes(5).await;
    assert_eq!(account.min("spot"), 40, "{:?}", account.log());
    boost(&account, None);
    minutes(10).await;
    assert_eq!(account.min("spot"), 0, "{:?}", account.log());
    life.end().await.unwrap();
}

/// F8: what panics is a call that failed, not the end of all looking.
#[tokio::test(start_paused = true)]
async fn a_call_that_panics_stops_nothing() {
    for call in [
        "environments",
        "list_jobs",
        "instances spot",
        "arm spot",
        "send spot",
        "disarm spot",
    ] {
        let account = account();
        boost(&account, Some(40));
        account.with(|state| state.panic.insert(call.to_owned()));
        let life = Life::begin(&account, |_| {});
        if call == "environments" {
            clock::wait(Span::from_seconds(1)).await;
            // At the start it is told, and whoever started it tries again.
            assert!(life.task.await.unwrap_err().is_panic());
            continue;
        }
        minutes(10).await;
        assert_eq!(account.min("spot"), 40, "{call}: {:?}", account.log());
        boost(&account, None);
        minutes(30).await;
        assert_eq!(account.min("spot"), 0, "{call}: {:?}", account.log());
        let clean = account.with(|state| state.guards.is_empty() && state.panic.is_empty());
        assert!(clean, "{call}");
        life.end().await.unwrap();
    }
}

/// Who asks later why nothing was raised is told, and no update is counted that nobody sent.
#[tokio::test(start_paused = true)]
async fn an_update_whose_guard_could_not_be_armed_was_not_sent_and_says_why() {
    let account = account();
    boost(&account, Some(40));
    account.with(|state| state.fail.insert("arm spot".to_owned()));
    let metrics = std::sync::Arc::new(crate::metrics::Metrics::default());
    let life = Life::begin(&account, |options| options.metrics = std::sync::Arc::clone(&metrics));
    minutes(5).await;
    let decisions = account.kept.decisions();
    let ending = decisions[0].ending();
    assert_eq!(ending, "not sent: the guard could not be armed: arm spot failed");
    let text = metrics.render();
    let updates = text
        .lines()
        .filter(|line| line.starts_with("autotune_environment_updates_total{environment=\"spot\""));
    assert!(
        updates.clone().count() > 0 && updates.clone().all(|line| line.ends_with(" 0")),
        "{text}"
    );
    assert!(text.contains("autotune_errors_total{kind=\"guard\"} "), "{text}");
    life.end().await.unwrap();
}

/// A restart would not help: it is alive, and tells nothing of policies that are not bad.
#[tokio::test(start_paused = true)]
async fn a_start_that_cannot_see_yet_is_alive() {
    let account = account();
    account.with(|state| state.fail.insert("topology".to_owned()));
    let life = Life::begin(&account, |_| {});
    minutes(30).await;
    let told = account.clock.now().since(life.snapshot.borrow().at);
    assert!(told <= Span::from_seconds(65), "{told}");
    account.with(|state| state.fail.clear());
    minutes(3).await;
    assert!(life.snapshot.borrow().planned_at.is_some());
    life.end().await.unwrap();
}
