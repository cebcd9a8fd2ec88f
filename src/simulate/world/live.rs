//! What people do to a world that goes on: submit jobs, end them, take capacity away. A replay does none of this.

use super::build::{fits, placed_as};
use super::dependencies::Follower;
use super::events::InstanceId;
use super::instances::Stage;
use super::jobs::{State, Status};
use super::{Phase, World};
use crate::catalog::Purchase;
use crate::ids::{ArrayIndex, EnvironmentIndex, JobIndex, QueueIndex, ShapeIndex};
use crate::observation::Shape;
use crate::simulate::draws::{key, key_of};
use crate::simulate::ledger::{Fate, fits_job_index};
use crate::trace::{ArrayJob, Dependency, Ending, Job};
use crate::units::{Span, Time, to_i64, to_u32, to_u64};

/// One SubmitJob.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Which queue of the scenario.
    pub queue: QueueIndex,
    /// What the job, or each child, asks for.
    pub shape: Shape,
    /// What it is called; jobs of one name share their image.
    pub name: String,
    /// RUNNING to the end.
    pub run: Span,
    /// How it ends.
    pub ending: Ending,
    /// How many children; `None`: no array.
    pub array: Option<u32>,
    /// Children run one after the other.
    pub sequential: bool,
    /// What all of it waits for.
    pub after: Vec<Dependency>,
    /// Arrays of the same size, whose children are waited for one by one (`N_TO_N`).
    pub after_each: Vec<ArrayIndex>,
}

