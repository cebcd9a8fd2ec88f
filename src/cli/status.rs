//! `autotune status`: how a running daemon stands.

use clap::ValueEnum;

use super::account::{self, Account};
use super::{ExitStatus, Failed, print};
use crate::daemon::snapshot::Snapshot;
use crate::report;
use crate::settings::Settings;

/// Asks a running daemon how it stands: environments, queues, and why.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    account: Account,
    /// The daemon's address [default: http:// and `listen` of the settings].
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// For people or for machines.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// Tables and sentences.
    Table,
    /// One JSON document, as /api/v1/status serves it.
    Json,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
    let url = address(arguments.url.as_deref(), &arguments.account.settings()?)?;
    let text = ask(&format!("{url}/api/v1/status"))?;
    match arguments.output {
        Output::Json => print(&(text + "\n")),
        Output::Table => {
            let snapshot: Snapshot = serde_json::from_str(&text).map_err(|error| {
                account::failure(format!(
                    "{url} answers what is no status of this version of autotune: {error}"
                ))
            })?;
            print(&report::status(&snapshot));
        }
    }
    Ok(ExitStatus::Done)
}

/// Where the daemon is.
pub(super) fn address(url: Option<&str>, settings: &Settings) -> Result<String, Failed> {
    let listen = settings.listen.as_ref().map(|listen| format!("http://{listen}"));
    let url = url.map(ToOwned::to_owned).or(listen);
    let url = url.ok_or_else(|| account::failure("the settings have no `listen`: give --url"))?;
    Ok(url.trim_end_matches('/').to_owned())
}

/// The body of the answer of a daemon to a GET.
pub(super) fn ask(url: &str) -> Result<String, Failed> {
    get(url, "no daemon", "is it running? `autotune run`, or give --url")
}

/// The body of the answer to a GET; `nobody` and `hint` say what is missing if there is none.
pub(super) fn get(url: &str, nobody: &str, hint: &str) -> Result<String, Failed> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(std::time::Duration::from_secs(10)))
        .http_status_as_error(false)
        .build()
        .into();
    let answer = agent.get(url).call();
    let mut answer =
        answer.map_err(|error| account::failure(format!("{nobody} answers at {url}: {error}\nhint: {hint}")))?;
    let text = answer
        .body_mut()
        .read_to_string()
        .map_err(|error| account::failure(format!("{url}: {error}")))?;
    if answer.status().is_success() {
        Ok(text)
    } else {
        Err(account::failure(format!("{url} answers {}: {text}", answer.status())))
    }
}
