//! People at work: a load that rises and falls with the day, most at 14:00 UTC and least twelve hours away, less on
//! Saturdays and Sundays, with jobs of four sizes.

use std::f64::consts::PI;

use clap::Args;

use super::{Cause, DAY, Days, Draws, Generator, Maker, START, end, shape, total};
use crate::trace::Trace;
use crate::units::{Time, i64_to_f64};

/// What is left of the load on Saturdays and Sundays.
const WEEKEND: f64 = 0.3;

/// Much by day, little by night.
#[derive(Clone, Debug, PartialEq, Args)]
#[group(skip)]
pub struct Diurnal {
    /// Jobs an hour at the height of a working day.
    #[arg(long, default_value_t = Self::default().peak_per_hour, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub peak_per_hour: u32,
    /// Jobs an hour at the bottom of its night; at most as many as at its height.
    #[arg(long, default_value_t = Self::default().night_per_hour, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub night_per_hour: u32,
    /// Median run time in seconds.
    #[arg(long, default_value_t = Self::default().run_seconds, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub run_seconds: u32,
    /// Memory in MiB for each vCPU. Jobs have 1, 2, 4 or 8 vCPUs: half of the jobs 1, a quarter 2, an eighth 4 and 8 each.
    #[arg(long, default_value_t = Self::default().vcpu_memory_mib, value_parser = clap::value_parser!(i64).range(4..=1_000_000))]
    pub vcpu_memory_mib: i64,
}

impl Default for Diurnal {
    fn default() -> Self {
        Self {
            peak_per_hour: 60,
            night_per_hour: 3,
            run_seconds: 180,
            vcpu_memory_mib: 2_048,
        }
    }
}

impl Diurnal {
    /// Jobs an hour at a time.
    fn rate(&self, time: Time) -> f64 {
        let since = time.since(START).millis();
        let hour = i64_to_f64(since.rem_euclid(DAY.millis())) / 3_600_000.0;
        let weekday = since.div_euclid(DAY.millis()).rem_euclid(7);
        let height = 0.5 + 0.5 * libm::cos((hour - 14.0) / 24.0 * 2.0 * PI);
        let (night, peak) = (f64::from(self.night_per_hour), f64::from(self.peak_per_hour));
        let workday = night.min(peak) + (peak - night).max(0.0) * height;
        if weekday >= 5 { workday * WEEKEND } else { workday }
    }
}

impl Generator for Diurnal {
    fn expected_jobs(&self, days: Days) -> u64 {
        let between = self
            .peak_per_hour
            .saturating_add(self.night_per_hour.min(self.peak_per_hour))
            / 2;
        total(between.max(1), days).saturating_mul(24)
    }

    /// Arrivals at the highest rate, of which as many are kept as the rate at their time says (thinning, Lewis and Shedler
    /// 1979).
    fn generate(&self, seed: u64, days: Days) -> Trace {
        let mut maker = Maker::new("diurnal");
        let sizes =
            [1, 2, 4, 8].map(|vcpus: i64| maker.shape(shape(vcpus, vcpus.saturating_mul(self.vcpu_memory_mib))));
        let name = maker.name("work");
        let mut arrivals = Draws::new(seed, Cause::Arrivals);
        let mut runs = Draws::new(seed, Cause::RunTimes);
        let mut widths = Draws::new(seed, Cause::Sizes);
        let highest = f64::from(self.peak_per_hour);
        let mut now = START + arrivals.next_arrival(highest);
        while now < end(days) {
            if arrivals.uniform() * highest < self.rate(now) {
                let [one, two, four, eight] = sizes;
                let size = match widths.uniform() {
                    ..0.5 => one,
                    0.5..0.75 => two,
                    0.75..0.875 => four,
                    _ => eight,
                };
                maker.job(now, runs.run_time(f64::from(self.run_seconds), 1.0), size, name);
            }
            now = now + arrivals.next_arrival(highest);
        }
        maker.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Span;

    #[test]
    fn most_jobs_come_by_day_and_few_at_weekends() {
        let trace = Diurnal::default().generate(2, Days(14));
        let count = |keep: &dyn Fn(i64, i64) -> bool| {
            let of = |submit: Time| {
                let hours = submit.since(START).millis() / 3_600_000;
                (hours / 24 % 7, hours % 24)
            };
            trace
                .jobs
                .iter()
                .filter(|job| keep(of(job.submit).0, of(job.submit).1))
                .count()
        };
        let by_day = count(&|weekday, hour| weekday < 5 && (10..18).contains(&hour));
        let by_night = count(&|weekday, hour| weekday < 5 && !(6..22).contains(&hour));
        let weekend = count(&|weekday, hour| weekday >= 5 && (10..18).contains(&hour));
        assert!(by_day > 4 * by_night, "{by_day} by day, {by_night} by night");
        assert!(weekend * 4 < by_day, "{weekend} at weekends, {by_day} on working days");
        assert!(trace.jobs.iter().all(|job| job.run > Span::ZERO));
    }
}
