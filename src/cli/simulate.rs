//! `autotune simulate`: replays recordings under policies and compares them.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::reading::{Reading, load, say};
use super::{ExitStatus, Failed, interrupt, print, remark};
use crate::files::Unwritten;
use crate::input;
use crate::policy;
use crate::report::{Report, Timeline};
use crate::simulate::assertion::{self, Assertion, Known};
use crate::simulate::compare::{Candidate, Compared, Settings, Steers, compare, watch_one};
use crate::simulate::routes::{Route, route};
use crate::simulate::scenario::Scenario;
use crate::simulate::view::ViewModel;
use crate::simulate::world::World;
use crate::trace::Trace;
use crate::units::{Span, to_u64};

/// Replay recordings of jobs on a simulated account, under a policy and beside others.
///
/// Every policy meets the same luck: boots, reclaims and droughts depend on the seed, not on what a policy does. Figures are
/// simulated, with a model of AWS Batch that is named under every table.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Recordings of any known kind, packed or not; several make one.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    trace: Vec<PathBuf>,
    /// The account: a scenario file, or the name of one that comes with the program, such as spot-128.
    #[arg(long, value_name = "FILE|NAME")]
    scenario: PathBuf,
    /// The policy under test: a file, a folder, or the name of one that comes with the program, such as reactive.
    #[arg(long, value_name = "PATH|NAME")]
    policy: PathBuf,
    /// Further policies to compare with.
    #[arg(long, num_args = 1.., value_name = "PATH|NAME")]
    against: Vec<PathBuf>,
    /// Compare with AWS Batch alone (stock), with its scale-down delay, with static minima, with rules that others use, and
    /// with an oracle: the policy under test, told of arrivals a launch ahead. Or only with some: --baselines=stock,oracle.
    #[arg(long, num_args = 0.., require_equals = true, value_delimiter = ',', value_name = "NAMES")]
    baselines: Option<Vec<String>>,
    /// Send jobs of a recorded queue to this queue of the scenario; otherwise each goes to its namesake. May be given several
    /// times.
    #[arg(long = "queue", value_name = "RECORDED=SCENARIO")]
    routes: Vec<Route>,
    /// How many seeds to replay; several give intervals.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: u64,
    /// Let controllers see everything at once and without error. The difference is what imperfect sight costs.
    #[arg(long)]
    perfect_view: bool,
    /// How to print the comparison.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Also write what every environment and queue was like over time under the policy, for the first seed, as CSV.
    #[arg(long, value_name = "FILE")]
    timeline: Option<PathBuf>,
    /// Seconds of replayed time between two samples of the timeline.
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(1..))]
    timeline_every: i64,
    /// Claim something of the policy under test, for example 'avoidable_wait_p95 <= 60s' or 'cost <= 1.1 * stock'. Exit 1 if
    /// it does not hold. May be given several times.
    #[arg(long = "assert", value_name = "CLAIM")]
    assertions: Vec<String>,
    /// How many threads to use; all cores by default.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    #[command(flatten)]
    reading: Reading,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
    Csv,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
    interrupt::removes_partial_files()?;
    let (scenario, mut candidates) = inputs(arguments)?;
    let claims = claims(arguments, &scenario, &mut candidates)?;
    let mut loaded = load(&arguments.trace, &arguments.reading.options())?;
    say(&loaded.report);
    let unknown_queues = route(&scenario, &mut loaded.trace, &arguments.routes);
    let unknown_queues = unknown_queues.map_err(|problems| bad_input(&problems))?;
    let settings = Settings {
        seeds: (1..=arguments.seeds).collect(),
        view: if arguments.perfect_view {
            ViewModel::perfect()
        } else {
            ViewModel::recent()
        },
        threads: arguments
            .threads
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get)),
    };
    // Before the work, so that a place that cannot be written is told at once.
    let timeline = arguments
        .timeline
        .as_deref()
        .map(|path| Timeline::create(path, &scenario));
    let timeline = timeline.transpose().map_err(unwritten)?;
    let runs = candidates.len().saturating_mul(settings.seeds.len());
    let bar = progress_bar("replaying", loaded.trace.jobs.len().saturating_mul(runs));
    let compared = compare(&scenario, &loaded.trace, &candidates, &settings, &|ended| {
        bar.inc(to_u64(ended));
    });
    bar.finish_and_clear();
    let compared = compared.map_err(|problems| bad_input(&problems))?;
    if let (Some(timeline), Some(tested)) = (timeline, candidates.first()) {
        let every = Span::from_seconds(arguments.timeline_every);
        write_timeline((timeline, every), &scenario, &loaded.trace, tested, settings.view)?;
    }
    tell_notes(&compared);
    if arguments.reading.is_strict() {
        refuse_jobs_that_never_fit(&compared)?;
    }
    let report = Report {
        scenario: &arguments.scenario.display().to_string(),
        trace: &describe(&arguments.trace, &loaded.trace),
        model: &scenario.model,
        view: settings.view,
        seeds: &settings.seeds,
        compared: &compared,
        unknown_queues: unknown_queues.as_ref(),
    };
    print(&render(report, arguments.output)?);
    Ok(judge(&claims, &compared))
}

