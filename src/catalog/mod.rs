//! Instance types: vCPUs, memory, GPUs and list prices, from a dated table in the tree.
//!
//! `instance-types.csv` says where each column comes from in its header. Prices are examples for comparisons, not a bill:
//! On-Demand is the list price in us-east-1, Spot is On-Demand less the saving that the Spot advisor published.
//!
//! A *type* is `m6i.4xlarge`, its *family* is `m6i`, and a *specification* is what `instanceTypes` of a compute environment
//! holds: types, families and the words `optimal`, `default_x86_64` and `default_arm64`.

mod expand;
mod quota;
mod registered;
mod table;

use serde::{Deserialize, Serialize};

pub use expand::UnknownType;
pub use quota::quota_code;
pub use registered::{DEFAULT_SHARE_PERMILLE, RESERVED_FOR_AGENT, registered};
pub use table::{Catalog, PRICES_OF, TableError};

use crate::units::{Mebibytes, MicroUsd, Vcpus};

/// What a job asks for, or what an instance has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Resources {
    /// vCPUs.
    pub vcpus: Vcpus,
    /// Memory in MiB.
    pub memory: Mebibytes,
    /// Whole GPUs.
    pub gpus: u32,
}

impl Resources {
    /// Whether all of `other` fits into this.
    pub const fn hold(&self, other: &Self) -> bool {
        self.vcpus.get() >= other.vcpus.get() && self.memory.get() >= other.memory.get() && self.gpus >= other.gpus
    }

    /// What is left after taking `other`; never negative.
    pub const fn less(&self, other: &Self) -> Self {
        Self {
            vcpus: self.vcpus.minus_or_zero(other.vcpus),
            memory: self.memory.minus_or_zero(other.memory),
            gpus: self.gpus.saturating_sub(other.gpus),
        }
    }

    /// Both together.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            vcpus: self.vcpus + other.vcpus,
            memory: self.memory + other.memory,
            gpus: self.gpus.saturating_add(other.gpus),
        }
    }

    /// How many of `other` fit side by side; `i64::MAX` if `other` asks for nothing.
    pub fn slots(&self, other: &Self) -> i64 {
        let ratio = |have: i64, ask: i64| if ask <= 0 { i64::MAX } else { have / ask };
        ratio(self.vcpus.get(), other.vcpus.get())
            .min(ratio(self.memory.get(), other.memory.get()))
            .min(ratio(i64::from(self.gpus), i64::from(other.gpus)))
    }
}

/// Processor architecture; one compute environment has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// x86-64.
    Amd64,
    /// 64-bit ARM (Graviton).
    Arm64,
}

/// How an instance is bought. AWS Batch calls the environment types `EC2` and `SPOT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Purchase {
    /// Type `EC2`: On-Demand.
    OnDemand,
    /// Type `SPOT`.
    Spot,
}

/// One EC2 instance type.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceType {
    /// For example `m6i.4xlarge`.
    pub name: String,
    /// Nominal resources, before what the operating system and the ECS agent keep.
    pub nominal: Resources,
    /// Processor architecture.
    pub architecture: Architecture,
    /// List price per hour, On-Demand, Linux, us-east-1.
    pub on_demand_per_hour: MicroUsd,
    /// Price per hour on Spot: list price less the published average saving; `None` where none was published.
    pub spot_per_hour: Option<MicroUsd>,
    /// The Spot advisor's band of interruptions per month, 0 (under 5 %) to 4 (over 20 %).
    pub interruption_band: Option<u8>,
}

impl InstanceType {
    /// The part before the dot: `m6i` of `m6i.4xlarge`.
    pub fn family(&self) -> &str {
        self.name.split('.').next().unwrap_or(&self.name)
    }

    /// The price per hour for a way of buying. Spot without a published saving costs as much as On-Demand.
    pub fn price_per_hour(&self, purchase: Purchase) -> MicroUsd {
        match purchase {
            Purchase::OnDemand => self.on_demand_per_hour,
            Purchase::Spot => self.spot_per_hour.unwrap_or(self.on_demand_per_hour),
        }
    }
}
