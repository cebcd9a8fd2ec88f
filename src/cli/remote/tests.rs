//! Questions to a daemon over loopback, and to its journal beside it: both tell the same.

use std::sync::Arc;

use clap::Parser as _;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::cli::{Arguments, Command, explain, record};
use crate::clock::Clock;
use crate::control::Outcome;
use crate::daemon::snapshot::Snapshot;
use crate::jobs::{JobSeen, JobStatus};
use crate::journal::{Ended, Intent, Journal, Names, Remembered, Said, Tick, Transition};
use crate::metrics::Metrics;
use crate::planner::plan::Levels;
use crate::server::{self, Shared};
use crate::units::{Time, Vcpus};

const HOSTILE: &str = "q\u{1b}[2J\n\u{202e}&last=1";

/// A daemon's routes over a journal, until it is dropped.
struct Served {
    url: String,
    folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
    stop: CancellationToken,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Served {
    fn begin(journal: Option<Journal>, folder: tempfile::TempDir) -> Self {
        Self::showing(Snapshot::default(), journal, folder)
    }

    fn showing(snapshot: Snapshot, journal: Option<Journal>, folder: tempfile::TempDir) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, snapshot) = watch::channel(snapshot);
        let shared = Shared {
            metrics: Arc::new(Metrics::default()),
            snapshot,
            journal,
            recording: Arc::new(Semaphore::new(1)),
            clock: Clock::Wall,
            only_this_machine: true,
        };
        let stop = CancellationToken::new();
        let served = server::serve(listener, shared, stop.clone());
        runtime.spawn(async move {
            let _keep = sender;
            served.await
        });
        Self {
            url,
            folder,
            _runtime: runtime,
            stop,
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }
}

fn at(seconds: i64) -> Time {
    Time::from_seconds(1_767_258_000 + seconds)
}

fn levels(min: i64) -> Levels {
    Levels {
        min_vcpus: Vcpus::new(min),
        desired_vcpus: Vcpus::new(min),
        max_vcpus: Vcpus::new(256),
    }
}

fn said(kind: &str, name: &str, code: &str, sentence: &str) -> Said {
    Said {
        kind: kind.to_owned(),
        name: name.to_owned(),
        code: code.to_owned(),
        detail: (code == "limit").then(|| "cap".to_owned()),
        sentence: sentence.to_owned(),
    }
}

/// A raise of spot while on-demand is not paid for yet, and later nothing; three jobs, one of which has not ended.
fn journal(folder: &tempfile::TempDir) -> Journal {
    let (journal, _) = Journal::open(&folder.path().join("journal")).unwrap();
    let names = Names {
        environments: vec!["spot".to_owned(), "ondemand".to_owned(), "other".to_owned()],
        queues: vec![HOSTILE.to_owned(), "p".to_owned()],
        queue_environments: vec![vec!["spot".to_owned(), "ondemand".to_owned()], vec!["other".to_owned()]],
        ..Names::default()
    };
    let reasons = vec![
        said("environment", "spot", "waiting", "spot: 32 vCPUs of RUNNABLE jobs wait"),
        said(
            "environment",
            "ondemand",
            "patience",
            "ondemand: On-Demand is not paid for before noon",
        ),
        said(
            "environment",
            "other",
            "limit",
            "other: 8 vCPUs more are wanted, but the policy's cap is reached",
        ),
        said("queue", HOSTILE, "not_demand", HOSTILE),
    ];
    for (seconds, reasons) in [(0, reasons), (600, Vec::new())] {
        let tick = Tick {
            at: at(seconds),
            reasons,
            names: names.clone(),
            ..Tick::default()
        };
        journal.tick(&tick).unwrap();
    }
    for (seconds, environment, message) in [(1, "spot", ""), (2, "other", HOSTILE)] {
        decide(&journal, seconds, environment, message);
    }
    run_jobs(&journal);
    journal
}

