//! What every plan keeps, whatever the account looks like.

use proptest::prelude::*;

use crate::catalog::Purchase;
use crate::forecast::Forecast;
use crate::observation::{Gap, GapReason, Observation, Seen, Tally};
use crate::overrides::{Order, Override};
use crate::planner::memory::{Memory, Raised};
use crate::planner::plan::{Because, Plan};
use crate::planner::worlds::{NOW, any_world, apply};
use crate::planner::{self, Inputs, worlds};
use crate::setup::Setup;
use crate::units::{Span, Time, Vcpus};

pub(super) fn decide(setup: &Setup, observation: &Observation, memory: &Memory, now: Time) -> Plan {
    let mut plan = Plan::default();
    let inputs = Inputs {
        setup,
        observation,
        memory,
        forecast: &Forecast::default(),
        now,
    };
    planner::plan(&inputs, &mut plan);
    plan
}

/// A plan after batch-first has passed, with the memory that leads there.
pub(super) fn settled(setup: &Setup, observation: &mut Observation) -> (Memory, Plan, Time) {
    let mut memory = Memory::new(setup, NOW - Span::from_minutes(60));
    let mut now = NOW;
    for _ in 0..3 {
        let plan = decide(setup, observation, &memory, now);
        memory.fold(&plan.notes);
        for environment in &mut memory.environments {
            environment.updated = None;
        }
        now = now + Span::from_seconds(65);
        observation.refresh(now);
    }
    let plan = decide(setup, observation, &memory, now);
    (memory, plan, now)
}

/// Capacity that is asked for on behalf of a queue: on its way and new. (Idle room is not asked for: it is there, and how
/// well jobs pack into it is theirs.)
fn total_grant(plan: &Plan, queue: usize) -> Vcpus {
    plan.queues[queue].from_on_its_way + plan.queues[queue].granted
}

