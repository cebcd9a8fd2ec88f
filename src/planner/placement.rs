//! Where demand is placed: first on idle room, then on what is on its way, then on new capacity; each in the queue's
//! `computeEnvironmentOrder`. What one queue took is gone for the next, so claims never exceed capacity.
//!
//! New capacity is asked of On-Demand behind Spot only when patience has run out, when the Spot environments before it are
//! in a drought, or for the queue's guaranteed On-Demand base.

use crate::catalog::Purchase;
use crate::ids::{EnvironmentIndex, QueueIndex};
use crate::overrides::Order;
use crate::planner::Inputs;
use crate::planner::demand::{fits, size_on, wastes_room};
use crate::planner::limits;
use crate::planner::memory::{PATIENCE_PAIRS, QueueMemory, Supply};
use crate::planner::plan::{Because, EnvironmentPlan, Plan, Subject};
use crate::planner::scratch::{RoomLeft, Row, Source, WHOLE};
use crate::setup::QueueSetup;
use crate::units::{Time, Vcpus};

/// Places the rows in the scratch for one queue.
pub(crate) fn serve(inputs: &Inputs<'_>, queue: QueueIndex, plan: &mut Plan) {
    let Some(setup) = inputs.setup.queues.get(queue.position()) else {
        return;
    };
    for &environment in &setup.environments {
        from_idle(inputs, queue, environment, plan);
    }
    for &environment in &setup.environments {
        from_on_its_way(inputs, queue, environment, plan);
    }
    on_demand_base(inputs, queue, setup, plan);
    from_new(inputs, queue, setup, plan);
    watch_head(inputs, setup, plan);
}

/// Idle room does not serve the jobs behind a head that it cannot place, until that has gone. Where more is launched for the
/// head they can wait for that; where limits forbid it they wait in vain, unless idle room makes way.
fn watch_head(inputs: &Inputs<'_>, setup: &QueueSetup, plan: &mut Plan) {
    let Some(head) = plan.scratch.rows.iter().find(|row| row.head && row.jobs > 0).copied() else {
        return;
    };
    for environment in &setup.environments {
        let position = environment.position();
        let delivers = plan.scratch.environments[position].supply == Supply::Delivers;
        let holds = inputs
            .setup
            .environments
            .get(position)
            .is_some_and(|setup| fits(setup, &head));
        let pool = &mut plan.scratch.pools[position];
        pool.head_denied |= delivers && holds && !pool.denied_waiting.is_zero();
    }
}

/// Takes idle room: whole job slots on instances that fit, in fractions of an instance.
fn from_idle(inputs: &Inputs<'_>, queue: QueueIndex, environment: EnvironmentIndex, plan: &mut Plan) {
    let position = environment.position();
    let not_placed = plan.scratch.environments[position]
        .not_placed_until
        .is_some_and(|until| until > inputs.now);
    let pool = plan.scratch.pools[position];
    if not_placed || pool.first_room == pool.end_room {
        return;
    }
    let (mut for_waiting, mut for_others, mut for_queue) = (Vcpus::ZERO, Vcpus::ZERO, Vcpus::ZERO);
    for row in plan.scratch.rows.iter_mut().filter(|row| row.jobs > 0) {
        for room in &mut plan.scratch.rooms[pool.first_room..pool.end_room] {
            let taken = fill(room, row);
            // Batch takes idle room back unless it sees jobs for it: what is not RUNNABLE yet has to be kept by min.
            if row.source == Source::Waiting {
                for_waiting += taken;
            } else {
                for_others += taken;
            }
            if row.source != Source::Idle {
                for_queue += taken;
            }
        }
    }
    plan.environments[position].claimed_idle += for_waiting;
    plan.environments[position].idle_wanted += for_others;
    plan.environments[position].idle_kept += for_others;
    plan.queues[queue.position()].from_idle += for_queue;
}