impl World<'_> {
    /// Submits a job or an array at the present moment. Gives the index of the job, or of the first child. `None` if there is
    /// no such queue, or if no more jobs can be counted.
    pub fn submit_now(&mut self, submission: &Submission) -> Option<JobIndex> {
        let children = submission.array.unwrap_or(1);
        let first = self.trace.jobs.len();
        let sound = submission.queue.position() < self.queues.len()
            && fits_job_index(first.saturating_add(crate::units::to_usize(children)));
        if !sound {
            return None;
        }
        let shape = self.shape_index(submission.shape);
        let name = self.name_index(&submission.name);
        let now = self.now;
        let array = submission.array.map(|size| {
            let array = ArrayIndex::at(self.trace.arrays.len());
            self.jobs.array_left.push(size);
            self.trace.to_mut().arrays.push(ArrayJob {
                first: JobIndex::at(first),
                size,
                sequential: submission.sequential,
            });
            array
        });
        for child in 0..children {
            let parents = self.parents_of(submission, first, child);
            let trace = self.trace.to_mut();
            let start = trace.dependencies.len();
            trace.dependencies.extend(&parents);
            trace.jobs.push(Job {
                submit: now,
                run: submission.run,
                recorded_wait: Job::UNKNOWN_WAIT,
                shape,
                name,
                dependencies_start: to_u32(start),
                dependencies_count: to_u32(parents.len()),
                spawners: 0,
                array,
                queue: 0,
                ending: submission.ending,
            });
            self.add_state(submission, child, &parents);
        }
        for child in 0..children {
            let job = JobIndex::at(first + crate::units::to_usize(child));
            let doomed = self.trace.dependencies_of(&self.trace.jobs[job.position()]).to_vec();
            let doomed = doomed.iter().any(|parent| self.has_failed(*parent));
            self.submit(job);
            if doomed && self.jobs.states[job.position()].status == Status::Pending {
                self.end_by_hand(job);
            }
        }
        self.happen();
        self.show();
        Some(JobIndex::at(first))
    }

    fn shape_index(&mut self, shape: Shape) -> ShapeIndex {
        let known = self.trace.shapes.iter().position(|known| *known == shape);
        known.map_or_else(|| self.add_shape(shape), ShapeIndex::at)
    }

    fn add_shape(&mut self, shape: Shape) -> ShapeIndex {
        let index = ShapeIndex::at(self.shapes.len());
        let placed = placed_as(shape);
        self.trace.to_mut().shapes.push(shape);
        self.shapes.push(placed);
        for queue in &mut self.queues {
            let holds = fits(&queue.environments, &self.environments, &placed, queue.share_permille);
            queue.fits.push(holds);
            queue.tried.push(0);
            queue.changes.push((0, 0));
            queue.waiting.add_shape();
        }
        index
    }

    fn name_index(&mut self, name: &str) -> u32 {
        let known = self.trace.names.iter().position(|known| known == name);
        to_u32(known.unwrap_or_else(|| {
            self.trace.to_mut().names.push(name.to_owned());
            self.trace.names.len() - 1
        }))
    }

    /// What a child waits for, the child before it in a sequential array included.
    fn parents_of(&self, submission: &Submission, first: usize, child: u32) -> Vec<Dependency> {
        let mut parents = submission.after.clone();
        let child = crate::units::to_usize(child);
        for array in &submission.after_each {
            if let Some(array) = self.trace.arrays.get(array.position()) {
                parents.push(Dependency::Job(JobIndex::at(array.first.position() + child)));
            }
        }
        if submission.sequential && child > 0 {
            parents.push(Dependency::Job(JobIndex::at(first + child - 1)));
        }
        parents
    }

    /// Adds the state of the job that was pushed last, waiting for those of its parents that have not ended.
    fn add_state(&mut self, submission: &Submission, child: u32, parents: &[Dependency]) {
        let job = JobIndex::at(self.jobs.states.len());
        self.jobs.states.push(State::of(submission.queue));
        self.open_jobs += 1;
        if self.leaves_jobs_to_chance() {
            let identity = key(&[
                self.relative(self.now),
                key_of(&submission.name),
                to_u64(job.position()),
                u64::from(child),
            ]);
            self.jobs.identities.resize(job.position(), 0);
            self.jobs.identities.push(identity);
        }
        let open: Vec<Dependency> = parents.iter().copied().filter(|parent| self.is_open(*parent)).collect();
        if open.is_empty() {
            return;
        }
        self.jobs.parents_left.resize(job.position() + 1, 0);
        self.jobs.parents_left[job.position()] = to_u32(open.len());
        let follower = Follower { job, is_spawned: false };
        for parent in open {
            match parent {
                Dependency::Job(parent) => self.jobs.after_job.add(parent.position(), follower),
                Dependency::Array(array) => self.jobs.after_array.add(array.position(), follower),
            }
        }
    }

    fn leaves_jobs_to_chance(&self) -> bool {
        !(self.model.dispatch.is_zero() && self.model.pull.is_zero() && self.model.container_start.is_zero())
    }

    fn is_open(&self, parent: Dependency) -> bool {
        match parent {
            Dependency::Job(parent) => {
                let state = self.jobs.states.get(parent.position());
                state.is_some_and(|state| state.status != Status::Over || is_stuck(state))
            }
            Dependency::Array(array) => self.jobs.array_left.get(array.position()).is_some_and(|left| *left > 0),
        }
    }

    /// Whether what is waited for has failed already: AWS Batch then fails what waits for it.
    fn has_failed(&self, parent: Dependency) -> bool {
        let failed = |job: usize| {
            let state = self.jobs.states.get(job);
            state.is_some_and(|state| state.status == Status::Over && state.outcome.fate != Fate::Succeeded)
        };
        match parent {
            Dependency::Job(parent) => failed(parent.position()),
            Dependency::Array(array) => self.trace.arrays.get(array.position()).is_some_and(|array| {
                let first = array.first.position();
                (first..first + crate::units::to_usize(array.size)).any(failed)
            }),
        }
    }

    /// TerminateJob: the job is FAILED from now on, and so is all that waits for it. Says whether it was still open.
    pub fn end_job(&mut self, job: JobIndex) -> bool {
        let ended = self.end_by_hand(job);
        self.happen();
        self.show();
        ended
    }

    fn end_by_hand(&mut self, job: JobIndex) -> bool {
        let Some(state) = self.jobs.states.get(job.position()).copied() else {
            return false;
        };
        let shape = self.trace.jobs[job.position()].shape;
        let queue = state.outcome.queue.position();
        match state.status {
            Status::Over if is_stuck(&state) => {
                if state.outcome.fate == Fate::NeverFits {
                    self.queues[queue].not_demand.misconfigured -= 1;
                }
                let now = self.now;
                let outcome = &mut self.jobs.states[job.position()].outcome;
                outcome.fate = Fate::Failed;
                outcome.ended = now;
                self.generations.jobs += 1;
                self.tell_of(job, Phase::Ended);
                return true;
            }
            Status::Unborn | Status::Over => return false,
            Status::Pending => {
                self.queues[queue].not_demand.pending -= 1;
                self.generations.jobs += 1;
            }
            Status::Runnable => {
                self.queues[queue].waiting.remove(shape, job);
                self.count(job, -1, 0);
            }
            Status::Assigned => {
                let size = self.shapes[shape.position()];
                for (id, ask) in self.nodes_of(state.place, &size, job) {
                    self.give_back(id, job, &ask);
                }
                self.nodes.remove(&job);
                self.count(job, -1, 0);
            }
            Status::Placed => self.leave(job),
        }
        let state = &mut self.jobs.states[job.position()];
        state.epoch = state.epoch.wrapping_add(1);
        self.unsettled = true;
        self.close(job, Fate::Failed);
        self.fail_followers(job);
        true
    }

    /// Nothing can be launched in an environment for this long from now on.
    pub fn begin_drought(&mut self, environment: EnvironmentIndex, length: Span) {
        let now = self.now;
        if let Some(place) = self.environments.get_mut(environment.position()) {
            place.droughts.push((None, None, now, now + length));
        }
    }

    /// EC2 gives notice to up to this many Spot instances of an environment; says to how many.
    pub fn interrupt_instances(&mut self, environment: EnvironmentIndex, most: u32) -> u32 {
        let Some(place) = self.environments.get(environment.position()) else {
            return 0;
        };
        if place.purchase != Purchase::Spot {
            return 0;
        }
        let live = place.instances.iter().enumerate();
        let hit: Vec<InstanceId> = live
            .filter(|(_, instance)| matches!(instance.stage, Stage::Active | Stage::Coming))
            .take(crate::units::to_usize(most))
            .map(|(position, _)| InstanceId {
                environment,
                position: to_u32(position),
            })
            .collect();
        let at: Time = self.now + self.model.interruption_warning.0;
        for id in &hit {
            self.drain_for_interruption(*id, at);
        }
        self.happen();
        self.show();
        to_u32(to_i64(hit.len()))
    }

    /// UpdateComputeEnvironment of `state` and `minScaleDownDelayMinutes`, which change no level.
    pub fn set_state(&mut self, environment: EnvironmentIndex, enabled: Option<bool>, delay: Option<Span>) {
        let Some(place) = self.environments.get_mut(environment.position()) else {
            return;
        };
        place.enabled = enabled.unwrap_or(place.enabled);
        place.scale_down_delay = delay.unwrap_or(place.scale_down_delay);
        self.unsettled = true;
        self.capacity_changed = true;
        self.room_grew();
        self.generations.environments += 1;
        self.happen();
        self.show();
    }
}

/// Over for the replay, because it can never run; to an observer it waits for ever.
fn is_stuck(state: &State) -> bool {
    matches!(state.outcome.fate, Fate::NeverFits | Fate::NeverReady)
}
