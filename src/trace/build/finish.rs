//! All records are in: sort them, resolve what refers to what, and check that the result can be run.

use std::cmp::Ordering;

use super::{BY_CONTENT, Builder, Role};
use crate::ids::JobIndex;
use crate::observation::Shape;
use crate::trace::read::Loaded;
use crate::trace::report::Problem;
use crate::trace::{ArrayJob, Dependency, Ending, Job, Trace};
use crate::units::{Span, Time, to_u32, to_usize};

impl Builder<'_> {
    /// Sorts, resolves and checks everything.
    pub(in crate::trace) fn finish(mut self) -> Result<Loaded, Vec<Problem>> {
        let mut problems = Vec::new();
        self.check_sizes(&mut problems);
        if self.queues_full {
            problems.push(Problem::new(
                &self.path,
                "more than 65,536 names of queues",
                "at most so many",
            ));
        }
        if self.options.strict {
            problems.extend(self.warnings_as_problems());
        }
        if problems.is_empty() && self.jobs.is_empty() {
            problems.push(self.without_jobs());
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        self.spawn();
        self.sort();
        let mut trace = Trace {
            jobs: self.jobs,
            shapes: self.shapes,
            messages: self.messages,
            ..Trace::default()
        };
        trace.arrays = self
            .arrays
            .iter()
            .map(|sequential| ArrayJob {
                sequential: *sequential,
                ..ArrayJob::default()
            })
            .collect();
        trace.queues = self.queues.list;
        trace.names = self.names.list;
        trace.sqs_queues = self.sqs_queues.list;
        attach(&mut trace, self.edges);
        let path = self.path;
        lay_out_arrays(&mut trace)
            .map_err(|found| vec![Problem::new(&path, found, "array children with one submit time")])?;
        trace.canonicalise();
        let faults = trace.validate();
        if faults.is_empty() {
            return Ok(Loaded {
                trace,
                report: self.report,
            });
        }
        Err(faults
            .into_iter()
            .map(|fault| Problem::new(&path, fault.to_string(), "a graph that can be run"))
            .collect())
    }

    fn check_sizes(&self, problems: &mut Vec<Problem>) {
        let Some((path, line)) = self.sizeless.as_ref().filter(|_| !self.options.allow_missing_sizes) else {
            return;
        };
        let missing = [
            (
                self.report.without_vcpus,
                "vCPUs",
                "--vcpus N (or --vcpus-per-attempt N,N,...)",
            ),
            (
                self.report.without_memory,
                "memory",
                "--memory-mib N, --memory-per-vcpu-mib N or --memory-from-use",
            ),
        ];
        for (jobs, what, option) in missing {
            if jobs > 0 {
                let mut problem = Problem::new(path, format!("{jobs} jobs without {what}"), "a size for every job");
                problem.line = (*line > 0).then_some(*line);
                problems.push(problem.hint(format!("give {option}")));
            }
        }
    }

    fn warnings_as_problems(&self) -> impl Iterator<Item = Problem> + '_ {
        self.report
            .remarks
            .iter()
            .filter(|(remark, _)| remark.is_warning())
            .map(|(remark, count)| {
                let found = format!("{} {}, first {}", count.count, remark.sentence(), count.example);
                let mut problem = Problem::new(&count.path, found, "none, because of --strict");
                problem.line = (count.line > 0).then_some(count.line);
                problem
            })
    }

    fn without_jobs(&self) -> Problem {
        let skipped: Vec<String> = self
            .report
            .remarks
            .iter()
            .map(|(remark, count)| format!("{} {}", count.count, remark.sentence()))
            .collect();
        let found = if skipped.is_empty() {
            "no jobs".to_owned()
        } else {
            format!("no jobs, but {}", skipped.join("; "))
        };
        Problem::new(&self.path, found, "at least one job")
    }

    /// Jobs that others submit get their think time in place of their recorded submit time, if they have spawners at all.
    fn spawn(&mut self) {
        if self.thinks.is_empty() {
            return;
        }
        let mut has_spawners = vec![false; self.jobs.len()];
        for (child, ..) in self.edges.iter().filter(|edge| edge.2 == Role::Spawner) {
            if let Some(flag) = has_spawners.get_mut(to_usize(*child)) {
                *flag = true;
            }
        }
        for (position, think) in &self.thinks {
            let position = to_usize(*position);
            if let Some(job) = self
                .jobs
                .get_mut(position)
                .filter(|_| has_spawners.get(position) == Some(&true))
            {
                job.submit = Time::EPOCH + *think;
            }
        }
    }

    fn sort(&mut self) {
        let compare = |a: usize, b: usize| {
            let (Some(first), Some(second)) = (self.jobs.get(a), self.jobs.get(b)) else {
                return Ordering::Equal;
            };
            let ties = (self.ties.get(a), self.ties.get(b));
            first
                .submit
                .cmp(&second.submit)
                .then(ties.0.cmp(&ties.1))
                .then_with(|| match ties.0 {
                    Some(&BY_CONTENT) => self.content(first).cmp(&self.content(second)),
                    _ => Ordering::Equal,
                })
        };
        let count = self.jobs.len();
        if (1..count).all(|position| compare(position - 1, position) != Ordering::Greater) {
            return;
        }
        let mut order: Vec<u32> = (0..to_u32(count)).collect();
        order.sort_by(|a, b| compare(to_usize(*a), to_usize(*b)));
        let mut place = vec![0_u32; count];
        for (new, old) in order.iter().enumerate() {
            if let Some(slot) = place.get_mut(to_usize(*old)) {
                *slot = to_u32(new);
            }
        }
        self.jobs = order
            .iter()
            .filter_map(|old| self.jobs.get(to_usize(*old)).copied())
            .collect();
        let moved = |old: u32| place.get(to_usize(old)).copied().unwrap_or(old);
        for (child, dependency, _) in &mut self.edges {
            *child = moved(*child);
            if let Dependency::Job(parent) = dependency {
                parent.0 = moved(parent.0);
            }
        }
    }

    fn content(&self, job: &Job) -> (&str, &str, Span, Span, Option<Shape>, bool) {
        let shape = self.shapes.get(job.shape.position()).copied();
        let failed = job.ending == Ending::Failed;
        (
            self.names.get(job.name),
            self.queues.get(u32::from(job.queue)),
            job.run,
            job.recorded_wait,
            shape,
            failed,
        )
    }
}

