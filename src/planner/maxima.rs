//! How far Batch may go by itself where service quotas are enforced: maxvCpus of every such environment.
//!
//! AWS Batch moves on to a queue's next environment when one is at its maxvCpus, not when its launches fail for want of a quota.
//! So the maxima of all enforced environments of a quota, with an instance of overshoot each, should fit into what the quota
//! has left for them. What it has is given out in three rounds: to everybody his *floor* (what stands, room for the largest
//! waiting job), then in the order of serving what is *needed*, then the rest in proportion to what the operators'
//! own values would allow, so that Batch can act first almost everywhere. Where floors alone exceed the quota they hold: Batch
//! refuses a maxvCpus below desired, and a job that could never run would block its queue.
//!
//! What stands is left as it is while it is as good, so that maxima do not follow every job, and while one of them cannot be seen. Nothing is raised before what makes
//! room for it is seen to be lowered. Whatever was lowered goes back by the same way: `damping` orders it, `control` leases it.

use crate::account::Platform;
use crate::catalog::Purchase;
use crate::ids::{EnvironmentIndex, QueueIndex};
use crate::observation::{Seen, Shape, Tally};
use crate::planner::demand::{fits, size_on};
use crate::planner::limits::{draws, may_launch, members, standing, unread};
use crate::planner::placement::fill;
use crate::planner::plan::Plan;
use crate::planner::scratch::{Maximum, QuotaRoom, Row, Source};
use crate::planner::sight::{is_awaited, may_ask};
use crate::planner::{Inputs, SHOWN_AFTER};
use crate::setup::EnvironmentSetup;
use crate::units::{Time, Vcpus};

/// Fills every pool's `maximum`, where quotas are enforced and known.
pub(crate) fn share_out(inputs: &Inputs<'_>, plan: &mut Plan) {
    let mut any = false;
    for position in 0..inputs.setup.environments.len() {
        yield_max(inputs, position, plan);
    }
    if inputs.setup.environments.iter().any(EnvironmentSetup::enforces) {
        count_unasked(inputs, plan);
    }
    for position in 0..inputs.setup.environments.len() {
        let maximum = bounds(inputs, position, plan);
        any |= maximum.is_some();
        plan.scratch.pools[position].maximum = maximum;
    }
    if !any {
        return;
    }
    open_rooms(inputs, plan);
    in_order_of_serving(inputs, plan);
    for at in 0..plan.scratch.served.len() {
        let position = plan.scratch.served[at].position();
        give(inputs, position, plan, |maximum, _| maximum.floor);
    }
    for at in 0..plan.scratch.served.len() {
        let position = plan.scratch.served[at].position();
        give(inputs, position, plan, |maximum, left| {
            (maximum.need - maximum.part).min(left)
        });
    }
    give_the_rest(inputs, plan);
    settle(inputs, plan);
}

/// Keeps the operator's max until it is seen to stand again: an order to give it back may be refused. A max that we did not set, and
/// that was not there before, is another hand's. It is left alone for a while where we had it lowered, so that two who disagree
/// do not undo each other all day.
fn yield_max(inputs: &Inputs<'_>, position: usize, plan: &mut Plan) {
    let Some(seen) = inputs.observation.environments.get(position) else {
        return;
    };
    let (Some(now), Some(setup)) = (seen.value(), inputs.setup.environments.get(position)) else {
        return;
    };
    let memory = &mut plan.scratch.environments[position];
    if memory.max_left_until.is_some_and(|until| until <= inputs.now) {
        memory.max_left_until = None;
    }
    let Some(before) = memory.max_before else {
        return;
    };
    // An earlier process lowered it and left no memory: what its guard would restore is all that is known.
    if memory.max_ours.is_zero() && !is_awaited(inputs, position, memory) {
        memory.max_ours = now.max_vcpus;
    }
    let shown = memory.acted_at.map_or(Time::FAR_PAST, |acted| acted + SHOWN_AFTER);
    let settled = !memory.in_flight && seen.at() >= shown;
    let is_known = now.max_vcpus == memory.max_ours || now.max_vcpus == memory.max_from;
    if is_known && settled {
        // Our latest change was taken, or refused: what stands is ours.
        (memory.max_ours, memory.max_from) = (now.max_vcpus, now.max_vcpus);
        memory.max_before = (now.max_vcpus != before).then_some(before);
    } else if !is_known && !is_awaited(inputs, position, memory) {
        if setup.enforces() && memory.max_ours != before {
            memory.max_left_until = Some(inputs.now + inputs.setup.tempo.drought_most);
        }
        memory.max_before = None;
    }
    if memory.max_before.is_some() {
        plan.look_at(shown);
    }
}

