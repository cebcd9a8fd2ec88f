//! Instances from registration to release, and the room that jobs take on them.

use std::collections::BTreeSet;

use super::environment::Environment;
use super::events::{InstanceId, What};
use super::{Release, World};
use crate::catalog::{Purchase, Resources};
use crate::ids::{EnvironmentIndex, JobIndex};
use crate::observation::Shape;
use crate::simulate::draws::{Cause, draw};
use crate::simulate::ledger::held;
use crate::units::{Time, to_u32, to_usize};

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
        let quota = place.quota_of(&instance);
        place.live += size;
        match place.instances.get_mut(to_usize(position)) {
            Some(vacant) => *vacant = instance,
            None => place.instances.push(instance),
        }
        if let Some(quota) = quota.and_then(|quota| self.quotas.get_mut(quota)) {
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
        self.generations.instances += 1;
        self.tell_of_instance(id, false);
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
            instance: instance.entity,
            idle_periods: instance.idle_periods,
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
        let (size, quota) = (place.size(&instance), place.quota_of(&instance));
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
        if let Some(quota) = quota.and_then(|quota| self.quotas.get_mut(quota)) {
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
        self.tell_of_instance(id, false);
        self.capacity_changed = true;
        self.unsettled = true;
        self.generations.environments += 1;
        self.generations.instances += 1;
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
        self.generations.instances += 1;
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

    pub(super) fn give_back(&mut self, id: InstanceId, job: JobIndex, ask: &Resources) {
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
        self.generations.instances += 1;
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
        self.generations.instances += 1;
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
    pub(super) fn nodes_of(
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
}
