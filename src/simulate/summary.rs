//! What one run comes down to: the figures that tables, assertions and files are made of.

use serde::Serialize;

use crate::simulate::drive::Steering;
use crate::simulate::ledger::{Fate, JobOutcome, RunResult, VcpuMillis};
use crate::units::{MicroUsd, Span, Time, i64_to_f64, usize_to_f64};

/// Mean and quantiles of a span of time, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Quantiles {
    /// Of these spans; nearest-rank quantiles. All zero if there are none. The spans are reordered.
    pub fn of(spans: &mut [Span]) -> Self {
        if spans.is_empty() {
            return Self::default();
        }
        spans.sort_unstable();
        let at = |permille: usize| {
            let rank = (spans.len() * permille).div_ceil(1000).clamp(1, spans.len());
            spans.get(rank - 1).copied().unwrap_or_default().seconds_f64()
        };
        let total: i128 = spans.iter().map(|span| i128::from(span.millis())).sum();
        let mean_millis = i64::try_from(total / i128::from(crate::units::to_i64(spans.len()))).unwrap_or(i64::MAX);
        Self {
            mean: i64_to_f64(mean_millis) / 1000.0,
            p50: at(500),
            p90: at(900),
            p95: at(950),
            p99: at(990),
            max: at(1000),
        }
    }
}

/// The waits of one queue, or of all.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Waits {
    /// The queue; empty for all together.
    pub queue: String,
    /// Jobs that started.
    pub started: usize,
    /// RUNNABLE to STARTING, first attempt. Jobs that never started count with the time they waited until the end.
    pub wait: Quantiles,
    /// The part of it during which some environment of the queue was not at max or quota.
    pub avoidable_wait: Quantiles,
    /// max(created, last parent's end) to RUNNING, first attempt; with the image pull.
    pub start_latency: Quantiles,
    /// Share of jobs whose wait was 10 s or less.
    pub within_10s: f64,
}

/// One run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// The model of AWS Batch that was replayed.
    pub model: String,
    /// All queues together.
    pub all: Waits,
    /// Per queue, where there are several.
    pub queues: Vec<Waits>,
    /// What the instances cost.
    pub cost: MicroUsd,
    /// vCPU-hours that jobs held.
    pub used_vcpu_hours: f64,
    /// vCPU-hours registered and not held.
    pub idle_vcpu_hours: f64,
    /// vCPU-hours billed before registration.
    pub booting_vcpu_hours: f64,
    /// Instances launched.
    pub launches: u64,
    /// Launches that failed for want of capacity or quota.
    pub failed_launches: u64,
    /// Spot interruptions.
    pub interruptions: u64,
    /// Attempts that were tried again.
    pub retries: u64,
    /// Scaling updates sent.
    pub updates: usize,
    /// Those that were refused.
    pub refused: usize,
    /// How often the controller looked.
    pub looks: u64,
    /// Raised levels that were restored because their lease ran out.
    pub leases_expired: u64,
    /// From the first submission to the last end of jobs that depend on each other.
    pub makespan: Quantiles,
    /// Jobs that SUCCEEDED.
    pub succeeded: usize,
    /// Jobs that FAILED.
    pub failed: usize,
    /// Jobs that no environment can hold.
    pub never_fits: usize,
    /// Jobs still open at the end.
    pub open: usize,
}

impl Summary {
    /// Sums a run up.
    pub fn of(result: &RunResult, steering: &Steering) -> Self {
        let sum = |of: fn(&crate::simulate::ledger::EnvironmentTotals) -> VcpuMillis| {
            vcpu_hours(result.environments.iter().map(of).sum())
        };
        let count =
            |of: fn(&crate::simulate::ledger::EnvironmentTotals) -> u64| result.environments.iter().map(of).sum();
        let queues = if result.queues.len() > 1 {
            (result.queues.iter().enumerate())
                .map(|(position, name)| {
                    let of_queue = result.jobs.iter().filter(|job| job.queue.position() == position);
                    waits(name, of_queue, result.closed)
                })
                .collect()
        } else {
            Vec::new()
        };
        Self {
            model: result.model.clone(),
            all: waits("", result.jobs.iter(), result.closed),
            queues,
            cost: result.cost(),
            used_vcpu_hours: sum(|totals| totals.used),
            idle_vcpu_hours: sum(|totals| totals.idle),
            booting_vcpu_hours: sum(|totals| totals.booting),
            launches: count(|totals| totals.launches),
            failed_launches: count(|totals| totals.failed_launches),
            interruptions: count(|totals| totals.interruptions),
            retries: result.retries,
            updates: steering.updates.len(),
            refused: steering.updates.iter().filter(|(_, _, accepted)| !accepted).count(),
            looks: steering.looks,
            leases_expired: steering.leases_expired,
            makespan: Quantiles::of(&mut result.makespans.clone()),
            succeeded: result.count(Fate::Succeeded),
            failed: result.count(Fate::Failed) + result.count(Fate::DependencyFailed),
            never_fits: result.count(Fate::NeverFits),
            open: result.count(Fate::Open) + result.count(Fate::NeverReady),
        }
    }
}

fn waits<'a>(name: &str, jobs: impl Iterator<Item = &'a JobOutcome>, closed: Time) -> Waits {
    let (mut wait, mut avoidable, mut latency) = (Vec::new(), Vec::new(), Vec::new());
    let mut started = 0;
    let mut soon = 0;
    for job in jobs {
        match (job.wait(), job.start_latency()) {
            (Some(waited), Some(started_after)) => {
                started += 1;
                soon += usize::from(waited <= Span::from_seconds(10));
                wait.push(waited);
                avoidable.push(job.avoidable);
                latency.push(started_after);
            }
            // Still waiting when the books were closed: the wait so far counts, it is not dropped.
            (None, _) | (_, None) if job.fate == Fate::Open && job.ready < closed => {
                wait.push(closed.since(job.ready));
                avoidable.push(job.avoidable);
            }
            (None, _) | (_, None) => {}
        }
    }
    let counted = usize_to_f64(wait.len().max(1));
    Waits {
        queue: name.to_owned(),
        started,
        wait: Quantiles::of(&mut wait),
        avoidable_wait: Quantiles::of(&mut avoidable),
        start_latency: Quantiles::of(&mut latency),
        within_10s: usize_to_f64(soon) / counted,
    }
}

fn vcpu_hours(millis: VcpuMillis) -> f64 {
    i64_to_f64(i64::try_from(millis / 1000).unwrap_or(i64::MAX)) / 3600.0
}

/// Mean and 95 % interval over seeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Interval {
    /// Mean over the seeds.
    pub mean: f64,
    /// Lower end of the 95 % interval of the mean (Student's t); the mean itself for one seed.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Of one figure per seed.
    pub fn of(figures: &[f64]) -> Self {
        let count = usize_to_f64(figures.len().max(1));
        let mean = figures.iter().sum::<f64>() / count;
        if figures.len() < 2 {
            return Self {
                mean,
                low: mean,
                high: mean,
            };
        }
        let variance = figures
            .iter()
            .map(|figure| (figure - mean) * (figure - mean))
            .sum::<f64>()
            / (count - 1.0);
        let half = student_t(figures.len() - 1) * libm::sqrt(variance / count);
        Self {
            mean,
            low: mean - half,
            high: mean + half,
        }
    }
}

/// The 97.5 % quantile of Student's t for these degrees of freedom (standard tables; 1.96 beyond 30).
fn student_t(degrees: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    TABLE.get(degrees.max(1) - 1).copied().unwrap_or(1.96)
}
