//! Arguments of every command that concerns a real account, and how it is reached.

use std::future::Future;
use std::path::PathBuf;

use super::{ExitStatus, Failed};
use crate::input::render;
use crate::input::values::{Readable, Region, Scalar};
use crate::settings::{self, Settings};

/// Which account. Flags win over the environment (AUTOTUNE__...), that over the settings file, that over defaults.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Account")]
pub(super) struct Account {
    /// Settings file [default: /etc/autotune/autotune.toml, if it is there].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Policy files, folders of them, or names of shipped policies.
    #[arg(long = "policy", value_name = "PATH")]
    policies: Vec<PathBuf>,
    /// The AWS region.
    #[arg(long)]
    region: Option<String>,
    /// The profile of the AWS configuration.
    #[arg(long)]
    profile: Option<String>,
    /// Another endpoint for all services, for example of a simulated account on this machine.
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
}

impl Account {
    /// The settings in force.
    pub(super) fn settings(&self) -> Result<Settings, Failed> {
        let mut settings = settings::load(self.config.as_deref()).map_err(|problems| Failed {
            status: ExitStatus::BadInput,
            message: render(&problems),
        })?;
        if !self.policies.is_empty() {
            settings.policies.clone_from(&self.policies);
        }
        settings.region = self.region.clone().map(Region).or(settings.region);
        settings.profile = self.profile.clone().or(settings.profile);
        settings.endpoint_url = self.endpoint_url.clone().or(settings.endpoint_url);
        Ok(settings)
    }
}

/// A value as policies and settings write it, as an argument.
pub(super) fn value<T: Readable>(text: &str) -> Result<T, String> {
    let scalar = match text.parse() {
        Ok(number) if T::NUMBERS => Scalar::Integer(number),
        Ok(_) | Err(_) => Scalar::Text(text),
    };
    T::read(scalar).map_err(|_| format!("expected {}, for example {}", T::EXPECTED, T::EXAMPLE))
}

/// Runs a future to its end.
pub(super) fn block_on<F: Future>(future: F) -> Result<F::Output, Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| failure(format!("failed to begin: {error}")))?;
    Ok(runtime.block_on(future))
}

/// The outside world failed.
pub(super) fn failure(message: impl Into<String>) -> Failed {
    Failed {
        status: ExitStatus::Failure,
        message: message.into(),
    }
}

#[cfg(feature = "aws")]
mod real {
    use std::path::Path;
    use std::sync::Arc;

    use super::{Failed, failure};
    use crate::aws::{Aws, AwsSettings, GuardSettings};
    use crate::cli::ExitStatus;
    use crate::clock::{self, Clock, Pace, Pacer, Told};
    use crate::daemon::Keys;
    use crate::daemon::cloud::Unread;
    use crate::input::render;
    use crate::policy::{self, Policy};
    use crate::settings::Settings;
    use crate::units::Span;

    /// How often the clock of a simulated account is read again: somebody may have set it.
    const READ_AGAIN: Span = Span::from_seconds(1);

    /// The clock of the account: that of this machine, but for a simulated one.
    pub(in crate::cli) async fn clock(settings: &Settings) -> Result<Clock, Failed> {
        let Some(url) = settings.clock_url.clone() else {
            return Ok(Clock::Wall);
        };
        let pacer = Pacer::forever(read_clock(&url).await?);
        tokio::spawn(async move {
            loop {
                clock::wait(READ_AGAIN).await;
                if let Ok(pace) = read_clock(&url).await {
                    pacer.set(pace);
                }
            }
        });
        Ok(Clock::Scaled(pacer))
    }

    async fn read_clock(url: &str) -> Result<Pace, Failed> {
        let asked = url.to_owned();
        let text = tokio::task::spawn_blocking(move || {
            crate::cli::status::get(
                &asked,
                "no simulated account",
                "is it running? `autotune sandbox` prints its `clock_url`",
            )
        })
        .await;
        let text = text.map_err(|error| failure(error.to_string()))??;
        let told: Result<Told, _> = serde_json::from_str(&text);
        let told = told.map_err(|error| failure(format!("{url} tells no time: {error}")))?;
        Ok(told.into())
    }

    /// The account that the settings name.
    pub(in crate::cli) async fn connect(settings: &Settings, clock: Clock) -> Result<Arc<Aws>, Failed> {
        let guard = settings.guard.as_ref().map(|guard| GuardSettings {
            group: guard.group.clone(),
            role_arn: guard.role_arn.clone(),
        });
        let aws = AwsSettings {
            region: settings.region.as_ref().map(|region| region.0.clone()),
            profile: settings.profile.clone(),
            endpoint_url: settings.endpoint_url.clone(),
            account: settings.account.as_ref().map(|account| account.0.clone()),
            events_queue_url: settings.events_queue_url.clone(),
            guard,
        };
        let aws = Aws::connect(&aws).await.map_err(unread)?;
        Ok(Arc::new(aws.with_clock(clock)))
    }

    /// A call that told nothing.
    pub(in crate::cli) fn unread(error: Unread) -> Failed {
        failure(error.message)
    }

    /// What must hold before an environment is written to.
    pub(in crate::cli) fn keys(settings: &Settings) -> Keys {
        Keys {
            tag: Some((settings.tag.key.clone(), settings.tag.value.clone())),
            unguarded_max_vcpus: settings.guard.is_none().then_some(settings.unguarded_max_vcpus.0),
        }
    }

    /// The policies that the settings name.
    pub(in crate::cli) fn policy(settings: &Settings) -> Result<Policy, Failed> {
        let loaded = match settings.policies.as_slice() {
            [path] => policy::load(Path::new(path)),
            paths => policy::load_files(paths),
        };
        loaded.map_err(|problems| Failed {
            status: ExitStatus::BadInput,
            message: render(&problems),
        })
    }
}

#[cfg(feature = "aws")]
pub(super) use real::{clock, connect, keys, policy, unread};
