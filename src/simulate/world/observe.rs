//! What can be read of the world: the truth at this moment. How late and how coarse a controller sees it is the view's affair.

use std::collections::BTreeMap;

use super::events::What;
use super::instances::Stage;
use super::jobs::Status;
use super::{Queue, World};
use crate::ids::{EnvironmentIndex, JobIndex, QueueIndex};
use crate::observation::{Arrival, EnvironmentNow, NotDemand, QuotaNow, Room, Shape, SqsNow, Tally};
use crate::trace::Dependency;
use crate::units::{Span, Time, Vcpus, to_i64, to_u32, to_usize};

/// Per part that an observer reads: rises with every change of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generations {
    /// Levels and states of compute environments.
    pub environments: u64,
    /// Container instances and what runs on them, failed launches.
    pub instances: u64,
    /// Counts of jobs.
    pub jobs: u64,
    /// SQS messages.
    pub sqs: u64,
}

impl World<'_> {
    /// Scaling parameters and state, as DescribeComputeEnvironments tells them. `valid` means not INVALID: an environment
    /// that is UPDATING stays `valid` and is marked apart.
    pub fn environment(&self, environment: EnvironmentIndex) -> EnvironmentNow {
        let place = &self.environments[environment.position()];
        EnvironmentNow {
            valid: place.valid,
            enabled: place.enabled,
            updating: place.updating,
            min_vcpus: place.min,
            desired_vcpus: if place.managed() { place.desired } else { place.live },
            max_vcpus: place.max,
            scale_down_delay: place.scale_down_delay,
        }
    }

    /// vCPUs of ACTIVE container instances.
    pub fn there(&self, environment: EnvironmentIndex) -> Vcpus {
        self.environments[environment.position()].there
    }

    /// vCPUs of them that STARTING and RUNNING jobs hold.
    pub fn used(&self, environment: EnvironmentIndex) -> Vcpus {
        self.environments[environment.position()].used
    }

    /// vCPUs of its ACTIVE instances by instance type. Nothing where one service quota counts them all: who asks then knows.
    pub fn types(&self, environment: EnvironmentIndex, into: &mut Vec<(String, Vcpus)>) {
        into.clear();
        let place = &self.environments[environment.position()];
        let first = place.offers.first().and_then(|offer| offer.quota);
        if place.offers.iter().all(|offer| offer.quota == first) {
            return;
        }
        for instance in place.instances.iter().filter(|i| i.stage == Stage::Active) {
            let Some(offer) = place.offers.get(to_usize(instance.offer)) else {
                continue;
            };
            match into.iter_mut().find(|(name, _)| *name == offer.name) {
                Some((_, vcpus)) => *vcpus += offer.registered.vcpus,
                None => into.push((offer.name.clone(), offer.registered.vcpus)),
            }
        }
        into.sort_unstable();
    }

    /// Room on ACTIVE instances that have at least one vCPU left, instances alike together.
    pub fn rooms(&self, environment: EnvironmentIndex, into: &mut Vec<Room>) {
        into.clear();
        let active = self.environments[environment.position()]
            .instances
            .iter()
            .filter(|i| i.stage == Stage::Active);
        let free = active
            .map(|instance| instance.seen_free)
            .filter(|free| !free.vcpus.is_zero());
        into.extend(free.map(|free| Room { free, instances: 1 }));
        into.sort_unstable();
        into.dedup_by(|next, kept| {
            let alike = next.free == kept.free;
            if alike {
                kept.instances += next.instances;
            }
            alike
        });
    }

    /// The latest launch that failed for want of capacity or quota.
    pub fn capacity_error(&self, environment: EnvironmentIndex) -> Option<Time> {
        self.environments[environment.position()].capacity_error
    }

    /// The latest registration of an instance.
    pub fn registered(&self, environment: EnvironmentIndex) -> Option<Time> {
        self.environments[environment.position()].last_registered
    }

    /// RUNNABLE jobs that are demand for capacity, array children included (as late as their parents' summaries are).
    pub fn runnable(&self, queue: QueueIndex) -> &Tally {
        let queue = &self.queues[queue.position()];
        if queue.not_demand.reserved > 0 {
            &queue.nothing
        } else {
            &queue.runnable
        }
    }

    /// The size of the first RUNNABLE job that has no room yet, as GetJobQueueSnapshot tells the order.
    pub fn head(&self, queue: QueueIndex) -> Option<Shape> {
        let (_, shape) = self.queues[queue.position()].waiting.line_after(i64::MIN)?;
        Some(self.shapes[shape.position()])
    }

    /// STARTING and RUNNING jobs.
    pub fn placed(&self, queue: QueueIndex) -> &Tally {
        &self.queues[queue.position()].placed
    }

    /// Jobs that wait for something that capacity does not cure.
    pub fn not_demand(&self, queue: QueueIndex) -> NotDemand {
        self.queues[queue.position()].not_demand
    }

    /// RUNNABLE multi-node jobs.
    pub fn multi_node(&self, queue: QueueIndex) -> &Tally {
        &self.queues[queue.position()].multi_node
    }

    /// The true counts of a trace's SQS queue. Messages are deleted when they are received.
    pub fn sqs(&self, source: usize) -> SqsNow {
        self.sqs.get(source).copied().unwrap_or_default()
    }

    /// A service quota by its code; `None` if the scenario sets none.
    pub fn quota(&self, code: &str) -> Option<QuotaNow> {
        self.quotas
            .iter()
            .find(|quota| quota.code == code)
            .map(|quota| QuotaNow {
                limit: quota.limit,
                used_by_others: quota.used_by_others,
            })
    }

    /// Brings what observers see up to date.
    pub(super) fn show(&mut self) {
        for queue in &mut self.queues {
            if queue.changed.is_empty() {
                continue;
            }
            for shape in queue.changed.drain(..) {
                let (runnable, placed) = std::mem::take(&mut queue.changes[to_usize(shape)]);
                let shape = self.shapes[to_usize(shape)];
                queue.runnable.add(shape, runnable);
                queue.placed.add(shape, placed);
            }
            self.generations.jobs += 1;
        }
        for position in 0..self.queues.len() {
            if self.queues[position].share_permille < 1_000 {
                let queue = &self.queues[position];
                let reserved = if self.is_held_by_reservation(queue) {
                    queue.runnable.jobs()
                } else {
                    0
                };
                self.queues[position].not_demand.reserved = reserved;
            }
        }
    }

    /// Whether every environment is full up to the reservation, and not yet up to its maxvCpus.
    fn is_held_by_reservation(&self, queue: &Queue) -> bool {
        queue.environments.iter().all(|environment| {
            let place = &self.environments[environment.position()];
            place.committed() >= queue.limit(place) && queue.limit(place) < place.max
        })
    }

    /// Jobs that will become RUNNABLE within a span, soonest first: those still to be submitted, and those whose last
    /// dependency ends. For the oracle only: nobody else knows how long jobs run.
    pub fn upcoming(&self, within: Span, into: &mut Vec<Arrival>) {
        into.clear();
        let until = self.now + within;
        let mut arrivals: BTreeMap<(Time, QueueIndex, u32), i64> = BTreeMap::new();
        let mut add = |at: Time, job: JobIndex| {
            let queue = self.jobs.states[job.position()].outcome.queue;
            *arrivals
                .entry((at, queue, self.trace.jobs[job.position()].shape.0))
                .or_insert(0) += 1;
        };
        let rest = self.trace.jobs.iter().enumerate().skip(self.next_job);
        for (position, _) in rest
            .take_while(|(_, job)| job.submit <= until)
            .filter(|(_, job)| !job.is_spawned())
        {
            let job = JobIndex::at(position);
            if self.jobs.parents_left(job) == 0 && self.jobs.states[position].status == Status::Unborn {
                add(self.trace.jobs[position].submit, job);
            }
        }
        let mut ends: BTreeMap<JobIndex, Time> = BTreeMap::new();
        let mut submits: BTreeMap<JobIndex, Time> = BTreeMap::new();
        for (at, what) in self.events.until(until) {
            if let What::End(job, epoch) = what
                && self.jobs.is_current(job, epoch)
            {
                ends.insert(job, at);
            } else if let What::Submit(job) = what
                && self.jobs.states[job.position()].status == Status::Unborn
            {
                submits.insert(job, at);
            }
        }
        for (job, at) in &submits {
            if self.jobs.parents_left(*job) == 0 {
                add(*at, *job);
            }
        }
        for (job, at) in self.freed(&ends, &submits) {
            if at <= until {
                add(at, job);
            }
        }
        into.extend(arrivals.into_iter().map(|((at, queue, shape), jobs)| Arrival {
            at,
            queue,
            shape: self.shapes[to_usize(shape)],
            jobs,
        }));
    }

    /// Jobs that become RUNNABLE by the ends of jobs that run now, given all of these ends and submissions that count.
    fn freed(&self, ends: &BTreeMap<JobIndex, Time>, submits: &BTreeMap<JobIndex, Time>) -> Vec<(JobIndex, Time)> {
        let mut candidates: Vec<JobIndex> = Vec::new();
        for job in ends.keys() {
            candidates.extend(self.jobs.followers(*job).iter().map(|follower| follower.job));
            if let Some(array) = self.trace.jobs[job.position()].array {
                candidates.extend(self.jobs.array_followers(array).iter().map(|follower| follower.job));
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates
            .into_iter()
            .filter_map(|job| Some((job, self.freed_at(job, ends, submits)?)))
            .collect()
    }

    /// When a job becomes RUNNABLE, if all that it still waits for is among these ends and submissions.
    fn freed_at(
        &self,
        job: JobIndex,
        ends: &BTreeMap<JobIndex, Time>,
        submits: &BTreeMap<JobIndex, Time>,
    ) -> Option<Time> {
        let recorded = &self.trace.jobs[job.position()];
        let (spawners, others) = self.trace.spawners_and_others(recorded);
        let spawned = self.last_end(spawners, ends)?;
        let submit = match self.jobs.states[job.position()].status {
            Status::Pending => self.now,
            Status::Unborn if !recorded.is_spawned() => recorded.submit,
            Status::Unborn if self.jobs.spawners_left(job) == 0 => *submits.get(&job)?,
            Status::Unborn => spawned + recorded.think_time().unwrap_or_default(),
            Status::Runnable | Status::Assigned | Status::Placed | Status::Over => return None,
        };
        let before = recorded.array.and_then(|array| self.trace.arrays.get(array.position()));
        let before = before
            .filter(|array| array.sequential && array.first.position() < job.position())
            .map(|_| Dependency::Job(JobIndex::at(job.position() - 1)));
        let others = self.last_end(others, ends)?;
        let before = self.last_end(before.as_slice(), ends)?;
        Some(submit.max(others).max(before))
    }

    /// When the last of these ends: now if all have ended, `None` if one that has not is not among `ends`.
    fn last_end(&self, dependencies: &[Dependency], ends: &BTreeMap<JobIndex, Time>) -> Option<Time> {
        let mut last = self.now;
        let mut wait_for = |parent: usize| -> Option<()> {
            if self.jobs.states[parent].status != Status::Over {
                last = last.max(*ends.get(&JobIndex::at(parent))?);
            }
            Some(())
        };
        for dependency in dependencies {
            match dependency {
                Dependency::Job(parent) => wait_for(parent.position())?,
                Dependency::Array(array) => {
                    let array = self.trace.arrays.get(array.position())?;
                    let first = array.first.position();
                    (first..first + to_usize(array.size)).try_for_each(&mut wait_for)?;
                }
            }
        }
        Some(last)
    }

    /// Instances that are there or on their way.
    pub fn instances(&self, environment: EnvironmentIndex) -> u32 {
        let instances = &self.environments[environment.position()].instances;
        to_u32(to_i64(
            instances
                .iter()
                .filter(|instance| instance.stage != Stage::Gone)
                .count(),
        ))
    }
}
