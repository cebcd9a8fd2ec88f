//! Much at once, other hands, and orders that end.

use super::account::{START, shape};
use super::{Life, account, boost, minutes};
use crate::clock;
use crate::daemon::cloud::Hint;
use crate::jobs::{JobSeen, JobStatus};
use crate::units::{Span, Vcpus};

/// Submitted one by one over half a minute, with events and without: one update may come too early for the last of them.
#[tokio::test(start_paused = true)]
async fn a_thousand_jobs_one_by_one_take_two_updates_at_most_and_are_all_asked_for() {
    for events in [true, false] {
        for phase in [0, 7, 15, 29, 45] {
            let account = account();
            account.with(|state| state.max = 4_000);
            let life = Life::begin(&account, |options| options.events = events);
            minutes(10).await;
            clock::wait(Span::from_seconds(phase)).await;
            for number in 0..1_000 {
                let job = JobSeen {
                    id: format!("j-{number}"),
                    name: format!("job-{number}"),
                    definition: "d:1".to_owned(),
                    status: JobStatus::Runnable,
                    created: Some(account.clock.now()),
                    vcpus: Some(Vcpus::new(2)),
                    nodes: 1,
                    ..JobSeen::default()
                };
                let at = account.clock.now();
                account.with(|state| {
                    state.jobs.push((job.clone(), shape(2)));
                    let (queue, shape) = ("q".to_owned(), None);
                    state.hints.extend(events.then_some(Hint::Job {
                        queue,
                        job,
                        shape,
                        parents: Vec::new(),
                        at,
                    }));
                });
                clock::wait(Span::from_millis(30)).await;
            }
            minutes(1).await;
            let log = account.log();
            for name in ["spot", "ondemand"] {
                let sent = log.iter().filter(|line| line.starts_with(&format!("send {name} ")));
                assert!(sent.count() <= 2, "events {events}, phase {phase}: {log:?}");
            }
            minutes(1).await;
            // Batch follows at once here, so what was asked for may be given back by now.
            let log = account.log();
            let raises = ["spot", "ondemand"].map(|name| account.raises(name));
            let context = format!("events {events}, phase {phase}: {log:?}");
            assert!(raises.iter().all(|raises| raises.len() <= 2), "{context}");
            let asked = raises.iter().filter_map(|raises| raises.iter().max()).sum::<i64>();
            assert!((1_800..=2_200).contains(&asked), "{context}");
            life.end().await.unwrap();
        }
    }
}

/// F7: leases, memory and intents stay as they were found, whatever the plan would do.
#[tokio::test(start_paused = true)]
async fn a_dry_run_leaves_what_an_earlier_process_remembered_alone() {
    let account = account();
    boost(&account, Some(40));
    let life = Life::begin(&account, |_| {});
    minutes(3).await;
    life.task.abort();
    let kept = format!("{:?}", account.kept.recovered());
    let guards = account.with(|state| state.guards.clone());
    boost(&account, None);
    account.set_runnable(8, 4);
    let life = Life::begin(&account, |options| options.apply = false);
    minutes(10).await;
    life.end().await.unwrap();
    assert_eq!(format!("{:?}", account.kept.recovered()), kept);
    assert_eq!(account.with(|state| state.guards.clone()), guards);
}

/// F17: what somebody else set stays, and no guard of ours puts it back hours later.
#[tokio::test(start_paused = true)]
async fn a_min_of_another_hand_stays() {
    let account = account();
    boost(&account, Some(40));
    let life = Life::begin(&account, |_| {});
    minutes(5).await;
    assert_eq!(account.min("spot"), 40, "{:?}", account.log());
    boost(&account, None);
    account.with(|state| state.min.insert("spot".to_owned(), 100));
    minutes(30).await;
    assert_eq!(account.min("spot"), 100, "{:?}", account.log());
    assert!(account.with(|state| state.guards.is_empty()), "{:?}", account.log());
    life.end().await.unwrap();
}

/// A guard that was armed for a raise that never came about would put back what the operator sets meanwhile.
#[tokio::test(start_paused = true)]
async fn a_guard_that_was_armed_in_vain_is_removed() {
    let account = account();
    account.set_runnable(8, 4);
    account.with(|state| state.fail.insert("send spot".to_owned()));
    let life = Life::begin(&account, |_| {});
    minutes(2).await;
    assert!(account.log().contains(&"arm spot 0".to_owned()), "{:?}", account.log());
    account.set_runnable(0, 4);
    minutes(7).await;
    assert!(account.with(|state| state.guards.is_empty()), "{:?}", account.log());
    assert_eq!(life.snapshot.borrow().environments[0].lease_expires, None);
    account.with(|state| state.min.insert("spot".to_owned(), 32));
    minutes(30).await;
    assert_eq!(account.min("spot"), 32, "{:?}", account.log());
    life.end().await.unwrap();
}

