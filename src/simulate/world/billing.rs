//! What instances cost, and how their time divides into booting, used and idle.

use super::World;
use super::environment::Environment;
use super::instances::{Instance, Stage};
use super::jobs::Status;
use crate::ids::JobIndex;
use crate::simulate::ledger::held;
use crate::units::{MicroUsd, Span, Time, to_usize};

/// The least that EC2 bills for a Linux instance (Amazon EC2 user guide, On-Demand Instances).
const LEAST_BILLED: Span = Span::from_seconds(60);
/// A Spot instance that EC2 interrupts before this is free (Amazon EC2 user guide, billing for interrupted Spot Instances).
const FREE_IF_INTERRUPTED: Span = Span::from_minutes(60);

impl World<'_> {
    /// What all instances have cost until now.
    pub fn cost(&self) -> MicroUsd {
        self.environments.iter().map(|place| place.cost(self.now)).sum()
    }

    /// Bills what still runs, until now.
    pub(super) fn close_books(&mut self) {
        let now = self.now;
        for position in 0..self.jobs.states.len() {
            let state = self.jobs.states[position];
            if state.status == Status::Placed {
                let shape = self.shapes[self.trace.jobs[position].shape.position()];
                for (id, ask) in self.nodes_of(state.place, &shape, JobIndex::at(position)) {
                    self.environment_mut(id.environment).totals.used += held(ask.vcpus, now.since(state.since));
                }
            }
        }
        for place in &mut self.environments {
            let running: Vec<Instance> = place
                .instances
                .iter()
                .filter(|i| i.stage != Stage::Gone)
                .cloned()
                .collect();
            for instance in &running {
                place.bill(instance, now, false);
            }
            place.totals.idle -= place.totals.used;
        }
    }
}

impl Environment {
    /// Adds an instance's interval to the accounts. `totals.idle` holds all registered time until the books are closed.
    pub(super) fn bill(&mut self, instance: &Instance, until: Time, by_ec2: bool) {
        let size = self.size(instance);
        let Some(offer) = self.offers.get(to_usize(instance.offer)) else {
            return;
        };
        let registered = instance.registered.min(until);
        self.totals.idle += held(size, until.since(registered));
        if instance.billed_from >= until {
            return;
        }
        self.totals.booting += held(size, registered.since(instance.billed_from));
        self.totals.cost += price(offer.per_hour, until.since(instance.billed_from), by_ec2);
    }

    /// What its instances have cost until now.
    fn cost(&self, now: Time) -> MicroUsd {
        let running = self
            .instances
            .iter()
            .filter(|i| i.stage != Stage::Gone && i.billed_from < now);
        let open: MicroUsd = running
            .filter_map(|instance| {
                let offer = self.offers.get(to_usize(instance.offer))?;
                Some(price(offer.per_hour, now.since(instance.billed_from), false))
            })
            .sum();
        self.totals.cost + open
    }
}

/// What is billed for an instance that has run this long.
fn price(per_hour: MicroUsd, span: Span, by_ec2: bool) -> MicroUsd {
    if by_ec2 && span < FREE_IF_INTERRUPTED {
        return MicroUsd::ZERO;
    }
    let seconds = Span::from_seconds(span.scaled_up(1, 1_000).get());
    per_hour.per_hour_for(seconds.max(LEAST_BILLED))
}
