//! Spot pools: when they take instances back, and when they have none to give. Both are functions of (pool, time) under the
//! seed, so that every policy meets the same weather.

use std::collections::BTreeMap;

use super::events::{InstanceId, What};
use super::instances::Stage;
use super::jobs::Status;
use super::{Time, World};
use crate::catalog::Purchase;
use crate::ids::EnvironmentIndex;
use crate::simulate::draws::{Cause, draw, fraction, key, key_of};
use crate::simulate::model::BatchModel;
use crate::simulate::scenario::RandomDroughts;
use crate::units::{Span, f64_to_i64, i64_to_f64, to_u32, to_usize};

/// Share of instances interrupted per month, in the middle of each band of the Spot advisor; the last band is open (over
/// 20 %) and counts as 25 %.
const MONTHLY: [f64; 5] = [0.025, 0.075, 0.125, 0.175, 0.25];
const MONTH_MS: f64 = 30.0 * 86_400_000.0;

/// All Spot pools of the scenario.
#[derive(Debug)]
pub(crate) struct Pools {
    seed: u64,
    origin: Time,
    factor: f64,
    share: f64,
    droughts: Option<(Span, Span)>,
    all: Vec<Pool>,
    of_type: BTreeMap<String, u32>,
}

/// One instance type in one zone.
#[derive(Debug)]
struct Pool {
    key: u64,
    /// Mean time between two reclaims; `None`: never.
    mean_between: Option<f64>,
    reclaims: u64,
    next_reclaim: Time,
    notice_planned: bool,
    instances: u32,
    droughts: Vec<(Time, Time)>,
}

/// Zones kept apart per type; AWS Regions have at most 6.
const ZONES: u8 = 8;

impl Pools {
    pub(crate) fn new(seed: u64, origin: Time, model: &BatchModel, droughts: Option<&RandomDroughts>) -> Self {
        Self {
            seed,
            origin,
            factor: model.interruption_factor,
            share: model.interrupted_share,
            droughts: droughts.map(|random| (random.mean_between.0, random.mean_length.0)),
            all: Vec::new(),
            of_type: BTreeMap::new(),
        }
    }

    /// The pool of a type in its first zone.
    pub(crate) fn of_type(&mut self, name: &str, band: u8) -> u32 {
        if let Some(pool) = self.of_type.get(name) {
            return *pool;
        }
        let first = to_u32(self.all.len());
        let monthly = MONTHLY.get(to_usize(band)).copied().unwrap_or(MONTHLY[4]);
        // Instances live exponentially long; a reclaim takes only a share of them and so comes more often.
        let rate = -libm::log(1.0 - monthly) / MONTH_MS * self.factor / self.share;
        for zone in 0..ZONES {
            let mut pool = Pool {
                key: key(&[key_of(name), u64::from(zone)]),
                mean_between: (rate > 0.0).then(|| 1.0 / rate),
                reclaims: 0,
                next_reclaim: self.origin,
                notice_planned: false,
                instances: 0,
                droughts: Vec::new(),
            };
            pool.next(self.seed);
            self.all.push(pool);
        }
        self.of_type.insert(name.to_owned(), first);
        first
    }

    fn index(first: u32, zone: u8) -> usize {
        to_usize(first) + to_usize(zone % ZONES)
    }

    /// An instance was launched; when the pool's next notice is due, if none is planned yet.
    pub(crate) fn joined(&mut self, first: u32, zone: u8, now: Time, warning: Span) -> Option<(u32, Time)> {
        let index = Self::index(first, zone);
        let seed = self.seed;
        let pool = self.all.get_mut(index)?;
        pool.instances += 1;
        if pool.notice_planned || pool.mean_between.is_none() {
            return None;
        }
        while pool.next_reclaim - warning < now {
            pool.next(seed);
        }
        pool.notice_planned = true;
        Some((to_u32(index), pool.next_reclaim - warning))
    }

