//! The driver of a real account: tokio around [`crate::control::Controller`]. Effects become API calls, their answers inputs.
//!
//! One task owns controller and observation and never waits for a call. Every *part* of the account is read by a task of its
//! own and every environment has a *lane* of its own for what is changed, so that whoever is slow delays nobody else. All of
//! them answer through one channel of `Event`s. `cadence` says what to read, `sight` folds it, `effects` is the one actuator,
//! `store` the one writer of what must survive, `supervisor` what systemd hears.

pub mod bill;
pub mod cadence;
pub mod checking;
pub mod cloud;
mod counts;
mod driver;
mod ears;
mod effects;
#[cfg(not(unix))]
pub mod elsewhere;
pub mod in_force;
pub mod leadership;
mod listing;
mod orders;
pub mod outlook;
mod reading;
pub mod release;
mod reload;
mod sight;
pub mod snapshot;
mod spread;
mod start;
pub mod store;
#[cfg(unix)]
pub mod supervisor;
mod telling;
#[cfg(test)]
mod tests;
pub mod twin;
mod waits;
mod wake;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::account::Topology;
use crate::clock::Clock;
use crate::input::Problem;
use crate::journal::Recovered;
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::units::{Time, Vcpus};
use cadence::{Part, Periods};
use cloud::{Answer, Cloud, EnvironmentRead, Hint, NamedGuard, QueueRead, Read};
use in_force::InForce;
use snapshot::Snapshot;
use store::{Retention, Store};
use supervisor::Supervisor;
use twin::Saved;

#[cfg(not(unix))]
pub use elsewhere as supervisor;
pub use reload::Keys;
#[cfg(feature = "aws")]
pub(crate) use start::expected;
pub use start::{Looked, look_once};

/// How a daemon runs.
#[derive(Debug)]
pub struct Options {
    /// Policy files, or one folder of them.
    pub policies: Vec<PathBuf>,
    /// Counts requests to read the policies again: SIGHUP, or a changed file.
    pub reload: watch::Receiver<u64>,
    /// Whether anything may be changed. Without it the plan is made and told, and nothing else.
    pub apply: bool,
    /// Where intents, leases and history are kept.
    pub store: Store,
    /// What was found there.
    pub recovered: Recovered,
    /// How much of it is kept.
    pub retention: Retention,
    /// The tag without which an environment is only watched, as key and value; `None`: the policy alone decides.
    pub tag: Option<(String, String)>,
    /// The account that the credentials must be of.
    pub account: Option<String>,
    /// The region that they must be for.
    pub region: Option<String>,
    /// What becomes of raised levels when the daemon stops.
    pub on_stop: OnStop,
    /// Whether a schedule in the account restores base should we be gone.
    pub guard: bool,
    /// The most asked of an environment without such a guard.
    pub unguarded_max_vcpus: Vcpus,
    /// How often everything is read.
    pub periods: Periods,
    /// Whether EventBridge events arrive.
    pub events: bool,
    /// Until when this process may write, where others might too; `None` where it is alone.
    pub leads: Option<watch::Receiver<Option<Time>>>,
    /// Where the time comes from.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where the daemon tells how it stands.
    pub snapshot: watch::Sender<Snapshot>,
    /// Where the daemon tells what it goes by; `None` within: it has not begun.
    pub in_force: watch::Sender<Option<Arc<InForce>>>,
    /// What the same jobs would have come to with AWS Batch alone; `None` within: nothing is known yet.
    pub saved: watch::Receiver<Option<Saved>>,
    /// Who started the process and wants to know whether it lives.
    pub supervisor: Supervisor,
}

/// What becomes of raised levels when the daemon stops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStop {
    /// They stand until their leases end, ten minutes at most, so that the next daemon can go on. Without a guard, as `Restore`.
    #[default]
    HandOver,
    /// They go back to base.
    Restore,
}

/// What the tasks tell the one that decides.
#[derive(Debug)]
enum Event {
    /// A part was read, or could not be; begun at that time.
    Read(Part, Time, Read<Found>),
    /// An intent is durable under this number, or is not.
    Committed(String, Result<i64, String>),
    /// A guard that was to fire then is armed, or why it is not.
    Armed(String, Time, Result<(), String>),
    /// An update was answered.
    Sent(String, Answer),
    /// A wait for hints ended.
    Hints(Read<Vec<Hint>>),
    /// The policies were read again.
    Policy(Result<Box<Policy>, Vec<Problem>>),
}

/// What was read of a part.
#[derive(Debug)]
enum Found {
    Environments(Vec<EnvironmentRead>),
    Queues(Vec<QueueRead>),
    Instances(crate::observation::InstancesNow),
    Launches(Vec<cloud::FailedLaunch>),
    Messages(crate::observation::SqsNow),
    Oldest(Option<crate::units::Span>),
    Quota(cloud::QuotaRead),
    Topology(Box<Topology>, Vec<NamedGuard>),
    /// Of all types that were asked for.
    Prices(std::collections::BTreeMap<String, Option<crate::units::MicroUsd>>),
    Jobs(Box<listing::Listed>),
}

/// Steers an account until it is asked to stop. Fails if account or region are not those expected, or if the policies are wrong
/// at the start, or if a stop leaves something raised that nothing puts back; everything between is told and survived.
pub async fn run<C: Cloud>(cloud: Arc<C>, options: Options, stop: CancellationToken) -> anyhow::Result<()> {
    let (sender, inbox) = mpsc::unbounded_channel();
    let clock = options.clock;
    let started = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        started = start::start(Arc::clone(&cloud), options, sender.clone()) => started?,
    };
    let (leads, led) = watch::channel(started.leads());
    // The listener ends with this function, whatever it waits for.
    let listener = started.listens().then(|| {
        let token = stop.child_token();
        let listening = wake::listen(cloud, led, sender, clock);
        tokio::spawn(async move {
            tokio::select! {
                () = token.cancelled() => {}
                () = listening => {}
            }
        })
    });
    // Ends with this function too.
    let _checking = AbortOnDropHandle::new(tokio::spawn(started.checks().hourly()));
    let ended = started.drive(inbox, leads, stop).await;
    if let Some(listener) = listener {
        listener.abort();
    }
    ended
}
