//! Which environments deliver what is asked of them: the memory of droughts.
//!
//! An environment *delivers* until capacity has been on its way for longer than people are willing to wait and longer than a
//! launch takes (the second is waived when a capacity error was seen). Then it is in a *drought* for 15 minutes, doubling to
//! 60 with every failed probe. When that memory ends it is *probed* with a small ask; the first instance that registers
//! closes the drought. While it lasts, jobs are placed on the environments that follow in the queue's order.

use crate::ids::EnvironmentIndex;
use crate::observation::{InstancesNow, Seen};
use crate::planner::Inputs;
use crate::planner::memory::{EnvironmentMemory, Supply};
use crate::planner::plan::{Because, Plan, Subject};
use crate::setup::EnvironmentSetup;
use crate::units::{Span, Time, Vcpus};

/// How long a refused launch is told of, where nothing has come since.
const REFUSAL_TOLD: Span = Span::from_minutes(60);

/// Updates every environment's supply and what of its promises is still believed.
pub(crate) fn judge(inputs: &Inputs<'_>, plan: &mut Plan) {
    for position in 0..inputs.setup.environments.len() {
        judge_one(inputs, EnvironmentIndex::at(position), plan);
    }
}

/// The ask that is allowed while an environment does not deliver: one instance or a tenth of maxvCpus.
pub(crate) fn probe_size(setup: &EnvironmentSetup, max_vcpus: Vcpus) -> Vcpus {
    setup.smallest.max(max_vcpus.scaled_up(1, 10))
}

/// Whether a launch failed more recently than one succeeded.
pub(crate) fn failed_last(instances: &InstancesNow) -> bool {
    instances
        .capacity_error
        .is_some_and(|error| instances.registered.is_none_or(|registered| error > registered))
}

fn judge_one(inputs: &Inputs<'_>, environment: EnvironmentIndex, plan: &mut Plan) {
    let position = environment.position();
    let (Some(setup), Some(levels), Some(instances)) = (
        inputs.setup.environments.get(position),
        inputs.observation.environments.get(position).and_then(Seen::value),
        inputs.observation.instances.get(position).and_then(Seen::value),
    ) else {
        return;
    };
    tell_refused(inputs, environment, instances, plan);
    let on_its_way = plan.environments[position].on_its_way;
    let mut memory = plan.scratch.environments[position];
    watch_arrivals(&mut memory, inputs.now, on_its_way, instances.there);
    judge_placing(inputs, environment, &mut memory, plan);

    let tempo = &inputs.setup.tempo;
    let late_after = setup.launch_expected + tempo.launch_grace;
    let patience = patience_with(inputs, environment).unwrap_or(late_after);
    let fails_at = memory.waiting.map(|(since, _)| {
        let error_seen = instances.capacity_error.is_some_and(|error| error >= since);
        since + if error_seen { patience } else { patience.max(late_after) }
    });
    let failed = fails_at.is_some_and(|at| at <= inputs.now);

    match memory.supply {
        Supply::Delivers => {
            if failed {
                enter_drought(&mut memory, inputs.now, tempo.drought_first, tempo.drought_most);
                plan.scratch.pools[position].turned_dry = true;
            }
        }
        Supply::Drought { until } => {
            if inputs.now >= until {
                memory.supply = Supply::Probing { since: inputs.now };
                memory.waiting = (!on_its_way.is_zero()).then_some((inputs.now, instances.there));
            }
        }
        Supply::Probing { since } => {
            if instances.registered.is_some_and(|registered| registered > since) {
                memory.supply = Supply::Delivers;
                memory.recovered_at = Some(inputs.now);
                plan.say(Subject::Environment(environment), Because::Recovered);
            } else if failed {
                enter_drought(&mut memory, inputs.now, tempo.drought_first, tempo.drought_most);
                plan.scratch.pools[position].turned_dry = true;
            }
        }
    }

    let pool = &mut plan.scratch.pools[position];
    match memory.supply {
        Supply::Delivers => {
            if let Some(at) = fails_at {
                plan.look_at(at);
            }
        }
        Supply::Drought { until } => {
            pool.on_its_way = Vcpus::ZERO;
            plan.say(Subject::Environment(environment), Because::Drought(until));
            plan.look_at(until);
        }
        Supply::Probing { .. } => {
            pool.on_its_way = pool.on_its_way.min(probe_size(setup, levels.max_vcpus));
            if let Some(at) = fails_at {
                plan.look_at(at);
            }
        }
    }
    plan.environments[position].on_its_way = plan.scratch.pools[position].on_its_way;
    plan.scratch.environments[position] = memory;
}

