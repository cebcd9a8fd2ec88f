//! Scenario files: the account, its environments and queues, and the model of AWS Batch that a trace is replayed on.

mod problems;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::distribution::Distribution;
use super::model::{BatchModel, Lasting, Overrides};
use crate::account::{ComputeEnvironment, JobQueue, OfferedType, Platform, Topology};
use crate::catalog::{self, Catalog, InstanceType, Purchase, Resources, UnknownType};
use crate::input::values::{QuotaCode, Readable as _};
use crate::input::{self, Document, Problem, read_toml_and_check};
use crate::units::{Mebibytes, MicroUsd, Vcpus};

/// Everything a replay needs to know besides the jobs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Version of this format: 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// Which model of AWS Batch: `recent` (the default) or `folk-2020`.
    #[serde(default = "default_model")]
    #[schemars(extend("enum" = BatchModel::NAMES))]
    pub model: String,
    /// Parameters of the model that differ here.
    #[serde(default)]
    pub model_overrides: Overrides,
    /// Limits and prices of the account.
    #[serde(default)]
    pub account: Account,
    /// Compute environments.
    pub environments: Vec<EnvironmentSpec>,
    /// Job queues. Jobs whose recorded queue has no namesake here go where `--queue` says, or to the first.
    pub queues: Vec<QueueSpec>,
    /// Times without capacity.
    #[serde(default)]
    pub droughts: Vec<DroughtSpec>,
    /// Droughts drawn from the seed, the same for every policy.
    #[serde(default)]
    pub random_droughts: Option<RandomDroughts>,
    /// The jobs' retry strategy.
    #[serde(default)]
    pub retries: Retries,
}

/// The scenarios that come with the program: name and text.
pub const SHIPPED: [(&str, &str); 5] = [
    (
        "on-demand-500",
        include_str!("../../../policies/scenarios/on-demand-500.toml"),
    ),
    ("spot-128", include_str!("../../../policies/scenarios/spot-128.toml")),
    (
        "two-queues",
        include_str!("../../../policies/scenarios/two-queues.toml"),
    ),
    (
        "demo-account",
        include_str!("../../../policies/scenarios/demo-account.toml"),
    ),
    ("folk-2020", include_str!("../../../policies/scenarios/folk-2020.toml")),
];

/// Limits and prices of the account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Account {
    /// EC2 service quotas. An environment whose quota is not listed has none.
    pub quotas: Vec<QuotaSpec>,
    /// What is paid, in percent of the list price, for On-Demand (default 100): a discount or a Savings Plan.
    pub on_demand_price_percent: Option<u32>,
    /// The same for Spot (default 100).
    pub spot_price_percent: Option<u32>,
}

/// An EC2 service quota on vCPUs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuotaSpec {
    /// Its code, for example `L-1216C47A` (On-Demand standard) or `L-34B43A08` (Spot standard).
    #[schemars(extend("format" = QuotaCode::FORMAT))]
    pub code: String,
    /// The applied limit in vCPUs.
    pub limit_vcpus: u32,
    /// vCPUs that run in the account outside these environments.
    #[serde(default)]
    pub used_by_others_vcpus: u32,
}

/// A compute environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentSpec {
    /// Its name.
    pub name: String,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// `ec2` (the default), `eks`, `fargate`, `managed_instances` or `unmanaged`.
    #[serde(default = "default_platform")]
    pub platform: Platform,
    /// `on_demand` (the default) or `spot`.
    #[serde(default = "default_purchase")]
    pub purchase: Purchase,
    /// minvCpus at the start.
    #[serde(default)]
    pub min_vcpus: u32,
    /// maxvCpus.
    pub max_vcpus: u32,
    /// `instanceTypes`: types, families, `optimal`, `default_x86_64` or `default_arm64`. Empty: `optimal`.
    #[serde(default)]
    pub instance_types: Vec<String>,
    /// In how many Availability Zones it has subnets (default 3).
    #[serde(default = "default_zones")]
    #[schemars(range(min = 1, max = 255))]
    pub zones: u8,
    /// `minScaleDownDelayMinutes` as a span, `20m` to `168h`; `0s` (the default): unset.
    #[serde(default)]
    pub scale_down_delay: Lasting,
    /// The allocation strategy.
    #[serde(default)]
    pub allocation: Allocation,
    /// From running to registered in this environment, instead of the model's. It belongs to image and launch template.
    #[serde(default)]
    pub boot: Option<Distribution>,
    /// State ENABLED (the default) or DISABLED.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Status VALID (the default) or INVALID.
    #[serde(default = "yes")]
    pub valid: bool,
    /// For `unmanaged`: the instances that are always there. They are not billed.
    #[serde(default)]
    pub own_instances: Vec<OwnInstances>,
}

