//! What every plan keeps of service quotas, whatever the account looks like.

use proptest::prelude::*;

use crate::ids::QuotaIndex;
use crate::observation::{GapReason, Observation, Seen};
use crate::overrides::{Order, Override};
use crate::planner::laws::{decide, settled};
use crate::planner::memory::Memory;
use crate::planner::plan::{Because, Limit, Plan, Reason};
use crate::planner::worlds::{self, NOW, any_world, apply};
use crate::setup::{EnvironmentSetup, Limits, Setup};
use crate::units::{Span, Vcpus};

/// The environments that draw from a quota, by position.
fn members(setup: &Setup, quota: usize) -> impl Iterator<Item = (usize, &EnvironmentSetup)> {
    let of = move |setup: &EnvironmentSetup| setup.quotas.iter().any(|share| share.quota == QuotaIndex::at(quota));
    setup
        .environments
        .iter()
        .enumerate()
        .filter(move |(_, setup)| of(setup))
}

/// The limit that holds, and what of it is not for us.
fn limit_and_others(setup: &Setup, observation: &Observation, quota: usize) -> (Vcpus, Vcpus) {
    let (of_policy, seen) = (&setup.quotas[quota], observation.quotas[quota].value().unwrap());
    let limit = of_policy.limit.map_or(seen.limit, |limit| limit.min(seen.limit));
    (limit, seen.used_by_others + of_policy.reserve)
}

/// vCPUs that may be under a quota: all that is there or asked for, but for instances that are told to be of other classes.
fn may_stand(setup: &Setup, observation: &Observation, quota: usize, position: usize) -> Vcpus {
    let now = observation.environments[position].value().unwrap();
    let instances = observation.instances[position].value().unwrap();
    let committed = now.desired_vcpus.max(now.min_vcpus).max(instances.there);
    committed - elsewhere(setup, observation, quota, position)
}

fn elsewhere(setup: &Setup, observation: &Observation, quota: usize, position: usize) -> Vcpus {
    let environment = &setup.environments[position];
    if environment.quotas.len() < 2 {
        return Vcpus::ZERO;
    }
    let family = if quota == 0 { "m6i" } else { "g5" };
    let types = &observation.instances[position].value().unwrap().types;
    types
        .iter()
        .filter(|(name, _)| !name.starts_with(family))
        .map(|(_, vcpus)| *vcpus)
        .sum()
}

/// Whether something of the environment could be launched under the quota, beside others of its quotas.
fn is_open(setup: &Setup, observation: &Observation, quota: usize, position: usize) -> bool {
    let smallest = Vcpus::new(4);
    setup.environments[position].quotas.len() < 2
        || smallest <= limit_and_others(setup, observation, quota).0
        || (0..setup.quotas.len()).all(|other| smallest > limit_and_others(setup, observation, other).0)
}

/// What the maxima of the environments that may launch under a quota come to, what they may, and what their floors do, with an instance of
/// overshoot each.
fn maxima_of(
    setup: &Setup,
    observation: &Observation,
    plan: &Plan,
    quota: usize,
    floor: &dyn Fn(usize) -> Vcpus,
) -> (Vcpus, Vcpus, Vcpus) {
    let (limit, others) = limit_and_others(setup, observation, quota);
    let all = members(setup, quota).map(|(at, _)| at);
    let open: Vec<usize> = all.filter(|at| is_open(setup, observation, quota, *at)).collect();
    let count = i64::try_from(members(setup, quota).count()).unwrap();
    let overshoot = |at: usize| {
        setup.environments[at]
            .largest
            .min(limit.scaled_down(1, 2 * count.max(1)))
    };
    let sum = |of: &dyn Fn(usize) -> Vcpus| -> Vcpus { open.iter().map(|at| of(*at)).sum() };
    let elsewhere = |at: usize| elsewhere(setup, observation, quota, at);
    let maxima = sum(&|at| ordered_max(plan, observation, at) - elsewhere(at));
    let floors = sum(&|at| floor(at) - elsewhere(at));
    (maxima, limit.minus_or_zero(others + sum(&overshoot)), floors)
}

fn ordered_max(plan: &Plan, observation: &Observation, position: usize) -> Vcpus {
    let action = plan
        .actions
        .iter()
        .find(|action| action.environment().position() == position);
    let now = observation.environments[position].value().unwrap().max_vcpus;
    action.map_or(now, |action| action.to().max_vcpus)
}

