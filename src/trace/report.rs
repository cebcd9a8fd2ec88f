//! What a reader has to say: problems that stop it, and remarks about what it repaired, skipped or assumed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::detect::Format;
use super::input::Compression;

/// Why a recording cannot be used: one thing that the person who gave it can mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from 1, where one line is to blame.
    pub line: Option<u64>,
    /// What was found.
    pub found: String,
    /// What was expected instead.
    pub expected: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The file could not be read at all: the outside world failed, not the content.
    pub unreadable: bool,
}

impl Problem {
    /// A problem of the content of a file.
    pub fn new(path: &Path, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            path: path.to_path_buf(),
            line: None,
            found: found.into(),
            expected: expected.into(),
            hint: None,
            unreadable: false,
        }
    }

    /// The same, in this line (counted from 1).
    pub fn at(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }

    /// The same, with advice.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": found {}, expected {}", self.found, self.expected)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// What a reader did beyond reading. Closed, so that every kind has its sentence and its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Remark {
    /// A line or record that could not be understood.
    Malformed,
    /// More fields than the format has.
    ExtraFields,
    /// No usable submit time.
    MissingSubmit,
    /// It ended, but its run time is not recorded.
    MissingRun,
    /// A start before the submission, or an end before the start.
    TimesReversed,
    /// Submitted earlier than the line before, in a format that promises order.
    OutOfOrder,
    /// No end within the recording.
    Unfinished,
    /// Depends on a job that the recording does not hold.
    UnknownDependency,
    /// An identifier that an earlier record has already used.
    DuplicateId,
    /// An array job without any record of its children.
    ArrayWithoutChildren,
    /// A fraction of a vCPU.
    VcpusRounded,
    /// A requirement whose kind or value is not known.
    UnknownResource,
    /// Fewer or more records than the file itself announces.
    Incomplete,
    /// An event or record of a kind that is no job.
    OtherKind,
    /// A task whose result was reused instead of computed.
    Cached,
    /// Cancelled or failed before it ran.
    NeverRan,
    /// The recorder knew of the job, but not enough to record it.
    LeftOut,
    /// More jobs at one time than the recorder follows.
    Unfollowed,
    /// A part of a job that another record describes as a whole.
    PartialRecord,
    /// A task that ran beside AWS Batch, on the machine of the workflow engine.
    RanElsewhere,
    /// A job that needed several attempts.
    Retried,
    /// A run time without the start: waiting and staging cannot be told apart.
    StartUnknown,
    /// Times without a zone.
    ZoneAssumed,
    /// Times counted from an unknown moment.
    RelativeTimes,
    /// vCPUs taken from an option.
    VcpusFromOption,
    /// Memory taken from an option.
    MemoryFromOption,
    /// Memory taken from what was used.
    MemoryFromUse,
    /// A job replayed as several smaller ones.
    Split,
    /// A dependency inferred from times.
    Inferred,
    /// Columns that nothing was read from.
    UnusedColumns,
}

impl Remark {
    /// Whether the input was not as its format promises, or something was lost. `strict` makes errors of these. The others
    /// say what was done by rule or at request.
    pub const fn is_warning(self) -> bool {
        match self {
            Self::Malformed
            | Self::ExtraFields
            | Self::MissingSubmit
            | Self::MissingRun
            | Self::TimesReversed
            | Self::OutOfOrder
            | Self::Unfinished
            | Self::UnknownDependency
            | Self::DuplicateId
            | Self::ArrayWithoutChildren
            | Self::VcpusRounded
            | Self::UnknownResource
            | Self::Incomplete => true,
            Self::OtherKind
            | Self::Cached
            | Self::NeverRan
            | Self::LeftOut
            | Self::Unfollowed
            | Self::PartialRecord
            | Self::RanElsewhere
            | Self::Retried
            | Self::StartUnknown
            | Self::ZoneAssumed
            | Self::RelativeTimes
            | Self::VcpusFromOption
            | Self::MemoryFromOption
            | Self::MemoryFromUse
            | Self::Split
            | Self::Inferred
            | Self::UnusedColumns => false,
        }
    }

