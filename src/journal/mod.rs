//! What must survive a crash, and what people ask about afterwards: a SQLite file with the job ledger, the ticks, and every
//! intent with its outcome.
//!
//! Everything is keyed by names: indices change with every reload. Intents are durable (WAL, synchronous = FULL) before anything
//! is sent; ledger and ticks are written in batches. Each write is one transaction: it is there whole or not at all.
//!
//! All calls block; an async caller hands them to a thread that may wait. Reads have a connection of their own and hold up no
//! write. A *keyframe* is a tick that is kept whole; later ticks keep what differs from it.

mod export;
mod intents;
mod ledger;
mod retain;
mod schema;
#[cfg(test)]
mod tests;
mod ticks;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, PoisonError};

use serde::{Deserialize, Serialize};

use crate::control::{Lease, Outcome};
use crate::explain::printable;
use crate::jobs::JobSeen;
use crate::observation::{Observation, Shape};
use crate::planner::memory::{EnvironmentMemory, QueueMemory, SqsMemory};
use crate::planner::plan::Levels;
use crate::units::{Span, Time, Vcpus};

pub use export::Exported;
pub use retain::Tidying;
use schema::{Failure, Inner, Writer};

/// A journal could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[error("the journal {path}: {message}")]
pub struct JournalError {
    /// The file.
    pub path: String,
    /// What went wrong.
    pub message: String,
}

/// Whose account a journal is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Twelve digits.
    pub account: String,
    /// For example `eu-central-1`.
    pub region: String,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (account, region) = (printable(&self.account), printable(&self.region));
        write!(f, "account {account} in {region}")
    }
}

/// A journal of another account or region. What it tells of leases and bases is of environments there, however they are called.
#[derive(Debug, thiserror::Error)]
#[error(
    "the journal {path}: found that of {found}, expected that of {expected}\n  hint: give this one a journal of its own (`path` under [journal], or --journal), or move the file away"
)]
pub struct NotOurs {
    /// The file.
    pub path: String,
    /// Whose it is.
    pub found: Owner,
    /// Whom the credentials are for.
    pub expected: Owner,
}

/// A daemon notes a tick this often though nothing has changed, so that whoever reads can tell quiet from dead.
pub const QUIET_TICK_EVERY: Span = Span::from_minutes(10);

/// A handle to the file; clones share it. Writes go through one writer.
#[derive(Clone, Debug)]
pub struct Journal {
    inner: Arc<Inner>,
}

/// What is found when a journal is opened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovered {
    /// What the planner remembered.
    pub memory: Remembered,
    /// Leases that were in force, by environment: the lease, and maxvCpus as it was before we changed it.
    pub leases: BTreeMap<String, (Lease, Option<Vcpus>)>,
    /// Intents without an outcome: whether they took effect is unknown.
    pub open: Vec<Intent>,
    /// Whose account it is of, if somebody has said so.
    pub owner: Option<Owner>,
    /// Per job queue: what the ledger was last told.
    pub heard: BTreeMap<String, Heard>,
    /// Why the memory of an earlier version could not be read and is blank; `None`: it could.
    pub forgotten: Option<String>,
}

/// What the ledger was last told of a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// When it was last told something new.
    pub latest: Time,
    /// Jobs and arrays whose end it was not told; of very many the latest.
    pub open: Vec<String>,
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

/// How the message of an intent begins that never became an update.
pub const NOT_SENT: &str = "not sent";

/// How the message of an update begins that may have been taken or not.
pub const NO_ANSWER: &str = "no answer";

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

impl Decision {
    /// How it ended, in words, with what the service said.
    pub fn ending(&self) -> String {
        let Some(ended) = &self.ended else {
            return format!("{NO_ANSWER} is known");
        };
        let word = match ended.outcome {
            Outcome::Accepted => "accepted",
            Outcome::Raced => "refused, Batch had moved meanwhile",
            Outcome::Overshoot => "refused while desired stands above max",
            Outcome::Throttled => "throttled",
            Outcome::Failed => "failed",
        };
        if ended.message.is_empty() {
            return word.to_owned();
        }
        // Then nobody refused anything.
        if [NOT_SENT, NO_ANSWER]
            .iter()
            .any(|begins| ended.message.starts_with(begins))
        {
            return printable(&ended.message).to_string();
        }
        format!("{word}: {}", printable(&ended.message))
    }
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
    /// Whose parts those are.
    #[serde(default)]
    pub names: Names,
}

/// Names in the order of the parts of an observation, whose indices change with every reload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// Of `Observation::environments` and `instances`.
    pub environments: Vec<String>,
    /// Of `Observation::queues`.
    pub queues: Vec<String>,
    /// Of `Observation::sqs`.
    pub sqs: Vec<String>,
    /// Codes of `Observation::quotas`.
    pub quotas: Vec<String>,
    /// Per queue of `queues`: its environments.
    #[serde(default)]
    pub queue_environments: Vec<Vec<String>>,
    /// Per source of `sqs`: the queue that it feeds.
    #[serde(default)]
    pub sqs_queues: Vec<String>,
}

