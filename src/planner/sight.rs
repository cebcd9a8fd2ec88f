//! What may be believed: every part of the observation has its own age, and what cannot be seen is not changed.

use crate::account::Platform;
use crate::ids::{EnvironmentIndex, QueueIndex};
use crate::observation::{GapReason, Seen};
use crate::overrides::{Order, Override};
use crate::planner::Inputs;
use crate::planner::memory::EnvironmentMemory;
use crate::planner::plan::{Because, Part, Plan, Subject};
use crate::planner::scratch::{Pool, RoomLeft, WHOLE};
use crate::units::{Span, Time, Vcpus};

/// Fills the pools: what is there, what is on its way, and whether it may be raised or lowered at all.
pub(crate) fn look(inputs: &Inputs<'_>, plan: &mut Plan) {
    plan.scratch.pools.clear();
    plan.scratch.rooms.clear();
    for position in 0..inputs.setup.environments.len() {
        look_at_environment(inputs, EnvironmentIndex::at(position), plan);
    }
    for position in 0..inputs.setup.queues.len() {
        look_at_queue(inputs, QueueIndex::at(position), plan);
    }
    for position in 0..plan.scratch.pools.len() {
        // The return to base after `max_blind` is the one action that missing data may cause.
        if above_base(inputs, position) {
            let seen_at = inputs.now - plan.scratch.pools[position].unseen_for;
            plan.look_at(seen_at + inputs.setup.tempo.max_blind + Span::from_millis(1));
        }
    }
}

/// Whether minvCpus is above the operator's base, as far as known.
pub(crate) fn above_base(inputs: &Inputs<'_>, position: usize) -> bool {
    let now = inputs.observation.environments.get(position).and_then(Seen::value);
    let base = inputs
        .setup
        .environments
        .get(position)
        .map_or(Vcpus::ZERO, |setup| setup.base);
    now.is_some_and(|now| now.min_vcpus > base)
}

fn look_at_environment(inputs: &Inputs<'_>, environment: EnvironmentIndex, plan: &mut Plan) {
    let position = environment.position();
    let mut pool = Pool {
        first_room: plan.scratch.rooms.len(),
        ..Pool::default()
    };
    let Some(setup) = inputs.setup.environments.get(position) else {
        return;
    };
    let levels = inputs.observation.environments.get(position);
    let instances = inputs.observation.instances.get(position);
    let age_of_levels = age(inputs.now, levels);
    let age_of_instances = age(inputs.now, instances);
    (pool.blind_for, pool.blind_part) = if age_of_levels >= age_of_instances {
        (age_of_levels, Part::Environment)
    } else {
        (age_of_instances, Part::Instances)
    };
    pool.unseen_for = unseen_for(inputs, levels).max(unseen_for(inputs, instances));
    let overridden = plan
        .scratch
        .environments
        .get(position)
        .and_then(|memory| memory.overridden);
    pool.order = order(inputs, Subject::Environment(environment), overridden, plan);
    let stopped = matches!(pool.order, Some(Order::Pause | Order::Drain));
    let Some(sums) = plan.environments.get_mut(position) else {
        return;
    };
    let blind = Because::Blind(pool.blind_part, pool.blind_for);
    let fresh = is_fresh(inputs, levels) && is_fresh(inputs, instances);
    // What nobody reads is not late, and its nodes are the use of others.
    let is_read = setup.platform != Platform::Eks || instances.is_some_and(|seen| seen.value().is_some());

    // Nor does Batch place anything where it is switched off or INVALID, whatever stands there.
    let places = levels
        .and_then(Seen::value)
        .is_none_or(|levels| levels.valid && levels.enabled);

    if let Some(instances) = instances.and_then(Seen::value) {
        sums.there = instances.there;
        sums.used = instances.used;
        plan.scratch.rooms.extend(
            instances
                .rooms
                .iter()
                .filter(|room| places && room.free.vcpus > Vcpus::ZERO)
                .map(|room| RoomLeft {
                    free: room.free,
                    left: WHOLE.saturating_mul(i64::from(room.instances)),
                }),
        );
    }
    if let Some(levels) = levels.and_then(Seen::value) {
        let asked = levels.desired_vcpus.max(levels.min_vcpus);
        if is_read && places {
            sums.on_its_way = asked.minus_or_zero(sums.there);
        }
        pool.on_its_way = sums.on_its_way;
        if is_read {
            pool.committed = asked.max(sums.there);
        }
        let steerable = matches!(setup.platform, Platform::Ec2 | Platform::Eks) && setup.covered;
        pool.may_raise = fresh && steerable && levels.valid && levels.enabled && !stopped;
        pool.may_lower = fresh && steerable && pool.order != Some(Order::Pause);
        pool.may_retain = fresh;
    }
    pool.end_room = plan.scratch.rooms.len();
    plan.scratch.pools.push(pool);
    if !fresh && is_read {
        plan.say(Subject::Environment(environment), blind);
    }
}