    pub(crate) fn left(&mut self, first: u32, zone: u8) {
        if let Some(pool) = self.all.get_mut(Self::index(first, zone)) {
            pool.instances = pool.instances.saturating_sub(1);
        }
    }

    /// Whether a random drought is on.
    pub(crate) fn in_drought(&mut self, first: u32, zone: u8, now: Time) -> bool {
        let Some((mean_between, mean_length)) = self.droughts else {
            return false;
        };
        let (seed, origin) = (self.seed, self.origin);
        let Some(pool) = self.all.get_mut(Self::index(first, zone)) else {
            return false;
        };
        while pool.droughts.last().is_none_or(|drought| drought.1 <= now) {
            let ordinal = crate::units::to_i64(pool.droughts.len());
            let ordinal = u64::try_from(ordinal).unwrap_or(0);
            let after = pool.droughts.last().map_or(origin, |drought| drought.1);
            let between = exponential(mean_between, draw(seed, Cause::Drought, pool.key, ordinal));
            let length = exponential(mean_length, draw(seed, Cause::DroughtLength, pool.key, ordinal));
            let start = after + between;
            pool.droughts.push((start, start + length));
        }
        let next = pool.droughts.partition_point(|drought| drought.1 <= now);
        pool.droughts.get(next).is_some_and(|drought| drought.0 <= now)
    }
}

impl Pool {
    fn next(&mut self, seed: u64) {
        if let Some(mean) = self.mean_between {
            let mean = Span::from_millis(f64_to_i64(mean));
            self.next_reclaim =
                self.next_reclaim + exponential(mean, draw(seed, Cause::Reclaim, self.key, self.reclaims));
            self.reclaims += 1;
        }
    }
}

/// An exponentially distributed span, at least a millisecond.
fn exponential(mean: Span, drawn: u64) -> Span {
    let millis = -libm::log(1.0 - fraction(drawn)) * i64_to_f64(mean.millis());
    Span::from_millis(f64_to_i64(millis.round()).max(1))
}

impl World<'_> {
    /// A pool is about to take instances back: each is hit with the model's share as probability, drains, and ends after the
    /// warning.
    pub(super) fn notice(&mut self, index: u32) {
        let Some(pool) = self.pools.all.get_mut(to_usize(index)) else {
            return;
        };
        pool.notice_planned = false;
        let (ordinal, at) = (pool.reclaims, pool.next_reclaim);
        pool.next(self.seed);
        if pool.instances > 0 {
            pool.notice_planned = true;
            let notice = pool.next_reclaim - self.model.interruption_warning.0;
            self.events.plan(notice.max(self.now), What::Notice(index));
        }
        let mut hit = Vec::new();
        for (environment, place) in self.environments.iter().enumerate() {
            if place.purchase != Purchase::Spot {
                continue;
            }
            for (position, instance) in place.instances.iter().enumerate() {
                let here = Pools::index(place.offers[to_usize(instance.offer)].pool, instance.zone);
                let taken = fraction(draw(self.seed, Cause::Reclaimed, instance.entity, ordinal)) < self.pools.share;
                if here == to_usize(index) && taken && !matches!(instance.stage, Stage::Gone | Stage::Draining) {
                    let environment = EnvironmentIndex::at(environment);
                    let position = to_u32(position);
                    hit.push(InstanceId { environment, position });
                }
            }
        }
        for id in hit {
            self.drain_for_interruption(id, at);
        }
    }

    pub(super) fn drain_for_interruption(&mut self, id: InstanceId, at: Time) {
        self.drain(id);
        self.tell_of_instance(id, true);
        let instance = &mut self.environments[id.environment.position()].instances[to_usize(id.position)];
        instance.epoch += 1;
        let epoch = instance.epoch;
        let tenants = instance.tenants.clone();
        for job in tenants.into_iter().rev() {
            if self.jobs.states[job.position()].status == Status::Assigned {
                self.unassign(job, id);
            }
        }
        self.events.plan(at, What::Interrupt(id, epoch));
    }
}
