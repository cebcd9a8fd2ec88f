//! Scenario files: no panic, and what is accepted makes a world.
#![no_main]

use autotune::simulate::scenario::Scenario;
use autotune::simulate::world::World;
use autotune::trace::Trace;

libfuzzer_sys::fuzz_target!(|text: &str| {
    match Scenario::from_toml("fuzz", text) {
        Ok(scenario) => {
            // A million own instances would only take time.
            let own: u64 = scenario
                .environments
                .iter()
                .flat_map(|environment| &environment.own_instances)
                .map(|own| u64::from(own.count))
                .sum();
            if own < 10_000 {
                drop(World::new(&scenario, &Trace::default(), 1));
            }
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            problems.iter().for_each(|problem| drop(problem.to_string()));
        }
    }
});
