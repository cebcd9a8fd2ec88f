//! Jobs from submission to their end: dependencies, arrays, spawned jobs, retries.

use std::collections::HashMap;

use super::events::{InstanceId, What};
use super::{Time, World};
use crate::ids::{ArrayIndex, EnvironmentIndex, JobIndex, QueueIndex};
use crate::simulate::draws::{Cause, draw, key, key_of};
use crate::simulate::ledger::{Fate, JobOutcome};
use crate::simulate::model::BatchModel;
use crate::trace::{Dependency, Ending, Trace};
use crate::units::{Span, to_u32, to_usize};

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
    pub(crate) place: InstanceId,
    /// Rises with every assignment and every loss of it.
    pub(crate) epoch: u16,
    pub(crate) status: Status,
}

/// All jobs of the trace.
#[derive(Debug)]
pub(crate) struct Jobs {
    pub(crate) states: Vec<State>,
    /// Dependencies that have not ended; empty if the trace has none.
    parents_left: Vec<u32>,
    /// Jobs that wait for a job, and for an array.
    after_job: Followers,
    after_array: Followers,
    /// Children that have not ended.
    array_left: Vec<u32>,
    /// What draws know a job by; empty if nothing about jobs is left to chance.
    identities: Vec<u64>,
}

/// Lists of jobs by position, all in one.
#[derive(Debug, Default)]
struct Followers {
    starts: Vec<u32>,
    jobs: Vec<JobIndex>,
}

impl Followers {
    fn new(count: usize, mut pairs: Vec<(usize, JobIndex)>) -> Self {
        if pairs.is_empty() {
            return Self::default();
        }
        pairs.sort_unstable();
        let starts = (0..=count)
            .map(|node| to_u32(pairs.partition_point(|pair| pair.0 < node)))
            .collect();
        let jobs = pairs.into_iter().map(|pair| pair.1).collect();
        Self { starts, jobs }
    }

    fn of(&self, node: usize) -> &[JobIndex] {
        match (self.starts.get(node), self.starts.get(node + 1)) {
            (Some(start), Some(end)) => self.jobs.get(to_usize(*start)..to_usize(*end)).unwrap_or(&[]),
            _ => &[],
        }
    }
}

