//! What a journal promises. What is about one part of it is in a file of its own.

#[cfg(unix)]
mod crash;
mod export;
mod ledger;
mod ticks;
mod versions;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::control::Outcome;
use crate::jobs::{Attempt, JobStatus};
use crate::units::Span;

/// A journal in a folder of its own.
fn made() -> (TempDir, PathBuf, Journal) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let (journal, recovered) = Journal::open(&path).unwrap();
    assert_eq!(recovered, Recovered::default());
    (folder, path, journal)
}

fn at(seconds: i64) -> Time {
    Time::from_seconds(1_700_000_000 + seconds)
}

fn levels(min: i64) -> Levels {
    Levels {
        min_vcpus: Vcpus::new(min),
        desired_vcpus: Vcpus::new(min),
        max_vcpus: Vcpus::new(256),
    }
}

fn lease(min: i64, expires: i64) -> Lease {
    Lease {
        min_vcpus: Vcpus::new(min),
        expires: at(expires),
    }
}

fn intent(environment: &str, seconds: i64) -> Intent {
    Intent {
        number: 0,
        at: at(seconds),
        environment: environment.to_owned(),
        from: levels(0),
        to: levels(16),
        because: "waiting".to_owned(),
        sentence: "16 vCPUs wait".to_owned(),
        lease: Some(lease(16, seconds + 600)),
    }
}

fn ended(outcome: Outcome) -> Ended {
    Ended {
        at: at(5),
        outcome,
        message: "said".to_owned(),
    }
}

fn remembered(environment: &str) -> Remembered {
    let memory = EnvironmentMemory {
        max_before: Some(Vcpus::new(512)),
        recovered_at: Some(at(1)),
        ..EnvironmentMemory::default()
    };
    Remembered {
        environments: BTreeMap::from([(environment.to_owned(), memory)]),
        ..Remembered::default()
    }
}

fn all() -> Asked {
    Asked {
        last: usize::MAX,
        ..Asked::default()
    }
}

/// Tidies to the end, and tells in how many transactions.
fn tidied(journal: &Journal, tidying: Tidying) -> usize {
    let steps = std::iter::successors(Some(tidying), |left| journal.tidy(*left).unwrap());
    steps.take(100_000).count()
}

#[test]
fn an_intent_is_open_until_its_outcome_and_its_lease_is_never_lost_between() {
    for (outcome, stands) in [
        (Outcome::Accepted, true),
        (Outcome::Failed, true),
        (Outcome::Raced, false),
        (Outcome::Overshoot, false),
        (Outcome::Throttled, false),
    ] {
        let (_folder, path, journal) = made();
        let number = journal.commit(&intent("spot", 1), &remembered("spot")).unwrap();
        drop(journal);
        let (journal, recovered) = Journal::open(&path).unwrap();
        let expected = Intent {
            number,
            ..intent("spot", 1)
        };
        assert_eq!((recovered.open, recovered.memory), (vec![expected], remembered("spot")));
        journal.finish(number, &ended(outcome)).unwrap();
        drop(journal);
        let (journal, recovered) = Journal::open(&path).unwrap();
        assert_eq!(recovered.open, []);
        let held = recovered.leases.get("spot").copied();
        assert_eq!(
            held,
            stands.then_some((lease(16, 601), Some(Vcpus::new(512)))),
            "{outcome:?}"
        );
        let decisions = journal.decisions(&all()).unwrap();
        assert_eq!(decisions[0].ended, Some(ended(outcome)));
        assert!(journal.finish(number + 1, &ended(outcome)).is_err());
    }
}

#[test]
fn leases_are_replaced_as_a_whole() {
    let (_folder, path, journal) = made();
    let one = BTreeMap::from([
        ("a".to_owned(), (lease(1, 1), None)),
        ("b".to_owned(), (lease(2, 2), None)),
    ]);
    let two = BTreeMap::from([("b".to_owned(), (lease(3, 3), Some(Vcpus::new(9))))]);
    journal.leases(&one).unwrap();
    journal.leases(&two).unwrap();
    drop(journal);
    assert_eq!(Journal::open(&path).unwrap().1.leases, two);
}

#[test]
fn decisions_are_told_newest_first_of_what_was_asked() {
    let (_folder, _path, journal) = made();
    for (environment, seconds) in [("a", 1), ("b", 2), ("a", 3)] {
        journal
            .commit(&intent(environment, seconds), &Remembered::default())
            .unwrap();
    }
    let times = |asked: Asked| -> Vec<i64> {
        let decisions = journal.decisions(&asked).unwrap();
        decisions
            .iter()
            .map(|d| d.intent.at.since(at(0)).millis() / 1000)
            .collect()
    };
    let of = |name: &str| Some(name.to_owned());
    assert_eq!(times(all()), [3, 2, 1]);
    assert_eq!(times(Asked { last: 1, ..all() }), [3]);
    assert_eq!(
        times(Asked {
            environment: of("a"),
            ..all()
        }),
        [3, 1]
    );
    assert_eq!(
        times(Asked {
            at: Some(at(2)),
            ..all()
        }),
        [2, 1]
    );
    assert_eq!(
        times(Asked {
            queue: of("a"),
            ..all()
        }),
        Vec::<i64>::new()
    );
}

