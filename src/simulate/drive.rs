//! One replay: the world, somebody who steers it (or nobody), and the time that everything between them takes.
//!
//! This is the simulator's driver of [`Controller::step`]; the daemon is the other. Effects become events with latency, loss
//! and refusal. Between looks nothing is decided: by the planner's quiescence law a look can be skipped while nothing was
//! seen to change and the time that the plan named has not come. `Drive::skip` turns that off, for the test that proves it.

use std::collections::BTreeMap;

use crate::control::{Controller, Decide, Effect, Input, Outcome};
use crate::ids::EnvironmentIndex;
use crate::planner::plan::Action;
use crate::setup::Compiled;
use crate::simulate::ledger::RunResult;
use crate::simulate::scenario::Scenario;
use crate::simulate::view::{Part, Parts, View, ViewModel};
use crate::simulate::world::{Change, Refusal, World};
use crate::trace::Trace;
use crate::units::{Span, Time};

/// How a replay is driven.
#[derive(Clone, Copy, Debug)]
pub struct Drive {
    /// How imperfect the sight is.
    pub view: ViewModel,
    /// How far ahead the controller sees arrivals: the oracle's gift, zero for everybody else.
    pub foresight: Span,
    /// Skip looks that cannot lead to an action.
    pub skip: bool,
    /// Call the watcher at least this often; zero: never.
    pub watch_every: Span,
    /// End here, whatever is still open.
    pub end: Time,
    /// Go on until `end` also when every job has ended: what a policy holds without jobs counts.
    pub whole: bool,
}

impl Default for Drive {
    fn default() -> Self {
        Self {
            view: ViewModel::recent(),
            foresight: Span::ZERO,
            skip: true,
            watch_every: Span::ZERO,
            end: Time::FAR_FUTURE,
            whole: false,
        }
    }
}

/// What a controller did in a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steering {
    /// Every update that was sent, with its time and whether it was accepted.
    pub updates: Vec<(Time, Action, bool)>,
    /// How often the controller looked.
    pub looks: u64,
    /// Restores after a lease ran out.
    pub leases_expired: u64,
}

/// Something that happens between world and controller at a set time.
#[derive(Clone, Copy, Debug)]
enum Due {
    Poll(Part),
    Look,
    Hint,
    Decide,
    Wake(u64),
    Armed(EnvironmentIndex, Time),
    Arrives(Action),
    Finished(EnvironmentIndex, Outcome),
}

struct Driver<'a, 't, D> {
    drive: Drive,
    world: World<'t>,
    view: View,
    controller: Controller<D>,
    /// Polls come after whatever else is due at their time, so that they see it.
    agenda: BTreeMap<(Time, u8, u64), Due>,
    serial: u64,
    wake: u64,
    /// A hint is on its way.
    hinted: bool,
    /// How often what hints tell of had changed when the last hint left.
    hinted_changes: u64,
    /// A hint has come since jobs were last listed.
    woken: bool,
    /// Per part: the poll that is planned, and the last that was due.
    polls: [(Option<Time>, Time); 5],
    /// What is to be read as soon as the decision is made that is under way.
    wanted: Parts,
    deciding: bool,
    /// An update was answered since the last reading, which is therefore too old to act on.
    answered: bool,
    effects: Vec<Effect>,
    steering: Steering,
    watch_at: Time,
    watch: &'a mut dyn FnMut(&World<'t>),
}

/// Replays a trace with nobody but Batch itself.
pub fn replay_alone(
    scenario: &Scenario,
    trace: &Trace,
    seed: u64,
    watch_every: Span,
    watch: &mut dyn FnMut(&World<'_>),
) -> Result<RunResult, Vec<String>> {
    Ok(run_alone(World::new(scenario, trace, seed)?, watch_every, watch))
}

/// Runs a world with nobody but Batch itself.
pub(super) fn run_alone(mut world: World<'_>, watch_every: Span, watch: &mut dyn FnMut(&World<'_>)) -> RunResult {
    if watch_every.is_zero() {
        world.run_to_end();
        return world.into_result();
    }
    let mut at = world.next_event().unwrap_or(Time::EPOCH);
    while !world.settled() && world.next_event().is_some() {
        world.advance(at);
        watch(&world);
        at = at + watch_every;
    }
    world.into_result()
}

