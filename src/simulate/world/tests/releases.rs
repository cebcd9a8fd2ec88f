//! **The law of releases.** No policy ends an instance at a moment at which AWS Batch alone, with the same instance and
//! minvCpus at the operator's base, would have kept it.
//!
//! Batch ends an instance when two things hold: its idle time is over, and what stays fulfils minvCpus. The idle time is drawn
//! for the instance and the number of times it became idle, and for nothing else, so it is the same under every policy; it is
//! `minScaleDownDelayMinutes` at least if the instance has run a job. So the law is that at every release, whoever steers:
//!
//! 1. the instance has had no job since it became idle,
//! 2. it has been idle for the time drawn for it, and for the delay where that applies, and
//! 3. what stays fulfils base.
//!
//! Then Batch alone would have ended it at this moment or before: a policy can only make it stay. **One exception**, named by
//! the model's switch `ends_unused_at_once`: an instance that never ran a job goes without its idle time when an update lowers
//! minvCpus, and at no other moment.
//!
//! The third holds for whoever does not lower minvCpus below base. Ours never does; other people's rules do not know base, so
//! for them it is zero.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::laws::{meddling, scenarios, traces};
use super::*;
use crate::control::{Decide, Planner};
use crate::planner::plan::Because;
use crate::policy;
use crate::setup;
use crate::simulate::draws::{Cause, draw};
use crate::simulate::drive::{self, Drive};
use crate::simulate::model::Lasting;
use crate::simulate::rules::{MinFollowsDemand, TargetTracking};

const SEED: u64 = 7;

/// Who steers.
#[derive(Clone, Debug)]
enum Who {
    Nobody,
    /// Sets minvCpus to anything at any time: (second, environment, vCPUs beyond base).
    Anybody(Vec<(i64, u16, i64)>),
    Policy(&'static str),
    MinFollowsDemand,
    TargetTracking,
}

impl Who {
    const fn knows_base(&self) -> bool {
        match self {
            Self::Nobody | Self::Anybody(_) | Self::Policy(_) => true,
            Self::MinFollowsDemand | Self::TargetTracking => false,
        }
    }
}

fn anyone() -> impl Strategy<Value = Who> {
    prop_oneof![
        1 => Just(Who::Nobody),
        3 => meddling().prop_map(Who::Anybody),
        4 => proptest::sample::select(policy::SHIPPED.as_slice()).prop_map(|(name, _)| Who::Policy(name)),
        1 => Just(Who::MinFollowsDemand),
        1 => Just(Who::TargetTracking),
    ]
}

/// What was seen of a run besides its result.
#[derive(Default)]
struct Seen {
    /// Per instance: when it was last seen with a job.
    busy: BTreeMap<u64, Time>,
    /// When updates named minvCpus.
    updates: BTreeSet<(EnvironmentIndex, Time)>,
}

impl Seen {
    fn look(&mut self, world: &World<'_>) {
        let instances = world.environments.iter().flat_map(|place| &place.instances);
        for instance in instances.filter(|instance| instance.stage == Stage::Active && instance.jobs > 0) {
            self.busy.insert(instance.entity, world.now());
        }
    }
}

/// Looks are so far apart: a job that is shorter may be missed.
const LOOKS: Span = Span::from_seconds(20);

fn replay(who: &Who, scenario: &Scenario, trace: &Trace) -> (RunResult, Seen) {
    match who {
        Who::Nobody => meddled(scenario, trace, &[]),
        Who::Anybody(steps) => meddled(scenario, trace, steps),
        Who::Policy(name) => steered(Planner, name, scenario, trace),
        Who::MinFollowsDemand => steered(MinFollowsDemand::new(Vcpus::new(8)), "reactive", scenario, trace),
        Who::TargetTracking => steered(TargetTracking::default(), "reactive", scenario, trace),
    }
}

fn meddled(scenario: &Scenario, trace: &Trace, steps: &[(i64, u16, i64)]) -> (RunResult, Seen) {
    let mut world = World::new(scenario, trace, SEED).unwrap();
    let mut seen = Seen::default();
    let set_min = |world: &mut World<'_>, seen: &mut Seen, environment: u16, more: i64| {
        let base = i64::from(scenario.environments[usize::from(environment)].min_vcpus);
        let environment = EnvironmentIndex(environment);
        let change = Change {
            min: Some(Vcpus::new(base + more)),
            ..Change::default()
        };
        if world.update_compute_environment(environment, &change).is_ok() {
            seen.updates.insert((environment, world.now()));
        }
    };
    let origin = world.now();
    let mut steps = steps.iter().peekable();
    while world.now() < origin + Span::from_minutes(100) {
        let next = world.now() + LOOKS;
        while let Some((at, environment, more)) = steps.next_if(|step| origin + Span::from_seconds(step.0) <= next) {
            let at = origin + Span::from_seconds(*at);
            world.advance(at.max(world.now()));
            set_min(&mut world, &mut seen, *environment, *more);
        }
        world.advance(next);
        seen.look(&world);
    }
    for environment in 0..2 {
        set_min(&mut world, &mut seen, environment, 0);
        let later = world.now() + Span::from_minutes(10);
        world.advance(later);
    }
    world.run_to_end();
    (world.into_result(), seen)
}

