//! What a daemon goes by, for whoever replays a day with it.

use std::sync::Arc;

use super::cloud::Cloud;
use super::driver::Driver;
use super::reload::{Keys, confine};
use crate::account::Topology;
use crate::input::Problem;
use crate::policy::Policy;
use crate::setup::{Compiled, compile};
use crate::units::{Time, Vcpus};

/// Policies and account as they were last taken together.
#[derive(Clone, Debug)]
pub struct InForce {
    /// What the operator wants.
    pub policy: Policy,
    /// The account, with the operator's own levels where the present ones are ours.
    pub topology: Topology,
    /// What must hold besides the policy before an environment is written to.
    pub keys: Keys,
}

impl InForce {
    /// Compiled as the daemon does it, with the schedules of this time.
    pub fn compile(&self, horizon: (Time, Time)) -> Result<Compiled, Vec<Problem>> {
        let mut compiled = compile(&self.policy, &self.topology, horizon)?;
        confine(&mut compiled, &self.topology, &self.keys);
        Ok(compiled)
    }
}

impl<C: Cloud> Driver<C> {
    /// Tells what is in force, if that has changed.
    pub(super) fn tell_in_force(&self, policy_is_new: bool) {
        let topology = own_levels(self);
        self.options.in_force.send_if_modified(|told| {
            let known = told.as_ref().is_some_and(|told| told.topology == topology);
            if known && !policy_is_new {
                return false;
            }
            *told = Some(Arc::new(InForce {
                policy: self.kit.policy.clone(),
                topology,
                keys: self.kit.keys.clone(),
            }));
            true
        });
    }
}

fn own_levels<C: Cloud>(driver: &Driver<C>) -> Topology {
    let mut topology = driver.kit.topology.clone();
    let setup = &driver.controller.setup().environments;
    let memory = &driver.controller.memory().environments;
    for (setup, memory) in setup.iter().zip(memory) {
        let mut all = topology.environments.iter_mut();
        if let Some(environment) = all.find(|environment| environment.name == setup.name) {
            environment.min_vcpus = setup.base;
            let max: Option<Vcpus> = memory.max_before;
            environment.max_vcpus = max.unwrap_or(environment.max_vcpus);
        }
    }
    topology
}
