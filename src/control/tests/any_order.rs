//! What holds in whatever order things happen.

use proptest::prelude::*;

use super::{Desk, Script, scripted};
use crate::control::{Effect, Failed, Input, Outcome};
use crate::ids::EnvironmentIndex;
use crate::planner::plan::Action;
use crate::planner::worlds::apply;

/// Something that happens, after some seconds.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// Everything is read again.
    Read,
    /// The time came that was asked for.
    Time,
    /// The first environment cannot be read for a while.
    Blind,
    /// Another (min, max) is wished for an environment.
    Wish(usize, i64, i64),
    /// Whatever an environment waits for is answered, well or badly.
    Answer(usize, bool),
    /// A hint.
    Wake,
    /// Leadership is gained or lost.
    Lead(bool),
}

fn any_event() -> impl Strategy<Value = (i64, Event)> {
    let event = prop_oneof![
        3 => Just(Event::Read),
        2 => Just(Event::Time),
        1 => Just(Event::Blind),
        2 => (0_usize..2, 0_i64..4, 1_i64..5).prop_map(|(of, min, max)| Event::Wish(of, min * 32, max * 64)),
        6 => (0_usize..2, prop::bool::weighted(0.8)).prop_map(|(of, well)| Event::Answer(of, well)),
        1 => Just(Event::Wake),
        1 => prop::bool::weighted(0.7).prop_map(Event::Lead),
    ];
    (prop_oneof![4 => 0_i64..30, 1 => 30_i64..600], event)
}

/// How far an environment's update has come, as an observer sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Stage {
    #[default]
    None,
    Commit,
    Arm,
    Send,
}

/// Follows the effects of a step and says what is wrong with them.
fn follow(desk: &Desk<Script>, stages: &mut [Stage; 2], sent: &mut [Option<Action>; 2]) -> Result<(), TestCaseError> {
    for effect in &desk.effects {
        match *effect {
            Effect::Commit(of, action, _) => {
                prop_assert_eq!(stages[of.position()], Stage::None, "two updates: {}", desk.told);
                prop_assert!(action.to().desired_vcpus >= action.from().desired_vcpus);
                stages[of.position()] = Stage::Commit;
            }
            // A guard is also armed to renew a lease, while nothing is under way or before it is.
            Effect::Arm(guard) => {
                let stage = &mut stages[guard.environment.position()];
                prop_assert!(guard.fires > desk.now, "{}", desk.told);
                if *stage == Stage::Commit {
                    *stage = Stage::Arm;
                }
            }
            Effect::Send(action, before) => {
                prop_assert!(before > desk.now, "{}", desk.told);
                let stage = &mut stages[action.environment().position()];
                let (from, to) = (action.from().max_vcpus, action.to().max_vcpus);
                let before = desk.controller.memory().environments[action.environment().position()].max_before;
                let only_gives = !action.raises() && (to >= from || before != Some(from));
                prop_assert!(
                    *stage == Stage::Arm || *stage == Stage::Commit && only_gives,
                    "{}",
                    desk.told
                );
                *stage = Stage::Send;
                sent[action.environment().position()] = Some(action);
            }
            Effect::Disarm(of) => {
                prop_assert_eq!(desk.controller.lease(of), None, "{}", desk.told);
            }
            Effect::Observe | Effect::Renumbered | Effect::WakeAt(_) => {}
        }
    }
    Ok(())
}

/// Answers what an environment waits for, if it does. Batch takes what it accepts at once.
fn answer(desk: &mut Desk<Script>, stages: &mut [Stage; 2], sent: &mut [Option<Action>; 2], of: usize, well: bool) {
    let environment = EnvironmentIndex::at(of);
    let result = if well { Ok(()) } else { Err(Failed) };
    let input = match stages[of] {
        Stage::None => return,
        Stage::Commit => Input::Committed(environment, result),
        Stage::Arm => Input::Armed(environment, desk.fires[of], result),
        Stage::Send if well => Input::Finished(environment, Outcome::Accepted),
        Stage::Send => Input::Finished(environment, Outcome::Failed),
    };
    if let (Input::Finished(_, Outcome::Accepted), Some(action)) = (&input, sent[of]) {
        apply(&mut desk.observation, &[action]);
    }
    desk.step(input);
    let goes_on = desk.effects.iter().any(|effect| match effect {
        Effect::Arm(guard) => guard.environment == environment,
        Effect::Send(action, _) => action.environment() == environment,
        Effect::Observe | Effect::Commit(..) | Effect::Disarm(_) | Effect::Renumbered | Effect::WakeAt(_) => false,
    });
    if !goes_on {
        stages[of] = Stage::None;
    }
}

proptest! {
    #[test]
    fn nothing_is_sent_out_of_order(events in prop::collection::vec(any_event(), 1..80)) {
        let (mut desk, wishes) = scripted();
        let mut stages = [Stage::None; 2];
        let mut sent = [None; 2];
        for (seconds, event) in events {
            desk.pass(seconds);
            match event {
                Event::Read => {
                    desk.read(0);
                }
                Event::Time => {
                    desk.step(Input::Observed);
                }
                Event::Blind => desk.blind(),
                Event::Wish(of, min, max) => wishes.borrow_mut()[of] = Some((min, max.max(min))),
                Event::Answer(of, well) => {
                    answer(&mut desk, &mut stages, &mut sent, of, well);
                }
                Event::Wake => {
                    desk.step(Input::Woken);
                }
                Event::Lead(leads) => {
                    let until = desk.now + crate::units::Span::from_minutes(5);
                    desk.step(Input::Leadership(leads.then_some(until)));
                }
            }
            follow(&desk, &mut stages, &mut sent)?;
            desk.effects.clear();
        }
    }
}
