//! `target-tracking`: what users of general autoscalers have: a poll every 60 s, out at once, in after a cooldown of 300 s
//! (KEDA's defaults are 30 s and 300 s; Application Auto Scaling's metrics come once a minute).

use crate::control::Decide;
use crate::planner::Inputs;
use crate::planner::plan::Plan;
use crate::simulate::rules;
use crate::units::{Span, Time, Vcpus};

/// Holds minvCpus and desiredvCpus of each queue's first environment at the vCPUs of its jobs.
#[derive(Clone, Debug, Default)]
pub struct TargetTracking {
    next: Option<Time>,
    /// Per queue: the highest demand within the cooldown and when it was seen.
    held: Vec<(Vcpus, Option<Time>)>,
}

const POLL: Span = Span::from_seconds(60);
const COOLDOWN: Span = Span::from_seconds(300);

impl Decide for TargetTracking {
    fn decide(&mut self, inputs: &Inputs<'_>, plan: &mut Plan) {
        if !rules::tick(&mut self.next, POLL, inputs, plan) {
            return;
        }
        self.held.resize(inputs.setup.queues.len(), (Vcpus::ZERO, None));
        for (position, (queue, held)) in inputs.setup.queues.iter().zip(&mut self.held).enumerate() {
            let (_, wanted) = rules::demand(inputs.observation, position);
            if wanted >= held.0 || held.1.is_none_or(|seen| seen + COOLDOWN <= inputs.now) {
                *held = (wanted, Some(inputs.now));
            }
            if let Some(&environment) = queue.environments.first()
                && let Some(levels) = rules::updatable(inputs.observation, environment)
            {
                rules::set_min(&levels, environment, held.0, true, plan);
            }
        }
    }
}