/// Puts as many jobs of a row as it holds into idle room of one kind. Says what they take up.
pub(crate) fn fill(room: &mut RoomLeft, row: &mut Row) -> Vcpus {
    if room.left <= 0 || row.jobs == 0 || !room.free.hold(&row.shape.resources) {
        return Vcpus::ZERO;
    }
    let share = (WHOLE / room.free.slots(&row.shape.resources).max(1)).max(1);
    let jobs = row.jobs.min(room.left / share);
    room.left -= jobs.saturating_mul(share);
    row.jobs -= jobs;
    room.free.vcpus.scaled_up(jobs.saturating_mul(share), WHOLE)
}

/// Takes what is on its way. Its instances are not known yet; they are taken to be of a fitting type.
fn from_on_its_way(inputs: &Inputs<'_>, queue: QueueIndex, environment: EnvironmentIndex, plan: &mut Plan) {
    let position = environment.position();
    let Some(setup) = inputs.setup.environments.get(position) else {
        return;
    };
    let mut left = plan.scratch.pools[position].on_its_way;
    if left.is_zero() {
        return;
    }
    for row in &mut plan.scratch.rows {
        if left.is_zero() {
            break;
        }
        if row.jobs <= 0 || !fits(setup, row) {
            continue;
        }
        let size = size_on(setup, row);
        // The last job may be promised only in part: the rest of its room is what is missing, and is asked for below.
        let jobs = row.jobs.min(left.get() / size.get());
        let taken = size.times(jobs);
        left -= taken;
        row.jobs -= jobs;
        if row.source == Source::Waiting {
            plan.environments[position].claimed_on_its_way += taken;
        } else {
            plan.environments[position].idle_wanted += taken;
        }
        if row.source != Source::Idle {
            plan.queues[queue.position()].from_on_its_way += taken;
        }
    }
    plan.scratch.pools[position].on_its_way = left;
}

/// The part of a queue's demand that is placed On-Demand from the start.
fn on_demand_base(inputs: &Inputs<'_>, queue: QueueIndex, setup: &QueueSetup, plan: &mut Plan) {
    let on_demand = setup
        .environments
        .iter()
        .find(|environment| purchase(inputs, **environment) == Purchase::OnDemand);
    if let Some(&environment) = on_demand
        && !setup.on_demand_base.is_zero()
    {
        let committed = plan.scratch.pools[environment.position()].committed;
        let granted = plan.environments[environment.position()].granted;
        let most = setup.on_demand_base.minus_or_zero(committed + granted);
        launch(inputs, queue, environment, most, plan);
    }
}

/// Asks for new capacity, environment by environment, as far as each may be paid for.
fn from_new(inputs: &Inputs<'_>, queue: QueueIndex, setup: &QueueSetup, plan: &mut Plan) {
    let mut after_spot: Option<EnvironmentIndex> = None;
    for &environment in &setup.environments {
        let on_demand = purchase(inputs, environment) == Purchase::OnDemand;
        if let (true, Some(spot)) = (on_demand, after_spot) {
            remember_left(inputs, queue, setup, plan);
            if !may_pay(inputs, queue, setup, spot, environment, plan) {
                continue;
            }
        }
        launch(inputs, queue, environment, Vcpus::MAX, plan);
        if !on_demand {
            after_spot = after_spot.or(Some(environment));
        }
    }
    let left: Vcpus = match setup
        .environments
        .first()
        .and_then(|first| inputs.setup.environments.get(first.position()))
    {
        Some(preferred) => (plan.scratch.rows.iter().filter(|row| row.source != Source::Idle))
            .map(|row| size_on(preferred, row).times(row.jobs))
            .sum(),
        None => Vcpus::ZERO,
    };
    plan.queues[queue.position()].denied += left;
}

/// Keeps, per patience pair, since when that many jobs have been left over by the Spot environments.
fn remember_left(inputs: &Inputs<'_>, queue: QueueIndex, setup: &QueueSetup, plan: &mut Plan) {
    if plan.scratch.rows.iter().any(|row| row.source == Source::Idle) {
        return;
    }
    let left: i64 = plan
        .scratch
        .rows
        .iter()
        .filter(|row| row.source == Source::Waiting)
        .map(|row| row.jobs)
        .sum();
    let before = plan.scratch.queues[queue.position()];
    let mut memory = QueueMemory {
        left_since: Default::default(),
        ..before
    };
    for (slot, pair) in setup.patience.iter().take(PATIENCE_PAIRS).enumerate() {
        if left >= pair.jobs {
            memory.left_since[slot] = before.left_since[slot].or(Some(inputs.now));
        }
    }
    plan.scratch.queues[queue.position()] = memory;
}

