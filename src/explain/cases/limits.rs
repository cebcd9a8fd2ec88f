//! Limits clamp and name themselves.

use insta::assert_snapshot;

use super::{Story, environment, queue, spot_only};
use crate::account::Platform;
use crate::catalog::Purchase;
use crate::ids::QueueIndex;
use crate::observation::{QuotaNow, Seen};
use crate::planner::worlds::share;
use crate::setup::{QuotaSetup, Setup};
use crate::units::Vcpus;

/// A busy instance on `spot`, so that Batch need not act first, and jobs for 400 vCPUs.
fn busy(setup: Setup) -> Story {
    let mut story = Story::of(setup);
    story.levels(0, 0, 64).instances(0, 1, 64).placed(0, 4, 16);
    story.runnable(0, 4, 100);
    story
}

/// F3: a limit gives what it can instead of refusing.
#[test]
fn each_limit_grants_what_it_can_and_is_named() {
    let mut told = String::new();
    let mut tell = |setup: Setup| {
        let mut story = busy(setup);
        story.observation.quotas = story.setup.quotas.iter().map(|_| quota(400)).collect();
        story.plan();
        told.push_str(&story.told);
    };
    tell(spot_only());
    let mut setup = spot_only();
    setup.environments[0].cap = Some(Vcpus::new(100));
    tell(setup);
    let mut setup = spot_only();
    setup.environments[0].max_step = Some(Vcpus::new(32));
    tell(setup);
    let mut setup = spot_only();
    setup.account_cap = Some(Vcpus::new(90));
    tell(setup);
    let mut setup = spot_only();
    setup.environments[0].quotas = vec![share(0, 4, 64)];
    setup.quotas = vec![QuotaSetup {
        code: "L-34B43A08".to_owned(),
        limit: None,
        reserve: Vcpus::new(50),
    }];
    tell(setup);
    assert_snapshot!(told, @"
    09:00:00 * spot: min 0 -> 256, desired 64 -> 256 vCPUs: 192 vCPUs of RUNNABLE jobs wait
    09:00:00 spot: 208 vCPUs more are wanted, but maxvCpus is reached
    09:00:00 * spot: min 0 -> 100, desired 64 -> 100 vCPUs: 36 vCPUs of RUNNABLE jobs wait
    09:00:00 spot: 364 vCPUs more are wanted, but the policy's cap of 100 vCPUs is reached
    09:00:00 * spot: min 0 -> 96, desired 64 -> 96 vCPUs: 32 vCPUs of RUNNABLE jobs wait
    09:00:00 spot: 368 vCPUs more are wanted, but one update adds at most the policy's step of 32 vCPUs
    09:00:00 * spot: min 0 -> 90, desired 64 -> 90 vCPUs: 26 vCPUs of RUNNABLE jobs wait
    09:00:00 spot: 374 vCPUs more are wanted, but the policy's cap of 90 vCPUs on all environments together is reached
    09:00:00 * spot: min 0 -> 186, desired 64 -> 186 vCPUs: 122 vCPUs of RUNNABLE jobs wait
    09:00:00 spot: 278 vCPUs more are wanted, but that is all there is of service quota L-34B43A08: limit 400, others use 100, our environments hold 64, 122 granted now, 50 reserved by the policy, 64 kept for overshoot; https://console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-34B43A08
    ");
}

fn quota(limit: i64) -> Seen<QuotaNow> {
    Seen::Exactly(
        super::START,
        QuotaNow {
            limit: Vcpus::new(limit),
            used_by_others: Vcpus::new(100),
        },
    )
}

#[test]
fn a_step_is_followed_by_the_next() {
    let mut setup = spot_only();
    setup.environments[0].max_step = Some(Vcpus::new(32));
    let mut story = busy(setup);
    story.runnable(0, 4, 20).plan();
    story.wait(15).plan_again();
    story.wait(15).plan_again();
    story.wait(30).plan_again();
    assert_snapshot!(story.told, @"
    09:00:00 * spot: min 0 -> 96, desired 64 -> 96 vCPUs: 32 vCPUs of RUNNABLE jobs wait
    09:00:00 spot: 48 vCPUs more are wanted, but one update adds at most the policy's step of 32 vCPUs
    09:00:15 spot: 16 vCPUs more are wanted, but one update adds at most the policy's step of 32 vCPUs
    09:00:15 spot: the last update is too recent, the next may follow at 2026-01-01T09:00:30Z
    09:00:30 * spot: min 96 -> 128, desired 96 -> 128 vCPUs: 32 vCPUs of RUNNABLE jobs wait
    09:00:30 spot: 16 vCPUs more are wanted, but one update adds at most the policy's step of 32 vCPUs
    09:01:00 * spot: min 128 -> 144, desired 128 -> 144 vCPUs: 16 vCPUs of RUNNABLE jobs wait
    ");
}

/// F16: Batch may exceed max by one instance. That is no error, and nothing is done about it.
#[test]
fn an_overshoot_of_one_instance_is_no_breach() {
    let mut setup = spot_only();
    setup.environments[0].cap = Some(Vcpus::new(250));
    let mut story = Story::of(setup);
    story.levels(0, 0, 320).instances(0, 5, 320).placed(0, 4, 80);
    story.plan();
    story.runnable(0, 4, 10).after(60);
    assert_snapshot!(story.told, @"
    09:00:00 nothing
    09:01:00 spot: 40 vCPUs more are wanted, but maxvCpus is reached
    ");
}

#[test]
fn what_cannot_be_steered_is_said_and_left_alone() {
    let mut told = String::new();
    let changes: [fn(&mut Story); 4] = [
        |story| story.environment_mut(0).enabled = false,
        |story| story.environment_mut(0).valid = false,
        |story| story.setup.environments[0].covered = false,
        |story| story.setup.environments[0].platform = Platform::Fargate,
    ];
    for change in changes {
        let mut story = busy(spot_only());
        change(&mut story);
        story.plan();
        told.push_str(&story.told);
    }
    assert_snapshot!(told, @"
    09:00:00 spot: 400 vCPUs more are wanted, but the environment cannot be steered as it is (platform, policy, state or sight)
    09:00:00 spot: 400 vCPUs more are wanted, but the environment cannot be steered as it is (platform, policy, state or sight)
    09:00:00 spot: 400 vCPUs more are wanted, but the environment cannot be steered as it is (platform, policy, state or sight)
    09:00:00 spot: 400 vCPUs more are wanted, but the environment cannot be steered as it is (platform, policy, state or sight)
    ");
}

#[test]
fn on_eks_only_min_is_moved() {
    let mut setup = spot_only();
    setup.environments[0].platform = Platform::Eks;
    let mut story = busy(setup);
    story.runnable(0, 4, 16).plan();
    assert_snapshot!(story.told, @"
    09:00:00 * spot: min 0 -> 128 vCPUs: 64 vCPUs of RUNNABLE jobs wait
    ");
}

/// A min left on an environment that was switched off is billed; it may always go back to base.
#[test]
fn a_disabled_environment_may_go_back_to_base() {
    let mut story = Story::of(spot_only());
    story.levels(0, 64, 64).environment_mut(0).enabled = false;
    story.plan();
    story.after(60);
    assert_snapshot!(story.told, @"
    09:00:00 spot: less is wanted; min is lowered at 2026-01-01T09:01:00Z if that lasts
    09:01:00 * spot: min 64 -> 0 vCPUs: the raise has been served, min goes back to base
    ");
}

/// F10: trouble of one environment is its own.
#[test]
fn the_trouble_of_one_environment_does_not_hold_another() {
    let mut setup = spot_only();
    for name in ["invalid", "updating", "unseen"] {
        setup.environments.push(environment(name, Purchase::Spot, None));
    }
    for position in 1..4_u16 {
        setup.queues.push(queue(&format!("q{position}"), &[position]));
        setup.serve_order.push(QueueIndex(position));
    }
    let mut story = Story::of(setup);
    for position in 0..4 {
        story.levels(position, 0, 64).instances(position, 1, 64);
        story.placed(position, 4, 16).runnable(position, 4, 8);
    }
    story.environment_mut(1).valid = false;
    story.environment_mut(2).updating = true;
    story.observation.instances[3] = Seen::default();
    story.plan();
    assert_snapshot!(story.told, @"
    09:00:00 * spot: min 0 -> 96, desired 64 -> 96 vCPUs: 32 vCPUs of RUNNABLE jobs wait
    09:00:00 unseen: the container instances were never read yet
    09:00:00 invalid: 32 vCPUs more are wanted, but the environment cannot be steered as it is (platform, policy, state or sight)
    09:00:00 updating: UPDATING: no update is accepted until that ends
    ");
}
