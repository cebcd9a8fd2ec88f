use super::*;

const START: Time = Time::from_seconds(1_000_000);

fn jobs() -> Part {
    Part::Jobs("q".to_owned())
}

fn instances(name: &str) -> Part {
    Part::Instances(name.to_owned())
}

fn cadence() -> Cadence {
    let mut cadence = Cadence::new(Periods::default());
    cadence.set_parts([Part::Environments, Part::Queues, instances("a"), instances("b"), jobs()]);
    cadence
}

fn events() -> Circumstances {
    Circumstances {
        events: true,
        ..Circumstances::default()
    }
}

/// Reads whatever is due for so many seconds, at once and well; says what and when.
fn run(cadence: &mut Cadence, circumstances: &Circumstances, from: i64, to: i64) -> Vec<(i64, Part)> {
    let mut read = Vec::new();
    for second in from..to {
        for _ in 0..2 {
            for part in cadence.due(START + Span::from_seconds(second), circumstances) {
                cadence.ended(&part, true);
                read.push((second, part));
            }
        }
    }
    read
}

fn times(read: &[(i64, Part)], part: &Part) -> Vec<i64> {
    read.iter()
        .filter(|(_, read)| read == part)
        .map(|(at, _)| *at)
        .collect()
}

#[test]
fn every_part_has_its_own_period() {
    let read = run(&mut cadence(), &events(), 0, 601);
    assert_eq!(times(&read, &Part::Environments).len(), 21);
    assert_eq!(times(&read, &instances("a")), [0, 300, 600]);
    assert_eq!(times(&read, &jobs()), [0, 300, 600]);
    let read = run(&mut cadence(), &Circumstances::default(), 0, 121);
    assert_eq!(times(&read, &jobs()), [0, 60, 120]);
    let open = Circumstances {
        open: BTreeSet::from(["a".to_owned()]),
        ..events()
    };
    let read = run(&mut cadence(), &open, 0, 61);
    assert_eq!(times(&read, &instances("a")), [0, 30, 60]);
    assert_eq!(times(&read, &instances("b")), [0]);
}

#[test]
fn environments_are_read_first_jobs_and_quotas_last_but_wait_no_longer_than_five_seconds() {
    let mut cadence = Cadence::new(Periods::default());
    let quota = Part::Quota("L-1".to_owned());
    cadence.set_parts([
        Part::Environments,
        instances("a"),
        instances("b"),
        quota.clone(),
        jobs(),
    ]);
    let first = cadence.due(START, &events());
    assert_eq!(first, [Part::Environments, instances("a"), instances("b")]);
    for part in first.iter().filter(|part| **part != instances("a")) {
        cadence.ended(part, true);
    }
    assert_eq!(cadence.due(START + Span::from_seconds(4), &events()), []);
    assert_eq!(
        cadence.next(START + Span::from_seconds(4), &events()),
        START + LAST_WAIT_MOST
    );
    assert_eq!(cadence.due(START + LAST_WAIT_MOST, &events()), [quota, jobs()]);
}

#[test]
fn hints_that_settled_are_followed_at_once_and_then_at_most_every_half_minute() {
    let mut cadence = cadence();
    run(&mut cadence, &events(), 0, 40);
    cadence.hint(&jobs());
    assert_eq!(
        times(&run(&mut cadence, &events(), 40, 50), &jobs()),
        Vec::<i64>::new(),
        "not settled"
    );
    let mut read = Vec::new();
    for second in 50..120 {
        cadence.hint(&jobs());
        cadence.settle();
        read.extend(run(&mut cadence, &events(), second, second + 1));
    }
    assert_eq!(times(&read, &jobs()), [50, 80, 110]);
}

#[test]
fn a_hint_during_a_reading_is_not_lost() {
    let mut cadence = cadence();
    run(&mut cadence, &events(), 0, 40);
    cadence.want(&jobs());
    assert_eq!(cadence.due(START + Span::from_seconds(45), &events()), [jobs()]);
    cadence.hint(&jobs());
    cadence.ended(&jobs(), true);
    cadence.settle();
    assert_eq!(times(&run(&mut cadence, &events(), 46, 80), &jobs()), [75]);
}

#[test]
fn what_could_not_be_read_is_tried_again_sooner_and_then_less_and_less_often() {
    let mut cadence = Cadence::new(Periods::default());
    cadence.set_parts([Part::Topology]);
    let mut tried = Vec::new();
    for second in 0..100 {
        for part in cadence.due(START + Span::from_seconds(second), &events()) {
            cadence.ended(&part, false);
            tried.push(second);
        }
    }
    assert_eq!(tried, [0, 5, 15, 35, 75]);
}

#[test]
fn parts_that_stay_keep_their_time_and_new_ones_are_due() {
    let mut cadence = cadence();
    run(&mut cadence, &events(), 0, 10);
    cadence.set_parts([Part::Environments, jobs(), instances("new")]);
    let read = run(&mut cadence, &events(), 10, 11);
    assert_eq!(read, [(10, instances("new"))]);
}

#[test]
fn looking_costs_no_more_calls_than_promised() {
    let load = Load {
        queues: 5,
        environments: 10,
        launching: 10,
        sqs: 5,
        quotas: 2,
        events: true,
        ..Load::default()
    };
    let quiet = calls_per_minute(&Periods::default(), &load);
    let polled = calls_per_minute(&Periods::default(), &Load { events: false, ..load });
    let busy = calls_per_minute(
        &Periods::default(),
        &Load {
            busy_queues: 5,
            open: 5,
            events_per_minute: 100,
            updates_per_minute: 2,
            ..load
        },
    );
    assert!(quiet <= 40.0, "{quiet}");
    assert!(polled <= 70.0, "{polled}");
    assert!(busy <= 150.0, "{busy}");
}

