//! The job ledger: one row a job, one a job, status and attempt, whatever arrives twice or out of order.
//!
//! Of a status the time of an event counts before that of a listing, then the earlier one, so that the order of arrival does not
//! matter. Listings do not tell which attempt a status is of: theirs is number 0, and gives way to any that is known. What is known
//! of a job is never replaced by what is not known. The table of attempts has those that began to run, each at a startedAt of its
//! own; of its ends the earliest counts, since a listing tells that of the job instead.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use super::schema::{Failure, Writer};
use super::{Heard, Transition};
use crate::catalog::Resources;
use crate::jobs::JobStatus;
use crate::observation::Shape;
use crate::units::{Mebibytes, Span, Time, Vcpus, to_i64};

/// Jobs among which those without an end are looked for at a start.
const HEARD_MOST: i64 = 100_000;
/// AWS Batch forgets a job a week after its end (user guide, job states).
const KNOWN_FOR: Span = Span::from_minutes(7 * 24 * 60);

/// A status as a number; the table keeps these for ever.
pub(super) const fn number(status: JobStatus) -> i64 {
    match status {
        JobStatus::Submitted => 0,
        JobStatus::Pending => 1,
        JobStatus::Runnable => 2,
        JobStatus::Starting => 3,
        JobStatus::Running => 4,
        JobStatus::Succeeded => 5,
        JobStatus::Failed => 6,
    }
}

/// What is known of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    queue: String,
    name: String,
    definition: String,
    created: Option<i64>,
    stopped: Option<i64>,
    shape: Option<Shape>,
    nodes: u32,
    listed_vcpus: Option<i64>,
    array_size: Option<i64>,
    /// Of an array: its children run one after the other.
    sequential: bool,
    latest: i64,
}

impl Known {
    fn of(row: &Row) -> rusqlite::Result<Self> {
        Ok(Self {
            queue: row.get("queue")?,
            name: row.get("name")?,
            definition: row.get("definition")?,
            created: row.get("created")?,
            stopped: row.get("stopped")?,
            shape: shape(row, ["vcpus", "memory_mib", "gpus", "nodes"])?,
            nodes: row.get("nodes")?,
            listed_vcpus: row.get("listed_vcpus")?,
            array_size: row.get("array_size")?,
            sequential: row.get("sequential")?,
            latest: row.get("latest")?,
        })
    }

    /// Takes in what a transition tells.
    fn learn(&mut self, seen: &Transition) {
        let job = &seen.job;
        let fill = |known: &mut String, new: &str| {
            if known.is_empty() {
                new.clone_into(known);
            }
        };
        fill(&mut self.queue, &seen.queue);
        fill(&mut self.name, &job.name);
        fill(&mut self.definition, &job.definition);
        let created = job.created.map(Time::millis);
        self.created = self.created.into_iter().chain(created).min();
        // Until then it is the end of an attempt.
        let stopped = job.stopped.filter(|_| job.status.is_over());
        self.stopped = self.stopped.max(stopped.map(Time::millis));
        // A listing's size may have been estimated from its like.
        if seen.shape.is_some() && (seen.by_event || self.shape.is_none()) {
            self.shape = seen.shape;
        }
        self.nodes = self.nodes.max(job.nodes).max(self.shape.map_or(1, |shape| shape.nodes));
        self.array_size = self.array_size.or(job.array.as_ref().map(|array| array.size));
        // Listings do not tell, so that no news is not bad news.
        self.sequential |= job.array.as_ref().is_some_and(|array| array.sequential);
        // Nobody knows what it means on a parent.
        if self.array_size.is_none() {
            self.listed_vcpus = self.listed_vcpus.or(job.vcpus.map(Vcpus::get));
        } else {
            self.listed_vcpus = None;
        }
    }
}

