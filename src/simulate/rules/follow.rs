//! `min-follows-demand`: every minute, minvCpus = jobs x a fixed size. The nearest prior art: czid-web's
//! `batch_autoscaling.py` (Chan Zuckerberg Initiative, 2019-2020).

use crate::control::Decide;
use crate::planner::Inputs;
use crate::planner::plan::Plan;
use crate::simulate::rules;
use crate::units::{Span, Time, Vcpus};

/// Sets only minvCpus, of each queue's first environment, to (RUNNABLE + STARTING + RUNNING jobs) x a fixed size.
#[derive(Clone, Debug)]
pub struct MinFollowsDemand {
    /// The fixed size of a job. The original has one for all; here it is the mean of the trace.
    pub job_vcpus: Vcpus,
    next: Option<Time>,
}

impl MinFollowsDemand {
    /// A rule for jobs of this size.
    pub const fn new(job_vcpus: Vcpus) -> Self {
        Self { job_vcpus, next: None }
    }
}

impl Decide for MinFollowsDemand {
    fn decide(&mut self, inputs: &Inputs<'_>, plan: &mut Plan) {
        if !rules::tick(&mut self.next, Span::from_minutes(1), inputs, plan) {
            return;
        }
        for (position, queue) in inputs.setup.queues.iter().enumerate() {
            let Some(&environment) = queue.environments.first() else {
                continue;
            };
            if let Some(levels) = rules::updatable(inputs.observation, environment) {
                let (jobs, _) = rules::demand(inputs.observation, position);
                rules::set_min(&levels, environment, self.job_vcpus.times(jobs), false, plan);
            }
        }
    }
}
