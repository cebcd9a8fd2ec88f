//! Jobs from submission to their end: spawned jobs, attempts, retries.

use std::collections::HashMap;

use super::dependencies::{Follower, Followers};
use super::events::{InstanceId, What};
use super::{Phase, Time, World};
use crate::ids::{ArrayIndex, EnvironmentIndex, JobIndex, QueueIndex};
use crate::simulate::draws::{Cause, draw, key, key_of};
use crate::simulate::ledger::{Fate, JobOutcome};
use crate::simulate::model::BatchModel;
use crate::trace::{Ending, Trace};
use crate::units::{Span, to_usize};

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Not submitted yet.
    Unborn,
    /// Waits for dependencies.
    Pending,
    /// RUNNABLE without room.
    Runnable,
    /// RUNNABLE; room has been found, Batch has not yet placed it.
    Assigned,
    /// STARTING or RUNNING.
    Placed,
    /// Ended, or will never run.
    Over,
}

/// A job's state beside what is reported of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    pub(crate) outcome: JobOutcome,
    /// When the current attempt became STARTING.
    pub(crate) since: Time,
    /// When it became, or becomes, RUNNING.
    pub(crate) running: Time,
    pub(crate) place: InstanceId,
    /// Rises with every assignment and every loss of it.
    pub(crate) epoch: u16,
    pub(crate) status: Status,
}

impl State {
    /// A job of this queue that has not been submitted yet.
    pub(super) fn of(queue: QueueIndex) -> Self {
        Self {
            outcome: JobOutcome {
                ready: Time::FAR_FUTURE,
                starting: Time::FAR_FUTURE,
                running: Time::FAR_FUTURE,
                ended: Time::FAR_FUTURE,
                avoidable: Span::ZERO,
                queue,
                attempts: 0,
                fate: Fate::Open,
            },
            since: Time::FAR_FUTURE,
            running: Time::FAR_FUTURE,
            place: InstanceId::default(),
            epoch: 0,
            status: Status::Unborn,
        }
    }
}

/// All jobs of the trace.
#[derive(Debug)]
pub(crate) struct Jobs {
    pub(crate) states: Vec<State>,
    /// Dependencies that have not ended; empty if the trace has none.
    pub(super) parents_left: Vec<u32>,
    /// Those of them that submit the job.
    pub(super) spawners_left: Vec<u32>,
    /// Jobs that wait for a job, and for an array.
    pub(super) after_job: Followers,
    pub(super) after_array: Followers,
    /// Children that have not ended.
    pub(super) array_left: Vec<u32>,
    /// What draws know a job by; empty if nothing about jobs is left to chance.
    pub(super) identities: Vec<u64>,
}

impl Jobs {
    pub(crate) fn new(
        trace: &Trace,
        model: &BatchModel,
        origin: Time,
        queue_of: &[QueueIndex],
    ) -> Result<Self, Vec<String>> {
        let queue = |job: &crate::trace::Job| queue_of.get(to_usize(job.queue)).copied().unwrap_or_default();
        let states = trace.jobs.iter().map(|job| State::of(queue(job))).collect();
        let mut jobs = Self {
            states,
            parents_left: Vec::new(),
            spawners_left: Vec::new(),
            after_job: Followers::default(),
            after_array: Followers::default(),
            array_left: trace.arrays.iter().map(|array| array.size).collect(),
            identities: Vec::new(),
        };
        jobs.link(trace)?;
        if !(model.dispatch.is_zero() && model.pull.is_zero() && model.container_start.is_zero()) {
            jobs.identities = identities(trace, origin);
        }
        Ok(jobs)
    }

    pub(crate) fn is_current(&self, job: JobIndex, epoch: u16) -> bool {
        self.states
            .get(job.position())
            .is_some_and(|state| state.epoch == epoch)
    }

    pub(crate) fn parents_left(&self, job: JobIndex) -> u32 {
        self.parents_left.get(job.position()).copied().unwrap_or(0)
    }

    pub(crate) fn spawners_left(&self, job: JobIndex) -> u32 {
        self.spawners_left.get(job.position()).copied().unwrap_or(0)
    }

    /// Jobs that wait for this one.
    pub(crate) fn followers(&self, job: JobIndex) -> &[Follower] {
        self.after_job.of(job.position())
    }

    /// Jobs that wait for a whole array.
    pub(crate) fn array_followers(&self, array: ArrayIndex) -> &[Follower] {
        self.after_array.of(array.position())
    }

    pub(crate) fn identity(&self, job: JobIndex) -> u64 {
        self.identities.get(job.position()).copied().unwrap_or(0)
    }

