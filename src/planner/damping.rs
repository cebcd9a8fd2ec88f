//! What is worth an update now: fast up, slow down, at most one action per environment, none when nothing changes.
//!
//! minvCpus is above the operator's base only while a raise is being fulfilled or idle capacity is wanted; otherwise it is
//! base, whatever runs. Raising happens only for capacity that is neither there nor on its way.

use crate::ids::{EnvironmentIndex, QuotaIndex};
use crate::observation::{EnvironmentNow, InstancesNow, Seen};
use crate::overrides::Order;
use crate::planner::Inputs;
use crate::planner::memory::{EnvironmentMemory, Raised, Supply};
use crate::planner::plan::{Action, Because, EnvironmentPlan, Hold, Levels, Limit, Plan, QuotaPlan, Subject};
use crate::planner::scratch::Pool;
use crate::planner::sight::is_awaited;
use crate::setup::EnvironmentSetup;
use crate::units::{Span, Time, Vcpus};

/// Longest time that Batch may act first, however often it launched besides us.
const BATCH_FIRST_MOST: Span = Span::from_minutes(2);
/// What whole instances add to an ask without anybody having launched twice: recordings of 2023 show launches of 4xlarge
/// (16 vCPUs) or larger, two of which suffice for the ask.
const LAUNCH_ROUNDING: Vcpus = Vcpus::new(16);
/// How long a raise is watched for capacity that nobody wanted.
const DOUBLE_LAUNCH_WATCH: Span = Span::from_minutes(10);
/// What is left of the learned time below this is not worth a hold.
const BATCH_FIRST_LEAST: Span = Span::from_seconds(1);

/// One environment's view for this step.
struct Case<'a> {
    inputs: &'a Inputs<'a>,
    environment: EnvironmentIndex,
    setup: &'a EnvironmentSetup,
    now: &'a EnvironmentNow,
    sums: EnvironmentPlan,
    pool: Pool,
}

/// Turns grants and wishes into actions.
pub(crate) fn act(inputs: &Inputs<'_>, plan: &mut Plan) {
    for (position, setup) in inputs.setup.environments.iter().enumerate() {
        let environment = EnvironmentIndex::at(position);
        let seen = inputs.observation.environments.get(position);
        let Some(now) = seen.and_then(Seen::value) else {
            continue;
        };
        let case = Case {
            inputs,
            environment,
            setup,
            now,
            sums: plan.environments[position],
            pool: plan.scratch.pools[position],
        };
        let mut memory = plan.scratch.environments[position];
        if let Some(instances) = inputs.observation.instances.get(position).and_then(Seen::value) {
            case.watch_use(&mut memory, instances, plan);
            case.watch_held_in_vain(&mut memory, plan);
            case.watch_idle_beside(&mut memory, plan);
        }
        case.say_limits(plan);
        case.decide(&mut memory, plan);
        plan.scratch.environments[position] = memory;
    }
}

/// The row of a quota.
fn ledger(plan: &Plan, quota: QuotaIndex) -> QuotaPlan {
    plan.quotas.get(quota.position()).copied().unwrap_or_default()
}

