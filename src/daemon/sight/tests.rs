//! What was read becomes what is seen.

use proptest::prelude::*;

use super::*;
use crate::forecast::Forecast;
use crate::observation::EnvironmentNow;
use crate::planner::memory::Memory;
use crate::planner::plan::Plan;
use crate::planner::worlds::{self, environment, spot_then_on_demand};
use crate::planner::{self, Inputs};

const START: Time = Time::from_seconds(1_000_000);

fn read(name: &str, min: i64) -> EnvironmentRead {
    EnvironmentRead {
        name: name.to_owned(),
        now: EnvironmentNow {
            min_vcpus: Vcpus::new(min),
            ..EnvironmentNow::default()
        },
        ..EnvironmentRead::default()
    }
}

fn failed() -> Unread {
    Unread {
        why: GapReason::Denied,
        message: "ecs:ListContainerInstances is denied".to_owned(),
    }
}

#[test]
fn the_generation_rises_with_what_a_plan_could_see_and_not_with_age() {
    let mut sight = Sight::new(&spot_then_on_demand());
    let before = sight.observation.generation;
    sight.environments(START, vec![read("spot", 0)]);
    let after = sight.observation.generation;
    assert!(after > before);
    sight.environments(START + Span::from_seconds(30), vec![read("spot", 0)]);
    assert_eq!(sight.observation.generation, after);
    assert_eq!(sight.observation.environments[0].at(), START + Span::from_seconds(30));
    sight.environments(START + Span::from_seconds(60), vec![read("spot", 8)]);
    assert!(sight.observation.generation > after);
}

/// They would be late for ever, and an alert would never end.
#[test]
fn nodes_of_eks_are_not_read_and_never_late() {
    let mut setup = spot_then_on_demand();
    setup.environments[0].platform = Platform::Eks;
    let sight = Sight::new(&setup);
    let read: Vec<Part> = sight.parts();
    let read = |name: &str| read.contains(&Part::Instances(name.to_owned()));
    assert!(!read("spot") && read("ondemand"));
    let metrics = crate::metrics::Metrics::new();
    metrics.reset(&setup);
    metrics.planned(&setup, &sight.observation, &Plan::default(), START, 0.0);
    let text = metrics.render();
    for (name, is_late) in [("spot", false), ("ondemand", true)] {
        let series = format!("autotune_environment_signal_age_seconds{{environment=\"{name}\",kind=\"instances\"}} ");
        let age = text.lines().find_map(|line| line.strip_prefix(&series)).unwrap();
        assert_eq!(age.parse::<f64>().unwrap() > 600.0, is_late, "{name} {age}");
    }
}

#[test]
fn what_cannot_be_read_any_more_keeps_its_value_with_its_old_time() {
    let mut sight = Sight::new(&spot_then_on_demand());
    let part = Part::Instances("spot".to_owned());
    let later = START + Span::from_seconds(60);
    assert!(sight.could_not(&part, START, &failed()), "news");
    let gap = Gap {
        since: START,
        why: GapReason::Denied,
    };
    assert_eq!(sight.observation.instances[0], Seen::Missing(gap), "never read");
    sight.instances("spot", START, InstancesNow::default());
    assert!(sight.could(&part));
    assert!(sight.could_not(&part, later, &failed()));
    assert!(
        !sight.could_not(&part, later + Span::from_seconds(9), &failed()),
        "no news"
    );
    assert_eq!(sight.observation.instances[0].at(), START);
    assert!(sight.observation.instances[0].is_exact());
    assert_eq!(sight.gaps[&part].0, later);
}

#[test]
fn what_keeps_its_name_keeps_what_was_seen_of_it() {
    let mut setup = spot_then_on_demand();
    let mut sight = Sight::new(&setup);
    sight.environments(START, vec![read("ondemand", 4)]);
    let first = environment("first", crate::catalog::Purchase::Spot, None);
    setup.environments.insert(0, first);
    sight.renumber(&setup);
    let seen = sight.observation.environments.iter();
    let mins: Vec<_> = seen.map(|seen| seen.value().map(|now| now.min_vcpus.get())).collect();
    assert_eq!(mins, [None, None, Some(4)]);
    setup.environments.retain(|environment| environment.name != "ondemand");
    sight.renumber(&setup);
    assert!(sight.read.is_empty());
}

