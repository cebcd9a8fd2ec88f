//! Ticks come back as they were noted.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::catalog::Resources;
use crate::journal::ticks::{apply, difference};
use crate::observation::{EnvironmentNow, Gap, GapReason, QueueNow, Seen, Tally};
use crate::units::Mebibytes;

fn seen<T: std::fmt::Debug + Clone + 'static>(value: BoxedStrategy<T>) -> impl Strategy<Value = Seen<T>> {
    let gap = Gap {
        since: Time::FAR_PAST,
        why: GapReason::Throttled,
    };
    prop_oneof![
        3 => (0..5_i64, value.clone()).prop_map(|(seconds, value)| Seen::Exactly(at(seconds), value)),
        1 => (0..5_i64, value).prop_map(|(seconds, value)| Seen::AtLeast(at(seconds), value)),
        1 => Just(Seen::Missing(gap)),
    ]
}

fn tally() -> BoxedStrategy<Tally> {
    let row = (0..3_i64, 1..i64::MAX).prop_map(|(vcpus, jobs)| {
        let resources = Resources {
            vcpus: Vcpus::new(vcpus),
            memory: Mebibytes::new(1024),
            gpus: 0,
        };
        (Shape { resources, nodes: 1 }, jobs)
    });
    vec(row, 0..3).prop_map(|rows| rows.into_iter().collect()).boxed()
}

fn environment() -> BoxedStrategy<EnvironmentNow> {
    let levels = (any::<bool>(), 0..4_i64);
    levels
        .prop_map(|(valid, min)| EnvironmentNow {
            valid,
            min_vcpus: Vcpus::new(min),
            ..EnvironmentNow::default()
        })
        .boxed()
}

