//! Small accounts for tests, made by hand or by proptest.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::account::Platform;
use crate::catalog::{Purchase, Resources};
use crate::ids::{EnvironmentIndex, QueueIndex, QuotaIndex};
use crate::observation::{
    EnvironmentNow, InstancesNow, NotDemand, Observation, QueueNow, QuotaNow, Room, Seen, Shape, Tally,
};
use crate::setup::{EnvironmentSetup, Limits, Patience, QueueSetup, QuotaSetup, QuotaShare, Setup, Tempo};
use crate::units::{Mebibytes, Span, Time, Vcpus};

pub(crate) const NOW: Time = Time::from_seconds(1_000_000);

pub(crate) fn resources(vcpus: i64, memory: i64) -> Resources {
    Resources {
        vcpus: Vcpus::new(vcpus),
        memory: Mebibytes::new(memory),
        gpus: 0,
    }
}

pub(crate) fn shape(vcpus: i64) -> Shape {
    Shape {
        resources: resources(vcpus, vcpus * 1024),
        nodes: 1,
    }
}

pub(crate) fn environment(name: &str, purchase: Purchase, quota: Option<u16>) -> EnvironmentSetup {
    EnvironmentSetup {
        name: name.to_owned(),
        platform: Platform::Ec2,
        purchase,
        covered: true,
        base: Vcpus::ZERO,
        base_named: false,
        cap: None,
        max_step: None,
        fits: vec![resources(64, 64 * 4096)],
        memory_per_kilo_vcpu: 4096 * 1024,
        vcpus_per_gpu: Vcpus::ZERO,
        smallest: Vcpus::new(4),
        largest: Vcpus::new(64),
        without_job: resources(64, 64 * 4096),
        quotas: quota.map(|quota| share(quota, 4, 64)).into_iter().collect(),
        launch_expected: Span::from_seconds(150),
        limits: Limits::Clamp,
        unenforced: false,
    }
}

/// Types from `smallest` to `largest` under one quota.
pub(crate) fn share(quota: u16, smallest: i64, largest: i64) -> QuotaShare {
    QuotaShare {
        quota: QuotaIndex(quota),
        fits: vec![resources(largest, largest * 4096)],
        smallest: Vcpus::new(smallest),
        largest: Vcpus::new(largest),
    }
}

pub(crate) fn queue(name: &str, environments: &[u16]) -> QueueSetup {
    QueueSetup {
        name: name.to_owned(),
        environments: environments.iter().map(|index| EnvironmentIndex(*index)).collect(),
        follows_runnable: true,
        patience: vec![Patience {
            jobs: 1,
            after: Span::from_minutes(4),
        }],
        on_demand_base: Vcpus::ZERO,
        headroom_slots: 0,
        reference: shape(4),
        idle_time: Span::ZERO,
        sqs_sources: Vec::new(),
        fair_share: false,
        has_schedules: false,
    }
}

/// One queue on Spot, then On-Demand, 256 vCPUs each.
pub(crate) fn spot_then_on_demand() -> Setup {
    Setup {
        environments: vec![
            environment("spot", Purchase::Spot, None),
            environment("ondemand", Purchase::OnDemand, None),
        ],
        queues: vec![queue("q", &[0, 1])],
        serve_order: vec![QueueIndex(0)],
        sqs_sources: Vec::new(),
        quotas: Vec::new(),
        account_cap: None,
        region: None,
        tempo: Tempo::default(),
    }
}

/// Everything empty and freshly read at `at`.
pub(crate) fn quiet(setup: &Setup, at: Time) -> Observation {
    let environment = EnvironmentNow {
        valid: true,
        enabled: true,
        max_vcpus: Vcpus::new(256),
        ..EnvironmentNow::default()
    };
    Observation {
        generation: 1,
        environments: vec![Seen::Exactly(at, environment); setup.environments.len()],
        instances: vec![Seen::Exactly(at, InstancesNow::default()); setup.environments.len()],
        queues: vec![
            QueueNow {
                runnable: Seen::Exactly(at, Tally::default()),
                placed: Seen::Exactly(at, Tally::default()),
                head: Seen::default(),
                not_demand: NotDemand::default(),
                multi_node: Tally::default(),
            };
            setup.queues.len()
        ],
        sqs: Vec::new(),
        quotas: vec![
            Seen::Exactly(
                at,
                QuotaNow {
                    limit: Vcpus::new(1_000_000),
                    used_by_others: Vcpus::ZERO
                }
            );
            setup.quotas.len()
        ],
        arrivals: Vec::new(),
    }
}

