//! `autotune trace`: what is in a recording, conversion, generators.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use jiff::tz::TimeZone;
use serde::Serialize;

use super::{ExitStatus, Failed, print, remark};
use crate::trace::generate::{self, Days, Generator};
use crate::trace::{self, Columns, Limits, Loaded, Problem, Quantiles, ReadOptions, ReadReport, Sizes, Summary, Trace};
use crate::units::{Span, Time, Vcpus};

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

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// How to read recordings; shared by every command that takes some.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reading recordings")]
pub(super) struct Reading {
    /// Make errors of warnings.
    #[arg(long)]
    strict: bool,
    /// vCPUs of jobs whose recording holds none.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
    vcpus: Option<i64>,
    /// vCPUs by attempt, for jobs whose recording holds none: the last number holds for all further attempts.
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
    vcpus_per_attempt: Vec<i64>,
    /// Memory in MiB of jobs whose recording holds none.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(i64).range(1..=1_000_000_000))]
    memory_mib: Option<i64>,
    /// Memory in MiB per vCPU of jobs whose recording holds none.
    #[arg(long, value_name = "MIB", conflicts_with = "memory_mib", value_parser = clap::value_parser!(i64).range(1..=1_000_000_000))]
    memory_per_vcpu_mib: Option<i64>,
    /// Take the memory that jobs were seen to use where the recording holds no request.
    #[arg(long)]
    memory_from_use: bool,
    /// The sizes given here win over those of the recording.
    #[arg(long)]
    override_size: bool,
    /// Replay jobs with more vCPUs as equal parts that start independently.
    #[arg(long, value_name = "VCPUS", value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
    split_above: Option<i64>,
    /// Infer who submitted whom from times (Nextflow, Seqera), so that children follow their replayed parents.
    #[arg(long)]
    rebuild_dependencies: bool,
    /// Longest time between a parent's end and its child's submission when dependencies are inferred, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(i64).range(0..=86_400))]
    rebuild_window: i64,
    /// Submit all jobs of a workflow graph at its start, to wait as PENDING, instead of when their parents have ended.
    #[arg(long)]
    submit_ahead: bool,
    /// Time zone (IANA name) of times that name none.
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = time_zone)]
    time_zone: TimeZone,
    /// Start of recordings whose times count from an unknown moment, for example 2024-03-01T00:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    start_at: Option<Time>,
    /// Which column of a table is what: role=column[:unit],... with the roles submit, start, end, wait, run, vcpus, gpus,
    /// memory, memory_used, name, queue, attempt, exit, status.
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    columns: Columns,
    /// Most jobs to read.
    #[arg(long, value_name = "N", default_value_t = Limits::default().jobs)]
    max_jobs: u64,
    /// Most bytes of one file after unpacking.
    #[arg(long, value_name = "N", default_value_t = Limits::default().bytes)]
    max_bytes: u64,
    /// Most bytes that one packed byte may become.
    #[arg(long, value_name = "N", default_value_t = Limits::default().ratio)]
    max_ratio: u64,
    /// Most bytes of one line.
    #[arg(long, value_name = "N", default_value_t = Limits::default().line_bytes)]
    max_line_bytes: u64,
    /// Most bytes of one JSON document.
    #[arg(long, value_name = "N", default_value_t = Limits::default().document_bytes)]
    max_document_bytes: u64,
}

fn time_zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| "expected an IANA name such as Europe/Stockholm".to_owned())
}

fn timestamp(text: &str) -> Result<Time, String> {
    let parsed: Result<jiff::Timestamp, _> = text.parse();
    parsed
        .map(|timestamp| Time::from_millis(timestamp.as_millisecond()))
        .map_err(|_| "expected a time with its zone such as 2024-03-01T00:00:00Z".to_owned())
}

impl Reading {
    /// The options that these arguments ask for.
    pub(super) fn options(&self) -> ReadOptions {
        ReadOptions {
            strict: self.strict,
            allow_missing_sizes: false,
            sizes: Sizes {
                vcpus: self.vcpus,
                vcpus_per_attempt: self.vcpus_per_attempt.clone(),
                memory_mib: self.memory_mib,
                memory_per_vcpu_mib: self.memory_per_vcpu_mib,
                memory_from_use: self.memory_from_use,
                override_recorded: self.override_size,
            },
            split_above: self.split_above.map(Vcpus::new),
            rebuild_dependencies: self.rebuild_dependencies,
            rebuild_window: Span::from_seconds(self.rebuild_window),
            submit_ahead: self.submit_ahead,
            time_zone: self.time_zone.clone(),
            start_at: self.start_at,
            columns: self.columns.clone(),
            limits: Limits {
                jobs: self.max_jobs,
                bytes: self.max_bytes,
                ratio: self.max_ratio,
                line_bytes: self.max_line_bytes,
                document_bytes: self.max_document_bytes,
            },
        }
    }
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
}