proptest! {
    #![proptest_config(ProptestConfig::default())]

    #[test]
    fn what_is_granted_and_what_stands_fit_into_every_quota((setup, mut observation) in any_world()) {
        let (_, plan, _) = settled(&setup, &mut observation);
        for quota in 0..setup.quotas.len() {
            let (limit, others) = limit_and_others(&setup, &observation, quota);
            let open = || members(&setup, quota).filter(|(at, _)| is_open(&setup, &observation, quota, *at));
            let bound = open().filter(|(_, setup)| setup.limits != Limits::Report);
            let granted: Vcpus = bound.map(|(at, _)| plan.environments[at].granted).sum();
            let stands: Vcpus = open().map(|(at, _)| may_stand(&setup, &observation, quota, at)).sum();
            prop_assert!(
                granted.is_zero() || granted + stands + others <= limit,
                "quota {quota}: {granted} more than {stands} and {others} of {limit}"
            );
        }
    }

    #[test]
    fn what_is_only_reported_changes_no_ask((mut setup, mut observation) in any_world()) {
        for environment in &mut setup.environments {
            environment.limits = Limits::Report;
        }
        let mut without = setup.clone();
        for environment in &mut without.environments {
            environment.quotas.clear();
        }
        let mut same = observation.clone();
        let (_, reported, _) = settled(&setup, &mut observation);
        let (_, free, _) = settled(&without, &mut same);
        prop_assert_eq!(&reported.actions, &free.actions);
        prop_assert_eq!(&reported.environments, &free.environments);
    }

    /// The sum of what Batch may do by itself, with an instance of overshoot each.
    #[test]
    fn enforced_maxima_fit_into_every_quota_where_floors_permit((mut setup, mut observation) in any_world()) {
        for environment in &mut setup.environments {
            environment.limits = Limits::Enforce;
        }
        for now in observation.environments.iter_mut().filter_map(Seen::value_mut) {
            now.updating = false;
        }
        let (_, plan, _) = settled(&setup, &mut observation);
        for quota in 0..setup.quotas.len() {
            let (maxima, most, floors) = maxima_of(&setup, &observation, &plan, quota, &|at| plan.scratch.pools[at].maximum.unwrap().floor);
            prop_assert!(maxima <= most.max(floors), "quota {quota}: {maxima} of {most}, floors {floors}");
        }
    }

    /// Some are paused, some left to another hand: what Batch may do there counts as it stands.
    #[test]
    fn maxima_make_room_for_those_that_do_not_move((mut setup, mut observation) in any_world(), fixed in 0_usize..8, paused in any::<bool>()) {
        for environment in &mut setup.environments {
            environment.limits = Limits::Enforce;
        }
        for now in observation.environments.iter_mut().filter_map(Seen::value_mut) {
            now.updating = false;
        }
        let until = NOW + Span::from_minutes(300);
        let (mut memory, _, now) = settled(&setup, &mut observation);
        let is_fixed = |at: usize| fixed >> at & 1 == 1;
        for (at, environment) in memory.environments.iter_mut().enumerate().filter(|(at, _)| is_fixed(*at)) {
            if paused {
                environment.overridden = Some(Override { order: Order::Pause, since: NOW, until });
            } else {
                environment.max_left_until = Some(until);
            }
            environment.max_before = None;
            let stands = observation.environments[at].value().unwrap().max_vcpus;
            (environment.max_ours, environment.max_from) = (stands, stands);
        }
        let plan = decide(&setup, &observation, &memory, now);
        for quota in 0..setup.quotas.len() {
            // Nothing is lower than its floor; what does not move is its own.
            let floor = |at: usize| plan.scratch.pools[at].maximum.map_or_else(|| ordered_max(&plan, &observation, at), |maximum| maximum.floor);
            let (maxima, most, floors) = maxima_of(&setup, &observation, &plan, quota, &floor);
            prop_assert!(maxima <= most.max(floors), "quota {quota}: {maxima} of {most}, floors {floors}");
        }
        for action in plan.actions.iter().filter(|action| is_fixed(action.environment().position())) {
            prop_assert_eq!(action.to().max_vcpus, action.from().max_vcpus);
        }
    }

    /// Whatever is refused, raced or answered late: an operator's max that we lowered is known until it stands again.
    #[test]
    fn no_operators_max_is_forgotten((mut setup, mut observation) in any_world(), answers in prop::collection::vec((0_i64..400, any::<bool>()), 12)) {
        for environment in &mut setup.environments {
            environment.limits = Limits::Enforce;
        }
        let operators: Vec<Vcpus> = observation.environments.iter().map(|seen| seen.value().unwrap().max_vcpus).collect();
        let mut memory = memory(&setup);
        let mut now = NOW;
        for (step, (seconds, accepted)) in answers.into_iter().enumerate() {
            now = now + Span::from_seconds(seconds);
            observation.refresh(now);
            if step == 6 {
                setup.environments.iter_mut().for_each(|environment| environment.limits = Limits::Clamp);
            }
            let plan = decide(&setup, &observation, &memory, now);
            memory.fold(&plan.notes);
            for action in &plan.actions {
                memory.environments[action.environment().position()].acted_at = Some(now);
                if accepted {
                    apply(&mut observation, &[*action]);
                }
            }
            for (at, before) in operators.iter().enumerate() {
                let stands = observation.environments[at].value().unwrap().max_vcpus;
                let known = memory.environments[at].max_before;
                prop_assert!(stands == *before || known == Some(*before), "{at}: {stands} stands, {known:?} is known of {before}");
                prop_assert_eq!(memory.environments[at].max_left_until, None);
            }
        }
    }

    #[test]
    fn no_maximum_is_ordered_below_what_stands_or_above_the_operators((setup, mut observation) in any_world()) {
        let (memory, plan, _) = settled(&setup, &mut observation);
        for action in &plan.actions {
            let at = action.environment().position();
            let now = observation.environments[at].value().unwrap();
            let (from, to) = (action.from().max_vcpus, action.to().max_vcpus);
            let operators = memory.environments[at].max_before.unwrap_or(now.max_vcpus);
            prop_assert!(to >= from || to >= now.desired_vcpus.max(setup.environments[at].smallest), "{action:?}");
            prop_assert!(to <= operators, "{action:?}");
            prop_assert!(to == from || setup.environments[at].enforces(), "{action:?}");
        }
    }
}

