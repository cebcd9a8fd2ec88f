//! Timelines on a fake clock: what the controller is told, and what it then asks for.

mod any_order;
mod leases;
mod orders;
mod others;
mod times;

use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;

use insta::assert_snapshot;

use super::{Controller, Decide, Effect, Failed, Input, Outcome, Planner};
use crate::forecast::Forecast;
use crate::ids::EnvironmentIndex;
use crate::observation::{EnvironmentNow, Gap, GapReason, Observation, Seen};
use crate::planner::Inputs;
use crate::planner::plan::{Action, Because, Levels, Note, Plan};
use crate::planner::worlds::{self, shape, spot_then_on_demand};
use crate::units::{Span, Time, Vcpus};

const START: Time = Time::from_seconds(1_767_258_000); // 2026-01-01 09:00:00 UTC
const SPOT: EnvironmentIndex = EnvironmentIndex(0);
const ON_DEMAND: EnvironmentIndex = EnvironmentIndex(1);

/// The (min, max) that each environment is to have; `None`: nothing is wanted of it.
type Wishes = Rc<RefCell<Vec<Option<(i64, i64)>>>>;

/// Decides as the test wishes, for environments that show something else.
struct Script(Wishes);

impl Decide for Script {
    fn decide(&mut self, inputs: &Inputs<'_>, plan: &mut Plan) {
        plan.reset(inputs);
        for (position, wish) in self.0.borrow().iter().enumerate() {
            let seen = inputs.observation.environments[position].value();
            let (Some(seen), Some((min, max))) = (seen, *wish) else {
                continue;
            };
            let from = super::lease::levels_seen(seen);
            let to = Levels {
                min_vcpus: Vcpus::new(min),
                desired_vcpus: from.desired_vcpus.max(Vcpus::new(min)),
                max_vcpus: Vcpus::new(max),
            };
            let environment = EnvironmentIndex::at(position);
            if to.max_vcpus < from.max_vcpus {
                let mut note = inputs.memory.environments[position];
                note.max_before = note.max_before.or(Some(from.max_vcpus));
                plan.notes.push(Note::Environment(environment, note));
            }
            if to != from {
                plan.actions.push(Action::new(environment, from, to, Because::Served));
            }
        }
    }
}

/// A controller, what it sees, and what it asked for, line by line.
struct Desk<D> {
    controller: Controller<D>,
    observation: Observation,
    now: Time,
    effects: Vec<Effect>,
    /// Per environment: when the guard fires that was last asked for.
    fires: [Time; 2],
    told: String,
}

/// A scripted desk with nothing wished for yet.
fn scripted() -> (Desk<Script>, Wishes) {
    let wishes = Wishes::default();
    wishes.borrow_mut().resize(2, None);
    (desk(Script(Rc::clone(&wishes))), wishes)
}

fn desk<D: Decide>(decide: D) -> Desk<D> {
    let setup = spot_then_on_demand();
    Desk {
        observation: worlds::quiet(&setup, START),
        controller: Controller::new(decide, setup, Forecast::default(), START - Span::from_minutes(60)),
        now: START,
        effects: Vec::new(),
        fires: [START; 2],
        told: String::new(),
    }
}

impl<D: Decide> Desk<D> {
    /// Time passes; nothing is read.
    fn pass(&mut self, seconds: i64) -> &mut Self {
        self.now = self.now + Span::from_seconds(seconds);
        self
    }

    /// Time passes and everything is read again.
    fn read(&mut self, seconds: i64) -> &mut Self {
        self.pass(seconds);
        self.observation.refresh(self.now);
        self.step(Input::Observed)
    }

    fn step(&mut self, input: Input) -> &mut Self {
        let heading = self.heading(&input);
        self.effects.clear();
        self.controller
            .step(self.now, &self.observation, input, &mut self.effects);
        writeln!(self.told, "{} {heading}", clock(self.now)).unwrap();
        for effect in &self.effects {
            if let Effect::Arm(guard) = effect {
                self.fires[guard.environment.position()] = guard.fires;
            }
            if let Effect::WakeAt(at) = effect {
                assert!(*at > self.now, "a wake-up at {at}, now is {}", self.now);
            }
            writeln!(self.told, "    {}", self.describe(effect)).unwrap();
        }
        let last = self
            .effects
            .iter()
            .position(|effect| matches!(effect, Effect::WakeAt(_)));
        assert!(last.is_none_or(|last| last + 1 == self.effects.len()), "{}", self.told);
        self
    }

