//! Journals that earlier builds wrote, and whose they are.

use rusqlite::Connection;

use super::super::schema::{COLUMNS_OF_3, MIGRATIONS};
use super::*;

/// A journal as a build before wrote it.
fn left_by(version: i64, made_by: &[&str]) -> (TempDir, PathBuf, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "application_id", 0x6174_6e6a).unwrap();
    for sql in made_by {
        connection.execute_batch(sql).unwrap();
    }
    connection.pragma_update(None, "user_version", version).unwrap();
    let job = "INSERT INTO jobs (id, queue, name, definition, created, stopped, nodes, latest)
               VALUES ('a', 'q', 'n', 'd', 1000, 9000, 1, 9000)";
    connection.execute_batch(job).unwrap();
    (folder, path, connection)
}

/// Everything that is noted works, and what was there is there.
fn is_up_to_date(path: &std::path::Path) -> Journal {
    let (journal, recovered) = Journal::open(path).unwrap();
    assert_eq!(recovered.owner, None);
    let exported = journal.trace(Time::from_millis(0), Time::from_millis(10_000), true);
    let job = &exported.unwrap().trace.jobs[0];
    assert_eq!(
        (job.run.millis(), job.recorded_wait().map(Span::millis)),
        (5_000, Some(3_000))
    );
    let number = journal.commit(&intent("spot", 1), &remembered("spot")).unwrap();
    journal.finish(number, &ended(Outcome::Accepted)).unwrap();
    let attempt = Attempt {
        number: 2,
        started: at(1),
        stopped: Some(at(2)),
        ..Attempt::default()
    };
    let job = JobSeen {
        id: "b".to_owned(),
        status: JobStatus::Failed,
        attempt: 2,
        attempts: vec![attempt],
        ..JobSeen::default()
    };
    let seen = Transition {
        job,
        by_event: true,
        ..Transition::default()
    };
    journal.jobs(&[seen]).unwrap();
    for jobs in [1, 3] {
        journal.unfollowed("q", at(0), jobs).unwrap();
    }
    journal.attempt().unwrap();
    journal
}

/// What an earlier autotune wrote is there after an update of the program.
#[test]
fn a_journal_of_the_first_version_is_brought_up_to_date() {
    let (_folder, path, connection) = left_by(1, &MIGRATIONS[..1]);
    let rows = "
        INSERT INTO transitions VALUES (1, 5, 9000, 1);
        INSERT INTO attempts VALUES (1, 4000);
        INSERT INTO started (job) VALUES (1);";
    connection.execute_batch(rows).unwrap();
    drop(connection);
    let refused = Journal::read(&path).unwrap_err().to_string();
    assert!(refused.contains("found version 1, expected 4"), "{refused}");
    is_up_to_date(&path);
}

/// Builds that called it the second version had more and more of what the third has.
#[test]
fn a_journal_of_the_second_version_is_brought_up_to_date_whatever_it_has_of_the_third() {
    let first = MIGRATIONS[1].replace("UNIQUE (at, queue)", "UNIQUE (queue, at)");
    for (second, columns) in [
        (first.as_str(), 0),
        (MIGRATIONS[1], 0),
        (MIGRATIONS[1], 2),
        (MIGRATIONS[1], 3),
    ] {
        let added = COLUMNS_OF_3[..columns].iter().map(|(_, _, added_by)| *added_by);
        let made_by: Vec<&str> = [MIGRATIONS[0], second].into_iter().chain(added).collect();
        let (_folder, path, connection) = left_by(2, &made_by);
        let transition = if columns == 0 {
            "(1, 5, 9000, 1)"
        } else {
            "(1, 5, 2, 9000, 1)"
        };
        let rows = format!(
            "INSERT INTO transitions VALUES {transition};
             INSERT INTO attempts (job, started, environment, instance) VALUES (1, 4000, 'spot', 'spot/a');"
        );
        connection.execute_batch(&rows).unwrap();
        drop(connection);
        drop(is_up_to_date(&path));
        let connection = Connection::open(&path).unwrap();
        let row = |sql: &str| -> (i64, String) {
            connection
                .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
                .unwrap()
        };
        let attempt = row("SELECT number, environment || ' ' || instance FROM attempts WHERE job = 1");
        assert_eq!(attempt, (0, "spot spot/a".to_owned()));
        let transition = row("SELECT attempt, at || ' ' || by_event FROM transitions WHERE job = 1");
        assert_eq!(transition, (if columns == 0 { 1 } else { 2 }, "9000 1".to_owned()));
    }
}

/// It knew nothing of the order of an array's children.
#[test]
fn a_journal_of_the_third_version_is_brought_up_to_date() {
    let columns = COLUMNS_OF_3.iter().map(|(_, _, added_by)| *added_by);
    let made_by: Vec<&str> = MIGRATIONS[..2]
        .iter()
        .copied()
        .chain(columns)
        .chain([MIGRATIONS[2]])
        .collect();
    let (_folder, path, connection) = left_by(3, &made_by);
    let rows = "
        INSERT INTO transitions VALUES (1, 5, 1, 9000, 1);
        INSERT INTO attempts (job, started, stopped, number) VALUES (1, 4000, 9000, 1);";
    connection.execute_batch(rows).unwrap();
    drop(connection);
    let refused = Journal::read(&path).unwrap_err().to_string();
    assert!(refused.contains("found version 3, expected 4"), "{refused}");
    drop(is_up_to_date(&path));
    let connection = Connection::open(&path).unwrap();
    let sequential = "SELECT sequential FROM jobs WHERE id = 'a'";
    assert!(
        !connection
            .query_row(sequential, [], |row| row.get::<_, bool>(0))
            .unwrap()
    );
}

#[test]
fn a_journal_tells_whose_account_it_is_of() {
    let (_folder, path, journal) = made();
    let owner = Owner {
        account: "111122223333".to_owned(),
        region: "eu-central-1".to_owned(),
    };
    journal.own(&owner).unwrap();
    drop(journal);
    assert_eq!(Journal::open(&path).unwrap().1.owner, Some(owner));
}
