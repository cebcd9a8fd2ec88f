//! The decision: what every compute environment should hold, and why.
//!
//! [`plan()`] is a total, pure function: no I/O, no clock, no randomness, no logging. The same input gives the same plan, byte
//! for byte, on every platform. Its steps are the files of this room, in this order: `sight` (what may be believed),
//! `supply` (which environments deliver), `demand` (who needs how much), `placement` (from idle room, from what is on
//! its way, from new capacity) under the ledger of `limits`, `maxima` (how far Batch may go by itself), and `damping` (what is worth
//! an update now).
//!
//! **Quiescence law**: with an unchanged observation generation and folded notes, `plan` yields no action at any time before
//! `plan.look_again_at`. Every timer therefore goes through [`plan::Plan::look_at`].

mod damping;
mod demand;
mod limits;
mod maxima;
pub mod memory;
mod placement;
pub mod plan;
mod scratch;
mod sight;
mod supply;

use crate::forecast::Forecast;
use crate::ids::{EnvironmentIndex, QueueIndex};
use crate::observation::Observation;
use crate::planner::memory::Memory;
use crate::planner::plan::{Note, Plan};
use crate::setup::Setup;
use crate::units::{Span, Time};

/// How long after an answered update a reading may still show what was before. Undocumented; seconds in practice.
pub(crate) const SHOWN_AFTER: Span = Span::from_minutes(2);

/// Everything that a decision rests on.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// What the operator wants.
    pub setup: &'a Setup,
    /// What is seen.
    pub observation: &'a Observation,
    /// What is remembered.
    pub memory: &'a Memory,
    /// What is foreseen.
    pub forecast: &'a Forecast,
    /// When it is decided.
    pub now: Time,
}

/// Decides. `plan` is overwritten; its buffers are reused.
pub fn plan(inputs: &Inputs<'_>, plan: &mut Plan) {
    plan.reset(inputs);
    recall(inputs, plan);
    sight::look(inputs, plan);
    supply::judge(inputs, plan);
    limits::open(inputs, plan);
    demand::open(inputs, plan);
    for &queue in &inputs.setup.serve_order {
        demand::of_queue(inputs, queue, plan);
        placement::serve(inputs, queue, plan);
    }
    for &queue in &inputs.setup.serve_order {
        demand::idle_wanted(inputs, queue, plan);
        if !plan.scratch.rows.is_empty() {
            placement::serve(inputs, queue, plan);
        }
    }
    for position in 0..inputs.setup.environments.len() {
        placement::boost(inputs, EnvironmentIndex::at(position), plan);
    }
    maxima::share_out(inputs, plan);
    damping::act(inputs, plan);
    note(inputs, plan);
}

/// Copies memory to where the steps may change it.
fn recall(inputs: &Inputs<'_>, plan: &mut Plan) {
    let scratch = &mut plan.scratch;
    scratch.environments.clear();
    scratch.environments.extend_from_slice(&inputs.memory.environments);
    scratch
        .environments
        .resize(inputs.setup.environments.len(), memory::EnvironmentMemory::default());
    scratch.queues.clear();
    scratch.queues.extend_from_slice(&inputs.memory.queues);
    scratch
        .queues
        .resize(inputs.setup.queues.len(), memory::QueueMemory::default());
}

/// Writes down what changed in memory.
fn note(inputs: &Inputs<'_>, plan: &mut Plan) {
    for (position, after) in plan.scratch.environments.iter().enumerate() {
        if inputs.memory.environments.get(position) != Some(after) {
            plan.notes
                .push(Note::Environment(EnvironmentIndex::at(position), *after));
        }
    }
    for (position, after) in plan.scratch.queues.iter().enumerate() {
        if inputs.memory.queues.get(position) != Some(after) {
            plan.notes.push(Note::Queue(QueueIndex::at(position), *after));
        }
    }
}

#[cfg(test)]
mod choices;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod quota_laws;
#[cfg(test)]
pub(crate) mod worlds;
