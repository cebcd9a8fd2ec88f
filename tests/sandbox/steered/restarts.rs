//! What becomes of a raise when its daemon is gone.

use serde_json::json;

use super::{Case, KEEPS, ON_DEMAND, State, Steered, Work};

/// A burst, and another that finds what is kept.
fn begin() -> Steered {
    let work = Work::default().burst(12, 0, 200).burst(12, 800, 120);
    Steered::begin(&Case::new(ON_DEMAND, KEEPS, work))
}

fn raised(state: &State) -> bool {
    state.all("min_vcpus") > 0
}

#[test]
fn a_daemon_that_is_killed_in_the_middle_of_a_raise_is_followed_by_one_that_goes_on_with_it() {
    let mut steered = begin();
    let before = steered.until("raised", raised);
    steered.kill();
    assert_ne!(before.0["schedules"], json!([]), "raised without a guard");
    steered.start_daemon();
    steered.until("taken over", |_| steered.log().contains("Took over a lease"));
    let outcome = steered.finish();
    assert_eq!(outcome.succeeded, 24);
    assert_eq!(steered.trouble(), [""; 0]);
}

#[test]
fn a_daemon_that_is_ended_hands_over_what_it_has_raised() {
    let mut steered = begin();
    steered.until("raised", raised);
    steered.terminate();
    let between = steered.state();
    assert!(raised(&between), "{}", between.0);
    steered.start_daemon();
    steered.until("taken over", |_| steered.log().contains("Took over a lease"));
    let outcome = steered.finish();
    assert_eq!(outcome.succeeded, 24);
    assert_eq!(steered.trouble(), [""; 0]);
}

/// SIGSTOP; or the machine is paused. What it knew of leases has run out meanwhile.
#[test]
fn a_daemon_that_stood_still_until_its_guard_had_fired_goes_on_from_what_is_there() {
    let steered = begin();
    steered.until("raised", raised);
    steered.signal("STOP");
    let frozen = steered.until("restored", |state| !raised(state));
    let fired = frozen.0["schedules"][0]["fired"].as_array().unwrap();
    assert!(!fired.is_empty(), "nobody but the guard can have done it: {}", frozen.0);
    steered.signal("CONT");
    let outcome = steered.finish();
    assert_eq!(outcome.succeeded, 24);
}

#[test]
fn a_guard_puts_base_back_when_nobody_comes_back() {
    let mut steered = begin();
    steered.until("raised", raised);
    steered.kill();
    steered.post("clock", &json!({"factor": 600}));
    let last = steered.until("restored", |state| !raised(state));
    let fired = last.0["schedules"][0]["fired"].as_array().unwrap();
    assert!(!fired.is_empty(), "nobody but the guard can have done it: {}", last.0);
}
