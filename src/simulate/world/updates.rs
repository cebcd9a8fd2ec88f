//! UpdateComputeEnvironment as a scaling update: what is refused, with the service's words, and what follows when it is not.

use std::fmt;

use super::World;
use super::events::What;
use crate::account::Platform;
use crate::control::Outcome;
use crate::ids::EnvironmentIndex;
use crate::simulate::draws::{Cause, draw};
use crate::units::Vcpus;

/// A scaling update: what is named changes, the rest stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// New minvCpus.
    pub min: Option<Vcpus>,
    /// New desiredvCpus; never below the present one.
    pub desired: Option<Vcpus>,
    /// New maxvCpus.
    pub max: Option<Vcpus>,
}

/// Why an update was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// Nothing was named.
    Empty,
    /// The environment is UPDATING.
    BeingModified,
    /// desiredvCpus would fall.
    Lowering,
    /// desiredvCpus would lie outside minvCpus and maxvCpus.
    DesiredOutOfRange,
    /// maxvCpus would lie below minvCpus.
    MaxBelowMin,
    /// This kind of environment has no such parameter.
    NotApplicable,
}

/// A ClientException.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub kind: RefusalKind,
}

impl Refusal {
    /// The message of the service.
    pub const fn text(self) -> &'static str {
        match self.kind {
            RefusalKind::Empty => "At least one compute-resources attribute must be specified",
            RefusalKind::BeingModified => "Cannot update, resource is being modified.",
            RefusalKind::Lowering => {
                "Manually scaling down compute environment is not supported. Disconnecting job queues from compute \
                 environment will cause it to scale-down to minvCpus"
            }
            RefusalKind::DesiredOutOfRange => "desiredvCpus should be between minvCpus and maxvCpus.",
            RefusalKind::MaxBelowMin => "maxvCpus should be greater than or equal to minvCpus.",
            RefusalKind::NotApplicable => "minvCpus is not applicable for Fargate",
        }
    }

    /// What it means for the controller, as the daemon classifies the texts of the service.
    pub const fn outcome(self) -> Outcome {
        match self.kind {
            RefusalKind::BeingModified | RefusalKind::Lowering => Outcome::Raced,
            RefusalKind::DesiredOutOfRange | RefusalKind::MaxBelowMin => Outcome::Overshoot,
            RefusalKind::Empty | RefusalKind::NotApplicable => Outcome::Failed,
        }
    }

    /// Whether the text was seen from the service for this case. The range errors were measured when an environment is
    /// created; the others are quoted by people who met them, except `being modified`, which is known of job queues only.
    pub const fn is_verified(self) -> bool {
        match self.kind {
            RefusalKind::Lowering | RefusalKind::Empty | RefusalKind::NotApplicable => true,
            RefusalKind::BeingModified | RefusalKind::DesiredOutOfRange | RefusalKind::MaxBelowMin => false,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for Refusal {}

impl World<'_> {
    /// One UpdateComputeEnvironment, taking effect now. Refused as AWS Batch would; an accepted one keeps the environment
    /// UPDATING for a while.
    pub fn update_compute_environment(
        &mut self,
        environment: EnvironmentIndex,
        change: &Change,
    ) -> Result<(), Refusal> {
        let refusal = self.refusal(environment, change);
        let place = self.environment_mut(environment);
        if let Some(kind) = refusal {
            place.totals.refusals += 1;
            return Err(Refusal { kind });
        }
        place.totals.updates += 1;
        place.updates += 1;
        let before = place.min;
        place.min = change.min.unwrap_or(place.min);
        place.max = change.max.unwrap_or(place.max);
        place.desired = change.desired.unwrap_or(place.desired);
        let (raised, fallen, desired) = (place.min > before, place.min < before, place.desired);
        let (key, ordinal) = (place.key, place.updates);
        if change.desired.is_some() {
            self.launch_up_to(environment, desired);
        }
        if raised {
            self.plan_min_answer(environment);
        }
        if fallen {
            self.min_fell(environment);
        }
        let updating = self.model.updating.at(draw(self.seed, Cause::Updating, key, ordinal));
        if !updating.is_zero() {
            self.environment_mut(environment).updating = true;
            self.events.plan(self.now + updating, What::Updated(environment));
        }
        self.unsettled = true;
        self.capacity_changed = true;
        self.room_grew();
        self.generations.environments += 1;
        self.happen();
        self.show();
        Ok(())
    }

    fn refusal(&self, environment: EnvironmentIndex, change: &Change) -> Option<RefusalKind> {
        let place = &self.environments[environment.position()];
        let steers_instances = change.min.is_some() || change.desired.is_some();
        match place.platform {
            Platform::Fargate | Platform::ManagedInstances | Platform::Unmanaged if steers_instances => {
                return Some(RefusalKind::NotApplicable);
            }
            Platform::Eks if change.desired.is_some() => return Some(RefusalKind::NotApplicable),
            Platform::Ec2 | Platform::Eks | Platform::Fargate | Platform::ManagedInstances | Platform::Unmanaged => {}
        }
        if *change == Change::default() {
            return Some(RefusalKind::Empty);
        }
        if place.updating {
            return Some(RefusalKind::BeingModified);
        }
        let min = change.min.unwrap_or(place.min);
        let max = change.max.unwrap_or(place.max);
        if max < min {
            return Some(RefusalKind::MaxBelowMin);
        }
        // Lowering minvCpus alone cannot make anything worse and is taken to be accepted even while desiredvCpus exceeds
        // maxvCpus by an instance; whether it is has not been tried.
        let checks_max = change.max.is_some() || min > place.min;
        match change.desired {
            Some(desired) if desired < place.desired => Some(RefusalKind::Lowering),
            Some(desired) if desired < min || desired > max => Some(RefusalKind::DesiredOutOfRange),
            None if checks_max && place.desired > max && !self.model.accepts_max_below_desired => {
                Some(RefusalKind::DesiredOutOfRange)
            }
            None if place.desired < min && !self.model.accepts_min_above_desired => {
                Some(RefusalKind::DesiredOutOfRange)
            }
            Some(_) | None => None,
        }
    }

    /// Capacity that only minvCpus held may go now; launches that have not succeeded may be given up.
    fn min_fell(&mut self, environment: EnvironmentIndex) {
        if !self.model.keeps_unfulfilled_when_min_falls {
            self.cancel_orders_of_updates(environment);
        }
        if self.model.ends_unused_at_once {
            self.release_unused(environment);
        }
        self.release_held(environment);
    }

    /// A scaling update is done.
    pub(super) fn updated(&mut self, environment: EnvironmentIndex) {
        self.environment_mut(environment).updating = false;
        self.unsettled = true;
        self.generations.environments += 1;
    }
}
