//! The page as text: what is in it, and that nothing from outside changes what it is made of.

use std::collections::BTreeSet;

use super::*;
use crate::control::Outcome;
use crate::daemon::checking::{Checked, Found};
use crate::daemon::snapshot::{Demand, NoDemand, QueueStatus, QuotaStatus, SqsStatus, Told, Waited};
use crate::daemon::twin::{Measured, Saved, Side, Source, Twin};
use crate::explain::{self, hostile};
use crate::journal::{Ended, Intent};
use crate::overrides::{Order, Override};
use crate::planner::plan::Levels;
use crate::units::{MicroUsd, Vcpus};

/// 2026-01-01 09:00.
const NOW: Time = Time::from_seconds(1_767_258_000);

fn decision(environment: &str, sentence: &str, message: &str) -> Decision {
    let ended = Ended {
        at: NOW,
        outcome: if message.is_empty() {
            Outcome::Accepted
        } else {
            Outcome::Failed
        },
        message: message.to_owned(),
    };
    Decision {
        intent: Intent {
            number: 1,
            at: NOW - Span::from_minutes(2),
            environment: environment.to_owned(),
            from: Levels::default(),
            to: Levels::default(),
            because: "waiting".to_owned(),
            sentence: sentence.to_owned(),
            lease: None,
        },
        ended: Some(ended),
    }
}

fn decided(decisions: Vec<Decision>) -> History {
    let last = decisions
        .iter()
        .map(|decision| (decision.intent.environment.clone(), decision.clone()));
    History {
        last: last.collect(),
        decisions: Ok(decisions),
    }
}

fn told(name: &str) -> Vec<Told> {
    let doing = Told {
        rank: 3,
        ..Told::new("waiting", name.to_owned())
    };
    vec![Told::new("unreadable", name.to_owned()), doing]
}

fn ordered() -> Override {
    Override {
        order: Order::Boost(Vcpus::new(64)),
        since: NOW - Span::from_minutes(10),
        until: NOW + Span::from_minutes(10),
    }
}

fn named_environment(name: &str) -> EnvironmentStatus {
    let age = Some(Span::from_seconds(12));
    EnvironmentStatus {
        name: name.to_owned(),
        purchase: name.to_owned(),
        steered: true,
        usable: true,
        min_vcpus: Vcpus::new(64),
        desired_vcpus: Vcpus::new(128),
        max_vcpus: Vcpus::new(256),
        there_vcpus: Vcpus::new(96),
        used_vcpus: Vcpus::new(80),
        lease_expires: Some(NOW + Span::from_minutes(14)),
        backs_off_until: Some(NOW + Span::from_minutes(1)),
        dry_until: Some(NOW + Span::from_minutes(5)),
        per_hour: Some(MicroUsd::new(4_800_000)),
        quotas: vec![name.to_owned(), "L-unknown".to_owned()],
        instances_age: age,
        age,
        overridden: Some(ordered()),
        reasons: told(name),
        ..EnvironmentStatus::default()
    }
}

fn named_queue(name: &str) -> QueueStatus {
    QueueStatus {
        name: name.to_owned(),
        runnable_jobs: 1_240,
        oldest: Some(Span::from_seconds(252)),
        no_demand: Some(NoDemand::default()),
        blocked: Some((name.to_owned(), NOW - Span::from_minutes(3))),
        environments: vec![name.to_owned()],
        demand: Some(Demand::default()),
        age: Some(Span::from_seconds(12)),
        overridden: Some(ordered()),
        reasons: told(name),
        ..QueueStatus::default()
    }
}

