//! What must survive a crash, and what people ask about afterwards: a SQLite file with the job ledger, the ticks, and every
//! intent with its outcome.
//!
//! Everything is keyed by names: indices change with every reload. Intents are durable (WAL, synchronous = FULL) before anything
//! is sent; ledger and ticks are written in batches.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::control::{Lease, Outcome};
use crate::jobs::JobSeen;
use crate::observation::{Observation, Shape};
use crate::planner::memory::{EnvironmentMemory, QueueMemory, SqsMemory};
use crate::planner::plan::Levels;
use crate::units::{Time, Vcpus};

/// A journal could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[error("the journal {path}: {message}")]
pub struct JournalError {
    /// The file.
    pub path: String,
    /// What went wrong.
    pub message: String,
}

/// A handle to the file; clones share it. Writes go through one writer.
#[derive(Clone, Debug)]
pub struct Journal {}

/// What is found when a journal is opened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovered {
    /// What the planner remembered.
    pub memory: Remembered,
    /// Leases that were in force, by environment: the lease, and maxvCpus as it was before we changed it.
    pub leases: BTreeMap<String, (Lease, Option<Vcpus>)>,
    /// Intents without an outcome: whether they took effect is unknown.
    pub open: Vec<Intent>,
}

/// The planner's memory by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    /// Per compute environment.
    pub environments: BTreeMap<String, EnvironmentMemory>,
    /// Per job queue.
    pub queues: BTreeMap<String, QueueMemory>,
    /// Per SQS source.
    pub sqs: BTreeMap<String, SqsMemory>,
}

/// An update that is about to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Counts intents; 0 before it is committed.
    pub number: i64,
    /// When it was decided.
    pub at: Time,
    /// The environment's name.
    pub environment: String,
    /// The levels that were seen.
    pub from: Levels,
    /// The levels to reach.
    pub to: Levels,
    /// The code of the main reason; see `explain::code`.
    pub because: String,
    /// The whole action as one sentence.
    pub sentence: String,
    /// The lease that the raise stands on.
    pub lease: Option<Lease>,
}

/// How an intent ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When.
    pub at: Time,
    /// How.
    pub outcome: Outcome,
    /// What the service said.
    pub message: String,
}

/// One tick: what was seen and what was said of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tick {
    /// When.
    pub at: Time,
    /// Every reason as (subject kind, subject name, code, sentence).
    pub reasons: Vec<Said>,
    /// What was seen.
    pub observation: Observation,
}

/// A reason, as it was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// `environment`, `queue` or `sqs`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The reason's code.
    pub code: String,
    /// The sentence.
    pub sentence: String,
}

/// A job's transition, for the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// When the job was seen in this status (an event's time, or that of the listing).
    pub at: Time,
    /// The job queue's name.
    pub queue: String,
    /// The job as it was seen.
    pub job: JobSeen,
    /// Its size, if known.
    pub shape: Option<Shape>,
    /// Jobs that it waits for, if known.
    pub parents: Vec<String>,
    /// Told by an event (exact), or by a listing (at that time or before).
    pub by_event: bool,
}

/// An intent with its outcome, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What was to be done.
    pub intent: Intent,
    /// How it ended; `None`: unknown.
    pub ended: Option<Ended>,
}

/// Which decisions and ticks to tell of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Only of this environment.
    pub environment: Option<String>,
    /// Only of this queue.
    pub queue: Option<String>,
    /// As it was at this time.
    pub at: Option<Time>,
    /// At most this many, newest first.
    pub last: usize,
}

impl Journal {
    /// Opens or makes a journal with mode 0600; one that another process has open is refused.
    pub fn open(path: &Path) -> Result<(Self, Recovered), JournalError> {
        todo!("{path:?}")
    }
    /// Opens for reading only, beside a daemon that writes.
    pub fn read(path: &Path) -> Result<Self, JournalError> {
        todo!("{path:?}")
    }
    /// Makes an intent durable, with the memory that it rests on; returns its number.
    pub fn commit(&self, intent: &Intent, memory: &Remembered) -> Result<i64, JournalError> {
        todo!("{intent:?} {memory:?}")
    }
    /// Notes how an intent ended.
    pub fn finish(&self, number: i64, ended: &Ended) -> Result<(), JournalError> {
        todo!("{number} {ended:?}")
    }
    /// Notes the leases in force, all of them.
    pub fn leases(&self, leases: &BTreeMap<String, (Lease, Option<Vcpus>)>) -> Result<(), JournalError> {
        todo!("{leases:?}")
    }
    /// Notes a tick. Only what changed against the last keyframe is written.
    pub fn tick(&self, tick: &Tick) -> Result<(), JournalError> {
        todo!("{tick:?}")
    }
    /// Notes transitions of jobs; one that is there already changes nothing.
    pub fn jobs(&self, transitions: &[Transition]) -> Result<(), JournalError> {
        todo!("{transitions:?}")
    }
    /// Drops what is older than `keep_from`, then the oldest until the file is below `most_bytes`.
    pub fn tidy(&self, keep_from: Time, most_bytes: u64) -> Result<(), JournalError> {
        todo!("{keep_from:?} {most_bytes}")
    }
    /// Decisions, newest first.
    pub fn decisions(&self, asked: &Asked) -> Result<Vec<Decision>, JournalError> {
        todo!("{asked:?}")
    }
    /// The ticks that say something, newest first.
    pub fn ticks(&self, asked: &Asked) -> Result<Vec<Tick>, JournalError> {
        todo!("{asked:?}")
    }
}
