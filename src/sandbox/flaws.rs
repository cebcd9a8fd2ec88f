//! What is wrong with the account on purpose, so that `autotune check` has something to find. Without a flaw nothing is.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// A flaw of the whole account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flaw {
    /// Launch templates leave the root volume as the image has it, 30 GiB.
    SmallVolume,
    /// Launch templates add a volume at the device of Amazon Linux 1 instead of growing the root volume.
    WrongDevice,
    /// The role of the instances trusts another service than EC2.
    WrongTrust,
    /// The instance profile is not there; a role of its name is.
    NoProfile,
    /// The guard's role is not there.
    NoGuardRole,
    /// Subnets have no route to anywhere.
    NoWayOut,
    /// Subnets have two free addresses each.
    FewAddresses,
    /// No zone of the subnets offers any type.
    NotOffered,
    /// The rule that hands events over is DISABLED, and hands over none.
    NoEvents,
}

/// The flaws that there are.
#[derive(Clone, Debug, Default)]
pub(super) struct Flaws(BTreeSet<Flaw>);

impl Flaws {
    pub(super) fn add(&mut self, flaw: Flaw) {
        self.0.insert(flaw);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn list(&self) -> Vec<Flaw> {
        self.0.iter().copied().collect()
    }

    pub(super) fn has(&self, flaw: Flaw) -> bool {
        self.0.contains(&flaw)
    }
}
