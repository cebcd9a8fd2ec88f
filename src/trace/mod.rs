//! Recorded work: jobs with their times, sizes and dependencies, in one shape whatever file they came from.
//!
//! A trace holds what was asked, not what happened to it: submit times, sizes, run times, dependencies. Recorded waits are
//! kept beside, for comparison only; the replay never reads them.
//!
//! One file per format in ([`read()`] decides which by content), [`native`] for the format out, [`generate`] for situations
//! that nobody has recorded. `build.rs` puts what the readers find in order; [`Trace::validate`] says what cannot be run.

mod batch;
mod build;
mod detect;
pub mod generate;
mod graph;
mod input;
pub mod native;
mod nextflow;
mod read;
mod rebuild;
mod report;
mod rows;
mod save;
mod size;
mod summary;
mod swf;
mod table;
mod validate;
mod values;
mod wfformat;

pub use self::detect::Format;
pub use self::input::{Compression, Limits};
pub use self::native::LeftOut;
pub use self::read::{Loaded, ReadOptions, read};
pub use self::report::{Count, FileReport, Problem, ReadReport, Remark};
pub use self::save::{save, save_recording};
pub use self::size::Sizes;
pub use self::summary::{Quantiles, Summary};
pub use self::table::{BadColumns, Columns};
pub use self::validate::Fault;

use serde::{Deserialize, Serialize};

use crate::ids::{ArrayIndex, JobIndex, ShapeIndex};
use crate::observation::Shape;
use crate::units::{Span, Time, to_u32, to_usize};

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
    /// When it is submitted. For a job with `spawners`: its think time, see there.
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
    /// How many of its dependencies, the first ones, submit it: it does not exist before they have ended, and is then
    /// submitted after the think time that `submit` holds as milliseconds since the epoch. For the others it waits visibly
    /// as PENDING. None: it is submitted at a time of its own.
    pub spawners: u32,
    /// The array it is a child of.
    pub array: Option<ArrayIndex>,
    /// Position in `Trace::queues`.
    pub queue: u16,
    /// How it ended in the recording.
    pub ending: Ending,
}

impl Job {
    /// What `recorded_wait` holds where no wait is recorded.
    pub const UNKNOWN_WAIT: Span = Span::from_millis(-1);

    /// Whether other jobs submit it.
    pub const fn is_spawned(&self) -> bool {
        self.spawners > 0
    }

    /// For a job that other jobs submit: how long after the last of them ended.
    pub fn think_time(&self) -> Option<Span> {
        self.is_spawned().then(|| self.submit.since(Time::EPOCH))
    }

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dependency {
    /// One job.
    Job(JobIndex),
    /// All children of an array job.
    Array(ArrayIndex),
}

/// An array job: its children are jobs that follow each other in `Trace::jobs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    /// The dependencies of a job, those that submit it first.
    pub fn dependencies_of(&self, job: &Job) -> &[Dependency] {
        let start = to_usize(job.dependencies_start);
        let end = start.saturating_add(to_usize(job.dependencies_count));
        self.dependencies.get(start..end).unwrap_or(&[])
    }

    /// The dependencies of a job by what they are to it: those that submit it, and those that it then waits for as PENDING.
    pub fn spawners_and_others(&self, job: &Job) -> (&[Dependency], &[Dependency]) {
        let all = self.dependencies_of(job);
        all.split_at(to_usize(job.spawners).min(all.len()))
    }

    /// The size of a job.
    pub fn shape_of(&self, job: &Job) -> Shape {
        self.shapes.get(job.shape.position()).copied().unwrap_or_default()
    }

    /// The same work, this much later (or earlier, with a negative span). Think times and waits stay as they are.
    pub fn shifted_by(&self, span: Span) -> Self {
        let mut shifted = self.clone();
        for job in shifted.jobs.iter_mut().filter(|job| !job.is_spawned()) {
            job.submit = job.submit + span;
        }
        for message in &mut shifted.messages {
            message.sent = message.sent + span;
            message.received = message.received + span;
        }
        // Think times do not move, so jobs that others submit may have to change places with jobs that have times.
        if shifted.jobs.is_sorted_by_key(|job| job.submit) {
            shifted
        } else {
            shifted.resorted()
        }
    }