proptest! {
    #![proptest_config(ProptestConfig::default())]

    #[test]
    fn desired_is_never_lowered((setup, mut observation) in any_world()) {
        let (_, plan, _) = settled(&setup, &mut observation);
        for action in &plan.actions {
            prop_assert!(action.to().desired_vcpus >= action.from().desired_vcpus);
            prop_assert!(action.to().min_vcpus <= action.to().max_vcpus);
            prop_assert!(action.change().desired_vcpus.is_none() || action.to().desired_vcpus == action.to().min_vcpus);
        }
    }

    #[test]
    fn what_a_person_stopped_is_not_raised((setup, mut observation) in any_world(), drain in any::<bool>()) {
        let (mut memory, _, now) = settled(&setup, &mut observation);
        let order = if drain { Order::Drain } else { Order::Pause };
        for environment in &mut memory.environments {
            environment.overridden = Some(Override { order, since: NOW, until: now + Span::from_minutes(60) });
        }
        let plan = decide(&setup, &observation, &memory, now);
        prop_assert!(plan.actions.iter().all(|action| !action.raises()), "{:?}", plan.actions);
        prop_assert!(drain || plan.actions.is_empty(), "{:?}", plan.actions);
    }

    #[test]
    fn claims_never_exceed_capacity((setup, mut observation) in any_world()) {
        let (_, plan, _) = settled(&setup, &mut observation);
        for (position, sums) in plan.environments.iter().enumerate() {
            let rounding = Vcpus::new(i64::try_from(plan.reasons.len()).unwrap() + 16);
            let idle = sums.there - sums.used;
            prop_assert!(sums.claimed_idle <= idle + rounding, "{position}: {sums:?}");
            prop_assert!(sums.claimed_on_its_way <= sums.on_its_way, "{position}: {sums:?}");
        }
    }

    #[test]
    fn grants_stay_within_every_cap((setup, mut observation) in any_world()) {
        let (_, plan, _) = settled(&setup, &mut observation);
        let levels = |position: usize| *observation.environments[position].value().unwrap();
        for (position, environment) in setup.environments.iter().enumerate() {
            let committed = plan.environments[position].there.max(levels(position).desired_vcpus).max(levels(position).min_vcpus);
            let granted = plan.environments[position].granted;
            if granted > Vcpus::ZERO {
                prop_assert!(committed + granted <= levels(position).max_vcpus);
                prop_assert!(environment.cap.is_none_or(|cap| committed + granted <= cap));
                prop_assert!(environment.max_step.is_none_or(|step| granted <= step));
            }
        }
        for action in &plan.actions {
            let environment = &setup.environments[action.environment().position()];
            let cap = environment.cap.map_or(Vcpus::MAX, |cap| cap.max(environment.base));
            prop_assert!(action.to().min_vcpus <= cap.max(action.from().min_vcpus));
        }
        let all: Vcpus = plan.environments.iter().map(|sums| sums.granted).sum();
        let there: Vcpus = (0..setup.environments.len()).map(|p| plan.environments[p].there.max(levels(p).desired_vcpus).max(levels(p).min_vcpus)).sum();
        prop_assert!(all.is_zero() || all + there <= setup.account_cap.unwrap());
    }

    #[test]
    fn more_demand_never_lowers_its_queue_s_own_total((setup, observation) in any_world(), extra in 1_i64..30, vcpus in prop::sample::select(vec![1_i64, 4, 16])) {
        let memory = Memory::new(&setup, NOW - Span::from_minutes(60));
        let before = decide(&setup, &observation, &memory, NOW);
        for queue in 0..setup.queues.len() {
            let mut more = observation.clone();
            worlds::add_runnable(&mut more, queue, worlds::shape(vcpus), extra);
            let after = decide(&setup, &more, &memory, NOW);
            // Another job may make all jobs pack better into what is there or on its way; by less than an instance.
            let packing = setup.environments.iter().map(|e| e.largest).max().unwrap();
            prop_assert!(total_grant(&after, queue) + packing >= total_grant(&before, queue), "queue {queue}: {:?} then {:?}", before.queues[queue], after.queues[queue]);
        }
    }

    #[test]
    fn the_order_of_input_is_irrelevant((setup, observation) in any_world()) {
        let memory = Memory::new(&setup, NOW - Span::from_minutes(60));
        let plan = decide(&setup, &observation, &memory, NOW);
        let mut reversed = observation.clone();
        for queue in &mut reversed.queues {
            let rows: Vec<_> = queue.runnable.value().unwrap().rows().map(|(shape, jobs)| (*shape, jobs)).collect();
            *queue.runnable.value_mut().unwrap() = rows.into_iter().rev().collect::<Tally>();
        }
        let again = decide(&setup, &reversed, &memory, NOW);
        prop_assert_eq!(&plan.actions, &again.actions);
        prop_assert_eq!(&plan.reasons, &again.reasons);
        prop_assert_eq!(&plan.notes, &again.notes);
    }

    #[test]
    fn applying_plans_ends_with_an_empty_one((mut setup, mut observation) in any_world()) {
        for environment in &mut setup.environments {
            environment.max_step = None; // leaves something for the next update on purpose
        }
        for now in observation.environments.iter_mut().filter_map(Seen::value_mut) {
            now.updating = false; // so does an environment that cannot be updated now
        }
        let (mut memory, mut plan, now) = settled(&setup, &mut observation);
        // A preferred queue may take what was asked for another, and whole jobs may pack differently onto what is on its way
        // than onto what was. A further look then asks for what is still missing; it never lowers and never goes on. Where jobs take
        // what is on its way as warm room, slot by slot, that ends when all of them have some.
        for round in 0..500 {
            memory.fold(&plan.notes);
            for environment in &mut memory.environments {
                environment.updated = None;
            }
            apply(&mut observation, &plan.actions);
            let again = decide(&setup, &observation, &memory, now);
            prop_assert!(round < 499 || again.actions.is_empty(), "still {:?}", again.actions);
            // Where quotas are enforced, maxima follow what is there.
            let goes_on = |action: &super::plan::Action| action.raises() || action.from().min_vcpus == action.to().min_vcpus;
            prop_assert!(again.actions.iter().all(goes_on), "{:?} then {:?}", plan.actions, again.actions);
            if again.actions.is_empty() && again.notes.is_empty() {
                break;
            }
            plan = again;
        }
    }

    #[test]
    fn a_plan_after_applying_a_plan_is_empty((mut setup, mut observation) in any_world()) {
        setup.queues.truncate(1);
        setup.queues[0].environments.truncate(1);
        setup.queues[0].headroom_slots = 0;
        setup.serve_order.truncate(1);
        observation.queues.truncate(1);
        for environment in &mut setup.environments {
            environment.max_step = None;
            environment.limits = crate::setup::Limits::Clamp; // maxima follow what was asked for
        }
        let (mut memory, plan, now) = settled(&setup, &mut observation);
        memory.fold(&plan.notes);
        for environment in &mut memory.environments {
            environment.updated = None;
        }
        apply(&mut observation, &plan.actions);
        let again = decide(&setup, &observation, &memory, now);
        prop_assert!(again.actions.is_empty(), "{:?} then {:?}", plan.actions, again.actions);
    }

    #[test]
    fn nothing_follows_before_the_plan_says_so((setup, observation) in any_world(), at in 0.0_f64..1.0) {
        let mut observation = observation;
        let (mut memory, plan, now) = settled(&setup, &mut observation);
        apply(&mut observation, &plan.actions);
        memory.fold(&plan.notes);
        let plan = decide(&setup, &observation, &memory, now);
        memory.fold(&plan.notes);
        let horizon = plan.look_again_at.min(now + Span::from_minutes(240)).since(now).millis();
        let early = Time::from_millis(now.millis() + crate::units::f64_to_i64(crate::units::i64_to_f64(horizon) * at));
        if plan.actions.is_empty() && early < plan.look_again_at {
            let again = decide(&setup, &observation, &memory, early);
            prop_assert!(again.actions.is_empty(), "at {early} before {}: {:?}", plan.look_again_at, again.actions);
        }
    }

    #[test]
    fn missing_data_never_causes_an_action((setup, observation) in any_world(), which in 0_usize..5) {
        let memory = Memory::new(&setup, NOW - Span::from_minutes(60));
        let gap = Gap { since: NOW - Span::from_minutes(2), why: GapReason::Throttled };
        let mut blind = observation.clone();
        for queue in &mut blind.queues {
            match which {
                0 => queue.runnable = Seen::Missing(gap),
                1 => queue.placed = Seen::Missing(gap),
                4 => queue.head = Seen::Missing(gap),
                _ => {}
            }
        }
        for position in 0..setup.environments.len() {
            match which {
                2 => blind.instances[position] = Seen::Missing(gap),
                3 => blind.environments[position] = Seen::Missing(gap),
                _ => {}
            }
        }
        let sighted = decide(&setup, &observation, &memory, NOW);
        let plan = decide(&setup, &blind, &memory, NOW);
        for action in &plan.actions {
            let known = sighted.actions.iter().any(|other| other.environment() == action.environment());
            // What is seen in full may take what the unseen would have taken.
            let seen_in_full = which < 2
                && setup.queues.iter().all(|queue| !queue.environments.contains(&action.environment()));
            // What no unseen queue uses may still be kept within a quota, as it would be with everything seen.
            let only_max = action.from().min_vcpus == action.to().min_vcpus;
            let permitted = action.raises() && (known || seen_in_full || which >= 2);
            prop_assert!(permitted || only_max && known, "{action:?}");
        }
    }
}

