//! The demo: the control loop over a simulated account in this process, and a twin account that AWS Batch runs alone.
//!
//! Both have the same scenario, jobs, seed and start, so that nothing but autotune makes a difference. It is the daemon that
//! everybody runs, with its journal in a folder that goes with it, its metrics and its JSON API.

mod picture;
#[cfg(test)]
mod tests;
mod view;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Stopwatch};
use crate::daemon::cadence::Periods;
use crate::daemon::cloud::Cloud;
use crate::daemon::snapshot::Snapshot;
use crate::daemon::store::{Retention, Store};
use crate::daemon::twin::Saved;
use crate::daemon::{self, OnStop};
use crate::ids::EnvironmentIndex;
use crate::journal::{Asked, Journal};
use crate::metrics::Metrics;
use crate::policy;
use crate::sandbox::{self, Account, Refused};
use crate::server::{self, Shared};
use crate::simulate::scenario::{self, Scenario};
use crate::simulate::view::ViewModel;
use crate::trace::generate::{self, Days, Generator as _};
use crate::twin::figures::{Look, Pair, Seen};
use crate::units::{Span, Time, Vcpus, to_u32};

pub use picture::picture;
pub use view::{line, screen, summary};

/// The policy, by its name.
pub const POLICY: &str = "demo";
/// The scenario, by its name.
pub const SCENARIO: &str = "demo-account";
/// The number of both accounts.
pub const ACCOUNT: &str = "111122223333";
/// Their region.
pub const REGION: &str = "eu-central-1";
/// How often the page learns how both stand.
const TOLD: Span = Span::from_seconds(1);
/// A day of simulated time.
const DAY: Span = Span::from_minutes(24 * 60);

/// What a demo is made from.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Simulated seconds in one of ours.
    pub speed: u32,
    /// Decides everything that is left to chance, in both accounts alike.
    pub seed: u64,
    /// How long it lasts, in our time.
    pub lasts: Span,
}

/// A demo that goes on.
#[derive(Debug)]
pub struct Demo {
    options: Options,
    accounts: Pair<Account>,
    /// How many compute environments each has.
    environments: usize,
    model: String,
    address: SocketAddr,
    begin: Time,
    /// When Spot capacity is short, after `begin`.
    short: Vec<(Span, Span)>,
    snapshot: watch::Receiver<Snapshot>,
    journal: Journal,
    steering: JoinHandle<anyhow::Result<()>>,
    serving: JoinHandle<std::io::Result<()>>,
    /// What is told of the twin.
    saved: watch::Sender<Option<Saved>>,
    stop: CancellationToken,
    stop_serving: CancellationToken,
    /// Holds journal and policy; removed with this.
    folder: TempDir,
}

impl Demo {
    /// Begins both accounts and the daemon, which answers there. `reach` makes what the daemon sees its account through: the
    /// account itself, or a client of it. Needs a running tokio.
    pub async fn begin<C: Cloud>(
        options: Options,
        listener: TcpListener,
        reach: impl AsyncFnOnce(Account) -> anyhow::Result<C>,
    ) -> anyhow::Result<Self> {
        let text = shipped(&scenario::SHIPPED, SCENARIO)?;
        let scenario = Scenario::from_toml(SCENARIO, text).map_err(|problems| anyhow!("{problems:?}"))?;
        let model = scenario.batch_model().name.to_owned();
        let accounts = accounts(options, &scenario).await?;
        let folder = tempfile::Builder::new().prefix("autotune-demo-").tempdir();
        let folder = folder.context("failed to make a folder for the journal")?;
        let policy = folder.path().join("demo.toml");
        std::fs::write(&policy, shipped(&policy::SHIPPED, POLICY)?).context("failed to write the policy")?;
        let (journal, recovered) = Journal::open(&folder.path().join("journal.db"))?;
        let [tuned, _] = &accounts;
        let clock = tuned.clock();
        let begin = clock.now();
        let short = droughts(tuned, begin).await?;
        let metrics = Arc::new(Metrics::new());
        let (told, snapshot) = watch::channel(nothing_told(begin));
        let (_, reload) = watch::channel(0);
        let (saved, known) = watch::channel(None);
        let steered = daemon::Options {
            policies: vec![policy],
            reload,
            apply: true,
            store: Store::Journal(journal.clone()),
            recovered,
            retention: Retention::default(),
            tag: None,
            account: Some(ACCOUNT.to_owned()),
            region: Some(REGION.to_owned()),
            on_stop: OnStop::Restore,
            guard: true,
            unguarded_max_vcpus: Vcpus::MAX,
            periods: Periods::default(),
            events: true,
            leads: None,
            clock,
            metrics: Arc::clone(&metrics),
            snapshot: told,
            in_force: watch::Sender::new(None),
            saved: known,
            supervisor: daemon::supervisor::Supervisor::default(),
        };
        let cloud = reach(tuned.clone()).await?;
        let address = listener.local_addr()?;
        let shared = Shared {
            metrics,
            snapshot: snapshot.clone(),
            journal: Some(journal.clone()),
            clock,
            recording: Arc::new(Semaphore::new(1)),
            only_this_machine: address.ip().is_loopback(),
        };
        let (stop, stop_serving) = (CancellationToken::new(), CancellationToken::new());
        Ok(Self {
            steering: tokio::spawn(daemon::run(Arc::new(cloud), steered, stop.clone())),
            serving: tokio::spawn(server::serve(listener, shared, stop_serving.clone())),
            options,
            accounts,
            environments: scenario.environments.len(),
            model,
            address,
            begin,
            short,
            snapshot,
            journal,
            saved,
            stop,
            stop_serving,
            folder,
        })
    }