/// Everything that comes from outside is called so.
fn named(name: &str) -> (Snapshot, History, Twin) {
    let text = || name.to_owned();
    let age = Some(Span::from_seconds(12));
    let environment = named_environment(name);
    let queue = named_queue(name);
    let snapshot = Snapshot {
        at: NOW,
        version: text(),
        account: text(),
        region: text(),
        leads: true,
        planned_at: Some(NOW),
        reload_refused: Some(text()),
        environments: vec![environment],
        queues: vec![queue],
        sqs: vec![SqsStatus {
            name: text(),
            queue: text(),
            age,
            reasons: told(name),
            ..SqsStatus::default()
        }],
        quotas: vec![QuotaStatus {
            code: text(),
            limit_vcpus: Some(Vcpus::new(640)),
            left_vcpus: Some(Vcpus::ZERO),
            sentence: text(),
            link: text(),
            ..QuotaStatus::default()
        }],
        checked: Some(Checked {
            at: NOW,
            findings: vec![Found {
                code: text(),
                severity: text(),
                subject: text(),
                message: text(),
            }],
            could_not_check: 1,
        }),
        ..Snapshot::default()
    };
    let side = |wait| Side {
        mean: Some(Span::from_seconds(wait)),
        curve: vec![None, Some(Span::from_seconds(wait))],
        ..Side::default()
    };
    let twin = Twin {
        model: text(),
        jobs: 108,
        tuned: side(10),
        alone: side(200),
        ..Twin::default()
    };
    (snapshot, decided(vec![decision(name, name, name)]), twin)
}

fn written(snapshot: &Snapshot, history: &History, twin: Option<&Twin>, now: Time) -> String {
    let refresh = Some(ANEW);
    let mut snapshot = snapshot.clone();
    snapshot.saved = twin
        .cloned()
        .map(|twin| Saved::Known(Box::new(twin)))
        .or(snapshot.saved);
    let page = Page {
        snapshot: &snapshot,
        now,
        history,
        refresh,
    };
    view::document(&page).into_string()
}

/// Elements with the names of their attributes, as a browser would find them: `td class data-heading`.
fn elements(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once('<') {
        let mut element = String::new();
        let mut quoted = false;
        let end = after.find(|c| {
            quoted ^= c == '"';
            if !quoted && c != '"' && c != '>' {
                element.push(c);
            }
            c == '>' && !quoted
        });
        found.push(element.replace('=', ""));
        rest = &after[end.expect("an element ends")..];
    }
    found
}

#[test]
fn whatever_things_are_called_the_page_has_the_same_elements() {
    let (snapshot, history, twin) = named("harmless");
    let expected = elements(&written(&snapshot, &history, Some(&twin), NOW));
    assert!(expected.len() > 200, "{expected:?}");
    for name in hostile::corpus() {
        let (snapshot, history, twin) = named(&name);
        let page = written(&snapshot, &history, Some(&twin), NOW);
        let mut found = elements(&page);
        // A text of several lines is shown as several.
        if name.contains('\n') {
            found.dedup();
            let mut expected = expected.clone();
            expected.dedup();
            let lines = |all: &[String]| {
                all.iter()
                    .filter(|element| !element.ends_with("li"))
                    .cloned()
                    .collect::<Vec<_>>()
            };
            assert_eq!(lines(&found), lines(&expected), "{name:?}");
        } else {
            assert_eq!(found, expected, "{name:?}");
        }
        let text = page.replace(STYLE, "");
        assert!(!hostile::has_invisible(&text), "{name:?}");
        assert!(text.contains(hostile::MARK), "{name:?}");
        assert!(text.len() < 120_000, "{} bytes for {name:?}", text.len());
    }
}

#[test]
fn nothing_runs_and_nothing_is_loaded() {
    let (snapshot, history, twin) = named("harmless");
    let elements: BTreeSet<String> = elements(&written(&snapshot, &history, Some(&twin), NOW))
        .into_iter()
        .collect();
    for element in &elements {
        let (name, attributes) = element.split_once(' ').unwrap_or((element, ""));
        assert!(
            ![
                "script", "img", "link", "iframe", "form", "object", "base", "input", "button"
            ]
            .contains(&name),
            "{element}"
        );
        assert!(
            !attributes
                .split(' ')
                .any(|name| name.starts_with("on") || name == "src" || name == "style"),
            "{element}"
        );
    }
    // An address from outside becomes a link only where it is one of the web.
    for name in hostile::corpus() {
        let (snapshot, history, _) = named(&name);
        let page = written(&snapshot, &history, None, NOW);
        assert_eq!(
            page.matches("href=").count(),
            page.matches("href=\"/").count() + page.matches("href=\"?").count()
        );
    }
}