    /// Jobs stably sorted by submit time, with all that refers to them. Children of an array share their submit time and so
    /// stay together.
    fn resorted(mut self) -> Self {
        let mut order: Vec<u32> = (0..to_u32(self.jobs.len())).collect();
        order.sort_by_key(|position| self.jobs.get(to_usize(*position)).map(|job| job.submit));
        let mut place = vec![0_u32; order.len()];
        for (new, old) in order.iter().enumerate() {
            if let Some(slot) = place.get_mut(to_usize(*old)) {
                *slot = to_u32(new);
            }
        }
        let moved = |job: JobIndex| JobIndex(place.get(job.position()).copied().unwrap_or(job.0));
        self.jobs = order
            .iter()
            .filter_map(|old| self.jobs.get(to_usize(*old)).copied())
            .collect();
        for array in &mut self.arrays {
            array.first = moved(array.first);
        }
        for dependency in &mut self.dependencies {
            if let Dependency::Job(parent) = dependency {
                *parent = moved(*parent);
            }
        }
        self.canonicalise();
        self
    }

    /// Puts all tables in the order of first use by the jobs and drops what no job uses, sorts the dependencies of each job
    /// and the messages. Equal work then compares equal, whatever order it was written down in.
    pub fn canonicalise(&mut self) {
        let mut dependencies = Vec::with_capacity(self.dependencies.len());
        let mut shapes = Renumbering::new(self.shapes.len());
        let mut names = Renumbering::new(self.names.len());
        let mut queues = Renumbering::new(self.queues.len());
        let mut arrays = Renumbering::new(self.arrays.len());
        for job in &mut self.jobs {
            job.shape = ShapeIndex(shapes.renumber(job.shape.0));
            job.name = names.renumber(job.name);
            job.queue = u16::try_from(queues.renumber(u32::from(job.queue))).unwrap_or(u16::MAX);
            job.array = job.array.map(|array| ArrayIndex(arrays.renumber(array.0)));
        }
        let dependent = self.jobs.iter_mut().filter(|job| job.dependencies_count > 0);
        for job in dependent {
            let start = to_usize(job.dependencies_start);
            let range = start..start.saturating_add(to_usize(job.dependencies_count));
            let first = dependencies.len();
            dependencies.extend(self.dependencies.get(range).unwrap_or(&[]).iter().map(
                |dependency| match dependency {
                    Dependency::Job(parent) => Dependency::Job(*parent),
                    Dependency::Array(array) => Dependency::Array(ArrayIndex(arrays.renumber(array.0))),
                },
            ));
            if let Some(own) = dependencies.get_mut(first..) {
                let (spawners, others) = own.split_at_mut(to_usize(job.spawners).min(own.len()));
                spawners.sort_unstable();
                others.sort_unstable();
            }
            job.dependencies_start = to_u32(first);
            job.dependencies_count = to_u32(dependencies.len() - first);
        }
        self.dependencies = dependencies;
        self.shapes = shapes.apply(&self.shapes);
        self.names = names.apply(&self.names);
        self.queues = queues.apply(&self.queues);
        self.arrays = arrays.apply(&self.arrays);
        let sqs_names = std::mem::take(&mut self.sqs_queues);
        let name = |message: &Message| sqs_names.get(to_usize(message.source));
        self.messages
            .sort_by(|a, b| (a.sent, a.received, name(a)).cmp(&(b.sent, b.received, name(b))));
        let mut sources = Renumbering::new(sqs_names.len());
        for message in &mut self.messages {
            message.source = u16::try_from(sources.renumber(u32::from(message.source))).unwrap_or(u16::MAX);
        }
        self.sqs_queues = sources.apply(&sqs_names);
    }
}

/// New numbers for the entries of a table, in the order in which they are asked for.
struct Renumbering {
    new: Vec<Option<u32>>,
    order: Vec<u32>,
}

impl Renumbering {
    fn new(entries: usize) -> Self {
        Self {
            new: vec![None; entries],
            order: Vec::new(),
        }
    }

    /// The new number. Numbers outside the table stay what they are, for `validate` to find.
    fn renumber(&mut self, old: u32) -> u32 {
        let Some(slot) = self.new.get_mut(to_usize(old)) else {
            return old;
        };
        *slot.get_or_insert_with(|| {
            self.order.push(old);
            to_u32(self.order.len() - 1)
        })
    }

    fn apply<T: Clone>(self, table: &[T]) -> Vec<T> {
        self.order
            .iter()
            .filter_map(|old| table.get(to_usize(*old)).cloned())
            .collect()
    }
}

#[cfg(test)]
mod tests;
