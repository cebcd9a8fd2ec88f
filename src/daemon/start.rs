//! How a daemon begins: whose account it is, what the policies want of it, what an earlier process left.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::cloud::{Cloud, EnvironmentRead, Identity, NamedGuard, Read};
use super::driver::{Driver, Kit};
use super::reload::{self, Keys, Known};
use super::sight::Sight;
use super::telling::of_listing;
use super::{Event, Options, reading};
use crate::account::Topology;
use crate::clock;
use crate::control::{Controller, Input, Lease, Planner};
use crate::explain::printable;
use crate::forecast::Forecast;
use crate::input::{Problem, render};
use crate::journal::{Ended, Intent, NO_ANSWER, Recovered, Remembered};
use crate::observation::Observation;
use crate::planner::memory::Memory;
use crate::planner::plan::Subject;
use crate::policy::Policy;
use crate::setup::Setup;
use crate::units::{Span, Time, Vcpus};

/// Between attempts to read what a start needs; doubles up to the longest.
const AGAIN: Span = Span::from_seconds(5);
const AGAIN_MOST: Span = Span::from_minutes(1);

/// Reads until it works. A start without sight would change nothing and only say so; a restart would not help.
async fn insist<T, F: Future<Output = Read<T>>>(options: &Options, what: &str, read: impl Fn() -> F) -> T {
    let mut pause = AGAIN;
    loop {
        options
            .snapshot
            .send_modify(|snapshot| snapshot.at = options.clock.now());
        match read().await {
            Ok(value) => return value,
            Err(error) if pause == AGAIN => {
                let error = printable(&error.message);
                tracing::error!(%error, "Cannot begin yet: {what} could not be read; it is tried again");
            }
            Err(_) => {}
        }
        clock::wait(pause).await;
        pause = pause.times(2).min(AGAIN_MOST);
    }
}

/// Everything that a daemon needs before its first look.
pub(super) async fn start<C: Cloud>(
    cloud: Arc<C>,
    mut options: Options,
    events: mpsc::UnboundedSender<Event>,
) -> anyhow::Result<Driver<C>> {
    let identity = insist(&options, "the identity of the credentials", || cloud.identity()).await;
    expected(&identity, options.account.as_deref(), options.region.as_deref())?;
    options.store.is_of(&options.recovered, &identity)?;
    let not_taken = |problems: Vec<Problem>| anyhow::anyhow!("the policies are not taken:\n{}", render(&problems));
    let policy = reload::load(options.policies.clone()).await.map_err(not_taken)?;
    reload::is_of(&policy, &identity).map_err(not_taken)?;
    let topology = insist(&options, "the account", || cloud.topology()).await;
    let guards = guards(cloud.as_ref(), &options).await;
    take_open(&mut options.recovered);
    let noted = options.recovered.leases.clone();
    leave_to_others(&mut options.recovered, &topology, &guards, options.clock.now());
    let keys = keys(&options);
    let mut known = Known::default();
    let recovered = &options.recovered;
    for (name, memory) in &recovered.memory.environments {
        // Without a lease, what was remembered of base is history.
        if recovered.leases.contains_key(name) {
            known.take(name, memory.base_before, memory.max_before);
        }
    }
    known.take_guards(&guards);
    let now = options.clock.now();
    let mut compiled = reload::prepare(&policy, &topology, &known, &keys, now)
        .map_err(|problems| anyhow::anyhow!("policies and account do not fit:\n{}", render(&problems)))?;
    compiled.setup.region = Some(identity.region.clone());
    reload::say_notes(&compiled);
    warn_of_no_guard(&options);
    let names: Vec<String> = compiled.setup.environments.iter().map(|e| e.name.clone()).collect();
    let environments = insist(&options, "the compute environments", || cloud.environments(&names)).await;

    let read = options.clock.now();
    let memory = memory_of(&compiled.setup, &options.recovered.memory, read);
    let leases = inherited(&compiled.setup, &options.recovered, &guards, &environments, read);
    let controller = Controller::new(Planner, compiled.setup, compiled.forecast, options.clock.now());
    let controller = controller.with_memory(memory);
    let kit = Kit {
        identity,
        policy,
        topology,
        keys,
    };
    let open = options.recovered.open.clone();
    let mut driver = Driver::new(cloud, options, events, controller, kit);
    driver.noted = noted;
    driver.armed = guards.into_iter().map(|guard| (guard.environment, now)).collect();
    driver.see(environments);
    driver.lead_at_start();
    if driver.leads() {
        for (name, (lease, max_before)) in leases {
            if let Some(environment) = driver.environment(&name) {
                let name = printable(&name);
                let (min, expires) = (lease.min_vcpus, lease.expires);
                tracing::info!(environment = %name, %min, %expires, "Took over a lease");
                driver.step(Input::Adopted(environment, lease, max_before));
            }
        }
        driver.noted = driver.leases();
    }
    for intent in open {
        let ended = Ended {
            at: driver.now(),
            outcome: crate::control::Outcome::Failed,
            message: format!("{NO_ANSWER} is known: the process ended before one came"),
        };
        driver
            .writer
            .finished(driver.noted.clone(), Some((intent.number, ended)));
    }
    // What was taken over tells which levels are the operator's own.
    driver.tell_in_force(true);
    Ok(driver)
}