fn tick() -> impl Strategy<Value = Tick> {
    let queue = (seen(tally()), seen(tally())).prop_map(|(runnable, placed)| QueueNow {
        runnable,
        placed,
        ..QueueNow::default()
    });
    let said = "[a-c\\n\"]{0,3}".prop_map(|name| Said {
        kind: "queue".to_owned(),
        name,
        ..Said::default()
    });
    let parts = (
        any::<u64>(),
        vec(seen(environment()), 0..4),
        vec(queue, 0..4),
        vec(said, 1..4),
    );
    // Steps of up to half an hour, also back: clocks are set.
    (-300..1_800_i64, parts).prop_map(|(seconds, (generation, environments, queues, reasons))| Tick {
        at: at(seconds),
        reasons,
        observation: Observation {
            generation,
            environments,
            queues,
            ..Observation::default()
        },
        names: Names::default(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_sequence_of_ticks_is_rebuilt_exactly(ticks in vec(tick(), 1..12)) {
        let (_folder, _path, journal) = made();
        for tick in &ticks {
            journal.tick(tick).unwrap();
        }
        let mut expected: Vec<(usize, Tick)> = ticks.into_iter().enumerate().collect();
        expected.sort_by_key(|(number, tick)| std::cmp::Reverse((tick.at, *number)));
        let expected: Vec<Tick> = expected.into_iter().map(|(_, tick)| tick).collect();
        prop_assert_eq!(journal.ticks(&all()).unwrap(), expected);
    }

    #[test]
    fn a_difference_makes_the_new_of_the_old(old in json(), new in json()) {
        let mut rebuilt = old.clone();
        match difference(&old, &new) {
            None => prop_assert_eq!(&old, &new),
            Some(difference) => prop_assert!(apply(difference, &mut rebuilt)),
        }
        prop_assert_eq!(rebuilt, new);
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..3_u64).prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 32, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[ab0]", inner, 0..3).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

#[test]
fn a_quiet_tick_costs_little_beside_its_keyframe() {
    let (_folder, _path, journal) = made();
    let environment = |number: i64| {
        let now = EnvironmentNow {
            min_vcpus: Vcpus::new(number),
            ..EnvironmentNow::default()
        };
        Seen::Exactly(at(number), now)
    };
    let mut tick = Tick {
        at: at(0),
        ..Tick::default()
    };
    tick.observation.environments = (0..50).map(environment).collect();
    for second in 0..30 {
        tick.at = at(second * 30);
        tick.observation.environments[7].refresh(tick.at);
        journal.tick(&tick).unwrap();
    }
    let sizes = "SELECT (SELECT count(*) FROM keyframes), (SELECT max(length(body)) FROM ticks)";
    let sizes = journal.look("", |reader| {
        Ok(reader.query_row(sizes, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
    });
    let (keyframes, largest): (i64, i64) = sizes.unwrap();
    assert_eq!(keyframes, 1);
    assert!(largest < 120, "{largest} bytes");
    tick.at = at(15 * 60);
    journal.tick(&tick).unwrap();
    assert_eq!(journal.ticks(&all()).unwrap(), [], "nothing was said");
}

#[test]
fn ticks_are_told_of_what_was_asked_as_it_was_then() {
    let (_folder, _path, journal) = made();
    let said = |kind: &str, name: &str| Said {
        kind: kind.to_owned(),
        name: name.to_owned(),
        ..Said::default()
    };
    for (seconds, reasons) in [
        (1, vec![said("environment", "a"), said("queue", "a")]),
        (2, vec![said("environment", "b")]),
    ] {
        journal
            .tick(&Tick {
                at: at(seconds),
                reasons,
                ..Tick::default()
            })
            .unwrap();
    }
    let of_a = Asked {
        environment: Some("a".to_owned()),
        ..all()
    };
    let told = journal.ticks(&of_a).unwrap();
    assert_eq!((told.len(), &told[0].reasons), (1, &vec![said("environment", "a")]));
    let then = Asked {
        at: Some(at(1)),
        ..all()
    };
    assert_eq!(journal.ticks(&then).unwrap()[0].at, at(1));
    assert_eq!(journal.ticks(&Asked { last: 1, ..all() }).unwrap()[0].at, at(2));
    let moment = Moment {
        at: at(1),
        reasons: vec![said("environment", "a")],
        silence: None,
    };
    assert_eq!(
        journal.moments(&of_a, at(9)).unwrap(),
        [moment],
        "what was said of it, without what was seen"
    );
}

#[test]
fn a_queue_is_told_of_with_its_environments_and_sources() {
    let (_folder, _path, journal) = made();
    let said = |kind: &str, name: &str| Said {
        kind: kind.to_owned(),
        name: name.to_owned(),
        ..Said::default()
    };
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let all_said = vec![
        said("environment", "spot"),
        said("environment", "other"),
        said("queue", "q"),
        said("queue", "spot"),
        said("sqs", "inbox"),
        said("sqs", "elsewhere"),
    ];
    let tick = Tick {
        at: at(1),
        reasons: all_said,
        names: Names {
            environments: list(&["spot", "other"]),
            queues: list(&["p", "q"]),
            queue_environments: vec![list(&["other"]), list(&["spot"])],
            sqs: list(&["inbox", "elsewhere"]),
            sqs_queues: list(&["q", "p"]),
            quotas: Vec::new(),
        },
        ..Tick::default()
    };
    journal.tick(&tick).unwrap();
    let quiet = Tick {
        at: at(9),
        reasons: Vec::new(),
        ..tick
    };
    journal.tick(&quiet).unwrap();
    for (seconds, environment) in [(2, "spot"), (3, "other"), (4, "spot")] {
        journal
            .commit(&intent(environment, seconds), &Remembered::default())
            .unwrap();
    }
    let of_queue = |at| Asked {
        queue: Some("q".to_owned()),
        at,
        ..all()
    };
    let told = journal.ticks(&of_queue(None)).unwrap();
    let expected = [said("environment", "spot"), said("queue", "q"), said("sqs", "inbox")];
    assert_eq!((told.len(), told[0].reasons.as_slice()), (1, expected.as_slice()));
    let decided = journal.decisions(&of_queue(None)).unwrap();
    assert_eq!(decided.iter().map(|d| d.intent.at).collect::<Vec<_>>(), [at(4), at(2)]);
    let then = journal.ticks(&of_queue(Some(at(10)))).unwrap();
    assert_eq!((then[0].at, then[0].reasons.len()), (at(9), 0), "as it was then: quiet");
    assert_eq!(journal.stranger(&of_queue(None), at(9)).unwrap(), None);
    let typo = Asked {
        environment: Some("sopt".to_owned()),
        ..all()
    };
    let why = journal.stranger(&typo, at(9)).unwrap().unwrap();
    assert!(
        why.contains("\"sopt\"") && why.contains("did you mean `spot`?"),
        "{why}"
    );
}

#[test]
fn what_was_noted_long_before_is_told_as_such() {
    let (_folder, _path, journal) = made();
    let minutes = |minutes: i64| at(60 * minutes);
    // It stood still between 10 and 100, and does so since 110.
    for noted in [0, 10, 100, 110] {
        let tick = Tick {
            at: minutes(noted),
            ..Tick::default()
        };
        journal.tick(&tick).unwrap();
    }
    let silent = |asked: i64, now: i64| {
        let asked = Asked {
            at: Some(minutes(asked)),
            ..all()
        };
        let moments = journal.moments(&asked, minutes(now)).unwrap();
        assert!(moments.iter().skip(1).all(|moment| moment.silence.is_none()));
        moments[0].silence.clone().map(|silence| silence.until)
    };
    for (asked, now, until) in [
        (5, 300, None),
        (10, 300, None),
        (11, 300, Some(100)),
        (99, 300, Some(100)),
        (100, 300, None),
        (120, 300, None),
        (200, 300, Some(200)),
        // What is yet to come is not silent.
        (200, 120, None),
        (200, 130, Some(130)),
    ] {
        assert_eq!(silent(asked, now), until.map(minutes), "{asked} {now}");
    }
    assert!(journal.moments(&all(), minutes(300)).unwrap().is_empty());
}