/// Only where something is on its way, and for as long as nothing newer is known.
#[test]
fn a_lack_of_capacity_is_noted_where_a_raise_is_open_and_outlives_the_next_reading() {
    let mut sight = Sight::new(&spot_then_on_demand());
    sight.environments(START, vec![read("spot", 64), read("ondemand", 0)]);
    for name in ["spot", "ondemand"] {
        sight.instances(name, START, InstancesNow::default());
    }
    let generation = sight.observation.generation;
    sight.short_of_capacity(&[EnvironmentIndex(0), EnvironmentIndex(1)], START);
    assert!(sight.observation.generation > generation);
    sight.instances("spot", START + Span::from_seconds(30), InstancesNow::default());
    let seen = sight.observation.instances.iter();
    let errors: Vec<_> = seen
        .map(|seen| seen.value().and_then(|now| now.capacity_error))
        .collect();
    assert_eq!(errors, [Some(START), None]);
}

/// Quota `L-1` of 256 vCPUs, against which the first environment counts, or both.
fn with_quota(environments: usize) -> Setup {
    let mut setup = spot_then_on_demand();
    for environment in setup.environments.iter_mut().take(environments) {
        environment.quotas = vec![crate::planner::worlds::share(0, 4, 64)];
    }
    setup.quotas = vec![crate::setup::QuotaSetup {
        code: "L-1".to_owned(),
        limit: None,
        reserve: Vcpus::ZERO,
    }];
    setup
}

const fn used(vcpus: i64, counted: Counted) -> QuotaRead {
    QuotaRead {
        limit: Vcpus::new(256),
        used: Vcpus::new(vcpus),
        counted,
        counted_at: START,
    }
}

fn others(sight: &Sight) -> Option<i64> {
    Some(sight.observation.quotas[0].value()?.used_by_others.get())
}

/// They count as the use of others, and every environment that shares the quota may be raised.
#[test]
fn a_quota_shared_with_eks_is_known_without_its_nodes() {
    let mut setup = with_quota(2);
    setup.environments[1].platform = Platform::Eks;
    let mut sight = Sight::new(&setup);
    sight.quota("L-1", START, used(100, Counted::Metric), &setup);
    assert_eq!(others(&sight), None, "ours are not known yet");
    sight.instances("spot", START, there(60));
    assert_eq!(sight.settled(&setup).len(), 1);
    sight.quota("L-1", START, used(100, Counted::Metric), &setup);
    assert_eq!(others(&sight), Some(40));
}

fn there(vcpus: i64) -> InstancesNow {
    InstancesNow {
        there: Vcpus::new(vcpus),
        ..InstancesNow::default()
    }
}

#[test]
fn our_own_instances_are_not_the_use_of_others() {
    let setup = with_quota(1);
    let mut sight = Sight::new(&setup);
    sight.instances("spot", START, there(60));
    sight.quota("L-1", START, used(100, Counted::Metric), &setup);
    assert_eq!(others(&sight), Some(40));
}

#[test]
fn a_count_that_was_cut_off_may_raise_the_use_of_others_and_never_lowers_it() {
    let setup = with_quota(1);
    let mut sight = Sight::new(&setup);
    sight.instances("spot", START, there(60));
    let mut at = START;
    for (vcpus, counted, expected) in [
        (100, Counted::SomeInstances, 40),
        (180, Counted::SomeInstances, 120),
        (100, Counted::SomeInstances, 120),
        (100, Counted::Instances, 40),
        (90, Counted::Metric, 30),
    ] {
        at = at + Span::from_minutes(12);
        let read = QuotaRead {
            counted_at: at,
            ..used(vcpus, counted)
        };
        sight.quota("L-1", at, read, &setup);
        assert_eq!(others(&sight), Some(expected), "{vcpus} {counted:?}");
        assert_eq!(sight.observation.quotas[0].is_exact(), counted.is_exact());
    }
}