fn warn_of_no_guard(options: &Options) {
    if !options.guard && options.apply {
        let most = options.unguarded_max_vcpus;
        tracing::warn!(
            "No guard in the account restores base should this process die: at most {most} are asked of an environment"
        );
    }
}

/// Both must be those of the settings: a wrong profile must not steer the wrong account.
pub(crate) fn expected(identity: &Identity, account: Option<&str>, region: Option<&str>) -> anyhow::Result<()> {
    for (what, found, expected) in [
        ("account", &identity.account, account),
        ("region", &identity.region, region),
    ] {
        if let Some(expected) = expected
            && expected != found
        {
            anyhow::bail!(
                "the credentials are for {what} {}, expected {expected}\nhint: use other credentials, or change `{what}`",
                printable(found)
            );
        }
    }
    Ok(())
}

fn keys(options: &Options) -> Keys {
    Keys {
        tag: options.tag.clone(),
        unguarded_max_vcpus: (!options.guard).then_some(options.unguarded_max_vcpus),
    }
}

/// The guards there are. A dry run does without if it may not see them.
async fn guards<C: Cloud>(cloud: &C, options: &Options) -> Vec<NamedGuard> {
    if !options.guard {
        return Vec::new();
    }
    if options.apply {
        return insist(options, "the guards", || cloud.guards()).await;
    }
    cloud.guards().await.unwrap_or_else(|error| {
        let error = printable(&error.message);
        tracing::warn!(%error, "Guards could not be read: what another process raised may be taken for base");
        Vec::new()
    })
}

/// What was remembered by name, for the indices of a setup.
fn memory_of(setup: &Setup, remembered: &Remembered, now: Time) -> Memory {
    let mut memory = Memory::new(setup, now);
    for (slot, environment) in memory.environments.iter_mut().zip(&setup.environments) {
        *slot = remembered
            .environments
            .get(&environment.name)
            .copied()
            .unwrap_or_default();
        // A lease that is adopted brings them again; without one they are history.
        (slot.base_before, slot.in_flight) = (None, false);
    }
    for (slot, queue) in memory.queues.iter_mut().zip(&setup.queues) {
        *slot = remembered.queues.get(&queue.name).copied().unwrap_or_default();
    }
    for (slot, source) in memory.sqs.iter_mut().zip(&setup.sqs_sources) {
        *slot = remembered.sqs.get(&source.name).copied().unwrap_or_default();
    }
    memory
}

/// An update without an answer may have been taken: what it was to raise stands on a lease like any other.
fn take_open(recovered: &mut Recovered) {
    for intent in &recovered.open {
        let Some(lease) = intent.lease else { continue };
        let remembered = recovered.memory.environments.get(&intent.environment);
        let max_before = remembered.and_then(|memory| memory.max_before);
        let known = recovered.leases.entry(intent.environment.clone());
        let known = known.or_insert((lease, max_before));
        known.0.min_vcpus = known.0.min_vcpus.max(lease.min_vcpus);
        known.0.expires = known.0.expires.max(lease.expires);
    }
}

/// A lease that ran out while nobody was here, with no guard left: the account shows base, or what we set, unless somebody else has
/// changed min since. That is his now. Where max is still as we lowered it, the lease stands for that alone.
fn leave_to_others(recovered: &mut Recovered, topology: &Topology, guards: &[NamedGuard], now: Time) {
    for environment in &topology.environments {
        let (name, min) = (&environment.name, environment.min_vcpus);
        let Some((lease, _)) = recovered.leases.get_mut(name) else {
            continue;
        };
        let mut memory = recovered.memory.environments.get_mut(name);
        let remembered = memory.as_deref().copied().unwrap_or_default();
        let of_intents = |intent: &Intent| {
            intent.environment == *name && (intent.from.min_vcpus == min || intent.to.min_vcpus == min)
        };
        let is_ours = lease.min_vcpus == min
            || remembered.base_before.is_none_or(|base| base == min)
            || remembered.updated.is_some_and(|(_, asked)| asked == min)
            || recovered.open.iter().any(of_intents);
        let guarded = guards.iter().any(|guard| guard.environment == *name);
        if is_ours || guarded || lease.expires > now {
            continue;
        }
        tracing::warn!(environment = %printable(name), %min, "Another hand changed minvCpus while nobody was here; it is left alone");
        if let Some(memory) = &mut memory {
            memory.base_before = None;
        }
        let max = environment.max_vcpus;
        if remembered.max_before.is_some_and(|before| before != max) && remembered.max_ours == max {
            lease.min_vcpus = min;
        } else {
            recovered.leases.remove(name);
        }
    }
}

