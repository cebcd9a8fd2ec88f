//! `autotune simulate`: replays recordings under policies and compares them.

use std::path::PathBuf;

use clap::Args;

use super::reading::{Reading, load, say};
use super::{ExitStatus, Failed, print};
use crate::policy;
use crate::simulate::compare::{Candidate, Settings, Steers, compare};
use crate::simulate::scenario::Scenario;
use crate::simulate::view::ViewModel;

/// Replay recordings of jobs on a simulated account and compare policies.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Recordings of any known kind.
    #[arg(long, required = true, num_args = 1..)]
    trace: Vec<PathBuf>,
    #[arg(long)]
    scenario: PathBuf,
    #[arg(long)]
    policy: PathBuf,
    #[arg(long)]
    baselines: bool,
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    #[arg(long)]
    perfect_view: bool,
    #[arg(long, default_value = "")]
    only: String,
    #[command(flatten)]
    reading: Reading,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
    let bad = |message: String| Failed {
        status: ExitStatus::BadInput,
        message,
    };
    let loaded = load(&arguments.trace, &arguments.reading.options())?;
    say(&loaded.report);
    let text = std::fs::read_to_string(&arguments.scenario).map_err(|error| bad(error.to_string()))?;
    let scenario = Scenario::from_toml("scenario", &text).map_err(|problems| bad(crate::input::render(&problems)))?;
    let policy = policy::load(&arguments.policy).map_err(|problems| bad(crate::input::render(&problems)))?;
    let mut candidates = vec![Candidate::new("policy", Steers::Policy(policy.clone()))];
    if arguments.baselines {
        candidates.extend(Candidate::baselines(&policy));
    }
    if !arguments.only.is_empty() {
        candidates.retain(|c| c.name == arguments.only);
    }
    let settings = Settings {
        seeds: (1..=arguments.seeds).collect(),
        view: if arguments.perfect_view {
            ViewModel::perfect()
        } else {
            ViewModel::recent()
        },
        threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    };
    let compared = compare(&scenario, &loaded.trace, &candidates, &settings, &|_| {}).map_err(|p| bad(p.join("\n")))?;
    for c in &compared {
        for s in &c.runs {
            print(&format!(
                "{:20} wait mean {:8.1} p50 {:6.0} p95 {:7.0} max {:7.0} | avoid p95 {:6.0} mean {:6.1} | lat p50 {:6.0} p95 {:6.0} | in10 {:4.2} | {} | used {:8.1} idle {:7.1} boot {:6.1} | L {} fail {} int {} ret {} upd {} ref {} looks {} exp {} | mk {:7.0} | ok {} f {} nf {} open {}\n",
                c.name,
                s.all.wait.mean,
                s.all.wait.p50,
                s.all.wait.p95,
                s.all.wait.max,
                s.all.avoidable_wait.p95,
                s.all.avoidable_wait.mean,
                s.all.start_latency.p50,
                s.all.start_latency.p95,
                s.all.within_10s,
                s.cost,
                s.used_vcpu_hours,
                s.idle_vcpu_hours,
                s.booting_vcpu_hours,
                s.launches,
                s.failed_launches,
                s.interruptions,
                s.retries,
                s.updates,
                s.refused,
                s.looks,
                s.leases_expired,
                s.makespan.mean,
                s.succeeded,
                s.failed,
                s.never_fits,
                s.open
            ));
        }
    }
    Ok(ExitStatus::Done)
}
