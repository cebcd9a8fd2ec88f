//! `autotune trace`: what is in a recording, conversion, generators.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::reading::{Reading, load, say};
use super::{ExitStatus, Failed, Output, interrupt, print, print_json, remark};
use crate::trace::generate::{self, Days, Generator};
use crate::trace::{self, Limits, Quantiles, ReadOptions, ReadReport, Summary, Trace};
use crate::units::{Span, Time};

/// Arguments of `autotune trace`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what is in recordings and what is missing.
    Info {
        /// Recordings of any known kind, packed or not.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        #[command(flatten)]
        reading: Reading,
        /// How to print.
        #[arg(long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Write recordings as one file in this program's own format.
    Convert {
        /// Recordings of any known kind, packed or not.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        #[command(flatten)]
        reading: Reading,
        /// Where to; packed if it ends in .gz or .zst. Replaced if it exists.
        #[arg(long)]
        out: PathBuf,
    },
    /// Make up a recording: the same for the same seed, on every machine.
    Generate(Generate),
}

#[derive(Debug, Args)]
struct Generate {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Args)]
struct Making {
    /// What the random draws start from.
    #[arg(long)]
    seed: u64,
    /// How many days.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=3660))]
    days: u32,
    /// Where to; packed if it ends in .gz or .zst. Replaced if it exists.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// Batches of SQS messages, each of which becomes one array job.
    SqsArray {
        #[command(flatten)]
        making: Making,
        #[command(flatten)]
        kind: generate::SqsArray,
    },
    /// Objects that arrive, each starting a job that submits a fan-out and a fan-in.
    ObjectCreated {
        #[command(flatten)]
        making: Making,
        #[command(flatten)]
        kind: generate::ObjectCreated,
    },
    /// Small jobs, now and then, all day.
    Trickle {
        #[command(flatten)]
        making: Making,
        #[command(flatten)]
        kind: generate::Trickle,
    },
    /// One burst every night.
    Nightly {
        #[command(flatten)]
        making: Making,
        #[command(flatten)]
        kind: generate::Nightly,
    },
    /// Much by day, little by night.
    Diurnal {
        #[command(flatten)]
        making: Making,
        #[command(flatten)]
        kind: generate::Diurnal,
    },
    /// The load of `autotune demo`: rounds of four hours with bursts, graphs, small jobs and a quiet stretch.
    Demo {
        #[command(flatten)]
        making: Making,
        #[command(flatten)]
        kind: generate::Demo,
    },
}

/// Runs `autotune trace`.
pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
    interrupt::removes_partial_files()?;
    match &arguments.command {
        Command::Info { paths, reading, output } => info(paths, reading, *output),
        Command::Convert { paths, reading, out } => {
            let loaded = load(paths, &reading.options())?;
            say(&loaded.report);
            save(&loaded.trace, out)
        }
        Command::Generate(Generate { kind }) => {
            let (making, generator): (&Making, &dyn Generator) = match kind {
                Kind::SqsArray { making, kind } => (making, kind),
                Kind::ObjectCreated { making, kind } => (making, kind),
                Kind::Trickle { making, kind } => (making, kind),
                Kind::Nightly { making, kind } => (making, kind),
                Kind::Diurnal { making, kind } => (making, kind),
                Kind::Demo { making, kind } => (making, kind),
            };
            make(making, generator)
        }
    }
}

fn make(making: &Making, generator: &dyn Generator) -> Result<ExitStatus, Failed> {
    let days = Days(making.days);
    let (expected, most) = (generator.expected_jobs(days), Limits::default().jobs);
    if expected > most {
        return Err(Failed {
            status: ExitStatus::BadInput,
            message: format!(
                "found parameters that make about {expected} jobs, expected at most {most}\n  hint: fewer --days"
            ),
        });
    }
    save(&generator.generate(making.seed, days), &making.out)
}

fn save(trace: &Trace, out: &Path) -> Result<ExitStatus, Failed> {
    trace::save(trace, out).map_err(|unsaved| Failed {
        status: ExitStatus::Failure,
        message: format!("failed to {:#}", anyhow::Error::from(unsaved)),
    })?;
    remark(&format!("{} jobs written to {}", trace.jobs.len(), out.display()));
    Ok(ExitStatus::Done)
}

#[derive(Serialize)]
struct Info<'a> {
    summary: &'a Summary,
    report: &'a ReadReport,
}

fn info(paths: &[PathBuf], reading: &Reading, output: Output) -> Result<ExitStatus, Failed> {
    let options = ReadOptions {
        allow_missing_sizes: true,
        ..reading.options()
    };
    let loaded = load(paths, &options)?;
    let summary = loaded.trace.summary();
    match output {
        Output::Table => {
            print(&table(&summary, &loaded.report));
            say(&loaded.report);
        }
        Output::Json => print_json(&Info {
            summary: &summary,
            report: &loaded.report,
        })?,
    }
    Ok(ExitStatus::Done)
}

