//! One environment, queue or SQS source of the setup, from what the policy says of it.

use super::entries::Entry;
use super::types::{figures, shares};
use super::{EnvironmentSetup, HandOff, Patience, QueueSetup, QuotaSetup, SqsSetup};
use crate::account::{ComputeEnvironment, JobQueue, Platform};
use crate::catalog::Resources;
use crate::forecast::Window;
use crate::ids::{EnvironmentIndex, QueueIndex};
use crate::input::values::Share;
use crate::input::{Problem, key_path};
use crate::observation::Shape;
use crate::policy::file::{EnvironmentPolicy, HandOffPolicy, JobSize, QueuePolicy, Signal, SqsPolicy};
use crate::policy::schedules;
use crate::units::{Time, Vcpus, f64_to_i64};

pub(super) const fn steerable(platform: Platform) -> bool {
    matches!(platform, Platform::Ec2 | Platform::Eks)
}

pub(super) const fn why_not(platform: Platform) -> &'static str {
    match platform {
        Platform::Ec2 | Platform::Eks => "it can be steered",
        Platform::Fargate => "Fargate has no minvCpus",
        Platform::ManagedInstances => "ECS Managed Instances have no minvCpus; set scaleInAfter there instead",
        Platform::Unmanaged => "AWS Batch does not scale an UNMANAGED environment",
    }
}

pub(super) fn environment_setup(
    environment: &ComputeEnvironment,
    policy: &EnvironmentPolicy,
    covered: bool,
    quotas: &[QuotaSetup],
) -> EnvironmentSetup {
    let figures = figures(environment);
    let share = |share: Option<Share>| share.map(|share| share.of(environment.max_vcpus));
    EnvironmentSetup {
        name: environment.name.clone(),
        platform: environment.platform,
        purchase: environment.purchase,
        covered: covered && steerable(environment.platform),
        base: policy.min_vcpus.map_or(environment.min_vcpus, |base| base.0),
        base_named: policy.min_vcpus.is_some(),
        cap: share(policy.cap),
        // A percentage of a small environment must not round down to no step at all.
        max_step: share(policy.max_step).map(|step| step.max(Vcpus::new(1))),
        fits: figures.fits,
        memory_per_kilo_vcpu: figures.memory_per_kilo_vcpu,
        vcpus_per_gpu: figures.vcpus_per_gpu,
        smallest: figures.smallest,
        largest: figures.largest,
        without_job: figures.without_job,
        quotas: shares(environment, quotas),
        launch_expected: policy.launch_expected.0,
        limits: policy.limits,
        unenforced: false,
    }
}

/// Limits of one entry that cannot hold together for this environment.
pub(super) fn contradictions(
    entry: &Entry<'_, EnvironmentPolicy>,
    environment: &ComputeEnvironment,
    setup: &EnvironmentSetup,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let name = &environment.name;
    if entry.value.min_vcpus.is_none() {
        return problems;
    }
    let base_key = key_path(&entry.path, "min_vcpus");
    let found = format!("a base of {} for {name}", setup.base);
    if setup.base > environment.max_vcpus {
        let expected = format!("at most its maxvCpus of {}", environment.max_vcpus);
        problems.push(entry.document.problem(&base_key, &found, expected));
    }
    if let Some(cap) = setup.cap.filter(|cap| setup.base > *cap) {
        problems.push(
            entry
                .document
                .problem(&base_key, found, format!("at most its cap of {cap}"))
                .with_hint("raise `cap` or lower `min_vcpus`"),
        );
    }
    problems
}

/// A minvCpus of the operator's above the policy's cap is his to choose, at any time: nothing is asked for besides.
pub(super) fn above_cap(setup: &EnvironmentSetup) -> Option<String> {
    let cap = setup.cap.filter(|cap| !setup.base_named && setup.base > *cap)?;
    let (name, base) = (&setup.name, setup.base);
    Some(format!(
        "compute environment {name}: its minvCpus of {base} is above its cap of {cap}, so nothing is asked for beyond that"
    ))
}

fn shape_of(job: JobSize) -> Shape {
    Shape {
        resources: Resources {
            vcpus: job.vcpus.0,
            memory: job.memory.0,
            gpus: job.gpus,
        },
        nodes: 1,
    }
}

/// A queue that is only watched: nothing is wanted for it.
pub(super) fn uncovered_queue(queue: &JobQueue, environments: Vec<EnvironmentIndex>) -> QueueSetup {
    let nothing = QueuePolicy {
        signals: Vec::new(),
        patience: Vec::new(),
        ..QueuePolicy::default()
    };
    queue_setup(queue, &nothing, environments)
}

/// Everything but headroom and SQS sources, which count only with their signals.
pub(super) fn queue_setup(queue: &JobQueue, policy: &QueuePolicy, environments: Vec<EnvironmentIndex>) -> QueueSetup {
    let mut patience: Vec<Patience> = policy
        .patience
        .iter()
        .map(|pair| Patience {
            jobs: i64::from(pair.jobs),
            after: pair.after.0,
        })
        .collect();
    patience.sort_by_key(|pair| pair.jobs);
    QueueSetup {
        name: queue.name.clone(),
        environments,
        follows_runnable: policy.signals.contains(&Signal::Runnable),
        patience,
        on_demand_base: policy.on_demand_base.0,
        headroom_slots: 0,
        reference: shape_of(policy.reference_job),
        idle_time: policy.idle_time.0,
        sqs_sources: Vec::new(),
        fair_share: queue.fair_share,
        has_schedules: false,
    }
}

pub(super) fn windows_of(policy: &QueuePolicy, horizon: (Time, Time)) -> Vec<Window> {
    let mut windows: Vec<Window> = Vec::new();
    for schedule in &policy.schedules {
        windows.extend(
            schedules::windows(schedule, horizon.0, horizon.1)
                .into_iter()
                .map(|(start, end)| Window {
                    start,
                    end,
                    floor_vcpus: schedule.floor_vcpus.0,
                    headroom_slots: i64::from(schedule.headroom_slots),
                }),
        );
    }
    windows
}

pub(super) fn sqs_setup(name: &str, sqs: &SqsPolicy, queue: QueueIndex) -> SqsSetup {
    let hand_off = match sqs.hand_off {
        HandOffPolicy::Dispatcher => {
            let jobs = (sqs.jobs_per_message.unwrap_or(1.0) * 1000.0).round();
            HandOff::Dispatcher {
                jobs_per_kilo_message: f64_to_i64(jobs),
            }
        }
        HandOffPolicy::Workers => HandOff::Workers {
            messages_per_worker: i64::from(sqs.messages_per_worker.unwrap_or(1)),
        },
    };
    SqsSetup {
        name: name.to_owned(),
        queue,
        hand_off,
        job: shape_of(sqs.job),
        cap: sqs.cap.map(|cap| cap.0),
        patience: sqs.patience.0,
    }
}