/// The formula says what the cadence does.
#[test]
fn the_formula_counts_what_is_really_read() {
    let mut parts = vec![Part::Environments, Part::Queues, Part::Topology, Part::Prices];
    for number in 0..10 {
        let name = number.to_string();
        parts.push(Part::Instances(name.clone()));
        if number < 7 {
            parts.push(Part::Launches(name.clone()));
        }
        if number < 2 {
            parts.push(Part::Quota(name.clone()));
        }
        if number < 5 {
            parts.extend([
                Part::Jobs(name.clone()),
                Part::Messages(name.clone()),
                Part::Oldest(name),
            ]);
        }
    }
    for with_events in [true, false] {
        let mut cadence = Cadence::new(Periods::default());
        cadence.set_parts(parts.clone());
        let circumstances = Circumstances {
            events: with_events,
            ..Circumstances::default()
        };
        let read = run(&mut cadence, &circumstances, 0, 3600);
        let calls: u32 = read.iter().map(|(_, part)| part.cost()).sum();
        assert_eq!(times(&read, &Part::Prices).len(), 1, "once an hour");
        let load = Load {
            queues: 5,
            environments: 10,
            launching: 7,
            sqs: 5,
            quotas: 2,
            events: with_events,
            ..Load::default()
        };
        let besides = if with_events { 3.0 } else { 5.0 };
        let formula = calls_per_minute(&Periods::default(), &load) - besides;
        let counted = f64::from(calls) / 60.0;
        assert!((formula - counted).abs() < 1.0, "{formula} {counted}");
    }
}

#[test]
fn a_clock_that_is_set_back_holds_up_no_reading() {
    let mut cadence = cadence();
    run(&mut cadence, &events(), 3600, 3700);
    let read = run(&mut cadence, &events(), 0, 1);
    assert_eq!(read.len(), 5, "{read:?}");
    assert_eq!(
        times(&run(&mut cadence, &events(), 1, 61), &Part::Environments),
        [30, 60]
    );
}

#[test]
fn the_meter_grows_with_no_clock() {
    let mut meter = Meter::default();
    for (minute, at) in [100, 0, 1, 5_000_000, 3].into_iter().zip(0..) {
        meter.add(START + Span::from_minutes(minute), at);
    }
    assert_eq!(meter.minutes.len(), 1);
}

#[test]
fn the_meter_forgets_what_is_older_than_ten_minutes() {
    let mut meter = Meter::default();
    for minute in 0..30 {
        meter.add(START + Span::from_minutes(minute), if minute < 15 { 100 } else { 7 });
    }
    let rate = meter.per_minute(START + Span::from_minutes(29));
    assert!((rate - 7.0).abs() < 0.01, "{rate}");
}

#[test]
fn requests_that_were_counted_replace_what_was_estimated() {
    let mut meter = Meter::default();
    for minute in 0..20 {
        let now = START + Span::from_minutes(minute);
        meter.add(now, 1_000);
        meter.reached(now, 40 * u64::try_from(minute + 1).unwrap());
    }
    let rate = meter.per_minute(START + Span::from_minutes(20));
    assert!((rate - 40.0).abs() < 0.01, "{rate}");
}

/// Refused launches are asked for often only where nothing comes.
#[test]
fn refused_launches_are_read_while_a_raise_brings_nothing() {
    let launches = Part::Launches("a".to_owned());
    let mut cadence = cadence();
    cadence.set_parts([Part::Environments, launches.clone()]);
    let open = Circumstances {
        open: BTreeSet::from(["a".to_owned()]),
        ..events()
    };
    assert_eq!(times(&run(&mut cadence, &open, 0, 590), &launches), [0, 300]);
    let stuck = Circumstances {
        stuck: open.open.clone(),
        ..open
    };
    assert_eq!(times(&run(&mut cadence, &stuck, 590, 660), &launches), [590, 620, 650]);
}

/// A role that may not read them costs no more calls than one that may.
#[test]
fn refused_launches_that_cannot_be_read_are_not_asked_for_sooner() {
    let launches = Part::Launches("a".to_owned());
    let mut cadence = cadence();
    cadence.set_parts([launches.clone()]);
    let mut tried = Vec::new();
    for second in 0..700 {
        for part in cadence.due(START + Span::from_seconds(second), &events()) {
            cadence.ended(&part, false);
            tried.push(second);
        }
    }
    assert_eq!(tried, [0, 300, 600]);
}

/// What others use moves the maxima, so an hour would be far too long.
#[test]
fn quotas_are_read_every_five_minutes() {
    let quota = Part::Quota("L-1".to_owned());
    let mut cadence = cadence();
    cadence.set_parts([quota.clone(), Part::Topology]);
    let read = run(&mut cadence, &events(), 0, 601);
    assert_eq!(times(&read, &quota), [0, 300, 600]);
    assert_eq!(times(&read, &Part::Topology), [0]);
}

/// What an environment goes back to is read every hour, and tried again every minute.
#[test]
fn a_topology_that_cannot_be_read_is_tried_again_every_minute() {
    let mut cadence = Cadence::new(Periods::default());
    cadence.set_parts([Part::Topology]);
    let mut last = START;
    for second in 0..2 * 3_600 {
        let now = START + Span::from_seconds(second);
        for part in cadence.due(now, &events()) {
            cadence.ended(&part, false);
            assert!(now.since(last) <= Span::from_minutes(1), "{second}");
            last = now;
        }
    }
    assert!(last > START + Span::from_minutes(118));
}
