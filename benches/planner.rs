//! How long a decision takes: 50 queues on 50 environments with 20,000 job sizes. Promised: 3 ms at most, in release.
//!
//! `cargo bench --bench planner`

use autotune::planner::memory::Memory;
use autotune::planner::plan::Plan;
use autotune::units::Span;
use divan::{Bencher, black_box};

#[path = "../tests/large_account/mod.rs"]
mod large_account;

use large_account::{NOW, busy, decide, quiet, setup};

fn main() {
    divan::main();
}

/// Every queue has 400 sizes waiting; the environments are too small for all of them.
#[divan::bench]
fn burst(bencher: Bencher<'_, '_>) {
    let (setup, observation) = (setup(), busy());
    let memory = Memory::new(&setup, NOW - Span::from_minutes(60));
    let mut decision = Plan::default();
    bencher.bench_local(|| decide(black_box(&setup), black_box(&observation), &memory, NOW, &mut decision));
}

/// The same account some looks later: everything that can be asked for has been asked for.
#[divan::bench]
fn steady(bencher: Bencher<'_, '_>) {
    let (setup, mut observation) = (setup(), busy());
    let (memory, now) = large_account::settle(&setup, &mut observation);
    let mut decision = Plan::default();
    bencher.bench_local(|| decide(black_box(&setup), black_box(&observation), &memory, now, &mut decision));
}

/// Nothing waits.
#[divan::bench]
fn idle(bencher: Bencher<'_, '_>) {
    let (setup, observation) = (setup(), quiet());
    let memory = Memory::new(&setup, NOW - Span::from_minutes(60));
    let mut decision = Plan::default();
    bencher.bench_local(|| decide(black_box(&setup), black_box(&observation), &memory, NOW, &mut decision));
}
