//! From records in any order to a [`Trace`]: sizes, names, splitting, sorting, dependencies.
//!
//! A trace that comes out is *canonical*: jobs by submit time, ties by a key of their own (job number, task number) or by
//! content, tables in the order of first use, dependencies sorted and without repetitions. So the order of the lines of a
//! recording does not matter, and equal recordings give equal traces.

mod finish;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::detect::Format;
use super::input::{Compression, Exceeded, unreadable};
use super::read::ReadOptions;
use super::report::{FileReport, Problem, ReadReport, Remark, excerpt};
use super::size::{Ask, Origin};
use super::{Dependency, Ending, Job, Message};
use crate::catalog::Resources;
use crate::ids::{ArrayIndex, JobIndex, ShapeIndex};
use crate::observation::Shape;
use crate::units::{Span, Time, to_u32, to_u64, to_usize};

/// Ties without a key of their own are ordered by what the jobs are.
const BY_CONTENT: u64 = u64::MAX;

/// After this many records that are none, with not one job among them, a file is not what it looked like.
const HOPELESS: u64 = 10_000;

/// A job as a reader found it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draft {
    /// When it was submitted in the recording.
    pub(super) submit: Time,
    /// How long it ran.
    pub(super) run: Span,
    /// Submission to RUNNING, if recorded.
    pub(super) wait: Option<Span>,
    /// What the recording says of its size.
    pub(super) ask: Ask,
    /// From [`Builder::name`].
    pub(super) name: u32,
    /// From [`Builder::queue`].
    pub(super) queue: u16,
    /// How it ended.
    pub(super) ending: Ending,
    /// Submitted by its spawners, this long after the last of them ended. Without spawners `submit` holds.
    pub(super) think: Option<Span>,
    /// From [`Builder::array`].
    pub(super) array: Option<ArrayIndex>,
    /// Orders jobs of one file with the same submit time; `None`: by content.
    pub(super) tie: Option<u64>,
    /// Where it stands in its file.
    pub(super) line: u64,
}

/// What a dependency is to the job that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// It submits the job.
    Spawner,
    /// The job waits for it as PENDING.
    Parent,
}

/// Names in the order of first use.
#[derive(Default)]
struct Names {
    list: Vec<String>,
    index: HashMap<String, u32>,
}

impl Names {
    fn intern(&mut self, name: &str) -> u32 {
        if let Some(known) = self.index.get(name) {
            return *known;
        }
        let position = to_u32(self.list.len());
        self.list.push(name.to_owned());
        self.index.insert(name.to_owned(), position);
        position
    }

    fn get(&self, position: u32) -> &str {
        self.list.get(to_usize(position)).map_or("", String::as_str)
    }
}

/// Collects jobs of all files.
pub(super) struct Builder<'a> {
    /// How to read.
    pub(super) options: &'a ReadOptions,
    /// What was remarked so far.
    pub(super) report: ReadReport,
    path: PathBuf,
    file: u64,
    jobs: Vec<Job>,
    ties: Vec<u64>,
    shapes: Vec<Shape>,
    shape_index: HashMap<Shape, ShapeIndex>,
    last_shape: Option<(Shape, ShapeIndex)>,
    names: Names,
    queues: Names,
    sqs_queues: Names,
    messages: Vec<Message>,
    /// Sequential or not, per array.
    arrays: Vec<bool>,
    /// Think times of jobs that other jobs submit.
    thinks: Vec<(u32, Span)>,
    /// How many parts a job was split into, where more than one.
    parts: HashMap<u32, u32>,
    edges: Vec<(u32, Dependency, Role)>,
    sizeless: Option<(PathBuf, u64)>,
    skipped_in_file: u64,
    queues_full: bool,
}

impl<'a> Builder<'a> {
    pub(super) fn new(options: &'a ReadOptions) -> Self {
        Self {
            options,
            report: ReadReport::default(),
            path: PathBuf::new(),
            file: 0,
            jobs: Vec::new(),
            ties: Vec::new(),
            shapes: Vec::new(),
            shape_index: HashMap::new(),
            last_shape: None,
            names: Names::default(),
            queues: Names::default(),
            sqs_queues: Names::default(),
            messages: Vec::new(),
            arrays: Vec::new(),
            thinks: Vec::new(),
            parts: HashMap::new(),
            edges: Vec::new(),
            sizeless: None,
            skipped_in_file: 0,
            queues_full: false,
        }
    }

