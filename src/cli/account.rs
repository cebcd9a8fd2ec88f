//! Arguments of every command that concerns a real account, and how it is reached.

use std::future::Future;
use std::path::PathBuf;

use super::{ExitStatus, Failed};
use crate::input::render;
#[cfg(feature = "aws")]
use crate::input::values::Region;
use crate::input::values::{Readable, Scalar};
use crate::settings::{self, Settings};

/// The settings file. Flags win over the environment (AUTOTUNE__...), that over the file, that over defaults.
#[derive(Debug, clap::Args)]
pub(super) struct Config {
    /// Settings file [default: /etc/autotune/autotune.toml, if it is there].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Config {
    /// The settings in force.
    pub(super) fn settings(&self) -> Result<Settings, Failed> {
        settings::load(self.config.as_deref()).map_err(|problems| Failed {
            status: ExitStatus::BadInput,
            message: render(&problems),
        })
    }
}

/// Which account.
#[cfg(feature = "aws")]
#[derive(Debug, clap::Args)]
pub(super) struct Account {
    #[command(flatten)]
    config: Config,
    /// The AWS region.
    #[arg(long, help_heading = "Account", value_parser = value::<Region>)]
    region: Option<Region>,
    /// The profile of the AWS configuration.
    #[arg(long, help_heading = "Account", value_name = "NAME")]
    profile: Option<String>,
    /// Another endpoint for all services, for example of a simulated account on this machine.
    #[arg(long, help_heading = "Account", value_name = "URL", value_parser = endpoint)]
    endpoint_url: Option<String>,
}

/// What is wanted of it.
#[cfg(feature = "aws")]
#[derive(Debug, clap::Args)]
pub(super) struct Policies {
    /// Policy files, folders of them, or names of shipped policies, instead of those of the settings.
    #[arg(long = "policy", value_name = "PATH")]
    policies: Vec<PathBuf>,
}

#[cfg(feature = "aws")]
impl Policies {
    /// Lays them over the settings.
    pub(super) fn over(&self, settings: &mut Settings) {
        if !self.policies.is_empty() {
            settings.policies.clone_from(&self.policies);
        }
    }
}

#[cfg(feature = "aws")]
impl Account {
    /// The settings in force.
    pub(super) fn settings(&self) -> Result<Settings, Failed> {
        let mut settings = self.config.settings()?;
        settings.region = self.region.clone().or(settings.region);
        settings.profile = self.profile.clone().or(settings.profile);
        settings.endpoint_url = self.endpoint_url.clone().or(settings.endpoint_url);
        Ok(settings)
    }

    /// As they were given, for commands to go on with.
    pub(super) fn flags(&self) -> Vec<String> {
        let config = self.config.config.as_ref().map(|path| path.display().to_string());
        let region = self.region.as_ref().map(|region| region.0.clone());
        let given = [
            ("--config", config),
            ("--region", region),
            ("--profile", self.profile.clone()),
            ("--endpoint-url", self.endpoint_url.clone()),
        ];
        let given = given
            .into_iter()
            .filter_map(|(flag, value)| Some([flag.to_owned(), value?]));
        given.flatten().collect()
    }
}

/// An endpoint, as an argument.
#[cfg(feature = "aws")]
fn endpoint(text: &str) -> Result<String, String> {
    let good = settings::is_endpoint(text).then(|| text.to_owned());
    good.ok_or_else(|| format!("expected {}", settings::ENDPOINT))
}

/// A value as policies and settings write it, as an argument.
pub(super) fn value<T: Readable>(text: &str) -> Result<T, String> {
    let scalar = match text.parse() {
        Ok(number) if T::NUMBERS => Scalar::Integer(number),
        Ok(_) | Err(_) => Scalar::Text(text),
    };
    T::read(scalar).map_err(|_| format!("expected {}, for example {}", T::EXPECTED, T::EXAMPLE))
}

/// Runs a future to its end, on this thread: what mostly waits needs no other, and every further one keeps megabytes of heap of its
/// own.
#[cfg(feature = "aws")]
pub(super) fn block_on<F: Future>(future: F) -> Result<F::Output, Failed> {
    finish(tokio::runtime::Builder::new_current_thread(), future)
}

/// The same beside a thread for what a simulated account computes meanwhile.
pub(super) fn block_on_beside<F: Future>(future: F) -> Result<F::Output, Failed> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1);
    finish(builder, future)
}

fn finish<F: Future>(mut builder: tokio::runtime::Builder, future: F) -> Result<F::Output, Failed> {
    let runtime = builder.enable_all().build();
    let runtime = runtime.map_err(|error| failure(format!("failed to begin: {error}")))?;
    let output = runtime.block_on(future);
    // What nobody waits for any more, such as an answer that is being put together, does not hold up the end.
    runtime.shutdown_background();
    Ok(output)
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
    use std::sync::Arc;

    use super::{Failed, failure};
    use crate::aws::{Aws, AwsSettings, GuardSettings};
    use crate::cli::ExitStatus;
    use crate::clock::{self, Clock, Pacer, Told};
    use crate::daemon::cloud::{Cloud as _, Unread};
    use crate::daemon::{self, Keys};
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
        let pacer = Pacer::forever(read_clock(&url).await?.into());
        tokio::spawn(async move {
            loop {
                clock::wait(READ_AGAIN).await;
                let asked = clock::Stopwatch::start();
                if let Ok(told) = read_clock(&url).await {
                    pacer.set(pacer.pace().heard(told, asked));
                }
            }
        });
        Ok(Clock::Scaled(pacer))
    }

    async fn read_clock(url: &str) -> Result<Told, Failed> {
        let asked = url.to_owned();
        let text = tokio::task::spawn_blocking(move || crate::cli::remote::ask(&asked)).await;
        let text = text.map_err(|error| failure(error.to_string()))?;
        let text = text.map_err(|_| {
            failure(format!(
                "no simulated account answers at {url}\nhint: is it running? `autotune sandbox` prints its `clock_url`"
            ))
        })?;
        serde_json::from_str(&text).map_err(|error| failure(format!("{url} tells no time: {error}")))
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
            simulated_keys: None,
            endpoint_url: settings.endpoint_url.clone(),
            events_queue_url: settings.events_queue_url.clone(),
            guard,
            leadership_table: settings.leadership.as_ref().map(|leadership| leadership.table.clone()),
        };
        let aws = Aws::connect(&aws).await.map_err(unread)?;
        Ok(Arc::new(aws.with_clock(clock)))
    }

    /// The same, for commands that look or write at once: a wrong profile must not reach a wrong account.
    pub(in crate::cli) async fn reach(settings: &Settings, clock: Clock) -> Result<Arc<Aws>, Failed> {
        let cloud = connect(settings, clock).await?;
        if let Some(account) = &settings.account {
            let identity = cloud.identity().await.map_err(unread)?;
            let same = daemon::expected(&identity, Some(&account.0), None);
            same.map_err(|error| failure(error.to_string()))?;
        }
        Ok(cloud)
    }

    /// A call that told nothing.
    pub(in crate::cli) fn unread(error: Unread) -> Failed {
        let Unread { message, .. } = error;
        failure(message.replace("; hint: ", "\nhint: "))
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
        policy::load_all(&settings.policies).map_err(|problems| Failed {
            status: ExitStatus::BadInput,
            message: render(&problems),
        })
    }
}

#[cfg(feature = "aws")]
pub(super) use real::{clock, connect, keys, policy, reach, unread};