/// What a person ordered, if it is in force; said, and timed.
fn order(inputs: &Inputs<'_>, subject: Subject, overridden: Option<Override>, plan: &mut Plan) -> Option<Order> {
    let overridden = overridden?;
    plan.look_at(overridden.since);
    let order = overridden.at(inputs.now)?;
    plan.look_at(overridden.until);
    plan.say(subject, Because::Ordered(order, overridden.until));
    Some(order)
}

/// A queue whose RUNNABLE jobs are not all counted keeps its environments from being lowered. Those that run need not be: what they
/// use is known from container instances, and where fewer are counted than there are, more is wanted, never less.
fn look_at_queue(inputs: &Inputs<'_>, queue: QueueIndex, plan: &mut Plan) {
    let (Some(setup), Some(now)) = (
        inputs.setup.queues.get(queue.position()),
        inputs.observation.queues.get(queue.position()),
    ) else {
        return;
    };
    let overridden = plan
        .scratch
        .queues
        .get(queue.position())
        .and_then(|memory| memory.overridden);
    let paused = order(inputs, Subject::Queue(queue), overridden, plan) == Some(Order::Pause);
    let age = age(inputs.now, Some(&now.runnable)).max(age(inputs.now, Some(&now.placed)));
    let unseen_for = unseen_for(inputs, Some(&now.runnable)).max(unseen_for(inputs, Some(&now.placed)));
    let fresh = is_seen(inputs, queue);
    for environment in &setup.environments {
        if let Some(pool) = plan.scratch.pools.get_mut(environment.position()) {
            pool.may_lower &= fresh && now.runnable.is_exact() && !paused;
            pool.may_retain &= fresh;
            pool.unseen_for = pool.unseen_for.max(unseen_for);
            if age > pool.blind_for {
                (pool.blind_for, pool.blind_part) = (age, Part::Jobs);
            }
            pool.idle_time = pool.idle_time.max(setup.idle_time);
        }
    }
    if !fresh {
        plan.say(Subject::Queue(queue), Because::Blind(Part::Jobs, age));
    }
}

/// What a person ordered for a queue, if it is in force.
pub(crate) fn queue_order(inputs: &Inputs<'_>, queue: QueueIndex) -> Option<Order> {
    let memory = inputs.memory.queues.get(queue.position())?;
    memory.overridden?.at(inputs.now)
}

/// Whether capacity may be asked for on behalf of a queue: its jobs are seen recently, and nobody stopped it.
pub(crate) fn may_ask(inputs: &Inputs<'_>, queue: QueueIndex) -> bool {
    let stopped = matches!(queue_order(inputs, queue), Some(Order::Pause | Order::Drain));
    !stopped && is_seen(inputs, queue)
}

/// Whether a queue's jobs are seen recently enough to act on.
fn is_seen(inputs: &Inputs<'_>, queue: QueueIndex) -> bool {
    inputs
        .observation
        .queues
        .get(queue.position())
        .is_some_and(|now| is_fresh(inputs, Some(&now.runnable)) && is_fresh(inputs, Some(&now.placed)))
}

/// Whether a part was read, and recently enough to act on.
pub(crate) fn is_fresh<T>(inputs: &Inputs<'_>, part: Option<&Seen<T>>) -> bool {
    part.is_some_and(|part| part.value().is_some()) && age(inputs.now, part) <= inputs.setup.tempo.stale_after
}

/// Whether an update of ours is under way, or was answered after the environment was read.
pub(crate) fn is_awaited(inputs: &Inputs<'_>, position: usize, memory: &EnvironmentMemory) -> bool {
    let seen_at = inputs.observation.environments.get(position).map(Seen::at);
    let unseen = memory
        .acted_at
        .is_some_and(|acted| seen_at.is_none_or(|seen| seen <= acted));
    memory.in_flight || unseen
}

/// How old a part is; what was never read is as old as time.
pub(crate) fn age<T>(now: Time, part: Option<&Seen<T>>) -> Span {
    match part {
        Some(Seen::Exactly(at, _) | Seen::AtLeast(at, _)) => now.since(*at).max(Span::ZERO),
        Some(Seen::Missing(gap)) => now.since(gap.since).max(Span::ZERO).max(Span::from_millis(1)),
        None => Span::MAX,
    }
}

/// For how long a part could have been read and was not: at a start, or for what a reload brought, that is no time yet.
fn unseen_for<T>(inputs: &Inputs<'_>, part: Option<&Seen<T>>) -> Span {
    let in_force = inputs.now.since(inputs.memory.in_force_since).max(Span::ZERO);
    match part {
        Some(Seen::Missing(gap)) if gap.why == GapReason::NotReadYet => in_force,
        Some(_) | None => age(inputs.now, part),
    }
}
