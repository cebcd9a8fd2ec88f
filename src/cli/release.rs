//! `autotune release`: puts base back by hand, where a daemon is gone.

use std::sync::Arc;

use serde::Serialize;

use super::account::{self, Account};
use super::{ExitStatus, Failed, Output, print, print_json, remark};
use crate::clock::Clock;
use crate::daemon::cloud::{Cloud, NamedGuard};
use crate::daemon::release::{Restored, restored};
use crate::explain::printable;
use crate::input::values::Cpus;

/// Put back by hand what a daemon has raised.
///
/// Restores the levels that the guards in the account name. Can be repeated, and needs only credentials. Stop the daemon first,
/// or pause the environments: it would raise again.
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
    /// For people or for machines.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
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
    }
    let rows = restored(&**cloud, &guards).await.map_err(account::unread)?;
    let well = rows.iter().all(|row| row.restored);
    match arguments.output {
        Output::Table => {
            for row in rows {
                print(&format!(
                    "{}: {}\n",
                    printable(&row.environment),
                    printable(&row.message)
                ));
            }
        }
        Output::Json => print_json(&Document {
            version: 1,
            environments: rows,
        })?,
    }
    if well {
        return Ok(ExitStatus::Done);
    }
    Err(account::failure(
        "not everything was restored; the guards that are left fire by themselves",
    ))
}

/// Version 1 of the JSON document.
#[derive(Debug, Serialize)]
struct Document {
    version: u32,
    environments: Vec<Restored>,
}