/// F19: the tag stays for ever, the order does not.
#[tokio::test(start_paused = true)]
async fn a_forgotten_order_ends_by_itself() {
    let account = account();
    let until = START + Span::from_minutes(30);
    account.with(|state| {
        let tags = state.tags.entry("spot".to_owned()).or_default();
        let value = format!("boost:40 until={until} since={START}");
        tags.insert(crate::overrides::TAG.to_owned(), value);
    });
    let life = Life::begin(&account, |_| {});
    minutes(25).await;
    assert_eq!(account.min("spot"), 40, "{:?}", account.log());
    minutes(15).await;
    assert_eq!(account.min("spot"), 0, "{:?}", account.log());
    assert!(life.snapshot.borrow().environments[0].overridden.is_none());
    life.end().await.unwrap();
}

/// F20: whatever waits, nothing is launched and everything is let go.
#[tokio::test(start_paused = true)]
async fn a_drain_lets_everything_go_whatever_waits() {
    let account = account();
    account.set_runnable(8, 4);
    let life = Life::begin(&account, |_| {});
    minutes(3).await;
    assert_eq!(account.raises("spot"), [32], "{:?}", account.log());
    let until = START + Span::from_minutes(120);
    account.with(|state| {
        for name in ["spot", "ondemand"] {
            let tags = state.tags.entry(name.to_owned()).or_default();
            let value = format!("drain until={until} since={}", START + Span::from_minutes(3));
            tags.insert(crate::overrides::TAG.to_owned(), value);
        }
    });
    minutes(5).await;
    let before = account.log().len();
    account.set_runnable(64, 4);
    minutes(60).await;
    assert_eq!(
        (account.min("spot"), account.min("ondemand")),
        (0, 0),
        "{:?}",
        account.log()
    );
    let raised = |line: &&String| line.starts_with("arm");
    assert_eq!(account.log()[before..].iter().find(raised), None);
    life.end().await.unwrap();
}

/// A flood of events is not read event by event: the queue that they are about is read instead, once they have settled.
#[tokio::test(start_paused = true)]
async fn of_a_flood_of_events_only_the_queue_is_remembered() {
    let account = account();
    let metrics = std::sync::Arc::new(crate::metrics::Metrics::default());
    let counted = std::sync::Arc::clone(&metrics);
    let life = Life::begin(&account, |options| {
        options.events = true;
        options.metrics = counted;
    });
    minutes(1).await;
    let read = account.with(|state| state.reads["list_jobs"]);
    let hint = |number: usize| Hint::Job {
        queue: "q".to_owned(),
        job: JobSeen {
            id: format!("j-{number}"),
            status: JobStatus::Submitted,
            ..JobSeen::default()
        },
        shape: None,
        parents: Vec::new(),
        at: account.clock.now(),
    };
    let flood: Vec<Hint> = (0..2_000).map(hint).collect();
    account.with(|state| state.hints = flood);
    clock::wait(Span::from_seconds(10)).await;
    let rendered = metrics.render();
    for line in [r#"hints_total{kind="job"} 1000"#, r#"hints_total{kind="dropped"} 1000"#] {
        assert!(rendered.contains(line), "{line}: {rendered}");
    }
    assert!(account.with(|state| state.reads["list_jobs"]) > read);
    life.end().await.unwrap();
}

/// A rule that lists queues knows nothing of one that came later.
#[tokio::test(start_paused = true)]
async fn a_queue_of_which_no_event_tells_is_polled_until_one_does() {
    let account = account();
    let life = Life::begin(&account, |options| options.events = true);
    minutes(10).await;
    account.set_runnable(1, 4);
    let now = account.clock.now();
    account.with(|state| state.jobs[0].0.created = Some(now));
    minutes(11).await;
    let reads = || account.with(|state| state.reads["head"]);
    let is_silent = || {
        let snapshot = life.snapshot.borrow();
        snapshot.queues[0].reasons.iter().any(|told| told.code == "silent")
    };
    assert!(is_silent());
    let before = reads();
    minutes(10).await;
    assert!((9..=11).contains(&(reads() - before)), "{before} {}", reads());
    account.with(|state| {
        let job = state.jobs[0].0.clone();
        state.hints.push(Hint::Job {
            queue: "q".to_owned(),
            job,
            shape: None,
            parents: Vec::new(),
            at: now,
        });
    });
    minutes(5).await;
    assert!(!is_silent());
    let before = reads();
    minutes(10).await;
    assert!(reads() - before <= 3, "{before} {}", reads());
    life.end().await.unwrap();
}
