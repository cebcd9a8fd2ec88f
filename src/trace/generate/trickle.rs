//! Small jobs, one now and then: too few to keep an instance busy, so each may meet a cold environment.

use clap::Args;

use super::{Cause, Days, Draws, Generator, Maker, START, end, shape, total};
use crate::trace::Trace;

/// Small jobs, now and then, all day.
#[derive(Clone, Debug, PartialEq, Args)]
#[group(skip)]
pub struct Trickle {
    /// Jobs an hour, independent of each other.
    #[arg(long, default_value_t = Self::default().jobs_per_hour, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub jobs_per_hour: u32,
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

impl Default for Trickle {
    fn default() -> Self {
        Self {
            jobs_per_hour: 12,
            run_seconds: 60,
            job_vcpus: 1,
            job_memory_mib: 2_048,
        }
    }
}

impl Generator for Trickle {
    fn expected_jobs(&self, days: Days) -> u64 {
        total(self.jobs_per_hour, days).saturating_mul(24)
    }

    fn generate(&self, seed: u64, days: Days) -> Trace {
        let mut maker = Maker::new("trickle");
        let (name, size) = (
            maker.name("small"),
            maker.shape(shape(self.job_vcpus, self.job_memory_mib)),
        );
        let mut arrivals = Draws::new(seed, Cause::Arrivals);
        let mut runs = Draws::new(seed, Cause::RunTimes);
        let per_hour = f64::from(self.jobs_per_hour);
        let mut now = START + arrivals.next_arrival(per_hour);
        while now < end(days) {
            maker.job(now, runs.run_time(f64::from(self.run_seconds), 0.8), size, name);
            now = now + arrivals.next_arrival(per_hour);
        }
        maker.finish()
    }
}