#[test]
fn after_max_blind_everything_returns_to_base() {
    let setup = worlds::spot_then_on_demand();
    let mut observation = worlds::quiet(&setup, NOW);
    observation.environments[0].value_mut().unwrap().min_vcpus = Vcpus::new(64);
    observation.environments[0].value_mut().unwrap().desired_vcpus = Vcpus::new(64);
    let memory = Memory::new(&setup, NOW);
    let later = NOW + setup.tempo.max_blind + Span::from_millis(1);
    let plan = decide(&setup, &observation, &memory, later);
    assert_eq!(plan.actions.len(), 1);
    assert_eq!(plan.actions[0].to().min_vcpus, Vcpus::ZERO);
    assert!(matches!(plan.actions[0].because(), Because::Blind(..)));
}

/// A restart, and a policy that brings an environment: what was never read had no time to be read yet.
#[test]
fn what_was_never_read_returns_to_base_only_when_there_was_time_to_read_it() {
    let setup = worlds::spot_then_on_demand();
    let seen = {
        let mut seen = worlds::quiet(&setup, NOW);
        let levels = seen.environments[0].value_mut().unwrap();
        (levels.min_vcpus, levels.desired_vcpus) = (Vcpus::new(64), Vcpus::new(64));
        seen
    };
    let forget: [fn(&mut Observation); 3] = [
        |seen| seen.instances[0] = Seen::default(),
        |seen| seen.queues[0].runnable = Seen::default(),
        |seen| seen.queues[0].placed = Seen::default(),
    ];
    for forget in forget {
        let mut observation = seen.clone();
        let memory = Memory {
            started: NOW - Span::from_minutes(600),
            ..Memory::new(&setup, NOW)
        };
        let in_time = NOW + setup.tempo.max_blind;
        for now in [NOW, NOW + Span::from_seconds(1), in_time] {
            observation.refresh(now);
            forget(&mut observation);
            let plan = decide(&setup, &observation, &memory, now);
            assert_eq!(plan.actions, [], "{now}");
            assert!(plan.look_again_at <= in_time + Span::from_millis(1), "{now}");
        }
        let late = in_time + Span::from_millis(1);
        observation.refresh(late);
        forget(&mut observation);
        let plan = decide(&setup, &observation, &memory, late);
        assert_eq!(plan.actions[0].to().min_vcpus, Vcpus::ZERO);
        assert!(matches!(plan.actions[0].because(), Because::Blind(..)));
    }
}