/// Quota 0 of 400 vCPUs, 100 of them used by others, on Spot and On-Demand together, 256 each.
fn two_of_one_quota() -> (Setup, Observation) {
    let mut setup = worlds::spot_then_on_demand();
    setup.quotas = vec![crate::setup::QuotaSetup {
        code: "L-34B43A08".to_owned(),
        limit: None,
        reserve: Vcpus::ZERO,
    }];
    for environment in &mut setup.environments {
        environment.limits = Limits::Enforce;
        environment.quotas = vec![worlds::share(0, 4, 64)];
    }
    let mut observation = worlds::quiet(&setup, NOW);
    *observation.quotas[0].value_mut().unwrap() = crate::observation::QuotaNow {
        limit: Vcpus::new(400),
        used_by_others: Vcpus::new(100),
    };
    (setup, observation)
}

fn memory(setup: &Setup) -> Memory {
    Memory::new(setup, NOW - Span::from_minutes(60))
}

fn maxima(plan: &Plan, observation: &Observation) -> [i64; 2] {
    [0, 1].map(|at| ordered_max(plan, observation, at).get())
}

#[test]
fn maxima_are_shared_out_by_floor_then_need_then_evenly() {
    let (setup, observation) = two_of_one_quota();
    // 400 - 100 - 2 * 64 = 172: nobody needs more than a launch.
    let plan = decide(&setup, &observation, &memory(&setup), NOW);
    assert_eq!(maxima(&plan, &observation), [86, 86]);
    // 30 jobs of 4 vCPUs wait for the first.
    let mut waiting = observation.clone();
    worlds::add_runnable(&mut waiting, 0, worlds::shape(4), 30);
    let plan = decide(&setup, &waiting, &memory(&setup), NOW);
    assert_eq!(maxima(&plan, &waiting), [136, 35]);
    // A job of 48 takes a whole instance: neither is ever below that.
    let mut large = observation;
    worlds::add_runnable(&mut large, 0, worlds::shape(48), 30);
    let plan = decide(&setup, &large, &memory(&setup), NOW);
    assert_eq!(maxima(&plan, &large), [108, 64]);
}

