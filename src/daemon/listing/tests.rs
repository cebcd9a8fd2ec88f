use std::collections::BTreeMap;

use super::book::BELIEVED_AFTER;
use super::*;
use crate::clock::Clock;
use crate::daemon::tests::account::{Account, START, shape};
use crate::jobs::{ArraySeen, JobDescribed, JobSize};

const MOST: Vcpus = Vcpus::new(10_000);

fn job(id: &str, status: JobStatus) -> JobSeen {
    JobSeen {
        id: id.to_owned(),
        name: "align-1".to_owned(),
        definition: "d:1".to_owned(),
        status,
        created: Some(START),
        vcpus: Some(Vcpus::new(4)),
        nodes: 1,
        ..JobSeen::default()
    }
}

fn account(jobs: Vec<JobSeen>) -> Account {
    let account = Account::new(Clock::paced(START));
    account.with(|state| state.jobs = jobs.into_iter().map(|job| (job, shape(4))).collect());
    account
}

async fn listed(account: &Account, now: Time, book: Book) -> Listed {
    list(account, "q", now, MOST, book, &Sizes::default()).await.unwrap()
}

/// F12, F14: Batch states such reasons also while a fitting instance boots.
#[tokio::test(start_paused = true)]
async fn blocked_jobs_are_demand_until_their_reason_has_lasted_ten_minutes() {
    let mut blocked = job("a", JobStatus::Runnable);
    blocked.status_reason = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - too large".to_owned();
    let account = account(vec![blocked, job("b", JobStatus::Runnable)]);
    let first = listed(&account, START, Book::default()).await;
    assert_eq!((jobs_in(&first.runnable), first.not_demand.misconfigured), (2, 0));
    let later = listed(&account, START + BELIEVED_AFTER, first.book).await;
    assert_eq!((jobs_in(&later.runnable), later.not_demand.misconfigured), (1, 1));
    assert_eq!(later.blocked.unwrap().1, START);
}