#[test]
fn what_was_counted_only_in_part_may_raise_but_never_lower() {
    let setup = worlds::spot_then_on_demand();
    let mut observation = worlds::quiet(&setup, NOW);
    observation.environments[0].value_mut().unwrap().min_vcpus = Vcpus::new(64);
    observation.queues[0].runnable = Seen::AtLeast(NOW, Tally::default());
    let mut memory = Memory::new(&setup, NOW - Span::from_minutes(60));
    for minute in 0..10 {
        let now = NOW + Span::from_minutes(minute);
        observation.refresh(now);
        let plan = decide(&setup, &observation, &memory, now);
        memory.fold(&plan.notes);
        assert!(plan.actions.is_empty(), "{:?}", plan.actions);
    }
}

/// What runs is known from container instances. Counts that are too small take nothing off what waits, either.
#[test]
fn jobs_that_run_and_are_counted_in_part_keep_nothing_up_and_take_nothing_off() {
    let setup = worlds::spot_then_on_demand();
    let mut observation = worlds::quiet(&setup, NOW);
    let levels = observation.environments[0].value_mut().unwrap();
    (levels.min_vcpus, levels.desired_vcpus) = (Vcpus::new(64), Vcpus::new(64));
    let instances = observation.instances[0].value_mut().unwrap();
    (instances.there, instances.used) = (Vcpus::new(64), Vcpus::new(64));
    observation.queues[0].placed = Seen::AtLeast(NOW, [(worlds::shape(1), 1)].into_iter().collect());
    let mut memory = Memory::new(&setup, NOW - Span::from_minutes(60));
    let mut lowers = |minute| {
        let now = NOW + Span::from_minutes(minute);
        observation.refresh(now);
        let plan = decide(&setup, &observation, &memory, now);
        memory.fold(&plan.notes);
        plan.actions.iter().any(|action| action.to().min_vcpus.is_zero())
    };
    assert!((0..10).any(&mut lowers));
    worlds::add_runnable(&mut observation, 0, worlds::shape(4), 8);
    let plan = decide(&setup, &observation, &memory, NOW + Span::from_minutes(10));
    assert_eq!(plan.environments[0].wanted, Vcpus::new(32), "{:?}", plan.reasons);
}