/// Floor, need and the operator's own value; `None` where nothing is enforced, or nothing may be changed.
fn bounds(inputs: &Inputs<'_>, position: usize, plan: &Plan) -> Option<Maximum> {
    let setup = inputs.setup.environments.get(position)?;
    let now = inputs.observation.environments.get(position).and_then(Seen::value)?;
    let pool = plan.scratch.pools.get(position)?;
    let memory = plan.scratch.environments.get(position)?;
    let is_ours = memory.max_left_until.is_none();
    let is_known = |share: &crate::setup::QuotaShare| {
        plan.quotas
            .get(share.quota.position())
            .is_some_and(|row| row.limit.is_some())
    };
    // The largest job that waits has to be seen.
    let is_seen = pool.may_raise && pool.may_retain;
    let is_known = unread(setup, &plan.quotas).is_none() && setup.quotas.iter().any(is_known);
    if !setup.enforces() || !is_seen || !is_ours || !is_known {
        return None;
    }
    let operators = memory.max_before.unwrap_or(now.max_vcpus);
    let sums = &plan.environments[position];
    // Replacements of an infrastructure update come only where desired leaves room for them.
    let replaced = now.desired_vcpus + setup.smallest;
    let floor = now
        .desired_vcpus
        .max(sums.there)
        .max(now.min_vcpus)
        .max(setup.smallest)
        .max(largest_waiting(inputs, EnvironmentIndex::at(position), setup))
        .max(if now.updating { replaced } else { Vcpus::ZERO })
        .min(operators);
    let unasked = plan.scratch.unasked.get(position).copied().unwrap_or(Vcpus::ZERO);
    let need = floor
        .max(replaced)
        .max(pool.committed + sums.wanted + unasked)
        .min(operators);
    Some(Maximum {
        operators,
        floor,
        need,
        ordered: now.max_vcpus,
        ..Maximum::default()
    })
}

/// What a RUNNABLE job takes up of an environment, if that may serve it. A multi-node job takes whole instances, On-Demand.
fn takes(setup: &EnvironmentSetup, shape: Shape, jobs: i64) -> Option<Vcpus> {
    let row = Row::new(Source::Waiting, shape, jobs);
    if !fits(setup, &row) {
        return None;
    }
    if shape.nodes <= 1 {
        return Some(size_on(setup, &row));
    }
    let holding = setup.fits.iter().filter(|room| room.hold(&shape.resources));
    let instance = holding.map(|room| room.vcpus).min()?.max(setup.smallest);
    (setup.purchase == Purchase::OnDemand).then_some(instance.times(i64::from(shape.nodes)))
}

/// The largest RUNNABLE job that the environment may serve.
fn largest_waiting(inputs: &Inputs<'_>, environment: EnvironmentIndex, setup: &EnvironmentSetup) -> Vcpus {
    let queues = inputs.setup.queues.iter().zip(&inputs.observation.queues);
    let of = queues.filter(|(queue, _)| queue.environments.contains(&environment));
    let tallies = of.flat_map(|(_, now)| now.runnable.value().into_iter().chain([&now.multi_node]));
    let jobs = tallies.flat_map(Tally::rows);
    jobs.filter_map(|(shape, jobs)| takes(setup, *shape, jobs))
        .max()
        .unwrap_or(Vcpus::ZERO)
}

