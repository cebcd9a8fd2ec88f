//! `autotune plan`: one look at an account, and what would be done, with reasons. Changes nothing.

use std::fmt::Write as _;

use serde::Serialize;

use super::account::{self, Account, Policies};
use super::{ExitStatus, Failed, Output, print, print_json, remark};
use crate::daemon::outlook::{Step, outlook};
use crate::daemon::snapshot::QuotaStatus;
use crate::daemon::{Looked, look_once};
use crate::explain::{self, printable};
use crate::ids::QuotaIndex;
use crate::report::quota_line;

/// Look at the account once and print what would be done and why; changes nothing.
///
/// Exit code 0: nothing would be done, 2: something would. With `error:` on standard error and nothing on standard output, 2 means bad
/// settings or policies, and 3 that AWS did not answer.
///
/// Every update is shown as levels from -> to with its main reason, followed by the other reasons of the moment, one line per rejected
/// option. Where the plan only waits for a moment (AWS Batch may act first), it also tells what follows if nothing else changes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  autotune plan --region eu-west-1 --policy reactive
  autotune plan --config autotune.toml --output json")]
pub(super) struct Arguments {
    #[command(flatten)]
    policies: Policies,
    #[command(flatten)]
    account: Account,
    /// For people or for machines.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
    let mut settings = arguments.account.settings()?;
    arguments.policies.over(&mut settings);
    let policy = account::policy(&settings)?;
    let looked = account::block_on(async {
        let clock = account::clock(&settings).await?;
        let cloud = account::reach(&settings, clock).await?;
        let looked = look_once(cloud, &policy, &account::keys(&settings), clock).await;
        looked.map_err(|error| account::failure(format!("{error:#}")))
    })??;
    let steps = outlook(&looked);
    for note in &looked.notes {
        remark(&format!("note: {note}"));
    }
    match arguments.output {
        Output::Table => print(&text(&looked, &steps)),
        Output::Json => print_json(&document(&looked, &steps))?,
    }
    Ok(if steps.iter().any(|step| !step.actions.is_empty()) {
        ExitStatus::Changes
    } else {
        ExitStatus::Done
    })
}

fn text(looked: &Looked, steps: &[Step]) -> String {
    let (account, region) = (&looked.identity.account, &looked.identity.region);
    let mut text = format!(
        "account {}, {}, looked at {}\n",
        printable(account),
        printable(region),
        looked.at
    );
    for step in steps {
        // Writing to a string does not fail.
        let _ = if step.at == looked.at {
            writeln!(text, "\nnow:")
        } else {
            writeln!(text, "\nat {}, if nothing else changes:", step.at)
        };
        for action in &step.actions {
            let _ = writeln!(text, "  * {}", explain::action(&looked.setup, action));
        }
        if step.actions.is_empty() {
            text.push_str("  nothing is changed\n");
        }
        for reason in &step.reasons {
            let _ = writeln!(text, "    {}", explain::sentence(&looked.setup, reason));
        }
        for quota in ledger(looked, step) {
            let _ = write!(text, "    {}", quota_line(&quota));
        }
    }
    text
}

/// The rows of service quotas.
fn ledger(looked: &Looked, step: &Step) -> Vec<QuotaStatus> {
    let rows = step.quotas.iter().enumerate();
    rows.map(|(at, row)| QuotaStatus::of(&looked.setup, QuotaIndex::at(at), row))
        .collect()
}

/// Version 1 of the JSON document.
#[derive(Debug, Serialize)]
struct Document<'a> {
    version: u32,
    account: &'a str,
    region: &'a str,
    looked_at: crate::units::Time,
    notes: &'a [String],
    steps: Vec<StepDocument>,
}

#[derive(Debug, Serialize)]
struct StepDocument {
    at: crate::units::Time,
    actions: Vec<ActionDocument>,
    reasons: Vec<ReasonDocument>,
    quotas: Vec<QuotaStatus>,
}

#[derive(Debug, Serialize)]
struct ActionDocument {
    environment: String,
    from: crate::planner::plan::Levels,
    to: crate::planner::plan::Levels,
    sends: crate::planner::plan::Change,
    because: &'static str,
    sentence: String,
}

#[derive(Debug, Serialize)]
struct ReasonDocument {
    about: String,
    because: &'static str,
    detail: Option<&'static str>,
    sentence: String,
}

fn document<'a>(looked: &'a Looked, steps: &[Step]) -> Document<'a> {
    let setup = &looked.setup;
    let steps = steps.iter().map(|step| StepDocument {
        at: step.at,
        actions: (step.actions.iter())
            .map(|action| ActionDocument {
                environment: explain::subject(setup, crate::planner::plan::Subject::Environment(action.environment())),
                from: action.from(),
                to: action.to(),
                sends: action.change(),
                because: explain::code(&action.because()),
                sentence: explain::action(setup, action),
            })
            .collect(),
        reasons: (step.reasons.iter())
            .map(|reason| ReasonDocument {
                about: explain::subject(setup, reason.subject),
                because: explain::code(&reason.because),
                detail: explain::detail(&reason.because),
                sentence: explain::sentence(setup, reason),
            })
            .collect(),
        quotas: ledger(looked, step),
    });
    Document {
        version: 1,
        account: &looked.identity.account,
        region: &looked.identity.region,
        looked_at: looked.at,
        notes: &looked.notes,
        steps: steps.collect(),
    }
}
