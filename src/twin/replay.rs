//! The last day of a real account, replayed in a model of it: once as autotune goes by it now, once with AWS Batch alone.
//!
//! Both sides are simulated, with the same jobs and the same luck, because a measured wait is not to be compared with a simulated
//! one; what was measured of the jobs stands beside. Jobs are those that the journal saw from submission to end. What the account
//! does not tell is assumed: AWS Batch's default allocation strategies, three Availability Zones, no retries, and no messages;
//! quotas and the states of environments were all day what they are now. Both sides begin a day ago and are closed now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;

use super::figures::{Look, Seen};
use crate::account::{ComputeEnvironment, JobQueue, Platform, Topology};
use crate::catalog::{Catalog, Purchase};
use crate::clock::Clock;
use crate::daemon::in_force::InForce;
use crate::daemon::snapshot::{QuotaStatus, Snapshot};
use crate::daemon::twin::{Measured, Saved, Source, Twin};
use crate::ids::{EnvironmentIndex, ShapeIndex};
use crate::journal::{Exported, Journal};
use crate::simulate::compare::{Past, horizon, replay};
use crate::simulate::ledger::RunResult;
use crate::simulate::model::{Lasting, Overrides};
use crate::simulate::scenario::{
    Account, Allocation, EnvironmentSpec, OwnInstances, QueueSpec, QuotaSpec, Retries, Scenario,
};
use crate::simulate::view::ViewModel;
use crate::trace::Trace;
use crate::units::{Span, Time, Vcpus, to_i64, to_u32, to_usize};

/// The first replay waits until a start has been paid for.
const FIRST: Span = Span::from_minutes(5);
const AGAIN: Span = Span::from_minutes(60);
/// So much of the past is replayed.
const DAY: Span = Span::from_minutes(24 * 60);
/// More jobs than this are replayed by a person: here they would take minutes beside the loop, and memory.
pub const MOST_JOBS: u64 = 20_000;
/// Decides everything that is left to chance, on both sides alike.
const SEED: u64 = 1;
/// The model of AWS Batch.
const MODEL: &str = "recent";

/// What the replay needs.
#[derive(Debug)]
pub struct Hindsight {
    /// Where the jobs are.
    pub journal: Journal,
    /// What the daemon goes by.
    pub in_force: watch::Receiver<Option<Arc<InForce>>>,
    /// How it stands.
    pub snapshot: watch::Receiver<Snapshot>,
    /// Where the time comes from.
    pub clock: Clock,
    /// More jobs are not replayed: [`MOST_JOBS`].
    pub most_jobs: u64,
    /// Where the outcome is told.
    pub told: watch::Sender<Option<Saved>>,
}

/// What the last replay was of: it is not repeated before something is different.
#[derive(Clone, Debug)]
struct Done {
    in_force: Arc<InForce>,
    jobs: u64,
    latest: Option<Time>,
}

/// What is taken to have been so all day.
#[derive(Clone, Debug, Default)]
pub(super) struct Present {
    pub(super) quotas: Vec<QuotaStatus>,
    /// Environments that are DISABLED or INVALID.
    pub(super) unusable: BTreeSet<String>,
}

impl Present {
    fn of(snapshot: &Snapshot) -> Self {
        let read = snapshot.environments.iter().filter(|seen| seen.age.is_some());
        let unusable = read.filter(|seen| !seen.usable).map(|seen| seen.name.clone());
        Self {
            quotas: snapshot.quotas.clone(),
            unusable: unusable.collect(),
        }
    }
}

impl Hindsight {
    /// Replays once an hour, if something has changed since, beside everything else. Goes on until it is dropped.
    pub async fn hourly(self) {
        let mut done = None;
        self.clock.wait(FIRST).await;
        loop {
            self.once(&mut done).await;
            self.clock.wait(AGAIN).await;
        }
    }

    async fn once(&self, done: &mut Option<Done>) {
        let Some(in_force) = self.in_force.borrow().clone() else {
            return;
        };
        let present = Present::of(&self.snapshot.borrow());
        let (journal, now, before) = (self.journal.clone(), self.clock.now(), done.clone());
        let most = self.most_jobs;
        let replayed =
            tokio::task::spawn_blocking(move || last_day(&journal, &in_force, &present, (now, most), before.as_ref()));
        let outcome = match replayed.await {
            Ok(None) => return,
            Ok(Some((new, outcome))) => {
                *done = new;
                outcome
            }
            Err(error) => Err(format!("The replay ended early: {error}.")),
        };
        let saved = match outcome {
            Ok(twin) => {
                tracing::info!(
                    jobs = twin.jobs,
                    "Replayed the last day with AWS Batch alone: see `autotune status`"
                );
                Saved::Known(Box::new(twin))
            }
            // Of a quiet account it is said once.
            Err(why) if self.is_told(&why) => return,
            Err(why) => {
                tracing::info!(why, "What was saved is not known");
                Saved::Unknown { at: now, why }
            }
        };
        self.told.send_replace(Some(saved));
    }