/// Runs `autotune trace`.
pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
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

/// Reads recordings; failure names every problem.
pub(super) fn load(paths: &[PathBuf], options: &ReadOptions) -> Result<Loaded, Failed> {
    trace::read(paths, options).map_err(|problems| Failed {
        status: if problems.iter().any(|problem| problem.unreadable) {
            ExitStatus::Failure
        } else {
            ExitStatus::BadInput
        },
        message: problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"),
    })
}

/// Says on standard error what was repaired, skipped and assumed.
pub(super) fn say(report: &ReadReport) {
    for line in remarks(report) {
        remark(&line);
    }
}

fn remarks(report: &ReadReport) -> Vec<String> {
    let line = |(kind, count): (&trace::Remark, &trace::Count)| {
        let word = if kind.is_warning() { "warning" } else { "note" };
        let mut text = format!("{word}: {} {}", count.count, kind.sentence());
        if !count.example.is_empty() {
            let at = if count.line > 0 {
                format!(":{}", count.line)
            } else {
                String::new()
            };
            let _ = write!(text, " (first: {}{at}: {})", count.path.display(), count.example);
        }
        text
    };
    report.remarks.iter().map(line).collect()
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
        Output::Json => {
            let info = Info {
                summary: &summary,
                report: &loaded.report,
            };
            let mut text = serde_json::to_string_pretty(&info).map_err(|error| Failed {
                status: ExitStatus::Failure,
                message: format!("failed to write JSON: {error}"),
            })?;
            text.push('\n');
            print(&text);
        }
    }
    Ok(ExitStatus::Done)
}

fn table(summary: &Summary, report: &ReadReport) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<14} {value}");
    };
    for file in &report.files {
        row(
            "file",
            format!(
                "{}: {}, {} records",
                file.path.display(),
                file.format.name(),
                file.records
            ),
        );
    }
    row("jobs", format!("{}, {} of them failed", summary.jobs, summary.failed));
    let (first, last) = (
        Time::from_millis(summary.first_submit_ms),
        Time::from_millis(summary.last_end_ms),
    );
    row(
        "span",
        format!(
            "{}: {first} to {last}, {:.1} jobs an hour",
            summary.length(),
            summary.jobs_per_hour()
        ),
    );
    row("vCPUs", sizes(&summary.vcpus, report.without_vcpus));
    row("memory MiB", sizes(&summary.memory_mib, report.without_memory));
    row(
        "work",
        format!("{:.1} vCPU-hours in {} sizes", summary.vcpu_hours, summary.shapes),
    );
    row("run", spans(&summary.run_ms));
    let missing = summary.jobs_without_wait();
    row(
        "recorded wait",
        match &summary.wait_ms {
            Some(waits) if missing == 0 => spans(waits),
            Some(waits) => format!("{}; missing for {missing} jobs", spans(waits)),
            None => "missing".to_owned(),
        },
    );
    let submitted = summary.spawned_jobs;
    row(
        "dependencies",
        match summary.dependencies {
            0 => "none recorded: open loop, jobs arrive when they did".to_owned(),
            count => format!(
                "{count} of {} jobs; {submitted} jobs are submitted by others",
                summary.dependent_jobs
            ),
        },
    );
    row(
        "arrays",
        format!("{} with {} children", summary.arrays, summary.array_children),
    );
    row(
        "special",
        format!(
            "{} jobs with GPUs, {} of several nodes",
            summary.gpu_jobs, summary.multi_node_jobs
        ),
    );
    row("SQS messages", summary.messages.to_string());
    row(
        "at most",
        format!(
            "{} jobs, {} vCPUs at once if nothing ever waited",
            summary.peak_jobs, summary.peak_vcpus
        ),
    );
    let mut queues = summary.queues.clone();
    queues.sort_by_key(|(_, jobs)| std::cmp::Reverse(*jobs));
    let named: Vec<String> = queues
        .iter()
        .take(8)
        .map(|(name, jobs)| format!("{} ({jobs})", name.escape_debug()))
        .collect();
    let more = queues.len().saturating_sub(named.len());
    row(
        "queues",
        if more > 0 {
            format!("{}, {more} more", named.join(", "))
        } else {
            named.join(", ")
        },
    );
    text
}

fn sizes(quantiles: &Quantiles, missing: u64) -> String {
    let Quantiles {
        min,
        p50,
        p90,
        p99,
        max,
    } = quantiles;
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