/// It is of when fewer of its instances were ours.
#[test]
fn a_count_that_is_told_again_is_compared_with_what_was_ours_when_it_was_made() {
    let setup = with_quota(1);
    let mut sight = Sight::new(&setup);
    sight.instances("spot", START, there(60));
    let read = used(100, Counted::Instances);
    sight.quota("L-1", START, read, &setup);
    sight.instances("spot", START, there(90));
    let later = START + Span::from_minutes(5);
    sight.quota("L-1", later, read, &setup);
    assert_eq!(others(&sight), Some(40));
    // Nobody took anything off it yet, and what is ours now came later, perhaps.
    let mut late = Sight::new(&setup);
    late.instances("spot", START, there(90));
    late.quota("L-1", later, read, &setup);
    assert_eq!(others(&late), Some(100));
    late.quota(
        "L-1",
        later,
        QuotaRead {
            counted_at: later,
            ..read
        },
        &setup,
    );
    assert_eq!(others(&late), Some(10));
}

proptest! {
    /// However use was counted: what is granted fits beside what others really use and all that is ours, and a count that was cut off grants
    /// no more than was granted before it.
    #[test]
    fn no_count_of_a_quotas_use_grants_beyond_it(
        others in 0_i64..300,
        there in 0_i64..128,
        booting in 0_i64..64,
        jobs in 0_i64..100,
        counts in prop::collection::vec((any::<bool>(), 0_i64..100), 1..5),
    ) {
        let setup = with_quota(1);
        let mut observation = worlds::quiet(&setup, START);
        worlds::add_runnable(&mut observation, 0, worlds::shape(4), jobs);
        let desired = Vcpus::new(there + booting);
        observation.environments[0].value_mut().unwrap().desired_vcpus = desired;
        let mut sight = Sight::new(&setup);
        sight.observation = observation;
        sight.instances("spot", START, InstancesNow { there: Vcpus::new(there), used: Vcpus::new(there), ..InstancesNow::default() });
        let memory = Memory::new(&setup, START - Span::from_minutes(60));
        let mut before = None;
        for (at, (cut, percent)) in counts.into_iter().enumerate() {
            let now = START + Span::from_seconds(i64::try_from(at).unwrap());
            // Instances that boot run already, as EC2 counts.
            let all = others + there + booting;
            let read = if cut { used(all * percent / 100, Counted::SomeInstances) } else { used(all, Counted::Instances) };
            let read = QuotaRead { counted_at: now, ..read };
            sight.quota("L-1", now, read, &setup);
            let mut plan = Plan::default();
            let inputs = Inputs {
                setup: &setup,
                observation: &sight.observation,
                memory: &memory,
                forecast: &Forecast::default(),
                now: START,
            };
            planner::plan(&inputs, &mut plan);
            let granted = plan.environments[0].granted;
            let stands = Vcpus::new(others) + desired;
            prop_assert!(cut || granted.is_zero() || granted + stands <= read.limit, "{granted} beside {stands}");
            prop_assert!(!cut || before.is_none_or(|before| granted <= before), "{granted} after {before:?}");
            before = Some(granted);
        }
    }
}

#[test]
fn a_quota_is_made_nothing_of_before_our_own_instances_are_known() {
    let setup = with_quota(2);
    let mut sight = Sight::new(&setup);
    sight.instances("spot", START, there(60));
    sight.quota("L-1", START, used(100, Counted::Metric), &setup);
    assert_eq!(others(&sight), None);
    assert!(sight.settled(&setup).is_empty());
    // They cannot be read: what others use is then at most this.
    sight.could_not(&Part::Instances("ondemand".to_owned()), START, &failed());
    assert!(sight.settled(&setup).contains("L-1"), "to be read again");
    assert!(sight.settled(&setup).is_empty(), "once");
    sight.quota("L-1", START, used(100, Counted::Metric), &setup);
    assert_eq!(others(&sight), Some(40));
    // Another environment comes in: what was known stays until it was looked at.
    let mut more = setup;
    let mut first = environment("first", crate::catalog::Purchase::Spot, None);
    first.quotas = vec![crate::planner::worlds::share(0, 4, 64)];
    more.environments.insert(0, first);
    sight.renumber(&more);
    sight.quota("L-1", START, used(200, Counted::Metric), &more);
    assert_eq!(others(&sight), Some(40));
    sight.instances("first", START, there(100));
    assert!(sight.settled(&more).contains("L-1"));
}
