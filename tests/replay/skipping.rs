//! Looks that cannot lead to an action are skipped. A replay that skips none must do and find the very same.

use autotune::simulate::drive::Drive;
use autotune::simulate::view::ViewModel;

use crate::worlds::{compiled, journal, on_demand, policies, policy, spot, steered, traces};

/// The first line in which two journals differ, with the ones before it.
fn first_difference(one: &str, other: &str) -> Option<String> {
    let mut before = Vec::new();
    for (number, (a, b)) in one.lines().zip(other.lines()).enumerate() {
        if a != b {
            before.reverse();
            before.truncate(3);
            before.reverse();
            return Some(format!("line {number}, after {before:#?}\n  {a}\n  {b}"));
        }
        before.push(a);
    }
    (one != other).then(|| "one is the beginning of the other".to_owned())
}

#[test]
fn skipping_changes_no_byte_of_the_journal() {
    let mut differences = Vec::new();
    let mut updates = 0;
    let mut looks = (0, 0);
    for seed in [1, 2] {
        for (trace_name, trace) in traces(seed) {
            for (account, scenario) in [("spot", spot()), ("on-demand", on_demand())] {
                for name in policies() {
                    for (sight, view) in [("recent", ViewModel::recent()), ("perfect", ViewModel::perfect())] {
                        let policy = policy(name);
                        let run = |skip| {
                            let drive = Drive {
                                view,
                                skip,
                                ..Drive::default()
                            };
                            let (result, steering) = steered(&scenario, &trace, &policy, drive, seed);
                            let compiled = compiled(&policy, &scenario, &trace);
                            (journal(&compiled.setup, &result, &steering), steering)
                        };
                        let ((skipping, steering), (looking, watchful)) = (run(true), run(false));
                        updates += steering.updates.len();
                        looks = (looks.0 + steering.looks, looks.1 + watchful.looks);
                        if let Some(difference) = first_difference(&skipping, &looking) {
                            differences.push(format!(
                                "{trace_name} {account} {name} {sight} seed {seed}: {difference}"
                            ));
                        }
                    }
                }
            }
        }
    }
    assert!(updates > 100, "nothing to compare: {updates} updates");
    assert!(looks.0 < looks.1, "nothing was skipped: {looks:?}");
    assert!(
        differences.is_empty(),
        "{} runs differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
}
