//! `autotune record`: what a daemon saw of jobs, as a recording that `simulate` replays.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;

use super::account::{self, Account};
use super::interrupt;
use super::remote::{self, address, escaped, stream};
use super::{ExitStatus, Failed, remark};
use crate::journal::Journal;
use crate::settings::Settings;
use crate::trace::{self, LeftOut, ReadOptions, Remark, native};
use crate::units::{Time, to_u64};

/// A header line has a version and some counts.
const MOST_HEADER: u64 = 4096;

/// Writes the jobs in a daemon's journal as a native recording. Names become hashes, with a key that nobody keeps.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    account: Account,
    /// The file to write; `.gz` and `.zst` are packed.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Jobs submitted at this time or later.
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Time>,
    /// Jobs submitted before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Time>,
    /// Write the names of queues, jobs and definitions as they are. Not over HTTP: only beside the journal.
    #[arg(long, conflicts_with = "url")]
    keep_names: bool,
    /// The journal's file [default: that of the settings].
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    journal: Option<PathBuf>,
    /// Ask a daemon elsewhere instead of reading its journal, for example http://127.0.0.1:9464.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

fn time(text: &str) -> Result<Time, String> {
    Time::parse(text).ok_or_else(|| "expected a time such as 2026-03-28T09:00:00Z".to_owned())
}

/// What was written.
struct Written {
    jobs: usize,
    left_out: LeftOut,
    without_size: u64,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
    interrupt::removes_partial_files()?;
    let settings = arguments.account.settings()?;
    if let (Some(from), Some(to)) = (arguments.from, arguments.to)
        && from >= to
    {
        return Err(Failed {
            status: ExitStatus::BadInput,
            message: format!("--to: found {to}, expected a time after --from, {from}"),
        });
    }
    let written = match &arguments.url {
        Some(url) => from_daemon(&address(Some(url), &settings)?, arguments)?,
        None => from_journal(&settings, arguments)?,
    };
    let left = written.left_out;
    let counts = [
        (left.unseen, "children of arrays that were never seen"),
        (left.unsubmitted, "jobs of unknown submit time"),
        (left.unstarted, "jobs of unknown start"),
        (left.unfinished, "jobs that have not ended"),
        (left.never_ran, "jobs that never ran"),
        (left.dependencies, "dependencies on jobs that are not there"),
    ];
    remark(&format!("{}: {} jobs", arguments.out.display(), written.jobs));
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        remark(&format!("left out: {count} {what}"));
    }
    if written.without_size > 0 {
        remark(&format!(
            "{} jobs have no size: `simulate` has to be told one",
            written.without_size
        ));
    }
    Ok(ExitStatus::Done)
}

fn from_journal(settings: &Settings, arguments: &Arguments) -> Result<Written, Failed> {
    let path = arguments.journal.as_ref().unwrap_or(&settings.journal.path);
    let told = |error: crate::journal::JournalError| account::failure(error.to_string());
    let journal = Journal::read(path).map_err(told)?;
    let (from, to) = (
        arguments.from.unwrap_or(Time::FAR_PAST),
        arguments.to.unwrap_or(Time::FAR_FUTURE),
    );
    let exported = journal.export(from, to, arguments.keep_names, &arguments.out);
    let exported = exported.map_err(told)?;
    Ok(Written {
        jobs: exported.trace.jobs.len(),
        left_out: exported.left_out,
        without_size: exported.without_size,
    })
}

/// Nothing is written before all of the answer is there and makes a sound trace.
fn from_daemon(url: &str, arguments: &Arguments) -> Result<Written, Failed> {
    let mut question = format!("{url}/api/v1/trace");
    for (key, time) in [("from", arguments.from), ("to", arguments.to)] {
        if let Some(time) = time {
            let mark = if question.contains('?') { '&' } else { '?' };
            // Writing to a string does not fail.
            let _ = write!(question, "{mark}{key}={}", escaped(&time.to_string()));
        }
    }
    let io = |error: std::io::Error| account::failure(format!("{question}: {error}"));
    let mut answer = BufReader::new(stream(&question)?);
    let mut copy = tempfile::Builder::new().suffix(".jsonl").tempfile().map_err(io)?;
    let mut head = String::new();
    // A header is a short line; a page of somebody else need not have lines at all.
    answer.by_ref().take(MOST_HEADER).read_line(&mut head).map_err(io)?;
    let left_out = native::left_out(&head)
        .ok_or_else(|| remote::not_ours(&question, "recording", &"it does not begin with the header of one"))?;
    copy.write_all(head.as_bytes()).map_err(io)?;
    std::io::copy(&mut answer, &mut copy).map_err(io)?;
    copy.flush().map_err(io)?;
    let options = ReadOptions {
        allow_missing_sizes: true,
        ..ReadOptions::default()
    };
    let loaded = trace::read(&[copy.path().to_owned()], &options).map_err(|problems| {
        let first = problems.first().map(ToString::to_string).unwrap_or_default();
        remote::not_ours(&question, "recording", &first)
    })?;
    if loaded.report.remarks.contains_key(&Remark::Incomplete) {
        return Err(account::failure(format!(
            "{question}: the answer was cut short; ask again"
        )));
    }
    trace::save_recording(&loaded.trace, left_out, &arguments.out)
        .map_err(|error| account::failure(format!("could not {error}: {}", error.source)))?;
    let unsized_jobs = loaded.trace.jobs.iter().filter(|job| {
        let size = loaded.trace.shape_of(job).resources;
        size.vcpus.get() <= 0 || size.memory.get() <= 0
    });
    Ok(Written {
        jobs: loaded.trace.jobs.len(),
        left_out,
        without_size: to_u64(unsized_jobs.count()),
    })
}