impl Jobs {
    pub(crate) fn new(
        trace: &Trace,
        model: &BatchModel,
        origin: Time,
        queue_of: &[QueueIndex],
    ) -> Result<Self, Vec<String>> {
        let state = |queue: QueueIndex| State {
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
            place: InstanceId::default(),
            epoch: 0,
            status: Status::Unborn,
        };
        let queue = |job: &crate::trace::Job| queue_of.get(to_usize(job.queue)).copied().unwrap_or_default();
        let states = trace.jobs.iter().map(|job| state(queue(job))).collect();
        let mut jobs = Self {
            states,
            parents_left: Vec::new(),
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

    fn link(&mut self, trace: &Trace) -> Result<(), Vec<String>> {
        let sequential = |index: Option<ArrayIndex>| {
            index
                .and_then(|array| trace.arrays.get(array.position()))
                .filter(|array| array.sequential)
        };
        if trace.dependencies.is_empty() && !trace.arrays.iter().any(|array| array.sequential) {
            return Ok(());
        }
        let (mut after_job, mut after_array) = (Vec::new(), Vec::new());
        self.parents_left = vec![0; trace.jobs.len()];
        for (position, job) in trace.jobs.iter().enumerate() {
            let child = JobIndex::at(position);
            let mut parents = 0;
            for dependency in trace.dependencies_of(job) {
                match dependency {
                    Dependency::Job(parent) => after_job.push((parent.position(), child)),
                    Dependency::Array(array) if self.array_left.get(array.position()) == Some(&0) => continue,
                    Dependency::Array(array) => after_array.push((array.position(), child)),
                }
                parents += 1;
            }
            if sequential(job.array).is_some_and(|array| array.first.position() < position) {
                after_job.push((position - 1, child));
                parents += 1;
            }
            self.parents_left[position] = parents;
        }
        self.after_job = Followers::new(trace.jobs.len(), after_job);
        self.after_array = Followers::new(trace.arrays.len(), after_array);
        self.refuse_circles(trace)
    }

    /// Lets every job end in turn; what is left waits for itself.
    fn refuse_circles(&self, trace: &Trace) -> Result<(), Vec<String>> {
        let mut left = self.parents_left.clone();
        let mut array_left = self.array_left.clone();
        let mut free: Vec<usize> = (0..left.len()).filter(|job| left[*job] == 0).collect();
        let mut ended = 0;
        while let Some(job) = free.pop() {
            ended += 1;
            let mut let_go = |followers: &[JobIndex]| {
                for follower in followers {
                    left[follower.position()] -= 1;
                    if left[follower.position()] == 0 {
                        free.push(follower.position());
                    }
                }
            };
            let_go(self.after_job.of(job));
            if let Some(array) = trace.jobs[job].array
                && let Some(children) = array_left.get_mut(array.position())
            {
                *children = children.saturating_sub(1);
                if *children == 0 {
                    let_go(self.after_array.of(array.position()));
                }
            }
        }
        if ended == left.len() {
            return Ok(());
        }
        let first = left.iter().position(|parents| *parents > 0).unwrap_or_default();
        Err(vec![format!(
            "trace: found {} jobs that wait for each other in a circle (the first is job {first}), expected dependencies on \
             jobs that can end",
            left.len() - ended
        )])
    }

    pub(crate) fn is_current(&self, job: JobIndex, epoch: u16) -> bool {
        self.states
            .get(job.position())
            .is_some_and(|state| state.epoch == epoch)
    }

    pub(crate) fn parents_left(&self, job: JobIndex) -> u32 {
        self.parents_left.get(job.position()).copied().unwrap_or(0)
    }

    /// Jobs that wait for this one.
    pub(crate) fn followers(&self, job: JobIndex) -> &[JobIndex] {
        self.after_job.of(job.position())
    }

    /// Jobs that wait for a whole array.
    pub(crate) fn array_followers(&self, array: ArrayIndex) -> &[JobIndex] {
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
        let submit = if job.spawned {
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
            .map(|job| if job.spawned { self.now } else { job.submit })
    }

    pub(super) fn next_message_at(&self) -> Option<Time> {
        self.messages.get(self.next_message).map(|step| step.0)
    }

    /// Submits the jobs and counts the messages that are due.
    pub(super) fn arrive(&mut self) {
        while let Some(job) = self.trace.jobs.get(self.next_job) {
            if !job.spawned && job.submit > self.now {
                break;
            }
            let index = JobIndex::at(self.next_job);
            self.next_job += 1;
            if !job.spawned {
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
                self.generation += 1;
            }
        }
    }

    /// Spawned jobs without dependencies come after their think time, counted from the first submission.
    pub(super) fn plan_rootless_spawns(&mut self) {
        for (position, job) in self.trace.jobs.iter().enumerate() {
            let index = JobIndex::at(position);
            if job.spawned && self.jobs.parents_left(index) == 0 {
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
            self.generation += 1;
        } else {
            self.make_runnable(job);
        }
    }

    fn make_runnable(&mut self, job: JobIndex) {
        let shape = self.trace.jobs[job.position()].shape;
        let now = self.now;
        let state = &mut self.jobs.states[job.position()];
        state.outcome.ready = now;
        let queue = &mut self.queues[state.outcome.queue.position()];
        if !queue.fits.get(shape.position()).copied().unwrap_or(false) {
            queue.not_demand.misconfigured += 1;
            self.generation += 1;
            self.give_up(job, Fate::NeverFits);
            return;
        }
        state.status = Status::Runnable;
        state.outcome.avoidable = queue.saturated_time(now);
        queue.waiting.push_back(shape, job);
        queue.count(shape, 1, 0, self.shapes[shape.position()].nodes);
        self.unsettled = true;
    }

    /// RUNNABLE to STARTING: from here on the room is seen as used.
    pub(super) fn start(&mut self, job: JobIndex) {
        let recorded = &self.trace.jobs[job.position()];
        let shape = self.shapes[recorded.shape.position()];
        let now = self.now;
        let state = &mut self.jobs.states[job.position()];
        let queue = &mut self.queues[state.outcome.queue.position()];
        state.status = Status::Placed;
        state.since = now;
        let first = state.outcome.attempts == 0;
        state.outcome.attempts = state.outcome.attempts.saturating_add(1);
        queue.count(recorded.shape, -1, 1, shape.nodes);
        if first {
            let wait = now.since(state.outcome.ready);
            let saturated = queue.saturated_time(now) - state.outcome.avoidable;
            state.outcome.starting = now;
            state.outcome.avoidable = wait.minus_or_zero(saturated);
        }
        let (place, epoch, attempt) = (state.place, state.epoch, u64::from(state.outcome.attempts));
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
        if first {
            self.jobs.states[job.position()].outcome.running = running;
        }
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
            queue.count(shape, 1, 0, self.shapes[shape.position()].nodes);
            self.retries += 1;
        }
        self.unsettled = true;
    }

    /// Takes a STARTING or RUNNING job out of the counts and off its instances.
    fn leave(&mut self, job: JobIndex) {
        let shape = self.trace.jobs[job.position()].shape;
        let state = self.jobs.states[job.position()];
        let size = self.shapes[shape.position()];
        self.queues[state.outcome.queue.position()].count(shape, 0, -1, size.nodes);
        self.vacate(job, state.place, &size, state.since);
    }

    fn close(&mut self, job: JobIndex, fate: Fate) {
        let state = &mut self.jobs.states[job.position()];
        state.status = Status::Over;
        state.outcome.fate = fate;
        if !matches!(fate, Fate::NeverFits | Fate::NeverReady) {
            state.outcome.ended = self.now;
        }
        self.open_jobs -= 1;
    }

    fn release_followers(&mut self, job: JobIndex) {
        for position in 0..self.jobs.followers(job).len() {
            let follower = self.jobs.followers(job)[position];
            self.one_parent_less(follower);
        }
        let Some(array) = self.trace.jobs[job.position()].array else {
            return;
        };
        let Some(left) = self.jobs.array_left.get_mut(array.position()) else {
            return;
        };
        *left = left.saturating_sub(1);
        if *left == 0 {
            for position in 0..self.jobs.array_followers(array).len() {
                let follower = self.jobs.array_followers(array)[position];
                self.one_parent_less(follower);
            }
        }
    }

    fn one_parent_less(&mut self, job: JobIndex) {
        let left = &mut self.jobs.parents_left[job.position()];
        *left = left.saturating_sub(1);
        if *left > 0 {
            return;
        }
        let recorded = &self.trace.jobs[job.position()];
        let state = &self.jobs.states[job.position()];
        match state.status {
            Status::Pending => {
                self.queues[state.outcome.queue.position()].not_demand.pending -= 1;
                self.make_runnable(job);
            }
            Status::Unborn if recorded.spawned => {
                let think = Span::from_millis(recorded.submit.millis()).max(Span::ZERO);
                self.events.plan(self.now + think, What::Submit(job));
            }
            Status::Unborn | Status::Runnable | Status::Assigned | Status::Placed | Status::Over => {}
        }
    }

    /// AWS Batch fails the jobs that depend on a FAILED job (AWS Batch user guide, job dependencies).
    fn fail_followers(&mut self, job: JobIndex) {
        self.end_followers(job, Fate::DependencyFailed);
    }

    fn give_up(&mut self, job: JobIndex, fate: Fate) {
        self.close(job, fate);
        self.end_followers(job, Fate::NeverReady);
    }

    /// Ends everything that waits for a job, directly or not.
    fn end_followers(&mut self, job: JobIndex, fate: Fate) {
        let mut ending = vec![job];
        while let Some(parent) = ending.pop() {
            let array = self.trace.jobs[parent.position()].array;
            let direct = self.jobs.followers(parent).iter();
            let through_array = array.map_or(&[][..], |array| self.jobs.array_followers(array)).iter();
            let followers: Vec<JobIndex> = direct.chain(through_array).copied().collect();
            for follower in followers {
                let state = &self.jobs.states[follower.position()];
                if !matches!(state.status, Status::Unborn | Status::Pending) {
                    continue;
                }
                if state.status == Status::Pending && fate == Fate::DependencyFailed {
                    self.queues[state.outcome.queue.position()].not_demand.pending -= 1;
                }
                self.close(follower, fate);
                ending.push(follower);
            }
        }
        self.generation += 1;
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
