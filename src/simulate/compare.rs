//! The same trace under several policies, with the same luck, on all cores.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::catalog::Purchase;
use crate::control::Planner;
use crate::ids::EnvironmentIndex;
use crate::policy::{self, Policy};
use crate::setup::{self, Compiled};
use crate::simulate::drive::{self, Drive, Steering};
use crate::simulate::ledger::RunResult;
use crate::simulate::model::Lasting;
use crate::simulate::rules::{MinFollowsDemand, TargetTracking};
use crate::simulate::scenario::Scenario;
use crate::simulate::summary::Summary;
use crate::simulate::view::ViewModel;
use crate::simulate::world::World;
use crate::trace::Trace;
use crate::units::{Span, Time, Vcpus, to_i64};

/// Who steers.
#[derive(Clone, Debug)]
pub enum Steers {
    /// Nobody: AWS Batch alone.
    Stock,
    /// AWS Batch alone with `minScaleDownDelayMinutes`.
    StockWithDelay(Span),
    /// AWS Batch alone, with minvCpus of each queue's first environment at this share of maxvCpus, per mille, day and night.
    StaticMin(i64),
    /// minvCpus = jobs x a fixed size each minute.
    MinFollowsDemand,
    /// Poll 60 s, cooldown 300 s.
    TargetTracking,
    /// Our planner with a policy.
    Policy(Policy),
    /// Our planner with a policy, told of arrivals within the time of a launch.
    Oracle(Policy),
}

/// A named way to steer.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// What tables and assertions call it.
    pub name: String,
    /// Who steers.
    pub steers: Steers,
}

impl Candidate {
    /// A candidate by name.
    pub fn new(name: &str, steers: Steers) -> Self {
        Self {
            name: name.to_owned(),
            steers,
        }
    }

    /// What everybody should be compared with. `policy` is what the oracle plans with.
    pub fn baselines(policy: &Policy) -> Vec<Self> {
        vec![
            Self::new("stock", Steers::Stock),
            Self::new("stock+20m", Steers::StockWithDelay(Span::from_minutes(20))),
            Self::new("stock+60m", Steers::StockWithDelay(Span::from_minutes(60))),
            Self::new("static-10%", Steers::StaticMin(100)),
            Self::new("static-25%", Steers::StaticMin(250)),
            Self::new("min-follows-demand", Steers::MinFollowsDemand),
            Self::new("target-tracking", Steers::TargetTracking),
            Self::new("oracle", Steers::Oracle(policy.clone())),
        ]
    }
}

/// How to compare.
#[derive(Clone, Debug)]
pub struct Settings {
    /// One run of every candidate per seed.
    pub seeds: Vec<u64>,
    /// How imperfect the controllers' sight is.
    pub view: ViewModel,
    /// How many threads to use.
    pub threads: usize,
}

/// One candidate's runs, one per seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// The candidate's name.
    pub name: String,
    /// Per seed, in the order of the settings.
    pub runs: Vec<Summary>,
    /// What a person should know about its policy although nothing is wrong.
    pub notes: Vec<String>,
}