/// Whether On-Demand behind Spot may be paid for now.
fn may_pay(
    inputs: &Inputs<'_>,
    queue: QueueIndex,
    setup: &QueueSetup,
    spot: EnvironmentIndex,
    environment: EnvironmentIndex,
    plan: &mut Plan,
) -> bool {
    let real = |row: &Row| row.jobs > 0 && row.source != Source::Idle;
    let left: i64 = plan
        .scratch
        .rows
        .iter()
        .filter(|row| real(row))
        .map(|row| row.jobs)
        .sum();
    if left <= 0 {
        return false; // idle room is kept on Spot, or not at all
    }
    let dry = setup
        .environments
        .iter()
        .take_while(|other| **other != environment)
        .all(|other| {
            purchase(inputs, *other) != Purchase::Spot
                || plan.scratch.environments[other.position()].supply != Supply::Delivers
        });
    let not_placed = plan.scratch.environments[environment.position()]
        .not_placed_until
        .filter(|until| *until > inputs.now);
    if let Some(until) = not_placed
        && !inputs
            .setup
            .environments
            .get(spot.position())
            .is_some_and(crate::setup::EnvironmentSetup::enforces)
    {
        plan.look_at(until);
        return false;
    }
    // Without patience pairs waiting is free, however long Spot stays away; so it is for fewer jobs than they name.
    if dry && setup.patience.iter().any(|pair| pair.jobs <= left) {
        plan.scratch.pools[environment.position()].instead_of = Some(spot);
        return true;
    }
    let memory = plan.scratch.queues[queue.position()];
    let earliest: Option<Time> = (setup.patience.iter().zip(memory.left_since))
        .filter_map(|(pair, since)| since.map(|since| since + pair.after))
        .min();
    match earliest {
        Some(at) if at <= inputs.now => true,
        Some(at) => {
            plan.say(Subject::Environment(environment), Because::Patience(at));
            plan.look_at(at);
            false
        }
        None => false,
    }
}

/// Asks one environment for what is still without capacity, up to `most` and its limits.
fn launch(inputs: &Inputs<'_>, queue: QueueIndex, environment: EnvironmentIndex, most: Vcpus, plan: &mut Plan) {
    let position = environment.position();
    let Some(setup) = inputs.setup.environments.get(position) else {
        return;
    };
    let (allowed, limit) = limits::left(environment, plan);
    let ours = is_our_choice(inputs, queue, environment);
    // Promised room that no whole job fits into counts towards the next one.
    let mut scraps = plan.scratch.pools[position].on_its_way;
    let mut left = allowed.min(most);
    let mut wasteful = plan.scratch.pools[position].wasteful_limit;
    let mut granted_in_all = Vcpus::ZERO;
    for row in &mut plan.scratch.rows {
        if row.jobs <= 0 || !fits(setup, row) {
            continue;
        }
        // Grants flow: part of a job is granted too, so that more demand never yields less capacity.
        let size = size_on(setup, row);
        let wanted = size.times(row.jobs);
        let promised = scraps.min(wanted);
        let need = wanted - promised;
        if row.source == Source::Idle && need.times(4) <= size.times(row.of) {
            row.jobs = 0; // idle room is not worth an update for every slot that comes and goes
            continue;
        }
        // Room of the wrong shape must not fill up an environment: then everybody would wait for the right one.
        let allowed = if wastes_room(setup, row) {
            left.min(wasteful)
        } else {
            left
        };
        let (allowed, limit) = limits::within_quotas(setup, Some(row), (allowed, limit), &plan.quotas);
        let granted = need.min(allowed);
        let beyond = limits::book_quotas(setup, Some(row), granted, &mut plan.quotas);
        wasteful = wasteful.minus_or_zero(granted);
        let denied = need - granted;
        left -= granted;
        granted_in_all += granted;
        row.jobs = if denied.is_zero() {
            0
        } else {
            row.jobs - (promised + granted).get() / size.get()
        };
        scraps -= promised;

        let sums = &mut plan.environments[position];
        let pool = &mut plan.scratch.pools[position];
        sums.wanted += need;
        pool.went_beyond(beyond);
        if !denied.is_zero() && most == Vcpus::MAX {
            (pool.denied, pool.denied_by) = (pool.denied + denied, Some(limit));
            if row.source == Source::Waiting {
                pool.denied_waiting += denied;
            }
        }
        if let Some(sum) = pool.granted_for.get_mut(source_slot(row.source)) {
            *sum += granted;
        }
        if row.source == Source::Waiting {
            sums.claimed_on_its_way += promised;
        } else {
            sums.idle_wanted += promised + granted;
        }
        if row.source != Source::Idle {
            plan.queues[queue.position()].from_on_its_way += promised;
            plan.queues[queue.position()].granted += granted;
        }
        pool.beyond_batch |= (ours || row.source != Source::Waiting) && !granted.is_zero();
    }
    plan.scratch.pools[position].on_its_way = scraps;
    plan.environments[position].granted += granted_in_all;
    limits::book(environment, granted_in_all, plan);
}

