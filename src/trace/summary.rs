//! What is in a trace, in numbers.

use serde::Serialize;

use super::graph::Graph;
use super::{Dependency, Ending, Trace};
use crate::units::{Span, Time, i64_to_f64, to_i64, to_u64, to_usize, usize_to_f64};

/// What is in a trace.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Jobs, array children one by one.
    pub jobs: u64,
    /// Those that failed in the recording.
    pub failed: u64,
    /// The first submission, ms since 1970 UTC.
    pub first_submit_ms: i64,
    /// The end of the last job if every job started at once, ms since 1970 UTC.
    pub last_end_ms: i64,
    /// Distinct sizes.
    pub shapes: u64,
    /// vCPUs times run time of all jobs.
    pub vcpu_hours: f64,
    /// vCPUs of a job, all its nodes; jobs whose vCPUs are unknown are left out.
    pub vcpus: Option<Quantiles>,
    /// Memory of a job per node, MiB; jobs whose memory is unknown are left out.
    pub memory_mib: Option<Quantiles>,
    /// Jobs that ask for GPUs.
    pub gpu_jobs: u64,
    /// Jobs of several nodes.
    pub multi_node_jobs: u64,
    /// Run time, ms.
    pub run_ms: Quantiles,
    /// Recorded wait, ms; `None` where no job has one.
    pub wait_ms: Option<Quantiles>,
    /// Jobs with a recorded wait.
    pub jobs_with_wait: u64,
    /// Jobs that depend on others.
    pub dependent_jobs: u64,
    /// Dependencies of all jobs.
    pub dependencies: u64,
    /// Jobs that other jobs submit.
    pub spawned_jobs: u64,
    /// Array jobs.
    pub arrays: u64,
    /// Their children.
    pub array_children: u64,
    /// SQS messages.
    pub messages: u64,
    /// Job queues with their number of jobs.
    pub queues: Vec<(String, u64)>,
    /// Most jobs at the same time if every job started at once.
    pub peak_jobs: i64,
    /// Most vCPUs at the same time if every job started at once.
    pub peak_vcpus: i64,
}

/// Quantiles of a whole quantity: the smallest value that at least so many of the jobs do not exceed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Quantiles {
    /// The smallest.
    pub min: i64,
    /// The median.
    pub p50: i64,
    /// 90 %.
    pub p90: i64,
    /// 99 %.
    pub p99: i64,
    /// The largest.
    pub max: i64,
}

impl Quantiles {
    /// Of these values; `None` without any.
    pub fn of(values: impl IntoIterator<Item = i64>) -> Option<Self> {
        let mut sorted: Vec<i64> = values.into_iter().collect();
        sorted.sort_unstable();
        let at = |percent: usize| {
            let rank = (sorted.len().saturating_mul(percent)).div_ceil(100).max(1);
            sorted.get(rank - 1).copied()
        };
        Some(Self {
            min: at(0)?,
            p50: at(50)?,
            p90: at(90)?,
            p99: at(99)?,
            max: at(100)?,
        })
    }
}

impl Trace {
    /// When each job would start if nothing ever waited for capacity: at its submission, or when the last job that it depends
    /// on has ended, plus its think time. The trace must be sound (see [`Trace::validate`]); linear in its size.
    pub fn earliest_starts(&self) -> Vec<Time> {
        let mut starts: Vec<Time> = self.jobs.iter().map(|job| job.submit).collect();
        let sequential = self.arrays.iter().any(|array| array.sequential);
        if self.dependencies.is_empty() && !sequential {
            return starts;
        }
        let graph = Graph::of(self);
        let jobs = self.jobs.len();
        let mut ready = vec![Time::FAR_PAST; jobs + self.arrays.len()];
        graph.walk(|node| {
            let at = ready.get(node).copied().unwrap_or(Time::FAR_PAST);
            let submitted = self.jobs.get(node).map(|job| self.submitted(job, &starts, &ready));
            let end = match (self.jobs.get(node), submitted, starts.get_mut(node)) {
                (Some(job), Some(submitted), Some(start)) => {
                    *start = submitted.max(at);
                    *start + job.run
                }
                _ => at,
            };
            for follower in graph.followers_of(node) {
                if let Some(known) = ready.get_mut(to_usize(*follower)) {
                    *known = end.max(*known);
                }
            }
        });
        starts
    }

    /// When a job is submitted, given when the jobs that submit it start, and when arrays have ended.
    fn submitted(&self, job: &super::Job, starts: &[Time], ready: &[Time]) -> Time {
        let Some(think) = job.think_time() else {
            return job.submit;
        };
        let end = |spawner: &Dependency| match spawner {
            Dependency::Job(parent) => {
                let position = parent.position();
                Some(*starts.get(position)? + self.jobs.get(position)?.run)
            }
            Dependency::Array(array) => ready.get(self.jobs.len() + array.position()).copied(),
        };
        let spawners = self.spawners_and_others(job).0;
        spawners.iter().filter_map(end).max().unwrap_or(Time::EPOCH) + think
    }

