//! What capacity costs per hour, estimated. Pure; page and metrics tell the same figures.

use super::snapshot::Snapshot;
use crate::metrics::{Cost, Metrics};
use crate::units::{MicroUsd, Span};

/// A part that was read longer ago says nothing of now: everything is read every few minutes at the slowest.
pub const FRESH: Span = Span::from_minutes(10);

/// What is there costs so much per hour; of it, what no job uses, and what a raised min holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bill {
    /// On-Demand Instances.
    pub on_demand: MicroUsd,
    /// Spot Instances.
    pub spot: MicroUsd,
    /// Of both, the share of what no job uses.
    pub idle: MicroUsd,
    /// Of that, the share of what autotune holds.
    pub held: MicroUsd,
    /// Environments in it.
    pub known: usize,
    /// Environments with capacity whose price is not known, or of which not even that is.
    pub unknown: usize,
    /// Environments whose instances were read too long ago, and how long at the most.
    pub stale: usize,
    /// See `stale`.
    pub stale_age: Span,
}

impl Bill {
    /// Of a snapshot that was taken so long ago.
    pub fn of(snapshot: &Snapshot, ago: Span) -> Self {
        let mut bill = Self::default();
        for environment in &snapshot.environments {
            let (Some(price), Some(age)) = (environment.per_hour, environment.instances_age) else {
                bill.unknown += 1;
                continue;
            };
            if age + ago > FRESH {
                bill.stale += 1;
                bill.stale_age = bill.stale_age.max(age + ago);
                continue;
            }
            bill.known += 1;
            if environment.purchase == "spot" {
                bill.spot += price;
            } else {
                bill.on_demand += price;
            }
            let there = environment.there_vcpus.get();
            if there > 0 {
                let idle = environment.there_vcpus.minus_or_zero(environment.used_vcpus);
                let held = environment.held_vcpus().min(idle);
                bill.idle += price.scaled_down(idle.get(), there);
                bill.held += price.scaled_down(held.get(), there);
            }
        }
        bill
    }

    /// What everything costs.
    pub fn all(&self) -> MicroUsd {
        self.on_demand + self.spot
    }

    /// How many environments are not in it.
    pub const fn left_out(&self) -> usize {
        self.unknown + self.stale
    }

    /// Tells the metrics.
    pub(super) fn count(&self, metrics: &Metrics) {
        let cost = Cost {
            on_demand: self.on_demand,
            spot: self.spot,
            idle: self.idle,
        };
        metrics.costs(self.is_known().then_some(cost), self.left_out());
    }

    /// Whether it says anything: a zero that leaves something out does not.
    pub fn is_known(&self) -> bool {
        self.known > 0 && (self.left_out() == 0 || self.all() > MicroUsd::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::snapshot::EnvironmentStatus;
    use crate::units::{Time, Vcpus};

    #[test]
    fn the_bill_tells_idle_and_held_apart_and_counts_what_it_does_not_know() {
        let age = |minutes| Some(Span::from_minutes(minutes));
        let known = |purchase: &str, there: i64, used: i64, min: i64| EnvironmentStatus {
            purchase: purchase.to_owned(),
            there_vcpus: Vcpus::new(there),
            used_vcpus: Vcpus::new(used),
            min_vcpus: Vcpus::new(min),
            base_vcpus: Vcpus::new(4),
            per_hour: Some(MicroUsd::new(there * 50_000)),
            instances_age: age(0),
            lease_expires: Some(Time::EPOCH),
            ..EnvironmentStatus::default()
        };
        let of = |environment, instances_age, lease_expires| EnvironmentStatus {
            lease_expires,
            instances_age,
            ..environment
        };
        let mut snapshot = Snapshot {
            environments: vec![
                known("spot", 100, 60, 24),
                known("on_demand", 10, 10, 10),
                known("spot", 0, 0, 0),
                // A min above base without a lease is that of somebody else.
                of(known("on_demand", 20, 0, 20), age(0), None),
                of(known("spot", 50, 0, 0), age(9), None),
                EnvironmentStatus::default(),
            ],
            ..Snapshot::default()
        };
        // All is two minutes older than the snapshot has it.
        let bill = Bill::of(&snapshot, Span::from_minutes(2));
        assert_eq!((bill.known, bill.unknown, bill.stale), (4, 1, 1));
        assert_eq!(Some(bill.stale_age), age(11));
        let dollars = [bill.all(), bill.spot, bill.on_demand, bill.idle, bill.held].map(|money| money.to_string());
        assert_eq!(dollars, ["$6.50", "$5.00", "$1.50", "$3.00", "$1.00"]);
        assert!(bill.is_known());
        snapshot.environments.drain(..4);
        assert!(!Bill::of(&snapshot, Span::from_minutes(2)).is_known());
        snapshot.environments = vec![known("spot", 0, 0, 0)];
        assert!(Bill::of(&snapshot, Span::ZERO).is_known(), "nothing costs nothing");
    }
}