fn decide(journal: &Journal, seconds: i64, environment: &str, message: &str) {
    let intent = Intent {
        number: 0,
        at: at(seconds),
        environment: environment.to_owned(),
        from: levels(0),
        to: levels(32),
        because: "waiting".to_owned(),
        sentence: format!("{environment}: min 0 -> 32 vCPUs: 32 vCPUs of RUNNABLE jobs wait"),
        lease: None,
    };
    let number = journal.commit(&intent, &Remembered::default()).unwrap();
    let outcome = if message.is_empty() {
        Outcome::Accepted
    } else {
        Outcome::Failed
    };
    let ended = Ended {
        at: at(seconds + 1),
        outcome,
        message: message.to_owned(),
    };
    journal.finish(number, &ended).unwrap();
}

/// Of a queue and a definition whose names should not leave the account.
fn run_jobs(journal: &Journal) {
    for (id, stopped) in [("a", Some(90)), ("b", Some(95)), ("c", None)] {
        let job = JobSeen {
            id: id.to_owned(),
            name: "align".to_owned(),
            definition: "arn:aws:batch:eu-central-1:123456789012:job-definition/secret-project:3".to_owned(),
            status: if stopped.is_some() {
                JobStatus::Succeeded
            } else {
                JobStatus::Running
            },
            created: Some(at(0)),
            started: Some(at(30)),
            stopped: stopped.map(at),
            vcpus: Some(Vcpus::new(4)),
            nodes: 1,
            ..JobSeen::default()
        };
        let transition = Transition {
            at: at(99),
            queue: HOSTILE.to_owned(),
            job,
            by_event: true,
            ..Transition::default()
        };
        journal.jobs(&[transition]).unwrap();
    }
}

fn served() -> Served {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(&folder);
    Served::begin(Some(journal), folder)
}

/// What `explain` tells with these arguments, as text and as JSON.
fn explained(arguments: &[&str]) -> Result<(String, serde_json::Value), Failed> {
    let parsed = Arguments::try_parse_from([&["autotune", "explain"], arguments].concat()).unwrap();
    let Command::Explain(parsed) = parsed.command else {
        panic!("another command")
    };
    let story = explain::story(&parsed)?;
    Ok((explain::text(&story), serde_json::to_value(&story).unwrap()))
}

#[test]
fn a_story_is_the_same_from_the_journal_and_from_the_daemon() {
    let served = served();
    let journal = served.path("journal");
    let (early, late, dead) = (at(300).to_string(), at(900).to_string(), at(1800).to_string());
    // Asked for, and what is told: updates begin with `*`.
    let cases: [(&[&str], &[&str]); 6] = [
        (
            &[],
            &["spot: 32", "ondemand: On", "other: 8", "q\\u{1b}", "* spot", "* other"],
        ),
        (
            &["--queue", HOSTILE],
            &["spot: 32", "ondemand: On", "q\\u{1b}", "* spot"],
        ),
        (&["--environment", "ondemand"], &["ondemand: On"]),
        (&["--at", &early, "--environment", "other"], &["other: 8", "* other"]),
        (&["--at", &late, "--queue", "p"], &["* other", "nothing waits"]),
        (
            &["--at", &dead, "--queue", "p"],
            &["* other", "nothing waits", "nothing was noted between"],
        ),
    ];
    for (asked, told) in cases {
        let beside = explained(&[asked, &["--journal", &journal]].concat()).unwrap();
        let over = explained(&[asked, &["--url", &served.url]].concat()).unwrap();
        assert_eq!(beside, over, "{asked:?}");
        let (text, json) = beside;
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
        let lines: Vec<&str> = text
            .lines()
            .map(|line| line[at(0).to_string().len()..].trim_start())
            .collect();
        assert_eq!(lines.len(), told.len(), "{asked:?}\n{text}");
        for (line, told) in lines.iter().zip(told) {
            assert!(line.starts_with(told), "{asked:?}: {told}\n{text}");
        }
        assert_eq!(json["version"], 1);
    }
    let (_, json) = explained(&["--journal", &journal, "--environment", "other"]).unwrap();
    let reason = &json["moments"][0]["reasons"][0];
    assert_eq!(
        (reason["code"].as_str(), reason["detail"].as_str()),
        (Some("limit"), Some("cap"))
    );
    assert_eq!(json["decisions"][0]["ended"]["outcome"], "failed");
}

