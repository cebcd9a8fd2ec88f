//! What Amazon EC2 describes of places: types, zones, subnets.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{self as sdk, Filter, LocationType, RouteState, RouteTable};

use super::{each, known, text};
use crate::account::survey::{Asked, InstanceTypeInfo, Known, Route, Subnet};
use crate::aws::Aws;
use crate::aws::errors::unread;
use crate::catalog::Catalog;
use crate::daemon::cloud::Read;
use crate::units::to_u32;

/// Most values of one filter.
const FILTER_VALUES_MOST: usize = 200;

impl Aws {
    /// Types that the environments may launch, by name; families as their members.
    pub(super) async fn survey_types(&self, specification: &BTreeSet<String>) -> Asked<InstanceTypeInfo> {
        let (names, patterns) = names_and_patterns(specification);
        let told = self.instance_type_infos(patterns).await;
        match told {
            Ok(told) => {
                let mut all = each(&names, Ok(BTreeMap::new()));
                all.extend(told.into_iter().map(|(name, info)| (name, Known::Known(Some(info)))));
                all
            }
            Err(error) => each(&names, Err(error)),
        }
    }

    async fn instance_type_infos(&self, patterns: Vec<String>) -> Read<BTreeMap<String, InstanceTypeInfo>> {
        let mut found = BTreeMap::new();
        for patterns in patterns.chunks(FILTER_VALUES_MOST) {
            let filter = Filter::builder()
                .name("instance-type")
                .set_values(Some(patterns.to_vec()));
            let call = self.ec2.describe_instance_types().filters(filter.build());
            let mut pages = call.into_paginator().items().send();
            while let Some(info) = pages.next().await {
                let info = info.map_err(|e| unread("ec2:DescribeInstanceTypes", &e))?;
                found.insert(text(info.instance_type.as_ref()), type_info(&info));
            }
        }
        Ok(found)
    }

    pub(super) async fn survey_offerings(
        &self,
        specification: &BTreeSet<String>,
    ) -> Known<BTreeMap<String, Vec<String>>> {
        let (_, patterns) = names_and_patterns(specification);
        known(self.offerings(patterns).await)
    }

    async fn offerings(&self, patterns: Vec<String>) -> Read<BTreeMap<String, Vec<String>>> {
        let mut zones: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for patterns in patterns.chunks(FILTER_VALUES_MOST) {
            let filter = Filter::builder()
                .name("instance-type")
                .set_values(Some(patterns.to_vec()));
            let call = self.ec2.describe_instance_type_offerings().filters(filter.build());
            let call = call.location_type(LocationType::AvailabilityZone);
            let mut pages = call.into_paginator().items().send();
            while let Some(offering) = pages.next().await {
                let offering = offering.map_err(|e| unread("ec2:DescribeInstanceTypeOfferings", &e))?;
                let zone = zones.entry(offering.location.unwrap_or_default()).or_default();
                zone.push(text(offering.instance_type.as_ref()));
            }
        }
        for types in zones.values_mut() {
            types.sort();
        }
        Ok(zones)
    }

    pub(super) async fn survey_subnets(&self, ids: &BTreeSet<String>) -> Asked<Subnet> {
        let told = self.subnets(ids).await;
        each(ids, told)
    }

    async fn subnets(&self, ids: &BTreeSet<String>) -> Read<BTreeMap<String, Subnet>> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let filter = Filter::builder()
            .name("subnet-id")
            .set_values(Some(ids.iter().cloned().collect()));
        let mut told = Vec::new();
        let call = self.ec2.describe_subnets().filters(filter.build());
        let mut pages = call.into_paginator().items().send();
        while let Some(subnet) = pages.next().await {
            told.push(subnet.map_err(|e| unread("ec2:DescribeSubnets", &e))?);
        }
        let vpcs: BTreeSet<String> = told.iter().filter_map(|subnet| subnet.vpc_id.clone()).collect();
        let filter = Filter::builder()
            .name("vpc-id")
            .set_values(Some(vpcs.into_iter().collect()))
            .build();
        let (tables, endpoints) = tokio::join!(self.route_tables(filter.clone()), self.endpoints(filter));
        let (tables, endpoints) = (known(tables), known(endpoints));
        let subnet = |subnet: sdk::Subnet| {
            let (id, vpc) = (subnet.subnet_id.unwrap_or_default(), subnet.vpc_id.unwrap_or_default());
            let one = Subnet {
                owner_id: subnet.owner_id.unwrap_or_default(),
                availability_zone: subnet.availability_zone.unwrap_or_default(),
                available_ip_address_count: subnet.available_ip_address_count.unwrap_or_default().into(),
                map_public_ip_on_launch: subnet.map_public_ip_on_launch.unwrap_or_default(),
                route: match tables.read() {
                    Ok(tables) => default_route(tables, &id, &vpc),
                    Err(why) => Known::unread(why),
                },
                endpoints: match endpoints.read() {
                    Ok(endpoints) => Known::Known(endpoints.get(&vpc).cloned().unwrap_or_default()),
                    Err(why) => Known::unread(why),
                },
            };
            (id, one)
        };
        Ok(told.into_iter().map(subnet).collect())
    }

    async fn route_tables(&self, vpcs: Filter) -> Read<Vec<RouteTable>> {
        let mut pages = self
            .ec2
            .describe_route_tables()
            .filters(vpcs)
            .into_paginator()
            .items()
            .send();
        let mut tables = Vec::new();
        while let Some(table) = pages.next().await {
            tables.push(table.map_err(|e| unread("ec2:DescribeRouteTables", &e))?);
        }
        Ok(tables)
    }

    /// By VPC: services behind interface endpoints.
    async fn endpoints(&self, vpcs: Filter) -> Read<BTreeMap<String, Vec<String>>> {
        let mut pages = self
            .ec2
            .describe_vpc_endpoints()
            .filters(vpcs)
            .into_paginator()
            .items()
            .send();
        let mut endpoints: BTreeMap<String, Vec<String>> = BTreeMap::new();
        while let Some(endpoint) = pages.next().await {
            let endpoint = endpoint.map_err(|e| unread("ec2:DescribeVpcEndpoints", &e))?;
            let service = endpoint.service_name.unwrap_or_default();
            let service = service.rsplit('.').next().unwrap_or_default().to_owned();
            endpoints
                .entry(endpoint.vpc_id.unwrap_or_default())
                .or_default()
                .push(service);
        }
        Ok(endpoints)
    }
}

