//! `autotune status`: how a running daemon stands.

use super::account::Config;
use super::remote::{self, address, ask};
use super::{ExitStatus, Failed, Output, print};
use crate::daemon::snapshot::Snapshot;
use crate::report;

/// Ask a running daemon how it stands: environments, queues, and why.
///
/// Ages and spans are as of the time in the first line. `there` are vCPUs of ACTIVE container instances, `coming` what is asked for
/// and believed to come, `wanted` new capacity before limits.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: Config,
    /// The daemon's address [default: http:// and `listen` of the settings], for example http://127.0.0.1:9464.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// For people or for machines.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
    let url = address(arguments.url.as_deref(), &arguments.config.settings()?)?;
    let text = ask(&format!("{url}/api/v1/status"))?;
    match arguments.output {
        Output::Json => print(&(text + "\n")),
        Output::Table => {
            let snapshot: Snapshot =
                serde_json::from_str(&text).map_err(|error| remote::not_ours(&url, "status", &error))?;
            // The width of the terminal, if there is one.
            print(&report::status(&snapshot, comfy_table::Table::new().width()));
        }
    }
    Ok(ExitStatus::Done)
}
