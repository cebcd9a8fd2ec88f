//! What the daemon does over the wire is what `autotune simulate` says of it.

use std::sync::Mutex;

use autotune::units::Span;

use super::{Case, Outcome, SPOT, Steered, Work};

/// Kept for a while, and asked for when it is still a message.
const POLICY: &str = "version = 1\n[queues.\"*\"]\nidle_time = \"5m\"\n\
    [queues.\"*\".sqs.incoming]\nhand_off = \"dispatcher\"\njob = { vcpus = 4, memory = \"7 GiB\" }\n";

/// An hour: a burst, a graph behind it, an array that messages announce, bursts that find its capacity. Nothing comes at the very
/// moment at which capacity of before is let go, where a second decides over minutes.
fn case(seed: u64) -> Case {
    let shift = i64::try_from(seed).unwrap() * 7 % 60;
    let work = Work::default()
        .burst(12, 0, 240)
        .then(6, 120)
        .burst(1, 700 + shift, 60)
        .array_of_messages(16, 1_560 + shift, 200)
        .burst(16, 2_100, 180)
        .burst(16, 2_400, 180)
        // What is kept after that is paid for too.
        .burst(1, 3_200, 30);
    Case {
        seed,
        ..Case::new(SPOT, POLICY, work)
    }
}

/// Whether two figures are within so many percent, or so far from each other.
fn near(one: f64, other: f64, percent: f64, absolute: f64) -> bool {
    (one - other).abs() <= (other * percent / 100.0).max(absolute)
}

fn dollars(outcome: &Outcome) -> f64 {
    f64::from(i32::try_from(outcome.cost).unwrap()) / 1e6
}

fn differences(wire: &Outcome, simulated: &Outcome) -> (String, bool) {
    let (ours, theirs) = (wire.quantiles(), simulated.quantiles());
    let (paid, expected) = (dollars(wire), dollars(simulated));
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

fn waits(outcome: &Outcome) -> String {
    let seconds = |wait: &Span| format!(" {:.0}", wait.seconds_f64());
    outcome.waits.iter().map(seconds).collect()
}

/// All seeds as one.
fn together(outcomes: impl Iterator<Item = Outcome>) -> Outcome {
    let mut all = Outcome::default();
    for outcome in outcomes {
        all.waits.extend(outcome.waits);
        all.cost += outcome.cost;
        all.succeeded += outcome.succeeded;
    }
    all
}

/// Of a hundred events one is lost, and not the same one in both: whose loss keeps instances until the next reading makes a seed
/// differ. So all seeds together have to agree, and most of them one by one.
#[test]
fn over_twenty_seeds_the_wire_agrees_with_the_simulator() {
    let (told, outcomes) = (Mutex::new(String::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for seed in 1..=20 {
            let (told, outcomes) = (&told, &outcomes);
            scope.spawn(move || {
                let case = case(seed);
                let steered = Steered::begin(&case);
                let (mut wire, mut simulated) = (steered.finish(), case.simulated());
                // The last job is there for the cost alone. Its own boot depends on how many came before.
                wire.waits.pop();
                simulated.waits.pop();
                let (text, agree) = differences(&wire, &simulated);
                let trouble = steered.trouble();
                let mut line = format!("seed {seed}, wire and simulate: {text} {trouble:?}\n");
                if !agree || !trouble.is_empty() {
                    line = format!(
                        "DIFFERENT {line} {}\n {}\n{}",
                        waits(&wire),
                        waits(&simulated),
                        steered.log()
                    );
                }
                told.lock().unwrap().push_str(&line);
                outcomes.lock().unwrap().push((wire, simulated));
            });
        }
    });
    let told = told.into_inner().unwrap();
    let (wire, simulated): (Vec<Outcome>, Vec<Outcome>) = outcomes.into_inner().unwrap().into_iter().unzip();
    let (text, agree) = differences(&together(wire.into_iter()), &together(simulated.into_iter()));
    println!("all together, wire and simulate: {text}\n{told}");
    assert!(agree, "{text}\n{told}");
    assert!(told.matches("DIFFERENT").count() <= 6, "{told}");
}
