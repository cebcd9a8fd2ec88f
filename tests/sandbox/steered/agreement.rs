//! What the daemon does over the wire is what `autotune simulate` says of it.

use std::sync::Mutex;

use super::{Case, Outcome, SPOT, Steered, Work};

/// Kept for a while, and asked for when it is still a message.
const POLICY: &str = "version = 1\n[queues.\"*\"]\nidle_time = \"5m\"\n\
    [queues.\"*\".sqs.incoming]\nhand_off = \"dispatcher\"\njob = { vcpus = 4, memory = \"7 GiB\" }\n";

/// Three quarters of an hour: a burst, an array that messages announce, a graph, single jobs between them.
fn case(seed: u64) -> Case {
    let shift = i64::try_from(seed).unwrap() * 7 % 60;
    let work = Work::default()
        .burst(12, 0, 240)
        .then(6, 120)
        .burst(1, 700 + shift, 60)
        .array_of_messages(16, 1_200 + shift, 200)
        .burst(10, 1_700 - shift, 180)
        // What is kept after that is paid for too.
        .burst(1, 2_700, 30);
    Case {
        seed,
        ..Case::new(SPOT, POLICY, work)
    }
}

/// Whether two figures are within so many percent, or so far from each other.
fn near(one: f64, other: f64, percent: f64, absolute: f64) -> bool {
    (one - other).abs() <= (other * percent / 100.0).max(absolute)
}

fn differences(wire: &Outcome, simulated: &Outcome) -> (String, bool) {
    let (ours, theirs) = (wire.quantiles(), simulated.quantiles());
    let (paid, expected) = [wire.cost, simulated.cost].map(|cost| i32::try_from(cost).map(f64::from).unwrap() / 1e6).into();
    let agree = near(ours.p50, theirs.p50, 10.0, 5.0)
        && near(ours.p95, theirs.p95, 10.0, 5.0)
        && near(paid, expected, 5.0, 0.0)
        && wire.succeeded == simulated.succeeded;
    let text = format!(
        "p50 {:.1} s and {:.1} s, p95 {:.1} s and {:.1} s, ${paid:.3} and ${expected:.3}, {} and {} jobs",
        ours.p50, theirs.p50, ours.p95, theirs.p95, wire.succeeded, simulated.succeeded
    );
    (text, agree)
}

fn compare(seeds: std::ops::RangeInclusive<u64>) {
    let told = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for seed in seeds {
            let told = &told;
            scope.spawn(move || {
                let case = case(seed);
                let steered = Steered::begin(&case);
                let wire = steered.finish();
                let simulated = case.simulated();
                let (text, agree) = differences(&wire, &simulated);
                let waits = |o: &Outcome| o.waits.iter().map(|w| format!("{:.0}", w.seconds_f64())).collect::<Vec<_>>().join(" ");
                let text = format!("{text}\nW {}\nS {}\n", waits(&wire), waits(&simulated));
                let refused = steered.trouble();
                let mark = if agree && refused.is_empty() { "" } else { "DIFFERENT " };
                told.lock().unwrap().push(format!("{mark}seed {seed}, wire and simulate: {text} {refused:?}"));
            });
        }
    });
    let told = told.into_inner().unwrap().join("\n");
    assert!(!told.contains("DIFFERENT"), "{told}");
    println!("{told}");
}

#[test]
fn the_wire_agrees_with_the_simulator() {
    compare(1..=8);
}

#[test]
#[ignore = "takes minutes: .ci/run --long asks for it"]
fn the_wire_agrees_with_the_simulator_over_twenty_seeds() {
    compare(1..=20);
}