/// What an earlier process left raised, from its journal and from the account's guards. Where both tell, the guard says until
/// when, since it is what fires. A lease that should have a guard and has none is due for renewal at once.
pub(super) fn inherited(
    setup: &Setup,
    recovered: &Recovered,
    guards: &[NamedGuard],
    environments: &[EnvironmentRead],
    now: Time,
) -> BTreeMap<String, (Lease, Option<Vcpus>)> {
    let mut found = recovered.leases.clone();
    for (lease, _) in found.values_mut() {
        lease.expires = lease.expires.min(now + setup.tempo.lease.scaled_down(1, 2));
    }
    // Of an environment that is not steered, a guard may be another daemon's. It fires without us.
    let covered = |name: &String| {
        setup
            .environments
            .iter()
            .any(|setup| setup.name == *name && setup.covered)
    };
    let known_here =
        |guard: &&NamedGuard| covered(&guard.environment) || recovered.leases.contains_key(&guard.environment);
    for guard in guards.iter().filter(known_here) {
        let Some(seen) = environments.iter().find(|read| read.name == guard.environment) else {
            continue;
        };
        let max_before = guard.max_vcpus.filter(|max| *max != seen.now.max_vcpus);
        let lease = Lease {
            min_vcpus: seen.now.min_vcpus,
            expires: guard.fires,
        };
        let known = found.entry(guard.environment.clone()).or_insert((lease, max_before));
        known.0.expires = guard.fires;
        known.1 = known.1.or(max_before);
    }
    for (name, (_, max_before)) in &mut found {
        let remembered = recovered.memory.environments.get(name);
        *max_before = max_before.or(remembered.and_then(|memory| memory.max_before));
    }
    found
}

/// What one look at an account tells, for a plan that is only printed.
#[derive(Clone, Debug, Default)]
pub struct Looked {
    /// Policy and account together.
    pub setup: Setup,
    /// What the schedules foresee.
    pub forecast: Forecast,
    /// What was seen.
    pub observation: Observation,
    /// Orders of people; nothing else is remembered.
    pub memory: Memory,
    /// What a person should know: of the policy, and what could not be read.
    pub notes: Vec<String>,
    /// Whose account it is.
    pub identity: Identity,
    /// When it was looked at.
    pub at: Time,
}

/// Reads everything once, environments first and jobs last. What cannot be read is a gap, and noted.
pub async fn look_once<C: Cloud>(
    cloud: Arc<C>,
    policy: &Policy,
    keys: &Keys,
    clock: clock::Clock,
) -> anyhow::Result<Looked> {
    let identity = cloud.identity().await?;
    reload::is_of(policy, &identity).map_err(|problems| anyhow::anyhow!("{}", render(&problems)))?;
    let topology = cloud.topology().await?;
    let mut known = Known::default();
    let mut notes = Vec::new();
    match cloud.guards().await {
        Ok(guards) => known.take_guards(&guards),
        Err(error) => notes.push(format!(
            "guards could not be read, so what is raised may be taken for base: {}",
            printable(&error.message)
        )),
    }
    let now = clock.now();
    let mut compiled = reload::prepare(policy, &topology, &known, keys, now)
        .map_err(|problems| anyhow::anyhow!("policies and account do not fit:\n{}", render(&problems)))?;
    compiled.setup.region = Some(identity.region.clone());
    let mut sight = Sight::new(&compiled.setup);
    let mut memory = Memory::new(&compiled.setup, now);
    notes.extend(reload::unenforced(&compiled.setup));
    notes.extend(compiled.notes);
    reading::all_once(&cloud, &compiled.setup, &mut sight, clock).await;
    for (subject, order) in reading::orders_in(&sight) {
        let slot = match subject {
            Subject::Environment(index) => memory.environments.get_mut(index.position()).map(|m| &mut m.overridden),
            Subject::Queue(index) => memory.queues.get_mut(index.position()).map(|m| &mut m.overridden),
            Subject::Sqs(_) => None,
        };
        if let Some(slot) = slot {
            *slot = Some(order);
        }
    }
    let unread = sight.gaps.values().map(|(_, message)| printable(message).to_string());
    notes.extend(unread);
    for (queue, extra) in &sight.queues_read {
        notes.extend(of_listing(queue, extra).map(|told| told.sentence));
    }
    Ok(Looked {
        setup: compiled.setup,
        forecast: compiled.forecast,
        observation: sight.observation,
        memory,
        notes,
        identity,
        at: clock.now(),
    })
}
