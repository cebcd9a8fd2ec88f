//! `autotune run`: the daemon.

use std::path::PathBuf;
use std::sync::Arc;

use rand::TryRng as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::account::{self, Account, Policies};
use super::{ExitStatus, Failed};
use crate::aws::Aws;
use crate::clock::{self, Clock};
use crate::daemon::in_force::InForce;
use crate::daemon::snapshot::Snapshot;
use crate::daemon::store::{Retention, Store};
use crate::daemon::supervisor::Supervisor;
use crate::daemon::twin::Saved;
use crate::daemon::{self, OnStop, Options, leadership};
use crate::input::render;
use crate::journal::{Journal, NotOurs};
use crate::metrics::Metrics;
use crate::policy;
use crate::server::{self, Shared};
use crate::settings::{self, Settings};
use crate::twin::replay::{Hindsight, MOST_JOBS};
use crate::units::{Span, Time};

/// How often policy files are looked at for changes.
const LOOK_AT_FILES: Span = Span::from_seconds(5);

/// Watch the account and steer it; changes nothing until `apply = true`.
///
/// SIGHUP, or a changed policy file, reads the policies again; bad ones are refused and the old ones stay. SIGTERM and SIGINT end it
/// within ten seconds: raised levels are handed over to their leases, or restored (`on_stop`).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  autotune run --config autotune.toml            dry: plans and tells, changes nothing
  autotune run --config autotune.toml --apply
  AUTOTUNE__APPLY=true autotune run              every setting is a variable too")]
