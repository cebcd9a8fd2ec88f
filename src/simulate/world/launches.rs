//! Launches: asked for, tried, failed for want of capacity or quota, tried again.

use super::events::{InstanceId, What};
use super::types::{self, Launch};
use super::{Time, World};
use crate::catalog::{Purchase, Resources};
use crate::ids::{EnvironmentIndex, JobIndex};
use crate::simulate::draws::{Cause, draw};
use crate::units::{Vcpus, to_u32, to_usize};

/// An instance that has been asked for and has not been launched yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    launch: Launch,
    by_update: bool,
    reserved_for: Option<JobIndex>,
}

impl Order {
    #[cfg(test)]
    pub(crate) const fn offer_position(&self) -> usize {
        self.launch.offer
    }

    /// The multi-node job that it is for.
    pub(crate) const fn reserved_for(&self) -> Option<JobIndex> {
        self.reserved_for
    }

    /// What it will offer to jobs that are not its own.
    pub(crate) const fn offer(&self, counts_updates: bool) -> Option<usize> {
        if self.reserved_for.is_some() || (self.by_update && !counts_updates) {
            None
        } else {
            Some(self.launch.offer)
        }
    }
}

impl World<'_> {
    /// Asks for instances and launches what can be launched now.
    pub(super) fn order(
        &mut self,
        environment: EnvironmentIndex,
        launches: &[Launch],
        by_update: bool,
        reserved_for: Option<JobIndex>,
    ) {
        if launches.is_empty() {
            return;
        }
        let place = self.environment_mut(environment);
        for launch in launches {
            place.ordered += place.offers[launch.offer].registered.vcpus;
            place.orders.push(Order {
                launch: *launch,
                by_update,
                reserved_for,
            });
        }
        self.fulfil(environment);
    }

    /// Tries every order once; a type that fails is not tried again at the same moment.
    fn fulfil(&mut self, environment: EnvironmentIndex) {
        let orders = std::mem::take(&mut self.environment_mut(environment).orders);
        let mut failed = vec![false; self.environments[environment.position()].offers.len()];
        let mut kept = Vec::new();
        let (mut any_launched, mut any_failed) = (false, false);
        for order in orders {
            let found = self.find_capacity(environment, &order, &mut failed, &mut any_failed);
            let place = self.environment_mut(environment);
            let Some((offer, zone)) = found else {
                kept.push(order);
                continue;
            };
            place.ordered -= place.offers[order.launch.offer].registered.vcpus;
            any_launched = true;
            self.launch(environment, offer, zone, &order);
        }
        if let Some(first) = kept.first() {
            self.tell_of_refusal(environment, first.launch.offer);
        }
        let now = self.now;
        let retry = now + self.model.launch_retry.0;
        let place = self.environment_mut(environment);
        place.orders = kept;
        place.desired = place.desired.max(place.committed());
        let below_min = place.committed() < place.min;
        if any_launched {
            place.short_since = None;
        }
        if any_failed {
            place.capacity_error = Some(now);
            place.short_since = place.short_since.or(Some(now));
        }
        if !place.orders.is_empty() && !place.retry_planned {
            place.retry_planned = true;
            self.events.plan(retry, What::Retry(environment));
        }
        if below_min && any_launched {
            self.plan_min_answer(environment); // some were smaller than asked for
        }
        self.unsettled = true;
        self.generations.environments += 1;
        self.generations.instances += 1;
    }

    /// The first type and zone with capacity and quota: the type asked for, then its alternatives.
    fn find_capacity(
        &mut self,
        environment: EnvironmentIndex,
        order: &Order,
        failed: &mut [bool],
        any_failed: &mut bool,
    ) -> Option<(usize, u8)> {
        if let Some(found) = self.try_type(environment, order.launch.offer, failed, any_failed) {
            return Some(found);
        }
        if order.reserved_for.is_some() {
            return None; // all nodes of a multi-node job are of one type
        }
        let place = &self.environments[environment.position()];
        let others = types::alternatives(place, &order.launch);
        others
            .into_iter()
            .find_map(|offer| self.try_type(environment, offer, failed, any_failed))
    }

    fn try_type(
        &mut self,
        environment: EnvironmentIndex,
        offer: usize,
        failed: &mut [bool],
        any_failed: &mut bool,
    ) -> Option<(usize, u8)> {
        if failed.get(offer).copied().unwrap_or(true) {
            return None;
        }
        let place = &self.environments[environment.position()];
        let zones = place.zones.max(1);
        let drawn = draw(self.seed, Cause::Zone, place.key, place.launches + 1);
        let first = u8::try_from(drawn % u64::from(zones)).unwrap_or(0);
        let within_quota = self.limit_in_the_way(environment, offer).is_none();
        let mut rotation = (0..zones).map(|step| (first + step) % zones);
        let zone = if within_quota {
            rotation.find(|zone| !self.in_drought(environment, offer, *zone))
        } else {
            None
        };
        if zone.is_none() {
            failed[offer] = true;
            *any_failed = true;
            self.environment_mut(environment).totals.failed_launches += 1;
        }
        zone.map(|zone| (offer, zone))
    }

    /// The service quota that one more instance of this type would exceed.
    pub(super) fn limit_in_the_way(&self, environment: EnvironmentIndex, offer: usize) -> Option<Vcpus> {
        let offer = &self.environments[environment.position()].offers[offer];
        let quota = offer.quota.and_then(|quota| self.quotas.get(quota))?;
        (quota.used + offer.registered.vcpus > quota.limit).then_some(quota.limit)
    }

    fn in_drought(&mut self, environment: EnvironmentIndex, offer: usize, zone: u8) -> bool {
        let now = self.now;
        let place = &self.environments[environment.position()];
        let given = place.droughts.iter().any(|(only_offer, only_zone, from, until)| {
            only_offer.is_none_or(|only| to_usize(only) == offer)
                && only_zone.is_none_or(|only| only == zone)
                && (*from..*until).contains(&now)
        });
        given || (place.purchase == Purchase::Spot && self.pools.in_drought(place.offers[offer].pool, zone, now))
    }

    fn launch(&mut self, environment: EnvironmentIndex, offer: usize, zone: u8, order: &Order) {
        let position = self.add_instance(environment, to_u32(offer), zone, order.by_update, order.reserved_for);
        let id = InstanceId { environment, position };
        let (now, seed) = (self.now, self.seed);
        let place = &mut self.environments[environment.position()];
        place.totals.launches += 1;
        let instance = &mut place.instances[to_usize(position)];
        instance.billed_from = now + self.model.pending.at(draw(seed, Cause::Pending, instance.entity, 0));
        let registers = instance.billed_from + place.boot.at(draw(seed, Cause::Boot, instance.entity, 0));
        let epoch = instance.epoch;
        let pool = place.offers[offer].pool;
        if place.purchase == Purchase::Spot
            && let Some((pool, at)) = self.pools.joined(pool, zone, now, self.model.interruption_warning.0)
        {
            self.events.plan(at, What::Notice(pool));
        }
        self.events.plan(registers, What::Register(id, epoch));
        self.tell_of_launch(id);
    }

    /// Tries failed launches again, unless no work has asked for them for a while.
    pub(super) fn retry(&mut self, environment: EnvironmentIndex) {
        let wanted = self.has_work(environment);
        let now = self.now;
        let kept = self.model.desired_kept.0;
        let place = self.environment_mut(environment);
        place.retry_planned = false;
        if place.orders.is_empty() {
            return;
        }
        if wanted {
            place.last_demand = now;
        } else if now.since(place.last_demand) >= kept {
            self.cancel(environment, |_| true);
        }
        self.fulfil(environment);
        if !self.model.next_environment_after.0.is_zero() {
            self.unsettled = true;
        }
    }

    fn has_work(&self, environment: EnvironmentIndex) -> bool {
        let uses = |queue: &&super::Queue| queue.environments.contains(&environment);
        self.queues.iter().filter(uses).any(|queue| !queue.waiting.is_empty())
    }

    /// Gives up orders that minvCpus does not need.
    fn cancel(&mut self, environment: EnvironmentIndex, goes: fn(&Order) -> bool) {
        let place = self.environment_mut(environment);
        for order in std::mem::take(&mut place.orders) {
            let size = place.offers[order.launch.offer].registered.vcpus;
            if goes(&order) && place.committed().minus_or_zero(size) >= place.min {
                place.ordered -= size;
            } else {
                place.orders.push(order);
            }
        }
        place.desired = place.min.max(place.committed());
        self.unsettled = true;
        self.generations.environments += 1;
    }

    /// Gives up orders that a raised minvCpus or desiredvCpus placed and that minvCpus no longer needs.
    pub(super) fn cancel_orders_of_updates(&mut self, environment: EnvironmentIndex) {
        self.cancel(environment, |order| order.by_update);
    }

    /// Launches until minvCpus is there or on its way.
    pub(super) fn answer_min(&mut self, environment: EnvironmentIndex) {
        self.launch_up_to(environment, self.environments[environment.position()].min);
    }

    /// Launches until this many vCPUs are there or on their way.
    pub(super) fn launch_up_to(&mut self, environment: EnvironmentIndex, vcpus: Vcpus) {
        let place = &self.environments[environment.position()];
        let missing = vcpus.minus_or_zero(place.committed());
        if missing.is_zero() || !place.managed() || !place.valid {
            return;
        }
        let rows = self.rows_of_environment(environment);
        let launches = types::for_vcpus(place, &self.model, &rows, missing);
        self.environment_mut(environment).last_demand = self.now;
        self.order(environment, &launches, true, None);
    }

    /// RUNNABLE jobs of an environment's queues, by size.
    fn rows_of_environment(&self, environment: EnvironmentIndex) -> Vec<(Resources, i64)> {
        let uses = |queue: &&super::Queue| queue.environments.contains(&environment);
        let rows = self.queues.iter().filter(uses).flat_map(|queue| queue.waiting.rows());
        rows.map(|(shape, jobs)| (self.shapes[shape.position()], jobs))
            .filter(|(shape, _)| shape.nodes == 1)
            .map(|(shape, jobs)| (shape.resources, jobs))
            .collect()
    }

    pub(super) fn plan_min_answer(&mut self, environment: EnvironmentIndex) {
        let key = self.environments[environment.position()].key;
        let drawn = draw(self.seed, Cause::MinRaise, key, self.relative(self.now));
        let at: Time = self.now + self.model.min_raise_delay.at(drawn);
        self.events.plan(at, What::MinRaise(environment));
    }
}