    fn heading(&self, input: &Input) -> String {
        match input {
            Input::Observed => "observed".to_owned(),
            Input::Woken => "woken".to_owned(),
            Input::Stop => "stop".to_owned(),
            Input::Restore => "restore".to_owned(),
            Input::Adopted(of, lease, _) => format!("adopted {} until {}", self.name(*of), clock(lease.expires)),
            Input::Reloaded(_) => "reloaded".to_owned(),
            Input::Foreseen(_) => "foreseen".to_owned(),
            Input::Leadership(until) => {
                until.map_or("does not lead".to_owned(), |at| format!("leads until {}", clock(at)))
            }
            Input::Overridden(_, order) => order.map_or("cleared".to_owned(), |order| format!("{:?}", order.order)),
            Input::Committed(of, result) => format!("committed {} {}", self.name(*of), verdict(*result)),
            Input::Armed(of, _, result) => format!("armed {} {}", self.name(*of), verdict(*result)),
            Input::Finished(of, outcome) => format!("finished {} {outcome:?}", self.name(*of)),
        }
    }

    /// The guard that was last asked for is armed, or is not.
    fn armed(&mut self, of: EnvironmentIndex, result: Result<(), Failed>) -> &mut Self {
        let fires = self.fires[of.position()];
        self.step(Input::Armed(of, fires, result))
    }

    /// Everything that the controller asks of the driver goes well, until it asks for nothing more. Batch follows at once.
    fn carry_out(&mut self) -> &mut Self {
        loop {
            let next = self.effects.iter().find_map(|effect| match *effect {
                Effect::Commit(of, ..) => Some(Input::Committed(of, Ok(()))),
                Effect::Arm(guard) => Some(Input::Armed(guard.environment, guard.fires, Ok(()))),
                Effect::Send(action, _) => Some(Input::Finished(action.environment(), Outcome::Accepted)),
                Effect::Observe | Effect::Disarm(_) | Effect::Renumbered | Effect::WakeAt(_) => None,
            });
            let Some(input) = next else {
                return self;
            };
            if let Input::Finished(..) = input {
                self.take_sent();
            }
            self.pass(1).step(input);
        }
    }

    /// What was sent shows in what is read.
    fn take_sent(&mut self) {
        for effect in &self.effects {
            if let Effect::Send(action, _) = effect {
                worlds::apply(&mut self.observation, &[*action]);
            }
        }
    }

    fn blind(&mut self) {
        let gap = Gap {
            since: self.now,
            why: GapReason::Failed,
        };
        self.observation.environments[0] = Seen::Missing(gap);
    }

    fn see(&mut self, min: i64, desired: i64, max: i64) {
        let now = EnvironmentNow {
            valid: true,
            enabled: true,
            min_vcpus: Vcpus::new(min),
            desired_vcpus: Vcpus::new(desired),
            max_vcpus: Vcpus::new(max),
            ..EnvironmentNow::default()
        };
        self.observation.environments[0] = Seen::Exactly(self.now, now);
    }

    fn name(&self, environment: EnvironmentIndex) -> &str {
        let setup = self.controller.setup().environments.get(environment.position());
        setup.map_or("nobody", |setup| &setup.name)
    }

    fn describe(&self, effect: &Effect) -> String {
        match effect {
            Effect::Observe => "observe".to_owned(),
            Effect::Renumbered => "renumbered".to_owned(),
            Effect::Commit(of, action, lease) => {
                let lease = lease.map_or_else(
                    || "no lease".to_owned(),
                    |lease| format!("lease until {}", clock(lease.expires)),
                );
                format!("commit {} {}, {lease}", self.name(*of), levels(action))
            }
            Effect::Arm(guard) => format!(
                "arm {}: min {} max {} at {}",
                self.name(guard.environment),
                guard.min_vcpus.get(),
                guard.max_vcpus.get(),
                clock(guard.fires)
            ),
            Effect::Disarm(of) => format!("disarm {}", self.name(*of)),
            Effect::Send(action, _) => format!("send {} {}", self.name(action.environment()), levels(action)),
            Effect::WakeAt(at) => format!("wake at {}", clock(*at)),
        }
    }

    fn commits(&self) -> usize {
        self.effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Commit(..)))
            .count()
    }
}

fn verdict(result: Result<(), Failed>) -> &'static str {
    if result.is_ok() { "well" } else { "badly" }
}

fn levels(action: &Action) -> String {
    let change = action.change();
    let fields = [
        ("min", change.min_vcpus),
        ("desired", change.desired_vcpus),
        ("max", change.max_vcpus),
    ];
    let changed = fields
        .iter()
        .filter_map(|(name, to)| to.map(|to| format!("{name} {}", to.get())));
    changed.collect::<Vec<_>>().join(" ")
}

fn clock(time: Time) -> String {
    let text = time.to_string();
    text.split_once('T').unwrap().1.trim_end_matches('Z').to_owned()
}