fn steered<D: Decide>(decide: D, policy: &str, scenario: &Scenario, trace: &Trace) -> (RunResult, Seen) {
    let text = policy::SHIPPED.iter().find(|(name, _)| *name == policy).unwrap().1;
    let policy = policy::parse(policy, text).unwrap();
    let horizon = (Time::from_seconds(0), Time::from_seconds(30 * 86_400));
    let compiled = setup::compile(&policy, &scenario.topology(), horizon).unwrap();
    let mut seen = Seen::default();
    // The law is about releases, not about ends: under other people's rules a job may wait for weeks.
    let first = trace.jobs.iter().map(|job| job.submit).min().unwrap_or(Time::EPOCH);
    let drive = Drive {
        watch_every: LOOKS,
        end: first + Span::from_minutes(200),
        ..Drive::default()
    };
    let watch = &mut |world: &World<'_>| seen.look(world);
    let (result, steering) = drive::replay(scenario, trace, (compiled, decide), drive, SEED, watch).unwrap();
    // What was let go in vain is left to AWS Batch for an hour: nobody raises and lets go for ever.
    for environment in 0..scenario.environments.len() {
        let in_vain = steering.updates.iter().filter(|(_, action, accepted)| {
            *accepted && action.environment().position() == environment && action.because() == Because::HeldInVain
        });
        assert!(in_vain.count() <= 200 / 60 + 1, "{:?}", steering.updates);
    }
    let accepted = steering.updates.iter().filter(|(_, _, accepted)| *accepted);
    seen.updates
        .extend(accepted.map(|(at, action, _)| (action.environment(), *at)));
    (result, seen)
}

/// The least time for which this instance is kept, whoever steers.
fn kept(scenario: &Scenario, release: &Release) -> Span {
    let spec = &scenario.environments[release.environment.position()];
    let model = scenario.batch_model();
    let idle = match spec.purchase {
        Purchase::OnDemand => model.idle_on_demand,
        Purchase::Spot => model.idle_spot,
    };
    let drawn = idle.at(draw(SEED, Cause::Idle, release.instance, release.idle_periods));
    if release.ran {
        drawn.max(spec.scale_down_delay.0)
    } else {
        drawn
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn no_policy_releases_an_instance_earlier_than_stock_would(
        trace in traces(), scenario in scenarios(), who in anyone(),
        base in 0_u32..20, delay in prop_oneof![Just(0), 20_i64..40], at_once in any::<bool>(),
    ) {
        // In office hours of a working day, so that every shipped policy has something to do.
        let morning = Span::from_minutes((4 * 24 + 7) * 60);
        let jobs = trace.jobs.iter().map(|job| Job { submit: job.submit + morning, ..*job }).collect();
        let trace = Trace { jobs, ..trace };
        let mut scenario = scenario;
        scenario.model_overrides.ends_unused_at_once = Some(at_once);
        scenario.environments[0].min_vcpus = if who.knows_base() { base } else { 0 };
        for environment in &mut scenario.environments {
            environment.scale_down_delay = Lasting(Span::from_minutes(delay));
        }
        let (result, seen) = replay(&who, &scenario, &trace);
        for release in &result.releases {
            let spec = &scenario.environments[release.environment.position()];
            let base = Vcpus::new(i64::from(spec.min_vcpus));
            let busy = seen.busy.get(&release.instance).is_some_and(|busy| *busy >= release.idle_since);
            prop_assert!(!busy, "not idle all the time: {release:?}");
            let idle = release.at.since(release.idle_since);
            let by_update = seen.updates.contains(&(release.environment, release.at));
            let excepted = at_once && !release.ran && by_update;
            let kept = kept(&scenario, release);
            prop_assert!(idle >= kept || excepted, "after {idle}, not {kept}: {release:?}");
            prop_assert!(release.left >= base && release.left >= release.min, "base {base}: {release:?}");
        }
    }
}