/// Puts dependencies beside their jobs, spawners first, sorted and without repetitions. Who submits a job has ended before it
/// exists, so it need not be waited for again.
fn attach(trace: &mut Trace, mut edges: Vec<(u32, Dependency, Role)>) {
    edges.sort_unstable();
    edges.dedup_by_key(|(child, dependency, _)| (*child, *dependency));
    edges.sort_by_key(|(child, _, role)| (*child, *role));
    for (position, (child, dependency, role)) in edges.iter().enumerate() {
        if let Some(job) = trace.jobs.get_mut(to_usize(*child)) {
            if job.dependencies_count == 0 {
                job.dependencies_start = to_u32(position);
            }
            job.dependencies_count += 1;
            job.spawners += u32::from(*role == Role::Spawner);
        }
        trace.dependencies.push(*dependency);
    }
}

/// Finds where each array's children stand.
fn lay_out_arrays(trace: &mut Trace) -> Result<(), String> {
    for (position, job) in trace.jobs.iter().enumerate() {
        let Some(array) = job.array.and_then(|index| trace.arrays.get_mut(index.position())) else {
            continue;
        };
        if array.size == 0 {
            array.first = JobIndex::at(position);
        } else if array.first.position() + to_usize(array.size) != position {
            let name = trace.names.get(to_usize(job.name)).map_or("", String::as_str);
            return Err(format!("children of an array job ({name:?}) apart from each other"));
        }
        array.size += 1;
    }
    Ok(())
}