#[test]
fn what_was_decided_for_what_is_not_watched_any_more_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(&folder);
    decide(&journal, 3, "gone", "");
    let served = Served::begin(Some(journal), folder);
    let beside = explained(&["--environment", "gone", "--journal", &served.path("journal")]).unwrap();
    let over = explained(&["--environment", "gone", "--url", &served.url]).unwrap();
    assert_eq!(beside, over);
    assert!(over.0.contains("* gone: min 0 -> 32 vCPUs"), "{}", over.0);
}

#[test]
fn a_name_that_nobody_knows_is_told_instead_of_silence() {
    let served = served();
    let beside = explained(&["--environment", "sopt", "--journal", &served.path("journal")]).unwrap_err();
    assert_eq!(beside.status, ExitStatus::BadInput);
    let over = explained(&["--environment", "sopt", "--url", &served.url]).unwrap_err();
    for message in [beside.message, over.message] {
        assert!(
            message.contains("\"sopt\"") && message.contains("did you mean `spot`?"),
            "{message}"
        );
    }
}

fn recorded(arguments: &[&str]) -> Result<record::Written, Failed> {
    let parsed = Arguments::try_parse_from([&["autotune", "record"], arguments].concat()).unwrap();
    let Command::Record(parsed) = parsed.command else {
        panic!("another command")
    };
    record::write(&parsed)
}

#[test]
fn a_recording_is_the_same_from_the_journal_and_from_the_daemon_but_for_its_key() {
    let served = served();
    let (near, far) = (served.path("near.jsonl"), served.path("far.jsonl.gz"));
    let beside = recorded(&["--out", &near, "--journal", &served.path("journal")]).unwrap();
    let over = recorded(&["--out", &far, "--url", &served.url]).unwrap();
    assert_eq!(beside, over);
    assert_eq!((over.jobs, over.left_out.unfinished), (2, 1));
    let read = |path: &str| {
        let options = crate::trace::ReadOptions {
            allow_missing_sizes: true,
            ..crate::trace::ReadOptions::default()
        };
        crate::trace::read(&[path.into()], &options).unwrap().trace
    };
    let (near, far) = (read(&near), read(&far));
    assert_eq!((&near.jobs, &near.shapes), (&far.jobs, &far.shapes));
    assert!(
        far.queues[0].starts_with("queue-") && far.queues != near.queues,
        "{:?}",
        far.queues
    );
    assert!(!far.names[0].contains("secret"), "{:?}", far.names);
    let (from, to) = (at(1).to_string(), at(9).to_string());
    let none = recorded(&[
        "--out",
        &served.path("none"),
        "--url",
        &served.url,
        "--from",
        &from,
        "--to",
        &to,
    ]);
    assert_eq!(none.unwrap().jobs, 0);
    let names = get(&format!("{}/api/v1/trace?keep_names=true", served.url), SHORT).unwrap_err();
    assert!(names.message.contains("400"), "{}", names.message);
}