#[test]
fn what_autotune_says_is_on_the_page_word_for_word() {
    let setup = crate::planner::worlds::spot_then_on_demand();
    for reason in explain::examples() {
        let sentence = explain::sentence(&setup, &reason);
        let (mut snapshot, history, _) = named("harmless");
        let told = Told {
            rank: explain::precedence(&reason.because),
            ..Told::new(explain::code(&reason.because), sentence.clone())
        };
        snapshot.environments[0].reasons = vec![told];
        let page = written(&snapshot, &history, None, NOW);
        let escaped = sentence
            .replace('&', "&amp;")
            .replace('"', "&quot;")
            .replace('>', "&gt;")
            .replace('<', "&lt;");
        // What people ordered stands under its own heading.
        let expected = if explain::code(&reason.because) == "ordered" {
            "Overrides"
        } else {
            &escaped
        };
        assert!(page.contains(expected), "{sentence}");
    }
}

#[test]
fn the_first_screen_says_whether_jobs_wait_how_long_and_since_when() {
    let (mut snapshot, history, _) = named("nightly");
    let page = written(&snapshot, &history, None, NOW);
    for words in [
        "<title>1,240 jobs wait",
        "1,240 jobs wait</h1>",
        "<strong>4m 12s</strong>, since <time datetime=\"2026-01-01T08:55:48Z\"",
        "its head has been blocked for 3m: nightly",
        "$4.80<span class=\"unit\"> an hour",
        "$0.80 of it idle, of that $0.80 held by autotune",
        "no guard: nothing puts base back",
        "quota L-unknown is unknown",
    ] {
        assert!(page.contains(words), "`{words}` is missing in\n{page}");
    }
    assert!(!page.contains("saved"), "nothing is known of a twin");
    snapshot.queues[0].runnable_jobs = 1;
    snapshot.queues[0].at_least = true;
    assert!(written(&snapshot, &history, None, NOW).contains("At least 1 job waits</h1>"));
    (snapshot.queues[0].runnable_jobs, snapshot.queues[0].blocked) = (0, None);
    assert!(written(&snapshot, &history, None, NOW).contains("No job waits</h1>"));
}

#[test]
fn jobs_that_no_capacity_cures_wait_too_and_it_is_said_why() {
    let apart = |misconfigured_jobs, reserved_jobs, multi_node_jobs| {
        Some(NoDemand {
            misconfigured_jobs,
            reserved_jobs,
            multi_node_jobs,
        })
    };
    let said: [(i64, bool, Option<NoDemand>, &[&str]); 8] = [
        (0, true, None, &["At least 1 job waits, and it cannot start</h1>"]),
        (0, true, apart(1, 0, 0), &[">1 job waits, and it cannot start</h1>"]),
        (
            0,
            true,
            apart(12, 0, 0),
            &[
                ">12 jobs wait, none of them can start</h1>",
                "nightly: 12 jobs are blocked by MISCONFIGURATION",
            ],
        ),
        // Batch may start these yet, also if it says that it lacks capacity for them.
        (0, true, apart(0, 0, 1), &[">1 job waits</h1>"]),
        (
            0,
            false,
            apart(0, 0, 2),
            &[">2 jobs wait</h1>", "nightly: 2 jobs are multi-node"],
        ),
        (
            0,
            false,
            apart(0, 3, 0),
            &[">3 jobs wait</h1>", "nightly: 3 jobs are held by a fair-share"],
        ),
        (
            5,
            true,
            apart(12, 0, 0),
            &[">17 jobs wait</h1>", "data-heading=\"waiting\">17<"],
        ),
        (0, false, apart(0, 0, 0), &[">No job waits</h1>"]),
    ];
    for (runnable_jobs, blocked, no_demand, expected) in said {
        let (mut snapshot, history, _) = named("nightly");
        let queue = &mut snapshot.queues[0];
        (queue.runnable_jobs, queue.no_demand) = (runnable_jobs, no_demand);
        queue.blocked = queue.blocked.take().filter(|_| blocked);
        let page = written(&snapshot, &history, None, NOW);
        for words in expected {
            assert!(page.contains(words), "`{words}` is missing in\n{page}");
        }
    }
}

