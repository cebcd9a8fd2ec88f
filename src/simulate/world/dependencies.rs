//! Who submits whom and who waits for whom: dependencies on jobs and on whole arrays, and the order of sequential arrays.

use std::collections::BTreeMap;

use super::events::What;
use super::jobs::{Jobs, Status};
use super::{Span, World};
use crate::ids::{ArrayIndex, JobIndex};
use crate::simulate::ledger::Fate;
use crate::trace::{Dependency, Trace};
use crate::units::{to_u32, to_usize};

/// A job that comes after another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Follower {
    pub(crate) job: JobIndex,
    /// It is submitted by the other one, instead of waiting for it as PENDING.
    pub(crate) is_spawned: bool,
}

/// Lists of followers by position, all in one.
#[derive(Debug, Default)]
pub(super) struct Followers {
    starts: Vec<u32>,
    all: Vec<Follower>,
    /// Nodes that got followers while the world went on, with all of theirs.
    later: BTreeMap<usize, Vec<Follower>>,
}

impl Followers {
    pub(super) fn new(count: usize, mut pairs: Vec<(usize, Follower)>) -> Self {
        if pairs.is_empty() {
            return Self::default();
        }
        pairs.sort_unstable();
        let starts = (0..=count)
            .map(|node| to_u32(pairs.partition_point(|pair| pair.0 < node)))
            .collect();
        let all = pairs.into_iter().map(|pair| pair.1).collect();
        let later = BTreeMap::new();
        Self { starts, all, later }
    }

    /// One more, while the world goes on.
    pub(super) fn add(&mut self, node: usize, follower: Follower) {
        let mut all = self.of(node).to_vec();
        all.push(follower);
        self.later.insert(node, all);
    }

    pub(super) fn of(&self, node: usize) -> &[Follower] {
        if let Some(all) = self.later.get(&node) {
            return all;
        }
        match (self.starts.get(node), self.starts.get(node + 1)) {
            (Some(start), Some(end)) => self.all.get(to_usize(*start)..to_usize(*end)).unwrap_or(&[]),
            _ => &[],
        }
    }
}

impl Jobs {
    pub(super) fn link(&mut self, trace: &Trace) -> Result<(), Vec<String>> {
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
        self.spawners_left = vec![0; trace.jobs.len()];
        for (position, job) in trace.jobs.iter().enumerate() {
            let follower = |is_spawned| Follower {
                job: JobIndex::at(position),
                is_spawned,
            };
            let (spawners, others) = trace.spawners_and_others(job);
            for (dependencies, is_spawned) in [(spawners, true), (others, false)] {
                for dependency in dependencies {
                    match dependency {
                        Dependency::Job(parent) => after_job.push((parent.position(), follower(is_spawned))),
                        Dependency::Array(array) if self.array_left.get(array.position()) == Some(&0) => continue,
                        Dependency::Array(array) => after_array.push((array.position(), follower(is_spawned))),
                    }
                    self.parents_left[position] += 1;
                    self.spawners_left[position] += u32::from(is_spawned);
                }
            }
            if sequential(job.array).is_some_and(|array| array.first.position() < position) {
                after_job.push((position - 1, follower(false)));
                self.parents_left[position] += 1;
            }
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
            let mut let_go = |followers: &[Follower]| {
                for follower in followers {
                    let follower = follower.job.position();
                    left[follower] -= 1;
                    if left[follower] == 0 {
                        free.push(follower);
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
}

impl World<'_> {
    pub(super) fn release_followers(&mut self, job: JobIndex) {
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

    fn one_parent_less(&mut self, follower: Follower) {
        let job = follower.job;
        let parents = &mut self.jobs.parents_left[job.position()];
        *parents = parents.saturating_sub(1);
        let last = *parents == 0;
        let state = &self.jobs.states[job.position()];
        if follower.is_spawned {
            let spawners = &mut self.jobs.spawners_left[job.position()];
            *spawners = spawners.saturating_sub(1);
            if *spawners == 0 && state.status == Status::Unborn {
                let think = self.trace.jobs[job.position()].think_time().unwrap_or_default();
                self.events.plan(self.now + think.max(Span::ZERO), What::Submit(job));
            }
        } else if last && state.status == Status::Pending {
            self.queues[state.outcome.queue.position()].not_demand.pending -= 1;
            self.make_runnable(job);
        }
    }

    /// AWS Batch fails the jobs that depend on a FAILED job (AWS Batch user guide, job dependencies).
    pub(super) fn fail_followers(&mut self, job: JobIndex) {
        self.end_followers(job, Fate::DependencyFailed);
    }

    pub(super) fn give_up(&mut self, job: JobIndex, fate: Fate) {
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
            let followers: Vec<JobIndex> = direct.chain(through_array).map(|follower| follower.job).collect();
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
        self.generations.jobs += 1;
    }
}
