//! What a person orders for a while, against or beside the policy. Always with an end; people win.
//!
//! An environment's own override goes before those of its queues. Of two for the same subject the newer holds.

use serde::{Deserialize, Serialize};

use crate::units::{Time, Vcpus};

/// One order of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// What is ordered.
    pub order: Order,
    /// When it was given.
    pub since: Time,
    /// When it ends.
    pub until: Time,
}

/// What a person can order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Nothing is asked for and nothing is given back; what stands is kept, and its lease renewed.
    Pause,
    /// At least this much is held, used and idle together, as far as limits allow.
    Boost(Vcpus),
    /// Nothing is asked for, and what was raised goes back to base at once (environment) or as it is no longer used (queue).
    Drain,
}

impl Override {
    /// The order, while it is in force.
    pub fn at(&self, now: Time) -> Option<Order> {
        (self.since <= now && now < self.until).then_some(self.order)
    }

    /// Of two overrides for the same subject, the one that holds.
    pub fn newer(self, other: Self) -> Self {
        if other.since >= self.since { other } else { self }
    }
}