/// Scenario and candidates; fails with every problem of all files at once.
fn inputs(arguments: &Arguments) -> Result<(Scenario, Vec<Candidate>), Failed> {
    let mut problems = Vec::new();
    let scenario =
        Scenario::load(&arguments.scenario).map_err(|found| problems.extend(found.iter().map(ToString::to_string)));
    let mut candidates: Vec<Candidate> = Vec::new();
    for path in std::iter::once(&arguments.policy).chain(&arguments.against) {
        match policy::load(path) {
            Ok(policy) => {
                let name = name_of(path, &candidates);
                candidates.push(Candidate::new(&name, Steers::Policy(policy)));
            }
            Err(found) => problems.extend(found.iter().map(ToString::to_string)),
        }
    }
    match scenario {
        Ok(scenario) if problems.is_empty() => {
            let chosen = chosen_baselines(arguments, &candidates)?;
            candidates.extend(chosen);
            Ok((scenario, candidates))
        }
        Ok(_) | Err(()) => Err(bad_input(&problems)),
    }
}

/// The file's name without its ending; the whole path where that name is taken.
fn name_of(path: &Path, taken: &[Candidate]) -> String {
    let stem = path.file_stem().map_or_else(
        || path.display().to_string(),
        |stem| stem.to_string_lossy().into_owned(),
    );
    if taken.iter().any(|other| other.name == stem) {
        path.display().to_string()
    } else {
        stem
    }
}

/// The baselines that `--baselines` asks for.
fn chosen_baselines(arguments: &Arguments, candidates: &[Candidate]) -> Result<Vec<Candidate>, Failed> {
    let Some(wanted) = &arguments.baselines else {
        return Ok(Vec::new());
    };
    let mut all = baselines(candidates);
    let known: Vec<&str> = all.iter().map(|baseline| baseline.name.as_str()).collect();
    let unknown = wanted.iter().filter(|name| !known.contains(&name.as_str()));
    let problems: Vec<String> = unknown
        .map(|name| {
            format!(
                "--baselines: found {}, expected some of {}",
                input::quoted(name),
                known.join(", ")
            )
        })
        .collect();
    if !problems.is_empty() {
        return Err(bad_input(&problems));
    }
    all.retain(|baseline| wanted.is_empty() || wanted.contains(&baseline.name));
    Ok(all)
}

/// All baselines; the oracle plans with the policy under test.
fn baselines(candidates: &[Candidate]) -> Vec<Candidate> {
    match candidates.first().map(|tested| &tested.steers) {
        Some(Steers::Policy(policy)) => Candidate::baselines(policy),
        Some(_) | None => Vec::new(),
    }
}