/// Runs everything. `progress` is called from worker threads with how many more jobs have ended; in all that comes to the jobs
/// of the trace once for every candidate and seed, less those that wait for ever.
///
/// Fails with every problem of scenario and policies before anything runs.
pub fn compare(
    scenario: &Scenario,
    trace: &Trace,
    candidates: &[Candidate],
    settings: &Settings,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Vec<Compared>, Vec<String>> {
    let prepared = prepare_all(scenario, trace, candidates)?;
    let runs: Vec<(usize, u64)> = settings
        .seeds
        .iter()
        .flat_map(|seed| (0..candidates.len()).map(move |candidate| (candidate, *seed)))
        .collect();
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Ran>>> = Mutex::new(vec![None; runs.len()]);
    std::thread::scope(|scope| {
        for _ in 0..settings.threads.clamp(1, runs.len().max(1)) {
            scope.spawn(|| {
                while let Some((run, &(candidate, seed))) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|run| Some((run, runs.get(run)?)))
                {
                    let result = prepared.get(candidate).map(|prepared| {
                        let mut world = World::new(&prepared.scenario, trace, seed)?;
                        world.tell_progress(progress);
                        let unwatched: Watched<'_> = (Span::ZERO, &mut |_| {});
                        let (result, steering) = run_one(prepared, world, trace, settings.view, seed, unwatched);
                        Ok(Summary::of(&result, &steering))
                    });
                    if let Some(slot) = results.lock().unwrap_or_else(PoisonError::into_inner).get_mut(run) {
                        *slot = result;
                    }
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut compared: Vec<Compared> = (candidates.iter().zip(&prepared))
        .map(|(candidate, prepared)| Compared {
            name: candidate.name.clone(),
            runs: Vec::new(),
            notes: prepared.notes.clone(),
        })
        .collect();
    for (&(candidate, _), result) in runs.iter().zip(results) {
        if let (Some(compared), Some(summary)) = (compared.get_mut(candidate), result) {
            compared.runs.push(summary?);
        }
    }
    Ok(compared)
}

/// Who looks at a world in passing, and how often in replayed time; zero: never.
pub type Watched<'a> = (Span, &'a mut dyn FnMut(&World<'_>));

/// Replays one candidate with one seed.
pub fn watch_one(
    scenario: &Scenario,
    trace: &Trace,
    candidate: &Candidate,
    view: ViewModel,
    seed: u64,
    watched: Watched<'_>,
) -> Result<Summary, Vec<String>> {
    let prepared = prepare(scenario, trace, candidate)?;
    let world = World::new(&prepared.scenario, trace, seed)?;
    let (result, steering) = run_one(&prepared, world, trace, view, seed, watched);
    Ok(Summary::of(&result, &steering))
}

/// A part of an account's past.
#[derive(Clone, Debug)]
pub struct Past {
    /// From then on, if no job was submitted before.
    pub begin: Time,
    /// The books are closed here, whatever is still open: jobs for which there is no room would be tried for ever.
    pub end: Time,
    /// DISABLED or INVALID, all the time.
    pub unusable: Vec<EnvironmentIndex>,
}

/// Replays with our planner and what it is told to want, or with AWS Batch alone. What is compiled has the environments and queues
/// of the scenario, in its order.
pub fn replay(
    scenario: &Scenario,
    trace: &Trace,
    steered: Option<Compiled>,
    view: ViewModel,
    seed: u64,
    past: &Past,
) -> Result<RunResult, Vec<String>> {
    let mut world = World::since(scenario, trace, seed, past.begin)?;
    for environment in &past.unusable {
        world.set_state(*environment, Some(false), None);
    }
    let Some(compiled) = steered else {
        world.advance(past.end);
        return Ok(world.into_result());
    };
    let drive = Drive {
        view,
        end: past.end,
        whole: true,
        ..Drive::default()
    };
    Ok(drive::run(world, trace, (compiled, Planner), drive, seed, &mut |_| {}).0)
}

/// What a run came to.
type Ran = Result<Summary, Vec<String>>;

/// A candidate ready to run: its scenario, and what its controller knows.
struct Prepared {
    scenario: Scenario,
    controller: Option<(Compiled, Controller)>,
    notes: Vec<String>,
}

#[derive(Clone)]
enum Controller {
    Planner,
    Oracle(Span),
    MinFollowsDemand(Vcpus),
    TargetTracking,
}

fn prepare_all(scenario: &Scenario, trace: &Trace, candidates: &[Candidate]) -> Result<Vec<Prepared>, Vec<String>> {
    let mut problems: Vec<String> = scenario.problems().iter().map(ToString::to_string).collect();
    let mut prepared = Vec::new();
    if problems.is_empty() {
        for candidate in candidates {
            match prepare(scenario, trace, candidate) {
                Ok(ready) => prepared.push(ready),
                Err(found) => problems.extend(found),
            }
        }
    }
    if problems.is_empty() {
        Ok(prepared)
    } else {
        Err(problems)
    }
}

fn prepare(scenario: &Scenario, trace: &Trace, candidate: &Candidate) -> Result<Prepared, Vec<String>> {
    let mut scenario = scenario.clone();
    let mut notes = Vec::new();
    let mut compiled = |policy: &Policy, scenario: &Scenario| {
        let compiled = setup::compile(policy, &scenario.topology(), horizon(trace));
        let compiled = compiled.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        notes.clone_from(&compiled.notes);
        Ok::<Compiled, Vec<String>>(compiled)
    };
    let controller = match &candidate.steers {
        Steers::Stock => None,
        Steers::StockWithDelay(delay) => {
            set_scale_down_delay(&mut scenario, *delay);
            None
        }
        Steers::StaticMin(permille) => {
            set_first_minima(&mut scenario, *permille);
            None
        }
        Steers::MinFollowsDemand => Some((
            compiled(&plain()?, &scenario)?,
            Controller::MinFollowsDemand(mean_size(trace)),
        )),
        Steers::TargetTracking => Some((compiled(&plain()?, &scenario)?, Controller::TargetTracking)),
        Steers::Policy(policy) => Some((compiled(policy, &scenario)?, Controller::Planner)),
        Steers::Oracle(policy) => {
            let mut compiled = compiled(policy, &scenario)?;
            let mut longest = Span::ZERO;
            for (position, environment) in compiled.setup.environments.iter_mut().enumerate() {
                environment.launch_expected = launch_p90(&scenario, position);
                longest = longest.max(environment.launch_expected);
            }
            Some((compiled, Controller::Oracle(longest + ORACLE_MARGIN)))
        }
    };
    Ok(Prepared {
        scenario,
        controller,
        notes,
    })
}

/// The oracle is shown arrivals a little further than a launch takes, so that it can be ready in time.
const ORACLE_MARGIN: Span = Span::from_minutes(2);

fn set_scale_down_delay(scenario: &mut Scenario, delay: Span) {
    for environment in &mut scenario.environments {
        environment.scale_down_delay = Lasting(delay);
    }
}

/// Sets minvCpus of each queue's first environment to a share of its maxvCpus.
fn set_first_minima(scenario: &mut Scenario, permille: i64) {
    for queue in &scenario.queues {
        let first = queue.environments.first();
        for environment in scenario
            .environments
            .iter_mut()
            .filter(|environment| Some(&environment.name) == first)
        {
            let min = Vcpus::new(i64::from(environment.max_vcpus)).scaled_up(permille, 1000);
            environment.min_vcpus = u32::try_from(min.get()).unwrap_or(u32::MAX);
        }
    }
}

/// How long a launch takes in nine of ten cases: from EC2's answer to a registered instance.
fn launch_p90(scenario: &Scenario, position: usize) -> Span {
    let model = scenario.batch_model();
    let Some(environment) = scenario.environments.get(position) else {
        return Span::ZERO;
    };
    let by_purchase = match environment.purchase {
        Purchase::OnDemand => &model.boot_on_demand,
        Purchase::Spot => &model.boot_spot,
    };
    let boot = environment.boot.as_ref().unwrap_or(by_purchase);
    boot.at(NINE_OF_TEN) + model.pending.at(NINE_OF_TEN) + model.min_raise_delay.at(NINE_OF_TEN)
}

/// The draw whose fraction is nine tenths.
const NINE_OF_TEN: u64 = u64::MAX / 10 * 9;

/// The policy that other people's rules are compiled with: they use nothing of it but names.
fn plain() -> Result<Policy, Vec<String>> {
    let reactive = policy::SHIPPED
        .iter()
        .find(|(name, _)| *name == "reactive")
        .map_or("version = 1", |(_, text)| *text);
    policy::parse("reactive", reactive).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// From a day before the first submission to two weeks after the last: schedules count in between.
pub fn horizon(trace: &Trace) -> (Time, Time) {
    let submits = trace.jobs.iter().filter(|job| !job.is_spawned()).map(|job| job.submit);
    let first = submits.clone().min().unwrap_or(Time::EPOCH);
    let last = submits.max().unwrap_or(first);
    (
        first - Span::from_minutes(24 * 60),
        last + Span::from_minutes(14 * 24 * 60),
    )
}

/// The mean vCPUs of a job, rounded up.
fn mean_size(trace: &Trace) -> Vcpus {
    let total: Vcpus = trace.jobs.iter().map(|job| trace.shape_of(job).resources.vcpus).sum();
    total.scaled_up(1, to_i64(trace.jobs.len()).max(1)).max(Vcpus::new(1))
}

fn run_one(
    prepared: &Prepared,
    world: World<'_>,
    trace: &Trace,
    view: ViewModel,
    seed: u64,
    (watch_every, watch): Watched<'_>,
) -> (RunResult, Steering) {
    let Some((setup, controller)) = prepared.controller.clone() else {
        return (drive::run_alone(world, watch_every, watch), Steering::default());
    };
    let drive = Drive {
        view,
        watch_every,
        foresight: match controller {
            Controller::Oracle(foresight) => foresight,
            Controller::Planner | Controller::MinFollowsDemand(_) | Controller::TargetTracking => Span::ZERO,
        },
        ..Drive::default()
    };
    match controller {
        Controller::Planner | Controller::Oracle(_) => drive::run(world, trace, (setup, Planner), drive, seed, watch),
        Controller::MinFollowsDemand(size) => {
            drive::run(world, trace, (setup, MinFollowsDemand::new(size)), drive, seed, watch)
        }
        Controller::TargetTracking => drive::run(world, trace, (setup, TargetTracking::default()), drive, seed, watch),
    }
}
