//! Service quotas: reported, clamped to, enforced; one, or several for one environment.

use insta::assert_snapshot;

use super::{Story, shape, spot_only};
use crate::catalog::Resources;
use crate::observation::{QuotaNow, Seen};
use crate::planner::worlds::{share, spot_then_on_demand};
use crate::setup::{Limits, QuotaSetup, QuotaShare, Setup};
use crate::units::Vcpus;

const STANDARD: &str = "L-34B43A08";
const GRAPHICS: &str = "L-3819A6DF";

fn with_quotas(mut setup: Setup, codes: &[&str]) -> Setup {
    let quota = |code: &&str| QuotaSetup {
        code: (*code).to_owned(),
        limit: None,
        reserve: Vcpus::ZERO,
    };
    setup.quotas = codes.iter().map(quota).collect();
    setup.region = Some("eu-west-1".to_owned());
    setup
}

fn limit(story: &mut Story, quota: usize, limit: i64, others: i64) {
    let now = QuotaNow {
        limit: Vcpus::new(limit),
        used_by_others: Vcpus::new(others),
    };
    story.observation.quotas[quota] = Seen::Exactly(story.now, now);
}

/// Spot of 256 vCPUs, an instance of it busy, in a quota of 160, of which others use 16.
fn small(limits: Limits) -> Story {
    let mut setup = with_quotas(spot_only(), &[STANDARD]);
    setup.environments[0].quotas = vec![share(0, 4, 64)];
    setup.environments[0].limits = limits;
    let mut story = Story::of(setup);
    limit(&mut story, 0, 160, 16);
    story
        .levels(0, 0, 64)
        .instances(0, 1, 64)
        .placed(0, 4, 16)
        .runnable(0, 4, 20);
    story
}