fn table(summary: &Summary, report: &ReadReport) -> String {
    let mut text = String::new();
    for file in &report.files {
        let _ = writeln!(
            text,
            "{:<14} {}: {}, {} records",
            "file",
            file.path.display(),
            file.format.name(),
            file.records
        );
    }
    for (name, value) in rows(summary, report) {
        let _ = writeln!(text, "{name:<14} {value}");
    }
    text
}

fn rows(summary: &Summary, report: &ReadReport) -> Vec<(&'static str, String)> {
    let (first, last) = (
        Time::from_millis(summary.first_submit_ms),
        Time::from_millis(summary.last_end_ms),
    );
    let waits = match (&summary.wait_ms, summary.jobs_without_wait()) {
        (Some(waits), 0) => spans(waits),
        (Some(waits), missing) => format!("{}; missing for {missing} jobs", spans(waits)),
        (None, _) => "missing".to_owned(),
    };
    let dependencies = match summary.dependencies {
        0 => "none: open loop, jobs arrive when they did".to_owned(),
        count => format!(
            "{count}, of {} jobs; {} jobs are submitted by others",
            summary.dependent_jobs, summary.spawned_jobs
        ),
    };
    let peak = format!(
        "{} jobs, {} vCPUs at once if nothing ever waited",
        summary.peak_jobs, summary.peak_vcpus
    );
    let special = format!(
        "{} jobs with GPUs, {} of several nodes",
        summary.gpu_jobs, summary.multi_node_jobs
    );
    vec![
        ("jobs", format!("{}, {} of them failed", summary.jobs, summary.failed)),
        (
            "span",
            format!(
                "{}: {first} to {last}, {:.1} jobs an hour",
                summary.length(),
                summary.jobs_per_hour()
            ),
        ),
        ("vCPUs", sizes(summary.vcpus.as_ref(), report.without_vcpus)),
        ("memory MiB", sizes(summary.memory_mib.as_ref(), report.without_memory)),
        (
            "work",
            format!("{:.1} vCPU-hours in {} sizes", summary.vcpu_hours, summary.shapes),
        ),
        ("run", spans(&summary.run_ms)),
        ("recorded wait", waits),
        ("dependencies", dependencies),
        (
            "arrays",
            format!("{} with {} children", summary.arrays, summary.array_children),
        ),
        ("special", special),
        ("SQS messages", summary.messages.to_string()),
        ("at most", peak),
        ("queues", queues(summary)),
    ]
}

/// The queues with the most jobs.
fn queues(summary: &Summary) -> String {
    const SHOWN: usize = 8;
    let mut queues = summary.queues.clone();
    queues.sort_by_key(|(_, jobs)| std::cmp::Reverse(*jobs));
    let named = queues
        .iter()
        .take(SHOWN)
        .map(|(name, jobs)| format!("{} ({jobs})", name.escape_debug()));
    let named: Vec<String> = named.collect();
    match queues.len().saturating_sub(SHOWN) {
        0 => named.join(", "),
        more => format!("{}, {more} more", named.join(", ")),
    }
}

fn sizes(quantiles: Option<&Quantiles>, missing: u64) -> String {
    let Some(Quantiles {
        min,
        p50,
        p90,
        p99,
        max,
    }) = quantiles
    else {
        return "missing".to_owned();
    };
    let known = format!("min {min}, p50 {p50}, p90 {p90}, p99 {p99}, max {max}");
    if missing > 0 {
        format!("{known}; missing for {missing} jobs")
    } else {
        known
    }
}

fn spans(quantiles: &Quantiles) -> String {
    let [min, p50, p90, p99, max] = [
        quantiles.min,
        quantiles.p50,
        quantiles.p90,
        quantiles.p99,
        quantiles.max,
    ]
    .map(Span::from_millis);
    format!("min {min}, p50 {p50}, p90 {p90}, p99 {p99}, max {max}")
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use crate::cli;

    #[test]
    fn the_arguments_of_every_subcommand_are_consistent() {
        cli::Arguments::command().debug_assert();
    }

    #[test]
    fn sizes_out_of_range_and_unknown_zones_are_refused() {
        let good = [
            "--vcpus 4",
            "--vcpus-per-attempt 2,4,8",
            "--time-zone Europe/Stockholm",
            "--columns run=length:min",
        ];
        let bad = [
            "--vcpus 0",
            "--vcpus many",
            "--time-zone Mars",
            "--columns run",
            "--start-at yesterday",
            "--memory-mib -1",
        ];
        let parses = |options: &str| {
            let words = format!("autotune trace info file {options}");
            cli::Arguments::try_parse_from(words.split(' ')).is_ok()
        };
        assert!(good.iter().all(|options| parses(options)));
        assert!(bad.iter().all(|options| !parses(options)));
    }

    #[test]
    fn every_situation_can_be_made_with_its_defaults() {
        for kind in ["sqs-array", "object-created", "trickle", "nightly", "diurnal", "demo"] {
            let words = format!("autotune trace generate {kind} --seed 1 --out file");
            assert!(cli::Arguments::try_parse_from(words.split(' ')).is_ok(), "{kind}");
        }
    }
}