/// What capacity cures stays demand, and is told all the same, each reason with its own time.
#[tokio::test(start_paused = true)]
async fn a_lack_of_capacity_is_told_with_its_time_and_stays_demand() {
    let with = |reason: &str| {
        let mut blocked = job("a", JobStatus::Runnable);
        reason.clone_into(&mut blocked.status_reason);
        account(vec![blocked])
    };
    let later = START + BELIEVED_AFTER;
    for reason in [
        "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - none",
        "UNDETERMINED - unknown",
    ] {
        let first = listed(&with(reason), START, Book::default()).await;
        let second = listed(&with(reason), later, first.book).await;
        assert_eq!((jobs_in(&second.runnable), second.not_demand.misconfigured), (1, 0));
        assert_eq!(second.blocked, Some((reason.to_owned(), START)));
        let misconfigured = with("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - too large");
        let third = listed(&misconfigured, later, second.book).await;
        assert_eq!((jobs_in(&third.runnable), third.blocked.unwrap().1), (1, later));
    }
    // Whatever is listed first, what no capacity cures is told.
    let told = |id: &str, reason: &str| JobSeen {
        status_reason: reason.to_owned(),
        ..job(id, JobStatus::Runnable)
    };
    let both = account(vec![told("a", "CAPACITY:none"), told("b", "MISCONFIGURATION:role")]);
    let found = listed(&both, START, Book::default()).await;
    assert_eq!(found.blocked.unwrap().0, "MISCONFIGURATION:role");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_other_jobs_and_many_nodes_are_no_demand() {
    let mut nodes = job("nodes", JobStatus::Runnable);
    nodes.nodes = 4;
    let found = listed(
        &account(vec![nodes, job("waits", JobStatus::Pending)]),
        START,
        Book::default(),
    )
    .await;
    assert_eq!(jobs_in(&found.runnable), 0);
    assert_eq!((found.not_demand.pending, found.not_demand.multi_node), (1, 1));
    assert!(found.runnable.is_exact());
}

#[tokio::test(start_paused = true)]
async fn children_are_counted_from_a_summary_and_from_what_events_told_since_it_grew_old() {
    let mut parent = job("p", JobStatus::Pending);
    parent.vcpus = Some(Vcpus::new(4000));
    parent.array = Some(ArraySeen {
        size: 100,
        summary: BTreeMap::from([(JobStatus::Runnable, 10), (JobStatus::Running, 5)]),
        updated: Some(START),
        sequential: false,
    });
    let account = account(vec![parent]);
    let mut book = Book::default();
    book.tell("p:1", JobStatus::Starting, START + Span::from_seconds(5));
    book.tell("p:1", JobStatus::Running, START + Span::from_seconds(9));
    book.tell("p:2", JobStatus::Running, START - Span::from_seconds(5));
    let young = listed(&account, START + Span::from_seconds(30), book.clone()).await;
    assert_eq!((jobs_in(&young.runnable), jobs_in(&young.placed)), (10, 5));
    assert_eq!(
        vcpus_in(&young.runnable),
        Vcpus::new(40),
        "never the parent's capacityUsage"
    );
    let old = listed(&account, START + Span::from_seconds(90), book).await;
    assert_eq!((jobs_in(&old.runnable), jobs_in(&old.placed)), (9, 6));
}

#[tokio::test(start_paused = true)]
async fn many_unknown_jobs_are_sampled_and_sizes_are_asked_for_once() {
    let few: Vec<JobSeen> = (0..150)
        .map(|at| job(&format!("few-{at}"), JobStatus::Runnable))
        .collect();
    let small = account(few);
    let sizes = Sizes::default();
    for _ in 0..2 {
        let found = list(&small, "q", START, MOST, Book::default(), &sizes).await.unwrap();
        assert!(!found.sampled && found.runnable.is_exact());
    }
    assert_eq!(
        small.with(|state| state.reads["describe_jobs"]),
        2,
        "150 jobs, 100 at once, once"
    );
    let many: Vec<JobSeen> = (0..900)
        .map(|at| job(&format!("many-{at}"), JobStatus::Runnable))
        .collect();
    let large = account(many);
    let found = listed(&large, START, Book::default()).await;
    assert!(found.sampled);
    assert_eq!(vcpus_in(&found.runnable), Vcpus::new(3600));
    assert_eq!(large.with(|state| state.reads["describe_jobs"]), 1);
}

/// Above what the environments could run, more demand changes nothing.
#[tokio::test(start_paused = true)]
async fn a_listing_ends_where_demand_exceeds_what_could_run_and_says_at_least() {
    for (most, pages, jobs, exact) in [
        (4 * 2_500, 3, 2_500, true),
        (4 * 1_999, 2, 2_000, false),
        (0, 1, 1_000, false),
    ] {
        for status in [JobStatus::Runnable, JobStatus::Running] {
            let many = (0..2_500).map(|at| job(&format!("many-{at}"), status)).collect();
            let account = account(many);
            let sizes = Sizes::default();
            let found = list(&account, "q", START, Vcpus::new(most), Book::default(), &sizes);
            let found = found.await.unwrap();
            let (counted, none) = if status == JobStatus::Runnable {
                (&found.runnable, &found.placed)
            } else {
                (&found.placed, &found.runnable)
            };
            let told = (jobs_in(counted), jobs_in(none), matches!(counted, Seen::Exactly(..)));
            assert_eq!(told, (jobs, 0, exact), "{status:?} {most}");
            // The other three statuses are a page each.
            assert_eq!(
                account.with(|state| state.reads["list_jobs"]),
                pages + 3,
                "{status:?} {most}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_jobs_that_wait_for_others_one_page_is_read_where_more_is_runnable_than_could_run() {
    for (most, pages) in [(0, 1 + 1), (4 * 2_500, 3 + 3)] {
        let of = |status| (0..2_500).map(move |at| job(&format!("{status:?}-{at}"), status));
        let account = account(of(JobStatus::Runnable).chain(of(JobStatus::Pending)).collect());
        let sizes = Sizes::default();
        let found = list(&account, "q", START, Vcpus::new(most), Book::default(), &sizes).await;
        assert!(found.unwrap().not_demand.pending > 0);
        let read = account.with(|state| state.reads["list_jobs"]);
        // And a page of each of the other two.
        assert_eq!(read, pages + 2, "{most}");
    }
}

/// An array is PENDING and tells what runs of it: were that not counted, it would be taken for jobs that still wait.
#[tokio::test(start_paused = true)]
async fn arrays_that_wait_for_others_are_read_where_more_is_runnable_than_could_run() {
    let running = |id: String| {
        let mut parent = job(&id, JobStatus::Pending);
        parent.array = Some(ArraySeen {
            size: 2,
            summary: BTreeMap::from([(JobStatus::Running, 2)]),
            updated: Some(START),
            sequential: false,
        });
        parent
    };
    for (arrays, plain, pages, counted, exact) in [
        // All arrays stand on pages that were read, whether or not one follows.
        (1_500, 400, 2, 1_500, true),
        (1_500, 2_000, 3, 1_500, false),
        (500, 1_400, 2, 500, true),
        (0, 1_001, 1, 0, false),
    ] {
        let many = (0..1_001).map(|at| job(&format!("many-{at}"), JobStatus::Runnable));
        let arrays = (0..arrays).map(|at| running(format!("array-{at}")));
        let plain = (0..plain).map(|at| job(&format!("plain-{at}"), JobStatus::Pending));
        let account = account(many.chain(arrays).chain(plain).collect());
        let sizes = Sizes::default();
        let found = list(&account, "q", START, Vcpus::ZERO, Book::default(), &sizes).await;
        let found = found.unwrap();
        assert_eq!((jobs_in(&found.placed), found.placed.is_exact()), (2 * counted, exact));
        assert!(!found.runnable.is_exact());
        assert_eq!(
            account.with(|state| state.reads["list_jobs"]),
            1 + pages + 2,
            "{counted}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn sizes_that_nobody_tells_may_raise_and_never_lower() {
    let account = account(vec![job("a", JobStatus::Runnable)]);
    account.with(|state| state.fail.insert("describe_jobs".to_owned()));
    let found = listed(&account, START, Book::default()).await;
    assert!(matches!(found.runnable, Seen::AtLeast(..)));
}

/// What waits is known all the same; of what runs, container instances tell the use.
#[tokio::test(start_paused = true)]
async fn sizes_that_nobody_tells_of_jobs_that_run_leave_those_that_wait_as_they_are() {
    let account = account(vec![job("runs", JobStatus::Running), job("waits", JobStatus::Runnable)]);
    let sizes = Sizes::default();
    sizes.put(&JobDescribed {
        seen: JobSeen::default(),
        size: Some(JobSize {
            id: "waits".to_owned(),
            shape: shape(4),
            parents: Vec::new(),
        }),
    });
    account.with(|state| state.fail.insert("describe_jobs".to_owned()));
    let found = list(&account, "q", START, MOST, Book::default(), &sizes).await;
    let found = found.unwrap();
    assert!(matches!(found.runnable, Seen::Exactly(..)), "{:?}", found.runnable);
    assert!(matches!(found.placed, Seen::AtLeast(..)), "{:?}", found.placed);
}

/// Without a summary nobody knows how many of an array's children wait: they are asked for.
#[tokio::test(start_paused = true)]
async fn children_of_an_array_without_a_summary_are_listed() {
    let mut parent = job("array", JobStatus::Pending);
    parent.array = Some(ArraySeen {
        size: 6,
        ..ArraySeen::default()
    });
    let account = account(vec![parent]);
    let child = |number: usize, status| job(&format!("array:{number}"), status);
    let children = (0..6).map(|number| {
        let status = [JobStatus::Runnable, JobStatus::Running, JobStatus::Succeeded][number % 3];
        child(number, status)
    });
    account.with(|state| state.children = children.collect());
    let found = listed(&account, START, Book::default()).await;
    assert_eq!((jobs_in(&found.runnable), jobs_in(&found.placed)), (2, 2));
    assert_eq!(found.trouble, None);
}

#[tokio::test(start_paused = true)]
async fn where_arrays_without_a_summary_are_too_many_nothing_is_counted_exactly() {
    for (arrays, exact) in [(LISTED_ARRAYS_MOST, true), (LISTED_ARRAYS_MOST + 1, false)] {
        let parent = |number: usize| {
            let mut parent = job(&format!("array-{number}"), JobStatus::Pending);
            parent.array = Some(ArraySeen {
                size: 2,
                ..ArraySeen::default()
            });
            parent
        };
        let found = listed(&account((0..arrays).map(parent).collect()), START, Book::default()).await;
        assert_eq!((found.runnable.is_exact(), found.placed.is_exact()), (exact, exact));
        assert_eq!(found.trouble.is_none(), exact);
    }
}

/// F14: Batch also says so while an instance is on its way. Once is nothing; a minute of it counts.
#[tokio::test(start_paused = true)]
async fn a_lack_of_capacity_is_believed_after_a_minute_and_forgotten_at_once() {
    let mut head = job("head", JobStatus::Runnable);
    head.status_reason = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the capacity".to_owned();
    let waits = account(vec![head]);
    let goes_on = account(vec![job("head", JobStatus::Runnable)]);
    let mut book = Book::default();
    for (seconds, account, short) in [
        (0, &waits, false),
        (30, &waits, false),
        (60, &waits, true),
        (90, &goes_on, false),
    ] {
        let found = listed(account, START + Span::from_seconds(seconds), book).await;
        assert_eq!(found.short, short, "after {seconds} s");
        assert_eq!(jobs_in(&found.runnable), 1, "it is demand all the same");
        book = found.book;
    }
    let found = listed(&waits, START + Span::from_seconds(120), book).await;
    assert!(!found.short, "from the start again");
}

/// A queue may hold more jobs than memory should.
#[tokio::test(start_paused = true)]
async fn of_a_huge_queue_all_jobs_are_counted_and_few_are_kept() {
    let mut jobs: Vec<JobSeen> = (0..12_000)
        .map(|n| job(&format!("j{n}"), JobStatus::Runnable))
        .collect();
    for late in jobs.iter_mut().skip(9_000) {
        late.definition = "late:1".to_owned();
    }
    let account = account(jobs);
    account.with(|state| {
        for (_, shape) in state.jobs.iter_mut().skip(9_000) {
            shape.resources.vcpus = Vcpus::new(8);
        }
    });
    let sizes = Sizes::default();
    let found = list(&account, "q", START, Vcpus::MAX, Book::default(), &sizes)
        .await
        .unwrap();
    assert_eq!(jobs_in(&found.runnable), 12_000);
    assert_eq!(vcpus_in(&found.runnable), Vcpus::new(9_000 * 4 + 3_000 * 8));
    assert!(found.sampled && found.runnable.is_exact());
    assert_eq!(found.jobs.len(), TOLD_MOST);
    assert!(account.with(|state| state.reads["describe_jobs"]) <= 2);
}