/// Instances alike that are there from the start to the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnInstances {
    /// How many.
    #[schemars(range(min = 1))]
    pub count: u32,
    /// vCPUs of each.
    #[schemars(range(min = 1))]
    pub vcpus: u32,
    /// Memory of each in MiB; without: more than any job asks for.
    #[serde(default)]
    pub memory_mib: Option<u32>,
    /// GPUs of each; without: more than any job asks for.
    #[serde(default)]
    pub gpus: Option<u32>,
}

/// How Batch chooses among instance types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Allocation {
    /// The best fitting type only, and patience when it is short.
    BestFit,
    /// The cheapest first, then others.
    #[default]
    BestFitProgressive,
    /// The order of `instance_types`, then others.
    BestFitProgressiveOrdered,
    /// The least interrupted first, then others.
    SpotCapacityOptimized,
    /// Least interrupted and cheap.
    SpotPriceCapacityOptimized,
    /// Like capacity optimised, with the order of `instance_types` as best effort.
    SpotCapacityOptimizedPrioritized,
}

/// A job queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueSpec {
    /// Its name.
    pub name: String,
    /// Evaluated first: highest.
    #[serde(default = "default_priority")]
    pub priority: i32,
    /// Names of its compute environments, in `computeEnvironmentOrder`.
    pub environments: Vec<String>,
    /// Fair-share `computeReservation`: percent of maxvCpus kept unused, to the power of `active_shares`. 0: first in, first out.
    #[serde(default)]
    #[schemars(range(min = 0, max = 99))]
    pub reservation_percent: u8,
    /// Active share identifiers, as a fixed number: traces do not record them (default 1).
    #[serde(default = "one")]
    pub active_shares: u32,
}

/// A time during which launches fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DroughtSpec {
    /// The environment that it hits.
    pub environment: String,
    /// Only this instance type; without: all of the environment's.
    #[serde(default)]
    pub instance_type: Option<String>,
    /// Only this zone, counted from 0; without: all.
    #[serde(default)]
    pub zone: Option<u8>,
    /// When it begins, after the first submission.
    pub start: Lasting,
    /// How long it lasts.
    pub length: Lasting,
}

/// Droughts drawn from the seed for each Spot pool (instance type in a zone) apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomDroughts {
    /// Mean time between the end of one and the start of the next.
    pub mean_between: Lasting,
    /// Mean length.
    pub mean_length: Lasting,
}

/// The jobs' retry strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retries {
    /// Attempts in all, 1 to 10, counted when a Spot interruption ends a job (Batch's own default: 1).
    #[schemars(range(min = 1, max = 10))]
    pub attempts: u8,
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: 1 }
    }
}

fn default_model() -> String {
    "recent".to_owned()
}
const fn default_platform() -> Platform {
    Platform::Ec2
}
const fn default_purchase() -> Purchase {
    Purchase::OnDemand
}
const fn default_zones() -> u8 {
    3
}
const fn default_priority() -> i32 {
    1
}
const fn yes() -> bool {
    true
}
const fn one() -> u32 {
    1
}

impl Scenario {
    /// Reads a scenario text. Fails with every problem of it; `name` is what problems call it.
    pub fn from_toml(name: &str, text: &str) -> Result<Self, Vec<Problem>> {
        Self::document(name, text).map(|document| document.value)
    }

    /// Reads a scenario file, or a shipped scenario by its name where no such path exists. Fails with every problem of it.
    pub fn load(path: &Path) -> Result<Self, Vec<Problem>> {
        Self::load_document(path).map(|document| document.value)
    }

    /// As [`Scenario::load`], with where each key stands.
    pub fn load_document(path: &Path) -> Result<Document<Self>, Vec<Problem>> {
        if let Some((name, text)) = Self::shipped(path) {
            return Self::document(name, text);
        }
        let text = input::read_text(path, "a scenario file", &SHIPPED)?;
        Self::document(&path.display().to_string(), &text)
    }

