//! Policy files: no panic, neither in reading nor in compiling what was accepted.
#![no_main]

use autotune::policy;
use autotune::setup::compile;
use autotune::simulate::scenario::Scenario;
use autotune::units::{Span, Time, Vcpus};

libfuzzer_sys::fuzz_target!(|text: &str| {
    match policy::parse("fuzz", text) {
        Ok(policy) => {
            let week = (Time::EPOCH, Time::EPOCH + Span::from_seconds(7 * 86_400));
            drop(compile(&policy, &Scenario::fixed(Vcpus::new(8)).topology(), week));
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            problems.iter().for_each(|problem| drop(problem.to_string()));
        }
    }
});