pub(super) struct Arguments {
    #[command(flatten)]
    policies: Policies,
    #[command(flatten)]
    account: Account,
    /// Change compute environments, as `apply = true` in the settings does.
    #[arg(long)]
    apply: bool,
    /// The journal's file [default: that of the settings].
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Where the page, metrics, health and the JSON API are served, "" for nowhere [default: that of the settings].
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitStatus, Failed> {
    let mut settings = arguments.account.settings()?;
    arguments.policies.over(&mut settings);
    settings.apply |= arguments.apply;
    settings.journal.path = arguments.journal.clone().unwrap_or(settings.journal.path);
    if let Some(listen) = &arguments.listen {
        settings.listen.clone_from(listen);
        settings = settings::check("--listen", settings).map_err(|problems| Failed {
            status: ExitStatus::BadInput,
            message: render(&problems),
        })?;
    }
    // Bad policies are told before anything begins.
    account::policy(&settings)?;
    super::telemetry::begin();
    account::block_on(daemon(settings))??;
    Ok(ExitStatus::Done)
}

async fn daemon(settings: Settings) -> Result<(), Failed> {
    let stop = CancellationToken::new();
    let (reload, reloads) = watch::channel(0);
    // Before anything takes time: a signal that nobody handles ends a process, and is lost on the first one of a container.
    match signals() {
        Ok(signals) => drop(tokio::spawn(listen_to_signals(signals, stop.clone(), reload.clone()))),
        Err(error) => tracing::error!(%error, "Signals cannot be heard: end this process by SIGKILL only"),
    }
    // What the settings lack is told before anything is left behind.
    let account_clock = account::clock(&settings).await?;
    let cloud = account::connect(&settings, account_clock).await?;
    tokio::spawn(watch_files(settings.policies.clone(), stop.clone(), reload));
    let opened = Journal::open(&settings.journal.path).map_err(|error| account::failure(error.to_string()));
    let (journal, recovered) = opened?;
    if let Some(why) = &recovered.forgotten {
        tracing::warn!("What was remembered is forgotten: {why}");
    }
    let metrics = Arc::new(Metrics::new());
    metrics.dry_run(!settings.apply);
    let now = account_clock.now();
    let (snapshot, snapshots) = watch::channel(Snapshot {
        at: now,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        dry_run: !settings.apply,
        ..Snapshot::default()
    });
    let (in_force, saved, replaying) = replays(&journal, &snapshots, account_clock);
    let serving = serve(&settings, (&metrics, account_clock), snapshots, &journal, stop.clone()).await?;
    let resign = CancellationToken::new();
    let (leads, elector) = elect(&settings, &cloud, &resign)?.unzip();
    let options = Options {
        policies: settings.policies.clone(),
        reload: reloads,
        apply: settings.apply,
        store: Store::Journal(journal),
        recovered,
        retention: Retention {
            age: settings.journal.keep.0,
            bytes: u64::from(settings.journal.most_mebibytes) << 20,
        },
        tag: Some((settings.tag.key.clone(), settings.tag.value.clone())),
        account: settings.account.as_ref().map(|account| account.0.clone()),
        region: settings.region.as_ref().map(|region| region.0.clone()),
        on_stop: match settings.on_stop {
            settings::OnStop::HandOver => OnStop::HandOver,
            settings::OnStop::Restore => OnStop::Restore,
        },
        guard: settings.guard.is_some(),
        unguarded_max_vcpus: settings.unguarded_max_vcpus.0,
        periods: daemon::cadence::Periods::default(),
        // Where others may write, wake-ups are for the one that leads: who receives one takes it from all others.
        events: settings.events_queue_url.is_some() && (settings.apply || settings.leadership.is_none()),
        leads,
        clock: account_clock,
        metrics,
        snapshot,
        in_force,
        saved,
        supervisor: supervisor(),
    };
    let ended = Box::pin(daemon::run(cloud, options, stop.clone())).await;
    stop.cancel();
    drop(replaying);
    // Only after the last write: a successor may begin at once.
    resign.cancel();
    if let Some(elector) = elector {
        let _ = clock::within(Span::from_seconds(2), elector).await;
    }
    if let Some(serving) = serving {
        let _ = clock::within(Span::from_seconds(2), serving).await;
    }
    ended.map_err(|error| refused(&error))
}

/// A journal of another account is input that does not fit, like a policy for one.
fn refused(error: &anyhow::Error) -> Failed {
    Failed {
        status: if error.is::<NotOurs>() {
            ExitStatus::BadInput
        } else {
            ExitStatus::Failure
        },
        message: format!("{error:#}"),
    }
}

/// What replays the last day once an hour: where it learns what is in force, where it tells what was saved, and its end.
#[expect(clippy::type_complexity, reason = "two channels and a handle")]
fn replays(
    journal: &Journal,
    snapshot: &watch::Receiver<Snapshot>,
    clock: Clock,
) -> (
    watch::Sender<Option<Arc<InForce>>>,
    watch::Receiver<Option<Saved>>,
    AbortOnDropHandle<()>,
) {
    let (sender, in_force) = watch::channel(None);
    let (told, saved) = watch::channel(None);
    let hindsight = Hindsight {
        journal: journal.clone(),
        in_force,
        snapshot: snapshot.clone(),
        clock,
        most_jobs: MOST_JOBS,
        told,
    };
    (sender, saved, AbortOnDropHandle::new(tokio::spawn(hindsight.hourly())))
}

/// Who started this process and wants to know how it does.
fn supervisor() -> Supervisor {
    let Some(socket) = settings::supervisor_socket() else {
        return Supervisor::default();
    };
    Supervisor::at(&socket).unwrap_or_else(|error| {
        tracing::warn!(%error, "NOTIFY_SOCKET cannot be reached: nobody is told that this process is ready, or lives");
        Supervisor::default()
    })
}

/// Claims leadership, if others may write besides us. A dry run writes nothing, not even that.
#[expect(clippy::type_complexity, reason = "what is told, and who tells it")]
fn elect(
    settings: &Settings,
    cloud: &Arc<Aws>,
    resign: &CancellationToken,
) -> Result<Option<(watch::Receiver<Option<Time>>, tokio::task::JoinHandle<()>)>, Failed> {
    let Some(leadership) = settings.leadership.as_ref().filter(|_| settings.apply) else {
        return Ok(None);
    };
    let mut random = [0; 8];
    let drawn = rand::rngs::SysRng.try_fill_bytes(&mut random);
    drawn.map_err(|error| account::failure(format!("failed to draw a name for this process: {error}")))?;
    let holder = format!("{:016x}", u64::from_be_bytes(random));
    let (sender, leads) = watch::channel(None);
    let electing = leadership::elect(
        Arc::clone(cloud),
        leadership.name.clone(),
        holder,
        Clock::Wall,
        sender,
        resign.clone(),
    );
    Ok(Some((leads, tokio::spawn(electing))))
}

/// Serves, if an address is set. Fails if it cannot be bound: nobody would notice later.
async fn serve(
    settings: &Settings,
    (metrics, clock): (&Arc<Metrics>, Clock),
    snapshot: watch::Receiver<Snapshot>,
    journal: &Journal,
    stop: CancellationToken,
) -> Result<Option<tokio::task::JoinHandle<()>>, Failed> {
    let Some(address) = settings.listens_at() else {
        tracing::info!("Serves nothing: `listen` is empty");
        return Ok(None);
    };
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| account::failure(format!("failed to listen on {address}: {error}")))?;
    let bound = listener
        .local_addr()
        .map_err(|error| account::failure(error.to_string()))?;
    tracing::info!(address = %bound, "Serves /metrics, health and /api/v1");
    let shared = Shared {
        metrics: Arc::clone(metrics),
        snapshot,
        journal: Some(journal.clone()),
        recording: Arc::new(Semaphore::new(1)),
        clock,
        only_this_machine: bound.ip().is_loopback(),
    };
    Ok(Some(tokio::spawn(async move {
        if let Err(error) = server::serve(listener, shared, stop).await {
            tracing::error!(%error, "Nothing is served any more");
        }
    })))
}

