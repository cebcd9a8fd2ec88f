use super::*;
use crate::jobs::JobSeen;
use crate::journal::Asked;
use crate::planner::plan::Levels;

fn told(id: &str) -> Transition {
    let job = JobSeen {
        id: id.to_owned(),
        ..JobSeen::default()
    };
    Transition {
        job,
        ..Transition::default()
    }
}

fn noted(kept: &Kept) -> Vec<String> {
    kept.0.lock().unwrap().jobs.clone()
}

#[tokio::test]
async fn transitions_that_a_full_disk_did_not_take_are_written_before_those_that_follow() {
    let kept = Kept::default();
    let writer = Writer::start(
        Store::Memory(kept.clone()),
        Retention::default(),
        Arc::default(),
        Clock::Wall,
    );
    kept.fill(true);
    for id in ["a", "b"] {
        assert_eq!(writer.jobs(vec![told(id)]), []);
    }
    writer.flush().await.unwrap();
    assert_eq!(noted(&kept), [""; 0]);
    kept.fill(false);
    assert_eq!(writer.jobs(vec![told("c")]), []);
    writer.flush().await.unwrap();
    assert_eq!(noted(&kept), ["a", "b", "c"]);
}

/// Whoever watches for days beside a full disk keeps no more than that in memory; and the way out is free again afterwards.
#[tokio::test]
async fn what_there_is_no_room_for_is_given_back() {
    let kept = Kept::default();
    let writer = Writer::start(
        Store::Memory(kept.clone()),
        Retention::default(),
        Arc::default(),
        Clock::Wall,
    );
    kept.fill(true);
    assert_eq!(writer.jobs(vec![told("a"); TRANSITIONS_MOST]), []);
    writer.flush().await.unwrap();
    assert_eq!(writer.jobs(vec![told("b")]), [told("b")]);
    kept.fill(false);
    for _ in 0..2 {
        // There is room as soon as this has been gone through.
        writer.flush().await.unwrap();
    }
    assert_eq!(noted(&kept).len(), TRANSITIONS_MOST);
    assert_eq!(writer.jobs(vec![told("b")]), []);
    writer.flush().await.unwrap();
    assert_eq!(noted(&kept).last().map(String::as_str), Some("b"));
}

fn intent(at: Time) -> Intent {
    let levels = |min| Levels {
        min_vcpus: Vcpus::new(min),
        desired_vcpus: Vcpus::new(min),
        max_vcpus: Vcpus::new(256),
    };
    Intent {
        number: 0,
        at,
        environment: "spot".to_owned(),
        from: levels(0),
        to: levels(16),
        because: "waiting".to_owned(),
        sentence: "16 vCPUs wait".to_owned(),
        lease: Some(Lease {
            min_vcpus: Vcpus::new(16),
            expires: at + Span::from_minutes(10),
        }),
    }
}

fn journal() -> (tempfile::TempDir, Journal) {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(&folder.path().join("journal.db")).unwrap();
    (folder, journal)
}

fn decisions(journal: &Journal) -> Vec<Decision> {
    let asked = Asked {
        last: 100,
        ..Asked::default()
    };
    journal.decisions(&asked).unwrap()
}

const NOON: Time = Time::from_seconds(1_767_268_800);

/// Whoever asked has given up, so that nothing is sent: nothing is open after it, and no lease is in force.
#[tokio::test]
async fn an_intent_that_nobody_waits_for_any_more_has_an_end_and_leaves_no_lease() {
    let (folder, journal) = journal();
    let store = Store::Journal(journal.clone());
    let writer = Writer::start(store, Retention::default(), Arc::default(), Clock::Wall);
    drop(writer.commit(intent(NOON), Remembered::default()));
    writer.flush().await.unwrap();
    let ending = decisions(&journal)[0].ending();
    assert_eq!(ending, "not sent: the journal took too long");
    drop(journal);
    writer.end().await;
    let (_, recovered) = Journal::open(&folder.path().join("journal.db")).unwrap();
    assert_eq!((recovered.open.len(), recovered.leases.len()), (0, 0));
}

/// The operator made room, and nothing is to be written for hours.
#[tokio::test(start_paused = true)]
async fn that_a_journal_can_be_written_again_shows_within_a_minute_on_a_quiet_account_too() {
    let (kept, metrics) = (Kept::default(), Arc::new(Metrics::default()));
    let store = Store::Memory(kept.clone());
    let writer = Writer::start(store, Retention::default(), Arc::clone(&metrics), Clock::Wall);
    let writable = || metrics.render().contains("\nautotune_journal_writable 1");
    kept.fill(true);
    writer.finished(Leases::new(), None);
    assert_eq!(writer.jobs(vec![told("a")]), []);
    for _ in 0..10 {
        clock::wait(Span::from_minutes(1)).await;
        assert!(!writable());
    }
    kept.fill(false);
    clock::wait(Span::from_minutes(1)).await;
    assert!(writable());
    assert_eq!(noted(&kept), ["a"]);
}

/// A commit in between waits for one of them at most.
#[tokio::test]
async fn tidying_is_many_entries_each_behind_what_came_meanwhile() {
    let (_folder, journal) = journal();
    let store = Store::Journal(journal.clone());
    for _ in 0..3 {
        let number = store.commit(&intent(NOON), &Remembered::default()).unwrap();
        let ended = Ended {
            at: NOON,
            outcome: Outcome::Accepted,
            message: String::new(),
        };
        store.finish(number, &ended).unwrap();
    }
    let later = NOON + Span::from_minutes(365 * 24 * 60);
    let mut owed = Owed::default();
    let tidy = Entry::Tidy(Tidying::new(later, u64::MAX));
    perform(&store, Clock::Wall, tidy, &mut owed).unwrap();
    assert_eq!(decisions(&journal).len(), 3, "one step of many is taken");
    assert!(owed.tidying.is_some());

    let mut writer = Writer::start(store, Retention::default(), Arc::default(), Clock::Wall);
    writer.tidy(later);
    for _ in 0..100 {
        writer.flush().await.unwrap();
    }
    assert_eq!(decisions(&journal), []);
    writer.end().await;
}