#[test]
fn memory_stays_small() {
    let mut setup = worlds::spot_then_on_demand();
    setup.environments = vec![worlds::environment("e", Purchase::Spot, None); 50];
    setup.queues = vec![worlds::queue("q", &[0]); 50];
    let bytes = serde_json::to_vec(&Memory::new(&setup, NOW)).unwrap().len();
    assert!(bytes < 64 * 1024, "{bytes}");
}

/// Four idle instances of 64 vCPUs with this much memory each, held by min at all of max.
fn hold_idle_room(observation: &mut Observation, memory: i64) {
    let levels = observation.environments[0].value_mut().unwrap();
    (levels.min_vcpus, levels.desired_vcpus) = (Vcpus::new(256), Vcpus::new(256));
    let instances = observation.instances[0].value_mut().unwrap();
    instances.there = Vcpus::new(256);
    instances.rooms = vec![crate::observation::Room {
        free: worlds::resources(64, memory),
        instances: 4,
    }];
}

#[test]
fn room_held_in_vain_is_let_go_although_demand_was_counted_only_in_part() {
    let setup = worlds::spot_then_on_demand();
    let mut observation = worlds::quiet(&setup, NOW);
    hold_idle_room(&mut observation, 64 * 2048);
    // What was counted fits the idle room, yet nothing is placed: the job at the head needs another shape.
    observation.queues[0].runnable = Seen::AtLeast(NOW, [(worlds::shape(1), 1_000)].into_iter().collect());
    let mut memory = Memory::new(&setup, NOW - Span::from_minutes(60));
    let mut released_after = None;
    for second in (0..600).step_by(15) {
        let now = NOW + Span::from_seconds(second);
        observation.refresh(now);
        let plan = decide(&setup, &observation, &memory, now);
        memory.fold(&plan.notes);
        if let Some(action) = plan.actions.iter().find(|action| action.to().min_vcpus.is_zero()) {
            assert_eq!(action.because(), Because::HeldInVain);
            released_after.get_or_insert(now.since(NOW));
        }
    }
    let released_after = released_after.expect("the room is let go");
    assert!(
        released_after >= setup.tempo.not_placed_after && released_after <= Span::from_minutes(6),
        "{released_after}"
    );
}

#[test]
fn room_that_the_head_of_the_queue_cannot_use_is_let_go_at_once() {
    let setup = worlds::spot_then_on_demand();
    let mut observation = worlds::quiet(&setup, NOW);
    hold_idle_room(&mut observation, 64 * 2048);
    observation.queues[0].runnable = Seen::AtLeast(NOW, [(worlds::shape(1), 1_000)].into_iter().collect());
    let released_after = |head: crate::observation::Shape| {
        let mut observation = observation.clone();
        observation.queues[0].head = Seen::Exactly(NOW, Some(head));
        let mut memory = Memory::new(&setup, NOW - Span::from_minutes(60));
        (0..600).step_by(15).map(Span::from_seconds).find(|after| {
            observation.refresh(NOW + *after);
            let plan = decide(&setup, &observation, &memory, NOW + *after);
            memory.fold(&plan.notes);
            plan.actions
                .iter()
                .any(|action| action.because() == Because::HeldInVain)
        })
    };
    // Counting stopped before the head was counted: it needs more memory than any idle instance has.
    let heavy = crate::observation::Shape {
        resources: worlds::resources(16, 200_000),
        nodes: 1,
    };
    let soon = setup.tempo.lower_after + Span::from_seconds(15);
    assert!(released_after(heavy).unwrap() <= soon);
    // A head that fits may start any moment.
    assert!(released_after(worlds::shape(1)).unwrap() > soon);
}

