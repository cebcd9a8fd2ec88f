//! What happens, told as it happens, and single jobs and instances as they stand: for whoever shows the world to clients, who
//! see more than counts.

use super::World;
use super::environment::Environment;
use super::events::InstanceId;
use super::instances::Stage;
use super::jobs::Status;
use crate::catalog::{Resources, quota_code};
use crate::ids::{EnvironmentIndex, JobIndex, QueueIndex};
use crate::observation::Shape;
use crate::simulate::ledger::{Fate, JobOutcome};
use crate::trace::{Job, Trace};
use crate::units::{Time, Vcpus, to_u32, to_usize};

/// How far a job is, as AWS Batch tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not submitted yet.
    Unborn,
    /// Waits for other jobs.
    Pending,
    /// Waits for capacity.
    Runnable,
    /// Has an instance; its image is being pulled.
    Starting,
    /// Runs.
    Running,
    /// Over.
    Ended,
}

/// Something that happened. RUNNING is not told: STARTING tells when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A job has reached a phase.
    Job(Time, JobIndex, Phase),
    /// An instance has registered or is gone.
    Instance(Time, EnvironmentIndex, InstanceNow),
    /// EC2 will take a Spot instance back.
    Interruption(Time, EnvironmentIndex, InstanceNow),
    /// EC2 was asked for instances.
    Launch(Time, EnvironmentIndex, Launch),
}

/// What EC2 answered to a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launch {
    /// This instance comes.
    Coming(InstanceNow),
    /// None of this type, given by its position among the environment's types, nor of those that would do instead.
    Refused(u32, Shortage),
}

/// What is short when EC2 refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// The service quota, which is this.
    Quota(Vcpus),
    /// Capacity in every zone.
    Capacity,
}

/// A job as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobNow {
    /// Its queue.
    pub queue: QueueIndex,
    /// What it asks for, as placed.
    pub shape: Shape,
    /// How far it is.
    pub phase: Phase,
    /// When the latest attempt became STARTING and RUNNING.
    pub attempt: Option<(Time, Time)>,
    /// When it ended.
    pub ended: Option<Time>,
    /// Attempts so far.
    pub attempts: u8,
    /// How it ended, or why it never will.
    pub fate: Fate,
    /// Where it runs or has last run: the environment, and what draws know the instance by.
    pub place: Option<(EnvironmentIndex, u64)>,
}

/// An instance as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceNow {
    /// What draws know it by: no other instance has this number.
    pub entity: u64,
    /// ACTIVE; otherwise DRAINING, or gone.
    pub active: bool,
    /// Position among the environment's offered types.
    pub offer: u32,
    /// Position among its zones.
    pub zone: u8,
    /// From when on it is RUNNING and billed.
    pub running: Time,
    /// When it registered.
    pub registered: Time,
    /// What it offers to jobs.
    pub total: Resources,
    /// What of it is free, as an observer sees it.
    pub free: Resources,
    /// Jobs on it.
    pub jobs: u32,
}