#[test]
fn a_second_writer_is_refused_and_a_reader_is_not() {
    let (_folder, path, journal) = made();
    let refused = Journal::open(&path).unwrap_err().to_string();
    assert!(
        refused.contains("journal.db") && refused.contains("another process"),
        "{refused}"
    );
    let reader = Journal::read(&path).unwrap();
    journal.commit(&intent("a", 1), &Remembered::default()).unwrap();
    assert_eq!(reader.decisions(&all()).unwrap().len(), 1);
    assert!(reader.commit(&intent("a", 1), &Remembered::default()).is_err());
    drop((journal, reader));
    Journal::open(&path).unwrap();
    let reader = Journal::read(&path).unwrap();
    assert_eq!(reader.decisions(&all()).unwrap().len(), 1);
}

#[test]
fn files_of_others_and_of_newer_versions_are_refused_and_left_alone() {
    let (folder, path, journal) = made();
    drop(journal);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let foreign = folder.path().join("foreign.db");
    let connection = rusqlite::Connection::open(&foreign).unwrap();
    connection.execute_batch("CREATE TABLE other (a)").unwrap();
    drop(connection);
    let text = folder.path().join("text");
    fs::write(
        &text,
        "not a database, but long enough to have a header of its own. ".repeat(20),
    )
    .unwrap();
    for (path, says) in [
        (&path, "found version 99"),
        (&foreign, "another program"),
        (&text, "not a database"),
        (&folder.path().join("nowhere").join("a"), "folder"),
    ] {
        let before = fs::read(path).ok();
        let refused = Journal::open(path).unwrap_err().to_string();
        assert!(refused.contains(says) && refused.contains("hint: "), "{refused}");
        assert_eq!(fs::read(path).ok(), before);
    }
    let missing = Journal::read(&folder.path().join("missing")).unwrap_err().to_string();
    assert!(missing.contains("hint: "), "{missing}");
}

#[test]
fn a_memory_that_cannot_be_read_is_said_and_costs_neither_leases_nor_intents() {
    let (_folder, path, journal) = made();
    journal.commit(&intent("a", 1), &remembered("a")).unwrap();
    drop(journal);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute("UPDATE memory SET body = '{}'", []).unwrap();
    drop(connection);
    let (_journal, recovered) = Journal::open(&path).unwrap();
    assert!(recovered.forgotten.is_some());
    assert_eq!((recovered.memory, recovered.open.len()), (Remembered::default(), 1));
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, _path, journal) = made();
    journal.commit(&intent("a", 1), &Remembered::default()).unwrap();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
}

#[test]
fn on_a_full_disk_writes_fail_whole_and_work_again_with_room() {
    let (_folder, _path, journal) = made();
    let limit = |pages: i64| {
        let writer = journal.inner.writer.as_ref().unwrap().lock().unwrap();
        writer
            .connection
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
            .unwrap();
    };
    limit(40);
    let seen = |number: i64| Transition {
        at: at(number),
        queue: "q".repeat(500),
        job: JobSeen {
            id: format!("job-{number}"),
            status: JobStatus::Runnable,
            ..JobSeen::default()
        },
        ..Transition::default()
    };
    let mut noted = 0;
    let refused = loop {
        let batch: Vec<_> = (noted..noted + 10).map(seen).collect();
        match journal.jobs(&batch) {
            Ok(()) => noted += 10,
            Err(error) => break error.to_string(),
        }
        assert!(noted < 10_000);
    };
    assert!(refused.contains("full") && refused.contains("hint: "), "{refused}");
    // A batch is one, whatever else fits.
    let count = |sql: &str| -> i64 {
        journal
            .look("", |reader| Ok(reader.query_row(sql, [], |row| row.get(0))?))
            .unwrap()
    };
    assert_eq!(count("SELECT count(*) FROM jobs"), noted);
    assert_eq!(count("SELECT count(*) FROM transitions"), noted);
    let big = Remembered {
        environments: (0..500)
            .map(|n| (format!("environment-{n}"), EnvironmentMemory::default()))
            .collect(),
        ..Remembered::default()
    };
    assert!(journal.commit(&intent("a", 1), &big).is_err());
    assert_eq!(journal.decisions(&all()).unwrap(), []);
    limit(1_000_000);
    journal.commit(&intent("a", 1), &big).unwrap();
    journal.jobs(&[seen(noted)]).unwrap();
    assert_eq!(count("SELECT count(*) FROM jobs"), noted + 1);
}

