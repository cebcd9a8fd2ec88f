//! Worlds in which the obvious choice is the wrong one.

use crate::account::Platform;
use crate::ids::EnvironmentIndex;
use crate::observation::{InstancesNow, Observation, Room, Seen};
use crate::planner::laws::decide;
use crate::planner::memory::{Memory, Supply};
use crate::planner::plan::Because;
use crate::planner::worlds::{self, NOW, resources, shape};
use crate::setup::{Limits, Patience, QuotaSetup, Setup};
use crate::units::{Span, Vcpus};

fn vcpus(count: i64) -> Vcpus {
    Vcpus::new(count)
}

/// So much is there in one environment, so much of it in use, the rest on instances of 16 vCPUs.
fn stands(observation: &mut Observation, position: usize, there: i64, used: i64) {
    let levels = observation.environments[position].value_mut().unwrap();
    levels.desired_vcpus = vcpus(there);
    let free = Room {
        free: resources(16, 16 * 4096),
        instances: u32::try_from((there - used) / 16).unwrap(),
    };
    *observation.instances[position].value_mut().unwrap() = InstancesNow {
        there: vcpus(there),
        used: vcpus(used),
        rooms: if free.instances > 0 { vec![free] } else { Vec::new() },
        ..InstancesNow::default()
    };
    observation.generation += 1;
}

fn dry(memory: &mut Memory, position: usize) {
    memory.environments[position].supply = Supply::Drought {
        until: NOW + Span::from_minutes(30),
    };
}

/// Whose jobs run where is not told: what one queue seems to hold nowhere, it holds where another's seem to be.
#[test]
fn jobs_that_run_elsewhere_than_they_seem_to_take_nothing_off_what_waits() {
    let mut setup = worlds::spot_then_on_demand();
    setup.queues.push(worlds::queue("bulk", &[0]));
    let mut observation = worlds::quiet(&setup, NOW);
    for position in 0..2 {
        stands(&mut observation, position, 64, 64);
        observation.queues[position].placed = Seen::Exactly(NOW, [(shape(4), 16)].into_iter().collect());
    }
    worlds::add_runnable(&mut observation, 0, shape(4), 30);
    let plan = decide(
        &setup,
        &observation,
        &Memory::new(&setup, NOW - Span::from_minutes(60)),
        NOW,
    );
    assert_eq!(plan.environments[0].wanted, vcpus(120), "{:?}", plan.reasons);
}

/// Jobs that come and go leave a little room idle all the time; more in use than before means that Batch fills it.
#[test]
fn room_beside_jobs_that_flow_is_not_said_to_be_passed_by() {
    let setup = worlds::spot_then_on_demand();
    for flows in [true, false] {
        let mut memory = Memory::new(&setup, NOW - Span::from_minutes(60));
        dry(&mut memory, 0);
        let mut passed_by = false;
        for minute in 0..8 {
            let now = NOW + Span::from_minutes(minute);
            let mut observation = worlds::quiet(&setup, now);
            let grown = if flows { 16 * (minute % 2) } else { 0 };
            stands(&mut observation, 1, 128, 80 + grown);
            worlds::add_runnable(&mut observation, 0, shape(4), 100);
            let plan = decide(&setup, &observation, &memory, now);
            memory.fold(&plan.notes);
            passed_by |= plan.reasons.iter().any(|reason| reason.because == Because::NotPlaced);
        }
        assert_eq!(passed_by, !flows);
    }
}

/// Only Batch can exchange it for what the waiting job needs.
#[test]
fn room_that_was_used_lately_is_let_go_where_jobs_wait_for_other_room() {
    let mut setup = worlds::spot_then_on_demand();
    setup.queues[0].environments.truncate(1);
    setup.queues[0].idle_time = Span::from_minutes(30);
    for waits in [false, true] {
        let mut observation = worlds::quiet(&setup, NOW);
        stands(&mut observation, 0, 256, 0);
        if waits {
            worlds::add_runnable(&mut observation, 0, shape(48), 1);
        }
        let mut memory = Memory::new(&setup, NOW - Span::from_minutes(60));
        memory.environments[0].peak = (vcpus(256), Some(NOW - Span::from_minutes(1)));
        let plan = decide(&setup, &observation, &memory, NOW);
        let keeps = plan.actions.iter().any(|action| action.to().min_vcpus == vcpus(256));
        assert_eq!(keeps, !waits, "{:?}", plan.reasons);
    }
}