    /// One sentence fragment that follows a count: `12 lines not understood: skipped`.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Malformed => "records not understood: skipped",
            Self::ExtraFields => "records with more fields than the format has: the rest was ignored",
            Self::MissingSubmit => "jobs without a usable submit time: skipped",
            Self::MissingRun => "jobs that ended without a recorded run time: skipped",
            Self::TimesReversed => "jobs whose times run backwards: the span in question was set to zero",
            Self::OutOfOrder => "records submitted before the record above them: sorted",
            Self::Unfinished => "jobs without an end in the recording: skipped",
            Self::UnknownDependency => "dependencies on jobs that are not in the recording: dropped",
            Self::DuplicateId => "records repeat an identifier: all kept, dependencies refer to the first",
            Self::ArrayWithoutChildren => "array jobs without records of their children: skipped",
            Self::VcpusRounded => "jobs with a fraction of a vCPU: rounded up",
            Self::UnknownResource => "requirements of an unknown kind or value: ignored",
            Self::Incomplete => "files or arrays with fewer or more records than announced: cut off?",
            Self::OtherKind => "records of other kinds than jobs: left out",
            Self::Cached => "cached tasks, which did not run: left out",
            Self::NeverRan => "jobs cancelled or failed before they ran: left out",
            Self::LeftOut => "jobs that the recorder knew of, but not their times: not in the recording",
            Self::Unfollowed => {
                "jobs or more, of each queue at its worst, were too many for the recorder: some of them may be missing"
            }
            Self::PartialRecord => "records of parts of a job that has a record as a whole: left out",
            Self::RanElsewhere => "tasks that did not run on AWS Batch: left out",
            Self::Retried => "jobs that needed more than one attempt: the last attempt's run time is kept",
            Self::StartUnknown => "tasks without a recorded start: the wait is what the run time leaves of the whole",
            Self::ZoneAssumed => "times without a time zone: read as UTC, or in the zone that --time-zone gave",
            Self::RelativeTimes => {
                "files with times from an unknown start: counted from 1970-01-01, or from --start-at"
            }
            Self::VcpusFromOption => "jobs got their vCPUs from an option",
            Self::MemoryFromOption => "jobs got their memory from an option",
            Self::MemoryFromUse => "jobs got as memory what they were seen to use",
            Self::Split => "jobs wider than --split-above: replayed as equal parts that start independently",
            Self::Inferred => "dependencies inferred from times, not recorded",
            Self::UnusedColumns => "columns that nothing was read from",
        }
    }
}

/// How often something was remarked, and where first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// How often.
    pub count: u64,
    /// The file of the first.
    pub path: PathBuf,
    /// Its line, counted from 1; 0 where no line is to blame.
    pub line: u64,
    /// What the first looked like, escaped and shortened.
    pub example: String,
}

/// What was read from where, what was done to it, and which parts are missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReadReport {
    /// The files in the order in which they were given.
    pub files: Vec<FileReport>,
    /// Remarks by kind.
    pub remarks: BTreeMap<Remark, Count>,
    /// Jobs whose vCPUs are known neither from the recording nor from an option.
    pub without_vcpus: u64,
    /// Jobs whose memory is known neither from the recording nor from an option.
    pub without_memory: u64,
    /// Jobs without a recorded wait.
    pub without_wait: u64,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// Where.
    pub path: PathBuf,
    /// What it turned out to be.
    pub format: Format,
    /// How it was packed.
    pub compression: Compression,
    /// Records that became jobs (for AWS Batch events and descriptions: records that were understood).
    pub records: u64,
}

impl ReadReport {
    /// How many warnings there are, all kinds together.
    pub fn warnings(&self) -> u64 {
        self.remarks
            .iter()
            .filter(|(remark, _)| remark.is_warning())
            .map(|(_, count)| count.count)
            .sum()
    }

    /// How often something was remarked.
    pub fn count(&self, remark: Remark) -> u64 {
        self.remarks.get(&remark).map_or(0, |count| count.count)
    }

    pub(super) fn add(&mut self, remark: Remark, count: u64, path: &Path, line: u64, example: impl FnOnce() -> String) {
        let first = || Count {
            count: 0,
            path: path.to_path_buf(),
            line,
            example: example(),
        };
        let known = self.remarks.entry(remark).or_insert_with(first);
        known.count = known.count.saturating_add(count);
    }
}

/// Text of a file for people: control characters escaped, at most 80 characters.
pub(super) fn excerpt(text: &[u8]) -> String {
    const LONGEST: usize = 80;
    let head = text.get(..LONGEST.saturating_mul(4)).unwrap_or(text);
    let escaped: String = String::from_utf8_lossy(head)
        .trim()
        .chars()
        .flat_map(char::escape_debug)
        .collect();
    let mut short: String = escaped.chars().take(LONGEST).collect();
    if short.len() < escaped.len() || head.len() < text.len() {
        short.push_str("...");
    }
    format!("`{short}`")
}