#[test]
fn the_head_of_the_queue_is_asked_for_first() {
    let mut setup = worlds::spot_then_on_demand();
    setup.environments[0].cap = Some(Vcpus::new(4));
    let mut observation = worlds::quiet(&setup, NOW);
    worlds::add_runnable(&mut observation, 0, worlds::shape(8), 4);
    worlds::add_runnable(&mut observation, 0, worlds::shape(4), 1);
    let memory = Memory::new(&setup, NOW - Span::from_minutes(60));
    let left = |observation: &Observation| decide(&setup, observation, &memory, NOW).queues[0].denied;
    let without = left(&observation);
    observation.queues[0].head = Seen::Exactly(NOW, Some(worlds::shape(4)));
    // The cap leaves room for the head; without it, half a job of the larger size is all that it leaves room for.
    assert_eq!((without, left(&observation)), (Vcpus::new(36), Vcpus::new(32)));
}

#[test]
fn room_wanted_ahead_yields_to_jobs_that_wait_for_another_shape() {
    let mut setup = worlds::spot_then_on_demand();
    setup.queues[0].headroom_slots = 4;
    let mut observation = worlds::quiet(&setup, NOW);
    hold_idle_room(&mut observation, 64 * 1024);
    // The reference job fits the idle room; the waiting one needs more memory than any of it has, and max allows no more.
    let heavy = crate::observation::Shape {
        resources: worlds::resources(16, 100_000),
        nodes: 1,
    };
    worlds::add_runnable(&mut observation, 0, heavy, 3);
    let mut memory = Memory::new(&setup, NOW - Span::from_minutes(60));
    let mut released = false;
    for second in (0..300).step_by(15) {
        let now = NOW + Span::from_seconds(second);
        observation.refresh(now);
        let plan = decide(&setup, &observation, &memory, now);
        memory.fold(&plan.notes);
        released |= plan
            .actions
            .iter()
            .any(|action| action.to().min_vcpus.is_zero() && action.because() == Because::HeldInVain);
    }
    assert!(released);
}

/// What is learned when `there` is there, with an idle instance, some minutes after a raise by 64 vCPUs of an environment on
/// which `used` are used.
fn learned(used: i64, there: i64, idle: i64, before: Span, minutes: i64) -> Span {
    let setup = worlds::spot_then_on_demand();
    let mut observation = worlds::quiet(&setup, NOW);
    let mut memory = Memory::new(&setup, NOW - Span::from_minutes(60));
    memory.environments[0].batch_first_more = before;
    memory.environments[0].raised = Some(Raised {
        at: NOW,
        wanted: Vcpus::new(used),
        asked: Vcpus::new(64),
    });
    let later = NOW + Span::from_minutes(minutes);
    observation.refresh(later);
    let levels = observation.environments[0].value_mut().unwrap();
    (levels.max_vcpus, levels.desired_vcpus) = (Vcpus::new(10_000), Vcpus::new(there));
    let instances = observation.instances[0].value_mut().unwrap();
    (instances.there, instances.used) = (Vcpus::new(there), Vcpus::new(used));
    instances.rooms = vec![crate::observation::Room {
        free: worlds::resources(idle, idle * 2048),
        instances: 1,
    }];
    memory.fold(&decide(&setup, &observation, &memory, later).notes);
    memory.environments[0].batch_first_more
}