pub(crate) fn add_runnable(observation: &mut Observation, queue: usize, shape: Shape, jobs: i64) {
    if let Some(tally) = observation.queues[queue].runnable.value_mut() {
        tally.add(shape, jobs);
    }
    observation.generation += 1;
}

/// Puts a plan's actions into effect in what is observed.
pub(crate) fn apply(observation: &mut Observation, actions: &[crate::planner::plan::Action]) {
    for action in actions {
        if let Some(now) = observation.environments[action.environment().position()].value_mut() {
            now.min_vcpus = action.to().min_vcpus;
            now.desired_vcpus = action.to().desired_vcpus;
            now.max_vcpus = action.to().max_vcpus;
        }
    }
    observation.generation += 1;
}

prop_compose! {
    fn any_environment()(
        spot in any::<bool>(),
        cap in proptest::option::of(0_i64..300),
        step in proptest::option::of(1_i64..200),
        base in 0_i64..20,
        largest in prop::sample::select(vec![4_i64, 16, 64]),
        ratio in prop::sample::select(vec![2048_i64, 4096, 8192]),
        quotas in prop::sample::subsequence(vec![0_u16, 1], 0..=2),
        limits in prop::sample::select(vec![Limits::Report, Limits::Clamp, Limits::Enforce]),
    ) -> EnvironmentSetup {
        let purchase = if spot { Purchase::Spot } else { Purchase::OnDemand };
        EnvironmentSetup {
            cap: cap.map(Vcpus::new),
            max_step: step.map(Vcpus::new),
            base: Vcpus::new(base),
            fits: vec![resources(largest, largest * ratio)],
            without_job: resources(largest, largest * ratio),
            memory_per_kilo_vcpu: ratio * 1024,
            largest: Vcpus::new(largest),
            limits,
            quotas: quotas
                .into_iter()
                .map(|quota| QuotaShare {
                    fits: vec![resources(largest, largest * ratio)],
                    ..share(quota, 4, largest)
                })
                .collect(),
            ..environment("e", purchase, None)
        }
    }
}

fn any_shape() -> impl Strategy<Value = Shape> {
    (
        prop::sample::select(vec![1_i64, 2, 3, 4, 8, 16, 48]),
        prop::sample::select(vec![512_i64, 2048, 4096, 20_000]),
    )
        .prop_map(|(vcpus, memory)| Shape {
            resources: resources(vcpus, memory.max(vcpus * 100)),
            nodes: 1,
        })
}

fn any_tally() -> impl Strategy<Value = Tally> {
    vec((any_shape(), 1_i64..40), 0..4).prop_map(|rows| rows.into_iter().collect())
}

/// A setup and an observation that agree in size and could have been read from an account.
pub(crate) fn any_world() -> impl Strategy<Value = (Setup, Observation)> {
    (
        vec(any_environment(), 1..4),
        vec((vec(0_u16..4, 1..4), 0_i64..5, 0_i64..40), 1..4),
    )
        .prop_flat_map(|(environments, queues)| {
            let count = environments.len();
            let setup = Setup {
                serve_order: (0..queues.len()).map(QueueIndex::at).collect(),
                queues: (queues.iter().enumerate())
                    .map(|(position, (order, headroom, on_demand_base))| {
                        let mut order: Vec<u16> = order
                            .iter()
                            .map(|index| index % u16::try_from(count).unwrap())
                            .collect();
                        let mut seen = std::collections::BTreeSet::new();
                        order.retain(|index| seen.insert(*index));
                        QueueSetup {
                            headroom_slots: *headroom,
                            on_demand_base: Vcpus::new(*on_demand_base),
                            ..queue(&format!("q{position}"), &order)
                        }
                    })
                    .collect(),
                environments,
                sqs_sources: Vec::new(),
                quotas: vec![
                    QuotaSetup {
                        code: "L-34B43A08".into(),
                        limit: Some(Vcpus::new(300)),
                        reserve: Vcpus::new(8),
                    },
                    QuotaSetup {
                        code: "L-3819A6DF".into(),
                        limit: None,
                        reserve: Vcpus::ZERO,
                    },
                ],
                account_cap: Some(Vcpus::new(600)),
                region: None,
                tempo: Tempo {
                    quiet_after_start: Span::ZERO,
                    ..Tempo::default()
                },
            };
            let per_environment = vec((0_i64..12, 0_i64..80, 0_i64..200, 32_i64..400, any::<bool>()), count);
            let head = proptest::option::of(0_usize..4);
            let per_queue = vec((any_tally(), any_tally(), head), setup.queues.len());
            let limit = || prop_oneof![1 => Just(0_i64), 8 => 50_i64..900, 1 => Just(1_000_000)];
            (Just(setup), per_environment, per_queue, (limit(), limit())).prop_map(observe)
        })
}