impl Case<'_> {
    fn say(&self, plan: &mut Plan, because: Because) {
        plan.say(Subject::Environment(self.environment), because);
    }

    fn say_limits(&self, plan: &mut Plan) {
        if let (Some(limit), false) = (self.pool.denied_by, self.pool.denied.is_zero()) {
            let limit = if let Limit::Quota(quota, _) = limit {
                Limit::Quota(quota, ledger(plan, quota))
            } else {
                limit
            };
            self.say(plan, Because::Limit(limit, self.pool.denied));
        }
        if let Some((quota, beyond)) = self.pool.beyond_quota {
            self.say(plan, Because::BeyondQuota(quota, ledger(plan, quota), beyond));
        }
        if let Some(until) = plan.scratch.environments[self.environment.position()].max_left_until {
            self.hold(plan, Hold::OtherHand, until);
        }
        let kept = self
            .pool
            .maximum
            .filter(|kept| self.now.max_vcpus == kept.ordered && kept.ordered < kept.operators);
        if let Some((quota, kept)) = kept.and_then(|kept| Some((kept.quota?, kept.ordered))) {
            self.say(plan, Because::WithinQuota(quota, ledger(plan, quota), kept));
        }
    }

    /// Keeps the largest recent use, for the idle time, and watches a raise for capacity that nobody wanted.
    fn watch_use(&self, memory: &mut EnvironmentMemory, instances: &InstancesNow, plan: &mut Plan) {
        let now = self.inputs.now;
        let (peak, below_since) = memory.peak;
        memory.peak = match below_since {
            _ if self.pool.idle_time.is_zero() => (Vcpus::ZERO, None),
            _ if instances.used >= peak => (instances.used, None),
            None => (peak, Some(now)),
            Some(since) if now >= since + self.pool.idle_time => (instances.used, None),
            Some(since) => (peak, Some(since)),
        };
        if let (_, Some(since)) = memory.peak {
            plan.look_at(since + self.pool.idle_time);
        }
        if let Some(raised) = memory.raised {
            self.watch_raise(raised, memory, instances, plan);
        }
    }

    /// Too much is more than was wanted at any time since the raise, by a quarter of what the raise asked for (what was there
    /// before it is no measure of it) and by a whole instance. Batch may then act first for longer. A raise that ends without
    /// halves what was learned: Batch may have changed, and time that is spent on waiting for it is lost.
    fn watch_raise(&self, raised: Raised, memory: &mut EnvironmentMemory, instances: &InstancesNow, plan: &mut Plan) {
        let there = self.sums.there;
        let wanted = raised.wanted.max(there.min(self.level_wanted()));
        let more = there.minus_or_zero(wanted);
        let instance = instances.rooms.iter().map(|room| room.free.vcpus).max();
        let whole = more > LAUNCH_ROUNDING && instance.is_none_or(|instance| more >= instance);
        memory.raised = if whole && more > raised.asked.scaled_up(1, 4) {
            self.say(plan, Because::DoubleLaunch(more));
            let base = self.inputs.setup.tempo.batch_first;
            memory.batch_first_more = (memory.batch_first_more + base).min(BATCH_FIRST_MOST.minus_or_zero(base));
            None
        } else if self.inputs.now >= raised.at + DOUBLE_LAUNCH_WATCH {
            let half = Span::from_millis(memory.batch_first_more.millis() / 2);
            memory.batch_first_more = if half < BATCH_FIRST_LEAST { Span::ZERO } else { half };
            None
        } else {
            plan.look_at(raised.at + DOUBLE_LAUNCH_WATCH);
            Some(Raised { wanted, ..raised })
        };
    }

    /// Keeps since when warm room has been idle here beside jobs that would fit; [`super::supply`] draws the conclusion.
    fn watch_idle_beside(&self, memory: &mut EnvironmentMemory, plan: &mut Plan) {
        // Claims on idle room mean that waiting jobs fit there; they should be gone within seconds.
        let beside = !self.sums.claimed_idle.is_zero() && self.is_second_choice();
        // Where more is used than before, Batch does place jobs there.
        let placed = self.sums.used > memory.beside_used;
        memory.beside_since = match memory.beside_since {
            _ if !beside => None,
            Some(since) if !placed => Some(since),
            Some(_) | None => Some(self.inputs.now),
        };
        memory.beside_used = self.sums.used;
        if let Some(since) = memory.beside_since {
            plan.look_at(since + self.inputs.setup.tempo.not_placed_after);
        }
    }

    /// Keeps since when min has held room that jobs seem to fit but do not take: the job at the head of the queue may need
    /// another shape, and only Batch can exchange the room, once min lets it go.
    fn watch_held_in_vain(&self, memory: &mut EnvironmentMemory, plan: &mut Plan) {
        let held = self.now.min_vcpus > self.setup.base && !self.sums.claimed_idle.is_zero();
        memory.held_in_vain = match memory.held_in_vain {
            _ if !held => None,
            Some((since, used)) if used == self.sums.used => Some((since, used)),
            Some(_) | None => Some((self.inputs.now, self.sums.used)),
        };
        if let Some((since, _)) = memory.held_in_vain {
            plan.look_at(since + self.inputs.setup.tempo.not_placed_after);
        }
    }

    fn holds_in_vain(&self, memory: &EnvironmentMemory) -> bool {
        let patience = self.inputs.setup.tempo.not_placed_after;
        memory
            .held_in_vain
            .is_some_and(|(since, _)| since + patience <= self.inputs.now)
    }

    /// Whether every queue that uses this environment prefers another, and nothing makes Batch move on from that one.
    fn is_second_choice(&self) -> bool {
        let mut queues = self
            .inputs
            .setup
            .queues
            .iter()
            .filter(|queue| queue.environments.contains(&self.environment));
        queues.all(|queue| {
            let first = queue.environments.first().filter(|first| **first != self.environment);
            let first = first.and_then(|first| self.inputs.setup.environments.get(first.position()));
            first.is_some_and(|first| !first.enforces())
        })
    }

    /// Everything wanted of this environment: used, claimed, idle on purpose, and idle that nobody can use meanwhile.
    fn level_wanted(&self) -> Vcpus {
        let sums = &self.sums;
        let claimed = sums.used + sums.claimed_idle + sums.claimed_on_its_way + sums.idle_wanted + sums.granted;
        if sums.claimed_on_its_way.is_zero() && sums.granted.is_zero() {
            claimed
        } else {
            claimed.max(sums.there + sums.claimed_on_its_way + sums.granted)
        }
    }

    /// What minvCpus should be, and why.
    fn wanted_min(&self, memory: &EnvironmentMemory) -> (Vcpus, Because) {
        let (min, base, sums) = (self.now.min_vcpus, self.setup.base, &self.sums);
        if let (Some(Order::Drain), Some(overridden)) = (self.pool.order, memory.overridden) {
            return (base, Because::Ordered(Order::Drain, overridden.until));
        }
        if self.pool.unseen_for > self.inputs.setup.tempo.max_blind {
            return (base, Because::Blind(self.pool.blind_part, self.pool.blind_for));
        }
        // Room that is wanted ahead of jobs never stands in the way of jobs that wait: where limits deny them room of another
        // shape, only Batch can exchange what is idle, and only if min lets it go.
        let in_the_way = !self.sums.idle_wanted.is_zero() && !self.pool.denied_waiting.is_zero();
        // What others claim of idle room while the head is denied other room is claimed in vain; without the head it takes time
        // to see that.
        let in_vain = self.sums.idle_wanted.is_zero()
            && (self.pool.head_denied && !self.sums.claimed_idle.is_zero() || self.holds_in_vain(memory));
        if sums.granted.is_zero() && (in_the_way || in_vain) {
            return (base, Because::HeldInVain);
        }
        if self.pool.turned_dry {
            let until = match memory.supply {
                Supply::Drought { until } => until,
                Supply::Delivers | Supply::Probing { .. } => self.inputs.now,
            };
            return (min.min(sums.there.max(base)), Because::Drought(until));
        }
        let mut wanted = if !sums.granted.is_zero() {
            (self.pool.committed + sums.granted, self.because_granted())
        } else if !sums.idle_wanted.is_zero() {
            // Room is kept from when it is there; on its way it is kept where min holds it already.
            let kept = if sums.idle_kept.is_zero() {
                base
            } else {
                sums.used + sums.claimed_idle + sums.idle_kept
            };
            let level = kept.max(min.min(self.level_wanted()));
            let because = if level < min {
                Because::LessWanted(level)
            } else {
                Because::Headroom(sums.idle_wanted)
            };
            (level, because)
        } else if !sums.claimed_on_its_way.is_zero() {
            (min.min(self.level_wanted()), Because::LessWanted(self.level_wanted()))
        } else {
            (base, Because::Served)
        };
        // Room that was used lately stands in nobody's way either.
        let kept = memory.peak.0.min(sums.there);
        if kept > wanted.0 && sums.there > sums.used && self.pool.denied_waiting.is_zero() {
            wanted = (kept, Because::RecentlyUsed(kept));
        }
        let most = self.pool.maximum.map_or(self.now.max_vcpus, |maximum| maximum.ordered);
        // What AWS Batch launched beyond our cap is kept by Batch alone, if at all.
        let cap = self.setup.cap.map_or(self.now.max_vcpus, |cap| cap.max(base));
        wanted.0 = wanted.0.max(base).min(self.now.max_vcpus).min(most).min(cap);
        wanted
    }

    fn because_granted(&self) -> Because {
        let [waiting, arriving, messages, idle] = self.pool.granted_for;
        if let (Some(spot), false) = (self.pool.instead_of, waiting.is_zero()) {
            Because::Fallback(spot, waiting)
        } else if matches!(self.memory_supply(), Supply::Probing { .. }) {
            Because::Probing(self.sums.granted)
        } else if !waiting.is_zero() {
            Because::Waiting(waiting)
        } else if !messages.is_zero() {
            Because::Messages(messages)
        } else if !arriving.is_zero() {
            Because::Arriving(arriving)
        } else {
            Because::Headroom(idle)
        }
    }

    fn memory_supply(&self) -> Supply {
        let memory = self.inputs.memory.environments.get(self.environment.position());
        memory.map(|memory| memory.supply).unwrap_or_default()
    }

    fn decide(&self, memory: &mut EnvironmentMemory, plan: &mut Plan) {
        let now = self.inputs.now;
        if self.pool.order == Some(Order::Pause) {
            return;
        }
        let (min, because) = self.wanted_min(memory);
        let max = self.wanted_max(memory);
        let from = Levels {
            min_vcpus: self.now.min_vcpus,
            desired_vcpus: self.now.desired_vcpus,
            max_vcpus: self.now.max_vcpus,
        };
        let raise = min > from.min_vcpus && self.worth_raising(min);
        let lower = min < from.min_vcpus && self.worth_lowering(min);
        // What is missing or too much is timed from when the last update is seen, not from what it has changed already.
        let timed = !self.is_awaited(memory);
        let since = |holds: bool, since: Option<Time>| if holds && timed { since.or(Some(now)) } else { None };
        memory.short_since = since(!self.sums.granted.is_zero(), memory.short_since);
        memory.low_since = since(lower, memory.low_since);
        let raise = raise && self.may_raise_now(min, memory, plan);
        let lower = lower && self.may_lower_now(because, memory, plan);
        let min = if raise || lower { min } else { from.min_vcpus };
        let max = if lower && memory.release_refused && from.desired_vcpus > from.max_vcpus {
            from.desired_vcpus
        } else if max != from.max_vcpus && (raise || lower || self.may_move_max(memory, plan)) {
            max.max(min)
        } else {
            from.max_vcpus
        };
        if min == from.min_vcpus && max == from.max_vcpus {
            return;
        }
        let kicks = min > from.min_vcpus && min > from.desired_vcpus && self.can_kick();
        let to = Levels {
            min_vcpus: min,
            desired_vcpus: if kicks { min } else { from.desired_vcpus },
            max_vcpus: max,
        };
        let because = if raise || lower {
            because
        } else {
            self.because_max(max, memory, plan)
        };
        if because == Because::HeldInVain {
            memory.left_to_batch_until = Some(now + self.inputs.setup.tempo.drought_most);
        }
        self.remember(memory, from, to);
        self.say(plan, because);
        plan.actions.push(Action::new(self.environment, from, to, because));
    }

    fn can_kick(&self) -> bool {
        self.setup.platform == crate::account::Platform::Ec2
    }

    /// What maxvCpus should be: the operator's value, lowered in a drought so that Batch moves on, and for a quota, where the policy
    /// enforces limits. Where that would be below desired it waits: Batch refuses it.
    fn wanted_max(&self, memory: &mut EnvironmentMemory) -> Vcpus {
        let now = self.now;
        let enforces = self.setup.enforces();
        let ours = memory.max_left_until.is_none();
        let dry = enforces && ours && matches!(memory.supply, Supply::Drought { .. });
        memory.max_dry = memory
            .max_dry
            .filter(|max| dry && *max >= now.desired_vcpus)
            .or_else(|| {
                let floor = now
                    .desired_vcpus
                    .max(self.sums.there)
                    .max(now.min_vcpus)
                    .max(self.setup.smallest);
                (dry && self.pool.may_raise).then_some(floor.min(now.max_vcpus))
            });
        let operators = memory.max_before.unwrap_or(now.max_vcpus);
        let quota = match self.pool.maximum {
            Some(maximum) => maximum.ordered,
            // What cannot be seen is not changed.
            None if enforces && !self.setup.quotas.is_empty() => now.max_vcpus,
            None => operators,
        };
        let wanted = operators.min(memory.max_dry.unwrap_or(operators)).min(quota);
        if now.desired_vcpus > wanted {
            now.max_vcpus
        } else {
            wanted
        }
    }

    /// Why maxvCpus changes.
    fn because_max(&self, max: Vcpus, memory: &EnvironmentMemory, plan: &Plan) -> Because {
        if memory.max_before == Some(max) {
            return Because::MaxRestored;
        }
        let for_quota = self.pool.maximum.filter(|maximum| maximum.ordered == max);
        match for_quota.and_then(|maximum| maximum.quota) {
            Some(quota) => Because::WithinQuota(quota, ledger(plan, quota), max),
            None => Because::MovesOn,
        }
    }

    /// Whether maxvCpus may follow the quotas now. Droughts do not wait.
    fn may_move_max(&self, memory: &EnvironmentMemory, plan: &mut Plan) -> bool {
        if !self.may_send(memory, plan) {
            return false;
        }
        let next = memory
            .updated
            .map(|(at, _)| at + self.inputs.setup.tempo.between_updates);
        let next =
            next.filter(|next| *next > self.inputs.now && memory.max_dry.is_none() && self.pool.maximum.is_some());
        next.is_none_or(|next| self.hold(plan, Hold::BetweenUpdates, next))
    }

    /// Capacity that is missing is always worth it; retaining idle room is, if a whole instance could be lost.
    fn worth_raising(&self, min: Vcpus) -> bool {
        let more = min - self.now.min_vcpus;
        let keeps = more >= self.setup.smallest || more >= min.scaled_up(1, 10);
        !self.sums.granted.is_zero() || self.pool.may_retain && keeps
    }

    /// To base always; in between only if a whole instance could go.
    fn worth_lowering(&self, min: Vcpus) -> bool {
        let less = self.now.min_vcpus - min;
        min == self.setup.base || less >= self.setup.smallest.max(self.now.min_vcpus.scaled_up(1, 10))
    }

    fn is_awaited(&self, memory: &EnvironmentMemory) -> bool {
        is_awaited(self.inputs, self.environment.position(), memory)
    }

    /// What holds any update: one of ours is under way, or the environment is UPDATING.
    fn may_send(&self, memory: &EnvironmentMemory, plan: &mut Plan) -> bool {
        if self.is_awaited(memory) {
            self.say(plan, Because::Hold(Hold::InFlight, Time::FAR_FUTURE));
            return false;
        }
        if self.now.updating {
            self.say(plan, Because::Hold(Hold::Updating, Time::FAR_FUTURE));
            return false;
        }
        true
    }

    fn may_raise_now(&self, min: Vcpus, memory: &EnvironmentMemory, plan: &mut Plan) -> bool {
        let tempo = &self.inputs.setup.tempo;
        if !self.pool.may_raise || !self.may_send(memory, plan) {
            return false;
        }
        if self.now.desired_vcpus > self.now.max_vcpus {
            return self.hold(plan, Hold::Overshoot, Time::FAR_FUTURE);
        }
        if let Some(until) = memory.left_to_batch_until.filter(|until| *until > self.inputs.now) {
            return self.hold(plan, Hold::BatchFirst, until);
        }
        let asleep = self.sums.there.is_zero() && self.sums.on_its_way.is_zero();
        if let (false, Some(since)) = (self.pool.beyond_batch, memory.short_since) {
            let first = if asleep { tempo.batch_first } else { Span::ZERO };
            let at = since + first + memory.batch_first_more;
            if at > self.inputs.now {
                return self.hold(plan, Hold::BatchFirst, at);
            }
        }
        self.rested(min, memory, plan)
    }

    fn rested(&self, min: Vcpus, memory: &EnvironmentMemory, plan: &mut Plan) -> bool {
        if let Some((at, level)) = memory.updated {
            let next = at + self.inputs.setup.tempo.between_updates;
            if next > self.inputs.now && min < level.times(2).max(Vcpus::new(1)) {
                return self.hold(plan, Hold::BetweenUpdates, next);
            }
        }
        true
    }

    fn may_lower_now(&self, because: Because, memory: &EnvironmentMemory, plan: &mut Plan) -> bool {
        let tempo = &self.inputs.setup.tempo;
        let blind = matches!(because, Because::Blind(..));
        let in_vain = because == Because::HeldInVain && self.pool.may_retain;
        let covered = self.setup.covered;
        let ordered = matches!(because, Because::Ordered(..));
        if !(self.pool.may_lower || (blind || in_vain || ordered) && covered) || !self.may_send(memory, plan) {
            return false;
        }
        if !self.now.valid && because != Because::Served && !ordered {
            return false;
        }
        if blind || ordered || matches!(because, Because::Drought(_)) {
            return true;
        }
        let quiet_until = self.inputs.memory.started + tempo.quiet_after_start;
        if quiet_until > self.inputs.now {
            return self.hold(plan, Hold::QuietAfterStart, quiet_until);
        }
        let at = memory.low_since.unwrap_or(self.inputs.now) + tempo.lower_after;
        if at > self.inputs.now {
            return self.hold(plan, Hold::LowerLater, at);
        }
        match memory.updated.map(|(at, _)| at + tempo.between_updates) {
            Some(next) if next > self.inputs.now => self.hold(plan, Hold::BetweenUpdates, next),
            Some(_) | None => true,
        }
    }

    fn hold(&self, plan: &mut Plan, hold: Hold, until: Time) -> bool {
        self.say(plan, Because::Hold(hold, until));
        plan.look_at(until);
        false
    }

    /// A raise while another is watched adds to it, so that every watch ends. What was refused and is asked for again counts
    /// once.
    fn raised(&self, watched: Option<Raised>, level: Vcpus) -> Raised {
        let granted = self.sums.granted;
        match watched {
            Some(watched) => Raised {
                wanted: watched.wanted.max(level),
                asked: watched.asked + granted.min(level.minus_or_zero(watched.wanted)),
                ..watched
            },
            None => Raised {
                at: self.inputs.now,
                wanted: level,
                asked: granted,
            },
        }
    }

    fn remember(&self, memory: &mut EnvironmentMemory, from: Levels, to: Levels) {
        memory.updated = Some((self.inputs.now, to.min_vcpus));
        memory.low_since = None;
        memory.release_refused &= to.min_vcpus >= from.min_vcpus;
        if to.min_vcpus > from.min_vcpus && !self.sums.granted.is_zero() {
            memory.raised = Some(self.raised(memory.raised, to.min_vcpus));
            memory.short_since = None;
        }
        if to.max_vcpus != from.max_vcpus {
            memory.max_before = memory.max_before.or(Some(from.max_vcpus));
            (memory.max_ours, memory.max_from) = (to.max_vcpus, from.max_vcpus);
        }
    }
}
