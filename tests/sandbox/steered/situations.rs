//! What happens in an account, one thing at a time.

use autotune::units::Span;
use serde_json::json;

use super::{Case, FIRST, KEEPS, ON_DEMAND, SPOT, Steered, Work};

/// Asks for capacity when work is still a message.
const AHEAD: &str = "version = 1\n[queues.default]\n[queues.default.sqs.incoming]\nhand_off = \"dispatcher\"\n\
    job = { vcpus = 4, memory = \"7 GiB\" }\n";

/// Two minutes in a second: what is compared here differs by more than that makes.
fn begin(case: &Case) -> Steered {
    let speed = 120;
    Steered::begin(&Case { speed, ..case.clone() })
}

#[test]
fn bursts_that_follow_each_other_start_sooner_than_batch_alone_would_start_them() {
    let work = Work::default().burst(16, 0, 200).burst(16, 800, 150);
    let case = Case::new(ON_DEMAND, KEEPS, work);
    let steered = begin(&case);
    let mut guarded = false;
    let outcome = steered.finish_and(|state| guarded |= state.0["schedules"] != json!([]));
    let alone = case.alone();
    assert_eq!(outcome.succeeded, 32);
    assert!(outcome.mean() * 1.5 < alone.mean(), "{outcome:?}, alone {alone:?}");
    assert!(guarded, "raised without a guard");
    assert_eq!(steered.trouble(), [""; 0]);
}

#[test]
fn an_array_that_messages_announce_finds_its_capacity_on_the_way() {
    let work = Work::default().burst(1, 0, 10).array_of_messages(24, 300, 120);
    let case = Case::new(ON_DEMAND, AHEAD, work);
    let steered = begin(&case);
    let (outcome, alone) = (steered.finish(), case.alone());
    assert_eq!(outcome.succeeded, 25);
    assert!(outcome.mean() + 60.0 < alone.mean(), "{outcome:?}, alone {alone:?}");
    assert_eq!(steered.trouble(), [""; 0]);
}

#[test]
fn the_steps_of_a_graph_run_on_the_capacity_of_the_step_before() {
    let work = Work::default().burst(1, 0, 60).then(12, 90).then(1, 30).then(12, 60);
    let policy = "version = 1\n[queues.default]\nidle_time = \"5m\"\nreference_job = { vcpus = 4, memory = \"7 GiB\" }\n\
        headroom_slots = 12\n[tempo]\nlower_after = \"1m\"\n";
    let case = Case::new(ON_DEMAND, policy, work);
    let steered = begin(&case);
    // Room is kept for ever, so that this account never comes to rest.
    let state = steered.until("done", |state| state.0["jobs_open"] == 0);
    let (outcome, alone) = (steered.outcome(&state), case.alone());
    assert!(outcome.mean() * 1.3 < alone.mean(), "{outcome:?}, alone {alone:?}");
    assert_eq!(steered.trouble(), [""; 0]);
}

#[test]
fn a_trickle_finds_room_that_is_kept_for_it() {
    let jobs = (0..8).fold(Work::default(), |work, number| work.burst(1, number * 270, 30));
    let case = Case::new(ON_DEMAND, KEEPS, jobs);
    let steered = begin(&case);
    let outcome = steered.finish();
    // Each but the first, which has to wait for a boot.
    assert!(outcome.quantiles().p50 < 30.0, "{outcome:?}");
    assert!(case.alone().quantiles().p50 > 100.0);
    assert_eq!(steered.trouble(), [""; 0]);
}

#[test]
fn when_spot_is_dry_on_demand_is_asked_after_the_patience_of_the_policy() {
    let work = Work::default().burst(12, 0, 200);
    let case = Case::new(SPOT, KEEPS, work);
    let steered = begin(&case);
    steered.post("drought", &json!({"environment": "spot", "seconds": 3600}));
    let mut bought = 0;
    let outcome = steered.finish_and(|state| bought = bought.max(state.of("on-demand", "there_vcpus")));
    assert!(bought > 0, "no On-Demand capacity: {}", steered.log());
    assert!(
        outcome.waits.iter().all(|wait| *wait < Span::from_minutes(25)),
        "{outcome:?}"
    );
    assert_eq!(steered.trouble(), [""; 0]);
}

#[test]
fn no_more_is_asked_for_than_a_service_quota_has_left() {
    let quota = "[[account.quotas]]\ncode = \"L-1216C47A\"\nlimit_vcpus = 64\nused_by_others_vcpus = 16\n";
    let scenario = format!("{ON_DEMAND}{quota}");
    let steered = begin(&Case::new(&scenario, KEEPS, Work::default().burst(24, 0, 120)));
    let (mut min, mut there) = (0, 0);
    let outcome = steered.finish_and(|state| {
        min = min.max(state.all("min_vcpus"));
        there = there.max(state.all("there_vcpus"));
    });
    assert_eq!(outcome.succeeded, 24);
    assert!(min > 0 && min <= 48 && there <= 48, "min {min}, there {there}");
    assert_eq!(steered.trouble(), [""; 0]);
}