/// Counts what Batch launches for unasked: RUNNABLE jobs of queues that are not followed or that a person stopped, and multi-node
/// jobs. Idle room and what is on its way, as far as nothing else takes it, is theirs; what remains counts where Batch would launch
/// for it: in the first environment of their queue that holds them as far as the operator's max goes, then in the next.
fn count_unasked(inputs: &Inputs<'_>, plan: &mut Plan) {
    plan.scratch.unasked.clear();
    plan.scratch.unclaimed.clear();
    for (sums, pool) in plan.environments.iter().zip(&plan.scratch.pools) {
        // Also what is not believed to come soon: Batch has asked for it, and holds on.
        let coming = pool.committed.minus_or_zero(sums.there);
        let claimed = sums.claimed_on_its_way + sums.idle_wanted.minus_or_zero(sums.idle_kept);
        plan.scratch.unclaimed.push(coming.minus_or_zero(claimed));
        plan.scratch.unasked.push(Vcpus::ZERO);
    }
    for (position, now) in inputs.observation.queues.iter().enumerate() {
        let Some(queue) = inputs.setup.queues.get(position) else {
            continue;
        };
        let asked = queue.follows_runnable && may_ask(inputs, QueueIndex::at(position));
        let others = now.runnable.value().filter(|_| !asked);
        for (shape, jobs) in others.into_iter().chain([&now.multi_node]).flat_map(Tally::rows) {
            let mut row = Row::new(Source::Waiting, *shape, jobs);
            for step in [from_idle, from_on_its_way, launch_unasked] {
                for environment in &queue.environments {
                    step(inputs, environment.position(), &mut row, plan);
                }
            }
        }
    }
}

/// What a job takes up there, where Batch would serve it.
fn served(inputs: &Inputs<'_>, position: usize, row: &Row) -> Option<Vcpus> {
    let setup = inputs.setup.environments.get(position)?;
    takes(setup, row.shape, row.jobs).filter(|each| !each.is_zero() && may_launch(inputs, position))
}

/// A multi-node job gets instances of its own.
fn from_idle(inputs: &Inputs<'_>, position: usize, row: &mut Row, plan: &mut Plan) {
    let is_placed = plan.scratch.environments[position].not_placed_until.is_none();
    if row.shape.nodes > 1 || !is_placed || served(inputs, position, row).is_none() {
        return;
    }
    let pool = plan.scratch.pools[position];
    for room in &mut plan.scratch.rooms[pool.first_room..pool.end_room] {
        fill(room, row);
    }
}

fn from_on_its_way(inputs: &Inputs<'_>, position: usize, row: &mut Row, plan: &mut Plan) {
    if let Some(each) = served(inputs, position, row) {
        let jobs = row.jobs.min(plan.scratch.unclaimed[position].get() / each.get());
        plan.scratch.unclaimed[position] -= each.times(jobs);
        row.jobs -= jobs;
    }
}

fn launch_unasked(inputs: &Inputs<'_>, position: usize, row: &mut Row, plan: &mut Plan) {
    let now = inputs.observation.environments.get(position).and_then(Seen::value);
    let (Some(now), Some(each)) = (now, served(inputs, position, row)) else {
        return;
    };
    let operators = plan.scratch.environments[position].max_before.unwrap_or(now.max_vcpus);
    let wanted = plan.environments[position].wanted + plan.scratch.unasked[position];
    let counted = plan.scratch.pools[position].committed + wanted;
    let jobs = row.jobs.min(operators.minus_or_zero(counted).get() / each.get());
    plan.scratch.unasked[position] += each.times(jobs);
    row.jobs -= jobs;
}

/// What each quota has for the maxima of its enforced environments: all but what others use or hold, the reserve, and an
/// instance of overshoot for everybody.
fn open_rooms(inputs: &Inputs<'_>, plan: &mut Plan) {
    plan.scratch.quota_room.clear();
    for position in 0..plan.quotas.len() {
        let row = plan.quotas[position];
        let quota = crate::ids::QuotaIndex::at(position);
        let others = row.used_by_others.unwrap_or(Vcpus::ZERO);
        let (mut room, mut taken) = (row.limit.unwrap_or(Vcpus::ZERO), others + row.reserve + row.overshoot);
        let (mut stands, mut blind) = (Vcpus::ZERO, false);
        for (at, share) in members(inputs, quota) {
            let standing = standing(inputs, at, share, row.limit, plan);
            if let Some(maximum) = is_drawn(inputs, at, share, plan) {
                // Its maxvCpus counts instances of all its types: those that this quota does not count take nothing of it.
                room += standing.elsewhere;
                stands += maximum.ordered;
                // What Batch has launched beyond it stands all the same.
                taken += plan.scratch.pools[at].committed.minus_or_zero(maximum.operators);
            } else {
                let fixed = fixed_max(inputs, at, share, plan).minus_or_zero(standing.elsewhere);
                taken += fixed.max(standing.held + standing.on_its_way);
                blind |= enforces(inputs, at) && !plan.scratch.pools[at].may_retain;
            }
        }
        let room = room.minus_or_zero(taken);
        plan.scratch.quota_room.push(QuotaRoom {
            known: row.limit.is_some(),
            blind,
            room,
            left: room,
            stands,
            ..QuotaRoom::default()
        });
    }
}