/// Names of types that were asked for one by one, and what EC2's filters take: families with a star. Words such as `optimal`
/// are what the catalogue says.
fn names_and_patterns(specification: &BTreeSet<String>) -> (BTreeSet<String>, Vec<String>) {
    let (mut names, mut patterns) = (BTreeSet::new(), BTreeSet::new());
    for entry in specification {
        if entry.contains('.') {
            names.insert(entry.clone());
            patterns.insert(entry.clone());
            continue;
        }
        let members = Catalog::bundled()
            .expand(std::slice::from_ref(entry))
            .unwrap_or_default();
        let families: BTreeSet<String> = members.iter().map(|one| format!("{}.*", one.family())).collect();
        if families.is_empty() {
            patterns.insert(format!("{entry}.*"));
        }
        patterns.extend(families);
    }
    (names, patterns.into_iter().collect())
}

fn type_info(info: &sdk::InstanceTypeInfo) -> InstanceTypeInfo {
    let gpus = info
        .gpu_info
        .iter()
        .flat_map(sdk::GpuInfo::gpus)
        .filter_map(|gpu| gpu.count);
    let architectures = info
        .processor_info
        .iter()
        .flat_map(sdk::ProcessorInfo::supported_architectures);
    InstanceTypeInfo {
        default_vcpus: info
            .v_cpu_info
            .as_ref()
            .and_then(|one| one.default_v_cpus)
            .unwrap_or_default()
            .into(),
        size_in_mib: info
            .memory_info
            .as_ref()
            .and_then(|one| one.size_in_mib)
            .unwrap_or_default(),
        gpus: to_u32(gpus.map(i64::from).fold(0, i64::saturating_add).max(0)),
        arm64: architectures
            .into_iter()
            .any(|one| *one == sdk::ArchitectureType::Arm64),
        instance_storage_gb: info.instance_storage_info.as_ref().and_then(|one| one.total_size_in_gb),
    }
}

/// A subnet without a table of its own has the main one of its VPC.
fn default_route(tables: &[RouteTable], subnet: &str, vpc: &str) -> Known<Route> {
    let own = tables.iter().find(|table| {
        let associated = table.associations().iter();
        associated
            .filter_map(|one| one.subnet_id.as_deref())
            .any(|id| id == subnet)
    });
    let main = || {
        tables.iter().find(|table| {
            table.vpc_id.as_deref() == Some(vpc) && table.associations().iter().any(|one| one.main == Some(true))
        })
    };
    // Every subnet has one; that of a shared subnet belongs to another account.
    let Some(table) = own.or_else(main) else {
        return Known::unread("its route table is not visible");
    };
    let active = || {
        table
            .routes()
            .iter()
            .filter(|route| route.state != Some(RouteState::Blackhole))
    };
    let v4 = active().find(|route| route.destination_cidr_block.as_deref() == Some("0.0.0.0/0"));
    let v6 = || active().find(|route| route.destination_ipv6_cidr_block.as_deref() == Some("::/0"));
    let beyond = |route: &sdk::Route| {
        let ids = [
            &route.transit_gateway_id,
            &route.vpc_peering_connection_id,
            &route.core_network_arn,
        ];
        ids.into_iter().flatten().next().cloned()
    };
    let Some(route) = v4.or_else(v6) else {
        // Endpoints may stand in the network behind it.
        return Known::Known(active().find_map(beyond).map_or(Route::None, Route::Other));
    };
    let other = [
        &route.egress_only_internet_gateway_id,
        &route.local_gateway_id,
        &route.carrier_gateway_id,
    ];
    let gateway = route.gateway_id.as_deref();
    Known::Known(if gateway.is_some_and(|gateway| gateway.starts_with("igw-")) {
        Route::InternetGateway
    } else if route.nat_gateway_id.is_some() || route.instance_id.is_some() || route.network_interface_id.is_some() {
        Route::Nat
    } else if let Some(id) =
        beyond(route).or_else(|| other.into_iter().flatten().chain(&route.gateway_id).next().cloned())
    {
        Route::Other(id)
    } else {
        Route::None
    })
}
