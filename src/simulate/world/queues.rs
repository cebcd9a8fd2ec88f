//! RUNNABLE jobs of one queue, first in, first out, grouped by size.
//!
//! Jobs of one size are alike to placement: if the first of them does not fit, none does. So the queue is a line per size,
//! and the fronts of the lines are kept in order.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use crate::ids::{JobIndex, ShapeIndex};

/// A job queue's RUNNABLE jobs that have no room yet.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    lines: Vec<VecDeque<(i64, JobIndex)>>,
    /// Place in the queue of the front of each line that is not empty.
    fronts: BTreeMap<i64, ShapeIndex>,
    jobs: usize,
    last: i64,
    first: i64,
}

impl Waiting {
    pub(crate) fn with_shapes(shapes: usize) -> Self {
        Self {
            lines: vec![VecDeque::new(); shapes],
            ..Self::default()
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.jobs == 0
    }

    #[cfg(test)]
    pub(crate) const fn len(&self) -> usize {
        self.jobs
    }

    /// Puts a job at the end.
    pub(crate) fn push_back(&mut self, shape: ShapeIndex, job: JobIndex) {
        self.last += 1;
        let place = self.last;
        if let Some(line) = self.lines.get_mut(shape.position()) {
            if line.is_empty() {
                self.fronts.insert(place, shape);
            }
            line.push_back((place, job));
            self.jobs += 1;
        }
    }

    /// Puts a job at the front, as AWS Batch does with retries (AWS Batch user guide, best practices).
    pub(crate) fn push_front(&mut self, shape: ShapeIndex, job: JobIndex) {
        self.first -= 1;
        let place = self.first;
        if let Some(line) = self.lines.get_mut(shape.position()) {
            if let Some((front, _)) = line.front() {
                self.fronts.remove(front);
            }
            self.fronts.insert(place, shape);
            line.push_front((place, job));
            self.jobs += 1;
        }
    }

    /// The first line whose front stands behind `place` (`i64::MIN` for the very first), with the front's place.
    pub(crate) fn line_after(&self, place: i64) -> Option<(i64, ShapeIndex)> {
        let behind = (Bound::Excluded(place), Bound::Unbounded);
        self.fronts.range(behind).next().map(|(place, shape)| (*place, *shape))
    }

    /// Takes the front of a line.
    pub(crate) fn pop(&mut self, shape: ShapeIndex) -> Option<JobIndex> {
        let line = self.lines.get_mut(shape.position())?;
        let (place, job) = line.pop_front()?;
        self.fronts.remove(&place);
        if let Some((next, _)) = line.front() {
            self.fronts.insert(*next, shape);
        }
        self.jobs -= 1;
        Some(job)
    }

    /// Takes a job out, wherever it stands; whether it was there.
    pub(crate) fn remove(&mut self, shape: ShapeIndex, job: JobIndex) -> bool {
        let Some(line) = self.lines.get_mut(shape.position()) else {
            return false;
        };
        let Some(found) = line.iter().position(|(_, waiting)| *waiting == job) else {
            return false;
        };
        if found == 0 {
            return self.pop(shape).is_some();
        }
        line.remove(found);
        self.jobs -= 1;
        true
    }

    /// Room for jobs of one more size.
    pub(crate) fn add_shape(&mut self) {
        self.lines.push(VecDeque::new());
    }

    /// The first jobs in line.
    pub(crate) fn first(&self, most: usize) -> Vec<JobIndex> {
        let mut jobs: Vec<(i64, JobIndex)> = (self.lines.iter())
            .flat_map(|line| line.iter().take(most).copied())
            .collect();
        jobs.sort_unstable();
        jobs.into_iter().take(most).map(|(_, job)| job).collect()
    }

    /// A line from its front on: place in the queue and job.
    pub(crate) fn line(&self, shape: ShapeIndex) -> impl Iterator<Item = (i64, JobIndex)> {
        self.lines.get(shape.position()).into_iter().flatten().copied()
    }

    /// Sizes with waiting jobs and how many, in the order of their fronts.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (ShapeIndex, i64)> {
        self.fronts.values().map(|shape| {
            let jobs = self.lines.get(shape.position()).map_or(0, VecDeque::len);
            (*shape, crate::units::to_i64(jobs))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Taking always the very first gives the order of one plain queue.
        #[test]
        fn lines_by_size_are_one_queue(steps in proptest::collection::vec((0_u8..3, 0_u32..4), 1..200)) {
            let mut waiting = Waiting::with_shapes(4);
            let mut plain = VecDeque::new();
            for (number, (step, shape)) in steps.into_iter().enumerate() {
                let (job, shape) = (JobIndex::at(number), ShapeIndex(shape));
                match step {
                    0 => {
                        waiting.push_back(shape, job);
                        plain.push_back(job);
                    }
                    1 => {
                        waiting.push_front(shape, job);
                        plain.push_front(job);
                    }
                    _ => {
                        let first = waiting.line_after(i64::MIN).map(|(_, shape)| shape);
                        prop_assert_eq!(first.and_then(|shape| waiting.pop(shape)), plain.pop_front());
                    }
                }
                prop_assert_eq!(waiting.len(), plain.len());
            }
        }
    }
}
