//! What people are told of a life: lines of the log, and the story in the journal.

use std::io;
use std::sync::Mutex;

use super::*;
use crate::catalog::{Catalog, Purchase};
use crate::daemon::cloud::Hint;
use crate::jobs::{JobSeen, JobStatus};
use crate::journal::{Asked, Journal};
use crate::units::MicroUsd;

/// Log lines as the daemon writes them where nobody looks on: JSON, one object a line.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// Captures what this thread logs for as long as the guard lives.
    pub(super) fn capture(&self) -> tracing::subscriber::DefaultGuard {
        // With a single subscriber in the process, a thread that has none decides for all what is worth logging.
        static ANOTHER: std::sync::OnceLock<tracing::Dispatch> = std::sync::OnceLock::new();
        ANOTHER.get_or_init(|| tracing::Dispatch::new(tracing_subscriber::registry()));
        let lines = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .without_time()
            .with_max_level(tracing::Level::INFO)
            .with_writer(move || lines.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    /// What was logged since it was last asked.
    pub(super) fn taken(&self) -> Vec<serde_json::Value> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        let text = String::from_utf8(bytes).unwrap();
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

pub(super) fn message(line: &serde_json::Value) -> &str {
    line["message"].as_str().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_action_and_a_change_of_mind_have_one_line_and_quiet_ticks_none() {
    let lines = Lines::default();
    let _capturing = lines.capture();
    let account = account();
    let life = Life::begin(&account, |_| {});
    minutes(30).await;
    lines.taken();
    minutes(120).await;
    assert_eq!(
        lines.taken(),
        Vec::<serde_json::Value>::new(),
        "nothing happens in two hours"
    );
    account.set_runnable(8, 4);
    minutes(3).await;
    let told = lines.taken();
    let (actions, minds): (Vec<_>, Vec<_>) = told.iter().partition(|line| message(line) == "Updated");
    let sent = account.log().iter().filter(|line| line.starts_with("send ")).count();
    assert!(sent > 0 && actions.len() == sent, "{told:?}");
    assert!(
        actions[0]["action"].as_str().unwrap().contains("min 0 -> 32"),
        "{told:?}"
    );
    assert_eq!(
        (actions[0]["environment"].as_str(), actions[0]["level"].as_str()),
        (Some("spot"), Some("INFO"))
    );
    let waits = "spot: 32 vCPUs of RUNNABLE jobs wait";
    assert_eq!(
        minds.iter().filter(|line| message(line) == waits).count(),
        1,
        "{told:?}"
    );
    assert!(told.windows(2).all(|pair| pair[0] != pair[1]), "{told:?}");
    life.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn errors_of_the_service_are_one_line_each_and_cannot_steer_a_terminal() {
    let lines = Lines::default();
    let _capturing = lines.capture();
    let account = account();
    let life = Life::begin(&account, |_| {});
    minutes(30).await;
    lines.taken();
    account.with(|state| state.fail.insert("instances spot".to_owned()));
    minutes(120).await;
    let told = lines.taken();
    assert!((1..=2).contains(&told.len()), "told once, not with every try: {told:?}");
    life.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_quiet_daemon_is_told_from_none() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, recovered) = Journal::open(&folder.path().join("journal")).unwrap();
    let account = account();
    let kept = journal.clone();
    let life = Life::begin(&account, |options| {
        options.store = Store::Journal(kept);
        options.recovered = recovered;
    });
    minutes(90).await;
    life.end().await.unwrap();
    let now = START + Span::from_minutes(180);
    let silent = |minutes: i64| {
        let asked = Asked {
            at: Some(START + Span::from_minutes(minutes)),
            last: 1,
            ..Asked::default()
        };
        journal.moments(&asked, now).unwrap()[0].silence.is_some()
    };
    assert!((5..85).all(|minutes| !silent(minutes)));
    assert!(silent(120), "it does not run any more");
}

/// The story of a burst: why spot was raised, and what kept On-Demand from it.
#[tokio::test(start_paused = true)]
async fn the_journal_tells_each_rejected_option_of_that_moment() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, recovered) = Journal::open(&folder.path().join("journal")).unwrap();
    let account = account();
    // More than spot may hold.
    account.set_runnable(100, 4);
    let kept = journal.clone();
    let life = Life::begin(&account, |options| {
        options.store = Store::Journal(kept);
        options.recovered = recovered;
    });
    minutes(3).await;
    life.end().await.unwrap();
    let all = Asked {
        queue: Some("q".to_owned()),
        last: 100,
        ..Asked::default()
    };
    let decided = journal.decisions(&all).unwrap();
    let raised = decided.last().unwrap();
    let then = Asked {
        at: Some(raised.intent.at),
        last: 1,
        ..all
    };
    let said = &journal.ticks(&then).unwrap()[0].reasons;
    let codes: Vec<&str> = said.iter().map(|said| said.code.as_str()).collect();
    assert!(codes.contains(&"waiting"), "{said:?}");
    assert!(codes.contains(&"limit") || codes.contains(&"patience"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn another_hand_is_told_of_once_and_with_its_age_until_we_act_again() {
    let lines = Lines::default();
    let _capturing = lines.capture();
    let account = account();
    boost(&account, Some(40));
    let life = Life::begin(&account, |_| {});
    let told_now = || {
        let reasons = life.snapshot.borrow().environments[0].reasons.clone();
        let told = reasons.into_iter().find(|told| told.code == "yielded");
        told.map(|told| told.sentence)
    };
    minutes(5).await;
    account.with(|state| state.min.insert("spot".to_owned(), 100));
    minutes(60).await;
    let of_other_hands = || {
        let lines = lines.taken();
        lines
            .iter()
            .filter(|line| message(line).starts_with("Another hand changed minvCpus"))
            .count()
    };
    assert_eq!(of_other_hands(), 1);
    let told = told_now().unwrap();
    assert!(
        told.contains("set min to 100 vCPUs, seen 59m") && told.contains(" ago"),
        "{told}"
    );
    // Raised above his, and given back to it.
    boost(&account, Some(160));
    minutes(5).await;
    assert_eq!(told_now(), None, "{:?}", account.log());
    boost(&account, None);
    minutes(30).await;
    assert_eq!(account.min("spot"), 100, "{:?}", account.log());
    assert_eq!((told_now(), of_other_hands()), (None, 0));
    life.end().await.unwrap();
}

/// A lowered maxvCpus would outlive us.
#[tokio::test(start_paused = true)]
async fn without_a_guard_enforce_is_clamp_and_says_so() {
    let lines = Lines::default();
    let _capturing = lines.capture();
    let account = account();
    let life = Life::begin(&account, |options| options.guard = false);
    minutes(3).await;
    lines.taken();
    life.reads(&format!("{POLICY}[environments.spot]\nlimits = \"enforce\"\n"));
    minutes(3).await;
    let told = lines.taken();
    let warns = |line: &serde_json::Value| line["level"] == "WARN" && message(line).contains("acts as \"clamp\"");
    assert!(told.iter().any(warns), "{told:?}");
    let reasons = life.snapshot.borrow().environments[0].reasons.clone();
    assert!(reasons.iter().any(|told| told.code == "unenforced"), "{reasons:?}");
    life.end().await.unwrap();
}

#[test]
fn nothing_from_outside_forges_a_line_of_the_log_or_steers_a_terminal() {
    use crate::control::Outcome;
    use crate::daemon::cloud::{Answer, FailedLaunch, LaunchSource};
    use crate::daemon::telling::Teller;
    use crate::explain::hostile;

    let lines = Lines::default();
    let _capturing = lines.capture();
    for name in hostile::corpus() {
        let mut teller = Teller::default();
        teller.armed(&name, Some(&name));
        teller.armed(&name, None);
        let (outcome, message) = (Outcome::Failed, name.clone());
        teller.sent(&name, &Answer { outcome, message });
        let launch = FailedLaunch {
            at: START,
            code: name.clone(),
            message: name.clone(),
            quota: Some(name.clone()),
            source: LaunchSource::AutoScaling,
        };
        teller.refused(&name, &[launch], &Metrics::new(), START);
        let told = lines.taken();
        assert_eq!(told.len(), 4, "{name:?}: {told:?}");
        for line in told {
            let said = line.as_object().unwrap();
            let texts = said.values().filter_map(serde_json::Value::as_str);
            assert!(texts.clone().any(|text| text.contains(hostile::MARK)), "{line}");
            let clean = |text: &str| !hostile::has_invisible(text) && !text.contains('\n');
            assert!(texts.clone().all(clean), "{line}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_tells_no_mind_again_that_has_not_changed() {
    let lines = Lines::default();
    let _capturing = lines.capture();
    let account = account();
    boost(&account, Some(40));
    let life = Life::begin(&account, |_| {});
    minutes(30).await;
    let before = lines.taken();
    assert!(
        before.iter().any(|line| message(line).contains("a person wants")),
        "{before:?}"
    );
    life.reads(&format!("{POLICY}[environments.spot]\ncap = 128\n"));
    minutes(5).await;
    let after = lines.taken();
    assert!(
        after.iter().any(|line| message(line) == "The policies are taken"),
        "{after:?}"
    );
    let again = after.iter().find(|line| before.contains(line));
    assert_eq!(again, None);
    life.end().await.unwrap();
}

/// Another hand lowers max below the min that the policy names: nothing can be decided for that, and it is said once, not with
/// every look. Meanwhile the account is steered as it was.
#[tokio::test(start_paused = true)]
async fn an_account_that_no_longer_fits_the_policies_is_told_once_and_so_is_its_end() {
    let lines = Lines::default();
    let _capturing = lines.capture();
    let account = account();
    let life = Life::begin(&account, |_| {});
    life.reads(&format!("{POLICY}[environments.spot]\nmin_vcpus = 32\n"));
    minutes(30).await;
    account.with(|state| state.max = 16);
    lines.taken();
    minutes(70).await;
    let why = life.snapshot.borrow().reload_refused.clone();
    assert!(why.as_ref().is_some_and(|why| why.contains("min_vcpus")), "{why:?}");
    let read = account.with(|state| state.reads["topology"]);
    minutes(180).await;
    let again = account.with(|state| state.reads["topology"]) - read;
    assert!(again <= 4, "the account was read {again} times in three hours");
    account.with(|state| state.max = 256);
    minutes(70).await;
    assert_eq!(life.snapshot.borrow().reload_refused, None);
    let told = lines.taken();
    let unfit = told.iter().filter(|line| message(line).contains("does not fit"));
    assert_eq!(unfit.count(), 1, "{told:?}");
    assert!(
        told.iter()
            .any(|line| message(line).contains("fits the policies again")),
        "{told:?}"
    );
    life.end().await.unwrap();
}

/// Whoever may send to the queue of events can date one.
#[tokio::test(start_paused = true)]
async fn an_event_of_next_year_does_not_hide_how_long_jobs_wait_today() {
    let account = account();
    let life = Life::begin(&account, |options| options.events = true);
    minutes(2).await;
    let next_year = START + Span::from_minutes(400 * 24 * 60);
    for (status, started, at) in [
        (JobStatus::Runnable, None, account.clock.now()),
        (JobStatus::Starting, None, next_year),
        (JobStatus::Running, Some(next_year), next_year),
    ] {
        let job = JobSeen {
            id: "j".to_owned(),
            status,
            started,
            ..JobSeen::default()
        };
        let queue = "q".to_owned();
        account.with(|state| {
            state.hints = vec![Hint::Job {
                queue,
                job,
                shape: None,
                parents: Vec::new(),
                at,
            }];
        });
        minutes(1).await;
    }
    let today = life.snapshot.borrow().queues[0].today;
    assert_eq!(today.jobs, 1);
    assert!(
        today.longest.is_some_and(|longest| longest <= Span::from_minutes(5)),
        "{today:?}"
    );
    life.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn spot_is_billed_at_prices_of_the_hour_and_at_list_prices_where_ec2_tells_none() {
    let account = account();
    let name = "m6i.4xlarge";
    account.with(|state| state.spot_prices.insert(name.to_owned(), MicroUsd::new(250_000)));
    let life = Life::begin(&account, |_| {});
    let told = || {
        let snapshot = life.snapshot.borrow();
        let spot = &snapshot.environments[0];
        (spot.there_vcpus.get(), spot.per_hour, snapshot.spot_prices_of)
    };
    let asked = || account.with(|state| state.reads.get("prices").copied().unwrap_or(0));
    minutes(30).await;
    assert_eq!(asked(), 0, "nothing is there to be priced");
    boost(&account, Some(32));
    minutes(10).await;
    let (there, price, first) = told();
    assert_eq!((there, price, asked()), (32, Some(MicroUsd::new(500_000)), 1));
    account.with(|state| state.spot_prices.insert(name.to_owned(), MicroUsd::new(200_000)));
    minutes(130).await;
    let (_, price, second) = told();
    assert_eq!((price, asked()), (Some(MicroUsd::new(400_000)), 3));
    assert!(second > first, "{second:?} {first:?}");
    // What was told last stays, with its time.
    account.with(|state| state.fail.insert("prices".to_owned()));
    minutes(70).await;
    let (_, price, third) = told();
    assert_eq!(price, Some(MicroUsd::new(400_000)));
    assert!(third.is_some() && third < Some(account.clock.now() - Span::from_minutes(60)));
    account.with(|state| {
        state.fail.clear();
        state.spot_prices.clear();
    });
    minutes(45).await;
    let listed = Catalog::bundled().get(name).unwrap().price_per_hour(Purchase::Spot);
    assert_eq!((told().1, told().2), (Some(listed + listed), None));
    let again = asked();
    minutes(4).await;
    assert_eq!(asked(), again, "a type without a price is not asked for again at once");
    life.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn samples_are_told_last_and_are_no_reason_to_wait() {
    let account = account();
    account.set_runnable(900, 4);
    let life = Life::begin(&account, |_| {});
    minutes(3).await;
    let reasons = life.snapshot.borrow().queues[0].reasons.clone();
    let (last, others) = reasons.split_last().unwrap();
    assert_eq!(last.code, "sampled", "{reasons:?}");
    assert!(
        last.rank == u8::MAX && others.iter().all(|told| told.rank < last.rank),
        "{reasons:?}"
    );
    life.end().await.unwrap();
}