    /// Starts the next file.
    pub(super) fn begin(&mut self, path: &Path, format: Format, compression: Compression) {
        path.clone_into(&mut self.path);
        self.file += 1;
        self.skipped_in_file = 0;
        self.report.files.push(FileReport {
            path: path.to_path_buf(),
            format,
            compression,
            records: 0,
        });
    }

    /// Whether any job was submitted at a time that is no offset from an unknown start, which would put it next to 1970.
    pub(super) fn has_real_times(&self) -> bool {
        const FIRST_REAL: Time = Time::from_seconds(15 * 365 * 86_400);
        self.jobs.iter().any(|job| job.submit >= FIRST_REAL)
    }

    /// Starts what belongs to several files at once: what follows has an order of its own.
    pub(super) fn begin_merged(&mut self) {
        self.file += 1;
    }

    /// The number of the file that is being read, for [`Builder::resume`].
    pub(super) fn file(&self) -> usize {
        self.report.files.len().saturating_sub(1)
    }

    /// Attributes what follows to a file that was begun before.
    pub(super) fn resume(&mut self, file: usize) {
        if let Some(known) = self.report.files.get(file) {
            known.path.clone_into(&mut self.path);
        }
    }

    /// The file that is being read.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Remarks something about this line of the file that is being read.
    pub(super) fn remark(&mut self, remark: Remark, line: u64, example: &[u8]) {
        self.remark_many(remark, 1, line, example);
    }

    /// The same, so many times; none is no remark.
    pub(super) fn remark_many(&mut self, remark: Remark, count: u64, line: u64, example: &[u8]) {
        if count > 0 {
            self.report.add(remark, count, &self.path, line, || excerpt(example));
        }
    }

    /// Counts a record that was understood.
    pub(super) fn understood(&mut self) {
        if let Some(file) = self.report.files.last_mut() {
            file.records += 1;
        }
    }

    /// Remarks a record that was left out; a problem once nothing but such records have come.
    pub(super) fn skip(&mut self, remark: Remark, line: u64, example: &[u8]) -> Result<(), Problem> {
        self.remark(remark, line, example);
        self.skipped_in_file += 1;
        let records = self.report.files.last().map_or(0, |file| file.records);
        let format = self.report.files.last().map_or("", |file| file.format.name());
        if records == 0 && self.skipped_in_file >= HOPELESS {
            return Err(Problem::new(
                &self.path,
                format!("{HOPELESS} records without one job"),
                format!("a {format} file"),
            )
            .at(line)
            .hint("is this the right file?"));
        }
        Ok(())
    }

    pub(super) fn name(&mut self, name: &str) -> u32 {
        self.names.intern(name)
    }

    pub(super) fn queue(&mut self, name: &str) -> u16 {
        u16::try_from(self.queues.intern(name)).unwrap_or_else(|_| {
            self.queues_full = true;
            u16::MAX
        })
    }

    pub(super) fn message(&mut self, sqs_queue: &str, sent: Time, received: Time) {
        let source = u16::try_from(self.sqs_queues.intern(sqs_queue)).unwrap_or_else(|_| {
            self.queues_full = true;
            u16::MAX
        });
        self.messages.push(Message { sent, received, source });
    }

    /// A new array job. Its children are pushed with it one after the other and with the same submit time.
    pub(super) fn array(&mut self, sequential: bool) -> ArrayIndex {
        self.arrays.push(sequential);
        ArrayIndex::at(self.arrays.len() - 1)
    }

    /// Makes an array sequential.
    pub(super) fn set_sequential(&mut self, array: ArrayIndex) {
        if let Some(sequential) = self.arrays.get_mut(array.position()) {
            *sequential = true;
        }
    }

    /// Adds a job and returns its position among the records, for [`Builder::depend`].
    pub(super) fn push(&mut self, draft: &Draft) -> Result<u32, Problem> {
        self.understood();
        self.push_understood(draft)
    }