/// Reads the claims, and adds the baselines that they name.
fn claims(
    arguments: &Arguments,
    scenario: &Scenario,
    candidates: &mut Vec<Candidate>,
) -> Result<Vec<Assertion>, Failed> {
    for baseline in baselines(candidates) {
        let named = arguments
            .assertions
            .iter()
            .any(|claim| words(claim).any(|word| word == baseline.name));
        if named && candidates.iter().all(|candidate| candidate.name != baseline.name) {
            candidates.push(baseline);
        }
    }
    let known: Vec<&str> = candidates.iter().map(|candidate| candidate.name.as_str()).collect();
    let queues: Vec<&str> = scenario.queues.iter().map(|queue| queue.name.as_str()).collect();
    let texts = arguments.assertions.iter().map(String::as_str);
    let known = Known {
        candidates: &known,
        queues: &queues,
    };
    assertion::parse(texts, known).map_err(|problems| Failed {
        status: ExitStatus::BadInput,
        message: input::render(&problems),
    })
}

fn words(claim: &str) -> impl Iterator<Item = &str> {
    claim
        .split(|c: char| c.is_whitespace() || "*<>=!".contains(c))
        .filter(|word| !word.is_empty())
}

fn write_timeline(
    (mut timeline, every): (Timeline, Span),
    scenario: &Scenario,
    trace: &Trace,
    tested: &Candidate,
    view: ViewModel,
) -> Result<(), Failed> {
    let bar = progress_bar("timeline", trace.jobs.len());
    let mut sample = |world: &World<'_>| {
        timeline.sample(world);
        bar.set_position(to_u64(world.ended_jobs()));
    };
    let watched = watch_one(scenario, trace, tested, view, 1, (every, &mut sample));
    bar.finish_and_clear();
    watched.map_err(|problems| bad_input(&problems))?;
    timeline.finish().map_err(unwritten)
}

fn unwritten(error: Unwritten) -> Failed {
    Failed {
        status: ExitStatus::Failure,
        message: format!("failed to {:#}", anyhow::Error::from(error)),
    }
}

/// Under `--strict`, a job that no environment can hold is an error; otherwise it is counted under the table.
fn refuse_jobs_that_never_fit(compared: &[Compared]) -> Result<(), Failed> {
    let most = compared
        .iter()
        .flat_map(|candidate| &candidate.runs)
        .map(|run| run.never_fits)
        .max()
        .unwrap_or(0);
    if most == 0 {
        return Ok(());
    }
    let found = format!("found {most} jobs that no environment of the scenario can hold, expected none with --strict");
    let hint = "allow larger instance types, or replay such jobs in parts with --split-above";
    Err(bad_input(&[format!("{found}\n  hint: {hint}")]))
}

fn tell_notes(compared: &[Compared]) {
    for candidate in compared {
        for note in &candidate.notes {
            remark(&format!("note: {}: {note}", candidate.name));
        }
    }
}

fn describe(paths: &[PathBuf], trace: &Trace) -> String {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    format!("{} ({} jobs)", names.join(", "), trace.jobs.len())
}

fn render(report: Report<'_>, output: Output) -> Result<String, Failed> {
    let failed = |message: String| Failed {
        status: ExitStatus::Failure,
        message,
    };
    match output {
        Output::Table => Ok(report.table()),
        Output::Json => report
            .json()
            .map(|text| format!("{text}\n"))
            .map_err(|error| failed(error.to_string())),
        Output::Csv => {
            // Rows have no place for it.
            if let Some(note) = report.unknown_queues() {
                remark(&format!("note: {note}"));
            }
            report.csv().map_err(|error| failed(error.to_string()))
        }
    }
}

/// Says how the claims went, on standard error.
fn judge(claims: &[Assertion], compared: &[Compared]) -> ExitStatus {
    let mut status = ExitStatus::Done;
    for claim in claims {
        let verdict = claim.check(compared);
        remark(&verdict.to_string());
        if !verdict.held {
            status = ExitStatus::Findings;
        }
    }
    status
}

fn bad_input(problems: &[String]) -> Failed {
    Failed {
        status: ExitStatus::BadInput,
        message: problems.join("\n"),
    }
}

/// A bar on standard error that counts jobs; invisible where that is no terminal.
fn progress_bar(what: &'static str, jobs: usize) -> ProgressBar {
    let bar = ProgressBar::new(to_u64(jobs)).with_message(what);
    let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = write!(out, "{:.0} jobs/s", state.per_sec());
    };
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {human_pos}/{human_len} jobs, {rate}, {elapsed}") {
        bar.set_style(style.with_key("rate", rate));
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    bar
}