    /// What is in this trace. It must be sound (see [`Trace::validate`]).
    pub fn summary(&self) -> Summary {
        let starts = self.earliest_starts();
        let vcpus = |job: &super::Job| {
            let shape = self.shape_of(job);
            shape.resources.vcpus.times(i64::from(shape.nodes)).get()
        };
        let (peak_jobs, peak_vcpus) = self.peaks(&starts, &vcpus);
        let waits = self.jobs.iter().filter_map(|job| job.recorded_wait().map(Span::millis));
        let memory = self.jobs.iter().map(|job| self.shape_of(job).resources.memory.get());
        let count = |keep: &dyn Fn(&super::Job) -> bool| to_u64(self.jobs.iter().filter(|job| keep(job)).count());
        let mut in_queue = vec![0_u64; self.queues.len()];
        for job in &self.jobs {
            in_queue
                .get_mut(to_usize(job.queue))
                .into_iter()
                .for_each(|count| *count += 1);
        }
        let vcpu_seconds = |job: &super::Job| i64_to_f64(vcpus(job)) * job.run.seconds_f64();
        let ends = self.jobs.iter().zip(&starts).map(|(job, start)| *start + job.run);
        Summary {
            jobs: to_u64(self.jobs.len()),
            failed: count(&|job| job.ending == Ending::Failed),
            first_submit_ms: starts.iter().min().map_or(0, |time| time.millis()),
            last_end_ms: ends.max().map_or(0, Time::millis),
            shapes: to_u64(self.shapes.len()),
            vcpu_hours: self.jobs.iter().map(vcpu_seconds).sum::<f64>() / 3600.0,
            vcpus: Quantiles::of(self.jobs.iter().map(vcpus).filter(|vcpus| *vcpus > 0)),
            memory_mib: Quantiles::of(memory.filter(|mebibytes| *mebibytes > 0)),
            gpu_jobs: count(&|job| self.shape_of(job).resources.gpus > 0),
            multi_node_jobs: count(&|job| self.shape_of(job).nodes > 1),
            run_ms: Quantiles::of(self.jobs.iter().map(|job| job.run.millis())).unwrap_or_default(),
            wait_ms: Quantiles::of(waits.clone()),
            jobs_with_wait: to_u64(waits.count()),
            dependent_jobs: count(&|job| job.dependencies_count > 0),
            dependencies: to_u64(self.dependencies.len()),
            spawned_jobs: count(&|job| job.is_spawned()),
            arrays: to_u64(self.arrays.len()),
            array_children: count(&|job| job.array.is_some()),
            messages: to_u64(self.messages.len()),
            queues: self.queues.iter().cloned().zip(in_queue).collect(),
            peak_jobs,
            peak_vcpus,
        }
    }

    /// The most jobs and the most vCPUs at one time. A job that ends when another starts makes room for it.
    fn peaks(&self, starts: &[Time], vcpus: &dyn Fn(&super::Job) -> i64) -> (i64, i64) {
        let mut changes: Vec<(Time, i64, i64)> = Vec::with_capacity(self.jobs.len().saturating_mul(2));
        for (job, start) in self.jobs.iter().zip(starts).filter(|(job, _)| job.run > Span::ZERO) {
            let wide = vcpus(job);
            changes.push((*start, 1, wide));
            changes.push((*start + job.run, -1, -wide));
        }
        changes.sort_unstable();
        let (mut jobs, mut width, mut peak_jobs, mut peak_width) = (0_i64, 0_i64, 0_i64, 0_i64);
        for (_, job, wide) in changes {
            jobs += job;
            width = width.saturating_add(wide);
            peak_jobs = peak_jobs.max(jobs);
            peak_width = peak_width.max(width);
        }
        (peak_jobs, peak_width)
    }
}

impl Summary {
    /// Jobs per hour between the first submission and the last end.
    pub fn jobs_per_hour(&self) -> f64 {
        let hours = i64_to_f64(self.last_end_ms.saturating_sub(self.first_submit_ms)) / 3_600_000.0;
        if hours > 0.0 {
            usize_to_f64(to_usize(self.jobs)) / hours
        } else {
            0.0
        }
    }

    /// From the first submission to the last end.
    pub fn length(&self) -> Span {
        Span::from_millis(self.last_end_ms.saturating_sub(self.first_submit_ms))
    }

    /// Jobs without a recorded wait.
    pub fn jobs_without_wait(&self) -> i64 {
        to_i64(self.jobs.saturating_sub(self.jobs_with_wait))
    }
}