#[test]
fn what_stands_is_left_while_it_is_as_good() {
    let (setup, mut observation) = two_of_one_quota();
    let mut memory = memory(&setup);
    for (at, (jobs, expected)) in [(0, [86, 86]), (10, [86, 86]), (20, [86, 35]), (0, [136, 35])]
        .into_iter()
        .enumerate()
    {
        worlds::add_runnable(&mut observation, 0, worlds::shape(4), jobs);
        let now = NOW + Span::from_minutes(i64::try_from(at).unwrap());
        observation.refresh(now);
        let plan = decide(&setup, &observation, &memory, now);
        assert_eq!(maxima(&plan, &observation), expected, "after {at}");
        memory.fold(&plan.notes);
        for (environment, max) in memory.environments.iter_mut().zip(maxima(&plan, &observation)) {
            environment.supply = crate::planner::memory::Supply::Delivers;
            environment.updated = None;
            assert!(
                environment.max_before.is_none_or(|before| before == Vcpus::new(256)),
                "{max}"
            );
        }
        let after = maxima(&plan, &observation);
        for (seen, max) in observation.environments.iter_mut().zip(after) {
            seen.value_mut().unwrap().max_vcpus = Vcpus::new(max);
        }
    }
}

/// An earlier process died with its journal; its guard tells what the operator had.
#[test]
fn a_max_that_an_earlier_process_lowered_goes_back() {
    let setup = worlds::spot_then_on_demand();
    let observation = worlds::quiet(&setup, NOW);
    let mut memory = memory(&setup);
    memory.environments[0].max_before = Some(Vcpus::new(300));
    let plan = decide(&setup, &observation, &memory, NOW);
    assert_eq!(maxima(&plan, &observation), [300, 256]);
}

/// A refused update leaves what stood before: that is no other hand.
#[test]
fn a_refused_change_of_max_is_ordered_again() {
    let (setup, mut observation) = two_of_one_quota();
    let mut memory = memory(&setup);
    let mut expected = [[86, 86], [86, 86], [86, 86]].into_iter();
    for (minute, accepted) in [(0, false), (1, true), (2, false)] {
        let now = NOW + Span::from_minutes(minute);
        observation.refresh(now);
        let plan = decide(&setup, &observation, &memory, now);
        assert_eq!(Some(maxima(&plan, &observation)), expected.next(), "at {minute}");
        memory.fold(&plan.notes);
        if accepted {
            worlds::apply(&mut observation, &plan.actions);
        }
    }
    // More is needed here; that raise is refused too, and what was lowered before is still ours.
    for environment in &mut memory.environments {
        (environment.max_from, environment.max_ours) = (Vcpus::new(86), Vcpus::new(120));
    }
    let plan = decide(&setup, &observation, &memory, NOW + Span::from_minutes(2));
    memory.fold(&plan.notes);
    let kept = memory
        .environments
        .iter()
        .map(|memory| (memory.max_ours, memory.max_before));
    assert!(
        kept.into_iter()
            .all(|kept| kept == (Vcpus::new(86), Some(Vcpus::new(256))))
    );
}

#[test]
fn without_sight_of_a_quota_no_max_moves() {
    let (setup, mut observation) = two_of_one_quota();
    observation.quotas[0] = Seen::default();
    let mut memory = memory(&setup);
    (memory.environments[0].max_before, memory.environments[0].max_ours) = (Some(Vcpus::new(300)), Vcpus::new(256));
    let plan = decide(&setup, &observation, &memory, NOW);
    assert_eq!(maxima(&plan, &observation), [256, 256]);
}

/// Given back and refused: nobody may forget what the operator had.
#[test]
fn the_operators_max_is_remembered_until_it_is_seen_to_stand_again() {
    let (mut setup, mut observation) = two_of_one_quota();
    let mut memory = memory(&setup);
    let plan = decide(&setup, &observation, &memory, NOW);
    memory.fold(&plan.notes);
    apply(&mut observation, &plan.actions);
    for environment in &mut setup.environments {
        environment.limits = Limits::Clamp;
    }
    // Minute: what is asked for, whether it is accepted, whether it is remembered afterwards.
    for (minute, expected, accepted, remembered) in [
        (10, 256, false, true),
        (20, 256, false, true),
        (30, 256, true, true),
        (31, 256, true, true),
        (33, 256, true, false),
    ] {
        let now = NOW + Span::from_minutes(minute);
        observation.refresh(now);
        let plan = decide(&setup, &observation, &memory, now);
        assert_eq!(maxima(&plan, &observation), [expected; 2], "after {minute} minutes");
        memory.fold(&plan.notes);
        let kept = memory
            .environments
            .iter()
            .all(|memory| memory.max_before == Some(Vcpus::new(256)));
        let gone = memory.environments.iter().all(|memory| memory.max_before.is_none());
        assert!(if remembered { kept } else { gone }, "after {minute} minutes");
        for environment in &mut memory.environments {
            if !plan.actions.is_empty() {
                environment.acted_at = Some(now);
            }
        }
        if accepted {
            apply(&mut observation, &plan.actions);
        }
    }
}

