//! Environments and their instances: from registration to release, with what they cost.

use std::collections::BTreeSet;

use super::events::{InstanceId, What};
use super::launches::Order;
use super::placement::RoomIndex;
use super::spot::Pools;
use super::{Quota, Release, World};
use crate::account::Platform;
use crate::catalog::{Purchase, Resources};
use crate::ids::{EnvironmentIndex, JobIndex};
use crate::observation::Shape;
use crate::simulate::distribution::Distribution;
use crate::simulate::draws::{Cause, draw, key_of};
use crate::simulate::ledger::{EnvironmentTotals, held};
use crate::simulate::model::BatchModel;
use crate::simulate::scenario::{Allocation, EnvironmentSpec, Scenario};
use crate::units::{MicroUsd, Span, Time, Vcpus, to_u32, to_usize};

/// The least that EC2 bills for a Linux instance (Amazon EC2 user guide, On-Demand Instances).
const LEAST_BILLED: Span = Span::from_seconds(60);
/// A Spot instance that EC2 interrupts before this is free (Amazon EC2 user guide, billing for interrupted Spot Instances).
const FREE_IF_INTERRUPTED: Span = Span::from_minutes(60);

/// An instance type as an environment may launch it.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) name: String,
    pub(crate) family: String,
    pub(crate) registered: Resources,
    pub(crate) per_hour: MicroUsd,
    pub(crate) interruption_band: u8,
    /// The Spot pool of its first zone; the other zones follow.
    pub(crate) pool: u32,
}

/// How far an instance has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nobody here; the position is free.
    Gone,
    /// Launched, not yet registered.
    Coming,
    /// ACTIVE.
    Active,
    /// DRAINING: takes no more jobs, ends soon.
    Draining,
}

/// One EC2 instance.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) offer: u32,
    pub(crate) zone: u8,
    pub(crate) stage: Stage,
    /// Changes when it becomes busy, idle or gone: events of an earlier epoch are void.
    pub(crate) epoch: u32,
    /// What draws know it by: its environment and the number of its launch there.
    pub(crate) entity: u64,
    /// Whether minvCpus or an update started it, rather than Batch for its jobs.
    pub(crate) by_update: bool,
    /// The multi-node job that it was launched for.
    pub(crate) reserved_for: Option<JobIndex>,
    pub(crate) billed_from: Time,
    pub(crate) registered: Time,
    /// What jobs could still be assigned.
    pub(crate) free: Resources,
    /// What an observer sees as free.
    pub(crate) seen_free: Resources,
    pub(crate) jobs: u32,
    /// Which jobs; kept on Spot only, where they can be lost.
    pub(crate) tenants: Vec<JobIndex>,
    pub(crate) ran: bool,
    pub(crate) idle_since: Time,
    pub(crate) idle_periods: u64,
    /// When it may be released, if minvCpus allows.
    pub(crate) idle_until: Time,
    /// Names of jobs whose image is there.
    pub(crate) images: BTreeSet<u32>,
}

impl Instance {
    /// ACTIVE, without jobs, and not kept together for a multi-node job.
    pub(crate) const fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Active) && self.jobs == 0 && self.reserved_for.is_none()
    }
}