impl Names {
    /// The environments of a queue.
    fn environments_of(&self, queue: &str) -> &[String] {
        let mut pairs = self.queues.iter().zip(&self.queue_environments);
        let found = pairs.find(|(name, _)| *name == queue);
        found.map_or(&[], |(_, environments)| environments.as_slice())
    }

    /// Whether a source feeds a queue.
    fn feeds(&self, source: &str, queue: &str) -> bool {
        let mut pairs = self.sqs.iter().zip(&self.sqs_queues);
        pairs.any(|(name, feeds)| name == source && feeds == queue)
    }
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
    /// The code of its detail: which limit, hold, part or kind of jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The sentence.
    pub sentence: String,
}

/// What was said at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// When.
    pub at: Time,
    /// Every reason.
    pub reasons: Vec<Said>,
    /// Asked as of a later time: it may not have been so by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence: Option<Silence>,
}

/// After a moment nothing was noted for longer than a running daemon is silent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// When the next tick was noted; if none was, the time that is asked for, or now.
    pub until: Time,
    /// The same in words.
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
    /// Only of this queue, its environments, and the SQS sources that feed it.
    pub queue: Option<String>,
    /// As it was at this time: also a tick that says nothing.
    pub at: Option<Time>,
    /// At most this many, newest first.
    pub last: usize,
}

impl Journal {
    /// Opens or makes a journal with mode 0600; one that another process has open is refused.
    pub fn open(path: &Path) -> Result<(Self, Recovered), JournalError> {
        let inner = Inner::open(path)?;
        let journal = Self { inner: Arc::new(inner) };
        let recovered = journal.write("be read", |writer| intents::recover(&writer.connection))?;
        Ok((journal, recovered))
    }

    /// Opens for reading only, beside a daemon that writes.
    pub fn read(path: &Path) -> Result<Self, JournalError> {
        let inner = Arc::new(Inner::read(path)?);
        Ok(Self { inner })
    }

    /// The same file for reading only, by a connection of its own: whoever reads long holds up nobody.
    pub fn beside(&self) -> Result<Self, JournalError> {
        Self::read(self.inner.path())
    }

    /// Makes an intent durable, with the memory that it rests on; returns its number.
    pub fn commit(&self, intent: &Intent, memory: &Remembered) -> Result<i64, JournalError> {
        self.write("take an intent", |writer| intents::commit(writer, intent, memory))
    }

    /// Notes how an intent ended. A lease that may now be in force is noted with it.
    pub fn finish(&self, number: i64, ended: &Ended) -> Result<(), JournalError> {
        self.write("take an outcome", |writer| intents::finish(writer, number, ended))
    }

    /// Notes the leases in force, all of them.
    pub fn leases(&self, leases: &BTreeMap<String, (Lease, Option<Vcpus>)>) -> Result<(), JournalError> {
        self.write("take the leases", |writer| intents::leases(writer, leases))
    }

    /// Notes a tick. Only what changed against the last keyframe is written.
    pub fn tick(&self, tick: &Tick) -> Result<(), JournalError> {
        self.write("take a tick", |writer| ticks::note(writer, tick))
    }

    /// Notes transitions of jobs; one that is there already changes nothing. One transaction: some thousands at a time, so
    /// that no intent has to wait.
    pub fn jobs(&self, transitions: &[Transition]) -> Result<(), JournalError> {
        self.write("take jobs", |writer| ledger::note(writer, transitions))
    }

    /// Notes that of a queue so many jobs were more than are followed. Some of them may be missing from a recording.
    pub fn unfollowed(&self, queue: &str, at: Time, jobs: u64) -> Result<(), JournalError> {
        self.write("take counts", |writer| ledger::unfollowed(writer, queue, at, jobs))
    }

    /// Drops some of what is old or too much, in one transaction, and tells what is left to do. Never dropped: memory, leases, and
    /// intents without an outcome.
    pub fn tidy(&self, tidying: Tidying) -> Result<Option<Tidying>, JournalError> {
        self.write("be tidied", |writer| retain::tidy(writer, tidying))
    }

    /// Notes whose account it is of.
    pub fn own(&self, owner: &Owner) -> Result<(), JournalError> {
        self.write("take its owner", |writer| intents::own(writer, owner))
    }

    /// Writes a little, to see whether that works.
    pub fn attempt(&self) -> Result<(), JournalError> {
        self.write("be written", intents::attempt)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.inner.path()
    }

    /// Decisions, newest first. They are about environments: asked of a queue, those of its environments, as its order was then.
    pub fn decisions(&self, asked: &Asked) -> Result<Vec<Decision>, JournalError> {
        self.look("tell its decisions", |connection| intents::decisions(connection, asked))
    }

    /// The latest decision of each of these environments, among the newest `most` decisions.
    pub fn latest(&self, of: BTreeSet<String>, most: usize) -> Result<BTreeMap<String, Decision>, JournalError> {
        self.look("tell its decisions", |connection| intents::latest(connection, of, most))
    }

