//! Every Prometheus family, once, with its unit, help and stability.

use crate::control::Outcome;
use crate::observation::Observation;
use crate::planner::plan::Plan;
use crate::setup::Setup;
use crate::units::Time;

/// All metrics of the daemon.
#[derive(Debug, Default)]
pub struct Metrics {}

impl Metrics {
    /// A plan was made, in `took` seconds.
    pub fn planned(&self, setup: &Setup, observation: &Observation, plan: &Plan, now: Time, took: f64) {
        let _ = (setup, observation, plan, now, took);
    }

    /// An update of an environment was answered.
    pub fn ended(&self, environment: &str, outcome: Outcome) {
        let _ = (environment, outcome);
    }

    /// Hints of a kind arrived.
    pub fn hinted(&self, kind: &str, count: u64) {
        let _ = (kind, count);
    }

    /// Policies were read again: taken or refused.
    pub fn reloaded(&self, ok: bool) {
        let _ = ok;
    }

    /// Whether this process may write.
    pub fn leads(&self, leads: bool) {
        let _ = leads;
    }

    /// A job waited: `wait` from RUNNABLE to STARTING, `start_latency` from its submission to RUNNING.
    pub fn waited(&self, queue: &str, seconds: f64, kind: &str) {
        let _ = (queue, seconds, kind);
    }
}
