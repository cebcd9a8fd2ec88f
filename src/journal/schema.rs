//! The file: who may open it, what is in it, and how errors read.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction};

use super::JournalError;
use super::ticks::Keyframe;

/// Marks a SQLite file as ours: "atnj".
const APPLICATION_ID: i32 = 0x6174_6e6a;

/// How long a connection waits for another one: a checkpoint, or a reader that opens.
const BUSY: Duration = Duration::from_secs(5);

/// What makes a journal of version n one of version n + 1. Those that were published are never changed.
pub(super) const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE memory (only INTEGER PRIMARY KEY CHECK (only = 1), body TEXT NOT NULL);
    CREATE TABLE leases (
        environment TEXT PRIMARY KEY,
        min_vcpus INTEGER NOT NULL,
        expires INTEGER NOT NULL,
        max_before INTEGER
    ) WITHOUT ROWID;
    CREATE TABLE intents (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        environment TEXT NOT NULL,
        body TEXT NOT NULL,
        ended TEXT
    );
    CREATE INDEX intents_at ON intents (at);
    CREATE INDEX intents_open ON intents (number) WHERE ended IS NULL;

    CREATE TABLE keyframes (number INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, body BLOB NOT NULL);
    CREATE TABLE ticks (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        says INTEGER NOT NULL,
        keyframe INTEGER NOT NULL REFERENCES keyframes (number),
        body BLOB NOT NULL
    );
    CREATE INDEX ticks_at ON ticks (at);
    CREATE INDEX ticks_keyframe ON ticks (keyframe);

    CREATE TABLE jobs (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        queue TEXT NOT NULL,
        name TEXT NOT NULL,
        definition TEXT NOT NULL,
        created INTEGER,
        stopped INTEGER,
        vcpus INTEGER,
        memory_mib INTEGER,
        gpus INTEGER,
        nodes INTEGER NOT NULL,
        listed_vcpus INTEGER,
        array_parent TEXT,
        array_index INTEGER,
        array_size INTEGER,
        latest INTEGER NOT NULL
    );
    CREATE INDEX jobs_latest ON jobs (latest);
    CREATE TABLE transitions (
        job INTEGER NOT NULL REFERENCES jobs (number) ON DELETE CASCADE,
        status INTEGER NOT NULL,
        at INTEGER NOT NULL,
        by_event INTEGER NOT NULL,
        PRIMARY KEY (job, status)
    ) WITHOUT ROWID;
    CREATE TABLE attempts (
        job INTEGER NOT NULL REFERENCES jobs (number) ON DELETE CASCADE,
        started INTEGER NOT NULL,
        PRIMARY KEY (job, started)
    ) WITHOUT ROWID;
    CREATE TABLE parents (
        job INTEGER NOT NULL REFERENCES jobs (number) ON DELETE CASCADE,
        parent TEXT NOT NULL,
        PRIMARY KEY (job, parent)
    ) WITHOUT ROWID;
    CREATE TABLE started (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        job INTEGER NOT NULL UNIQUE REFERENCES jobs (number) ON DELETE CASCADE
    );
",
    "
    DROP TABLE started;
    ALTER TABLE attempts ADD COLUMN environment TEXT;
    ALTER TABLE attempts ADD COLUMN instance TEXT;
    CREATE TABLE unfollowed (
        number INTEGER PRIMARY KEY,
        queue TEXT NOT NULL,
        at INTEGER NOT NULL,
        jobs INTEGER NOT NULL,
        UNIQUE (at, queue)
    );
",
    "
    CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
",
    "
    ALTER TABLE jobs ADD COLUMN sequential INTEGER NOT NULL DEFAULT 0;
",
];

/// What version 3 adds to tables by table and column, before the rest of it. Some builds of version 2 had these already, or the first of
/// them: what is there is left as it is.
pub(super) const COLUMNS_OF_3: &[(&str, &str, &str)] = &[
    (
        "transitions",
        "attempt",
        "
    CREATE TABLE transitions_of_attempts (
        job INTEGER NOT NULL REFERENCES jobs (number) ON DELETE CASCADE,
        status INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        at INTEGER NOT NULL,
        by_event INTEGER NOT NULL,
        PRIMARY KEY (job, status, attempt)
    ) WITHOUT ROWID;
    INSERT INTO transitions_of_attempts SELECT job, status, by_event, at, by_event FROM transitions;
    DROP TABLE transitions;
    ALTER TABLE transitions_of_attempts RENAME TO transitions;
",
    ),
    ("attempts", "stopped", "ALTER TABLE attempts ADD COLUMN stopped INTEGER"),
    (
        "attempts",
        "number",
        "ALTER TABLE attempts ADD COLUMN number INTEGER NOT NULL DEFAULT 0",
    ),
];

/// What the handles to a file share.
#[derive(Debug)]
pub(super) struct Inner {
    path: PathBuf,
    /// `None`: opened for reading only.
    pub(super) writer: Option<Mutex<Writer>>,
    pub(super) reader: Mutex<Connection>,
    // After the connections: the file is theirs until they are closed.
    _lock: Option<File>,
}

/// The one connection that writes.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) connection: Connection,
    /// What the next tick is compared with.
    pub(super) keyframe: Option<Keyframe>,
}

/// What can go wrong inside a call.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Content(String),
}