fn enforces(inputs: &Inputs<'_>, position: usize) -> bool {
    let setup = inputs.setup.environments.get(position);
    setup.is_some_and(EnvironmentSetup::enforces)
}

/// How far Batch may go in an enforced environment whose max is not moved now: paused, or left to another hand.
fn fixed_max(inputs: &Inputs<'_>, position: usize, share: &crate::setup::QuotaShare, plan: &Plan) -> Vcpus {
    let (Some(setup), Some(now)) = (
        inputs.setup.environments.get(position),
        inputs.observation.environments.get(position).and_then(Seen::value),
    ) else {
        return Vcpus::ZERO;
    };
    let launches = setup.enforces() && may_launch(inputs, position) && draws(setup, share, None, &plan.quotas);
    if !launches {
        return Vcpus::ZERO;
    }
    // Nodes of EKS that nobody reads count as the use of others.
    let instances = inputs.observation.instances.get(position).and_then(Seen::value);
    let counted = setup.platform == Platform::Eks && instances.is_none();
    now.max_vcpus
        .minus_or_zero(if counted { now.desired_vcpus } else { Vcpus::ZERO })
}

/// The maximum of an environment that takes part in sharing out a quota.
fn is_drawn<'a>(
    inputs: &Inputs<'_>,
    position: usize,
    share: &crate::setup::QuotaShare,
    plan: &'a Plan,
) -> Option<&'a Maximum> {
    let setup = inputs.setup.environments.get(position)?;
    let maximum = plan.scratch.pools.get(position)?.maximum.as_ref()?;
    draws(setup, share, None, &plan.quotas).then_some(maximum)
}

/// Enforced environments, those first that are served first.
fn in_order_of_serving(inputs: &Inputs<'_>, plan: &mut Plan) {
    let scratch = &mut plan.scratch;
    scratch.served.clear();
    let queues = inputs.setup.serve_order.iter();
    let queues = queues.filter_map(|queue| inputs.setup.queues.get(queue.position()));
    let all = (0..inputs.setup.environments.len()).map(EnvironmentIndex::at);
    for environment in queues.flat_map(|queue| queue.environments.iter().copied()).chain(all) {
        let pool = scratch.pools.get(environment.position());
        if pool.is_some_and(|pool| pool.maximum.is_some()) && !scratch.served.contains(&environment) {
            scratch.served.push(environment);
        }
    }
}

/// Gives an environment what `how_much` says of what is left in all its quotas together, and books it in each.
fn give(inputs: &Inputs<'_>, position: usize, plan: &mut Plan, how_much: impl Fn(&Maximum, Vcpus) -> Vcpus) {
    let (Some(setup), Some(mut maximum)) = (
        inputs.setup.environments.get(position),
        plan.scratch.pools[position].maximum,
    ) else {
        return;
    };
    let drawn = || {
        setup
            .quotas
            .iter()
            .filter(|share| draws(setup, share, None, &plan.quotas))
    };
    let rooms = &mut plan.scratch.quota_room;
    let known = drawn().filter_map(|share| Some((share.quota, rooms.get(share.quota.position())?)));
    let tightest = known
        .filter(|(_, room)| room.known)
        .map(|(quota, room)| (quota, room.left))
        .min_by_key(|(_, left)| *left);
    let left = tightest.map_or(Vcpus::MAX, |(_, left)| left);
    let given = how_much(&maximum, left);
    maximum.part += given;
    maximum.quota = tightest.map(|(quota, _)| quota);
    for share in drawn() {
        if let Some(room) = rooms.get_mut(share.quota.position()) {
            room.left = room.left.minus_or_zero(given);
        }
    }
    plan.scratch.pools[position].maximum = Some(maximum);
}