/// Says that EC2 refused a launch, for a while and as long as none has succeeded since.
fn tell_refused(inputs: &Inputs<'_>, environment: EnvironmentIndex, instances: &InstancesNow, plan: &mut Plan) {
    if let Some(refused) = instances.refused
        && instances.registered.is_none_or(|registered| refused.at > registered)
        && inputs.now < refused.at + REFUSAL_TOLD
    {
        let because = Because::LaunchRefused(refused.why, refused.at);
        plan.say(Subject::Environment(environment), because);
        plan.look_at(refused.at + REFUSAL_TOLD);
    }
}

/// Keeps the time since when capacity has been on its way without any arriving.
fn watch_arrivals(memory: &mut EnvironmentMemory, now: Time, on_its_way: Vcpus, there: Vcpus) {
    memory.waiting = match memory.waiting {
        _ if on_its_way.is_zero() => None,
        Some((since, before)) if there <= before => Some((since, there)),
        Some(_) | None => Some((now, there)),
    };
}

/// Room that stayed idle beside waiting jobs for too long is not counted on for a while.
fn judge_placing(inputs: &Inputs<'_>, environment: EnvironmentIndex, memory: &mut EnvironmentMemory, plan: &mut Plan) {
    let tempo = &inputs.setup.tempo;
    if memory
        .beside_since
        .is_some_and(|since| since + tempo.not_placed_after <= inputs.now)
    {
        memory.not_placed_until = Some(inputs.now + tempo.drought_most);
        memory.beside_since = None;
    }
    if memory.not_placed_until.is_some_and(|until| until <= inputs.now) {
        memory.not_placed_until = None;
    }
    if let Some(until) = memory.not_placed_until {
        plan.say(Subject::Environment(environment), Because::NotPlaced);
        plan.look_at(until);
    }
}

fn enter_drought(memory: &mut EnvironmentMemory, now: Time, first: Span, most: Span) {
    let fresh_start = memory.recovered_at.is_some_and(|at| now.since(at) > most);
    let length = if memory.drought.is_zero() || fresh_start {
        first
    } else {
        memory.drought
    };
    memory.supply = Supply::Drought { until: now + length };
    memory.drought = length.times(2).min(most);
}

/// How long the least patient queue with waiting jobs waits for this environment before it pays for another; none where nobody waits
/// that long for anything: then a refused launch may still be made good by another zone.
fn patience_with(inputs: &Inputs<'_>, environment: EnvironmentIndex) -> Option<Span> {
    let mut shortest: Option<Span> = None;
    for (queue, now) in inputs.setup.queues.iter().zip(&inputs.observation.queues) {
        if !queue.environments.contains(&environment) {
            continue;
        }
        let waiting = now.runnable.value().map_or(0, crate::observation::Tally::jobs);
        // Moving on costs such a queue nothing.
        if queue.patience.is_empty() && waiting > 0 {
            shortest = Some(Span::ZERO);
        }
        for pair in queue.patience.iter().filter(|pair| pair.jobs <= waiting) {
            shortest = Some(shortest.map_or(pair.after, |span| span.min(pair.after)));
        }
    }
    shortest
}
