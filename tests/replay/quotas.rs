//! A service quota that is smaller than maxvCpus: AWS Batch runs into it and stays there, unless maxvCpus tells it to move on.

use autotune::policy::{self, Policy};
use autotune::simulate::drive::Drive;
use autotune::simulate::ledger::RunResult;
use autotune::simulate::scenario::{QuotaSpec, Scenario};
use autotune::trace::Trace;
use autotune::trace::generate::{Days, Generator, Nightly};

use crate::worlds::{alone, spot, steered};

/// 64 vCPUs of Spot in an environment that Batch may take to 256, On-Demand behind it.
fn small_quota() -> Scenario {
    let mut scenario = spot();
    scenario.random_droughts = None;
    scenario.model_overrides.interruption_factor = Some(0.0);
    for environment in &mut scenario.environments {
        environment.max_vcpus = 256;
        environment.instance_types = ["m6i.xlarge", "m6i.2xlarge", "m6i.4xlarge"].map(str::to_owned).to_vec();
    }
    scenario.account.quotas = vec![QuotaSpec {
        code: "L-34B43A08".to_owned(),
        limit_vcpus: 64,
        used_by_others_vcpus: 0,
    }];
    scenario
}

fn burst(seed: u64) -> Trace {
    let nightly = Nightly {
        jobs: 60,
        ..Nightly::default()
    };
    nightly.generate(seed, Days(1))
}

fn limits(what: &str) -> Policy {
    let text = format!("version = 1\n[queues.\"*\"]\npatience = []\n[environments.\"*\"]\nlimits = \"{what}\"\n");
    policy::parse("limits.toml", &text).unwrap()
}

/// The wait in milliseconds that 95 of 100 jobs do not exceed.
fn p95(result: &RunResult) -> i64 {
    let mut waits: Vec<i64> = result.jobs.iter().map(|job| job.wait().unwrap().millis()).collect();
    waits.sort_unstable();
    waits[waits.len() * 95 / 100]
}

#[test]
fn an_enforced_quota_makes_batch_move_on() {
    let scenario = small_quota();
    for seed in [1, 2, 3] {
        let trace = burst(seed);
        let stock = alone(&scenario, &trace, seed);
        assert!(
            stock.environments[0].failed_launches > 0,
            "seed {seed}: it runs into the quota"
        );
        assert_eq!(stock.environments[1].launches, 0, "seed {seed}: and stays there");
        let (enforced, steering) = steered(&scenario, &trace, &limits("enforce"), Drive::default(), seed);
        assert_eq!(enforced.environments[0].failed_launches, 0, "seed {seed}");
        assert!(enforced.environments[1].launches > 0, "seed {seed}: Batch moves on");
        let (ours, theirs) = (p95(&enforced), p95(&stock));
        assert!(
            ours <= theirs,
            "seed {seed}: 95 % wait {ours} ms, without us {theirs} ms"
        );
        let maxima = steering
            .updates
            .iter()
            .filter(|(_, action, _)| action.change().max_vcpus.is_some());
        let (moved, jobs) = (maxima.count(), result_jobs(&enforced));
        assert!(
            moved <= 10 + jobs / 4,
            "seed {seed}: max was moved {moved} times for {jobs} jobs"
        );
        // What is only asked for within the quota does not keep Batch from running into it.
        let (clamped, _) = steered(&scenario, &trace, &limits("clamp"), Drive::default(), seed);
        assert!(clamped.environments[0].failed_launches > 0, "seed {seed}");
    }
}

fn result_jobs(result: &RunResult) -> usize {
    result.jobs.len()
}