    /// Why a question cannot have an answer: it names an environment or queue that is not watched, for which nothing was decided and,
    /// as of a time, of which nothing was said.
    pub fn stranger(&self, asked: &Asked, now: Time) -> Result<Option<String>, JournalError> {
        let Some(unwatched) = self.unwatched(asked)? else {
            return Ok(None);
        };
        let one = Asked {
            last: 1,
            ..asked.clone()
        };
        let said = |moment: &Moment| !moment.reasons.is_empty();
        let known = !self.decisions(&one)?.is_empty() || one.at.is_some() && self.moments(&one, now)?.iter().any(said);
        Ok((!known).then_some(unwatched))
    }

    /// Whether a question names an environment or queue that the latest tick does not know, in words.
    pub fn unwatched(&self, asked: &Asked) -> Result<Option<String>, JournalError> {
        let latest = self.look("tell what it knows", |connection| {
            ticks::latest(connection, Time::FAR_FUTURE)
        })?;
        let Some(Tick { names, .. }) = latest else {
            return Ok(None);
        };
        let kinds = [
            ("environment", &asked.environment, &names.environments),
            ("queue", &asked.queue, &names.queues),
        ];
        let unknown = |(kind, name, known): (&str, &Option<String>, &Vec<String>)| {
            let name = name.as_ref().filter(|name| !known.contains(name))?;
            let nearest = crate::input::did_you_mean(name, known.iter().map(String::as_str));
            let list = || format!("{kind}s that are watched: {}", known.join(", "));
            let (found, hint) = (crate::input::quoted(name), nearest.unwrap_or_else(list));
            Some(format!(
                "found {kind} {found}, expected one that is watched\nhint: {hint}"
            ))
        };
        Ok(kinds.into_iter().find_map(unknown))
    }

    /// The ticks that say something, newest first. Asked of an environment or queue, with what is said of that alone.
    pub fn ticks(&self, asked: &Asked) -> Result<Vec<Tick>, JournalError> {
        self.look("tell its ticks", |connection| {
            ticks::tell(connection, asked, |tick| tick)
        })
    }

    /// Of the same ticks only what was said: an observation is large. The latest as of a time tells if that was long before.
    pub fn moments(&self, asked: &Asked, now: Time) -> Result<Vec<Moment>, JournalError> {
        let moment = |tick: Tick| Moment {
            at: tick.at,
            reasons: tick.reasons,
            silence: None,
        };
        self.look("tell its ticks", |connection| {
            let mut moments = ticks::tell(connection, asked, moment)?;
            if let (Some(at), Some(latest)) = (asked.at, moments.first_mut()) {
                latest.silence = ticks::silence(connection, latest.at, at, now)?;
            }
            Ok(moments)
        })
    }

    /// Writes the jobs that were submitted from `from` until before `to` as a native trace, packed if the name ends in `.gz`
    /// or `.zst`. Names become keyed hashes, with a key that nobody keeps, unless `keep_names`.
    pub fn export(&self, from: Time, to: Time, keep_names: bool, out: &Path) -> Result<Exported, JournalError> {
        let exported = self.trace(from, to, keep_names)?;
        crate::trace::save_recording(&exported.trace, exported.left_out, out).map_err(|error| {
            self.inner
                .error(format!("could not be exported: {error}: {}", error.source))
        })?;
        Ok(exported)
    }

    /// The same as a value.
    pub fn trace(&self, from: Time, to: Time, keep_names: bool) -> Result<Exported, JournalError> {
        let names = export::Naming::new(keep_names).map_err(|message| self.inner.error(message))?;
        let all = |_: &str| true;
        self.look("be exported", |connection| {
            export::trace(connection, from, to, &names, &all)
        })
    }

    /// Of some queues, with their names: for this process alone.
    pub fn trace_of(&self, from: Time, to: Time, queues: &BTreeSet<String>) -> Result<Exported, JournalError> {
        let wanted = |queue: &str| queues.contains(queue);
        self.look("be replayed", |connection| {
            export::trace(connection, from, to, &export::Naming::Kept, &wanted)
        })
    }

    /// How many jobs were submitted from `from` until before `to`, arrays by their children, and when something of one of them was
    /// last noted.
    pub fn counted(&self, from: Time, to: Time) -> Result<(u64, Option<Time>), JournalError> {
        self.look("be counted", |connection| export::count(connection, from, to))
    }

    fn write<T>(&self, what: &str, work: impl FnOnce(&mut Writer) -> Result<T, Failure>) -> Result<T, JournalError> {
        let Some(writer) = &self.inner.writer else {
            return Err(self
                .inner
                .error(format!("cannot {what}: it was opened for reading only")));
        };
        let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut writer).map_err(|failure| self.inner.failed(what, &failure))
    }

    fn look<T>(
        &self,
        what: &str,
        work: impl FnOnce(&rusqlite::Connection) -> Result<T, Failure>,
    ) -> Result<T, JournalError> {
        let reader = self.inner.reader.lock().unwrap_or_else(PoisonError::into_inner);
        // One transaction: everything that is read belongs together, whatever is written meanwhile.
        let transaction = reader
            .unchecked_transaction()
            .map_err(|error| self.inner.failed(what, &error.into()))?;
        work(&transaction).map_err(|failure| self.inner.failed(what, &failure))
    }
}