#[test]
fn figures_are_of_what_was_read_and_of_what_is_ours() {
    let (mut snapshot, history, _) = named("nightly");
    let whole = written(&snapshot, &history, None, NOW);
    for words in [
        "<p class=\"figure\">0<span class=\"unit\"> vCPUs coming",
        "<p>64 vCPUs held above base",
    ] {
        assert!(whole.contains(words), "`{words}` is missing in\n{whole}");
    }
    assert!(whole.contains("What is there now, at list prices of "), "{whole}");
    snapshot.spot_prices_of = Some(NOW - Span::from_minutes(25));
    let priced = written(&snapshot, &history, None, NOW);
    assert!(
        priced.contains("Spot at the prices that EC2 told 25m ago (the mean over zones), the rest at list prices of "),
        "{priced}"
    );
    let mut other = named_environment("other");
    other.lease_expires = None;
    other.instances_age = Some(Span::from_minutes(20));
    snapshot.environments.extend([other, EnvironmentStatus::default()]);
    let page = written(&snapshot, &history, None, NOW);
    for words in [
        "<p class=\"figure\"><span class=\"unit\">at least </span>0<span class=\"unit\"> vCPUs coming",
        "<p>At least 64 vCPUs held above base",
        "<span class=\"unit\">at least </span>$4.80",
        "Without 1 environment of unknown price. Without 1 environment last read 20m ago.",
    ] {
        assert!(page.contains(words), "`{words}` is missing in\n{page}");
    }
    snapshot.environments = vec![snapshot.environments.remove(1)];
    let page = written(&snapshot, &history, None, NOW);
    assert!(page.contains("Instances were last read 20m ago."), "{page}");
}

#[test]
fn what_is_not_known_is_never_a_zero() {
    let nothing = Snapshot {
        at: NOW,
        environments: vec![EnvironmentStatus {
            name: "e".to_owned(),
            steered: true,
            ..EnvironmentStatus::default()
        }],
        queues: vec![QueueStatus {
            name: "q".to_owned(),
            ..QueueStatus::default()
        }],
        sqs: vec![SqsStatus {
            name: "s".to_owned(),
            queue: "q".to_owned(),
            ..SqsStatus::default()
        }],
        quotas: vec![QuotaStatus {
            code: "L-1".to_owned(),
            ..QuotaStatus::default()
        }],
        ..Snapshot::default()
    };
    let page = written(&nothing, &decided(vec![]), None, NOW);
    assert!(page.contains("Not known whether jobs wait</h1>"), "{page}");
    assert!(page.contains("never read yet"), "{page}");
    // Base is the policy's own; everything else was never seen.
    let zeros = page.replace("data-heading=\"base\">0<", "").matches(">0<").count();
    assert_eq!(zeros, 0, "{page}");
    let cells = page.matches("number unknown").count();
    assert_eq!(cells, 6 + 4, "environment and source:\n{page}");
    assert!(
        page.contains("colspan=\"13\">unknown: its jobs were never read<"),
        "{page}"
    );
}

#[test]
fn ages_grow_while_nothing_is_told_and_a_loop_that_stands_still_is_said_first() {
    let (snapshot, history, _) = named("nightly");
    let page = written(&snapshot, &history, None, NOW + Span::from_seconds(30));
    assert!(
        page.contains("<strong>4m 42s</strong>") && !page.contains("stands still"),
        "{page}"
    );
    let later = written(&snapshot, &history, None, NOW + Span::from_minutes(20));
    let (still, first) = (later.find("autotune stands still").unwrap(), later.find("<h1").unwrap());
    assert!(still < first, "{later}");
    assert!(
        later.contains("Not known whether jobs wait</h1>"),
        "readings of twenty minutes ago tell nothing of now"
    );
    assert!(later.contains("last read 20m 12s ago"), "{later}");
}

