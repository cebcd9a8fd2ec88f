//! `autotune health`: whether a daemon lives, for whoever starts it again if not.

use super::account::Config;
use super::remote::{address, ask};
use super::{ExitStatus, Failed, print};

/// Ask a running daemon whether its loop turns: exit code 0 if it does, 3 if it stands still or does not answer.
///
/// For health checks of containers, which have no curl. It does not say whether AWS answers: a restart would not help. A daemon that
/// serves nowhere (`listen` is empty) cannot be asked: exit code 2, or 3 with --url.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: Config,
    /// The daemon's address [default: http:// and `listen` of the settings], for example http://127.0.0.1:9464.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
    let url = address(arguments.url.as_deref(), &arguments.config.settings()?)?;
    print(&ask(&format!("{url}/healthz"))?);
    Ok(ExitStatus::Done)
}
