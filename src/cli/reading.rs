//! Arguments of every command that takes recordings, and what is said about reading them.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use jiff::tz::TimeZone;

use super::{ExitStatus, Failed, remark};
use crate::trace::{self, Columns, Limits, Loaded, Problem, ReadOptions, ReadReport, Sizes};
use crate::units::{Span, Time, Vcpus};

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
    /// Infer who submitted whom from times (Nextflow, Seqera), so that children follow their replayed parents. On 13 public
    /// WfCommons graphs 82 % of what it infers is true, 93 % on those of Nextflow.
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
    /// Whether warnings are errors.
    pub(super) const fn is_strict(&self) -> bool {
        self.strict
    }

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
