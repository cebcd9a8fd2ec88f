use proptest::prelude::*;

use super::*;
use crate::simulate::summary::{Quantiles, Summary, Waits};

const KNOWN: Known<'static> = Known {
    candidates: &["reactive", "stock", "stock+20m", "static-10%", "target-tracking", "60s"],
    queues: &["spot-queue", "a.b"],
};

#[test]
fn what_is_written_is_what_is_meant() {
    let cases = [
        ("avoidable_wait_p95 <= 60s", "avoidable_wait_p95 <= 1m"),
        ("avoidable_wait_p95_seconds<=90s", "avoidable_wait_p95 <= 1m 30s"),
        ("cost <= 1.1 * stock", "cost <= 1.1 * stock"),
        ("cost_usd < 1*stock+20m", "cost < stock+20m"),
        ("cost <= $0.138194", "cost <= $0.138194"),
        (
            "start_latency_p50 < 0.5 * target-tracking",
            "start_latency_p50 < 0.5 * target-tracking",
        ),
        ("within_10s >= 80%", "within_10s >= 80%"),
        ("within_10s >= static-10%", "within_10s >= static-10%"),
        ("refused == 0", "refused == 0"),
        ("wait_mean <= 1 * 60s", "wait_mean <= 1 * 60s"),
        ("queue:a.b.wait_p99 > 2h", "queue:a.b.wait_p99 > 2h"),
        (" queue:spot-queue.started != 3.5 ", "queue:spot-queue.started != 3.5"),
    ];
    for (text, shown) in cases {
        let parsed = Assertion::parse(text, KNOWN).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
        assert_eq!(parsed.to_string(), shown);
    }
}

#[test]
fn every_problem_is_told_with_what_was_expected() {
    let cases: [(&str, &[&str]); 14] = [
        ("", &["no comparison"]),
        ("cost = 5", &["no comparison"]),
        ("wait_p59 <= 60s", &["metric \"wait_p59\"", "did you mean `wait_p5"]),
        ("speed <= 60s", &["metric \"speed\"", "figures are wait_mean"]),
        ("wait_p95 <= 60", &["found \"60\"", "a span", "write `60s`"]),
        ("wait_p95 <= $60", &["found \"$60\"", "a span"]),
        ("wait_p95 <= -5s", &["found \"-5s\"", "a span"]),
        ("cost <= 5", &["dollars", "write `$5`"]),
        ("within_10s >= 0.8", &["a percentage", "write `0.8%`"]),
        ("within_10s >= 180%", &["a percentage"]),
        ("refused == none", &["candidate \"none\"", "`stock`"]),
        ("cost <= 1.1 * stok", &["candidate \"stok\"", "did you mean `stock`?"]),
        ("cost <= NaN * stock", &["factor \"NaN\""]),
        ("queue:spot-queue.cost <= $5", &["`cost` of one queue"]),
    ];
    for (text, parts) in cases {
        let problems = Assertion::parse(text, KNOWN).unwrap_err();
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        for part in parts {
            assert!(
                told.iter().any(|told| told.contains(part)),
                "{text}: {part} not in {told:?}"
            );
        }
    }
}

#[test]
fn all_problems_of_all_assertions_come_at_once() {
    let problems = parse(
        ["queue:spot.cots <= 2 * stok", "wait_mean <= stock", "refused < many"],
        KNOWN,
    )
    .unwrap_err();
    let told = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for part in [
        "queue \"spot\"",
        "metric \"cots\"",
        "candidate \"stok\"",
        "candidate \"many\"",
    ] {
        assert!(told.contains(part), "{part} not in\n{told}");
    }
    assert_eq!(problems.len(), 4);
}

fn candidate(name: &str, waits: &[f64], cost: i64) -> Compared {
    let run = |wait: &f64| Summary {
        all: Waits {
            started: 10,
            wait: Quantiles {
                mean: *wait,
                p95: *wait,
                ..Quantiles::default()
            },
            within_10s: 0.1,
            ..Waits::default()
        },
        cost: MicroUsd::new(cost),
        ..Summary::default()
    };
    Compared {
        name: name.to_owned(),
        runs: waits.iter().map(run).collect(),
        notes: Vec::new(),
    }
}

fn check(text: &str, compared: &[Compared]) -> Verdict {
    Assertion::parse(text, KNOWN).unwrap().check(compared)
}

