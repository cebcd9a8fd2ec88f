//! How much is kept: by age, then by size.

use rusqlite::{Connection, params};

use super::schema::{Failure, Writer};
use crate::units::{Time, to_i64};

/// Rows and pages per transaction.
const AT_ONCE: i64 = 2_000;

/// What is dropped by age: table, column of its age, and which of its rows.
const DROPPED: [(&str, &str, &str); 4] = [
    ("ticks", "at", "TRUE"),
    ("jobs", "latest", "TRUE"),
    ("unfollowed", "at", "TRUE"),
    ("intents", "at", "ended IS NOT NULL"),
];

/// What is still to be tidied. Each step is one transaction: whoever writes meanwhile waits for no longer than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tidying {
    /// Rows from before this are dropped.
    before: i64,
    most_bytes: i64,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Rows of this table, and of those that follow.
    Rows(usize),
    Keyframes,
    /// Whether that is enough.
    Measure,
    GiveBack,
    EmptyLog,
}

impl Tidying {
    /// Drops what is older than `keep_from`, then the oldest until the file is below `most_bytes`.
    pub fn new(keep_from: Time, most_bytes: u64) -> Self {
        Self {
            before: keep_from.millis(),
            most_bytes: to_i64(most_bytes),
            step: Step::Rows(0),
        }
    }
}

/// Takes one step, and tells what is left.
pub(super) fn tidy(writer: &mut Writer, tidying: Tidying) -> Result<Option<Tidying>, Failure> {
    let mut left = tidying;
    left.step = match tidying.step {
        Step::Rows(table) => match DROPPED.get(table) {
            Some(dropped) if drop_some(&writer.connection, dropped, tidying.before)? => Step::Rows(table),
            Some(_) => Step::Rows(table + 1),
            None => Step::Keyframes,
        },
        Step::Keyframes => {
            drop_keyframes(writer)?;
            Step::Measure
        }
        Step::Measure => match ages(&writer.connection)? {
            Some((oldest, newest)) if used_bytes(&writer.connection)? > tidying.most_bytes => {
                // An eighth of the time at once: nobody misses a little more, and it ends.
                let eighth = newest.saturating_sub(oldest) / 8;
                left.before = oldest.saturating_add(eighth).saturating_add(1);
                Step::Rows(0)
            }
            Some(_) | None => Step::GiveBack,
        },
        Step::GiveBack if give_back(&writer.connection)? => Step::GiveBack,
        Step::GiveBack => Step::EmptyLog,
        Step::EmptyLog => {
            // What was moved stands in the log until the log is emptied; readers that are still there put that off.
            let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
            writer.connection.query_row(checkpoint, [], |_| Ok(()))?;
            return Ok(None);
        }
    };
    Ok(Some(left))
}

/// Whether there may be more.
fn drop_some(connection: &Connection, (table, age, which): &(&str, &str, &str), cut: i64) -> Result<bool, Failure> {
    let sql = format!(
        "DELETE FROM {table} WHERE number IN
         (SELECT number FROM {table} WHERE {age} < ?1 AND {which} LIMIT {AT_ONCE})"
    );
    Ok(connection.execute(&sql, [cut])? > 0)
}

/// Keyframes that no tick is compared with any more.
fn drop_keyframes(writer: &mut Writer) -> Result<(), Failure> {
    writer.connection.execute(
        "DELETE FROM keyframes WHERE NOT EXISTS (SELECT 1 FROM ticks WHERE keyframe = keyframes.number)",
        [],
    )?;
    if let Some(keyframe) = &writer.keyframe {
        let sql = "SELECT EXISTS (SELECT 1 FROM keyframes WHERE number = ?1)";
        let there: bool = writer
            .connection
            .query_row(sql, params![keyframe.number], |row| row.get(0))?;
        if !there {
            writer.keyframe = None;
        }
    }
    Ok(())
}

/// Oldest and newest of what may be dropped; `None` if there is nothing.
fn ages(connection: &Connection) -> Result<Option<(i64, i64)>, Failure> {
    let mut both: Option<(i64, i64)> = None;
    for (table, age, which) in DROPPED {
        let sql = format!("SELECT min({age}), max({age}) FROM {table} WHERE {which}");
        let found = connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if let (Some(oldest), Some(newest)) = found {
            let (low, high) = both.unwrap_or((oldest, newest));
            both = Some((low.min(oldest), high.max(newest)));
        }
    }
    Ok(both)
}

/// What the content takes, without pages that are free.
fn used_bytes(connection: &Connection) -> Result<i64, Failure> {
    let sql = "SELECT (page_count - freelist_count) * page_size
               FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// Gives free pages back to the disk; whether any may be left.
fn give_back(connection: &Connection) -> Result<bool, Failure> {
    let free = |connection: &Connection| connection.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0));
    let before = free(connection)?;
    if before > 0 {
        let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({AT_ONCE})"))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
    }
    let after = free(connection)?;
    Ok(after > 0 && after < before)
}
