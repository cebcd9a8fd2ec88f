//! How much is kept: by age, then by size.

use rusqlite::{Connection, params};

use super::schema::{Failure, Writer};
use super::{Journal, JournalError};
use crate::units::{Time, to_i64};

/// Rows and pages per transaction: intents wait for no longer than that.
const AT_ONCE: i64 = 2_000;

/// What is dropped by age: table, column of its age, and which of its rows.
const DROPPED: [(&str, &str, &str); 4] = [
    ("ticks", "at", "TRUE"),
    ("jobs", "latest", "TRUE"),
    ("unfollowed", "at", "TRUE"),
    ("intents", "at", "ended IS NOT NULL"),
];

pub(super) fn tidy(journal: &Journal, keep_from: Time, most_bytes: u64) -> Result<(), JournalError> {
    drop_before(journal, keep_from.millis())?;
    loop {
        let (used, ages) = journal.write("be tidied", |writer| {
            Ok((used_bytes(&writer.connection)?, ages(&writer.connection)?))
        })?;
        let Some((oldest, newest)) = ages.filter(|_| used > to_i64(most_bytes)) else {
            break;
        };
        // An eighth of the time at once: nobody misses a little more, and it ends.
        let cut = oldest
            .saturating_add(newest.saturating_sub(oldest) / 8)
            .saturating_add(1);
        drop_before(journal, cut)?;
    }
    while journal.write("be tidied", |writer| give_back(&writer.connection))? {}
    // What was moved stands in the log until the log is emptied; readers that are still there put that off.
    journal.write("be tidied", |writer| {
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        Ok(writer.connection.query_row(checkpoint, [], |_| Ok(()))?)
    })
}

fn drop_before(journal: &Journal, cut: i64) -> Result<(), JournalError> {
    for (table, age, which) in DROPPED {
        let sql = format!(
            "DELETE FROM {table} WHERE number IN
             (SELECT number FROM {table} WHERE {age} < ?1 AND {which} LIMIT {AT_ONCE})"
        );
        while journal.write("be tidied", |writer| Ok(writer.connection.execute(&sql, [cut])? > 0))? {}
    }
    journal.write("be tidied", drop_keyframes)
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
