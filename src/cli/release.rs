//! `autotune release`: puts base back by hand, where a daemon is gone.

use std::sync::Arc;

use serde::Serialize;

use super::account::{self, Account};
use super::{ExitStatus, Failed, Output, print, print_json, remark};
use crate::clock::Clock;
use crate::daemon::cloud::{Cloud, NamedGuard};
use crate::daemon::release::{Restored, restored};
use crate::explain::printable;
use crate::input::quoted;
use crate::input::values::Cpus;
use crate::settings::Guard;

/// The schedule group as `autotune init --events` makes it.
const GROUP: &str = "autotune";
/// What else there is to do.
const BY_HAND: &str = "--group names another, --environment NAME --min-vcpus N restores by hand";

/// Put back by hand what a daemon has raised.
///
/// Restores the levels that the guards in the account name, and takes a guard away once they stand. Can be repeated, and needs only
/// credentials. Stop the daemon first, or pause the environments: it would raise again.
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
    /// The schedule group of the guards [default: that of the settings, else autotune].
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Without a guard: the minvCpus to restore.
    #[arg(long, value_name = "N", requires = "environment", value_parser = account::value::<Cpus>)]
    min_vcpus: Option<Cpus>,
    /// For people or for machines.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
    let mut settings = arguments.account.settings()?;
    let guard = guards_of(settings.guard, arguments.group.as_deref());
    let group = guard.group.clone();
    settings.guard = Some(guard);
    account::block_on(async {
        let clock = account::clock(&settings).await?;
        let cloud = account::reach(&settings, clock).await?;
        release(&cloud, arguments, &group, clock).await
    })?
}

/// Where guards are is all that matters here: no role is needed to look at them or to remove them.
fn guards_of(set: Option<Guard>, group: Option<&str>) -> Guard {
    let mut guard = set.unwrap_or_else(|| Guard {
        group: GROUP.to_owned(),
        role_arn: String::new(),
    });
    if let Some(group) = group {
        group.clone_into(&mut guard.group);
    }
    guard
}

async fn release<C: Cloud>(
    cloud: &Arc<C>,
    arguments: &Arguments,
    group: &str,
    clock: Clock,
) -> Result<ExitStatus, Failed> {
    let mut guards = match cloud.guards().await {
        Ok(guards) => guards,
        // Whoever says what to restore needs no guard for it.
        Err(unread) if arguments.min_vcpus.is_some() => {
            remark(&printable(&unread.message).to_string());
            Vec::new()
        }
        Err(unread) => {
            let Failed { status, message } = account::unread(unread);
            let message = format!("{message}\nhint: guards are looked for in schedule group `{group}`, {BY_HAND}");
            return Err(Failed { status, message });
        }
    };
    if let Some(name) = &arguments.environment {
        guards.retain(|guard| guard.environment == *name);
        if let (true, Some(min)) = (guards.is_empty(), arguments.min_vcpus) {
            let there = cloud
                .environments(std::slice::from_ref(name))
                .await
                .map_err(account::unread)?;
            if there.is_empty() {
                return Err(Failed {
                    status: ExitStatus::BadInput,
                    message: format!(
                        "--environment: found {}, expected a compute environment of this account and region",
                        quoted(name)
                    ),
                });
            }
            guards.push(NamedGuard {
                environment: name.clone(),
                fires: clock.now(),
                min_vcpus: min.0,
                max_vcpus: None,
            });
        }
    }
    if guards.is_empty() {
        remark(&format!(
            "no guard is armed in schedule group `{}`, so nothing is known to be raised: {BY_HAND}",
            printable(group)
        ));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_are_looked_for_where_the_template_puts_them_unless_somebody_says_where() {
        let template = include_str!("../../deploy/cloudformation/account.yaml");
        assert!(template.contains(&format!("Name: {GROUP}\n")), "{GROUP}");
        let set = Guard {
            group: "ours".to_owned(),
            role_arn: "r".to_owned(),
        };
        for (settings, flag, expected) in [
            (None, None, GROUP),
            (None, Some("other"), "other"),
            (Some(set.clone()), None, "ours"),
            (Some(set), Some("other"), "other"),
        ] {
            assert_eq!(guards_of(settings, flag).group, expected);
        }
    }
}