/// A shape from its four columns; `None` where the size is unknown.
pub(super) fn shape(row: &Row, columns: [&str; 4]) -> rusqlite::Result<Option<Shape>> {
    let [vcpus, memory, gpus, nodes] = columns;
    let Some(vcpus) = row.get::<_, Option<i64>>(vcpus)? else {
        return Ok(None);
    };
    Ok(Some(Shape {
        resources: Resources {
            vcpus: Vcpus::new(vcpus),
            memory: Mebibytes::new(row.get::<_, Option<i64>>(memory)?.unwrap_or(0)),
            gpus: row.get::<_, Option<u32>>(gpus)?.unwrap_or(0),
        },
        nodes: row.get::<_, Option<u32>>(nodes)?.unwrap_or(1).max(1),
    }))
}

/// The array that a child belongs to, and its index there.
pub(super) fn child_of(id: &str) -> Option<(&str, i64)> {
    let (parent, index) = id.rsplit_once(':')?;
    let digits = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
    index.parse().ok().filter(|_| digits).map(|index| (parent, index))
}

pub(super) fn note(writer: &mut Writer, transitions: &[Transition]) -> Result<(), Failure> {
    let transaction = writer.connection.transaction()?;
    for seen in transitions {
        note_one(&transaction, seen)?;
    }
    transaction.commit()?;
    Ok(())
}

fn note_one(transaction: &Transaction, seen: &Transition) -> Result<(), Failure> {
    let job = &seen.job;
    let before: Option<(i64, Known)> = transaction
        .prepare_cached("SELECT * FROM jobs WHERE id = ?1")?
        .query_row([&job.id], |row| Ok((row.get("number")?, Known::of(row)?)))
        .optional()?;
    let mut known = before.as_ref().map(|(_, known)| known.clone()).unwrap_or_default();
    known.learn(seen);
    let key = if let Some((key, _)) = &before {
        *key
    } else {
        known.latest = seen.at.millis();
        insert(transaction, &job.id, &known)?
    };
    // One that says nothing new is no sign of life: else a listing would keep a job for ever.
    let mut news = before.is_none();
    news |= transition(transaction, key, seen)?;
    if known.array_size.is_none() {
        for attempt in job.begun() {
            let (started, stopped) = (attempt.started.millis(), attempt.stopped.map(Time::millis));
            news |= execute(
                transaction,
                "INSERT INTO attempts (job, started, stopped, environment, instance, number) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT DO UPDATE
                 SET stopped = min(coalesce(stopped, excluded.stopped), coalesce(excluded.stopped, stopped)),
                   environment = coalesce(environment, excluded.environment), instance = coalesce(instance, excluded.instance),
                   number = max(number, excluded.number)
                 WHERE excluded.stopped < coalesce(stopped, excluded.stopped + 1) OR number < excluded.number
                   OR environment IS NULL AND excluded.environment NOT NULL OR instance IS NULL AND excluded.instance NOT NULL",
                (key, started, stopped, attempt.environment, attempt.instance, attempt.number),
            )?;
        }
    }
    for parent in &seen.parents {
        news |= execute(
            transaction,
            "INSERT OR IGNORE INTO parents VALUES (?1, ?2)",
            (key, parent),
        )?;
    }
    if let Some((_, before)) = before {
        if news || before != known {
            known.latest = known.latest.max(seen.at.millis());
        }
        if before != known {
            update(transaction, key, &known)?;
        }
    }
    Ok(())
}

fn execute(transaction: &Transaction, sql: &str, values: impl rusqlite::Params) -> Result<bool, Failure> {
    Ok(transaction.prepare_cached(sql)?.execute(values)? > 0)
}