#[test]
fn a_quota_is_reported_clamped_to_or_enforced() {
    let mut told = String::new();
    for limits in [Limits::Report, Limits::Clamp, Limits::Enforce] {
        let mut story = small(limits);
        story.plan();
        told.push_str(&story.told);
    }
    assert_snapshot!(told, @r#"
    09:00:00 * spot: min 0 -> 144, desired 64 -> 144 vCPUs: 80 vCPUs of RUNNABLE jobs wait
    09:00:00 spot: 64 vCPUs of what is asked for go beyond service quota L-34B43A08: limit 160, others use 16, our environments hold 64, 80 granted now, 64 kept for overshoot; https://eu-west-1.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-34B43A08; limits = "report" lets that pass
    09:00:00 * spot: min 0 -> 80, desired 64 -> 80 vCPUs: 16 vCPUs of RUNNABLE jobs wait
    09:00:00 spot: 64 vCPUs more are wanted, but that is all there is of service quota L-34B43A08: limit 160, others use 16, our environments hold 64, 16 granted now, 64 kept for overshoot; https://eu-west-1.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-34B43A08
    09:00:00 * spot: min 0 -> 80, desired 64 -> 80, max 256 -> 80 vCPUs: 16 vCPUs of RUNNABLE jobs wait
    09:00:00 spot: 64 vCPUs more are wanted, but that is all there is of service quota L-34B43A08: limit 160, others use 16, our environments hold 64, 16 granted now, 64 kept for overshoot; https://eu-west-1.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-34B43A08
    "#);
}

/// Types of two classes: a job that needs a GPU comes from one quota, any other job may come from both.
fn mixed() -> Story {
    let mut setup = with_quotas(spot_only(), &[STANDARD, GRAPHICS]);
    let spot = &mut setup.environments[0];
    let with_gpu = Resources {
        gpus: 4,
        ..spot.fits[0]
    };
    spot.fits.push(with_gpu);
    spot.vcpus_per_gpu = Vcpus::new(16);
    spot.quotas = vec![
        share(0, 4, 64),
        QuotaShare {
            fits: vec![with_gpu],
            ..share(1, 4, 64)
        },
    ];
    let mut story = Story::of(setup);
    story.levels(0, 0, 64).instances(0, 1, 64).placed(0, 4, 16);
    story
}

fn wants_gpu(story: &mut Story, jobs: i64) {
    let mut wanted = shape(4);
    wanted.resources.gpus = 1;
    story.observation.queues[0]
        .runnable
        .value_mut()
        .unwrap()
        .add(wanted, jobs);
}

#[test]
fn an_ask_fits_into_every_quota_that_batch_may_take_it_from() {
    let mut told = String::new();
    let mut tell = |what: &str, change: &dyn Fn(&mut Story)| {
        let mut story = mixed();
        limit(&mut story, 0, 400, 0);
        limit(&mut story, 1, 200, 0);
        change(&mut story);
        story.told = format!("{what}\n");
        story.plan();
        told.push_str(&story.told);
    };
    tell("any job: both, and the running instance may be of either", &|story| {
        story.runnable(0, 4, 40);
    });
    tell("it is told to be of the first", &|story| {
        story.instances_mut(0).types = vec![("m6i.16xlarge".to_owned(), Vcpus::new(64))];
        story.runnable(0, 4, 40);
    });
    tell("jobs for GPUs only draw from the second", &|story| {
        limit(story, 0, 70, 0);
        story.instances_mut(0).types = vec![("m6i.16xlarge".to_owned(), Vcpus::new(64))];
        wants_gpu(story, 3);
    });
    tell(
        "nothing can be launched under the second: the first suffices",
        &|story| {
            limit(story, 1, 0, 0);
            story.runnable(0, 4, 20);
        },
    );
    tell("but not for GPUs", &|story| {
        limit(story, 1, 0, 0);
        wants_gpu(story, 3);
    });
    assert_snapshot!(told, @"
    any job: both, and the running instance may be of either
    09:00:00 * spot: min 0 -> 136, desired 64 -> 136 vCPUs: 72 vCPUs of RUNNABLE jobs wait
    09:00:00 spot: 88 vCPUs more are wanted, but that is all there is of service quota L-3819A6DF: limit 200, others use 0, our environments hold 0, 64 on its way, 72 granted now, 64 kept for overshoot; https://eu-west-1.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-3819A6DF
    it is told to be of the first
    09:00:00 * spot: min 0 -> 200, desired 64 -> 200 vCPUs: 136 vCPUs of RUNNABLE jobs wait
    09:00:00 spot: 24 vCPUs more are wanted, but that is all there is of service quota L-3819A6DF: limit 200, others use 0, our environments hold 0, 136 granted now, 64 kept for overshoot; https://eu-west-1.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-3819A6DF
    jobs for GPUs only draw from the second
    09:00:00 * spot: min 0 -> 112, desired 64 -> 112 vCPUs: 48 vCPUs of RUNNABLE jobs wait
    nothing can be launched under the second: the first suffices
    09:00:00 * spot: min 0 -> 144, desired 64 -> 144 vCPUs: 80 vCPUs of RUNNABLE jobs wait
    but not for GPUs
    09:00:00 spot: 48 vCPUs more are wanted, but that is all there is of service quota L-3819A6DF: limit 0, others use 0, our environments hold 0; https://eu-west-1.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-3819A6DF
    ");
}

/// Where Batch itself would run into the quota, max is lowered, follows what is needed, and goes back.
#[test]
fn an_enforced_quota_lowers_max_and_gives_it_back() {
    let mut setup = with_quotas(spot_then_on_demand(), &[STANDARD]);
    setup.environments[0].quotas = vec![share(0, 4, 64)];
    setup.environments[0].limits = Limits::Enforce;
    let mut story = Story::of(setup);
    limit(&mut story, 0, 300, 100);
    story.plan();
    story.runnable(0, 4, 50).after(20);
    story
        .instances(0, 2, 128)
        .placed(0, 4, 32)
        .runnable(0, 4, 18)
        .after(180);
    limit(&mut story, 0, 1000, 100);
    story.runnable(0, 4, 0).after(60);
    assert_snapshot!(story.told, @"
    09:00:00 * spot: max 256 -> 136 vCPUs: max is kept at 136 vCPUs so that Batch stays within service quota L-34B43A08: limit 300, others use 100, our environments hold 0, 64 kept for overshoot; https://eu-west-1.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-34B43A08
    09:00:20 ondemand: On-Demand is not paid for before 2026-01-01T09:04:20Z
    09:00:20 spot: 64 vCPUs more are wanted, but maxvCpus is reached
    09:00:20 spot: max is kept at 136 vCPUs so that Batch stays within service quota L-34B43A08: limit 300, others use 100, our environments hold 0, 136 granted now, 64 kept for overshoot; https://eu-west-1.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-34B43A08
    09:00:20 spot: Batch may act first until 2026-01-01T09:00:40Z
    09:03:20 * spot: min 0 -> 136, desired 0 -> 136 vCPUs: 8 vCPUs of RUNNABLE jobs wait
    09:03:20 ondemand: On-Demand is not paid for before 2026-01-01T09:04:20Z
    09:03:20 spot: 64 vCPUs more are wanted, but maxvCpus is reached
    09:03:20 spot: max is kept at 136 vCPUs so that Batch stays within service quota L-34B43A08: limit 300, others use 100, our environments hold 128, 8 granted now, 64 kept for overshoot; https://eu-west-1.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-34B43A08
    09:04:20 * spot: max 136 -> 256 vCPUs: max goes back to the operator's value
    09:04:20 spot: less is wanted; min is lowered at 2026-01-01T09:05:20Z if that lasts
    ");
}

#[test]
fn a_max_that_another_hand_changes_is_left_alone() {
    let mut story = small(Limits::Enforce);
    story.plan();
    story.environment_mut(0).max_vcpus = Vcpus::new(200);
    story.after(60).after(3600);
    assert_snapshot!(story.told, @"
    09:00:00 * spot: min 0 -> 80, desired 64 -> 80, max 256 -> 80 vCPUs: 16 vCPUs of RUNNABLE jobs wait
    09:00:00 spot: 64 vCPUs more are wanted, but that is all there is of service quota L-34B43A08: limit 160, others use 16, our environments hold 64, 16 granted now, 64 kept for overshoot; https://eu-west-1.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-34B43A08
    09:01:00 spot: 64 vCPUs more are wanted, but that is all there is of service quota L-34B43A08: limit 160, others use 16, our environments hold 64, 16 on its way, 64 kept for overshoot; https://eu-west-1.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-34B43A08
    09:01:00 spot: another hand changed max; it is left alone until 2026-01-01T10:01:00Z
    10:01:00 * spot: min 80 -> 64, max 200 -> 80 vCPUs: no capacity comes; it is asked for again at 2026-01-01T10:16:00Z
    10:01:00 spot: 80 vCPUs more are wanted, but little is asked until a launch succeeds here
    ");
}
