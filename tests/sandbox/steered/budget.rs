//! How many requests of AWS a busy account costs, counted by the daemon's own metrics over the wire.

use std::fmt::Write as _;

use autotune::units::Span;

use super::{Case, Steered, Work};

/// What was promised for five queues and ten environments, without what five SQS queues cost: each is read every quarter of a minute,
/// and its oldest message every five minutes.
const MOST_A_MINUTE: f64 = 150.0 - 5.0 * 4.2;

/// Five queues, each with Spot and On-Demand.
fn scenario() -> String {
    let mut scenario = "version = 1\nmodel = \"recent\"\n".to_owned();
    for queue in 0..5 {
        for purchase in ["spot", "on_demand"] {
            write!(
                scenario,
                "[[environments]]\nname = \"{purchase}-{queue}\"\npurchase = \"{purchase}\"\nmax_vcpus = 64\n\
                 instance_types = [\"c6i\", \"m6i\"]\ntags = {{ autotune = \"enabled\" }}\n"
            )
            .unwrap();
        }
        write!(
            scenario,
            "[[queues]]\nname = \"q{queue}\"\nenvironments = [\"spot-{queue}\", \"on_demand-{queue}\"]\n"
        )
        .unwrap();
    }
    scenario
}

/// Jobs come all the time, to every queue.
fn work() -> Work {
    (0..200).fold(Work::default(), |work, number| {
        work.burst_to(&format!("q{}", number % 5), 2, number * 12, 150)
    })
}

/// The daemon's counters of requests, a line each.
fn counters(metrics: &str) -> impl Iterator<Item = &str> {
    let lines = metrics.lines();
    lines.filter(|line| line.starts_with("autotune_aws_requests_total{"))
}

/// Requests so far.
fn requests(metrics: &str) -> f64 {
    counters(metrics)
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

#[test]
fn a_busy_account_costs_no_more_requests_than_promised() {
    let policy = "version = 1\n[queues.\"*\"]\nidle_time = \"5m\"\n";
    // Slowly: a daemon that is late at everything asks for little.
    let case = Case {
        speed: 20,
        ..Case::new(&scenario(), policy, work())
    };
    let steered = Steered::begin(&case);
    let minutes = 20.0;
    let begun = steered.until("raised", |state| state.all("min_vcpus") > 0).now();
    let (before, updates) = (requests(&steered.metrics()), steered.updates());
    let over = begun + Span::from_minutes(20).millis();
    steered.until("over", |state| state.now() >= over);
    let metrics = steered.metrics();
    let spent = (requests(&metrics) - before) / minutes;
    let updates = steered.updates() - updates;
    let counters: Vec<&str> = counters(&metrics).collect();
    println!("{spent:.1} requests a minute, {updates} updates in {minutes} minutes");
    assert!(spent <= MOST_A_MINUTE, "{spent:.1} requests a minute: {counters:#?}");
    // It is busy: jobs come to all queues all the time, and capacity is asked for.
    assert!(updates >= 5, "{updates} updates");
}