/// It was given back: what comes then is the operator's new value, and nobody has to be yielded to.
#[test]
fn a_max_that_is_changed_after_it_was_given_back_is_the_operators() {
    let (setup, mut observation) = two_of_one_quota();
    let mut memory = memory(&setup);
    for memory in &mut memory.environments {
        memory.max_before = Some(Vcpus::new(300));
        (memory.max_ours, memory.max_from) = (Vcpus::new(300), Vcpus::new(86));
    }
    observation.environments[0].value_mut().unwrap().max_vcpus = Vcpus::new(200);
    let plan = decide(&setup, &observation, &memory, NOW);
    memory.fold(&plan.notes);
    assert_eq!(memory.environments[0].max_left_until, None);
    assert_eq!(memory.environments[0].max_before, Some(Vcpus::new(200)), "lowered anew");
}

/// A person's 256, or what a stack put back: the same value as before is another hand's too, once ours was seen to stand.
#[test]
fn the_operators_own_value_put_back_by_another_hand_is_left_alone() {
    let (setup, mut observation) = two_of_one_quota();
    let mut memory = memory(&setup);
    let plan = decide(&setup, &observation, &memory, NOW);
    memory.fold(&plan.notes);
    apply(&mut observation, &plan.actions);
    for (minute, seen, expected) in [(5, 86, 86), (10, 256, 256), (60, 256, 256)] {
        let now = NOW + Span::from_minutes(minute);
        observation.refresh(now);
        observation.environments[0].value_mut().unwrap().max_vcpus = Vcpus::new(seen);
        let plan = decide(&setup, &observation, &memory, now);
        memory.fold(&plan.notes);
        assert_eq!(maxima(&plan, &observation)[0], expected, "after {minute} minutes");
    }
}

/// Batch may go as far as its max there, so others may not.
#[test]
fn a_max_that_does_not_move_counts_whole() {
    let (setup, mut observation) = two_of_one_quota();
    let mut paused = memory(&setup);
    paused.environments[0].overridden = Some(Override {
        order: Order::Pause,
        since: NOW,
        until: NOW + Span::from_minutes(60),
    });
    let mut left = memory(&setup);
    left.environments[0].max_left_until = Some(NOW + Span::from_minutes(30));
    observation.environments[0].value_mut().unwrap().max_vcpus = Vcpus::new(100);
    // 400 - 100 - 2 * 64 = 172, of which 100 are not to be moved.
    for memory in [&paused, &left] {
        let plan = decide(&setup, &observation, memory, NOW);
        assert_eq!(maxima(&plan, &observation), [100, 72]);
    }
    observation.environments[0].value_mut().unwrap().enabled = false;
    let plan = decide(&setup, &observation, &left, NOW);
    assert_eq!(maxima(&plan, &observation), [100, 236], "it launches nothing");
}

