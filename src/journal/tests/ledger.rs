//! One row a job, status and attempt, and what follows from them for waits.

use proptest::prelude::*;

use super::*;

/// What an event or a listing tells of a job at that second.
fn told(id: &str, status: JobStatus, second: i64, by_event: bool) -> Transition {
    let begun = status >= JobStatus::Running;
    // A listing does not tell where a job is placed.
    let placed = |name: &str| (begun && by_event).then(|| name.to_owned());
    let job = JobSeen {
        id: id.to_owned(),
        status,
        created: Some(at(0)),
        started: begun.then_some(at(40)),
        stopped: (status >= JobStatus::Succeeded).then_some(at(100)),
        attempt: u32::from(by_event),
        ..JobSeen::default()
    };
    let mut attempts = job.begun();
    for attempt in &mut attempts {
        (attempt.instance, attempt.environment) = (placed("spot-cluster/a"), placed("spot"));
    }
    let job = JobSeen { attempts, ..job };
    Transition {
        at: at(second),
        queue: "main".to_owned(),
        job,
        by_event,
        ..Transition::default()
    }
}

/// Every row of the ledger, without the numbers that depend on the order of arrival.
fn rows(journal: &Journal) -> Vec<String> {
    let sql = "SELECT j.id || ' ' || coalesce(created, '-') || ' ' || coalesce(stopped, '-') || ' ' || status || ' ' || at || ' '
        || by_event || ' ' || (SELECT group_concat(number || ' ' || started || ' ' || coalesce(a.stopped, '-') || ' ' ||
           coalesce(environment || ' ' || instance, '-')) FROM (SELECT * FROM attempts ORDER BY started) a WHERE a.job = j.number)
        || ' ' || attempt
        FROM jobs j JOIN transitions t ON t.job = j.number ORDER BY j.id, status, attempt";
    let rows = journal.look("", |reader| {
        let mut statement = reader.prepare(sql)?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<Vec<String>, _>>()?)
    });
    rows.unwrap()
}

fn life() -> Vec<Transition> {
    let mut all = Vec::new();
    for (id, by_event, attempt) in [("a", true, 1), ("a", true, 2), ("a", false, 0), ("b", false, 0)] {
        for (status, second) in [
            (JobStatus::Submitted, 1),
            (JobStatus::Runnable, 10),
            (JobStatus::Starting, 30),
            (JobStatus::Running, 41),
            (JobStatus::Succeeded, 101),
        ] {
            // A listing tells later, and again.
            for late in [7, 9] {
                let mut told = told(id, status, second + if by_event { 0 } else { late }, by_event);
                told.job.attempt = attempt;
                // The first attempt ended before the second began; a listing tells when the job ended.
                let first = Attempt {
                    number: u32::from(by_event),
                    started: at(20),
                    stopped: Some(at(if by_event { 25 } else { 100 })),
                    ..Attempt::default()
                };
                if attempt != 1 {
                    told.job.attempts.insert(0, first);
                }
                all.push(told);
            }
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn the_ledger_is_the_same_in_whatever_order_and_however_often_it_is_told(shuffled in Just(life()).prop_shuffle()) {
        let (_folder, _path, ordered) = made();
        ordered.jobs(&life()).unwrap();
        let (_folder, _path, journal) = made();
        for part in shuffled.chunks(7) {
            journal.jobs(part).unwrap();
            journal.jobs(part).unwrap();
        }
        prop_assert_eq!(rows(&journal), rows(&ordered));
        prop_assert_eq!(rows(&journal).len(), 15);
    }
}

#[test]
fn every_attempt_keeps_its_end_and_the_environment_and_the_instance_that_it_was_placed_on() {
    let (_folder, _path, journal) = made();
    let attempt = |started: i64, placed: Option<(&str, &str)>| {
        let mut told = told("a", JobStatus::Running, started, false);
        told.job.started = Some(at(started));
        told.job.attempts = vec![Attempt {
            number: 0,
            started: at(started),
            stopped: placed.map(|_| at(started + 5)),
            instance: placed.map(|(_, instance)| instance.to_owned()),
            environment: placed.map(|(environment, _)| environment.to_owned()),
        }];
        told
    };
    journal.jobs(&[attempt(40, Some(("spot", "s/1")))]).unwrap();
    journal
        .jobs(&[attempt(90, None), attempt(90, Some(("ondemand", "o/2")))])
        .unwrap();
    journal.jobs(&[attempt(40, None), attempt(200, None)]).unwrap();
    let attempts = journal.look("", |reader| {
        let mut statement = reader.prepare("SELECT environment, instance, stopped FROM attempts ORDER BY started")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok(rows.collect::<Result<Vec<(Option<String>, Option<String>, Option<i64>)>, _>>()?)
    });
    let placed = |environment: &str, instance: &str, stopped| {
        let text = |text: &str| Some(text.to_owned());
        (text(environment), text(instance), Some(at(stopped).millis()))
    };
    assert_eq!(
        attempts.unwrap(),
        [
            placed("spot", "s/1", 45),
            placed("ondemand", "o/2", 95),
            (None, None, None)
        ]
    );
}

#[test]
fn a_repeated_listing_does_not_keep_a_job_from_being_dropped() {
    let (_folder, _path, journal) = made();
    journal.jobs(&[told("a", JobStatus::Running, 50, false)]).unwrap();
    journal.jobs(&[told("a", JobStatus::Running, 5_000, false)]).unwrap();
    tidied(&journal, Tidying::new(at(1_000), u64::MAX));
    assert_eq!(rows(&journal), Vec::<String>::new());
}

/// Whoever begins asks how they ended.
#[test]
fn a_start_finds_jobs_whose_end_was_not_told_and_when_something_last_was() {
    let (_folder, path, journal) = made();
    let other = Transition {
        queue: "other".to_owned(),
        ..told("z", JobStatus::Failed, 7, false)
    };
    let all = [
        told("a", JobStatus::Running, 41, true),
        told("a", JobStatus::Succeeded, 101, true),
        told("b", JobStatus::Running, 60, false),
        // An array is asked for its children, no child by itself.
        told("p", JobStatus::Pending, 70, true),
        told("p:3", JobStatus::Running, 75, true),
        other,
    ];
    journal.jobs(&all).unwrap();
    drop(journal);
    let (_journal, recovered) = Journal::open(&path).unwrap();
    let heard = |seconds, open: &[&str]| Heard {
        latest: at(seconds),
        open: open.iter().map(ToString::to_string).collect(),
    };
    let expected = [("main", heard(101, &["p", "b"])), ("other", heard(7, &[]))];
    let expected = expected.map(|(queue, heard)| (queue.to_owned(), heard));
    assert_eq!(recovered.heard, BTreeMap::from(expected));
}