/// Another zone may make it good; and where nobody waits, nothing is lost meanwhile.
#[test]
fn one_refused_launch_is_no_drought_while_nobody_waits() {
    let mut setup = worlds::spot_then_on_demand();
    setup.environments[0].launch_expected = Span::from_minutes(7);
    for waiting in [0, 8] {
        let mut observation = worlds::quiet(&setup, NOW);
        observation.environments[0].value_mut().unwrap().desired_vcpus = vcpus(128);
        observation.instances[0].value_mut().unwrap().capacity_error = Some(NOW - Span::from_minutes(4));
        worlds::add_runnable(&mut observation, 0, shape(4), waiting);
        let mut memory = Memory::new(&setup, NOW - Span::from_minutes(60));
        memory.environments[0].waiting = Some((NOW - Span::from_minutes(5), Vcpus::ZERO));
        let plan = decide(&setup, &observation, &memory, NOW);
        let dry = plan
            .reasons
            .iter()
            .any(|reason| matches!(reason.because, Because::Drought(_)));
        assert_eq!(dry, waiting > 0, "{:?}", plan.reasons);
    }
}

/// `patience = [{ jobs = 100, after = "10m" }]` says so.
#[test]
fn in_a_drought_fewer_jobs_than_the_policy_names_wait_for_spot() {
    let mut setup = worlds::spot_then_on_demand();
    setup.queues[0].patience = vec![Patience {
        jobs: 10,
        after: Span::from_minutes(10),
    }];
    for jobs in [9, 10] {
        let mut observation = worlds::quiet(&setup, NOW);
        worlds::add_runnable(&mut observation, 0, shape(4), jobs);
        let mut memory = Memory::new(&setup, NOW - Span::from_minutes(60));
        dry(&mut memory, 0);
        let plan = decide(&setup, &observation, &memory, NOW);
        assert_eq!(!plan.environments[1].wanted.is_zero(), jobs == 10, "{:?}", plan.reasons);
    }
}

/// Batch places nothing there, however much stands or is on its way.
#[test]
fn room_of_an_environment_that_is_switched_off_serves_nobody() {
    let mut setup = worlds::spot_then_on_demand();
    setup.queues[0].environments.swap(0, 1);
    setup.queues[0].headroom_slots = 8;
    for enabled in [true, false] {
        let mut observation = worlds::quiet(&setup, NOW);
        stands(&mut observation, 1, 64, 0);
        observation.environments[1].value_mut().unwrap().enabled = enabled;
        observation.environments[1].value_mut().unwrap().desired_vcpus = vcpus(128);
        let plan = decide(
            &setup,
            &observation,
            &Memory::new(&setup, NOW - Span::from_minutes(60)),
            NOW,
        );
        assert_eq!(plan.environments[0].wanted.is_zero(), enabled, "{:?}", plan.reasons);
        assert_eq!(plan.environments[1].on_its_way.is_zero(), !enabled);
    }
}

/// They are in the use of others already.
#[test]
fn nodes_that_nobody_reads_stand_once_in_a_quota() {
    let mut setup: Setup = worlds::spot_then_on_demand();
    for environment in &mut setup.environments {
        environment.quotas = vec![worlds::share(0, 4, 64)];
    }
    setup.environments[1].platform = Platform::Eks;
    setup.environments[1].covered = false;
    setup.environments[1].limits = Limits::Enforce;
    setup.quotas = vec![QuotaSetup {
        code: "L-1".to_owned(),
        limit: None,
        reserve: Vcpus::ZERO,
    }];
    let mut observation = worlds::quiet(&setup, NOW);
    observation.environments[1].value_mut().unwrap().desired_vcpus = vcpus(200);
    observation.instances[1] = Seen::default();
    let quota = observation.quotas[0].value_mut().unwrap();
    (quota.limit, quota.used_by_others) = (vcpus(640), vcpus(296));
    let plan = decide(
        &setup,
        &observation,
        &Memory::new(&setup, NOW - Span::from_minutes(60)),
        NOW,
    );
    assert_eq!(
        (plan.quotas[0].held, plan.quotas[0].on_its_way),
        (Vcpus::ZERO, Vcpus::ZERO)
    );
    let said = |reason: &crate::planner::plan::Reason| {
        reason.subject == crate::planner::plan::Subject::Environment(EnvironmentIndex(1))
    };
    assert!(
        !plan.reasons.iter().any(said),
        "nobody reads it, so it is not late: {:?}",
        plan.reasons
    );
}