    pub(crate) fn into_outcomes(self) -> Vec<JobOutcome> {
        self.states.into_iter().map(|state| state.outcome).collect()
    }
}

/// A job is known by when it is submitted, its name and its size, and by how many such jobs came before it: never by its
/// position, so that a job left out changes no other job's luck.
fn identities(trace: &Trace, origin: Time) -> Vec<u64> {
    let names: Vec<u64> = trace.names.iter().map(|name| key_of(name)).collect();
    let mut seen: HashMap<u64, u64> = HashMap::new();
    let mut moment = Time::FAR_PAST;
    let bits = |number: i64| u64::from_ne_bytes(number.to_ne_bytes());
    let identity = |job: &crate::trace::Job| {
        if job.submit != moment {
            moment = job.submit;
            seen.clear();
        }
        let submit = if job.is_spawned() {
            job.submit.millis()
        } else {
            job.submit.since(origin).millis()
        };
        let shape = trace.shape_of(job);
        let alike = key(&[
            bits(submit),
            names.get(to_usize(job.name)).copied().unwrap_or(0),
            bits(shape.resources.vcpus.get()),
            bits(shape.resources.memory.get()),
            u64::from(shape.resources.gpus),
            u64::from(shape.nodes),
        ]);
        let before = seen.entry(alike).or_insert(0);
        *before += 1;
        key(&[alike, *before])
    };
    trace.jobs.iter().map(identity).collect()
}

