//! The same replay gives the same result: on any number of threads, in debug and release, on every machine.

use autotune::simulate::compare::{Candidate, Compared, Settings, Steers, compare};
use autotune::simulate::scenario::Scenario;
use autotune::simulate::view::ViewModel;
use autotune::trace::Trace;

use crate::worlds::{on_demand, policy, spot, traces};

/// Written by whichever profile ran last with `AUTOTUNE_TEST_UPDATE`; checked by all of them.
const EXPECTED: &str = include_str!("hashes.txt");

fn cases() -> Vec<(&'static str, Scenario, Trace)> {
    let mut folk = on_demand();
    folk.model = "folk-2020".to_owned();
    let trace = |at: usize| traces(11).swap_remove(at).1;
    vec![
        ("sqs-array on Spot with droughts", spot(), trace(0)),
        ("object-created on On-Demand", on_demand(), trace(1)),
        ("nightly under folk-2020", folk, trace(2)),
    ]
}

fn compared(scenario: &Scenario, trace: &Trace, threads: usize) -> Vec<Compared> {
    let reactive = policy("reactive");
    let mut candidates = Candidate::baselines(&reactive);
    candidates.push(Candidate::new("reactive", Steers::Policy(reactive)));
    candidates.push(Candidate::new("warm-hours", Steers::Policy(policy("warm-hours"))));
    let settings = Settings {
        seeds: vec![1, 2],
        view: ViewModel::recent(),
        threads,
    };
    compare(scenario, trace, &candidates, &settings, &|_| {}).unwrap()
}

/// FNV-1a with 64 bits: fixed for ever, unlike the hashers of the standard library.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn hashes(threads: usize) -> String {
    let line = |(name, scenario, trace): &(&str, Scenario, Trace)| {
        let found = compared(scenario, trace, threads);
        format!("{:016x} {name}\n", fnv(&format!("{found:?}")))
    };
    cases().iter().map(line).collect()
}

#[test]
fn results_do_not_depend_on_threads_or_on_how_the_code_was_compiled() {
    let one = hashes(1);
    assert_eq!(one, hashes(2), "the number of threads changes results");
    if std::env::var_os("AUTOTUNE_TEST_UPDATE").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/replay/hashes.txt");
        std::fs::write(path, &one).unwrap();
        return;
    }
    assert_eq!(
        one, EXPECTED,
        "results have changed. If that is meant: AUTOTUNE_TEST_UPDATE=1 cargo test --test replay determinism, \
         then run it in debug and with --release without the variable"
    );
}