#[tokio::test]
async fn the_last_change_of_what_is_only_watched_is_not_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(&folder.path().join("journal.db")).unwrap();
    let mut all = vec!["a", "watched"];
    all.extend(["b"; DECISIONS]);
    for name in all {
        let memory = crate::journal::Remembered::default();
        journal.commit(&decision(name, "", "").intent, &memory).unwrap();
    }
    let watched = EnvironmentStatus::default();
    let steered = EnvironmentStatus {
        steered: true,
        ..watched.clone()
    };
    let leased = EnvironmentStatus {
        lease_expires: Some(NOW),
        ..watched.clone()
    };
    let updated = EnvironmentStatus {
        accepted: 1,
        ..watched.clone()
    };
    assert_eq!(
        [steered, leased, updated, watched].map(|one| is_changed(&one)),
        [true, true, true, false]
    );
    let found = history(Some(journal), ["a", "never"].map(str::to_owned).into()).await;
    assert_eq!(found.last.keys().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn waits_of_no_jobs_are_no_waits_of_zero() {
    let (mut snapshot, history, _) = named("nightly");
    let page = written(&snapshot, &history, None, NOW);
    assert!(page.contains("data-heading=\"half today\">–<"), "{page}");
    let seconds = |seconds| Some(Span::from_seconds(seconds));
    snapshot.queues[0].today = Waited {
        jobs: 9,
        half: seconds(8),
        most: seconds(75),
        longest: seconds(300),
    };
    let page = written(&snapshot, &history, None, NOW);
    assert!(
        page.contains("\"half today\">8s<")
            && page.contains("\"95 % today\">75s<")
            && page.contains("\"longest today\">5m<"),
        "{page}"
    );
}

#[test]
fn the_twin_is_said_to_be_simulated() {
    let (snapshot, history, twin) = named("recent");
    let page = written(&snapshot, &history, Some(&twin), NOW);
    for words in [
        "What it saved <span class=\"chip\">simulated</span>",
        "20.0×",
        "mean of 108 jobs",
        "model recent",
    ] {
        assert!(page.contains(words), "`{words}` is missing in\n{page}");
    }
}

#[test]
fn a_replayed_day_says_what_it_is_of_what_a_minute_cost_and_what_was_measured() {
    let (mut snapshot, history, mut twin) = named("recent");
    twin.source = Source::Recording;
    twin.at = NOW;
    twin.lasts = Span::from_minutes(24 * 60);
    twin.left_out = 3;
    twin.tuned.cost = MicroUsd::new(9_000_000);
    twin.alone.cost = MicroUsd::new(5_580_000);
    twin.measured = Some(Measured {
        jobs: 100,
        mean: Span::from_seconds(31),
    });
    let page = written(&snapshot, &history, Some(&twin), NOW);
    for words in [
        "What it saved <span class=\"chip\">simulated</span>",
        "342 minutes of waiting saved, at $0.0100 each.",
        "Measured, not simulated: 100 of these jobs were RUNNING <strong>31s</strong>",
        "jobs of the 24:00 hours until <time",
        "without 3 jobs that cannot be compared",
    ] {
        assert!(page.contains(words), "`{words}` is missing in\n{page}");
    }
    snapshot.dry_run = true;
    let page = written(&snapshot, &history, Some(&twin), NOW);
    assert!(page.contains("What it would save <span"), "{page}");
    twin.tuned.cost = twin.alone.cost;
    let page = written(&snapshot, &history, Some(&twin), NOW);
    assert!(page.contains("saved, for no more than before."), "{page}");
    (twin.tuned.mean, twin.alone.mean) = (twin.alone.mean, twin.tuned.mean);
    let page = written(&snapshot, &history, Some(&twin), NOW);
    assert!(page.contains(" 342 minutes of waiting more."), "{page}");
}

#[test]
fn a_replay_that_failed_says_why_and_shows_no_figure() {
    let (mut snapshot, history, _) = named("nightly");
    snapshot.saved = Some(Saved::Unknown {
        at: NOW,
        why: "No job <b>started</b>.".to_owned(),
    });
    let page = written(&snapshot, &history, None, NOW);
    let (_, rest) = page.split_once("id=\"saved\"").unwrap();
    let (answer, _) = rest.split_once("</section>").unwrap();
    assert!(
        answer.contains("unknown") && answer.contains("No job &lt;b&gt;started"),
        "{answer}"
    );
    assert!(!answer.contains('×') && !answer.contains('$'), "{answer}");
}
