//! The routes as a client sees them, over loopback.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::daemon::snapshot::{EnvironmentStatus, QueueStatus};
use crate::jobs::{JobSeen, JobStatus};
use crate::journal::{Intent, Names, Remembered, Said, Tick, Transition};
use crate::planner::plan::Levels;

const NOW: Time = Time::from_seconds(1_767_258_000);

/// Serves a snapshot and gives the answers to requests as (status line, headers and body).
async fn asked(snapshot: Snapshot, requests: &[(&str, &str, &str)]) -> Vec<(String, String)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_keep, snapshot) = watch::channel(snapshot);
    let shared = Shared {
        metrics: Arc::new(Metrics::default()),
        snapshot,
        journal: None,
        recording: Arc::new(Semaphore::new(1)),
        clock: Clock::paced(NOW),
        only_this_machine: true,
    };
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve(listener, shared, stop.clone()));
    let mut answers = Vec::new();
    for (method, path, host) in requests {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (status, rest) = answer.split_once("\r\n").unwrap();
        answers.push((status.to_owned(), rest.to_owned()));
    }
    stop.cancel();
    serving.await.unwrap().unwrap();
    answers
}

fn seen() -> Snapshot {
    let age = Some(Span::from_seconds(1));
    Snapshot {
        at: NOW,
        planned_at: Some(NOW),
        environments: vec![EnvironmentStatus {
            name: "spot".to_owned(),
            age,
            reasons: vec![Told::new("waiting", "spot: 8 vCPUs of RUNNABLE jobs wait".to_owned())],
            ..EnvironmentStatus::default()
        }],
        queues: vec![QueueStatus {
            name: "q".to_owned(),
            age,
            ..QueueStatus::default()
        }],
        ..Snapshot::default()
    }
}

#[tokio::test]
async fn no_route_changes_anything() {
    for path in [
        "/",
        "/metrics",
        "/healthz",
        "/readyz",
        "/api/v1/status",
        "/api/v1/plan",
        "/api/v1/decisions",
        "/api/v1/moments",
        "/api/v1/trace",
    ] {
        let requests = ["POST", "PUT", "PATCH", "DELETE"].map(|method| (method, path, "localhost"));
        for (status, _) in asked(seen(), &requests).await {
            assert_eq!(status, "HTTP/1.1 405 Method Not Allowed", "{path}");
        }
    }
}

#[tokio::test]
async fn only_requests_that_name_this_machine_are_answered() {
    let hosts = [
        "127.0.0.1:9464",
        "localhost:1",
        "LOCALHOST",
        "[::1]:80",
        "evil.example",
        "localhost.evil.example",
        "[::2]",
        "",
    ];
    let requests = hosts.map(|host| ("GET", "/healthz", host));
    let answers = asked(seen(), &requests).await;
    let good: Vec<bool> = answers.iter().map(|(status, _)| status.ends_with("200 OK")).collect();
    assert_eq!(
        good,
        [true, true, true, true, false, false, false, false],
        "{answers:?}"
    );
}

#[tokio::test]
async fn answers_say_what_is_and_are_never_cached() {
    let answers = asked(
        seen(),
        &[
            ("GET", "/readyz", "localhost"),
            ("GET", "/api/v1/status", "localhost"),
            ("GET", "/api/v1/plan", "localhost"),
            ("GET", "/nowhere", "localhost"),
            ("GET", "/api/v1/decisions?at=noon", "localhost"),
            ("GET", "/api/v1/decisions?lst=3", "localhost"),
            (
                "GET",
                "/api/v1/trace?from=2026-03-29T00:00:00Z&to=2026-03-28T00:00:00Z",
                "localhost",
            ),
        ],
    )
    .await;
    let statuses: Vec<&str> = answers
        .iter()
        .map(|(status, _)| &status["HTTP/1.1 ".len()..][..3])
        .collect();
    assert_eq!(
        statuses,
        ["200", "200", "200", "404", "400", "400", "400"],
        "{answers:?}"
    );
    assert!(
        answers.iter().all(|(_, rest)| rest.contains("cache-control: no-store")),
        "{answers:?}"
    );
    assert!(answers[1].1.contains("\"name\":\"spot\""), "{answers:?}");
    assert!(answers[2].1.contains("8 vCPUs of RUNNABLE jobs wait"), "{answers:?}");
    assert!(answers[4].1.contains("expected a time"), "{answers:?}");
    assert!(answers[6].1.contains("expected a time after from"), "{answers:?}");
}