/// AWS Batch itself gives no reason.
#[test]
fn launches_that_ec2_refuses_are_counted_and_told_by_what_was_short() {
    let quota = |code: &str| format!("[[account.quotas]]\ncode = \"{code}\"\nlimit_vcpus = 16\n");
    let of_spot = format!("{SPOT}{}", quota("L-34B43A08"));
    let on_demand = format!("{ON_DEMAND}{}", quota("L-1216C47A"));
    for (scenario, drought, reason, code) in [
        (on_demand.as_str(), None, "quota", "VcpuLimitExceeded"),
        (of_spot.as_str(), None, "quota", "MaxSpotInstanceCountExceeded"),
        (SPOT, Some("spot"), "capacity", "UnfulfillableCapacity"),
        (ON_DEMAND, Some("on-demand"), "capacity", "InsufficientInstanceCapacity"),
    ] {
        let steered = begin(&Case::new(scenario, KEEPS, Work::default().burst(12, 0, 300)));
        if let Some(environment) = drought {
            steered.post("drought", &json!({"environment": environment, "seconds": 1200}));
        }
        steered.until(code, |_| {
            steered
                .log()
                .lines()
                .any(|line| line.contains("EC2 refused a launch") && line.contains(code))
        });
        let metrics = steered.metrics();
        let counted = metrics.lines().any(|line| {
            line.starts_with("autotune_environment_refused_launches_total{")
                && line.contains(&format!("reason=\"{reason}\""))
                && !line.ends_with(" 0")
        });
        assert!(counted, "{reason}: {metrics}");
        assert_eq!(steered.trouble(), [""; 0]);
    }
}

#[test]
fn an_environment_that_is_updating_is_left_alone_until_it_is_not() {
    let scenario = format!("{ON_DEMAND}[model_overrides]\nupdating = '240s'\nscales_while_updating = false\n");
    let work = Work::default().burst(8, 0, 200).burst(8, 100, 200).burst(8, 200, 200);
    let steered = begin(&Case::new(&scenario, KEEPS, work));
    let outcome = steered.finish();
    assert_eq!(outcome.succeeded, 24);
    assert!(steered.updates() > 0, "{}", steered.log());
    assert_eq!(steered.trouble(), [""; 0]);
}

#[test]
fn a_min_that_another_hand_sets_is_his() {
    let steered = begin(&Case::new(ON_DEMAND, KEEPS, Work::default().burst(12, 0, 300)));
    let raised = steered.until("raised", |state| state.all("min_vcpus") > 0);
    let soon = raised.now() + 240_000;
    // Not within two minutes after our own update, in which it would be taken for a late reading.
    steered.until("later", |state| state.now() > soon);
    steered.post(
        "levels",
        &json!({"environment": "on-demand", "min_vcpus": 20, "desired_vcpus": 64}),
    );
    steered.until("let go", |_| steered.log().contains("Another hand changed minvCpus"));
    let last = steered.until("done", |state| {
        state.0["jobs_open"] == 0 && state.now() > FIRST + 35 * 60_000
    });
    assert_eq!(last.all("min_vcpus"), 20, "{}\n{}", last.0, steered.log());
    assert_eq!(last.0["schedules"], json!([]), "a guard would undo it");
    assert_eq!(steered.trouble(), [""; 0]);
}

#[test]
fn instances_beyond_max_neither_confuse_nor_are_asked_for() {
    // Sixteen at a time: the last launch goes beyond 40.
    let scenario = ON_DEMAND.replace("max_vcpus = 256", "max_vcpus = 40");
    let scenario = scenario.replace("\"c6i\", \"m6i\", \"r6i\"", "\"c6i.4xlarge\"");
    let steered = begin(&Case::new(&scenario, KEEPS, Work::default().burst(24, 0, 150)));
    let (mut min, mut there) = (0, 0);
    let outcome = steered.finish_and(|state| {
        min = min.max(state.all("min_vcpus"));
        there = there.max(state.all("there_vcpus"));
    });
    assert_eq!(outcome.succeeded, 24);
    assert!(min > 0 && min <= 40, "min {min}");
    assert!(there > 40, "nothing went beyond: there {there}");
    assert_eq!(steered.trouble(), [""; 0]);
}

#[test]
fn what_two_queues_of_one_environment_need_is_asked_for_once() {
    let scenario = format!("{ON_DEMAND}[[queues]]\nname = \"urgent\"\npriority = 10\nenvironments = [\"on-demand\"]\n");
    let work = Work::default().burst(8, 0, 200).burst_to("urgent", 8, 0, 200);
    let case = Case::new(&scenario, KEEPS, work);
    let steered = begin(&case);
    let mut there = 0;
    let outcome = steered.finish_and(|state| there = there.max(state.all("there_vcpus")));
    assert_eq!(outcome.succeeded, 16);
    // Sixteen jobs of four, and at most an instance more than that.
    assert!((64..=80).contains(&there), "there {there}");
    assert!(steered.updates() > 0);
    assert_eq!(steered.trouble(), [""; 0]);
}

/// Nobody has to tell the daemon: it looks at its files.
#[test]
fn a_changed_policy_file_is_taken_and_a_bad_one_refused() {
    let steered = Steered::begin(&Case::new(ON_DEMAND, KEEPS, Work::default().burst(1, 0, 30)));
    let tells = |what: &str| steered.until(what, |_| steered.log().contains(what));
    let reloaded = |value: &str| {
        let metrics = steered.metrics();
        metrics.contains(&format!("autotune_policy_last_reload_success {value}\n"))
    };
    tells("Serves");
    // Only then has it read the first one.
    steered.until("begun", |_| reloaded("1"));
    std::fs::write(&steered.policy, "version = 1\n[queues.\"*\"]\nidle_tim = \"10m\"\n").unwrap();
    tells("The policies are refused, the old ones stay");
    assert!(steered.log().contains("idle_time"), "with a hint: {}", steered.log());
    assert!(reloaded("0"), "{}", steered.metrics());
    let room = "reference_job = { vcpus = 4, memory = \"7 GiB\" }\nheadroom_slots = 4\n";
    std::fs::write(&steered.policy, format!("{KEEPS}{room}")).unwrap();
    tells("The policies are taken");
    // The only job wants 4.
    steered.until("as the new policy has it", |state| state.all("min_vcpus") >= 16);
    assert!(reloaded("1"), "{}", steered.metrics());
}