/// Replays a trace with a controller.
pub fn replay<D: Decide>(
    scenario: &Scenario,
    trace: &Trace,
    (compiled, decide): (Compiled, D),
    drive: Drive,
    seed: u64,
    watch: &mut dyn FnMut(&World<'_>),
) -> Result<(RunResult, Steering), Vec<String>> {
    let world = World::new(scenario, trace, seed)?;
    Ok(run(world, trace, (compiled, decide), drive, seed, watch))
}

/// Runs a world with a controller. `seed` is that of its view.
pub(super) fn run<D: Decide>(
    mut world: World<'_>,
    trace: &Trace,
    (compiled, decide): (Compiled, D),
    drive: Drive,
    seed: u64,
    watch: &mut dyn FnMut(&World<'_>),
) -> (RunResult, Steering) {
    world.lag_summaries(drive.view.summary_lag);
    let start = world.next_event().unwrap_or(Time::EPOCH) - Span::from_minutes(5);
    // A world that begins long before its first event is steered from its beginning.
    let start = if drive.whole { world.now() } else { start };
    let view = View::new(&compiled.setup, trace, drive.view, drive.foresight, (seed, start));
    let mut driver = Driver {
        drive,
        world,
        view,
        controller: Controller::new(decide, compiled.setup, compiled.forecast, start),
        agenda: BTreeMap::new(),
        serial: 0,
        wake: 0,
        hinted: false,
        hinted_changes: 0,
        woken: false,
        polls: [(None, Time::FAR_PAST); 5],
        wanted: Parts::default(),
        deciding: false,
        answered: false,
        effects: Vec::new(),
        steering: Steering::default(),
        watch_at: if drive.watch_every > Span::ZERO {
            start
        } else {
            Time::FAR_FUTURE
        },
        watch,
    };
    driver.world.advance(start);
    driver.look(Parts::ALL);
    driver.plan_polls();
    driver.run();
    let expired = driver.controller.sent().iter().map(|sent| sent.expired).sum();
    driver.steering.leases_expired = expired;
    (driver.world.into_result(), driver.steering)
}

impl<D: Decide> Driver<'_, '_, D> {
    fn at(&mut self, time: Time, due: Due) {
        self.serial += 1;
        // Skipped looks plan wake-ups anew and polls not at all: what falls on one moment must not be ordered by that.
        let rank = match due {
            Due::Wake(_) => 0,
            Due::Look | Due::Hint | Due::Decide | Due::Armed(..) | Due::Arrives(_) | Due::Finished(..) => 1,
            Due::Poll(_) => 2,
        };
        self.agenda.insert((time.max(self.world.now()), rank, self.serial), due);
    }

    fn run(&mut self) {
        while (self.drive.whole || !self.world.settled()) && self.world.now() < self.drive.end {
            let world_next = self.world.next_event();
            let agenda_next = self.agenda.first_key_value().map(|((time, ..), _)| *time);
            let watch_next = (self.watch_at < Time::FAR_FUTURE).then_some(self.watch_at);
            let Some(next) = [world_next, agenda_next, watch_next].into_iter().flatten().min() else {
                break;
            };
            let next = next.min(self.drive.end);
            // Jobs that wait for ever (a cap, a drought without end) leave nothing but polls that see nothing new.
            if world_next.is_none() && self.is_quiet() {
                break;
            }
            if world_next.is_some_and(|at| at <= next) {
                self.world.advance(next);
                self.notice();
            } else {
                self.world.advance(next);
            }
            while let Some(entry) = self.agenda.first_entry() {
                if entry.key().0 > next {
                    break;
                }
                let due = entry.remove();
                self.handle(due);
            }
            if self.watch_at <= next {
                (self.watch)(&self.world);
                self.watch_at = self.watch_at + self.drive.watch_every;
            }
        }
        if self.drive.whole {
            self.world.advance(self.drive.end);
        }
    }

    /// Whether nothing is under way and the controller has seen all there is and wants nothing.
    fn is_quiet(&self) -> bool {
        let under_way = self
            .agenda
            .values()
            .any(|due| !matches!(due, Due::Poll(_) | Due::Wake(_)));
        !under_way
            && self.view.behind(&self.world).is_empty()
            && self.controller.plan().look_again_at == Time::FAR_FUTURE
    }

    /// A change in the world sends a hint, unless one is on its way already; the next poll of its part would find it too.
    fn notice(&mut self) {
        let behind = self.view.behind(&self.world);
        if behind.is_empty() {
            return;
        }
        self.plan_polls();
        let changes = self.view.hinted_changes(&self.world);
        if self.hinted || changes == self.hinted_changes || behind.and(self.view.hinted()).is_empty() {
            return;
        }
        self.hinted_changes = changes;
        if let Some((at, doubled)) = self.view.hint(self.world.now()) {
            self.hinted = true;
            self.at(at, Due::Hint);
            if doubled {
                self.at(at + Span::from_seconds(1), Due::Hint);
            }
        }
    }

    fn handle(&mut self, due: Due) {
        match due {
            Due::Poll(part) => self.poll(part),
            Due::Look => {
                let parts = if self.woken {
                    self.view.hinted()
                } else {
                    Parts::default()
                };
                self.woken = false;
                if self.answered {
                    self.answered = false;
                    self.look(parts.or(Parts::of(&[Part::Instances])));
                } else {
                    let behind = parts.and(self.view.behind(&self.world));
                    if behind.is_empty() {
                        self.look_in_vain(parts);
                    } else {
                        self.look(parts);
                    }
                }
            }
            Due::Hint => {
                self.hinted = false;
                self.woken = true;
                self.step(Input::Woken);
            }
            Due::Wake(number) => {
                if number == self.wake {
                    let parts = if self.woken {
                        self.view.hinted()
                    } else {
                        Parts::default()
                    };
                    self.woken = false;
                    self.look(parts);
                }
            }
            Due::Decide => {
                self.deciding = false;
                self.steering.looks += 1;
                self.step(Input::Observed);
                if !self.wanted.is_empty() {
                    self.look(Parts::default());
                }
                self.notice();
            }
            Due::Armed(environment, fires) => self.step(Input::Armed(environment, fires, Ok(()))),
            Due::Arrives(action) => self.arrives(action),
            Due::Finished(environment, outcome) => {
                self.answered = true;
                self.step(Input::Finished(environment, outcome));
            }
        }
    }

    /// Plans the next poll of each part that has changed: the polls before it see nothing new, and are left out.
    fn plan_polls(&mut self) {
        let behind = self.view.behind(&self.world);
        let parts = if self.drive.skip { behind } else { Parts::ALL };
        for part in parts.iter() {
            let Some((planned @ None, last)) = self.polls.get_mut(part.position()) else {
                continue;
            };
            let from = self.world.now().max(*last + Span::from_millis(1));
            let at = self.view.poll(part, from);
            *planned = Some(at);
            self.at(at, Due::Poll(part));
        }
    }

    /// Moves a planned poll to where it belongs now: how often a part is polled depends on what was read.
    fn replan_poll(&mut self, part: Part) {
        let Some((planned @ Some(_), last)) = self.polls.get_mut(part.position()) else {
            return;
        };
        let from = self.world.now().max(*last + Span::from_millis(1));
        let at = self.view.poll(part, from);
        if *planned != Some(at) {
            *planned = Some(at);
            self.at(at, Due::Poll(part));
        }
    }

    fn poll(&mut self, part: Part) {
        let now = self.world.now();
        match self.polls.get_mut(part.position()) {
            Some(poll) if poll.0 == Some(now) => *poll = (None, now),
            Some(_) | None => return,
        }
        let parts = Parts::of(&[part]);
        if self.view.behind(&self.world).has(part) {
            self.look(parts);
        } else {
            self.look_in_vain(parts);
        }
        self.plan_polls();
    }

    /// Reads now, decides after the time that the listing takes. Environments are read with everything else: it is one call,
    /// and what is decided rests on them. While a decision is under way, the reading waits for it.
    fn look(&mut self, parts: Parts) {
        self.wanted = self.wanted.or(parts).or(Parts::of(&[Part::Environments]));
        if self.deciding {
            return;
        }
        let wanted = std::mem::take(&mut self.wanted);
        self.view.read(wanted, self.controller.setup(), &self.world);
        self.replan_poll(Part::Instances);
        self.deciding = true;
        let at = self.world.now() + self.drive.view.listing;
        self.at(at, Due::Decide);
    }

    /// The look that skipping leaves out: nothing has changed, so nothing may follow. It takes no time, because the answer to
    /// what is seen next must not come later than if nobody had looked.
    fn look_in_vain(&mut self, parts: Parts) {
        if self.deciding || self.drive.skip {
            return;
        }
        let parts = parts.without(self.view.behind(&self.world));
        self.view.read(parts, self.controller.setup(), &self.world);
        self.steering.looks += 1;
        self.step(Input::Observed);
    }

    fn step(&mut self, input: Input) {
        self.view.age(&self.world);
        let mut effects = std::mem::take(&mut self.effects);
        effects.clear();
        self.controller
            .step(self.world.now(), self.view.observation(), input, &mut effects);
        let mut position = 0;
        while let Some(effect) = effects.get(position).copied() {
            position += 1;
            if let Effect::Commit(environment, ..) = effect {
                // The journal is local and takes milliseconds: the next step follows at once.
                let now = self.world.now();
                self.controller.step(
                    now,
                    self.view.observation(),
                    Input::Committed(environment, Ok(())),
                    &mut effects,
                );
            } else {
                self.carry_out(effect);
            }
        }
        self.effects = effects;
    }

    fn carry_out(&mut self, effect: Effect) {
        let now = self.world.now();
        match effect {
            // A reading counts only if it is younger than the answer that it follows.
            Effect::Observe => self.at(now + Span::from_millis(1), Due::Look),
            Effect::WakeAt(time) => {
                self.wake += 1;
                self.at(time, Due::Wake(self.wake));
            }
            Effect::Commit(..) | Effect::Disarm(_) | Effect::Renumbered => {}
            Effect::Arm(guard) => self.at(now + self.drive.view.arming, Due::Armed(guard.environment, guard.fires)),
            Effect::Send(action, _) => self.at(now + self.drive.view.sending, Due::Arrives(action)),
        }
    }

    fn arrives(&mut self, action: Action) {
        let change = action.change();
        let change = Change {
            min: change.min_vcpus,
            desired: change.desired_vcpus,
            max: change.max_vcpus,
        };
        let answer = self.world.update_compute_environment(action.environment(), &change);
        self.steering.updates.push((self.world.now(), action, answer.is_ok()));
        let at = self.world.now() + self.drive.view.sending;
        self.at(
            at,
            Due::Finished(
                action.environment(),
                answer.map_or_else(Refusal::outcome, |()| Outcome::Accepted),
            ),
        );
        self.notice();
    }
}