/// A compute environment.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) key: u64,
    pub(crate) platform: Platform,
    pub(crate) purchase: Purchase,
    pub(crate) allocation: Allocation,
    pub(crate) zones: u8,
    pub(crate) valid: bool,
    pub(crate) enabled: bool,
    pub(crate) updating: bool,
    pub(crate) updates: u64,
    pub(crate) min: Vcpus,
    pub(crate) desired: Vcpus,
    pub(crate) max: Vcpus,
    pub(crate) scale_down_delay: Span,
    pub(crate) boot: Distribution,
    pub(crate) idle: Distribution,
    pub(crate) offers: Vec<Offer>,
    pub(crate) smallest: Vcpus,
    pub(crate) quota: Option<usize>,
    pub(crate) instances: Vec<Instance>,
    pub(crate) vacant: BTreeSet<u32>,
    pub(crate) index: RoomIndex,
    /// vCPUs of instances that are coming, active or draining.
    pub(crate) live: Vcpus,
    /// vCPUs of ACTIVE instances.
    pub(crate) there: Vcpus,
    /// vCPUs that jobs hold, as an observer sees it.
    pub(crate) used: Vcpus,
    /// vCPUs that jobs hold or have been assigned.
    pub(crate) assigned: Vcpus,
    /// Free on all ACTIVE instances together.
    pub(crate) free: Resources,
    /// Launches that have not succeeded yet, and their vCPUs.
    pub(crate) orders: Vec<Order>,
    pub(crate) ordered: Vcpus,
    pub(crate) launches: u64,
    pub(crate) retry_planned: bool,
    pub(crate) short_since: Option<Time>,
    pub(crate) last_demand: Time,
    pub(crate) no_launch_before: Time,
    pub(crate) capacity_error: Option<Time>,
    pub(crate) last_registered: Option<Time>,
    /// Times without capacity: offer (all if none), zone (all if none), from, until.
    pub(crate) droughts: Vec<(Option<u32>, Option<u8>, Time, Time)>,
    pub(crate) totals: EnvironmentTotals,
}

impl Environment {
    pub(super) fn new(
        scenario: &Scenario,
        spec: &EnvironmentSpec,
        model: &BatchModel,
        quotas: &[Quota],
        pools: &mut Pools,
        origin: Time,
    ) -> Self {
        let offers = offers(scenario, spec, pools);
        let own: i64 = spec
            .own_instances
            .iter()
            .map(|own| i64::from(own.count) * i64::from(own.vcpus))
            .sum();
        let (boot, idle) = match spec.purchase {
            Purchase::OnDemand => (&model.boot_on_demand, &model.idle_on_demand),
            Purchase::Spot => (&model.boot_spot, &model.idle_spot),
        };
        let code = scenario.quota_code(spec);
        let min = Vcpus::new(i64::from(spec.min_vcpus));
        let max = Vcpus::new(i64::from(spec.max_vcpus));
        Self {
            key: key_of(&spec.name),
            platform: spec.platform,
            purchase: spec.purchase,
            allocation: spec.allocation,
            zones: spec.zones,
            valid: spec.valid,
            enabled: spec.enabled,
            updating: false,
            updates: 0,
            min,
            desired: min,
            max: if spec.platform == Platform::Unmanaged {
                Vcpus::new(own)
            } else {
                max
            },
            scale_down_delay: spec.scale_down_delay.0,
            boot: spec.boot.as_ref().unwrap_or(boot).clone(),
            idle: idle.clone(),
            smallest: offers
                .iter()
                .map(|offer| offer.registered.vcpus)
                .min()
                .unwrap_or(Vcpus::ZERO),
            droughts: droughts(scenario, spec, &offers, origin),
            offers,
            quota: quotas.iter().position(|quota| Some(&quota.code) == code.as_ref()),
            instances: Vec::new(),
            vacant: BTreeSet::new(),
            index: RoomIndex::default(),
            live: Vcpus::ZERO,
            there: Vcpus::ZERO,
            used: Vcpus::ZERO,
            assigned: Vcpus::ZERO,
            free: Resources::default(),
            orders: Vec::new(),
            ordered: Vcpus::ZERO,
            launches: 0,
            retry_planned: false,
            short_since: None,
            last_demand: Time::FAR_PAST,
            no_launch_before: Time::FAR_PAST,
            capacity_error: None,
            last_registered: None,
            totals: EnvironmentTotals {
                name: spec.name.clone(),
                ..EnvironmentTotals::default()
            },
        }
    }

    /// There, on its way and asked for.
    pub(crate) fn committed(&self) -> Vcpus {
        self.live + self.ordered
    }

    /// VALID and ENABLED: takes jobs and scales out.
    pub(crate) const fn usable(&self) -> bool {
        self.valid && self.enabled
    }

    /// Whether Batch starts and ends its instances.
    pub(crate) fn managed(&self) -> bool {
        self.platform != Platform::Unmanaged
    }