    /// Where the daemon answers.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The model of AWS Batch.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// When it began, in simulated time.
    pub const fn began(&self) -> Time {
        self.begin
    }

    /// Shows how it stands again and again, until its time is over or it is asked to stop. The last look is returned, not shown.
    pub async fn play(
        &self,
        every: Span,
        stop: &CancellationToken,
        mut show: impl FnMut(&Look),
    ) -> anyhow::Result<Look> {
        let took = Stopwatch::start();
        let mut due = every;
        loop {
            let passed = took.passed();
            tokio::select! {
                () = stop.cancelled() => {}
                () = clock::wait(due.min(passed + TOLD).min(self.options.lasts) - passed) => {}
            }
            let look = self.look().await?;
            let twin = look.twin(self.begin + look.passed, &self.model);
            self.saved.send_replace(Some(Saved::Known(Box::new(twin))));
            if stop.is_cancelled() || self.steering.is_finished() || took.passed() >= self.options.lasts {
                return Ok(look);
            }
            if took.passed() >= due {
                show(&look);
                due = took.passed() + every;
            }
        }
    }

    /// Both accounts now.
    async fn look(&self) -> anyhow::Result<Look> {
        let [tuned, alone] = &self.accounts;
        let (tuned, alone) = tokio::join!(seen(tuned, self.environments), seen(alone, self.environments));
        let lasts = self.options.lasts.times(i64::from(self.options.speed));
        let mut look = Look::of(&[tuned?, alone?], self.begin, lasts);
        look.short.clone_from(&self.short);
        look.short.retain(|(from, _)| *from < lasts);
        look.updates = self.snapshot.borrow().environments.iter().map(|row| row.accepted).sum();
        let journal = self.journal.clone();
        let asked = Asked {
            last: 1,
            ..Asked::default()
        };
        let latest = tokio::task::spawn_blocking(move || journal.decisions(&asked)).await??;
        look.latest = latest.into_iter().next().map(|decision| {
            let intent = decision.intent;
            (intent.at.since(self.begin), intent.sentence)
        });
        Ok(look)
    }

    /// Ends the daemon, which puts back what it has raised, then everything else. Says whether minvCpus stand as in the account
    /// that nobody has steered.
    pub async fn end(self) -> anyhow::Result<bool> {
        self.stop.cancel();
        self.steering.await??;
        let [tuned, alone] = &self.accounts;
        let (tuned, alone) = tokio::join!(mins(tuned), mins(alone));
        self.stop_serving.cancel();
        // A client that reads slowly holds nobody up.
        if let Some(served) = clock::within(Span::from_seconds(2), self.serving).await {
            served??;
        }
        drop(self.journal);
        self.folder
            .close()
            .context("failed to remove the folder of the journal")?;
        Ok(tuned? == alone?)
    }
}

/// What is told before the daemon tells anything.
fn nothing_told(at: Time) -> Snapshot {
    Snapshot {
        at,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Snapshot::default()
    }
}

fn shipped(all: &[(&'static str, &'static str)], name: &str) -> anyhow::Result<&'static str> {
    let found = all.iter().find(|(known, _)| *known == name);
    found
        .map(|(_, text)| *text)
        .with_context(|| format!("{name} is not shipped"))
}

/// Two accounts that differ in nothing, at the same moment.
async fn accounts(options: Options, scenario: &Scenario) -> anyhow::Result<Pair<Account>> {
    let simulated = options.lasts.times(i64::from(options.speed));
    let days = Days(to_u32(simulated.millis() / DAY.millis()).saturating_add(1));
    let trace = generate::Demo::default().generate(options.seed, days);
    let begin = || {
        let made = sandbox::Options {
            scenario: scenario.clone(),
            trace: trace.clone(),
            seed: options.seed,
            account: ACCOUNT.to_owned(),
            region: REGION.to_owned(),
            view: ViewModel::recent(),
            idle_from: Time::EPOCH,
        };
        // Their time stands still until both are there.
        Account::begin(made, 0).map_err(|problems| anyhow!(problems.join("\n")))
    };
    let [tuned, alone] = [begin()?, begin()?];
    let (first, second) = tokio::join!(tuned.set_speed(options.speed), alone.set_speed(options.speed));
    first.and(second).map_err(|refused| gone(&refused))?;
    Ok([tuned, alone])
}

/// When Spot capacity is short, after `begin`.
async fn droughts(account: &Account, begin: Time) -> anyhow::Result<Vec<(Span, Span)>> {
    let known = account.with_world(|world| world.droughts()).await;
    let known = known.map_err(|refused| gone(&refused))?;
    Ok(known
        .into_iter()
        .map(|(from, until)| (from.since(begin), until.since(begin)))
        .collect())
}

fn gone(refused: &Refused) -> anyhow::Error {
    anyhow!(refused.to_string())
}

async fn seen(account: &Account, environments: usize) -> anyhow::Result<Seen> {
    let look = account.with_world(move |world| Seen {
        now: world.now(),
        jobs: world.outcomes().copied().collect(),
        there: (0..environments)
            .map(|position| world.there(EnvironmentIndex::at(position)))
            .sum(),
        cost: world.cost(),
    });
    look.await.map_err(|refused| gone(&refused))
}

async fn mins(account: &Account) -> anyhow::Result<Vec<Vcpus>> {
    let read = account.environments(&[]).await;
    let read = read.map_err(|unread| anyhow!(unread.message))?;
    Ok(read.iter().map(|read| read.now.min_vcpus).collect())
}