    /// The same for a job whose records have been counted before.
    pub(super) fn push_understood(&mut self, draft: &Draft) -> Result<u32, Problem> {
        let (shape, parts) = self.size(draft);
        let limit = self.options.limits.jobs;
        if to_u64(self.jobs.len()).saturating_add(u64::from(parts)) > limit.min(u64::from(u32::MAX)) {
            return Err(unreadable(
                &self.path,
                draft.line,
                &Exceeded::error("jobs", limit, "--max-jobs"),
            ));
        }
        let position = to_u32(self.jobs.len());
        let job = Job {
            submit: draft.submit,
            run: draft.run,
            recorded_wait: draft.wait.unwrap_or(Job::UNKNOWN_WAIT),
            shape: self.shape(shape),
            name: draft.name,
            dependencies_start: 0,
            dependencies_count: 0,
            spawners: 0,
            array: draft.array,
            queue: draft.queue,
            ending: draft.ending,
        };
        self.report.without_wait += u64::from(draft.wait.is_none());
        let tie = draft
            .tie
            .map_or(BY_CONTENT, |tie| (self.file << 40) | tie.min((1 << 40) - 1));
        for part in 0..parts {
            self.jobs.push(job);
            self.ties.push(tie);
            self.thinks.extend(draft.think.map(|think| (position + part, think)));
        }
        if parts > 1 {
            self.parts.insert(position, parts);
        }
        Ok(position)
    }

    fn size(&mut self, draft: &Draft) -> (Shape, u32) {
        let (mut shape, vcpus_from, memory_from) = self.options.sizes.resolve(&draft.ask);
        let mut said = |remark| self.report.add(remark, 1, &self.path, draft.line, String::new);
        match vcpus_from {
            Origin::Option => said(Remark::VcpusFromOption),
            Origin::Recorded | Origin::Use | Origin::Nowhere => {}
        }
        match memory_from {
            Origin::Option => said(Remark::MemoryFromOption),
            Origin::Use => said(Remark::MemoryFromUse),
            Origin::Recorded | Origin::Nowhere => {}
        }
        let without = (vcpus_from == Origin::Nowhere, memory_from == Origin::Nowhere);
        if without != (false, false) {
            self.report.without_vcpus += u64::from(without.0);
            self.report.without_memory += u64::from(without.1);
            self.sizeless.get_or_insert_with(|| (self.path.clone(), draft.line));
        }
        let mut parts = 1;
        if let Some(limit) = self.options.split_above.filter(|limit| shape.resources.vcpus > *limit) {
            let count = shape.resources.vcpus.scaled_up(1, limit.get()).get();
            parts = to_u32(count);
            shape.resources = Resources {
                vcpus: shape.resources.vcpus.scaled_up(1, count),
                memory: shape.resources.memory.scaled_up(1, count),
                gpus: shape.resources.gpus.div_ceil(parts.max(1)),
            };
            self.report.add(Remark::Split, 1, &self.path, draft.line, || {
                format!("into {parts} of {}", shape.resources.vcpus)
            });
        }
        (shape, parts)
    }

    fn shape(&mut self, shape: Shape) -> ShapeIndex {
        if let Some((known, index)) = self.last_shape
            && known == shape
        {
            return index;
        }
        let shapes = &mut self.shapes;
        let index = *self.shape_index.entry(shape).or_insert_with(|| {
            shapes.push(shape);
            ShapeIndex::at(shapes.len() - 1)
        });
        self.last_shape = Some((shape, index));
        index
    }

    /// Makes a job, all parts of it, depend on another one, all parts of that.
    pub(super) fn depend(&mut self, child: u32, role: Role, parent: u32) {
        for parent in self.parts_of(parent) {
            self.depend_on(child, role, Dependency::Job(JobIndex(parent)));
        }
    }

    /// Makes a job depend on all children of an array.
    pub(super) fn depend_on_array(&mut self, child: u32, role: Role, array: ArrayIndex) {
        self.depend_on(child, role, Dependency::Array(array));
    }

    fn depend_on(&mut self, child: u32, role: Role, dependency: Dependency) {
        self.edges
            .extend(self.parts_of(child).map(|child| (child, dependency, role)));
    }

    fn parts_of(&self, position: u32) -> std::ops::Range<u32> {
        let parts = if self.parts.is_empty() {
            None
        } else {
            self.parts.get(&position)
        };
        position..position.saturating_add(parts.copied().unwrap_or(1))
    }
}