    /// Whether, without new work, instances would still come or go.
    pub(crate) fn will_shrink(&self) -> bool {
        self.managed()
            && self.instances.iter().any(|instance| match instance.stage {
                Stage::Coming | Stage::Draining => true,
                Stage::Active => !instance.is_idle() || self.may_release(instance),
                Stage::Gone => false,
            })
    }

    fn may_release(&self, instance: &Instance) -> bool {
        self.committed().minus_or_zero(self.size(instance)) >= self.min
    }

    pub(crate) fn size(&self, instance: &Instance) -> Vcpus {
        self.resources(instance).vcpus
    }

    pub(crate) fn resources(&self, instance: &Instance) -> Resources {
        self.offers
            .get(to_usize(instance.offer))
            .map(|offer| offer.registered)
            .unwrap_or_default()
    }
}

fn offers(scenario: &Scenario, spec: &EnvironmentSpec, pools: &mut Pools) -> Vec<Offer> {
    let offered = scenario.topology_types(spec);
    let bands = |name: &str| {
        crate::catalog::Catalog::bundled()
            .get(name)
            .and_then(|t| t.interruption_band)
            .unwrap_or(0)
    };
    let offer = |offered: crate::account::OfferedType| Offer {
        family: offered.name.split('.').next().unwrap_or_default().to_owned(),
        interruption_band: bands(&offered.name),
        pool: match spec.purchase {
            Purchase::Spot => pools.of_type(&offered.name, bands(&offered.name)),
            Purchase::OnDemand => u32::MAX,
        },
        registered: offered.registered,
        per_hour: offered.per_hour,
        name: offered.name,
    };
    offered.into_iter().map(offer).collect()
}

fn droughts(
    scenario: &Scenario,
    spec: &EnvironmentSpec,
    offers: &[Offer],
    origin: Time,
) -> Vec<(Option<u32>, Option<u8>, Time, Time)> {
    let here = scenario
        .droughts
        .iter()
        .filter(|drought| drought.environment == spec.name);
    here.filter_map(|drought| {
        let offer = match &drought.instance_type {
            Some(name) => Some(to_u32(offers.iter().position(|offer| offer.name == *name)?)),
            None => None,
        };
        let start = origin + drought.start.0;
        Some((offer, drought.zone, start, start + drought.length.0))
    })
    .collect()
}