impl World<'_> {
    /// From now on keeps what happens for [`World::take_told`].
    pub fn tell(&mut self) {
        self.told = Some(Vec::new());
    }

    /// What has happened since this was last called, in order.
    pub fn take_told(&mut self) -> Vec<Told> {
        self.told.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(super) fn tell_of(&mut self, job: JobIndex, phase: Phase) {
        if let Some(told) = &mut self.told {
            told.push(Told::Job(self.now, job, phase));
        }
    }

    pub(super) fn tell_of_instance(&mut self, id: InstanceId, interrupted: bool) {
        if self.told.is_none() {
            return;
        }
        let Some(instance) = self.instance_now(id) else { return };
        let told = if interrupted {
            Told::Interruption(self.now, id.environment, instance)
        } else {
            Told::Instance(self.now, id.environment, instance)
        };
        if let Some(all) = &mut self.told {
            all.push(told);
        }
    }

    pub(super) fn tell_of_launch(&mut self, id: InstanceId) {
        if self.told.is_some()
            && let Some(instance) = self.instance_now(id)
        {
            self.tell_of_answer(id.environment, Launch::Coming(instance));
        }
    }

    pub(super) fn tell_of_refusal(&mut self, environment: EnvironmentIndex, offer: usize) {
        if self.told.is_some() {
            let limit = self.limit_in_the_way(environment, offer);
            let why = limit.map_or(Shortage::Capacity, Shortage::Quota);
            self.tell_of_answer(environment, Launch::Refused(to_u32(offer), why));
        }
    }

    fn tell_of_answer(&mut self, environment: EnvironmentIndex, answer: Launch) {
        let now = self.now;
        if let Some(told) = &mut self.told {
            told.push(Told::Launch(now, environment, answer));
        }
    }

    /// The jobs that this world knows, those to come included.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// A job of the trace.
    pub fn recorded(&self, job: JobIndex) -> Option<&Job> {
        self.trace.jobs.get(job.position())
    }

    /// A job as it stands; `None` if there is none.
    pub fn job(&self, job: JobIndex) -> Option<JobNow> {
        let state = self.jobs.states.get(job.position())?;
        let recorded = self.trace.jobs.get(job.position())?;
        let fate = state.outcome.fate;
        let phase = match (state.status, fate) {
            (Status::Over, Fate::NeverReady) if recorded.is_spawned() || recorded.submit > self.now => Phase::Unborn,
            (Status::Over, Fate::NeverReady) | (Status::Pending, _) => Phase::Pending,
            (Status::Unborn, _) => Phase::Unborn,
            (Status::Over, Fate::NeverFits) | (Status::Runnable | Status::Assigned, _) => Phase::Runnable,
            (Status::Placed, _) if state.running > self.now => Phase::Starting,
            (Status::Placed, _) => Phase::Running,
            (Status::Over, Fate::Open | Fate::Succeeded | Fate::Failed | Fate::DependencyFailed) => Phase::Ended,
        };
        let started = state.outcome.attempts > 0;
        let id = state.place;
        let place = self.environments.get(id.environment.position());
        let instance = place.and_then(|place| place.instances.get(to_usize(id.position)));
        Some(JobNow {
            queue: state.outcome.queue,
            shape: self.shapes.get(recorded.shape.position()).copied().unwrap_or_default(),
            phase,
            attempt: started.then_some((state.since, state.running)),
            ended: (phase == Phase::Ended).then_some(state.outcome.ended),
            attempts: state.outcome.attempts,
            fate,
            place: instance
                .filter(|_| started)
                .map(|instance| (id.environment, instance.entity)),
        })
    }

    /// What has happened to each job so far, in the order of the trace.
    pub fn outcomes(&self) -> impl Iterator<Item = &JobOutcome> {
        self.jobs.states.iter().map(|state| &state.outcome)
    }

    /// The first RUNNABLE jobs of a queue that have no room yet, in the order in which they will be served.
    pub fn front(&self, queue: QueueIndex, most: usize) -> Vec<JobIndex> {
        let queue = self.queues.get(queue.position());
        queue.map(|queue| queue.waiting.first(most)).unwrap_or_default()
    }

    /// Since when a job has been RUNNABLE; `None` for one that is not.
    pub fn front_since(&self, job: JobIndex) -> Option<Time> {
        let state = self.jobs.states.get(job.position())?;
        matches!(state.status, Status::Runnable | Status::Assigned).then_some(state.outcome.ready)
    }

    /// Instances that are ACTIVE or DRAINING.
    pub fn instances_of(&self, environment: EnvironmentIndex) -> Vec<InstanceNow> {
        let Some(place) = self.environments.get(environment.position()) else {
            return Vec::new();
        };
        let registered = place.instances.iter().enumerate().filter(|(_, instance)| {
            matches!(instance.stage, Stage::Active | Stage::Draining) && instance.registered <= self.now
        });
        let ids = registered.map(|(position, _)| InstanceId {
            environment,
            position: to_u32(position),
        });
        ids.filter_map(|id| self.instance_now(id)).collect()
    }

    /// Instances that EC2 has launched and not ended, registered or not.
    pub fn launched(&self, environment: EnvironmentIndex) -> Vec<InstanceNow> {
        let Some(place) = self.environments.get(environment.position()) else {
            return Vec::new();
        };
        let live = place.instances.iter().enumerate();
        let live = live.filter(|(_, instance)| place.managed() && instance.stage != Stage::Gone);
        let ids = live.map(|(position, _)| InstanceId {
            environment,
            position: to_u32(position),
        });
        ids.filter_map(|id| self.instance_now(id)).collect()
    }

    /// When environments can launch nothing, as the scenario gives it.
    pub fn droughts(&self) -> Vec<(Time, Time)> {
        let all = self.environments.iter().flat_map(|place| &place.droughts);
        all.map(|(_, _, from, until)| (*from, *until)).collect()
    }

    /// vCPUs that a service quota counts as used, ours and those of others.
    pub fn quota_used(&self, code: &str) -> Vcpus {
        if let Some(quota) = self.quotas.iter().find(|quota| quota.code == code) {
            return quota.used;
        }
        let under = |place: &Environment| -> Vcpus {
            let live = place.instances.iter().filter(|instance| instance.stage != Stage::Gone);
            let offers = live.filter_map(|instance| place.offers.get(to_usize(instance.offer)));
            let counted = offers.filter(|offer| quota_code(&offer.name, place.purchase) == Some(code));
            counted.map(|offer| offer.registered.vcpus).sum()
        };
        self.environments.iter().map(under).sum()
    }

    fn instance_now(&self, id: InstanceId) -> Option<InstanceNow> {
        let place = self.environments.get(id.environment.position())?;
        let instance = place.instances.get(to_usize(id.position))?;
        Some(InstanceNow {
            entity: instance.entity,
            active: instance.stage == Stage::Active,
            offer: instance.offer,
            zone: instance.zone,
            running: instance.billed_from,
            registered: instance.registered,
            total: place.resources(instance),
            free: instance.seen_free,
            jobs: instance.jobs,
        })
    }
}
