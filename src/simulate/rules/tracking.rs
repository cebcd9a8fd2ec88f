//! `target-tracking`: what users of general autoscalers have: a poll every 60 s, out at once, in after a cooldown of 300 s
//! (KEDA's defaults are 30 s and 300 s; Application Auto Scaling's metrics come once a minute).

use crate::control::Decide;
use crate::observation::Observation;
use crate::planner::memory::Memory;
use crate::planner::plan::Plan;
use crate::setup::Setup;
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
    fn decide(&mut self, setup: &Setup, observation: &Observation, _: &Memory, now: Time, plan: &mut Plan) {
        if !rules::tick(&mut self.next, POLL, observation, now, setup, plan) {
            return;
        }
        self.held.resize(setup.queues.len(), (Vcpus::ZERO, None));
        for (position, (queue, held)) in setup.queues.iter().zip(&mut self.held).enumerate() {
            let (_, wanted) = rules::demand(observation, position);
            if wanted >= held.0 || held.1.is_none_or(|seen| seen + COOLDOWN <= now) {
                *held = (wanted, Some(now));
            }
            if let Some(&environment) = queue.environments.first()
                && let Some(levels) = rules::updatable(observation, environment)
            {
                rules::set_min(&levels, environment, held.0, true, plan);
            }
        }
    }
}