#[test]
fn a_raise_is_committed_then_armed_then_sent() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0).carry_out().read(5);
    assert_snapshot!(desk.told, @"
    09:00:00 observed
        commit spot min 64 desired 64, lease until 09:15:00
    09:00:01 committed spot well
        arm spot: min 0 max 256 at 09:15:00
    09:00:02 armed spot well
        send spot min 64 desired 64
    09:00:03 finished spot Accepted
        observe
        wake at 09:07:30
    09:00:08 observed
        wake at 09:07:30
    ");
}

#[test]
fn a_raise_is_not_sent_when_its_commit_or_its_guard_fails() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(0).step(Input::Committed(SPOT, Err(Failed)));
    desk.read(5).step(Input::Committed(SPOT, Ok(())));
    desk.armed(SPOT, Err(Failed));
    assert!(!desk.told.contains("send"), "{}", desk.told);
    assert_snapshot!(desk.told, @"
    09:00:00 observed
        commit spot min 64 desired 64, lease until 09:15:00
    09:00:00 committed spot badly
        wake at 09:00:04.604
    09:00:05 observed
        commit spot min 64 desired 64, lease until 09:15:05
    09:00:05 committed spot well
        arm spot: min 0 max 256 at 09:15:05
    09:00:05 armed spot badly
        wake at 09:00:13.528
    ");
}

/// What was decided minutes ago is decided anew, and no update stands on a lease that is about to end.
#[test]
fn a_raise_whose_commit_or_guard_took_too_long_is_not_sent() {
    for slow in [0, 1] {
        let (mut desk, wishes) = scripted();
        wishes.borrow_mut()[0] = Some((64, 256));
        desk.read(0);
        desk.pass(if slow == 0 { 450 } else { 1 });
        desk.step(Input::Committed(SPOT, Ok(())));
        desk.pass(if slow == 1 { 450 } else { 1 }).armed(SPOT, Ok(()));
        assert!(!desk.told.contains("send"), "{}", desk.told);
        desk.read(5);
        assert_eq!(desk.commits(), 1, "{}", desk.told);
    }
}

#[test]
fn a_release_is_sent_even_when_nothing_can_be_committed() {
    let (mut desk, wishes) = scripted();
    desk.controller.setup.environments[0].base_named = true;
    desk.see(64, 64, 256);
    wishes.borrow_mut()[0] = Some((0, 256));
    desk.read(0).step(Input::Committed(SPOT, Err(Failed)));
    assert_snapshot!(desk.told, @"
    09:00:00 observed
        commit spot min 0, no lease
    09:00:00 committed spot badly
        send spot min 0
    ");
}

#[test]
fn one_update_at_a_time_is_under_way_per_environment() {
    let (mut desk, wishes) = scripted();
    *wishes.borrow_mut() = vec![Some((64, 256)), Some((32, 256))];
    desk.read(0);
    assert_eq!(desk.commits(), 2);
    wishes.borrow_mut()[0] = Some((128, 256));
    assert_eq!(desk.read(10).commits(), 0, "{}", desk.told);
    desk.step(Input::Committed(SPOT, Ok(())));
    assert_eq!(desk.read(10).commits(), 0, "{}", desk.told);
    desk.armed(SPOT, Ok(()));
    assert_eq!(desk.read(10).commits(), 0, "{}", desk.told);
    desk.step(Input::Finished(SPOT, Outcome::Accepted));
    assert_eq!(desk.read(10).commits(), 1, "{}", desk.told);
}

/// Answers that nobody waits for change nothing: a driver may repeat itself after a restart.
#[test]
fn answers_out_of_turn_are_ignored() {
    let (mut desk, wishes) = scripted();
    desk.read(0);
    for input in [
        Input::Committed(SPOT, Ok(())),
        Input::Armed(SPOT, START, Ok(())),
        Input::Finished(SPOT, Outcome::Accepted),
        Input::Finished(EnvironmentIndex(99), Outcome::Failed),
    ] {
        desk.step(input);
        assert!(desk.effects.is_empty(), "{}", desk.told);
    }
    wishes.borrow_mut()[0] = Some((64, 256));
    desk.read(1).step(Input::Finished(SPOT, Outcome::Accepted));
    assert_eq!(desk.controller.sent()[0].accepted, 0);
    assert_eq!(desk.controller.lease(SPOT), None);
}

/// F10, F15: pauses double from 5 s to 5 min, and only where it went wrong.
/// While desired stands above max, nothing is wrong but the moment.
#[test]
fn an_overshoot_is_waited_for_without_longer_and_longer_pauses() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    for _ in 0..4 {
        desk.read(0);
        desk.step(Input::Committed(SPOT, Ok(())))
            .armed(SPOT, Ok(()))
            .step(Input::Finished(SPOT, Outcome::Overshoot));
        assert_eq!(
            desk.effects.last(),
            Some(&Effect::WakeAt(desk.now + Span::from_seconds(30))),
            "{}",
            desk.told
        );
        desk.pass(30);
    }
}