#[test]
fn capacity_that_batch_launched_besides_gives_it_more_time_to_act_first() {
    let more = Span::from_seconds(20);
    for (used, there, idle, expected) in [
        (64, 96, 48, Span::ZERO), // less than an instance is rounding
        (64, 128, 64, more),      // everything came twice
        (64, 128, 32, more),
        (1_024, 1_056, 48, Span::ZERO), // and the same beside much that was there before
        (1_024, 1_088, 64, more),
        (1_024, 1_040, 16, Span::ZERO), // what a launch may add anyhow
    ] {
        let found = learned(used, there, idle, Span::ZERO, 3);
        assert_eq!(found, expected, "{there} for {used}, {idle} idle in one");
    }
}

#[test]
fn raises_without_a_double_launch_take_back_half_of_what_was_learned() {
    let cases = [(20_000, 3, 20_000), (20_000, 10, 10_000), (1_900, 10, 0), (0, 10, 0)];
    for (before, minutes, after) in cases {
        let found = learned(1_024, 1_024, 4, Span::from_millis(before), minutes);
        assert_eq!(found, Span::from_millis(after), "{before} ms after {minutes} min");
    }
}

/// A raise that was refused is asked for again, and an environment that grows in steps is raised again and again.
#[test]
fn raises_that_follow_each_other_are_watched_together() {
    let setup = worlds::spot_then_on_demand();
    let mut observation = worlds::quiet(&setup, NOW);
    let mut memory = Memory::new(&setup, NOW - Span::from_minutes(60));
    let mut watched = Vec::new();
    for (second, jobs) in [(0, 16), (20, 0), (60, 0), (120, 16)] {
        worlds::add_runnable(&mut observation, 0, worlds::shape(4), jobs);
        let now = NOW + Span::from_seconds(second);
        observation.refresh(now);
        let plan = decide(&setup, &observation, &memory, now);
        memory.fold(&plan.notes);
        watched.push(memory.environments[0].raised.map(|raised| raised.asked.get()));
        if second == 60 {
            apply(&mut observation, &plan.actions); // the second try is accepted
        }
    }
    assert_eq!(watched, [None, Some(64), Some(64), Some(128)]);
    let since = memory.environments[0].raised.map(|raised| raised.at);
    assert_eq!(since, Some(NOW + Span::from_seconds(20)));
}

#[test]
fn a_release_refused_in_an_overshoot_lifts_max_and_puts_it_back() {
    let setup = worlds::spot_then_on_demand();
    let mut observation = worlds::quiet(&setup, NOW);
    hold_idle_room(&mut observation, 64 * 1024);
    observation.environments[0].value_mut().unwrap().desired_vcpus = Vcpus::new(320);
    let mut memory = Memory::new(&setup, NOW - Span::from_minutes(60));
    let act_within_two_minutes = |observation: &mut Observation, memory: &mut Memory, from: Time| {
        for second in (0..120).step_by(15) {
            let now = from + Span::from_seconds(second);
            observation.refresh(now);
            let plan = decide(&setup, observation, memory, now);
            memory.fold(&plan.notes);
            if let Some(action) = plan.actions.first() {
                return *action;
            }
        }
        panic!("no action from {from}");
    };
    // Nothing says that Batch would refuse: max is not ours to touch.
    let first = act_within_two_minutes(&mut observation, &mut memory, NOW);
    assert_eq!(
        (first.change().min_vcpus, first.change().max_vcpus),
        (Some(Vcpus::ZERO), None)
    );
    // It was refused: min could never fall while desired stands above max.
    memory.environments[0].release_refused = true;
    let second = act_within_two_minutes(&mut observation, &mut memory, NOW + Span::from_minutes(5));
    assert_eq!(
        (second.to().min_vcpus, second.to().max_vcpus),
        (Vcpus::ZERO, Vcpus::new(320))
    );
    apply(&mut observation, &[second]);
    observation.environments[0].value_mut().unwrap().desired_vcpus = Vcpus::ZERO;
    let third = act_within_two_minutes(&mut observation, &mut memory, NOW + Span::from_minutes(10));
    assert_eq!(
        (third.to().max_vcpus, third.because()),
        (Vcpus::new(256), Because::MaxRestored)
    );
}