impl World<'_> {
    pub(super) fn next_arrival(&self) -> Option<Time> {
        self.trace
            .jobs
            .get(self.next_job)
            .map(|job| if job.is_spawned() { self.now } else { job.submit })
    }

    pub(super) fn next_message_at(&self) -> Option<Time> {
        self.messages.get(self.next_message).map(|step| step.0)
    }

    /// Submits the jobs and counts the messages that are due.
    pub(super) fn arrive(&mut self) {
        while let Some(job) = self.trace.jobs.get(self.next_job).copied() {
            if !job.is_spawned() && job.submit > self.now {
                break;
            }
            let index = JobIndex::at(self.next_job);
            self.next_job += 1;
            if !job.is_spawned() {
                self.submit(index);
            }
        }
        while let Some((at, source, step)) = self.messages.get(self.next_message).copied() {
            if at > self.now {
                break;
            }
            self.next_message += 1;
            if let Some(sqs) = self.sqs.get_mut(to_usize(source)) {
                sqs.visible = (sqs.visible + step).max(0);
                self.generations.sqs += 1;
            }
        }
    }

    /// Jobs that only empty arrays submit come after their think time, counted from the first submission.
    pub(super) fn plan_rootless_spawns(&mut self) {
        for (position, job) in self.trace.jobs.iter().enumerate() {
            let index = JobIndex::at(position);
            if job.is_spawned() && self.jobs.spawners_left(index) == 0 {
                self.events.plan(
                    self.origin + Span::from_millis(job.submit.millis()),
                    What::Submit(index),
                );
            }
        }
    }

    pub(super) fn submit(&mut self, job: JobIndex) {
        if self.jobs.states[job.position()].status != Status::Unborn {
            return; // a parent failed before this job was submitted
        }
        if self.jobs.parents_left(job) > 0 {
            let state = &mut self.jobs.states[job.position()];
            state.status = Status::Pending;
            let queue = state.outcome.queue;
            self.queues[queue.position()].not_demand.pending += 1;
            self.generations.jobs += 1;
            self.tell_of(job, Phase::Pending);
        } else {
            self.make_runnable(job);
        }
    }

    pub(super) fn make_runnable(&mut self, job: JobIndex) {
        let shape = self.trace.jobs[job.position()].shape;
        let now = self.now;
        let state = &mut self.jobs.states[job.position()];
        state.outcome.ready = now;
        let queue = &mut self.queues[state.outcome.queue.position()];
        if !queue.fits.get(shape.position()).copied().unwrap_or(false) {
            queue.not_demand.misconfigured += 1;
            self.generations.jobs += 1;
            self.give_up(job, Fate::NeverFits);
            return;
        }
        state.status = Status::Runnable;
        state.outcome.avoidable = queue.saturated_time(now);
        queue.waiting.push_back(shape, job);
        self.count(job, 1, 0);
        self.unsettled = true;
        self.tell_of(job, Phase::Runnable);
    }

    /// RUNNABLE to STARTING: from here on the room is seen as used.
    pub(super) fn start(&mut self, job: JobIndex) {
        let recorded = self.trace.jobs[job.position()];
        let shape = self.shapes[recorded.shape.position()];
        let now = self.now;
        let state = &mut self.jobs.states[job.position()];
        let queue = &mut self.queues[state.outcome.queue.position()];
        state.status = Status::Placed;
        state.since = now;
        let first = state.outcome.attempts == 0;
        state.outcome.attempts = state.outcome.attempts.saturating_add(1);
        if first {
            let wait = now.since(state.outcome.ready);
            let saturated = queue.saturated_time(now) - state.outcome.avoidable;
            state.outcome.starting = now;
            state.outcome.avoidable = wait.minus_or_zero(saturated);
        }
        let (place, epoch, attempt) = (state.place, state.epoch, u64::from(state.outcome.attempts));
        self.count(job, -1, 1);
        self.occupy_visibly(place, &shape, job);
        let mut starting = Span::ZERO;
        if !self.model.pull.is_zero() && self.pulls(place, recorded.name) {
            starting += self
                .model
                .pull
                .at(draw(self.seed, Cause::Pull, self.jobs.identity(job), attempt));
        }
        if !self.model.container_start.is_zero() {
            let drawn = draw(self.seed, Cause::ContainerStart, self.jobs.identity(job), attempt);
            starting += self.model.container_start.at(drawn);
        }
        let running = now + starting;
        let state = &mut self.jobs.states[job.position()];
        state.running = running;
        if first {
            state.outcome.running = running;
        }
        self.tell_of(job, Phase::Starting);
        self.events
            .plan(running + recorded.run.max(Span::ZERO), What::End(job, epoch));
    }

    /// RUNNING to SUCCEEDED or FAILED, as recorded.
    pub(super) fn end(&mut self, job: JobIndex) {
        self.leave(job);
        let fate = match self.trace.jobs[job.position()].ending {
            Ending::Succeeded => Fate::Succeeded,
            Ending::Failed => Fate::Failed,
        };
        self.close(job, fate);
        self.release_followers(job);
    }

    /// An interruption ended the attempt: again from the front of the queue, or FAILED.
    pub(super) fn lose(&mut self, job: JobIndex) {
        let shape = self.trace.jobs[job.position()].shape;
        let was = self.jobs.states[job.position()].status;
        if was == Status::Placed {
            self.leave(job);
        }
        let state = &mut self.jobs.states[job.position()];
        state.epoch = state.epoch.wrapping_add(1);
        if was == Status::Placed && state.outcome.attempts >= self.attempts {
            self.close(job, Fate::Failed);
            self.fail_followers(job);
            return;
        }
        state.status = Status::Runnable;
        let queue = &mut self.queues[state.outcome.queue.position()];
        queue.waiting.push_front(shape, job);
        if was == Status::Placed {
            self.count(job, 1, 0);
            self.retries += 1;
            self.tell_of(job, Phase::Runnable);
        }
        self.unsettled = true;
    }

    /// Takes a STARTING or RUNNING job out of the counts and off its instances.
    pub(super) fn leave(&mut self, job: JobIndex) {
        let shape = self.trace.jobs[job.position()].shape;
        let state = self.jobs.states[job.position()];
        let size = self.shapes[shape.position()];
        self.count(job, 0, -1);
        self.vacate(job, state.place, &size, state.since);
    }

    pub(super) fn close(&mut self, job: JobIndex, fate: Fate) {
        let state = &mut self.jobs.states[job.position()];
        state.status = Status::Over;
        state.outcome.fate = fate;
        if !matches!(fate, Fate::NeverFits | Fate::NeverReady) {
            state.outcome.ended = self.now;
        }
        self.open_jobs -= 1;
        self.progress.count();
        if fate != Fate::NeverReady {
            self.tell_of(
                job,
                if fate == Fate::NeverFits {
                    Phase::Runnable
                } else {
                    Phase::Ended
                },
            );
        }
    }

    /// Gives a job its room; it becomes STARTING after the dispatch delay.
    pub(super) fn assign(&mut self, job: JobIndex, environment: EnvironmentIndex, position: u32) {
        let state = &mut self.jobs.states[job.position()];
        state.place = InstanceId { environment, position };
        state.epoch = state.epoch.wrapping_add(1);
        state.status = Status::Assigned;
        let (epoch, attempt) = (state.epoch, u64::from(state.outcome.attempts));
        self.unsettled = true;
        if self.model.dispatch.is_zero() {
            self.start(job);
        } else {
            let drawn = draw(self.seed, Cause::Dispatch, self.jobs.identity(job), attempt);
            self.events
                .plan(self.now + self.model.dispatch.at(drawn), What::Start(job, epoch));
        }
    }
}