    /// Name and text of a shipped scenario, where no such path exists.
    pub fn shipped(path: &Path) -> Option<&'static (&'static str, &'static str)> {
        let named = || SHIPPED.iter().find(|(name, _)| path.as_os_str() == *name);
        if path.exists() { None } else { named() }
    }

    fn document(name: &str, text: &str) -> Result<Document<Self>, Vec<Problem>> {
        read_toml_and_check(name, text, |document: &Document<Self>| {
            let tell = |key: &str, found: String, expected: String| document.problem(key, found, expected);
            problems::of(&document.value, &tell)
        })
    }

    /// The scenario with every parameter of its model among the overrides: the same replay, with no number left unsaid.
    pub fn with_all_parameters(&self) -> Self {
        Self {
            model_overrides: self.batch_model().into_overrides(),
            ..self.clone()
        }
    }

    /// Everything that contradicts itself, for scenarios that were not read from a file.
    pub fn problems(&self) -> Vec<Problem> {
        let tell = |key: &str, found: String, expected: String| Problem {
            key: key.to_owned(),
            ..Problem::of_file("scenario", found, expected)
        };
        problems::of(self, &tell)
    }

    /// One pool of this many vCPUs that never changes: no launches, no billing, no delays.
    pub fn fixed(vcpus: Vcpus) -> Self {
        let count = u32::try_from(vcpus.get()).unwrap_or(u32::MAX);
        let pool = OwnInstances {
            count: 1,
            vcpus: count,
            memory_mib: None,
            gpus: None,
        };
        Self {
            version: 1,
            model: "instant".to_owned(),
            model_overrides: Overrides::default(),
            account: Account::default(),
            environments: vec![EnvironmentSpec {
                platform: Platform::Unmanaged,
                max_vcpus: count,
                own_instances: vec![pool],
                ..EnvironmentSpec::named("fixed")
            }],
            queues: vec![QueueSpec::over("fixed", &["fixed"])],
            droughts: Vec::new(),
            random_droughts: None,
            retries: Retries::default(),
        }
    }

    /// The model with this scenario's overrides; `recent` if the name is unknown, which [`Scenario::problems`] reports.
    pub fn batch_model(&self) -> BatchModel {
        let named = match self.model.as_str() {
            "instant" => Some(BatchModel::instant()),
            name => BatchModel::named(name),
        };
        named.unwrap_or_else(BatchModel::recent).with(&self.model_overrides)
    }

    /// The account as AWS Batch would describe it at the start.
    pub fn topology(&self) -> Topology {
        let describe = |environment: &EnvironmentSpec| ComputeEnvironment {
            name: environment.name.clone(),
            tags: environment.tags.clone(),
            platform: environment.platform,
            purchase: environment.purchase,
            min_vcpus: Vcpus::new(i64::from(environment.min_vcpus)),
            max_vcpus: Vcpus::new(i64::from(environment.max_vcpus)),
            types: self.topology_types(environment),
        };
        let queue = |queue: &QueueSpec| JobQueue {
            name: queue.name.clone(),
            priority: queue.priority,
            environments: queue.environments.clone(),
            fair_share: queue.reservation_percent > 0,
        };
        Topology {
            environments: self.environments.iter().map(describe).collect(),
            queues: self.queues.iter().map(queue).collect(),
        }
    }

    /// What the account pays for a type, per hour.
    pub(crate) fn price(&self, instance_type: &InstanceType, purchase: Purchase) -> MicroUsd {
        let percent = match purchase {
            Purchase::OnDemand => self.account.on_demand_price_percent,
            Purchase::Spot => self.account.spot_price_percent,
        };
        let percent = i64::from(percent.unwrap_or(100));
        instance_type.price_per_hour(purchase).scaled_down(percent, 100)
    }

    /// What jobs can get on each type that an environment has or may launch, with its price.
    pub(crate) fn topology_types(&self, environment: &EnvironmentSpec) -> Vec<OfferedType> {
        let own = environment.own_instances.iter().map(|own| OfferedType {
            name: format!("own.{}", own.vcpus),
            registered: own.resources(),
            per_hour: MicroUsd::ZERO,
        });
        let bought = environment.catalogue_types().unwrap_or_default();
        own.chain(bought.into_iter().map(|instance_type| OfferedType {
            name: instance_type.name.clone(),
            registered: catalog::registered(instance_type, catalog::DEFAULT_SHARE_PERMILLE),
            per_hour: self.price(instance_type, environment.purchase),
        }))
        .collect()
    }
}

impl EnvironmentSpec {
    /// An On-Demand environment of this name with every default.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            tags: BTreeMap::new(),
            platform: default_platform(),
            purchase: default_purchase(),
            min_vcpus: 0,
            max_vcpus: 0,
            instance_types: Vec::new(),
            zones: default_zones(),
            scale_down_delay: Lasting::default(),
            allocation: Allocation::default(),
            boot: None,
            enabled: true,
            valid: true,
            own_instances: Vec::new(),
        }
    }

    /// The types that Batch may launch here, in the order of the specification; none for an unmanaged environment.
    pub(crate) fn catalogue_types(&self) -> Result<Vec<&'static InstanceType>, Vec<UnknownType>> {
        if self.platform == Platform::Unmanaged {
            return Ok(Vec::new());
        }
        let optimal = ["optimal".to_owned()];
        let specification = if self.instance_types.is_empty() {
            &optimal[..]
        } else {
            &self.instance_types
        };
        Catalog::bundled().expand(specification)
    }
}

impl QueueSpec {
    /// A queue of this name over these environments, with every default.
    pub fn over(name: &str, environments: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            priority: default_priority(),
            environments: environments.iter().map(ToString::to_string).collect(),
            reservation_percent: 0,
            active_shares: one(),
        }
    }
}

impl OwnInstances {
    /// What jobs can get on each.
    pub(crate) fn resources(&self) -> Resources {
        Resources {
            vcpus: Vcpus::new(i64::from(self.vcpus)),
            memory: self
                .memory_mib
                .map_or(Mebibytes::new(i64::MAX / 4), |mib| Mebibytes::new(i64::from(mib))),
            gpus: self.gpus.unwrap_or(u32::MAX),
        }
    }
}
