//! `autotune record`: what a daemon saw of jobs, as a recording that `simulate` replays.

use std::path::PathBuf;

use super::account::{self, Account};
use super::interrupt;
use super::{ExitStatus, Failed, remark};
use crate::journal::Journal;
use crate::units::Time;

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
    /// Write the names of queues, jobs and definitions as they are.
    #[arg(long)]
    keep_names: bool,
    /// The journal's file [default: that of the settings].
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
}

fn time(text: &str) -> Result<Time, String> {
    Time::parse(text).ok_or_else(|| "expected a time such as 2026-03-28T09:00:00Z".to_owned())
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
    interrupt::removes_partial_files()?;
    let settings = arguments.account.settings()?;
    let path = arguments.journal.as_ref().unwrap_or(&settings.journal.path);
    let told = |error: crate::journal::JournalError| account::failure(error.to_string());
    let journal = Journal::read(path).map_err(told)?;
    let (from, to) = (
        arguments.from.unwrap_or(Time::FAR_PAST),
        arguments.to.unwrap_or(Time::FAR_FUTURE),
    );
    let exported = journal
        .export(from, to, arguments.keep_names, &arguments.out)
        .map_err(told)?;
    let left = exported.left_out;
    let counts = [
        (left.unseen, "children of arrays that were never seen"),
        (left.unsubmitted, "jobs of unknown submit time"),
        (left.unstarted, "jobs of unknown start"),
        (left.unfinished, "jobs that have not ended"),
        (left.never_ran, "jobs that never ran"),
        (left.dependencies, "dependencies on jobs that are not there"),
    ];
    remark(&format!(
        "{}: {} jobs",
        arguments.out.display(),
        exported.trace.jobs.len()
    ));
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        remark(&format!("left out: {count} {what}"));
    }
    if exported.without_size > 0 {
        remark(&format!(
            "{} jobs have no size: `simulate` has to be told one",
            exported.without_size
        ));
    }
    Ok(ExitStatus::Done)
}