/// Some of the instances are told by type: of the first quota's class, the second's, and one that neither counts.
fn types_of(setup: &EnvironmentSetup, instances: i64, ahead: i64) -> Vec<(String, Vcpus)> {
    let told = instances.min(ahead % 5);
    if setup.purchase != Purchase::Spot || told == 0 {
        return Vec::new(); // the quotas of these worlds are of Spot
    }
    let of = |name: &str, instances: i64| (name.to_owned(), setup.largest.times(instances));
    let (standard, graphics) = (told / 2, told / 3);
    let mut types = vec![of("g5.xlarge", graphics), of("m6i.xlarge", standard)];
    types.push(of("x2idn.xlarge", told - standard - graphics));
    types
}

type Raw = (
    Setup,
    Vec<(i64, i64, i64, i64, bool)>,
    Vec<(Tally, Tally, Option<usize>)>,
    (i64, i64),
);

fn observe((setup, environments, queues, limits): Raw) -> (Setup, Observation) {
    let mut observation = quiet(&setup, NOW);
    for (position, (instances, used, ahead, max, updating)) in environments.into_iter().enumerate() {
        let each = setup.environments[position].largest.get();
        let there = instances * each;
        let used = used.min(there);
        let full = used / each;
        let mut rooms = Vec::new();
        if used % each > 0 {
            let free = each - used % each;
            rooms.push(Room {
                free: resources(free, free * 2048),
                instances: 1,
            });
        }
        let empty = instances - full - i64::from(used % each > 0);
        if empty > 0 {
            rooms.push(Room {
                free: resources(each, each * 4096),
                instances: u32::try_from(empty).unwrap(),
            });
        }
        let min = setup.environments[position].base.get().max(ahead / 3);
        observation.environments[position] = Seen::Exactly(
            NOW,
            EnvironmentNow {
                valid: true,
                enabled: true,
                updating: updating && ahead % 5 == 0,
                min_vcpus: Vcpus::new(min.min(max)),
                desired_vcpus: Vcpus::new((there + ahead % 50).max(min.min(max))),
                max_vcpus: Vcpus::new(max),
                scale_down_delay: Span::ZERO,
            },
        );
        observation.instances[position] = Seen::Exactly(
            NOW,
            InstancesNow {
                there: Vcpus::new(there),
                used: Vcpus::new(used),
                rooms,
                capacity_error: (ahead % 7 == 0).then_some(NOW - Span::from_seconds(30)),
                registered: (ahead % 3 == 0).then_some(NOW - Span::from_seconds(90)),
                types: types_of(&setup.environments[position], instances, ahead),
                refused: None,
            },
        );
    }
    for (position, (runnable, placed, head)) in queues.into_iter().enumerate() {
        if let Some(which) = head {
            let head = runnable.rows().nth(which).map(|(shape, _)| *shape);
            observation.queues[position].head = Seen::Exactly(NOW, head);
        }
        observation.queues[position].runnable = Seen::Exactly(NOW, runnable);
        observation.queues[position].placed = Seen::Exactly(NOW, placed);
    }
    for (seen, limit) in observation.quotas.iter_mut().zip([limits.0, limits.1]) {
        let quota = QuotaNow {
            limit: Vcpus::new(limit),
            used_by_others: Vcpus::new(limit / 10),
        };
        *seen = Seen::Exactly(NOW, quota);
    }
    (setup, observation)
}
