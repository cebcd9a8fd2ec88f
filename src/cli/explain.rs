//! `autotune explain`: what was decided, why, and how it ended.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::ValueEnum;
use serde::Serialize;

use super::account::{self, Account};
use super::status::{address, ask};
use super::{ExitStatus, Failed, print};
use crate::control::Outcome;
use crate::explain::printable;
use crate::journal::{Asked, Decision, Journal, Tick};
use crate::units::Time;

/// Tells from the journal what was decided, why, and how it ended: newest last, one line per rejected option.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    account: Account,
    /// Only about this compute environment.
    #[arg(long)]
    environment: Option<String>,
    /// Only about this job queue.
    #[arg(long)]
    queue: Option<String>,
    /// As it was at this time, for example 2026-03-28T09:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Time>,
    /// At most this many decisions, and as many moments at which something was said.
    #[arg(long, value_name = "N", default_value_t = 10)]
    last: usize,
    /// The journal's file [default: that of the settings].
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    journal: Option<PathBuf>,
    /// Ask a daemon elsewhere instead of reading its journal. Tells decisions only.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// For people or for machines.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// Sentences.
    Table,
    /// One JSON document.
    Json,
}

fn time(text: &str) -> Result<Time, String> {
    Time::parse(text).ok_or_else(|| "expected a time such as 2026-03-28T09:00:00Z".to_owned())
}

/// What is told.
#[derive(Debug, Default, Serialize)]
struct Story {
    decisions: Vec<Decision>,
    moments: Vec<Moment>,
}

#[derive(Debug, Serialize)]
struct Moment {
    at: Time,
    reasons: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
    let settings = arguments.account.settings()?;
    let asked = Asked {
        environment: arguments.environment.clone(),
        queue: arguments.queue.clone(),
        at: arguments.at,
        last: arguments.last,
    };
    let story = match &arguments.url {
        Some(url) => from_daemon(&address(Some(url), &settings)?, &asked)?,
        None => from_journal(arguments.journal.as_ref().unwrap_or(&settings.journal.path), &asked)?,
    };
    match arguments.output {
        Output::Table => print(&text(&story)),
        Output::Json => {
            let text = serde_json::to_string_pretty(&story).map_err(|error| account::failure(error.to_string()))?;
            print(&(text + "\n"));
        }
    }
    Ok(ExitStatus::Done)
}

fn from_journal(path: &std::path::Path, asked: &Asked) -> Result<Story, Failed> {
    let journal = Journal::read(path).map_err(|error| account::failure(error.to_string()))?;
    let told = |error: crate::journal::JournalError| account::failure(error.to_string());
    let mut decisions = journal.decisions(asked).map_err(told)?;
    let mut ticks = journal.ticks(asked).map_err(told)?;
    decisions.reverse();
    ticks.reverse();
    let moment = |tick: Tick| Moment {
        at: tick.at,
        reasons: tick.reasons.into_iter().map(|said| said.sentence).collect(),
    };
    Ok(Story {
        decisions,
        moments: ticks.into_iter().map(moment).collect(),
    })
}

fn from_daemon(url: &str, asked: &Asked) -> Result<Story, Failed> {
    let mut query = format!("{url}/api/v1/decisions?last={}", asked.last);
    let at = asked.at.map(|at| at.to_string());
    for (key, value) in [
        ("environment", &asked.environment),
        ("queue", &asked.queue),
        ("at", &at),
    ] {
        if let Some(value) = value {
            let _ = write!(query, "&{key}={}", escaped(value));
        }
    }
    let mut decisions: Vec<Decision> = serde_json::from_str(&ask(&query)?)
        .map_err(|error| account::failure(format!("{url} answers what are no decisions: {error}")))?;
    decisions.reverse();
    Ok(Story {
        decisions,
        moments: Vec::new(),
    })
}

/// A value of a query, percent-encoded.
fn escaped(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// How an update ended, in a word.
const fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted => "accepted",
        Outcome::Raced => "refused, Batch had moved meanwhile",
        Outcome::Overshoot => "refused while desired stands above max",
        Outcome::Throttled => "throttled",
        Outcome::Failed => "failed",
    }
}

/// Decisions and moments in the order of time.
fn text(story: &Story) -> String {
    let mut lines: Vec<(Time, String)> = Vec::new();
    for decision in &story.decisions {
        let ended = decision.ended.as_ref().map_or_else(
            || "no answer is known".to_owned(),
            |ended| {
                let why = if ended.message.is_empty() {
                    String::new()
                } else {
                    format!(": {}", printable(&ended.message))
                };
                format!("{}{why}", word(ended.outcome))
            },
        );
        let intent = &decision.intent;
        lines.push((
            intent.at,
            format!("{} * {} [{ended}]\n", intent.at, printable(&intent.sentence)),
        ));
    }
    for moment in &story.moments {
        let mut said = String::new();
        for reason in &moment.reasons {
            let _ = writeln!(said, "{}   {}", moment.at, printable(reason));
        }
        lines.push((moment.at, said));
    }
    lines.sort_by_key(|(at, _)| *at);
    let text: String = lines.into_iter().map(|(_, line)| line).collect();
    if text.is_empty() {
        return "nothing was decided and nothing was said that this asks for\n".to_owned();
    }
    text
}