impl Inner {
    pub(super) fn open(path: &Path) -> Result<Self, JournalError> {
        let wrong = |failure: &Failure| failed(path, "be opened", failure);
        let lock = lock(path)?;
        create(path).map_err(|error| wrong(&error.into()))?;
        let mut connection = Connection::open(path).map_err(|error| wrong(&error.into()))?;
        version(&connection, path)?;
        prepare(&mut connection).map_err(|failure| wrong(&failure))?;
        let writer = Writer {
            connection,
            keyframe: None,
        };
        Ok(Self {
            path: path.to_path_buf(),
            reader: Mutex::new(reader(path).map_err(|failure| wrong(&failure))?),
            writer: Some(Mutex::new(writer)),
            _lock: Some(lock),
        })
    }

    pub(super) fn read(path: &Path) -> Result<Self, JournalError> {
        if !path.exists() {
            return Err(error(
                path,
                "there is no such file\n  hint: `autotune run` makes it; --journal names another, --url asks a daemon elsewhere",
            ));
        }
        let reader = reader(path).map_err(|failure| failed(path, "be opened", &failure))?;
        let found = version(&reader, path)?;
        if found < MIGRATIONS.len() {
            return Err(error(
                path,
                format!(
                    "found version {found}, expected {}\n  hint: `autotune run` of this version brings it up to date",
                    MIGRATIONS.len()
                ),
            ));
        }
        Ok(Self {
            path: path.to_path_buf(),
            writer: None,
            reader: Mutex::new(reader),
            _lock: None,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn error(&self, message: impl Into<String>) -> JournalError {
        error(&self.path, message)
    }

    pub(super) fn failed(&self, what: &str, failure: &Failure) -> JournalError {
        failed(&self.path, what, failure)
    }
}

fn error(path: &Path, message: impl Into<String>) -> JournalError {
    JournalError {
        path: path.display().to_string(),
        message: message.into(),
    }
}

fn failed(path: &Path, what: &str, failure: &Failure) -> JournalError {
    let code = match failure {
        Failure::Sqlite(error) => error.sqlite_error_code(),
        Failure::Json(_) | Failure::Io(_) | Failure::Content(_) => None,
    };
    let hint = match code {
        Some(ErrorCode::DiskFull) => "\n  hint: make room on the disk, or let the journal keep less",
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            "\n  hint: is it another file? Otherwise move it away: a new one is made"
        }
        _ => "",
    };
    error(path, format!("could not {what}: {failure}{hint}"))
}

/// The lock stands beside the journal: closing any handle to the file itself would end the locks that SQLite holds on it. It is
/// the system's and so ends with the process, however that ends.
fn lock(path: &Path) -> Result<File, JournalError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let beside = PathBuf::from(beside);
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    private(&mut options);
    let file = options.open(&beside).map_err(|found| {
        let hint = "hint: its folder must be there and writable";
        error(
            path,
            format!("{} could not be opened: {found}\n  {hint}", beside.display()),
        )
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(error(
            path,
            "another process writes to it\n  hint: stop the other autotune, or give this one a journal of its own",
        )),
        Err(TryLockError::Error(found)) => Err(error(
            path,
            format!("{} could not be locked: {found}", beside.display()),
        )),
    }
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

#[cfg(not(unix))]
fn private(_: &mut OpenOptions) {}

/// Makes the file before SQLite would, with its mode; what SQLite puts beside it gets the same.
fn create(path: &Path) -> io::Result<()> {
    if path.exists() {
        #[cfg(unix)]
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        return Ok(());
    }
    let mut options = OpenOptions::new();
    options.create_new(true).write(true);
    private(&mut options);
    options.open(path)?.sync_all()?;
    // The name is durable only with its folder.
    #[cfg(unix)]
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all()?,
        Some(_) | None => File::open(".")?.sync_all()?,
    }
    Ok(())
}

/// The version of a journal, 0 for an empty file; what is no journal or a newer one is refused.
fn version(connection: &Connection, path: &Path) -> Result<usize, JournalError> {
    let read = || -> Result<(i32, i64, i64), Failure> {
        connection.busy_timeout(BUSY)?;
        Ok((
            connection.query_row("PRAGMA application_id", [], |row| row.get(0))?,
            connection.query_row("PRAGMA user_version", [], |row| row.get(0))?,
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?,
        ))
    };
    let (application, version, tables) = read().map_err(|failure| failed(path, "be opened", &failure))?;
    if tables > 0 && application != APPLICATION_ID {
        let hint = "hint: give the journal another path";
        return Err(error(path, format!("found a SQLite file of another program\n  {hint}")));
    }
    let known = MIGRATIONS.len();
    usize::try_from(version)
        .ok()
        .filter(|version| *version <= known)
        .ok_or_else(|| {
            let hint = "hint: it is of a newer autotune; start that one, or move the file away";
            error(
                path,
                format!("found version {version}, expected at most {known}\n  {hint}"),
            )
        })
}

fn prepare(connection: &mut Connection) -> Result<(), Failure> {
    // Before anything else is written: both are laid down in the first page.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(64);
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    for (next, migration) in (1_i64..).zip(MIGRATIONS).skip(done) {
        let transaction = connection.transaction()?;
        if next == 3 {
            add_columns(&transaction)?;
        }
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", next)?;
        transaction.commit()?;
    }
    Ok(())
}

fn add_columns(transaction: &Transaction) -> Result<(), Failure> {
    for (table, column, added_by) in COLUMNS_OF_3 {
        let sql = "SELECT EXISTS (SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2)";
        let there: bool = transaction.query_row(sql, [table, column], |row| row.get(0))?;
        if !there {
            transaction.execute_batch(added_by)?;
        }
    }
    Ok(())
}

fn reader(path: &Path) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}
