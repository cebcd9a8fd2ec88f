//! `autotune release`: puts base back by hand, where a daemon is gone.

use std::sync::Arc;

use super::account::{self, Account};
use super::{ExitStatus, Failed, print, remark};
use crate::clock::Clock;
use crate::control::Outcome;
use crate::daemon::cloud::{Cloud, EnvironmentRead, NamedGuard};
use crate::explain::printable;
use crate::input::values::Cpus;
use crate::planner::plan::Change;

/// Put back by hand what a daemon has raised.
///
/// Restores the levels that the guards in the account name. Can be repeated, and needs only credentials. Stop the daemon first, or pause the environments: it would raise again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  autotune release
  autotune release --environment spot --min-vcpus 0      where no guard is armed")]
pub(super) struct Arguments {
    #[command(flatten)]
    account: Account,
    /// Only this compute environment.
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Without a guard: the minvCpus to restore.
    #[arg(long, value_name = "N", requires = "environment", value_parser = account::value::<Cpus>)]
    min_vcpus: Option<Cpus>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
    let settings = arguments.account.settings()?;
    account::block_on(async {
        let clock = account::clock(&settings).await?;
        let cloud = account::connect(&settings, clock).await?;
        release(&cloud, arguments, clock).await
    })?
}

async fn release<C: Cloud>(cloud: &Arc<C>, arguments: &Arguments, clock: Clock) -> Result<ExitStatus, Failed> {
    let mut guards = cloud.guards().await.map_err(account::unread)?;
    if let Some(name) = &arguments.environment {
        guards.retain(|guard| guard.environment == *name);
        if let (true, Some(min)) = (guards.is_empty(), arguments.min_vcpus) {
            guards.push(NamedGuard {
                environment: name.clone(),
                fires: clock.now(),
                min_vcpus: min.0,
                max_vcpus: None,
            });
        }
    }
    if guards.is_empty() {
        remark(
            "no guard is armed, so nothing is known to be raised; --environment NAME --min-vcpus N restores by hand",
        );
        return Ok(ExitStatus::Done);
    }
    let names: Vec<String> = guards.iter().map(|guard| guard.environment.clone()).collect();
    let environments = cloud.environments(&names).await.map_err(account::unread)?;
    let mut well = true;
    for guard in &guards {
        let seen = environments.iter().find(|read| read.name == guard.environment);
        well &= restore(cloud, guard, seen).await?;
    }
    if well {
        return Ok(ExitStatus::Done);
    }
    Err(account::failure(
        "not everything was restored; the guards that are left fire by themselves",
    ))
}

/// Restores one environment; says whether base stands there now.
async fn restore<C: Cloud>(cloud: &Arc<C>, guard: &NamedGuard, seen: Option<&EnvironmentRead>) -> Result<bool, Failed> {
    let name = printable(&guard.environment);
    let Some(seen) = seen else {
        print(&format!("{name}: is gone, and so is its guard\n"));
        cloud.disarm(&guard.environment).await.map_err(account::unread)?;
        return Ok(true);
    };
    let change = Change {
        min_vcpus: (seen.now.min_vcpus != guard.min_vcpus).then_some(guard.min_vcpus),
        desired_vcpus: None,
        max_vcpus: guard.max_vcpus.filter(|max| *max != seen.now.max_vcpus),
    };
    if change != Change::default() {
        let answer = cloud.send(&guard.environment, &change).await;
        if answer.outcome != Outcome::Accepted {
            remark(&format!("{name}: {}", printable(&answer.message)));
            return Ok(false);
        }
    }
    cloud.disarm(&guard.environment).await.map_err(account::unread)?;
    print(&format!(
        "{name}: min {} vCPUs, no guard any more\n",
        guard.min_vcpus.get()
    ));
    Ok(true)
}