    fn is_told(&self, reason: &str) -> bool {
        match &*self.told.borrow() {
            Some(Saved::Unknown { why, .. }) => why == reason,
            Some(Saved::Known(_)) | None => false,
        }
    }
}

type Outcome = (Option<Done>, Result<Twin, String>);

/// `None`: nothing has changed since the last time.
fn last_day(
    journal: &Journal,
    in_force: &Arc<InForce>,
    present: &Present,
    (now, most): (Time, u64),
    before: Option<&Done>,
) -> Option<Outcome> {
    let told = |error: crate::journal::JournalError| Some((None, Err(format!("{error}."))));
    // By a connection of its own: the loop reads the journal too.
    let journal = match journal.beside() {
        Ok(journal) => journal,
        Err(error) => return told(error),
    };
    let from = now - DAY;
    let (jobs, latest) = match journal.counted(from, now) {
        Ok(counted) => counted,
        Err(error) => return told(error),
    };
    // Fewer jobs are those that are a day old by now.
    let same = |done: &Done| Arc::ptr_eq(&done.in_force, in_force) && done.latest == latest && done.jobs >= jobs;
    if jobs > 0 && before.is_some_and(same) {
        return None;
    }
    let done = Some(Done {
        in_force: Arc::clone(in_force),
        jobs,
        latest,
    });
    if jobs > most {
        return Some((done, Err(too_many(jobs, most, from, now))));
    }
    match journal.trace_of(from, now, &replayable(&in_force.topology)) {
        Ok(exported) => Some((done, compare(in_force, present, exported, to_usize(jobs), now))),
        Err(error) => told(error),
    }
}

fn too_many(jobs: u64, most: u64, from: Time, to: Time) -> String {
    format!(
        "{jobs} jobs in 24 hours are too many to replay beside the daemon, {most} at most. On another machine: `autotune record --from {from} \
         --to {to} --out day.jsonl.gz`, then `autotune simulate --trace day.jsonl.gz --baselines=stock` with your scenario and policy."
    )
}

/// Whether the model knows what an environment is made of.
fn is_known(environment: &ComputeEnvironment) -> bool {
    match environment.platform {
        Platform::Ec2 | Platform::Eks => known_types(environment).next().is_some(),
        Platform::Fargate | Platform::ManagedInstances | Platform::Unmanaged => false,
    }
}

fn known_types(environment: &ComputeEnvironment) -> impl Iterator<Item = &str> {
    let names = environment.types.iter().map(|offered| offered.name.as_str());
    names.filter(|name| Catalog::bundled().get(name).is_some())
}

/// Queues whose jobs run only where the model knows what they run on.
pub(super) fn replayable(topology: &Topology) -> BTreeSet<String> {
    let known = |name: &String| {
        let mut all = topology.environments.iter();
        all.any(|environment| environment.name == *name && is_known(environment))
    };
    let queues = topology.queues.iter();
    let whole = queues.filter(|queue| !queue.environments.is_empty() && queue.environments.iter().all(known));
    whole.map(|queue| queue.name.clone()).collect()
}

/// The account as the model has it, everything in the order of the topology.
fn scenario(topology: &Topology, quotas: &[QuotaStatus]) -> Scenario {
    let count = |vcpus: Vcpus| to_u32(vcpus.get().max(0));
    let quotas = quotas.iter().filter_map(|quota| {
        Some(QuotaSpec {
            code: quota.code.clone(),
            limit_vcpus: count(quota.limit_vcpus?),
            used_by_others_vcpus: count(quota.used_by_others_vcpus.unwrap_or_default()),
        })
    });
    let queue = |queue: &JobQueue| QueueSpec {
        priority: queue.priority,
        environments: queue.environments.clone(),
        ..QueueSpec::over(&queue.name, &[])
    };
    Scenario {
        version: 1,
        model: MODEL.to_owned(),
        model_overrides: Overrides::default(),
        account: Account {
            quotas: quotas.collect(),
            ..Account::default()
        },
        environments: topology.environments.iter().map(environment).collect(),
        queues: topology.queues.iter().map(queue).collect(),
        droughts: Vec::new(),
        random_droughts: None,
        retries: Retries::default(),
    }
}