#[test]
fn what_is_old_or_too_much_is_dropped_but_never_what_is_open() {
    let (_folder, path, journal) = made();
    let open = journal.commit(&intent("open", 0), &remembered("a")).unwrap();
    let done = journal.commit(&intent("done", 0), &remembered("a")).unwrap();
    journal.finish(done, &ended(Outcome::Accepted)).unwrap();
    let tick = |number: i64| Tick {
        at: at(number * 60),
        reasons: vec![Said {
            name: format!("{number}").repeat(300),
            ..Said::default()
        }],
        ..Tick::default()
    };
    for number in 0..400 {
        journal.tick(&tick(number)).unwrap();
        let job = JobSeen {
            id: format!("job-{number}"),
            name: "n".repeat(2_000),
            ..JobSeen::default()
        };
        let seen = Transition {
            at: at(number * 60),
            job,
            ..Transition::default()
        };
        journal.jobs(&[seen]).unwrap();
    }
    tidied(&journal, Tidying::new(at(200 * 60), u64::MAX));
    assert_eq!(journal.ticks(&all()).unwrap().len(), 200);
    let most = 400_000;
    tidied(&journal, Tidying::new(at(0), most));
    assert!(fs::metadata(&path).unwrap().len() <= most);
    let kept = journal.ticks(&all()).unwrap();
    assert!(!kept.is_empty() && kept.len() < 200);
    assert_eq!(kept[0], tick(399), "the newest stays");
    // What comes next needs a keyframe that is still there.
    tidied(&journal, Tidying::new(Time::FAR_FUTURE, 0));
    journal.tick(&tick(400)).unwrap();
    assert_eq!(journal.ticks(&all()).unwrap(), [tick(400)]);
    let left: Vec<i64> = journal
        .decisions(&all())
        .unwrap()
        .iter()
        .map(|d| d.intent.number)
        .collect();
    assert_eq!(left, [open]);
    drop(journal);
    let (_journal, recovered) = Journal::open(&path).unwrap();
    assert_eq!((recovered.memory, recovered.leases.len()), (remembered("a"), 1));
}

#[test]
fn the_latest_of_environments_is_looked_for_among_so_many_decisions_only() {
    let (_folder, _path, journal) = made();
    for (environment, seconds) in [("old", 1), ("a", 2), ("b", 3), ("a", 4), ("other", 5)] {
        let number = journal
            .commit(&intent(environment, seconds), &remembered(environment))
            .unwrap();
        journal.finish(number, &ended(Outcome::Accepted)).unwrap();
    }
    let asked = || ["a", "b", "never", "old"].map(str::to_owned).into();
    let latest = |most| -> Vec<(String, Time)> {
        let latest = journal.latest(asked(), most).unwrap();
        assert!(latest.values().all(|decision| decision.ended.is_some()));
        latest
            .into_iter()
            .map(|(name, decision)| (name, decision.intent.at))
            .collect()
    };
    let (a, b, old) = (
        ("a".to_owned(), at(4)),
        ("b".to_owned(), at(3)),
        ("old".to_owned(), at(1)),
    );
    assert_eq!(latest(5), [a.clone(), b.clone(), old]);
    assert_eq!(latest(4), [a, b]);
}

#[test]
fn hostile_names_come_back_as_they_were() {
    let (_folder, path, journal) = made();
    let names = [
        "a'; DROP TABLE jobs; --",
        "\"\n\r\t\0\u{1b}[31m",
        "\u{202e}\u{fffd}",
        "",
        &"x".repeat(1 << 20),
    ];
    for name in names {
        let number = journal.commit(&intent(name, 1), &remembered(name)).unwrap();
        journal.finish(number, &ended(Outcome::Accepted)).unwrap();
        let asked = Asked {
            environment: Some(name.to_owned()),
            ..all()
        };
        let said = Said {
            kind: "environment".to_owned(),
            name: name.to_owned(),
            ..Said::default()
        };
        journal
            .tick(&Tick {
                at: at(1),
                reasons: vec![said],
                ..Tick::default()
            })
            .unwrap();
        assert_eq!(journal.decisions(&asked).unwrap()[0].intent.environment, name);
        assert_eq!(journal.ticks(&asked).unwrap()[0].reasons[0].name, name);
        let job = JobSeen {
            id: name.to_owned(),
            started: Some(at(2)),
            status: JobStatus::Running,
            ..JobSeen::default()
        };
        let seen = Transition {
            at: at(3),
            queue: name.to_owned(),
            job,
            ..Transition::default()
        };
        journal.jobs(&[seen]).unwrap();
    }
    drop(journal);
    let (_journal, recovered) = Journal::open(&path).unwrap();
    for name in names {
        assert_eq!(recovered.heard[name].open, [name]);
    }
    let leases: Vec<_> = recovered.leases.keys().map(String::as_str).collect();
    let mut expected = names.to_vec();
    expected.sort_unstable();
    assert_eq!(leases, expected);
}
