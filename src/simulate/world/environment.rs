//! A compute environment: its parameters, its instances and what is known of them together.

use std::collections::BTreeSet;

use super::Quota;
use super::instances::{Instance, Stage};
use super::launches::Order;
use super::placement::RoomIndex;
use super::spot::Pools;
use crate::account::Platform;
use crate::catalog::{self, Purchase, Resources};
use crate::simulate::distribution::Distribution;
use crate::simulate::draws::key_of;
use crate::simulate::ledger::EnvironmentTotals;
use crate::simulate::model::BatchModel;
use crate::simulate::scenario::{Allocation, EnvironmentSpec, Scenario};
use crate::units::{MicroUsd, Span, Time, Vcpus, to_u32, to_usize};

/// An instance type as an environment may launch it.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) name: String,
    pub(crate) family: String,
    pub(crate) registered: Resources,
    /// The service quota that counts it, if the scenario sets one.
    pub(crate) quota: Option<usize>,
    pub(crate) per_hour: MicroUsd,
    pub(crate) interruption_band: u8,
    /// The Spot pool of its first zone; the other zones follow.
    pub(crate) pool: u32,
}

/// A compute environment.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) key: u64,
    pub(crate) platform: Platform,
    pub(crate) purchase: Purchase,
    pub(crate) allocation: Allocation,
    pub(crate) zones: u8,
    pub(crate) valid: bool,
    pub(crate) enabled: bool,
    pub(crate) updating: bool,
    pub(crate) updates: u64,
    pub(crate) min: Vcpus,
    pub(crate) desired: Vcpus,
    pub(crate) max: Vcpus,
    pub(crate) scale_down_delay: Span,
    pub(crate) boot: Distribution,
    pub(crate) idle: Distribution,
    pub(crate) offers: Vec<Offer>,
    pub(crate) smallest: Vcpus,
    pub(crate) instances: Vec<Instance>,
    pub(crate) vacant: BTreeSet<u32>,
    pub(crate) index: RoomIndex,
    /// vCPUs of instances that are coming, active or draining.
    pub(crate) live: Vcpus,
    /// vCPUs of ACTIVE instances.
    pub(crate) there: Vcpus,
    /// vCPUs that jobs hold, as an observer sees it.
    pub(crate) used: Vcpus,
    /// vCPUs that jobs hold or have been assigned.
    pub(crate) assigned: Vcpus,
    /// Free on all ACTIVE instances together.
    pub(crate) free: Resources,
    /// Launches that have not succeeded yet, and their vCPUs.
    pub(crate) orders: Vec<Order>,
    pub(crate) ordered: Vcpus,
    pub(crate) launches: u64,
    pub(crate) retry_planned: bool,
    pub(crate) short_since: Option<Time>,
    pub(crate) last_demand: Time,
    pub(crate) no_launch_before: Time,
    pub(crate) capacity_error: Option<Time>,
    pub(crate) last_registered: Option<Time>,
    /// Times without capacity: offer (all if none), zone (all if none), from, until.
    pub(crate) droughts: Vec<(Option<u32>, Option<u8>, Time, Time)>,
    pub(crate) totals: EnvironmentTotals,
}

impl Environment {
    pub(super) fn new(
        scenario: &Scenario,
        spec: &EnvironmentSpec,
        model: &BatchModel,
        quotas: &[Quota],
        pools: &mut Pools,
        origin: Time,
    ) -> Self {
        let offers = offers(scenario, spec, quotas, pools);
        let own: i64 = spec
            .own_instances
            .iter()
            .map(|own| i64::from(own.count) * i64::from(own.vcpus))
            .sum();
        let (boot, idle) = match spec.purchase {
            Purchase::OnDemand => (&model.boot_on_demand, &model.idle_on_demand),
            Purchase::Spot => (&model.boot_spot, &model.idle_spot),
        };
        let min = Vcpus::new(i64::from(spec.min_vcpus));
        let max = Vcpus::new(i64::from(spec.max_vcpus));
        Self {
            key: key_of(&spec.name),
            platform: spec.platform,
            purchase: spec.purchase,
            allocation: spec.allocation,
            zones: spec.zones,
            valid: spec.valid,
            enabled: spec.enabled,
            updating: false,
            updates: 0,
            min,
            desired: min,
            max: if spec.platform == Platform::Unmanaged {
                Vcpus::new(own)
            } else {
                max
            },
            scale_down_delay: spec.scale_down_delay.0,
            boot: spec.boot.as_ref().unwrap_or(boot).clone(),
            idle: idle.clone(),
            smallest: offers
                .iter()
                .map(|offer| offer.registered.vcpus)
                .min()
                .unwrap_or(Vcpus::ZERO),
            droughts: droughts(scenario, spec, &offers, origin),
            offers,
            instances: Vec::new(),
            vacant: BTreeSet::new(),
            index: RoomIndex::default(),
            live: Vcpus::ZERO,
            there: Vcpus::ZERO,
            used: Vcpus::ZERO,
            assigned: Vcpus::ZERO,
            free: Resources::default(),
            orders: Vec::new(),
            ordered: Vcpus::ZERO,
            launches: 0,
            retry_planned: false,
            short_since: None,
            last_demand: Time::FAR_PAST,
            no_launch_before: Time::FAR_PAST,
            capacity_error: None,
            last_registered: None,
            totals: EnvironmentTotals {
                name: spec.name.clone(),
                ..EnvironmentTotals::default()
            },
        }
    }