fn environment(environment: &ComputeEnvironment) -> EnvironmentSpec {
    let count = |vcpus: Vcpus| to_u32(vcpus.get().max(0));
    let spec = EnvironmentSpec {
        purchase: environment.purchase,
        tags: environment.tags.clone(),
        max_vcpus: count(environment.max_vcpus),
        scale_down_delay: Lasting::default(),
        ..EnvironmentSpec::named(&environment.name)
    };
    if !is_known(environment) {
        // It keeps its place; no job of its queues is replayed.
        let one = OwnInstances {
            count: 1,
            vcpus: 1,
            memory_mib: None,
            gpus: None,
        };
        return EnvironmentSpec {
            platform: Platform::Unmanaged,
            own_instances: vec![one],
            ..spec
        };
    }
    EnvironmentSpec {
        platform: environment.platform,
        min_vcpus: count(environment.min_vcpus.min(environment.max_vcpus)),
        instance_types: known_types(environment).map(str::to_owned).collect(),
        allocation: match environment.purchase {
            Purchase::OnDemand => Allocation::BestFitProgressive,
            Purchase::Spot => Allocation::SpotPriceCapacityOptimized,
        },
        ..spec
    }
}

/// Jobs of unknown size get that of another job of the same definition. Fails with how many are left without.
fn size(trace: &mut Trace) -> Result<(), String> {
    let is_sized = |trace: &Trace, shape: ShapeIndex| {
        let shape = trace.shapes.get(shape.position());
        shape.is_some_and(|shape| shape.resources.vcpus > Vcpus::ZERO)
    };
    let sized = trace.jobs.iter().filter(|job| is_sized(trace, job.shape));
    let known: BTreeMap<u32, ShapeIndex> = sized.map(|job| (job.name, job.shape)).collect();
    let mut unknown = 0;
    for position in 0..trace.jobs.len() {
        let Some(job) = trace.jobs.get(position).filter(|job| !is_sized(trace, job.shape)) else {
            continue;
        };
        match (known.get(&job.name), trace.jobs.get_mut(position)) {
            (Some(shape), Some(job)) => job.shape = *shape,
            (None, _) | (_, None) => unknown += 1,
        }
    }
    if unknown == 0 {
        return Ok(());
    }
    Err(format!(
        "The size of {unknown} jobs is not known, nor that of another job of their definition. `autotune record`, then `autotune simulate`, \
         which can be told one."
    ))
}

/// Replays jobs that were submitted within the day before `now`, of so many in all.
pub(super) fn compare(
    in_force: &InForce,
    present: &Present,
    exported: Exported,
    jobs: usize,
    now: Time,
) -> Result<Twin, String> {
    let mut trace = exported.trace;
    // Children that were never seen are in no count of jobs.
    let submitted = jobs.saturating_add(to_usize(exported.left_out.unseen));
    if trace.jobs.is_empty() {
        let none = "No job that the model can replay was submitted and has ended within 24 hours";
        return Err(match submitted {
            0 => format!("{none}."),
            others => format!("{none}; {others} others were submitted."),
        });
    }
    size(&mut trace)?;
    let failed = |problems: Vec<String>| format!("This account cannot be replayed: {}", problems.join("; "));
    let scenario = scenario(&in_force.topology, &present.quotas);
    let compiled = in_force.compile(horizon(&trace));
    let compiled = compiled.map_err(|problems| failed(problems.iter().map(ToString::to_string).collect()))?;
    if compiled
        .setup
        .environments
        .iter()
        .all(|environment| !environment.covered)
    {
        return Err("No environment is steered: the policies cover none, or none of them carries the tag.".to_owned());
    }
    let environments = in_force.topology.environments.iter().enumerate();
    let unusable = environments.filter(|(_, environment)| present.unusable.contains(&environment.name));
    let past = Past {
        begin: now - DAY,
        end: now,
        unusable: unusable.map(|(position, _)| EnvironmentIndex::at(position)).collect(),
    };
    let run = |steered| replay(&scenario, &trace, steered, ViewModel::recent(), SEED, &past).map_err(failed);
    let sides = [seen(&run(Some(compiled))?), seen(&run(None)?)];
    let look = Look::of(&sides, now - DAY, DAY);
    if look.both.jobs == 0 {
        let none = "None of the jobs starts in the model on both sides";
        return Err(format!(
            "{none}: no environment of their queues can hold them, or a quota leaves no room."
        ));
    }
    let [tuned, alone] = &sides;
    let started = tuned.jobs.iter().zip(&alone.jobs);
    let started = started.map(|(tuned, alone)| tuned.wait().and(alone.wait()).is_some());
    let compared = trace.jobs.iter().zip(started).filter(|(_, started)| *started);
    let waits: Vec<Span> = compared.filter_map(|(job, _)| job.recorded_wait()).collect();
    let sum = waits.iter().copied().fold(Span::ZERO, |sum, wait| sum + wait);
    Ok(Twin {
        source: Source::Recording,
        left_out: submitted.saturating_sub(look.both.jobs),
        measured: (!waits.is_empty()).then(|| Measured {
            jobs: waits.len(),
            mean: sum.scaled_down(1, to_i64(waits.len())),
        }),
        passed: DAY,
        ..look.twin(now, MODEL)
    })
}

fn seen(result: &RunResult) -> Seen {
    Seen {
        now: result.closed,
        jobs: result.jobs.clone(),
        there: Vcpus::ZERO,
        cost: result.cost(),
    }
}
