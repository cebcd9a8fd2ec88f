//! `autotune init`: what to begin with.

#[cfg(feature = "aws")]
use super::account::{self, Account};
use super::{ExitStatus, Failed, print};
use crate::input::{render_effective, schema_of};
use crate::settings::Settings;
#[cfg(feature = "aws")]
use crate::{account::survey::Tag, check};

/// Print what to begin with: a settings file, a policy for an account as it stands, or what an account needs.
///
/// It changes nothing. What could not be read of an account is said in the policy.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  autotune init > autotune.toml              every key with its meaning and its default
  autotune init --policy --region eu-west-1 > policy.toml
  autotune init --events > account.yaml")]
#[cfg_attr(feature = "aws", command(
    mut_arg("config", |arg| arg.requires("policy")),
    mut_arg("region", |arg| arg.requires("policy")),
    mut_arg("profile", |arg| arg.requires("policy")),
    mut_arg("endpoint_url", |arg| arg.requires("policy")),
))]
pub(super) struct Arguments {
    /// Print a policy for an account instead: its job queues and compute environments with minvCpus as they are, service quotas, SQS queues
    /// that may feed them, and what cannot be steered. It is dry, and its head says how to go on.
    #[cfg(feature = "aws")]
    #[arg(long, conflicts_with = "events")]
    policy: bool,
    /// Only these job queues and their compute environments.
    #[cfg(feature = "aws")]
    #[arg(long = "queue", value_name = "NAME", num_args = 1.., requires = "policy")]
    queues: Vec<String>,
    /// Print a CloudFormation template instead: the SQS queue and EventBridge rules for wake-ups, the guard's schedule group and role,
    /// and the permissions of autotune itself. It says how to deploy it.
    #[arg(long)]
    events: bool,
    #[cfg(feature = "aws")]
    #[command(flatten)]
    account: Account,
}

/// The template, as it stands in deploy/.
const ACCOUNT: &str = include_str!("../../deploy/cloudformation/account.yaml");

/// For whom the settings file is.
const HEAD: &str = "\
# Settings of `autotune run`, and of the commands that look at the same account. Every key is here with its default: keep what you
# change. `autotune validate FILE` checks it.
#
# The account opts in by policies and by a tag on each compute environment; nothing is changed without `apply = true`. A key such as
# `journal.path` is AUTOTUNE__JOURNAL__PATH in the environment, which goes over the file; flags go over both.

";

pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
    #[cfg(feature = "aws")]
    if arguments.policy {
        print(&policy(arguments)?);
        return Ok(ExitStatus::Done);
    }
    let text = if arguments.events {
        ACCOUNT.to_owned()
    } else {
        settings(&Settings::default(), &|_| true)?
    };
    print(&text);
    Ok(ExitStatus::Done)
}

/// A policy for the account that the settings name.
#[cfg(feature = "aws")]
fn policy(arguments: &Arguments) -> Result<String, Failed> {
    let settings = arguments.account.settings()?;
    let (mut survey, sqs) = account::block_on(async {
        let clock = account::clock(&settings).await?;
        let cloud = account::reach(&settings, clock).await?;
        Box::pin(cloud.discover()).await.map_err(account::unread)
    })??;
    survey.tag = Some(Tag {
        key: settings.tag.key,
        value: settings.tag.value,
    });
    let flags = arguments.account.flags();
    let asked = check::FirstPolicy {
        survey: &survey,
        sqs: &sqs,
        wake_ups: settings.events_queue_url.as_deref(),
        queues: &arguments.queues,
        flags: &flags,
    };
    check::first_policy(&asked).map_err(|why| match why {
        check::NotWritten::Unread { .. } => account::failure(why.to_string()),
        check::NotWritten::NoSuchQueue { .. } => Failed {
            status: ExitStatus::BadInput,
            message: why.to_string(),
        },
    })
}

/// A settings file with every key.
pub(super) fn settings(settings: &Settings, is_set: &dyn Fn(&str) -> bool) -> Result<String, Failed> {
    let value = serde_json::to_value(settings).map_err(|error| super::account::failure(error.to_string()))?;
    let keys = render_effective(schema_of::<Settings>().as_value(), &value, is_set);
    Ok(format!("{HEAD}{keys}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings;

    const EXAMPLE: &str = include_str!("../../deploy/autotune.toml");

    #[test]
    fn the_template_says_how_it_is_printed() {
        assert!(ACCOUNT.contains("#   autotune init --events > "), "{ACCOUNT}");
        assert!(!ACCOUNT.contains("autotune init >") && !ACCOUNT.contains("`autotune init`"));
    }

    #[test]
    fn the_example_names_every_key_and_changes_none() {
        let fresh = super::settings(&Settings::default(), &|_| true).unwrap();
        assert!(EXAMPLE == fresh, "stale: autotune init > deploy/autotune.toml");
        assert_eq!(
            settings::parse("autotune.toml", EXAMPLE).unwrap().value,
            Settings::default()
        );
        // The examples of what is not set hold together, but for the clock: it excludes all that is of a real account.
        let with_examples = |which: &dyn Fn(&str) -> bool| {
            let set = |line: &'static str| {
                let unset = line
                    .strip_suffix("  # not set")
                    .map(|unset| unset.trim_start_matches("# "));
                unset.filter(|unset| which(unset)).unwrap_or(line)
            };
            let text: Vec<&str> = EXAMPLE.lines().map(set).collect();
            settings::parse("autotune.toml", &text.join("\n")).unwrap().value
        };
        let all = with_examples(&|line| !line.starts_with("clock_url"));
        assert!(all.guard.is_some() && all.profile.is_some() && all.events_queue_url.is_some());
        let simulated = with_examples(&|line| line.starts_with("clock_url") || line.starts_with("endpoint_url"));
        assert!(simulated.clock_url.is_some() && simulated.endpoint_url.is_some());
        let schema = schema_of::<Settings>();
        for key in schema.as_value()["properties"].as_object().unwrap().keys() {
            let names = |line: &str| {
                let line = line.trim_start_matches(['#', ' ', '[']);
                line.strip_prefix(key.as_str())
                    .is_some_and(|rest| rest.starts_with([' ', ']']))
            };
            assert!(EXAMPLE.lines().any(names), "{key} is missing");
        }
    }
}
