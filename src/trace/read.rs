//! Recordings in: opens files, decides what they are, and lets the reader of that format fill one trace.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use super::build::Builder;
use super::detect::{Format, detect};
use super::input::{Input, Limits, unreadable};
use super::report::{Problem, ReadReport, Remark};
use super::size::Sizes;
use super::table::Columns;
use super::{Trace, batch, native, nextflow, swf, table, wfformat};
use crate::units::{Span, Time, Vcpus};

/// How to read recordings. The default changes nothing and guesses nothing.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// Warnings are errors.
    pub strict: bool,
    /// Jobs without a size are kept with a size of zero and counted, instead of being an error. For looking, not for replay.
    pub allow_missing_sizes: bool,
    /// Sizes for jobs that have none.
    pub sizes: Sizes,
    /// A job with more vCPUs is replayed as equal parts that start independently of each other.
    pub split_above: Option<Vcpus>,
    /// Infer who submitted whom from times, where the format allows (Nextflow, Seqera).
    pub rebuild_dependencies: bool,
    /// The longest time between the end of a parent and the submission of its child when dependencies are inferred.
    pub rebuild_window: Span,
    /// Jobs of workflow graphs are submitted together at the start and wait as PENDING, instead of one by one when their
    /// parents have ended (which is what workflow engines do).
    pub submit_ahead: bool,
    /// The zone of times that name none.
    pub time_zone: TimeZone,
    /// Where files begin whose times are counted from an unknown moment.
    pub start_at: Option<Time>,
    /// Which column of a table means what. Empty: by the usual names.
    pub columns: Columns,
    /// Bounds on what is taken in.
    pub limits: Limits,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            strict: false,
            allow_missing_sizes: false,
            sizes: Sizes::default(),
            split_above: None,
            rebuild_dependencies: false,
            // Nextflow looks at AWS Batch every 10 s; two looks and some work of its own.
            rebuild_window: Span::from_seconds(30),
            submit_ahead: false,
            time_zone: TimeZone::UTC,
            start_at: None,
            columns: Columns::default(),
            limits: Limits::default(),
        }
    }
}

/// A trace and the story of how it was read.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The work.
    pub trace: Trace,
    /// What was read, repaired, skipped and missed.
    pub report: ReadReport,
}

/// Reads recordings of any known kinds into one trace.
///
/// Formats are decided by content; gzip and Zstandard are unpacked on the fly. Jobs of all files are merged by time. Fails with
/// every problem found in any of the files; a trace that is returned is sound (see [`Trace::validate`]).
pub fn read(paths: &[PathBuf], options: &ReadOptions) -> Result<Loaded, Vec<Problem>> {
    let mut builder = Builder::new(options);
    let mut batch = batch::Recording::default();
    let mut problems = Vec::new();
    if paths.is_empty() {
        problems.push(Problem::new(Path::new("trace"), "no files", "at least one recording"));
    }
    for path in paths {
        let input = Input::open(path, &options.limits).map_err(|error| unreadable(path, 0, &error));
        if let Err(problem) = input.and_then(|input| read_one(path, input, &mut batch, &mut builder)) {
            problems.push(problem);
        }
    }
    if problems.is_empty()
        && let Err(problem) = batch.finish(&mut builder)
    {
        problems.push(problem);
    }
    problems.extend(mixed_clocks(&builder));
    if problems.is_empty() {
        builder.finish()
    } else {
        Err(problems)
    }
}

fn read_one(path: &Path, input: Input, batch: &mut batch::Recording, into: &mut Builder) -> Result<(), Problem> {
    let format = detect(path, input.head())?;
    into.begin(path, format, input.compression);
    match format {
        Format::Native => native::read(input, into),
        Format::Swf => swf::read(input, into),
        Format::Nextflow | Format::SeqeraTable => nextflow::read_table(input, into),
        Format::SeqeraJson => nextflow::read_json(input, into),
        Format::WfFormat => wfformat::read_documents(input, into),
        Format::WfLines => wfformat::read_lines(input, into),
        Format::BatchEvents => batch.read_events(input, into),
        Format::BatchJobs => batch.read_descriptions(input, into),
        Format::Table => table::read(input, into),
    }
}

/// Jobs that count from an unknown moment beside jobs with real times would end up decades apart.
fn mixed_clocks(builder: &Builder) -> Option<Problem> {
    let relative = builder.report.remarks.get(&Remark::RelativeTimes)?;
    (builder.options.start_at.is_none() && builder.has_real_times()).then(|| {
        Problem::new(
            &relative.path,
            "times from an unknown start beside real times",
            "one clock for all jobs",
        )
        .hint("give --start-at TIME for what has no start of its own")
    })
}