#[test]
fn without_a_journal_or_a_recording_nothing_is_written() {
    let served = Served::begin(None, tempfile::tempdir().unwrap());
    let out = served.path("out");
    let failed = recorded(&["--out", &out, "--url", &served.url]).unwrap_err();
    assert!(failed.message.contains("no journal is kept"), "{}", failed.message);
    // A page that is no recording, as of a stranger who answers everything.
    let stray = stream(&format!("{}/metrics", served.url)).unwrap();
    let failed = record::take(stray, "http://stranger", out.as_ref()).unwrap_err();
    assert!(failed.message.contains("what is no recording"), "{}", failed.message);
    let cut = "{\"autotune_trace\":{\"version\":1,\"jobs\":3}}\n\
               {\"job\":{\"id\":0,\"submit_ms\":1700000000000,\"run_ms\":1,\"queue\":\"q\",\"name\":\"n\"}}\n";
    let cut = std::io::Cursor::new(cut);
    let failed = record::take(cut, "http://cut", out.as_ref()).unwrap_err();
    assert!(failed.message.contains("cut short"), "{}", failed.message);
    assert!(!std::path::Path::new(&out).exists());
}

#[test]
fn what_is_no_address_is_told_before_anything_is_asked() {
    let settings = Settings::default();
    for bad in [
        "",
        "localhost:9464",
        "ftp://host",
        "http://",
        "http:///path",
        "http://a b",
        "http://h/?x=1",
        "\u{1b}[2J",
    ] {
        let failed = address(Some(bad), &settings).unwrap_err();
        assert_eq!(failed.status, ExitStatus::BadInput, "{bad}");
        assert!(
            failed.message.contains("http://127.0.0.1:9464") && !failed.message.contains('\u{1b}'),
            "{}",
            failed.message
        );
    }
    for (good, expected) in [
        ("http://h:1/", "http://h:1"),
        ("https://proxy/tune", "https://proxy/tune"),
        ("http://[::1]:9", "http://[::1]:9"),
    ] {
        assert_eq!(address(Some(good), &settings).unwrap(), expected);
    }
    assert_eq!(address(None, &settings).unwrap(), "http://127.0.0.1:9464");
    let nowhere = Settings {
        listen: String::new(),
        ..settings
    };
    let failed = address(None, &nowhere).unwrap_err();
    assert_eq!(failed.status, ExitStatus::BadInput);
    assert!(failed.message.contains("serves nowhere"), "{}", failed.message);
}

#[test]
fn strangers_are_told_from_older_daemons_and_cannot_steer_a_terminal() {
    let older = refusal("u", StatusCode::NOT_FOUND, r#"{"error":"there is no such page; x"}"#);
    assert!(older.contains("older version"), "{older}");
    let long = format!("<html>\u{1b}[2J{}", "x".repeat(10_000));
    let stranger = refusal("u", StatusCode::NOT_FOUND, &long);
    assert!(
        stranger.contains("no answer of autotune") && stranger.len() < 500,
        "{stranger}"
    );
    assert!(!stranger.contains('\u{1b}'), "{stranger}");
    let ours = refusal("u", StatusCode::BAD_REQUEST, r#"{"error":"found at"}"#);
    assert_eq!(ours, "u answers 400 Bad Request: found at");
}

#[test]
fn names_from_outside_cannot_change_a_question() {
    assert_eq!(escaped("a&last=9 ü\n"), "a%26last%3D9%20%C3%BC%0A");
}

#[test]
fn health_is_that_of_the_loop() {
    let turns = Snapshot {
        at: crate::clock::now(),
        ..Snapshot::default()
    };
    for (snapshot, says) in [(turns, None), (Snapshot::default(), Some("the loop stands still"))] {
        let served = Served::showing(snapshot, None, tempfile::tempdir().unwrap());
        let arguments = Arguments::try_parse_from(["autotune", "health", "--url", &served.url]).unwrap();
        let Command::Health(arguments) = arguments.command else {
            panic!("another command");
        };
        let failed = crate::cli::health::run(&arguments).err();
        assert_eq!(failed.is_some(), says.is_some(), "{failed:?}");
        if let (Some(failed), Some(says)) = (failed, says) {
            assert!(failed.message.contains(says), "{failed:?}");
            assert_eq!(failed.status, ExitStatus::Failure);
        }
    }
}