    /// There, on its way and asked for.
    pub(crate) fn committed(&self) -> Vcpus {
        self.live + self.ordered
    }

    /// VALID and ENABLED: takes jobs and scales out.
    pub(crate) const fn usable(&self) -> bool {
        self.valid && self.enabled
    }

    /// Whether Batch starts and ends its instances.
    pub(crate) fn managed(&self) -> bool {
        self.platform != Platform::Unmanaged
    }

    /// Whether, without new work, instances would still come or go.
    pub(crate) fn will_shrink(&self) -> bool {
        self.managed()
            && self.instances.iter().any(|instance| match instance.stage {
                Stage::Coming | Stage::Draining => true,
                Stage::Active => !instance.is_idle() || self.may_release(instance),
                Stage::Gone => false,
            })
    }

    pub(super) fn may_release(&self, instance: &Instance) -> bool {
        self.committed().minus_or_zero(self.size(instance)) >= self.min
    }

    pub(crate) fn size(&self, instance: &Instance) -> Vcpus {
        self.resources(instance).vcpus
    }

    /// vCPUs of ACTIVE instances that a service quota counts.
    pub(crate) fn there_under(&self, quota: usize) -> Vcpus {
        if !self.offers.iter().any(|offer| offer.quota == Some(quota)) {
            return Vcpus::ZERO;
        }
        if self.offers.iter().all(|offer| offer.quota == Some(quota)) {
            return self.there;
        }
        let active = self.instances.iter().filter(|i| i.stage == Stage::Active);
        active
            .filter(|i| self.quota_of(i) == Some(quota))
            .map(|i| self.size(i))
            .sum()
    }

    /// The service quota that counts an instance.
    pub(crate) fn quota_of(&self, instance: &Instance) -> Option<usize> {
        self.offers.get(to_usize(instance.offer)).and_then(|offer| offer.quota)
    }

    pub(crate) fn resources(&self, instance: &Instance) -> Resources {
        self.offers
            .get(to_usize(instance.offer))
            .map(|offer| offer.registered)
            .unwrap_or_default()
    }
}

fn offers(scenario: &Scenario, spec: &EnvironmentSpec, quotas: &[Quota], pools: &mut Pools) -> Vec<Offer> {
    let offered = scenario.topology_types(spec);
    let bands = |name: &str| {
        crate::catalog::Catalog::bundled()
            .get(name)
            .and_then(|t| t.interruption_band)
            .unwrap_or(0)
    };
    let offer = |offered: crate::account::OfferedType| Offer {
        family: offered.name.split('.').next().unwrap_or_default().to_owned(),
        interruption_band: bands(&offered.name),
        pool: match spec.purchase {
            Purchase::Spot => pools.of_type(&offered.name, bands(&offered.name)),
            Purchase::OnDemand => u32::MAX,
        },
        quota: catalog::quota_code(&offered.name, spec.purchase)
            .and_then(|code| quotas.iter().position(|quota| quota.code == code)),
        registered: offered.registered,
        per_hour: offered.per_hour,
        name: offered.name,
    };
    offered.into_iter().map(offer).collect()
}

fn droughts(
    scenario: &Scenario,
    spec: &EnvironmentSpec,
    offers: &[Offer],
    origin: Time,
) -> Vec<(Option<u32>, Option<u8>, Time, Time)> {
    let here = scenario
        .droughts
        .iter()
        .filter(|drought| drought.environment == spec.name);
    here.filter_map(|drought| {
        let offer = match &drought.instance_type {
            Some(name) => Some(to_u32(offers.iter().position(|offer| offer.name == *name)?)),
            None => None,
        };
        let start = origin + drought.start.0;
        Some((offer, drought.zone, start, start + drought.length.0))
    })
    .collect()
}
