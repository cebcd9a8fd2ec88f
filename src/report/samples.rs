//! Comparisons made by hand, for tests of how they are shown.

use super::Report;
use crate::simulate::compare::Compared;
use crate::simulate::summary::{Quantiles, Summary, Waits};
use crate::simulate::view::ViewModel;
use crate::units::{MicroUsd, to_i64, usize_to_f64};

fn quantiles(scale: f64) -> Quantiles {
    Quantiles {
        mean: 12.5 * scale,
        p50: 8.0 * scale,
        p90: 30.0 * scale,
        p95: 45.0 * scale,
        p99: 90.0 * scale,
        max: 130.25 * scale,
    }
}

fn waits(queue: &str, scale: f64) -> Waits {
    Waits {
        queue: queue.to_owned(),
        started: 1_000,
        wait: quantiles(scale),
        avoidable_wait: quantiles(scale / 2.0),
        start_latency: quantiles(scale + 1.0),
        within_10s: 0.6 / scale,
    }
}

fn summary(seed: usize, scale: f64, queues: &[&str]) -> Summary {
    let scale = scale * (1.0 + usize_to_f64(seed) / 10.0);
    let factor = to_i64(seed) + 10;
    Summary {
        model: "recent".to_owned(),
        all: waits("", scale),
        queues: queues
            .iter()
            .enumerate()
            .map(|(at, name)| waits(name, scale + usize_to_f64(at)))
            .collect(),
        cost: MicroUsd::new(138_194).times(factor),
        used_vcpu_hours: 40.0,
        idle_vcpu_hours: 10.0 / scale,
        booting_vcpu_hours: 2.25,
        launches: 24,
        failed_launches: 2,
        interruptions: 3,
        retries: 3,
        updates: 12,
        refused: 1,
        looks: 400,
        leases_expired: 0,
        makespan: quantiles(scale * 100.0),
        succeeded: 990,
        failed: 10,
        never_fits: 4,
        open: 0,
    }
}

/// A policy under test and stock, with as many runs as seeds.
pub(super) fn compared(seeds: usize, queues: &[&str]) -> Vec<Compared> {
    let runs = |scale: f64| (0..seeds).map(|seed| summary(seed, scale, queues)).collect::<Vec<_>>();
    let mut stock = Compared {
        name: "stock".to_owned(),
        runs: runs(8.0),
        notes: Vec::new(),
    };
    for run in &mut stock.runs {
        run.cost = run.cost.scaled_down(4, 5);
        run.updates = 0;
        run.refused = 0;
        run.failed = 12;
    }
    let tested = Compared {
        name: "reactive".to_owned(),
        runs: runs(1.0),
        notes: vec!["environment `fallback` is not covered".to_owned()],
    };
    vec![tested, stock]
}

/// A report about them.
pub(super) fn report<'a>(compared: &'a [Compared], seeds: &'a [u64]) -> Report<'a> {
    Report {
        scenario: "two-queues.toml",
        trace: "1,000 jobs over 2h",
        model: "recent",
        view: ViewModel::recent(),
        seeds,
        compared,
        unknown_queues: None,
    }
}
