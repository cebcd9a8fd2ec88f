//! A large account for the benchmark of the planner and for the test that it allocates nothing: 50 queues, 50 environments,
//! 400 job sizes waiting in every queue.

use autotune::account::Platform;
use autotune::catalog::{Purchase, Resources};
use autotune::forecast::Forecast;
use autotune::ids::{EnvironmentIndex, QueueIndex};
use autotune::observation::{EnvironmentNow, InstancesNow, NotDemand, Observation, QueueNow, Room, Seen, Shape, Tally};
use autotune::planner::memory::Memory;
use autotune::planner::plan::Plan;
use autotune::planner::{Inputs, plan};
use autotune::setup::{EnvironmentSetup, Limits, Patience, QueueSetup, Setup};
use autotune::units::{Mebibytes, Span, Time, Vcpus, to_usize};

/// When everything was read.
pub(crate) const NOW: Time = Time::from_seconds(1_767_258_000);
const ENVIRONMENTS: usize = 50;
const QUEUES: usize = 50;
const SHAPES_PER_QUEUE: i64 = 400;

fn resources(vcpus: i64, memory: i64) -> Resources {
    Resources {
        vcpus: Vcpus::new(vcpus),
        memory: Mebibytes::new(memory),
        gpus: 0,
    }
}

fn shape(vcpus: i64, memory: i64) -> Shape {
    Shape {
        resources: resources(vcpus, memory),
        nodes: 1,
    }
}

/// Spot and On-Demand in turn; every queue has four environments, Spot first, with headroom and patience.
pub(crate) fn setup() -> Setup {
    let environments = (0..ENVIRONMENTS).map(|position| EnvironmentSetup {
        name: format!("environment-{position}"),
        platform: Platform::Ec2,
        purchase: if position % 2 == 0 {
            Purchase::Spot
        } else {
            Purchase::OnDemand
        },
        covered: true,
        base: Vcpus::ZERO,
        base_named: false,
        cap: None,
        max_step: None,
        fits: vec![
            resources(16, 32_000),
            resources(48, 192_000),
            resources(64, 128_000),
            resources(8, 256_000),
        ],
        memory_per_kilo_vcpu: 4096 * 1024,
        vcpus_per_gpu: Vcpus::ZERO,
        smallest: Vcpus::new(8),
        largest: Vcpus::new(64),
        without_job: resources(64, 128_000),
        quotas: Vec::new(),
        launch_expected: Span::from_minutes(2),
        limits: Limits::Clamp,
        unenforced: false,
    });
    let queues = (0..QUEUES).map(|position| QueueSetup {
        name: format!("queue-{position}"),
        environments: [0, 2, 1, 3]
            .map(|next| EnvironmentIndex::at((position / 2 * 2 + next) % ENVIRONMENTS))
            .to_vec(),
        follows_runnable: true,
        patience: vec![Patience {
            jobs: 1,
            after: Span::from_minutes(4),
        }],
        on_demand_base: Vcpus::ZERO,
        headroom_slots: 2,
        reference: shape(4, 8_000),
        idle_time: Span::from_minutes(5),
        sqs_sources: Vec::new(),
        fair_share: false,
        has_schedules: false,
    });
    Setup {
        environments: environments.collect(),
        queues: queues.collect(),
        serve_order: (0..QUEUES).map(QueueIndex::at).collect(),
        ..Setup::default()
    }
}

/// Busy instances with some room left, and no job waiting.
pub(crate) fn quiet() -> Observation {
    let environment = EnvironmentNow {
        valid: true,
        enabled: true,
        desired_vcpus: Vcpus::new(640),
        max_vcpus: Vcpus::new(4096),
        ..EnvironmentNow::default()
    };
    let rooms = (1..=10).map(|free| Room {
        free: resources(free, free * 3_000),
        instances: 1,
    });
    let instances = InstancesNow {
        there: Vcpus::new(640),
        used: Vcpus::new(585),
        rooms: rooms.collect(),
        ..InstancesNow::default()
    };
    let queue = QueueNow {
        runnable: Seen::Exactly(NOW, Tally::default()),
        placed: Seen::Exactly(
            NOW,
            (1..100).map(|vcpus| (shape(vcpus % 16 + 1, vcpus * 100), 1)).collect(),
        ),
        head: Seen::default(),
        not_demand: NotDemand::default(),
        multi_node: Tally::default(),
    };
    Observation {
        generation: 1,
        environments: vec![Seen::Exactly(NOW, environment); ENVIRONMENTS],
        instances: vec![Seen::Exactly(NOW, instances); ENVIRONMENTS],
        queues: vec![queue; QUEUES],
        ..Observation::default()
    }
}

/// The same with jobs of 400 sizes waiting in every queue.
pub(crate) fn busy() -> Observation {
    let mut observation = quiet();
    let waiting: Tally = (0..SHAPES_PER_QUEUE)
        .map(|size| (shape(size % 40 + 1, 500 + size / 40 * 4_000), size % 7 + 1))
        .collect();
    assert_eq!(waiting.rows().count(), to_usize(SHAPES_PER_QUEUE));
    for queue in &mut observation.queues {
        queue.runnable = Seen::Exactly(NOW, waiting.clone());
    }
    observation
}

/// Looks every half minute until nothing is left to ask for. Memory and time of the steady state.
pub(crate) fn settle(setup: &Setup, observation: &mut Observation) -> (Memory, Time) {
    let mut memory = Memory::new(setup, NOW - Span::from_minutes(60));
    let mut decision = Plan::default();
    let mut now = NOW;
    for _ in 0..20 {
        decide(setup, observation, &memory, now, &mut decision);
        memory.fold(&decision.notes);
        if decision.actions.is_empty() {
            break;
        }
        for action in &decision.actions {
            let position = action.environment().position();
            if let Some(levels) = observation.environments[position].value_mut() {
                levels.min_vcpus = action.to().min_vcpus;
                levels.desired_vcpus = action.to().desired_vcpus;
            }
        }
        observation.generation += 1;
        now = now + Span::from_seconds(30);
    }
    assert_eq!(decision.actions, [], "it never settles");
    (memory, now)
}

/// Plans with nothing foreseen.
pub(crate) fn decide(setup: &Setup, observation: &Observation, memory: &Memory, now: Time, decision: &mut Plan) {
    let inputs = Inputs {
        setup,
        observation,
        memory,
        forecast: &Forecast::default(),
        now,
    };
    plan(&inputs, decision);
}
