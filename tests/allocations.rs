//! A decision in a steady state allocates nothing: its buffers are kept from plan to plan.

use autotune::planner::plan::Plan;
use autotune::units::Span;

#[path = "large_account/mod.rs"]
mod large_account;

#[test]
fn a_plan_in_a_steady_state_allocates_nothing() {
    let setup = large_account::setup();
    let mut observation = large_account::busy();
    let (memory, now) = large_account::settle(&setup, &mut observation);
    let mut decision = Plan::default();
    let first =
        allocation_counter::measure(|| large_account::decide(&setup, &observation, &memory, now, &mut decision));
    assert!(first.count_total > 0, "the first plan makes its buffers");
    for seconds in 1..10 {
        let later = now + Span::from_seconds(seconds);
        let next =
            allocation_counter::measure(|| large_account::decide(&setup, &observation, &memory, later, &mut decision));
        assert_eq!(next.count_total, 0, "{next:?} after {seconds} s");
    }
    assert!(
        !decision.reasons.is_empty(),
        "the account is busy, so there is something to say"
    );
}

#[test]
fn a_plan_that_acts_reuses_its_buffers_too() {
    let setup = large_account::setup();
    let (quiet, busy) = (large_account::quiet(), large_account::busy());
    let memory = autotune::planner::memory::Memory::new(&setup, large_account::NOW - Span::from_minutes(60));
    let mut decision = Plan::default();
    large_account::decide(&setup, &busy, &memory, large_account::NOW, &mut decision);
    assert!(!decision.actions.is_empty());
    for observation in [&quiet, &busy, &quiet, &busy] {
        let next = allocation_counter::measure(|| {
            large_account::decide(&setup, observation, &memory, large_account::NOW, &mut decision);
        });
        assert_eq!(next.count_total, 0, "{next:?}");
    }
}