/// SIGTERM, SIGINT and SIGHUP, from now on.
fn signals() -> std::io::Result<[Signal; 3]> {
    Ok([
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::hangup())?,
    ])
}

/// SIGTERM and SIGINT stop, SIGHUP reads the policies again.
async fn listen_to_signals(signals: [Signal; 3], stop: CancellationToken, reload: watch::Sender<u64>) {
    let [mut terminate, mut interrupt, mut hangup] = signals;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => reload.send_modify(|count| *count += 1),
        }
    }
    stop.cancel();
}

/// Asks for a reload whenever a policy file has changed.
async fn watch_files(paths: Vec<PathBuf>, stop: CancellationToken, reload: watch::Sender<u64>) {
    let mut seen = stamps(&paths);
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => {}
            () = clock::wait(LOOK_AT_FILES) => {
                let now = stamps(&paths);
                if now != seen {
                    seen = now;
                    reload.send_modify(|count| *count += 1);
                }
            }
        }
    }
}

/// Name, size and time of change of every policy file.
fn stamps(paths: &[PathBuf]) -> Vec<(PathBuf, u64, Option<std::time::SystemTime>)> {
    let mut files = Vec::new();
    for path in paths.iter().filter(|path| policy::shipped(path).is_none()) {
        if path.is_dir() {
            files.extend(crate::input::toml_files(path).unwrap_or_default());
        } else {
            files.push(path.clone());
        }
    }
    let stamp = |path: PathBuf| {
        let known = std::fs::metadata(&path).ok();
        let size = known.as_ref().map_or(0, std::fs::Metadata::len);
        (path, size, known.and_then(|known| known.modified().ok()))
    };
    files.into_iter().map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Owner;

    #[test]
    fn a_journal_of_another_account_is_bad_input() {
        let owner = |account: &str| Owner {
            account: account.to_owned(),
            region: "eu-central-1".to_owned(),
        };
        let not_ours = NotOurs {
            path: "a.journal".to_owned(),
            found: owner("111122223333"),
            expected: owner("444455556666"),
        };
        let Failed { status, message } = refused(&anyhow::Error::from(not_ours));
        assert!(matches!(status, ExitStatus::BadInput), "{message}");
        assert!(message.contains("found that of account 111122223333"), "{message}");
        let other = refused(&anyhow::anyhow!("no answer"));
        assert!(matches!(other.status, ExitStatus::Failure));
    }
}
