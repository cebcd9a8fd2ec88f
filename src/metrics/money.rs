//! What capacity costs, and what is simulated to have been saved. What is not known is NaN: a zero would be a claim.

use super::{Metrics, families, timestamp};
use crate::units::{MicroUsd, Span, Time, usize_to_f64};

/// What instances cost per hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// On-Demand Instances.
    pub on_demand: MicroUsd,
    /// Spot Instances.
    pub spot: MicroUsd,
    /// Of both, the share of what no job uses.
    pub idle: MicroUsd,
}

/// What autotune made of some jobs beside AWS Batch alone, both simulated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Simulated {
    /// When.
    pub at: Time,
    /// How many jobs.
    pub jobs: usize,
    /// How much less they waited.
    pub saved: Span,
    /// How much more it cost.
    pub extra_cost: MicroUsd,
}

impl Metrics {
    /// What is there costs so much, without so many environments; `None`: it is not known.
    pub fn costs(&self, cost: Option<Cost>, left_out: usize) {
        let usd = |of: fn(Cost) -> MicroUsd| cost.map_or(f64::NAN, |cost| of(cost).usd());
        self.set(&families::COST, &["on_demand"], usd(|cost| cost.on_demand));
        self.set(&families::COST, &["spot"], usd(|cost| cost.spot));
        self.set(&families::IDLE_COST, &[], usd(|cost| cost.idle));
        self.set(&families::UNPRICED, &[], usize_to_f64(left_out));
    }

    /// What was saved, simulated; `None`: it is not known.
    pub fn simulated(&self, known: Option<Simulated>) {
        let of = |of: fn(Simulated) -> f64| known.map_or(f64::NAN, of);
        self.set(&families::SAVED, &[], of(|known| known.saved.seconds_f64()));
        self.set(&families::EXTRA_COST, &[], of(|known| known.extra_cost.usd()));
        let jobs = known.map_or(0, |known| known.jobs);
        self.set(&families::SIMULATED_JOBS, &[], usize_to_f64(jobs));
        self.set(&families::SIMULATED_AT, &[], timestamp(known.map(|known| known.at)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::PRICES_OF;
    use crate::metrics::ALL;

    fn line(metrics: &Metrics, name: &str) -> String {
        let text = metrics.render();
        let found = text.lines().find(|line| line.starts_with(name));
        found.unwrap().rsplit_once(' ').unwrap().1.to_owned()
    }

    #[test]
    fn what_is_not_known_is_no_zero() {
        let metrics = Metrics::new();
        let cost = Cost {
            on_demand: MicroUsd::new(1_250_000),
            spot: MicroUsd::ZERO,
            idle: MicroUsd::new(500_000),
        };
        let simulated = Simulated {
            at: Time::from_seconds(60),
            jobs: 7,
            saved: Span::from_seconds(-90),
            extra_cost: MicroUsd::new(-20_000),
        };
        let expected = [
            ("autotune_cost_usd_per_hour{kind=\"on_demand\"}", "1.25", "NaN"),
            ("autotune_cost_usd_per_hour{kind=\"spot\"}", "0", "NaN"),
            ("autotune_idle_cost_usd_per_hour", "0.5", "NaN"),
            ("autotune_unpriced_environments", "2", "3"),
            ("autotune_simulated_saved_wait_seconds", "-90", "NaN"),
            ("autotune_simulated_extra_cost_usd", "-0.02", "NaN"),
            ("autotune_simulated_jobs", "7", "0"),
            ("autotune_simulated_last_timestamp_seconds", "60", "0"),
        ];
        assert_eq!(line(&metrics, "autotune_simulated_saved_wait_seconds"), "NaN");
        assert_eq!(line(&metrics, "autotune_idle_cost_usd_per_hour"), "NaN");
        metrics.costs(Some(cost), 2);
        metrics.simulated(Some(simulated));
        for (name, known, _) in expected {
            assert_eq!(line(&metrics, name), known, "{name}");
        }
        metrics.costs(None, 3);
        metrics.simulated(None);
        for (name, _, unknown) in expected {
            assert_eq!(line(&metrics, name), unknown, "{name}");
        }
    }

    #[test]
    fn prices_say_of_when_they_are_and_that_they_are_estimated() {
        let priced = ALL.iter().filter(|family| family.unit.starts_with("USD"));
        assert_eq!(priced.clone().count(), 3);
        for family in priced {
            let dated = format!("list prices of {PRICES_OF}");
            assert!(family.help.contains(&dated), "{}", family.name);
            let how = family.help.contains("stimated") || family.help.starts_with("Simulated");
            assert!(how, "{}", family.name);
        }
        let simulated = ALL
            .iter()
            .filter(|family| family.name.starts_with("autotune_simulated_"));
        for family in simulated {
            assert!(family.help.starts_with("Simulated"), "{}", family.name);
        }
    }
}