impl World<'_> {
    pub(super) fn environment_mut(&mut self, environment: EnvironmentIndex) -> &mut Environment {
        &mut self.environments[environment.position()]
    }

    fn instance_mut(&mut self, id: InstanceId) -> &mut Instance {
        &mut self.environments[id.environment.position()].instances[to_usize(id.position)]
    }

    pub(super) fn is_tenant(&self, id: InstanceId, epoch: u32) -> bool {
        let environment = self.environments.get(id.environment.position());
        environment
            .and_then(|e| e.instances.get(to_usize(id.position)))
            .is_some_and(|i| i.epoch == epoch)
    }

    /// An instance of an unmanaged environment: there from the start, not billed.
    pub(super) fn add_own_instance(&mut self, environment: EnvironmentIndex, offer: usize) {
        let now = self.now;
        let position = self.add_instance(environment, to_u32(offer), 0, true, None);
        let id = InstanceId { environment, position };
        self.instance_mut(id).billed_from = now;
        self.register(id);
    }

    /// Puts a launched instance at the lowest vacant position.
    pub(super) fn add_instance(
        &mut self,
        environment: EnvironmentIndex,
        offer: u32,
        zone: u8,
        by_update: bool,
        reserved_for: Option<JobIndex>,
    ) -> u32 {
        let place = &mut self.environments[environment.position()];
        let position = place
            .vacant
            .pop_first()
            .unwrap_or_else(|| to_u32(place.instances.len()));
        let epoch = place.instances.get(to_usize(position)).map_or(0, |gone| gone.epoch + 1);
        place.launches += 1;
        let instance = Instance {
            offer,
            zone,
            stage: Stage::Coming,
            epoch,
            entity: crate::simulate::draws::key(&[place.key, place.launches]),
            by_update,
            reserved_for,
            billed_from: Time::FAR_FUTURE,
            registered: Time::FAR_FUTURE,
            free: Resources::default(),
            seen_free: Resources::default(),
            jobs: 0,
            tenants: Vec::new(),
            ran: false,
            idle_since: Time::FAR_FUTURE,
            idle_periods: 0,
            idle_until: Time::FAR_FUTURE,
            images: BTreeSet::new(),
        };
        let size = place.size(&instance);
        place.live += size;
        match place.instances.get_mut(to_usize(position)) {
            Some(vacant) => *vacant = instance,
            None => place.instances.push(instance),
        }
        if let Some(quota) = place.quota.and_then(|quota| self.quotas.get_mut(quota)) {
            quota.used += size;
        }
        self.capacity_changed = true;
        self.room_grew();
        position
    }

    /// The instance is ACTIVE from now on.
    pub(super) fn register(&mut self, id: InstanceId) {
        let now = self.now;
        let place = &mut self.environments[id.environment.position()];
        let instance = &mut place.instances[to_usize(id.position)];
        let registered = place.offers[to_usize(instance.offer)].registered;
        instance.stage = Stage::Active;
        instance.registered = now;
        instance.free = registered;
        instance.seen_free = registered;
        if instance.reserved_for.is_none() {
            place.index.set(to_usize(id.position), registered);
            place.free = place.free.plus(&registered);
        }
        place.there += registered.vcpus;
        place.totals.most_there = place.totals.most_there.max(place.there);
        place.last_registered = Some(now);
        self.room_grew();
        self.capacity_changed = true;
        self.unsettled = true;
        self.generation += 1;
        self.become_idle(id);
        self.release_held(id.environment);
    }

    pub(super) fn room_grew(&mut self) {
        self.room_stamp += 1;
    }

    /// Starts the time after which Batch releases an instance without jobs: the model's idle time, or the environment's
    /// `minScaleDownDelayMinutes` if that is longer and the instance has run a job (AWS Batch API reference, ScalingPolicy).
    fn become_idle(&mut self, id: InstanceId) {
        let (now, seed) = (self.now, self.seed);
        let place = &mut self.environments[id.environment.position()];
        if !place.managed() {
            return;
        }
        let delay = place.scale_down_delay;
        let instance = &mut place.instances[to_usize(id.position)];
        instance.epoch += 1;
        instance.idle_since = now;
        instance.idle_periods += 1;
        let mut kept = place
            .idle
            .at(draw(seed, Cause::Idle, instance.entity, instance.idle_periods));
        if instance.ran {
            kept = kept.max(delay);
        }
        instance.idle_until = now + kept;
        let (at, epoch) = (instance.idle_until, instance.epoch);
        self.events.plan(at, What::Idle(id, epoch));
    }

    /// An idle instance goes, if what is left still fulfils minvCpus.
    pub(super) fn release_if_allowed(&mut self, id: InstanceId) {
        let place = &self.environments[id.environment.position()];
        let instance = &place.instances[to_usize(id.position)];
        if !instance.is_idle() || !place.may_release(instance) {
            return;
        }
        let release = Release {
            environment: id.environment,
            idle_since: instance.idle_since,
            at: self.now,
            left: place.committed().minus_or_zero(place.size(instance)),
            min: place.min,
            ran: instance.ran,
        };
        self.releases.push(release);
        let cooldown = self.model.cooldown_after_scale_in.0;
        let now = self.now;
        let place = self.environment_mut(id.environment);
        place.totals.released += 1;
        place.no_launch_before = now + cooldown;
        self.terminate(id, false);
    }

    /// Tries again to release what only minvCpus held.
    pub(super) fn release_held(&mut self, environment: EnvironmentIndex) {
        self.release_where(environment, |instance, now| instance.idle_until <= now);
    }

    /// Releases what never ran a job, however short its idle time.
    pub(super) fn release_unused(&mut self, environment: EnvironmentIndex) {
        self.release_where(environment, |instance, _| !instance.ran);
    }

    fn release_where(&mut self, environment: EnvironmentIndex, goes: fn(&Instance, Time) -> bool) {
        if !self.environments[environment.position()].managed() {
            return;
        }
        for position in 0..self.environments[environment.position()].instances.len() {
            let instance = &self.environments[environment.position()].instances[position];
            if instance.is_idle() && goes(instance, self.now) {
                let position = to_u32(position);
                self.release_if_allowed(InstanceId { environment, position });
            }
        }
    }

    /// Ends an instance without jobs and writes its bill.
    fn terminate(&mut self, id: InstanceId, by_ec2: bool) {
        let now = self.now;
        let place = &mut self.environments[id.environment.position()];
        let mut instance = place.instances[to_usize(id.position)].clone();
        let size = place.size(&instance);
        if instance.stage == Stage::Active {
            place.there -= size;
            if instance.reserved_for.is_none() {
                place.free = place.free.less(&instance.free);
            }
        }
        place.index.set(to_usize(id.position), Resources::default());
        place.live -= size;
        place.bill(&instance, now, by_ec2);
        place.desired = place.min.max(place.committed());
        if let Some(quota) = place.quota.and_then(|quota| self.quotas.get_mut(quota)) {
            quota.used -= size;
        }
        if place.purchase == Purchase::Spot {
            self.pools
                .left(place.offers[to_usize(instance.offer)].pool, instance.zone);
        }
        instance.stage = Stage::Gone;
        instance.epoch += 1;
        instance.images.clear();
        place.instances[to_usize(id.position)] = instance;
        place.vacant.insert(id.position);
        self.capacity_changed = true;
        self.unsettled = true;
        self.generation += 1;
    }

    /// From now on the instance takes no jobs.
    pub(super) fn drain(&mut self, id: InstanceId) {
        let place = &mut self.environments[id.environment.position()];
        let instance = &mut place.instances[to_usize(id.position)];
        if instance.stage == Stage::Active {
            place.free = place.free.less(&instance.free);
            place.there -= place.offers[to_usize(instance.offer)].registered.vcpus;
            let seen = place.offers[to_usize(instance.offer)]
                .registered
                .less(&instance.seen_free);
            place.used -= seen.vcpus;
            place.index.set(to_usize(id.position), Resources::default());
        }
        instance.stage = Stage::Draining;
        self.capacity_changed = true;
        self.generation += 1;
    }

    /// EC2 takes a Spot instance back: its jobs are lost, the first of the trace ends up first in its queue.
    pub(super) fn interrupt(&mut self, id: InstanceId) {
        let mut jobs = self.instance_mut(id).tenants.clone();
        jobs.sort_unstable();
        if self.instance_mut(id).stage == Stage::Active {
            self.drain(id);
        }
        for job in jobs.into_iter().rev() {
            self.unassign(job, id);
        }
        self.environment_mut(id.environment).totals.interruptions += 1;
        self.terminate(id, true);
        let environment = id.environment;
        if self.environments[environment.position()].committed() < self.environments[environment.position()].min {
            self.plan_min_answer(environment);
        }
    }

    /// Takes a lost job off: a placed one leaves through its own accounts, an assigned one only gives its room back.
    pub(super) fn unassign(&mut self, job: JobIndex, id: InstanceId) {
        let shape = self.shapes[self.trace.jobs[job.position()].shape.position()];
        if self.jobs.states[job.position()].status == super::jobs::Status::Assigned {
            self.give_back(id, job, &shape.resources);
        }
        self.lose(job);
    }

    /// The room of a job is taken, though nobody sees it yet.
    pub(super) fn take_room(&mut self, id: InstanceId, job: JobIndex, ask: &Resources) {
        let place = &mut self.environments[id.environment.position()];
        let spot = place.purchase == Purchase::Spot;
        let instance = &mut place.instances[to_usize(id.position)];
        instance.free = instance.free.less(ask);
        if instance.jobs == 0 {
            instance.epoch += 1; // no longer idle
        }
        instance.jobs += 1;
        if spot {
            instance.tenants.push(job);
        }
        if instance.reserved_for.is_none() {
            place.index.set(to_usize(id.position), instance.free);
            place.free = place.free.less(ask);
        }
        place.assigned += ask.vcpus;
    }

    fn give_back(&mut self, id: InstanceId, job: JobIndex, ask: &Resources) {
        let place = &mut self.environments[id.environment.position()];
        let instance = &mut place.instances[to_usize(id.position)];
        instance.free = instance.free.plus(ask);
        instance.jobs -= 1;
        if let Some(tenant) = instance.tenants.iter().position(|tenant| *tenant == job) {
            instance.tenants.swap_remove(tenant);
        }
        place.assigned -= ask.vcpus;
        let (idle, active) = (instance.jobs == 0, instance.stage == Stage::Active);
        if active {
            let grown = if instance.reserved_for.take().is_some() {
                instance.free
            } else {
                *ask
            };
            place.free = place.free.plus(&grown);
            place.index.set(to_usize(id.position), instance.free);
            self.room_stamp += 1;
            if idle {
                self.become_idle(id);
            }
        }
    }

    /// A job has become STARTING on its instances.
    pub(super) fn occupy_visibly(&mut self, place: InstanceId, shape: &Shape, job: JobIndex) {
        for (id, ask) in self.nodes_of(place, shape, job) {
            let environment = &mut self.environments[id.environment.position()];
            let instance = &mut environment.instances[to_usize(id.position)];
            instance.seen_free = instance.seen_free.less(&ask);
            instance.ran = true;
            if instance.stage == Stage::Active {
                environment.used += ask.vcpus;
            }
        }
    }

    /// A job leaves its instances.
    pub(super) fn vacate(&mut self, job: JobIndex, place: InstanceId, shape: &Shape, since: Time) {
        let now = self.now;
        for (id, ask) in self.nodes_of(place, shape, job) {
            let environment = &mut self.environments[id.environment.position()];
            let instance = &mut environment.instances[to_usize(id.position)];
            instance.seen_free = instance.seen_free.plus(&ask);
            if instance.stage == Stage::Active {
                environment.used -= ask.vcpus;
            }
            environment.totals.used += held(ask.vcpus, now.since(since));
            self.give_back(id, job, &ask);
        }
        if shape.nodes > 1 {
            self.nodes.remove(&job);
        }
    }

    /// The instances that a job holds and what it holds of each: whole ones for a multi-node job.
    fn nodes_of(
        &self,
        place: InstanceId,
        shape: &Shape,
        job: JobIndex,
    ) -> impl Iterator<Item = (InstanceId, Resources)> + use<> {
        let many: Vec<(InstanceId, Resources)> = if shape.nodes > 1 {
            let whole = |id: &InstanceId| {
                let environment = &self.environments[id.environment.position()];
                (
                    *id,
                    environment.resources(&environment.instances[to_usize(id.position)]),
                )
            };
            self.nodes.get(&job).into_iter().flatten().map(whole).collect()
        } else {
            Vec::new()
        };
        let one = (shape.nodes <= 1).then_some((place, shape.resources));
        one.into_iter().chain(many)
    }

    /// Whether the image for a name has to be pulled; from now on it is there.
    pub(super) fn pulls(&mut self, id: InstanceId, name: u32) -> bool {
        self.instance_mut(id).images.insert(name)
    }

    /// Bills what still runs, until now.
    pub(super) fn close_books(&mut self) {
        let now = self.now;
        for position in 0..self.jobs.states.len() {
            let state = self.jobs.states[position];
            if state.status == super::jobs::Status::Placed {
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
            running.iter().for_each(|instance| place.bill(instance, now, false));
            place.totals.idle -= place.totals.used;
        }
    }
}

impl Environment {
    /// Adds an instance's interval to the accounts. `totals.idle` holds all registered time until the books are closed.
    fn bill(&mut self, instance: &Instance, until: Time, by_ec2: bool) {
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
        let span = until.since(instance.billed_from);
        if by_ec2 && span < FREE_IF_INTERRUPTED {
            return;
        }
        let seconds = Span::from_seconds(span.scaled_up(1, 1_000).get());
        self.totals.cost += offer.per_hour.per_hour_for(seconds.max(LEAST_BILLED));
    }
}
