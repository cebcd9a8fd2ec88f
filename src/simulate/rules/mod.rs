//! Other people's rules, for comparison: what a tuner's users have today. They fill the same plan through the same trait, and
//! run through the same controller; the daemon cannot name them.

mod follow;
mod tracking;

pub use follow::MinFollowsDemand;
pub use tracking::TargetTracking;

use crate::ids::EnvironmentIndex;
use crate::observation::{EnvironmentNow, Observation, Seen, Tally};
use crate::planner::Inputs;
use crate::planner::plan::{Action, Because, Levels, Plan};
use crate::units::{Span, Time, Vcpus};

/// Opens an empty plan and returns whether the rule's next tick has come.
fn tick(next: &mut Option<Time>, every: Span, inputs: &Inputs<'_>, plan: &mut Plan) -> bool {
    plan.reset(inputs);
    let due = next.is_none_or(|next| next <= inputs.now);
    if due {
        *next = Some(inputs.now + every);
    }
    if let Some(next) = *next {
        plan.look_at(next);
    }
    due
}

/// What a queue's jobs need in jobs and vCPUs, as far as seen: RUNNABLE, STARTING and RUNNING.
fn demand(observation: &Observation, queue: usize) -> (i64, Vcpus) {
    let Some(now) = observation.queues.get(queue) else {
        return (0, Vcpus::ZERO);
    };
    let parts = [now.runnable.value(), now.placed.value()];
    let jobs = parts
        .iter()
        .flatten()
        .map(|tally| tally.jobs())
        .fold(0, i64::saturating_add);
    (jobs, parts.iter().flatten().map(|tally| Tally::vcpus(tally)).sum())
}

/// The levels of an environment that can be updated now.
fn updatable(observation: &Observation, environment: EnvironmentIndex) -> Option<EnvironmentNow> {
    let now = observation
        .environments
        .get(environment.position())
        .and_then(Seen::value)?;
    (!now.updating && now.valid).then_some(*now)
}

/// Plans a new minvCpus, if it is another.
fn set_min(now: &EnvironmentNow, environment: EnvironmentIndex, min: Vcpus, kick: bool, plan: &mut Plan) {
    let min = min.min(now.max_vcpus);
    let from = Levels {
        min_vcpus: now.min_vcpus,
        desired_vcpus: now.desired_vcpus,
        max_vcpus: now.max_vcpus,
    };
    if min != now.min_vcpus {
        let desired = if kick && min > now.min_vcpus {
            min.max(now.desired_vcpus)
        } else {
            now.desired_vcpus
        };
        let to = Levels {
            min_vcpus: min,
            desired_vcpus: desired,
            max_vcpus: now.max_vcpus,
        };
        plan.actions
            .push(Action::new(environment, from, to, Because::Waiting(min)));
    }
}
