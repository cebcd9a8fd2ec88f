//! Who waits for whom, as a graph that can be walked in linear time.
//!
//! Nodes are the jobs of a trace and after them its arrays; an array waits for its children. Children of a sequential array
//! wait for the child before them.

use super::{Dependency, Job, Trace};
use crate::units::{to_u32, to_usize};

/// Followers of every node in one flat list, and how many nodes each one waits for.
pub(super) struct Graph {
    starts: Vec<usize>,
    followers: Vec<u32>,
    waiting: Vec<u32>,
}

/// The node that a dependency points at.
fn node(trace: &Trace, dependency: Dependency) -> usize {
    match dependency {
        Dependency::Job(parent) => parent.position(),
        Dependency::Array(array) => trace.jobs.len() + array.position(),
    }
}

/// The child before this one in a sequential array.
fn child_before(trace: &Trace, position: usize, job: &Job) -> Option<usize> {
    let array = trace
        .arrays
        .get(job.array?.position())
        .filter(|array| array.sequential)?;
    (array.first.position() < position).then(|| position - 1)
}

/// The nodes that a node waits for. Indices must be sound.
pub(super) fn waits_for(trace: &Trace, position: usize) -> Vec<usize> {
    match trace.jobs.get(position) {
        Some(job) => {
            let parents = trace
                .dependencies_of(job)
                .iter()
                .map(|dependency| node(trace, *dependency));
            parents.chain(child_before(trace, position, job)).collect()
        }
        None => trace
            .arrays
            .get(position - trace.jobs.len())
            .map_or_else(Vec::new, |array| {
                let first = array.first.position();
                (first..first + to_usize(array.size)).collect()
            }),
    }
}

impl Graph {
    /// Of a trace whose indices are sound.
    pub(super) fn of(trace: &Trace) -> Self {
        let jobs = trace.jobs.len();
        let nodes = jobs + trace.arrays.len();
        let mut edges = Vec::with_capacity(trace.dependencies.len());
        for (position, job) in trace.jobs.iter().enumerate() {
            let child = to_u32(position);
            edges.extend(
                trace
                    .dependencies_of(job)
                    .iter()
                    .map(|dependency| (node(trace, *dependency), child)),
            );
            edges.extend(child_before(trace, position, job).map(|before| (before, child)));
            edges.extend(job.array.map(|array| (position, to_u32(jobs + array.position()))));
        }
        let mut starts = vec![0_usize; nodes + 1];
        let mut waiting = vec![0_u32; nodes];
        for (parent, child) in &edges {
            starts.get_mut(parent + 1).into_iter().for_each(|count| *count += 1);
            waiting
                .get_mut(to_usize(*child))
                .into_iter()
                .for_each(|count| *count += 1);
        }
        let mut total = 0;
        for start in &mut starts {
            total += *start;
            *start = total;
        }
        let mut next = starts.clone();
        let mut followers = vec![0_u32; edges.len()];
        for (parent, child) in edges {
            let Some(place) = next.get_mut(parent) else { continue };
            followers.get_mut(*place).into_iter().for_each(|slot| *slot = child);
            *place += 1;
        }
        Self {
            starts,
            followers,
            waiting,
        }
    }

    /// The nodes that wait for this one.
    pub(super) fn followers_of(&self, node: usize) -> &[u32] {
        let at = |position: usize| self.starts.get(position).copied().unwrap_or(0);
        self.followers.get(at(node)..at(node + 1)).unwrap_or(&[])
    }

    /// Visits every node after all that it waits for (Kahn 1962) and returns for each node how many it still waits for: more
    /// than zero for those that wait, directly or not, for a cycle, which are not visited.
    pub(super) fn walk(&self, mut visit: impl FnMut(usize)) -> Vec<u32> {
        let mut waiting = self.waiting.clone();
        let mut ready: Vec<usize> = (0..waiting.len())
            .filter(|node| waiting.get(*node) == Some(&0))
            .collect();
        while let Some(node) = ready.pop() {
            visit(node);
            for follower in self.followers_of(node) {
                let Some(count) = waiting.get_mut(to_usize(*follower)) else {
                    continue;
                };
                *count -= 1;
                if *count == 0 {
                    ready.push(to_usize(*follower));
                }
            }
        }
        waiting
    }
}
