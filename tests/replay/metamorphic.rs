//! What must not change, or change in a known way, when the question is changed a little.

use autotune::simulate::compare::{Candidate, Settings, Steers, compare};
use autotune::simulate::distribution::Distribution;
use autotune::simulate::drive::Drive;
use autotune::simulate::ledger::RunResult;
use autotune::simulate::scenario::{Account, Scenario};
use autotune::simulate::summary::Summary;
use autotune::simulate::view::ViewModel;
use autotune::trace::{ReadOptions, Trace, native, read};
use autotune::units::Span;

use crate::worlds::{alone, on_demand, policies, policy, spot, steered, traces, without_delays};

/// What happened to the jobs, without the date.
fn dateless(result: &RunResult) -> Vec<String> {
    let job = |job: &autotune::simulate::ledger::JobOutcome| {
        let (wait, latency) = (job.wait(), job.start_latency());
        format!(
            "{wait:?} {latency:?} {:?} {:?} {}",
            job.avoidable, job.fate, job.attempts
        )
    };
    result.jobs.iter().map(job).collect()
}

#[test]
fn whole_weeks_later_everything_happens_whole_weeks_later() {
    for (name, trace) in traces(3) {
        for days in [7, 364, 3_654] {
            // Whole weeks, so that schedules open at the same hours of the same weekdays.
            let span = Span::from_minutes(days * 24 * 60);
            let later = trace.shifted_by(span);
            for policy_name in ["reactive", "warm-hours"] {
                let policy = policy(policy_name);
                let (now, steering) = steered(&spot(), &trace, &policy, Drive::default(), 3);
                let (then, later_steering) = steered(&spot(), &later, &policy, Drive::default(), 3);
                let what = format!("{name} {policy_name} {days} days later");
                let (mut was, mut is) = (dateless(&now), dateless(&then));
                if trace.jobs.iter().any(autotune::trace::Job::is_spawned) {
                    // Jobs that others submit stand before those with times or between them, depending on the date.
                    was.sort_unstable();
                    is.sort_unstable();
                }
                assert_eq!(was, is, "{what}");
                assert_eq!(now.environments, then.environments, "{what}");
                let moved = steering
                    .updates
                    .iter()
                    .map(|(at, action, accepted)| (*at + span, action.change(), *accepted));
                let found = later_steering
                    .updates
                    .iter()
                    .map(|(at, action, accepted)| (*at, action.change(), *accepted));
                assert!(moved.eq(found), "{what}");
            }
        }
    }
}

fn summaries(scenario: &Scenario, trace: &Trace) -> Vec<Summary> {
    let candidates = [
        Candidate::new("stock", Steers::Stock),
        Candidate::new("reactive", Steers::Policy(policy("reactive"))),
        Candidate::new("min-follows-demand", Steers::MinFollowsDemand),
    ];
    let settings = Settings {
        seeds: vec![1],
        view: ViewModel::recent(),
        threads: 2,
    };
    let compared = compare(scenario, trace, &candidates, &settings, &|_| {}).unwrap();
    compared.into_iter().flat_map(|compared| compared.runs).collect()
}

#[test]
fn the_order_of_lines_in_a_recording_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let mut updates = 0;
    for (name, trace) in traces(5) {
        let mut text = Vec::new();
        native::write(&trace, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let (header, body) = text.split_once('\n').unwrap();
        let mut lines: Vec<&str> = body.lines().collect();
        let loaded = |lines: &[&str]| {
            let path = folder.path().join("trace");
            std::fs::write(&path, format!("{header}\n{}\n", lines.join("\n"))).unwrap();
            read(&[path], &ReadOptions::default()).unwrap().trace
        };
        let written = summaries(&spot(), &loaded(&lines));
        updates += written[1].updates;
        lines.reverse();
        assert_eq!(
            written,
            summaries(&spot(), &loaded(&lines)),
            "{name}: from the last line to the first"
        );
        let middle = lines.len() / 2;
        lines.rotate_left(middle);
        assert_eq!(written, summaries(&spot(), &loaded(&lines)), "{name}: from the middle");
    }
    assert!(updates > 0, "the controller had nothing to do");
}

#[test]
fn where_launches_take_no_time_no_policy_adds_avoidable_wait() {
    for (name, trace) in traces(7) {
        let mut scenario = without_delays(on_demand());
        // A head that waits for room of its own size would hold smaller jobs: that wait is not one of launches.
        scenario.model_overrides.head_of_line_blocking = Some(false);
        for policy_name in policies() {
            let (result, _) = steered(&scenario, &trace, &policy(policy_name), Drive::default(), 7);
            for job in &result.jobs {
                assert_eq!(job.avoidable, Span::ZERO, "{name} {policy_name}: {job:?}");
            }
        }
    }
}

#[test]
fn with_room_for_everything_nobody_waits_longer_than_a_launch_takes() {
    for (name, trace) in traces(9) {
        let mut scenario = on_demand();
        scenario.environments[0].max_vcpus = 1_000_000;
        let overrides = &mut scenario.model_overrides;
        overrides.pending = Some(Distribution::seconds(16));
        overrides.boot_on_demand = Some(Distribution::seconds(100));
        overrides.dispatch = Some(Distribution::seconds(5));
        overrides.head_of_line_blocking = Some(false);
        // Decision (10 s in the model `recent`), pending, boot and dispatch.
        let most = Span::from_seconds(10 + 16 + 100 + 5);
        let longest = |result: &RunResult| {
            result
                .jobs
                .iter()
                .filter_map(autotune::simulate::ledger::JobOutcome::wait)
                .max()
                .unwrap()
        };
        assert!(longest(&alone(&scenario, &trace, 9)) <= most, "{name} stock");
        for policy_name in policies() {
            let (result, _) = steered(&scenario, &trace, &policy(policy_name), Drive::default(), 9);
            assert!(longest(&result) <= most, "{name} {policy_name}: {}", longest(&result));
        }
    }
}

#[test]
fn half_the_price_is_half_the_bill_and_changes_nothing_else() {
    for (name, trace) in traces(13) {
        let scenario = spot();
        let account = Account {
            on_demand_price_percent: Some(50),
            spot_price_percent: Some(50),
            ..Account::default()
        };
        let cheaper = Scenario {
            account,
            ..scenario.clone()
        };
        for policy_name in policies() {
            let policy = policy(policy_name);
            let (whole, steering) = steered(&scenario, &trace, &policy, Drive::default(), 13);
            let (half, same) = steered(&cheaper, &trace, &policy, Drive::default(), 13);
            assert_eq!(whole.jobs, half.jobs, "{name} {policy_name}");
            assert_eq!(steering, same, "{name} {policy_name}");
            let (expected, found) = (whole.cost().get(), 2 * half.cost().get());
            // Each price per hour is rounded down and each bill rounded, to a millionth of a dollar.
            let launches: u64 = whole.environments.iter().map(|totals| totals.launches).sum();
            let hours = whole.closed.since(trace.jobs[0].submit).millis() / 3_600_000 + 2;
            let tolerance = i64::try_from(launches).unwrap() * (3 + hours);
            assert!(
                expected > 0 && (expected - found).abs() <= tolerance,
                "{name} {policy_name}: {expected} {found}"
            );
        }
    }
}
