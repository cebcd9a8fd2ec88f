//! `autotune init`: what to begin with.

use super::{ExitStatus, Failed, print};
use crate::input::{render_effective, schema_of};
use crate::settings::Settings;

/// Prints what to begin with: a settings file with every key, its meaning and its default, or what an account needs.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print a CloudFormation template instead: the SQS queue and EventBridge rules for wake-ups, the guard's schedule group and role,
    /// and the permissions of autotune itself. It says how to deploy it.
    #[arg(long)]
    events: bool,
}

/// The template, as it stands in deploy/.
const ACCOUNT: &str = include_str!("../../deploy/cloudformation/account.yaml");

pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
    if arguments.events {
        print(ACCOUNT);
        return Ok(ExitStatus::Done);
    }
    let settings = serde_json::to_value(Settings::default());
    let settings = settings.map_err(|error| super::account::failure(error.to_string()))?;
    print(&render_effective(
        schema_of::<Settings>().as_value(),
        &settings,
        &|_| true,
    ));
    Ok(ExitStatus::Done)
}