#[tokio::test]
async fn the_page_refreshes_itself_and_forbids_everything_but_its_style() {
    let asked = asked(
        seen(),
        &[
            ("GET", "/", "localhost"),
            ("GET", "/?refresh=off", "localhost"),
            ("GET", "/?odd=%ff&refresh", "localhost"),
            ("GET", "/healthz", "localhost"),
        ],
    );
    let answers = asked.await;
    assert!(
        answers.iter().all(|(status, _)| status.ends_with("200 OK")),
        "{answers:?}"
    );
    let heads: Vec<&str> = answers
        .iter()
        .map(|(_, rest)| rest.split_once("\r\n\r\n").unwrap().0)
        .collect();
    assert!(
        heads[0].contains("refresh: 10") && !heads[1].contains("refresh:"),
        "{heads:?}"
    );
    for head in heads {
        for expected in [
            "content-security-policy: default-src 'none'",
            "frame-ancestors 'none'",
            "nosniff",
            "no-referrer",
            "DENY",
        ] {
            assert!(head.contains(expected), "{expected}: {head}");
        }
        assert!(!head.contains("script-src") && !head.contains("unsafe"), "{head}");
    }
    assert!(answers[0].1.contains("style-src 'sha256-") && answers[0].1.contains("8 vCPUs of RUNNABLE jobs wait"));
}

/// A journal that has seen one environment go and another come.
fn kept(folder: &tempfile::TempDir) -> Shared {
    let (journal, _) = Journal::open(&folder.path().join("journal.db")).unwrap();
    for (name, minutes) in [("gone", 2), ("spot", 1)] {
        let said = Said {
            kind: "environment".to_owned(),
            name: name.to_owned(),
            sentence: format!("{name}: 8 vCPUs wait"),
            ..Said::default()
        };
        let names = Names {
            environments: vec![name.to_owned()],
            ..Names::default()
        };
        let tick = Tick {
            at: NOW - Span::from_minutes(minutes),
            reasons: vec![said],
            names,
            ..Tick::default()
        };
        journal.tick(&tick).unwrap();
    }
    Shared {
        metrics: Arc::new(Metrics::default()),
        snapshot: watch::channel(seen()).1,
        journal: Some(journal),
        recording: Arc::new(Semaphore::new(1)),
        clock: Clock::paced(NOW),
        only_this_machine: true,
    }
}

fn of(environment: &str, at: Option<&str>) -> Query<Wanted> {
    Query(Wanted {
        environment: Some(environment.to_owned()),
        at: at.map(str::to_owned),
        ..Wanted::default()
    })
}

#[tokio::test]
async fn moments_of_what_is_not_watched_are_looked_for_only_as_of_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let shared = kept(&folder);
    let turn = Arc::new(Semaphore::new(1));
    let then = NOW - Span::from_minutes(2);
    let then = then.to_string();
    for (environment, at, status, words) in [
        ("spot", None, 200, "spot: 8 vCPUs wait"),
        ("gone", None, 404, "that are watched: spot"),
        ("gone", Some(then.as_str()), 200, "gone: 8 vCPUs wait"),
    ] {
        let answer = moments(Arc::clone(&turn), State(shared.clone()), Ok(of(environment, at))).await;
        assert_eq!(answer.status(), status, "{environment}");
        let body = axum::body::to_bytes(answer.into_body(), 10_000).await.unwrap();
        let body = String::from_utf8_lossy(&body);
        assert!(body.contains(words) && !body.contains("observation"), "{body}");
    }
}

