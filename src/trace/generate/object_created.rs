//! An object arrives and starts a small job, which looks into it and submits many jobs and one that puts their results
//! together. Nobody outside knows of the many before the small one has ended.

use clap::Args;

use super::{Cause, Days, Draws, Generator, Maker, START, end, shape, total};
use crate::trace::{Dependency, Trace};
use crate::units::{Span, i64_to_f64};

/// Objects that arrive, each starting a job that submits a fan-out and a fan-in.
#[derive(Clone, Debug, PartialEq, Args)]
#[group(skip)]
pub struct ObjectCreated {
    /// Objects a day, independent of each other.
    #[arg(long, default_value_t = Self::default().objects_per_day, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub objects_per_day: u32,
    /// Median run time of the start job in seconds.
    #[arg(long, default_value_t = Self::default().start_seconds, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub start_seconds: u32,
    /// Jobs of the fan-out, submitted as one array job.
    #[arg(long, default_value_t = Self::default().fan_out, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub fan_out: u32,
    /// Median run time of a job of the fan-out in seconds.
    #[arg(long, default_value_t = Self::default().fan_out_seconds, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub fan_out_seconds: u32,
    /// vCPUs of a job of the fan-out.
    #[arg(long, default_value_t = Self::default().fan_out_vcpus, value_parser = clap::value_parser!(i64).range(1..=1024))]
    pub fan_out_vcpus: i64,
    /// Median run time of the fan-in in seconds.
    #[arg(long, default_value_t = Self::default().fan_in_seconds, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub fan_in_seconds: u32,
}

impl Default for ObjectCreated {
    fn default() -> Self {
        Self {
            objects_per_day: 24,
            start_seconds: 40,
            fan_out: 30,
            fan_out_seconds: 240,
            fan_out_vcpus: 2,
            fan_in_seconds: 90,
        }
    }
}

impl Generator for ObjectCreated {
    fn expected_jobs(&self, days: Days) -> u64 {
        total(self.objects_per_day, days).saturating_mul(u64::from(self.fan_out) + 2)
    }

    fn generate(&self, seed: u64, days: Days) -> Trace {
        let mut maker = Maker::new("object-created");
        let [start, part, join] = ["start", "part", "join"].map(|name| maker.name(name));
        let small = maker.shape(shape(1, 2_048));
        let wide = maker.shape(shape(self.fan_out_vcpus, self.fan_out_vcpus.saturating_mul(2_048)));
        let mut arrivals = Draws::new(seed, Cause::Arrivals);
        let mut runs = Draws::new(seed, Cause::RunTimes);
        let per_hour = i64_to_f64(i64::from(self.objects_per_day)) / 24.0;
        let mut now = START + arrivals.next_arrival(per_hour);
        while now < end(days) {
            let trigger = maker.job(now, runs.run_time(f64::from(self.start_seconds), 0.3), small, start);
            let mut first = None;
            for _ in 0..self.fan_out {
                let run = runs.run_time(f64::from(self.fan_out_seconds), 0.5);
                first.get_or_insert(maker.job(now, run, wide, part));
                // Submitted in the last moments of the start job.
                maker.spawned_by(trigger, Span::ZERO);
            }
            if let Some(first) = first {
                let array = maker.array_from(first);
                maker.job(now, runs.run_time(f64::from(self.fan_in_seconds), 0.3), small, join);
                maker.spawned_by(trigger, Span::ZERO);
                // Waits in sight as PENDING, as AWS Batch knows of it from its submission on.
                maker.after(Dependency::Array(array));
            }
            now = now + arrivals.next_arrival(per_hour);
        }
        maker.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_many_start_after_the_one_and_the_join_after_the_many() {
        let trace = ObjectCreated::default().generate(5, Days(1));
        let starts = trace.earliest_starts();
        let mut checked = 0;
        for (job, start) in trace.jobs.iter().zip(&starts) {
            for dependency in trace.dependencies_of(job) {
                let parents = match dependency {
                    Dependency::Job(parent) => parent.position()..parent.position() + 1,
                    Dependency::Array(array) => {
                        let array = trace.arrays[array.position()];
                        array.first.position()..array.first.position() + usize::try_from(array.size).unwrap()
                    }
                };
                for parent in parents {
                    assert!(starts[parent] + trace.jobs[parent].run <= *start);
                    checked += 1;
                }
            }
        }
        // 30 parts and a join that one submits, and a join that waits for 30.
        assert_eq!(checked, trace.arrays.len() * 61);
        let joins = trace.jobs.iter().filter(|job| job.dependencies_count == 2);
        assert!(joins.clone().all(crate::trace::Job::is_spawned) && joins.count() == trace.arrays.len());
    }
}
