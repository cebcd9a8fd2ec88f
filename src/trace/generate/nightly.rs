//! A timer submits many jobs at about the same minute every night: known to everybody but to the scaler.

use clap::Args;

use super::{Cause, Days, Draws, Generator, Maker, shape, total, whole_days};
use crate::trace::Trace;
use crate::units::Span;

/// One burst every night.
#[derive(Clone, Debug, PartialEq, Args)]
#[group(skip)]
pub struct Nightly {
    /// Hour of the day, UTC, at which the burst begins.
    #[arg(long, default_value_t = Self::default().hour, value_parser = clap::value_parser!(i64).range(0..=23))]
    pub hour: i64,
    /// Jobs of a burst.
    #[arg(long, default_value_t = Self::default().jobs, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub jobs: u32,
    /// Seconds within which a burst is submitted.
    #[arg(long, default_value_t = Self::default().submit_seconds, value_parser = clap::value_parser!(i64).range(1..=3_600))]
    pub submit_seconds: i64,
    /// Most seconds by which a burst may begin late.
    #[arg(long, default_value_t = Self::default().late_seconds, value_parser = clap::value_parser!(i64).range(0..=3_600))]
    pub late_seconds: i64,
    /// Median run time in seconds.
    #[arg(long, default_value_t = Self::default().run_seconds, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub run_seconds: u32,
    /// vCPUs of a job.
    #[arg(long, default_value_t = Self::default().job_vcpus, value_parser = clap::value_parser!(i64).range(1..=1024))]
    pub job_vcpus: i64,
    /// Memory of a job in MiB.
    #[arg(long, default_value_t = Self::default().job_memory_mib, value_parser = clap::value_parser!(i64).range(4..=10_000_000))]
    pub job_memory_mib: i64,
}

impl Default for Nightly {
    fn default() -> Self {
        Self {
            hour: 2,
            jobs: 200,
            submit_seconds: 120,
            late_seconds: 300,
            run_seconds: 600,
            job_vcpus: 2,
            job_memory_mib: 4_096,
        }
    }
}

impl Generator for Nightly {
    fn expected_jobs(&self, days: Days) -> u64 {
        total(self.jobs, days)
    }

    fn generate(&self, seed: u64, days: Days) -> Trace {
        let mut maker = Maker::new("nightly");
        let (name, size) = (
            maker.name("nightly"),
            maker.shape(shape(self.job_vcpus, self.job_memory_mib)),
        );
        let mut arrivals = Draws::new(seed, Cause::Arrivals);
        let mut runs = Draws::new(seed, Cause::RunTimes);
        for day in whole_days(days) {
            let late = arrivals.within(Span::from_seconds(self.late_seconds));
            let burst = day + Span::from_seconds(self.hour.saturating_mul(3_600)) + late;
            for _ in 0..self.jobs {
                let submit = burst + arrivals.within(Span::from_seconds(self.submit_seconds));
                maker.job(submit, runs.run_time(f64::from(self.run_seconds), 0.6), size, name);
            }
        }
        maker.finish()
    }
}
