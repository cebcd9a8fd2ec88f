//! `autotune explain`: what was decided, why, and how it ended.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::account::{self, Config};
use super::remote::{self, address, ask, escaped};
use super::{ExitStatus, Failed, Output, print, print_json, time};
use crate::clock;
use crate::explain::printable;
use crate::journal::{Asked, Decision, Journal, Moment};
use crate::units::Time;

/// Tell what was decided, why, and how it ended, newest last.
///
/// Reads the journal, also while a daemon writes it, or asks a daemon elsewhere with --url. A line with `*` is an update of an
/// environment with its outcome in brackets; the others are the reasons of that moment, one for each rejected option, also those
/// for doing nothing. Of a queue, those of its environments and SQS sources are told too.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  autotune explain --queue nightly                        why its jobs wait, or not
  autotune explain --environment spot --at 2026-03-28T09:00:00Z
  autotune explain --url http://tuner.internal:9464 --last 50 --output json")]
pub(super) struct Arguments {
    #[command(flatten)]
    config: Config,
    /// Only about this compute environment.
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Only about this job queue, its environments and its SQS sources.
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// As it was at this time, for example 2026-03-28T09:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Time>,
    /// At most this many decisions, and as many moments at which something was said [default: 10; with --at: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    last: Option<u16>,
    /// The journal's file [default: that of the settings].
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    journal: Option<PathBuf>,
    /// Ask a daemon elsewhere instead of reading its journal, for example http://127.0.0.1:9464.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// For people or for machines.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// What is told, oldest first: version 1 of the JSON document.
#[derive(Debug, Serialize)]
pub(super) struct Story {
    version: u32,
    decisions: Vec<Decision>,
    moments: Vec<Moment>,
}

impl Story {
    /// Of what was found, newest first.
    fn of(mut decisions: Vec<Decision>, mut moments: Vec<Moment>) -> Self {
        decisions.reverse();
        moments.reverse();
        Self {
            version: 1,
            decisions,
            moments,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
    let story = story(arguments)?;
    match arguments.output {
        Output::Table => print(&text(&story)),
        Output::Json => print_json(&story)?,
    }
    Ok(ExitStatus::Done)
}

/// What is asked for, from wherever it is to come.
pub(super) fn story(arguments: &Arguments) -> Result<Story, Failed> {
    let settings = arguments.config.settings()?;
    let asked = Asked {
        environment: arguments.environment.clone(),
        queue: arguments.queue.clone(),
        at: arguments.at,
        last: usize::from(arguments.last.unwrap_or(if arguments.at.is_some() { 1 } else { 10 })),
    };
    match &arguments.url {
        Some(url) => from_daemon(&address(Some(url), &settings)?, &asked),
        None => from_journal(arguments.journal.as_ref().unwrap_or(&settings.journal.path), &asked),
    }
}

fn from_journal(path: &std::path::Path, asked: &Asked) -> Result<Story, Failed> {
    let told = |error: crate::journal::JournalError| account::failure(error.to_string());
    let journal = Journal::read(path).map_err(told)?;
    let now = clock::now();
    let decisions = journal.decisions(asked).map_err(told)?;
    let moments = journal.moments(asked, now).map_err(told)?;
    if decisions.is_empty()
        && moments.iter().all(|moment| moment.reasons.is_empty())
        && let Some(message) = journal.stranger(asked, now).map_err(told)?
    {
        return Err(Failed {
            status: ExitStatus::BadInput,
            message,
        });
    }
    Ok(Story::of(decisions, moments))
}

fn from_daemon(url: &str, asked: &Asked) -> Result<Story, Failed> {
    let mut query = format!("?last={}", asked.last);
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
    let decisions = listed(&format!("{url}/api/v1/decisions{query}"))?;
    Ok(Story::of(decisions, listed(&format!("{url}/api/v1/moments{query}"))?))
}

fn listed<T: DeserializeOwned>(question: &str) -> Result<Vec<T>, Failed> {
    serde_json::from_str(&ask(question)?).map_err(|error| remote::not_ours(question, "story", &error))
}

/// Decisions and moments in the order of time.
pub(super) fn text(story: &Story) -> String {
    let mut lines: Vec<(Time, String)> = Vec::new();
    for decision in &story.decisions {
        let ended = decision.ending();
        let intent = &decision.intent;
        lines.push((
            intent.at,
            format!("{} * {} [{ended}]\n", intent.at, printable(&intent.sentence)),
        ));
    }
    for moment in &story.moments {
        let mut said = String::new();
        for reason in &moment.reasons {
            let _ = writeln!(said, "{}   {}", moment.at, printable(&reason.sentence));
        }
        if moment.reasons.is_empty() {
            let _ = writeln!(
                said,
                "{}   nothing waits, nothing is held back: there was nothing to say",
                moment.at
            );
        }
        if let Some(silence) = &moment.silence {
            let _ = writeln!(said, "{}   {}", moment.at, printable(&silence.sentence));
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