/// Holds what a person wants held in an environment: idle room that is there, then what is on its way, then new capacity.
pub(crate) fn boost(inputs: &Inputs<'_>, environment: EnvironmentIndex, plan: &mut Plan) {
    let position = environment.position();
    let Some(Order::Boost(level)) = plan.scratch.pools[position].order else {
        return;
    };
    let sums = &mut plan.environments[position];
    let held = |sums: &EnvironmentPlan| {
        sums.used + sums.claimed_idle + sums.claimed_on_its_way + sums.idle_wanted + sums.granted
    };
    let free = (sums.there - sums.used).minus_or_zero(sums.claimed_idle + sums.idle_kept);
    let kept = level.minus_or_zero(held(sums)).min(free);
    sums.idle_wanted += kept;
    sums.idle_kept += kept;
    let pool = &mut plan.scratch.pools[position];
    let coming = level.minus_or_zero(held(sums)).min(pool.on_its_way);
    sums.idle_wanted += coming;
    pool.on_its_way -= coming;
    let missing = level.minus_or_zero(held(sums));
    let Some(setup) = inputs.setup.environments.get(position) else {
        return;
    };
    let (allowed, limit) = limits::within_quotas(setup, None, limits::left(environment, plan), &plan.quotas);
    let granted = missing.min(allowed);
    let beyond = limits::book_quotas(setup, None, granted, &mut plan.quotas);
    let sums = &mut plan.environments[position];
    sums.wanted += missing;
    sums.idle_wanted += granted;
    sums.granted += granted;
    let pool = &mut plan.scratch.pools[position];
    if granted < missing {
        (pool.denied, pool.denied_by) = (pool.denied + (missing - granted), Some(limit));
    }
    pool.went_beyond(beyond);
    pool.granted_for[source_slot(Source::Idle)] += granted;
    pool.beyond_batch |= !granted.is_zero();
    limits::book(environment, granted, plan);
}

/// Batch sees RUNNABLE jobs itself, but it asks the first environment for them: On-Demand behind it is our choice.
fn is_our_choice(inputs: &Inputs<'_>, queue: QueueIndex, environment: EnvironmentIndex) -> bool {
    let setup = inputs.setup.queues.get(queue.position());
    let first = setup.and_then(|setup| setup.environments.first());
    purchase(inputs, environment) == Purchase::OnDemand && first != Some(&environment)
}

/// The position of a source in `Pool::granted_for`.
const fn source_slot(source: Source) -> usize {
    match source {
        Source::Waiting => 0,
        Source::Arriving => 1,
        Source::Messages => 2,
        Source::Idle => 3,
    }
}

pub(crate) fn purchase(inputs: &Inputs<'_>, environment: EnvironmentIndex) -> Purchase {
    inputs
        .setup
        .environments
        .get(environment.position())
        .map_or(Purchase::OnDemand, |setup| setup.purchase)
}
