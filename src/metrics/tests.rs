use std::collections::{BTreeMap, BTreeSet};

use super::series::decides;
use super::*;
use crate::explain::reasons_table;
use crate::forecast::Forecast;
use crate::ids::{EnvironmentIndex, QueueIndex};
use crate::observation::{EnvironmentNow, Gap, GapReason, QueueNow};
use crate::overrides::Order;
use crate::planner::Inputs;
use crate::planner::memory::Memory;
use crate::planner::plan::{Action, Hold, Levels, Limit, NotDemandKind};
use crate::planner::worlds;
use crate::units::Span;

/// One line of the exposition.
#[derive(Debug, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// A strict reader of the text format, version 0.0.4: every sample stands under the HELP and TYPE of its family, no family and
/// no series comes twice.
fn parse(text: &str) -> Vec<Sample> {
    assert!(text.ends_with('\n'));
    let mut samples: Vec<Sample> = Vec::new();
    let (mut family, mut kind, mut families) = (String::new(), String::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            family = rest.split_once(' ').unwrap().0.to_owned();
            assert!(families.insert(family.clone()), "{family} comes twice");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (of, is) = rest.split_once(' ').unwrap();
            assert_eq!(of, family);
            assert!(["counter", "gauge", "histogram"].contains(&is));
            is.clone_into(&mut kind);
        } else {
            let sample = parse_sample(line);
            let stem = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| sample.name.strip_suffix(end))
                .filter(|_| kind == "histogram");
            assert_eq!(stem.unwrap_or(&sample.name), family, "{line}");
            let again = samples
                .iter()
                .any(|s| s.name == sample.name && s.labels == sample.labels);
            assert!(!again, "twice: {line}");
            samples.push(sample);
        }
    }
    samples
}

fn parse_sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, mut rest) = match series.split_once('{') {
        Some((name, rest)) => (name, rest.strip_suffix('}').unwrap()),
        None => (series, ""),
    };
    let mut labels = BTreeMap::new();
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"").unwrap();
        let (mut text, mut end) = (String::new(), None);
        let mut characters = after.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    end = Some(at + 1);
                    break;
                }
                '\\' => text.push(match characters.next().unwrap().1 {
                    'n' => '\n',
                    escaped @ ('\\' | '"') => escaped,
                    other => panic!("{other} is no escape: {line}"),
                }),
                other => text.push(other),
            }
        }
        assert!(labels.insert(label.to_owned(), text).is_none());
        let after = &after[end.unwrap()..];
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    Sample {
        name: name.to_owned(),
        labels,
        value: value.parse().unwrap(),
    }
}

fn value(metrics: &Metrics, series: &str) -> Option<f64> {
    let wanted = parse_sample(&format!("{series} 0"));
    parse(&metrics.render())
        .into_iter()
        .find(|s| s.name == wanted.name && s.labels == wanted.labels)
        .map(|s| s.value)
}

/// A setup of so many environments and queues, with two quotas and two SQS sources.
fn setup(environments: usize, queues: usize) -> Setup {
    let mut setup = worlds::spot_then_on_demand();
    let (environment, queue) = (setup.environments[0].clone(), setup.queues[0].clone());
    setup.environments.clear();
    setup.queues.clear();
    for number in 0..environments {
        let mut next = environment.clone();
        next.name = format!("environment-{number}");
        setup.environments.push(next);
    }
    for number in 0..queues {
        let mut next = queue.clone();
        next.name = format!("queue-{number}");
        setup.queues.push(next);
    }
    setup.quotas = ["L-34B43A08", "L-1216C47A"]
        .map(|code| crate::setup::QuotaSetup {
            code: code.to_owned(),
            limit: None,
            reserve: Vcpus::ZERO,
        })
        .to_vec();
    setup.sqs_sources = ["inbox", "urgent"]
        .map(|name| crate::setup::SqsSetup {
            name: name.to_owned(),
            queue: QueueIndex(0),
            hand_off: crate::setup::HandOff::Workers { messages_per_worker: 1 },
            job: crate::observation::Shape::default(),
            cap: None,
            patience: Span::from_minutes(1),
        })
        .to_vec();
    setup
}