/// Jobs that nothing is asked for: Batch launches for them all the same, and max must let it.
#[test]
fn what_batch_launches_for_unasked_is_needed_too() {
    let jobs = |observation: &mut Observation| worlds::add_runnable(observation, 0, worlds::shape(4), 30);
    let told = |change: &dyn Fn(&mut Setup, &mut Observation, &mut Memory)| {
        let (mut setup, mut observation) = two_of_one_quota();
        let mut memory = memory(&setup);
        change(&mut setup, &mut observation, &mut memory);
        let plan = decide(&setup, &observation, &memory, NOW);
        assert!(plan.environments.iter().all(|sums| sums.wanted.is_zero()));
        maxima(&plan, &observation)
    };
    assert_eq!(told(&|_, _, _| {}), [86, 86]);
    let unfollowed = told(&|setup, observation, _| {
        setup.queues[0].follows_runnable = false;
        jobs(observation);
    });
    assert_eq!(unfollowed, [136, 35]);
    let paused = told(&|_, observation, memory| {
        memory.queues[0].overridden = Some(Override {
            order: Order::Pause,
            since: NOW,
            until: NOW + Span::from_minutes(60),
        });
        jobs(observation);
    });
    assert_eq!(paused, [136, 35]);
    // Two nodes of 48 vCPUs take two whole instances, which only On-Demand gives.
    let multi_node = told(&|_, observation, _| {
        let shape = crate::observation::Shape {
            nodes: 2,
            ..worlds::shape(48)
        };
        observation.queues[0].multi_node.add(shape, 1);
    });
    assert_eq!(multi_node, [30, 141]);
}

/// 30 jobs of 4 vCPUs need 120, however far Batch has got with them: neither less nor twice that.
#[test]
fn what_batch_launches_for_unasked_is_counted_once_while_it_boots() {
    for (there, idle) in [(0, 0), (32, 8), (64, 16), (120, 30)] {
        let (mut setup, mut observation) = two_of_one_quota();
        setup.queues[0].follows_runnable = false;
        worlds::add_runnable(&mut observation, 0, worlds::shape(4), 30);
        let memory = memory(&setup);
        observation.environments[0].value_mut().unwrap().desired_vcpus = Vcpus::new(120);
        let instances = observation.instances[0].value_mut().unwrap();
        instances.there = Vcpus::new(there);
        instances.rooms = vec![crate::observation::Room {
            free: worlds::shape(4).resources,
            instances: idle,
        }];
        let plan = decide(&setup, &observation, &memory, NOW);
        // The smallest instance more, for replacements.
        assert_eq!(
            plan.scratch.pools[0].maximum.unwrap().need,
            Vcpus::new(124),
            "{there} are there"
        );
        assert_eq!(maxima(&plan, &observation), [139, 32]);
    }
}

/// Not even in vain: a moment later it is known what it allows.
#[test]
fn before_a_quota_was_read_nothing_is_raised_where_it_binds() {
    for (limits, why, raised) in [
        (Limits::Clamp, GapReason::NotReadYet, false),
        (Limits::Enforce, GapReason::NotReadYet, false),
        (Limits::Report, GapReason::NotReadYet, true),
        (Limits::Clamp, GapReason::Denied, true),
    ] {
        let (mut setup, mut observation) = two_of_one_quota();
        setup.quotas[0].limit = Some(Vcpus::new(1_000));
        for environment in &mut setup.environments {
            environment.limits = limits;
        }
        worlds::add_runnable(&mut observation, 0, worlds::shape(4), 30);
        let gap = crate::observation::Gap { since: NOW, why };
        observation.quotas[0] = Seen::Missing(gap);
        let (_, plan, _) = settled(&setup, &mut observation);
        let granted: Vcpus = plan.environments.iter().map(|sums| sums.granted).sum();
        assert_eq!(!granted.is_zero(), raised, "{limits:?} {why:?}");
        let told = |reason: &Reason| matches!(reason.because, Because::Limit(Limit::QuotaUnread(_), _));
        assert_eq!(plan.reasons.iter().any(told), !raised, "{limits:?} {why:?}");
        assert!(raised || plan.actions.is_empty(), "{:?}", plan.actions);
    }
}

#[test]
fn another_hand_s_max_is_left_alone_for_an_hour() {
    let (setup, mut observation) = two_of_one_quota();
    let mut memory = memory(&setup);
    let plan = decide(&setup, &observation, &memory, NOW);
    memory.fold(&plan.notes);
    worlds::apply(&mut observation, &plan.actions);
    observation.environments[0].value_mut().unwrap().max_vcpus = Vcpus::new(200);
    for (minute, expected) in [(1, 200), (30, 200), (60, 200), (61, 75)] {
        let now = NOW + Span::from_minutes(minute);
        observation.refresh(now);
        let plan = decide(&setup, &observation, &memory, now);
        assert_eq!(maxima(&plan, &observation)[0], expected, "after {minute} minutes");
        memory.fold(&plan.notes);
        worlds::apply(&mut observation, &plan.actions);
        assert_eq!(memory.environments[0].max_before.is_some(), minute == 61);
    }
}