/// Whether it says something new.
fn transition(transaction: &Transaction, key: i64, seen: &Transition) -> Result<bool, Failure> {
    let (status, attempt) = (number(seen.job.status), seen.job.attempt);
    if attempt > 0 {
        let unknown = "DELETE FROM transitions WHERE job = ?1 AND status = ?2 AND attempt = 0";
        execute(transaction, unknown, (key, status))?;
    }
    execute(
        transaction,
        "INSERT INTO transitions (job, status, attempt, at, by_event) SELECT ?1, ?2, ?3, ?4, ?5
         WHERE ?3 > 0 OR NOT EXISTS (SELECT 1 FROM transitions WHERE job = ?1 AND status = ?2 AND attempt > 0)
         ON CONFLICT DO UPDATE SET at = excluded.at, by_event = excluded.by_event
         WHERE excluded.by_event > by_event OR excluded.by_event = by_event AND excluded.at < at",
        params![key, status, attempt, seen.at.millis(), seen.by_event],
    )
}

fn insert(transaction: &Transaction, id: &str, known: &Known) -> Result<i64, Failure> {
    let array = child_of(id);
    transaction
        .prepare_cached(
            "INSERT INTO jobs (id, array_parent, array_index, queue, name, definition, nodes, latest)
             VALUES (?1, ?2, ?3, '', '', '', 1, 0)",
        )?
        .execute(params![id, array.map(|array| array.0), array.map(|array| array.1)])?;
    let key = transaction.last_insert_rowid();
    update(transaction, key, known)?;
    Ok(key)
}

fn update(transaction: &Transaction, key: i64, known: &Known) -> Result<(), Failure> {
    let resources = known.shape.map(|shape| shape.resources);
    transaction
        .prepare_cached(
            "UPDATE jobs SET queue = ?2, name = ?3, definition = ?4, created = ?5, stopped = ?6, vcpus = ?7,
             memory_mib = ?8, gpus = ?9, nodes = ?10, listed_vcpus = ?11, array_size = ?12, latest = ?13, sequential = ?14
             WHERE number = ?1",
        )?
        .execute(params![
            key,
            known.queue,
            known.name,
            known.definition,
            known.created,
            known.stopped,
            resources.map(|resources| resources.vcpus.get()),
            resources.map(|resources| resources.memory.get()),
            resources.map(|resources| resources.gpus),
            known.shape.map_or(known.nodes, |shape| shape.nodes),
            known.listed_vcpus,
            known.array_size,
            known.latest,
            known.sequential,
        ])?;
    Ok(())
}

/// An hour, of which only the worst is kept.
pub(super) const UNFOLLOWED_PER: Span = Span::from_minutes(60);

pub(super) fn unfollowed(writer: &mut Writer, queue: &str, at: Time, jobs: u64) -> Result<(), Failure> {
    let hour = at.millis().div_euclid(UNFOLLOWED_PER.millis()) * UNFOLLOWED_PER.millis();
    writer
        .connection
        .prepare_cached(
            "INSERT INTO unfollowed (queue, at, jobs) VALUES (?1, ?2, ?3)
             ON CONFLICT (at, queue) DO UPDATE SET jobs = max(jobs, excluded.jobs)",
        )?
        .execute(params![queue, hour, to_i64(jobs)])?;
    Ok(())
}

/// Read from the jobs that were told of last.
pub(super) fn heard(connection: &Connection) -> Result<BTreeMap<String, Heard>, Failure> {
    let mut statement = connection.prepare(
        "SELECT j.queue, j.id, j.latest, EXISTS (SELECT 1 FROM transitions WHERE job = j.number AND status IN (5, 6)) AS ended
         FROM jobs j INDEXED BY jobs_latest WHERE j.array_parent IS NULL AND j.latest >= (SELECT max(latest) FROM jobs) - ?2
         ORDER BY j.latest DESC LIMIT ?1",
    )?;
    let mut rows = statement.query([HEARD_MOST, KNOWN_FOR.millis()])?;
    let mut heard: BTreeMap<String, Heard> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let queue = heard.entry(row.get("queue")?).or_default();
        queue.latest = queue.latest.max(Time::from_millis(row.get("latest")?));
        if !row.get::<_, bool>("ended")? {
            queue.open.push(row.get("id")?);
        }
    }
    Ok(heard)
}