#[test]
fn the_mean_over_seeds_decides_and_single_seeds_are_counted() {
    let compared = [
        candidate("reactive", &[10.0, 50.0, 30.0], 11_000_000),
        candidate("stock", &[40.0, 40.0, 40.0], 10_000_000),
    ];
    let cases = [
        ("wait_p95 <= 30s", true, 2),
        ("wait_p95 < 30s", false, 1),
        ("wait_p95 < stock", true, 2),
        ("wait_p95 <= 0.5 * stock", false, 1),
        ("cost <= 1.1 * stock", true, 3),
        ("cost < 1.1 * stock", false, 0),
        ("within_10s == 10%", true, 3),
        ("refused == 0", true, 3),
        ("refused != 0", false, 0),
        ("queue:spot-queue.wait_mean > 29s", true, 2),
    ];
    for (text, held, seeds_held) in cases {
        let verdict = check(text, &compared);
        assert_eq!(
            (verdict.held, verdict.seeds_held),
            (held, seeds_held),
            "{text}: {verdict}"
        );
    }
}

#[test]
fn a_verdict_says_found_and_expected() {
    let compared = [
        candidate("reactive", &[60.0004, 60.0004], 12_500_000),
        candidate("stock", &[40.0, 600.0], 10_000_000),
    ];
    let told = |text: &str| check(text, &compared).to_string();
    insta::assert_snapshot!(told("cost <= 1.1 * stock"), @"failed: cost <= 1.1 * stock: found $12.50, expected <= $11.00 (1.1 * $10.00); holds in 0 of 2 seeds");
    insta::assert_snapshot!(told("wait_p95 <= 60s"), @"failed: wait_p95 <= 1m: found 60.0004 seconds, expected <= 60 seconds; holds in 0 of 2 seeds");
    insta::assert_snapshot!(told("wait_mean < stock"), @"held: wait_mean < stock: found 60s, expected < 5m 20s; holds in 1 of 2 seeds");
}

#[test]
fn nothing_to_measure_fulfils_no_claim() {
    let compared = [candidate("reactive", &[1.0], 0)];
    for text in [
        "makespan_mean <= 1h",
        "makespan_mean > 1h",
        "makespan_max != 1h",
        "cost <= stock",
    ] {
        let verdict = check(text, &compared);
        assert!(!verdict.held, "{verdict}");
        assert!(verdict.text.contains("nothing to measure"), "{verdict}");
    }
    assert!(!check("refused == 0", &[]).held);
}

fn assertions() -> impl Strategy<Value = Assertion> {
    let operator = prop::sample::select(&Operator::ALL[..]);
    let metric = prop::sample::select(Metric::ALL.iter().collect::<Vec<_>>());
    let queue = prop::option::of(prop::sample::select(KNOWN.queues));
    let name = prop::sample::select(KNOWN.candidates);
    let factor = prop_oneof![Just(1.0), 0.0..1e9_f64];
    let right = (any::<bool>(), name, factor, 0..9_000_000_000_000_i64, 0.0..1e12_f64);
    (queue, metric, operator, right).prop_map(|(queue, metric, operator, (value, name, factor, whole, number))| {
        let name = name.to_owned();
        let value = value.then(|| match metric.unit {
            Unit::Seconds => Value::Lasting(Span::from_millis(whole)),
            Unit::Usd => Value::Money(MicroUsd::new(whole)),
            Unit::Ratio => Value::Percent(whole % 10_001),
            Unit::VcpuHours | Unit::Count => Value::Number(number),
        });
        Assertion {
            queue: queue.filter(|_| metric.is_per_queue()).map(str::to_owned),
            metric,
            operator,
            right: value.map_or(Right::Candidate { factor, name }, Right::Value),
        }
    })
}

proptest! {
    #[test]
    fn what_is_shown_reads_back_as_the_same(assertion in assertions()) {
        prop_assert_eq!(Assertion::parse(&assertion.to_string(), KNOWN), Ok(assertion));
    }

    #[test]
    fn no_text_makes_it_panic_and_every_refusal_has_a_reason(text in ".{0,80}") {
        if let Err(problems) = Assertion::parse(&text, KNOWN) {
            prop_assert!(!problems.is_empty());
        }
    }

    #[test]
    fn nearly_right_texts_do_not_panic_either(
        text in "(queue:)?(a\\.b\\.)?(wait_p95|cost|within_10s|refused|x)? ?(<=|<|=|!=|>)? ?[0-9.e$%*sm hN-]{0,12}(stock|tock)?"
    ) {
        if let Err(problems) = Assertion::parse(&text, KNOWN) {
            prop_assert!(!problems.is_empty());
        }
    }
}
