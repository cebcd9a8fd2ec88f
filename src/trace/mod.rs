//! Recorded work: jobs with their times, sizes and dependencies, in one shape whatever file they came from.
//!
//! A trace holds what was asked, not what happened to it: submit times, sizes, run times, dependencies. Recorded waits are
//! kept beside, for comparison only; the replay never reads them.

use serde::{Deserialize, Serialize};

use crate::ids::{ArrayIndex, JobIndex, ShapeIndex};
use crate::observation::Shape;
use crate::units::{Span, Time};

/// Jobs in the order of their submission.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Jobs by submit time, ties in the order of the input.
    pub jobs: Vec<Job>,
    /// Their sizes.
    pub shapes: Vec<Shape>,
    /// Array jobs.
    pub arrays: Vec<ArrayJob>,
    /// Names of job queues that the recording mentions; `Job::queue` points here.
    pub queues: Vec<String>,
    /// What jobs are called (job definition, process or executable); `Job::name` points here.
    pub names: Vec<String>,
    /// Dependencies of all jobs, flat; `Job::dependencies` is a range of it.
    pub dependencies: Vec<Dependency>,
    /// Messages of SQS queues that became jobs.
    pub messages: Vec<Message>,
    /// Names of SQS queues; `Message::source` points here.
    pub sqs_queues: Vec<String>,
}

/// One job, or one child of an array job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// When it is submitted. For a job with `spawned`, not before all its dependencies have ended, see there.
    pub submit: Time,
    /// RUNNING to the end.
    pub run: Span,
    /// Recorded wait from submission to RUNNING, if any; negative: unknown.
    pub recorded_wait: Span,
    /// Its size.
    pub shape: ShapeIndex,
    /// Position in `Trace::names`.
    pub name: u32,
    /// First of its dependencies in `Trace::dependencies`.
    pub dependencies_start: u32,
    /// How many dependencies.
    pub dependencies_count: u32,
    /// The array it is a child of.
    pub array: Option<ArrayIndex>,
    /// Position in `Trace::queues`.
    pub queue: u16,
    /// How it ended in the recording.
    pub ending: Ending,
    /// Submitted by another job: it does not exist before its dependencies have ended, and is then submitted after the
    /// think time that `submit` holds as milliseconds since the epoch. (Other jobs wait visibly as PENDING.)
    pub spawned: bool,
}

impl Job {
    /// The recorded wait from submission to RUNNING.
    pub fn recorded_wait(&self) -> Option<Span> {
        (self.recorded_wait >= Span::ZERO).then_some(self.recorded_wait)
    }
}

/// How a job ended in the recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// SUCCEEDED.
    #[default]
    Succeeded,
    /// FAILED or cancelled after it had run.
    Failed,
}

/// What must have ended before a job can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependency {
    /// One job.
    Job(JobIndex),
    /// All children of an array job.
    Array(ArrayIndex),
}

/// An array job: its children are jobs that follow each other in `Trace::jobs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArrayJob {
    /// Its first child.
    pub first: JobIndex,
    /// How many children.
    pub size: u32,
    /// Children run one after the other (dependency type SEQUENTIAL).
    pub sequential: bool,
}

/// A message that became jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// When it was sent.
    pub sent: Time,
    /// When a dispatcher or worker received it.
    pub received: Time,
    /// Position in `Trace::sqs_queues`.
    pub source: u16,
}

impl Trace {
    /// The dependencies of a job.
    pub fn dependencies_of(&self, job: &Job) -> &[Dependency] {
        let start = crate::units::to_usize(job.dependencies_start);
        let end = start.saturating_add(crate::units::to_usize(job.dependencies_count));
        self.dependencies.get(start..end).unwrap_or(&[])
    }

    /// The size of a job.
    pub fn shape_of(&self, job: &Job) -> Shape {
        self.shapes.get(job.shape.position()).copied().unwrap_or_default()
    }
}
