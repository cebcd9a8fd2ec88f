//! What one look at an account comes to: the plan now and, where it only waits for a moment, what follows if nothing changes.

use serde::Serialize;

use super::Looked;
use crate::planner::plan::{Action, Plan, QuotaPlan, Reason};
use crate::planner::{self, Inputs};
use crate::units::{Span, Time};

/// How far ahead an unchanged world is thought on: longer than Batch may act first, shorter than people would wait.
const AHEAD: Span = Span::from_minutes(5);
/// At most this many plans.
const STEPS: usize = 8;

/// One plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// When.
    pub at: Time,
    /// What would be sent.
    pub actions: Vec<Action>,
    /// Why.
    pub reasons: Vec<Reason>,
    /// The ledger of service quotas.
    pub quotas: Vec<QuotaPlan>,
}

/// The plan at the time of the look, and those that an unchanged world leads to, up to the first that acts.
pub fn outlook(looked: &Looked) -> Vec<Step> {
    let mut observation = looked.observation.clone();
    let mut memory = looked.memory.clone();
    // Nobody has just started: what a daemon that has been there all day would do.
    memory.started = looked.at - Span::from_minutes(24 * 60);
    let mut plan = Plan::default();
    let mut at = looked.at;
    let mut steps: Vec<Step> = Vec::new();
    while steps.len() < STEPS && at <= looked.at + AHEAD {
        planner::plan(
            &Inputs {
                setup: &looked.setup,
                observation: &observation,
                memory: &memory,
                forecast: &looked.forecast,
                now: at,
            },
            &mut plan,
        );
        memory.fold(&plan.notes);
        let step = Step {
            at,
            actions: plan.actions.clone(),
            reasons: plan.reasons.clone(),
            quotas: plan.quotas.clone(),
        };
        let acts = !step.actions.is_empty();
        // Plans that only say again what the first said are left out.
        if acts || steps.is_empty() {
            steps.push(step);
        }
        if acts {
            break;
        }
        at = plan.look_again_at;
        observation.refresh(at);
    }
    steps
}