#[tokio::test]
async fn what_was_decided_for_what_is_not_watched_any_more_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let shared = kept(&folder);
    let intent = Intent {
        number: 0,
        at: NOW - Span::from_minutes(2),
        environment: "gone".to_owned(),
        from: Levels::default(),
        to: Levels::default(),
        because: "waiting".to_owned(),
        sentence: "gone: min 0 -> 8 vCPUs".to_owned(),
        lease: None,
    };
    let journal = shared.journal.as_ref().unwrap();
    journal.commit(&intent, &Remembered::default()).unwrap();
    let turn = Arc::new(Semaphore::new(1));
    for (environment, status, decided) in [("gone", 200, "gone: min 0"), ("never", 404, "that are watched")] {
        let told = decisions(State(shared.clone()), Ok(of(environment, None))).await;
        assert_eq!(told.status(), status, "{environment}");
        let body = axum::body::to_bytes(told.into_body(), 10_000).await.unwrap();
        assert!(String::from_utf8_lossy(&body).contains(decided), "{body:?}");
        let said = moments(Arc::clone(&turn), State(shared.clone()), Ok(of(environment, None))).await;
        assert_eq!(said.status(), status, "{environment}");
    }
}

#[tokio::test(start_paused = true)]
async fn moments_are_told_to_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let shared = kept(&folder);
    let turn = Arc::new(Semaphore::new(1));
    let other = turn.acquire().await.unwrap();
    let mut asking = Box::pin(moments(Arc::clone(&turn), State(shared), Ok(of("spot", None))));
    let early = tokio::time::timeout(std::time::Duration::from_mins(1), &mut asking).await;
    assert!(early.is_err(), "it is the turn of another one");
    drop(other);
    assert_eq!(asking.await.status(), 200);
    assert_eq!(turn.available_permits(), 1);
}

/// So many jobs that their recording fits into no buffer on its way.
fn ran(journal: &Journal) {
    let transition = |number: i64| Transition {
        at: NOW,
        queue: "q".to_owned(),
        job: JobSeen {
            id: format!("job-{number}"),
            name: "align".to_owned(),
            status: JobStatus::Succeeded,
            created: Some(NOW - Span::from_seconds(90)),
            started: Some(NOW - Span::from_seconds(60)),
            stopped: Some(NOW),
            vcpus: Some(Vcpus::new(4)),
            nodes: 1,
            ..JobSeen::default()
        },
        by_event: true,
        ..Transition::default()
    };
    journal.jobs(&(0..4000).map(transition).collect::<Vec<_>>()).unwrap();
}

#[tokio::test]
async fn a_reader_that_takes_nothing_gives_up_its_turn() {
    let folder = tempfile::tempdir().unwrap();
    let shared = kept(&folder);
    ran(shared.journal.as_ref().unwrap());
    let turn = Arc::clone(&shared.recording);
    // Its connections inherit the small buffer.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(4 << 10).unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(8).unwrap();
    let address = listener.local_addr().unwrap();
    let limits = connections::Limits {
        stalled: Span::from_millis(300),
        ..connections::LIMITS
    };
    let stop = CancellationToken::new();
    let serving = tokio::spawn(connections::serve(listener, router(shared), limits, stop.clone()));
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let request = b"GET /api/v1/trace HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut begin = [0; 15];
    stream.read_exact(&mut begin).await.unwrap();
    assert_eq!(begin, *b"HTTP/1.1 200 OK");
    assert!(turn.try_acquire().is_err(), "it is being written");
    let free = crate::clock::within(Span::from_seconds(60), turn.acquire()).await;
    assert!(free.is_some(), "nobody reads it");
    stop.cancel();
    serving.await.unwrap();
}

#[tokio::test]
async fn a_loop_that_stands_still_is_told_and_so_is_what_was_never_read() {
    let still = Snapshot {
        at: NOW - Span::from_minutes(4),
        ..seen()
    };
    let mut blind = seen();
    blind.queues[0].age = None;
    let health = asked(still, &[("GET", "/healthz", "localhost")]).await;
    assert!(
        health[0].0.contains("503") && health[0].1.contains("stands still"),
        "{health:?}"
    );
    let ready = asked(blind, &[("GET", "/readyz", "localhost")]).await;
    assert!(
        ready[0].0.contains("503") && ready[0].1.contains("never read yet: q"),
        "{ready:?}"
    );
}