#[test]
fn names_units_and_labels_follow_the_rules() {
    const LABELS: &[&str] = &[
        "environment",
        "queue",
        "kind",
        "outcome",
        "direction",
        "limit",
        "reason",
        "rule",
        "severity",
        "service",
        "operation",
        "code",
        "path",
        "source",
    ];
    let mut names = BTreeSet::new();
    for family in ALL {
        let name = family.name;
        assert!(names.insert(name), "{name} twice");
        assert!(name.starts_with("autotune_") && !name.contains("__"), "{name}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
        assert_eq!(family.kind == Kind::Counter, name.ends_with("_total"), "{name}");
        if matches!(family.kind, Kind::Histogram(_)) {
            assert!(name.ends_with("_seconds"), "{name}: histograms are of time");
        }
        let unit = match family.unit {
            "seconds" => "_seconds",
            "vCPUs" => "_vcpus",
            "ratio" => "_ratio",
            "jobs" => "_jobs",
            "Unix time, seconds" => "_timestamp_seconds",
            "vCPU seconds" => "_vcpu_seconds",
            "USD" => "_usd",
            "USD per hour" => "_usd_per_hour",
            _ => "",
        };
        let stem = name.trim_end_matches("_total");
        assert!(stem.ends_with(unit), "{name} is in {}", family.unit);
        // The help says the unit.
        let said = match family.unit {
            "seconds" | "Unix time, seconds" => "seconds",
            "ratio" => "0 to 1",
            "vCPUs" => "vCPUs",
            "USD" | "USD per hour" => "US dollars",
            _ => "",
        };
        assert!(
            family.help.contains(said) && !family.help.ends_with('.'),
            "{name}: {}",
            family.help
        );
        for label in family.labels {
            let is_info = *label == "version" && name.ends_with("_info");
            assert!(LABELS.contains(label) || is_info, "{name} has the label {label}");
        }
    }
    let waits = Bounds::Waits.seconds();
    assert_eq!((waits.first(), waits.last()), (Some(&10.0), Some(&3600.0)));
    assert!(waits.contains(&10.0) && waits.contains(&60.0), "the goals are bounds");
}

#[test]
fn every_family_is_registered_and_has_a_row_in_the_table() {
    let metrics = Metrics::new();
    metrics.reset(&setup(1, 1));
    metrics.requests(&[("batch", "ListJobs", "ok", 1)]);
    metrics.checked(&[("AT101", "error", 1.0)], Time::from_seconds(1_767_258_000));
    let text = metrics.render();
    let table = metrics_table();
    for family in ALL {
        assert!(
            text.contains(&format!("# TYPE {} ", family.name)),
            "{} is missing",
            family.name
        );
        let rows = table
            .lines()
            .filter(|row| row.starts_with(&format!("| `{}` |", family.name)));
        assert_eq!(rows.count(), 1, "{}", family.name);
    }
    assert_eq!(table.lines().count(), ALL.len() + 2);
    assert!(table.lines().all(|row| row.matches('|').count() == 7), "{table}");
}

/// F21: no dashboard waits for the first event.
#[test]
fn all_series_are_there_before_anything_happens_and_within_the_budget() {
    for (environments, queues) in [(0, 0), (1, 0), (0, 1), (10, 5), (50, 50)] {
        let metrics = Metrics::new();
        let setup = setup(environments, queues);
        metrics.reset(&setup);
        let before = parse(&metrics.render());
        let others = setup.quotas.len() + setup.sqs_sources.len();
        let most = 70 + 10 * others + 30 * environments + 40 * queues;
        assert!(before.len() <= most, "{} series, {most} allowed", before.len());
        for (label, each, many) in [
            ("environment", 30, environments),
            ("queue", 40, queues),
            ("code", 10, setup.quotas.len()),
            ("source", 1, 10 * setup.sqs_sources.len() + 3 * queues),
        ] {
            let of_it = before.iter().filter(|sample| sample.labels.contains_key(label)).count();
            assert!(of_it <= each * many, "{of_it} series of {many} {label}");
        }
        if environments >= 10 {
            // Twenty findings of `check`, and as many answers of AWS as are told apart.
            assert!(before.len() + 20 + MOST_REQUEST_SERIES <= 60 + 40 * environments + 40 * queues);
        }
        live(&metrics, &setup);
        let after = parse(&metrics.render());
        let names = |samples: &[Sample]| -> Vec<String> {
            samples.iter().map(|s| format!("{} {:?}", s.name, s.labels)).collect()
        };
        assert_eq!(names(&before), names(&after), "nothing is born late");
    }
}

/// Everything that happens to a daemon.
fn live(metrics: &Metrics, setup: &Setup) {
    let mut plan = Plan::default();
    let now = Time::from_seconds(1_000);
    let environments = setup.environments.iter();
    let mut observation = Observation {
        environments: environments
            .map(|_| Seen::Exactly(now, EnvironmentNow::default()))
            .collect(),
        ..Observation::default()
    };
    observation.instances = setup.environments.iter().map(|_| Seen::default()).collect();
    observation.queues = setup.queues.iter().map(|_| QueueNow::default()).collect();
    observation.sqs = setup
        .sqs_sources
        .iter()
        .map(|_| Seen::Exactly(now, SqsNow::default()))
        .collect();
    observation.quotas = setup.quotas.iter().map(|_| Seen::default()).collect();
    let (memory, forecast) = (Memory::new(setup, now), Forecast::default());
    plan.reset(&Inputs {
        setup,
        observation: &observation,
        memory: &memory,
        forecast: &forecast,
        now,
    });
    for reason in explain::examples() {
        plan.say(reason.subject, reason.because);
        if decides(&reason.because) {
            let levels = Levels::default();
            plan.actions
                .push(Action::new(EnvironmentIndex(0), levels, levels, reason.because));
        }
    }
    metrics.planned(setup, &observation, &plan, now, 0.001);
    for outcome in OUTCOMES {
        metrics.ended("environment-0", outcome);
    }
    for kind in HINTS.into_iter().chain(["never heard of"]) {
        metrics.hinted(kind, 1);
    }
    for kind in ["wait", "avoidable_wait", "start_latency", "never heard of"] {
        metrics.waited("queue-0", 7.0, kind);
    }
    for source in SOURCES.into_iter().chain(["never heard of"]) {
        metrics.started("queue-0", source, 0.5);
    }
    metrics.queue("queue-0", Some(Span::from_seconds(9)), Some(now));
    metrics.queue("gone", None, None);
    metrics.oldest_message("inbox", Some(Span::from_seconds(9)));
    metrics.oldest_message("gone", None);
    metrics.failed("reading");
    metrics.failed("weather");
    metrics.lease("environment-0", Some(now));
    metrics.guarded("environment-0", true);
    metrics.reloaded(true);
    metrics.leads(true);
    metrics.dry_run(false);
    metrics.costs(Some(Cost::default()), 1);
    metrics.simulated(Some(Simulated::default()));
    // Told late of what is gone.
    metrics.lease("gone", None);
    metrics.guarded("gone", true);
    metrics.ended("gone", Outcome::Failed);
    metrics.waited("gone", 1.0, "wait");
    metrics.started("gone", "events", 1.0);
}

#[test]
fn the_age_of_the_oldest_message_shows_while_it_is_known() {
    let metrics = Metrics::new();
    metrics.reset(&setup(1, 1));
    let told = || value(&metrics, r#"autotune_sqs_oldest_message_age_seconds{source="inbox"}"#);
    for (age, expected) in [(Some(Span::from_seconds(90)), 90.0), (None, 0.0)] {
        metrics.oldest_message("inbox", age);
        assert_eq!(told(), Some(expected));
    }
}

#[test]
fn a_plan_shows_in_gauges_that_fall_back_when_it_is_over() {
    let metrics = Metrics::new();
    let setup = setup(2, 1);
    metrics.reset(&setup);
    let environment = Subject::Environment(EnvironmentIndex(1));
    let mut plan = Plan {
        look_again_at: Time::from_seconds(40),
        ..Plan::default()
    };
    plan.say(environment, Because::Limit(Limit::Cap, Vcpus::new(8)));
    plan.say(environment, Because::Hold(Hold::Updating, Time::FAR_FUTURE));
    plan.say(environment, Because::DoubleLaunch(Vcpus::new(16)));
    plan.say(environment, Because::Ordered(Order::Pause, Time::from_seconds(99)));
    plan.say(
        Subject::Queue(QueueIndex(0)),
        Because::NotDemand(NotDemandKind::Pending, 3),
    );
    plan.say(
        Subject::Queue(QueueIndex(0)),
        Because::Ordered(Order::Drain, Time::from_seconds(77)),
    );
    let series = [
        (r#"autotune_limited_vcpus{limit="cap"}"#, 8.0, 0.0),
        (r#"autotune_held_environments{kind="updating"}"#, 1.0, 0.0),
        (r#"autotune_not_demand_jobs{kind="pending"}"#, 3.0, 0.0),
        (
            r#"autotune_environment_override_expires_timestamp_seconds{environment="environment-1"}"#,
            99.0,
            0.0,
        ),
        (
            r#"autotune_queue_override_expires_timestamp_seconds{queue="queue-0"}"#,
            77.0,
            0.0,
        ),
        (
            r#"autotune_environment_double_launch_vcpus_total{environment="environment-1"}"#,
            16.0,
            16.0,
        ),
        ("autotune_last_successful_tick_timestamp_seconds", 30.0, 45.0),
        ("autotune_tick_lag_seconds", 0.0, 5.0),
    ];
    metrics.planned(&setup, &Observation::default(), &plan, Time::from_seconds(30), 0.5);
    for (series, during, _) in series {
        assert_eq!(value(&metrics, series), Some(during), "{series}");
    }
    metrics.planned(
        &setup,
        &Observation::default(),
        &Plan::default(),
        Time::from_seconds(45),
        0.5,
    );
    for (series, _, after) in series {
        assert_eq!(value(&metrics, series), Some(after), "{series}");
    }
    assert_eq!(
        value(&metrics, r#"autotune_tick_duration_seconds_bucket{le="1"}"#),
        Some(2.0)
    );
}

#[test]
fn a_part_that_was_never_read_is_infinitely_old() {
    let metrics = Metrics::new();
    let setup = setup(1, 0);
    metrics.reset(&setup);
    let now = Time::from_seconds(100);
    let mut observation = Observation::default();
    let age = r#"autotune_environment_signal_age_seconds{environment="environment-0",kind="environment"}"#;
    for (seen, expected) in [
        (Seen::default(), f64::INFINITY),
        (Seen::Exactly(Time::from_seconds(88), EnvironmentNow::default()), 12.0),
        (
            Seen::Missing(Gap {
                since: Time::from_seconds(60),
                why: GapReason::Denied,
            }),
            40.0,
        ),
    ] {
        observation.environments = vec![seen];
        metrics.planned(&setup, &observation, &Plan::default(), now, 0.0);
        assert_eq!(value(&metrics, age), Some(expected));
    }
}

#[test]
fn a_reload_drops_what_is_gone_and_keeps_what_stays() {
    let metrics = Metrics::new();
    metrics.reset(&setup(2, 1));
    metrics.ended("environment-0", Outcome::Accepted);
    metrics.ended("environment-1", Outcome::Accepted);
    metrics.waited("queue-0", 3.0, "wait");
    metrics.reset(&setup(1, 0));
    let text = metrics.render();
    assert!(!text.contains("environment-1") && !text.contains("queue-0"));
    let accepted = r#"autotune_environment_updates_total{environment="environment-0",outcome="accepted"}"#;
    assert_eq!(value(&metrics, accepted), Some(1.0), "a counter never falls");
}

#[test]
fn hostile_names_and_many_error_codes_do_no_harm() {
    let metrics = Metrics::new();
    let mut setup = setup(1, 0);
    let forged = "a\"} 1\nautotune_leader 1\\".to_owned();
    for hostile in explain::hostile::corpus().into_iter().chain([forged]) {
        hostile.clone_into(&mut setup.environments[0].name);
        metrics.reset(&setup);
        let named = parse(&metrics.render())
            .iter()
            .filter(|s| s.labels.get("environment") == Some(&hostile))
            .count();
        assert!(named > 20, "{named} of {hostile:?}");
    }
    let codes: Vec<String> = (0..1_000).map(|number| format!("code-{number}")).collect();
    for code in &codes {
        metrics.requests(&[("batch", "ListJobs", code, 2)]);
    }
    metrics.requests(&[("batch", "ListJobs", "code-0", 2)]);
    let requests: Vec<Sample> = parse(&metrics.render())
        .into_iter()
        .filter(|s| s.name == "autotune_aws_requests_total")
        .collect();
    assert_eq!(requests.len(), MOST_REQUEST_SERIES);
    let total: f64 = requests.iter().map(|s| s.value).sum();
    assert!((total - 2_002.0).abs() < 0.5, "every request is counted once: {total}");
}

#[test]
fn reason_labels_are_codes_of_the_documented_reasons() {
    let table = reasons_table();
    let series = global_series();
    let of_reasons = series.iter().filter(|(family, _)| **family == families::REASONS);
    let reasons: Vec<&str> = of_reasons.map(|(_, labels)| labels[0]).collect();
    assert!(reasons.len() >= 15);
    for reason in reasons {
        assert!(table.contains(&format!("| `{reason}` |")), "{reason}");
    }
}

#[test]
fn idle_capacity_adds_up_while_it_is_seen() {
    let metrics = Metrics::new();
    let setup = setup(1, 0);
    metrics.reset(&setup);
    let series = r#"autotune_environment_idle_vcpu_seconds_total{environment="environment-0"}"#;
    let seen = |at: i64, there: i64, used: i64| {
        let instances = InstancesNow {
            there: Vcpus::new(there),
            used: Vcpus::new(used),
            ..InstancesNow::default()
        };
        Seen::Exactly(Time::from_seconds(at), instances)
    };
    let gap = Seen::Missing(Gap {
        since: Time::from_seconds(0),
        why: GapReason::Denied,
    });
    // When, what was seen, and the sum by then: what stood idle before stood so until now.
    for (millis, instances, expected) in [
        (10_000, seen(10, 8, 2), 0.0),
        (20_500, seen(20, 8, 8), 63.0),
        (30_000, seen(30, 1, 0), 63.0),
        (30_700, seen(30, 1, 0), 63.0),
        (31_400, seen(30, 1, 0), 64.0),
        (41_000, gap, 64.0),
        (51_000, seen(51, 4, 0), 64.0),
        (52_000, seen(51, 4, 0), 68.0),
        // Not read for too long: nobody knows what stands there.
        (900_000, seen(51, 4, 0), 68.0),
        (901_000, seen(901, 4, 0), 68.0),
        (900_000, seen(900, 4, 0), 68.0),
    ] {
        let observation = Observation {
            instances: vec![instances],
            ..Observation::default()
        };
        metrics.planned(&setup, &observation, &Plan::default(), Time::from_millis(millis), 0.0);
        assert_eq!(value(&metrics, series), Some(expected), "{millis}");
    }
}

#[test]
fn the_page_tells_of_what_is_there() {
    let page = metrics_page();
    assert!(page.ends_with(&metrics_table()));
    let names = page.split(|c: char| !(c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit()));
    for name in names.filter(|name| name.starts_with("autotune_")) {
        let stem = name.trim_end_matches("_bucket");
        assert!(ALL.iter().any(|family| family.name == stem), "{name} is no metric");
    }
    assert!(page.contains(&format!("{MOST_REQUEST_SERIES} at most")));
}

#[test]
fn findings_that_are_gone_are_counted_as_none() {
    let metrics = Metrics::new();
    metrics.checked(
        &[("AT101", "error", 2.0), ("AT203", "info", 1.0)],
        Time::from_seconds(1_767_258_000),
    );
    metrics.checked(&[("AT203", "info", 1.0)], Time::from_seconds(1_767_258_000));
    let text = metrics.render();
    for line in [
        r#"autotune_check_findings{rule="AT101",severity="error"} 0"#,
        r#"autotune_check_findings{rule="AT203",severity="info"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}