/// What nobody needs is spread, so that Batch can go on without us wherever something comes up.
fn give_the_rest(inputs: &Inputs<'_>, plan: &mut Plan) {
    for_drawn(inputs, plan, |maximum, room| {
        room.wished += maximum.operators - maximum.part;
    });
    for at in 0..plan.scratch.served.len() {
        let position = plan.scratch.served[at].position();
        let (Some(setup), Some(maximum)) = (
            inputs.setup.environments.get(position),
            plan.scratch.pools[position].maximum.as_mut(),
        ) else {
            continue;
        };
        let wish = maximum.operators - maximum.part;
        let mut most = wish;
        for share in setup
            .quotas
            .iter()
            .filter(|share| draws(setup, share, None, &plan.quotas))
        {
            let room = plan.scratch.quota_room.get(share.quota.position());
            if let Some(room) = room.filter(|room| room.known && room.left < room.wished) {
                let part = wish.scaled_down(room.left.get(), room.wished.get());
                if part <= most {
                    (most, maximum.quota) = (part, Some(share.quota));
                }
            }
        }
        maximum.part += most;
    }
}

/// Calls `told` for every enforced environment and every quota it draws from.
fn for_drawn(inputs: &Inputs<'_>, plan: &mut Plan, told: impl Fn(&Maximum, &mut QuotaRoom)) {
    for (setup, pool) in inputs.setup.environments.iter().zip(&plan.scratch.pools) {
        let Some(maximum) = &pool.maximum else { continue };
        for share in setup
            .quotas
            .iter()
            .filter(|share| draws(setup, share, None, &plan.quotas))
        {
            if let Some(room) = plan.scratch.quota_room.get_mut(share.quota.position()) {
                told(maximum, room);
            }
        }
    }
}

/// What to order now. A part that is smaller than what stands is ordered where the quota is overdrawn or somebody lacks it; a
/// larger one where it is needed or worth an update, and as far as there is room for it already.
fn settle(inputs: &Inputs<'_>, plan: &mut Plan) {
    for_drawn(inputs, plan, |maximum, room| {
        room.unmet |= maximum.need > maximum.ordered && maximum.part > maximum.ordered;
    });
    for room in &mut plan.scratch.quota_room {
        room.left = room.room.minus_or_zero(room.stands);
    }
    for at in 0..plan.scratch.served.len() {
        let position = plan.scratch.served[at].position();
        let (Some(setup), Some(mut maximum)) = (
            inputs.setup.environments.get(position),
            plan.scratch.pools[position].maximum,
        ) else {
            continue;
        };
        let drawn = || {
            setup
                .quotas
                .iter()
                .filter(|share| draws(setup, share, None, &plan.quotas))
        };
        let rooms = &mut plan.scratch.quota_room;
        let stands = maximum.ordered;
        if maximum.part < stands {
            let needed = |room: &QuotaRoom| room.known && !room.blind && (room.stands > room.room || room.unmet);
            let mut known = drawn().filter_map(|share| rooms.get(share.quota.position()));
            if known.any(needed) {
                maximum.ordered = maximum.part;
            }
        } else {
            let known = drawn().filter_map(|share| rooms.get(share.quota.position()));
            let left = known
                .filter(|room| room.known)
                .map(|room| if room.blind { Vcpus::ZERO } else { room.left })
                .min();
            let more = (maximum.part - stands).min(left.unwrap_or(Vcpus::MAX));
            let worth = stands + more == maximum.operators
                || maximum.need > stands
                || more >= setup.smallest.max(maximum.operators.scaled_up(1, 10));
            if worth {
                maximum.ordered = stands + more;
                for share in drawn() {
                    if let Some(room) = rooms.get_mut(share.quota.position()) {
                        room.left = room.left.minus_or_zero(more);
                    }
                }
            }
        }
        plan.scratch.pools[position].maximum = Some(maximum);
    }
}
