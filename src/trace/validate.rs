//! What makes a trace impossible to run: indices that point nowhere, arrays that are torn, cycles.

use std::collections::HashMap;
use std::fmt;

use super::graph::{self, Graph};
use super::{Dependency, Trace};
use crate::units::{to_u32, to_usize};

/// A fault of a trace. Positions are those of [`Trace::jobs`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A job refers to an entry that a table does not have.
    Dangling {
        /// The job.
        job: usize,
        /// Which table.
        table: &'static str,
    },
    /// Jobs are not in the order of their submit times.
    Unsorted {
        /// The first job that is out of place.
        job: usize,
    },
    /// An array's range of children is empty, out of bounds, or holds jobs that are not its own.
    TornArray {
        /// Position in [`Trace::arrays`].
        array: usize,
    },
    /// A message refers to an SQS queue that is not there, or is received before it is sent.
    BadMessage {
        /// Position in [`Trace::messages`].
        message: usize,
    },
    /// Jobs wait for each other in a circle and none can ever start.
    Cycle {
        /// Names and positions of the jobs on one such circle, each waiting for the next; at most ten are named.
        jobs: Vec<String>,
        /// How many jobs are on the circle.
        length: usize,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dangling { job, table } => {
                write!(f, "job {job} refers to an entry of the {table} that does not exist")
            }
            Self::Unsorted { job } => write!(f, "job {job} was submitted before the job above it"),
            Self::TornArray { array } => write!(f, "array job {array} does not have its children in one range"),
            Self::BadMessage { message } => write!(
                f,
                "message {message} has no SQS queue, or was received before it was sent"
            ),
            Self::Cycle { jobs, length } => {
                let more = if jobs.len() < *length { ", ..." } else { "" };
                write!(f, "{length} jobs that wait for each other: {}{more}", jobs.join(", "))
            }
        }
    }
}

impl Trace {
    /// Everything that makes this trace impossible to run; empty for a sound trace. Linear in jobs plus dependencies. Of each
    /// kind only the first fault is reported.
    pub fn validate(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        faults.extend(self.dangling());
        let unsorted = self
            .jobs
            .windows(2)
            .position(|pair| matches!(pair, [a, b] if a.submit > b.submit));
        faults.extend(unsorted.map(|before| Fault::Unsorted { job: before + 1 }));
        faults.extend(self.torn_array());
        let bad = |message: &super::Message| {
            to_usize(message.source) >= self.sqs_queues.len() || message.received < message.sent
        };
        faults.extend(
            self.messages
                .iter()
                .position(bad)
                .map(|message| Fault::BadMessage { message }),
        );
        // The search for cycles follows indices, which must be sound before.
        if faults.is_empty() {
            faults.extend(self.cycle());
        }
        faults
    }

    fn dangling(&self) -> Option<Fault> {
        self.jobs.iter().enumerate().find_map(|(position, job)| {
            let end = to_usize(job.dependencies_start).saturating_add(to_usize(job.dependencies_count));
            let bad_dependency = self.dependencies_of(job).iter().any(|dependency| match dependency {
                Dependency::Job(parent) => parent.position() >= self.jobs.len(),
                Dependency::Array(array) => array.position() >= self.arrays.len(),
            });
            let table = if job.shape.position() >= self.shapes.len() {
                "shapes"
            } else if to_usize(job.name) >= self.names.len() {
                "names"
            } else if to_usize(job.queue) >= self.queues.len() {
                "queues"
            } else if job.array.is_some_and(|array| array.position() >= self.arrays.len()) {
                "arrays"
            } else if bad_dependency
                || job.spawners > job.dependencies_count
                || (job.dependencies_count > 0 && end > self.dependencies.len())
            {
                "dependencies"
            } else {
                return None;
            };
            Some(Fault::Dangling { job: position, table })
        })
    }

    fn torn_array(&self) -> Option<Fault> {
        let mut children = vec![0_u32; self.arrays.len()];
        for (position, job) in self.jobs.iter().enumerate() {
            let Some(index) = job.array else { continue };
            let Some(array) = self.arrays.get(index.position()) else {
                continue;
            };
            let inside = position
                .checked_sub(array.first.position())
                .is_some_and(|offset| to_u32(offset) < array.size);
            if !inside {
                return Some(Fault::TornArray {
                    array: index.position(),
                });
            }
            if let Some(count) = children.get_mut(index.position()) {
                *count += 1;
            }
        }
        let mut sizes = self.arrays.iter().zip(&children);
        sizes
            .position(|(array, count)| array.size == 0 || array.size != *count)
            .map(|array| Fault::TornArray { array })
    }

    /// One cycle, if there is any.
    fn cycle(&self) -> Option<Fault> {
        if self.dependencies.is_empty() {
            return None;
        }
        let waiting = Graph::of(self).walk(|_| {});
        let stuck = |node: usize| waiting.get(node).is_some_and(|count| *count > 0);
        let start = (0..self.jobs.len()).find(|node| stuck(*node))?;
        Some(self.circle(start, &stuck))
    }

    /// Follows what stuck nodes wait for until one comes up again.
    fn circle(&self, from: usize, stuck: &dyn Fn(usize) -> bool) -> Fault {
        let mut seen: HashMap<usize, usize> = HashMap::new();
        let mut path = Vec::new();
        let mut node = from;
        while !seen.contains_key(&node) {
            seen.insert(node, path.len());
            path.push(node);
            node = graph::waits_for(self, node)
                .into_iter()
                .find(|parent| stuck(*parent))
                .unwrap_or(node);
        }
        let start = seen.get(&node).copied().unwrap_or(0);
        let jobs = self.jobs.len();
        let members: Vec<usize> = path
            .get(start..)
            .unwrap_or(&[])
            .iter()
            .copied()
            .filter(|node| *node < jobs)
            .collect();
        let name = |position: &usize| {
            let name = self
                .jobs
                .get(*position)
                .and_then(|job| self.names.get(to_usize(job.name)));
            format!("{:?} (job {position})", name.map_or("", String::as_str))
        };
        Fault::Cycle {
            jobs: members.iter().take(10).map(name).collect(),
            length: members.len(),
        }
    }
}