#[test]
fn refusals_make_longer_and_longer_pauses_for_their_own_environment() {
    let (mut desk, wishes) = scripted();
    wishes.borrow_mut()[0] = Some((64, 256));
    let mut pauses = Vec::new();
    for round in 0..9 {
        desk.read(0);
        assert_eq!(desk.commits(), 1, "{}", desk.told);
        desk.step(Input::Committed(SPOT, Ok(()))).armed(SPOT, Ok(()));
        let outcome = [Outcome::Throttled, Outcome::Raced][round % 2];
        desk.step(Input::Finished(SPOT, outcome));
        let Some(Effect::WakeAt(until)) = desk.effects.last().copied() else {
            panic!("{}", desk.told)
        };
        pauses.push(until.since(desk.now));
        desk.now = until - Span::from_millis(1);
        assert_eq!(desk.read(0).commits(), 0, "{}", desk.told);
        desk.now = until;
    }
    let whole = [5, 10, 20, 40, 80, 160, 300, 300, 300].map(Span::from_seconds);
    for (pause, whole) in pauses.iter().zip(whole) {
        let half = whole.scaled_down(1, 2);
        assert!((half..=whole).contains(pause), "{pauses:?}");
    }
    assert_eq!(
        (desk.controller.sent()[0].refused, desk.controller.sent()[1].refused),
        (9, 0)
    );

    wishes.borrow_mut()[1] = Some((32, 256));
    desk.read(0);
    assert_eq!(desk.commits(), 2, "{}", desk.told);
    desk.step(Input::Committed(SPOT, Ok(()))).armed(SPOT, Ok(()));
    desk.take_sent();
    desk.step(Input::Finished(SPOT, Outcome::Accepted));
    wishes.borrow_mut()[0] = Some((128, 256));
    desk.read(1).step(Input::Committed(SPOT, Err(Failed)));
    let soon = desk.now + Span::from_seconds(5);
    assert!(
        matches!(desk.effects.last(), Some(Effect::WakeAt(at)) if *at <= soon),
        "from the start again: {}",
        desk.told
    );
}

/// With the planner itself: jobs wait, the update was accepted, and an old reading comes in late.
#[test]
fn an_observation_older_than_our_update_is_not_acted_on() {
    let mut desk = desk(Planner);
    worlds::add_runnable(&mut desk.observation, 0, shape(4), 20);
    desk.read(0).read(20);
    assert_eq!(desk.commits(), 1, "{}", desk.told);
    desk.step(Input::Committed(SPOT, Ok(()))).armed(SPOT, Ok(()));
    desk.take_sent();
    desk.pass(2).step(Input::Finished(SPOT, Outcome::Accepted));
    worlds::add_runnable(&mut desk.observation, 0, shape(4), 40);
    desk.pass(1).step(Input::Observed);
    assert_eq!(desk.commits(), 0, "{}", desk.told);
    desk.read(1);
    assert_eq!(desk.commits(), 1, "{}", desk.told);
}

#[test]
fn wake_ups_settle_before_everything_is_read() {
    let (mut desk, _) = scripted();
    desk.read(0).step(Input::Woken);
    for _ in 0..3 {
        desk.pass(1).step(Input::Woken);
    }
    desk.pass(2).step(Input::Observed);
    desk.told.push_str("---\n");
    for _ in 0..10 {
        desk.pass(1).step(Input::Woken);
    }
    desk.pass(1).step(Input::Observed);
    assert_snapshot!(desk.told, @"
    09:00:00 observed
    09:00:00 woken
        wake at 09:00:02
    09:00:01 woken
        wake at 09:00:03
    09:00:02 woken
        wake at 09:00:04
    09:00:03 woken
        wake at 09:00:05
    09:00:05 observed
        observe
    ---
    09:00:06 woken
        wake at 09:00:08
    09:00:07 woken
        wake at 09:00:09
    09:00:08 woken
        wake at 09:00:10
    09:00:09 woken
        wake at 09:00:11
    09:00:10 woken
        wake at 09:00:12
    09:00:11 woken
        wake at 09:00:13
    09:00:12 woken
        wake at 09:00:14
    09:00:13 woken
        wake at 09:00:15
    09:00:14 woken
        wake at 09:00:16
    09:00:15 woken
        wake at 09:00:16
    09:00:16 observed
        observe
    ");
}
