//! `autotune record`: what a daemon saw of jobs, as a recording that `simulate` replays.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::account::{self, Config};
use super::interrupt;
use super::remote::{self, address, escaped, stream};
use super::{ExitStatus, Failed, Output, print_json, remark, time};
use crate::journal::Journal;
use crate::settings::Settings;
use crate::trace::{self, LeftOut, ReadOptions, Remark, Trace, native};
use crate::units::{Time, to_u64};

/// A header line has a version and some counts.
const MOST_HEADER: u64 = 4096;

/// Write the jobs that a daemon saw as a recording that `simulate` replays.
///
/// From its journal, also while it writes, or over its JSON API with --url. Names become hashes with a random key that nobody keeps;
/// over HTTP always, because whoever asks there has not logged in.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  autotune record --out day.jsonl.gz --from 2026-03-28T00:00:00Z --to 2026-03-29T00:00:00Z
  autotune record --out day.jsonl.gz --url http://tuner.internal:9464")]
pub(super) struct Arguments {
    #[command(flatten)]
    config: Config,
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
    /// How to say what was written and what was left out.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// What was written.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Written {
    pub(super) jobs: usize,
    pub(super) left_out: LeftOut,
    pub(super) without_size: u64,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
    interrupt::removes_partial_files()?;
    let written = write(arguments)?;
    match arguments.output {
        Output::Table => say(&arguments.out, &written),
        Output::Json => print_json(&Document {
            version: 1,
            file: &arguments.out.to_string_lossy(),
            written,
        })?,
    }
    Ok(ExitStatus::Done)
}

/// Version 1 of the JSON document.
#[derive(Debug, Serialize)]
struct Document<'a> {
    version: u32,
    file: &'a str,
    #[serde(flatten)]
    written: Written,
}

fn say(out: &Path, written: &Written) {
    let left = written.left_out;
    let counts = [
        (left.unseen, "children of arrays that were never seen"),
        (left.unsubmitted, "jobs of unknown submit time"),
        (left.unstarted, "jobs of unknown start"),
        (left.unfinished, "jobs that have not ended"),
        (left.never_ran, "jobs that never ran"),
        (left.dependencies, "dependencies on jobs that are not there"),
    ];
    remark(&format!("{}: {} jobs", out.display(), written.jobs));
    if left.unfollowed > 0 {
        let most = left.unfollowed;
        remark(&format!(
            "{most} jobs or more, of each queue at its worst, were too many to follow: some of them may be missing"
        ));
    }
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        remark(&format!("left out: {count} {what}"));
    }
    if written.without_size > 0 {
        remark(&format!(
            "{} jobs have no size: `simulate` has to be told one",
            written.without_size
        ));
    }
}

/// Writes the file.
pub(super) fn write(arguments: &Arguments) -> Result<Written, Failed> {
    let settings = arguments.config.settings()?;
    if let (Some(from), Some(to)) = (arguments.from, arguments.to)
        && from >= to
    {
        return Err(Failed {
            status: ExitStatus::BadInput,
            message: format!("--to: found {to}, expected a time after --from, {from}"),
        });
    }
    match &arguments.url {
        Some(url) => from_daemon(&address(Some(url), &settings)?, arguments),
        None => from_journal(&settings, arguments),
    }
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
    take(stream(&question)?, &question, &arguments.out)
}

/// Writes what was answered to a question, if it is a whole recording.
pub(super) fn take(answer: impl Read, question: &str, out: &Path) -> Result<Written, Failed> {
    let io = |error: std::io::Error| account::failure(format!("{question}: {error}"));
    let mut answer = BufReader::new(answer);
    let mut copy = tempfile::Builder::new().suffix(".jsonl").tempfile().map_err(io)?;
    let mut head = String::new();
    // A header is a short line; a page of somebody else need not have lines at all.
    answer.by_ref().take(MOST_HEADER).read_line(&mut head).map_err(io)?;
    let (announced, left_out) = native::announced(&head)
        .ok_or_else(|| remote::not_ours(question, "recording", &"it does not begin with the header of one"))?;
    if announced == Some(0) {
        return save(&Trace::default(), left_out, out);
    }
    copy.write_all(head.as_bytes()).map_err(io)?;
    std::io::copy(&mut answer, &mut copy).map_err(io)?;
    copy.flush().map_err(io)?;
    let options = ReadOptions {
        allow_missing_sizes: true,
        ..ReadOptions::default()
    };
    let loaded = trace::read(&[copy.path().to_owned()], &options).map_err(|problems| {
        let first = problems.first().map(ToString::to_string).unwrap_or_default();
        remote::not_ours(question, "recording", &first)
    })?;
    if loaded.report.remarks.contains_key(&Remark::Incomplete) {
        return Err(account::failure(format!(
            "{question}: the answer was cut short; ask again"
        )));
    }
    save(&loaded.trace, left_out, out)
}

fn save(trace: &Trace, left_out: LeftOut, out: &Path) -> Result<Written, Failed> {
    trace::save_recording(trace, left_out, out)
        .map_err(|error| account::failure(format!("could not {error}: {}", error.source)))?;
    let unsized_jobs = trace.jobs.iter().filter(|job| {
        let size = trace.shape_of(job).resources;
        size.vcpus.get() <= 0 || size.memory.get() <= 0
    });
    Ok(Written {
        jobs: trace.jobs.len(),
        left_out,
        without_size: to_u64(unsized_jobs.count()),
    })
}
