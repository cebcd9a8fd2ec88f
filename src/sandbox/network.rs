//! The network that instances are launched into: one VPC, a subnet in each zone, a way out. In the shape in which EC2 tells it:
//! names of members are those of its XML.

use serde_json::{Value, json};

use super::flaws::Flaw;
use super::state::State;
use crate::ids::EnvironmentIndex;

pub(super) const VPC: &str = "vpc-00000000000000000";
pub(super) const SECURITY_GROUP: &str = "sg-00000000000000000";
const MAIN_TABLE: &str = "rtb-00000000000000000";
const OWN_TABLE: &str = "rtb-00000000000000001";
/// EC2 keeps the first four addresses of a subnet, and the last.
const KEPT_ADDRESSES: i64 = 5;

/// The subnet of a zone.
pub(super) fn subnet_id(zone: u8) -> String {
    format!("subnet-{zone:017x}")
}

/// The name of a zone; beyond the alphabet they are numbered, as no region is.
pub(super) fn zone_name(region: &str, zone: u8) -> String {
    let letter = char::from(b'a' + zone % 26);
    match zone / 26 {
        0 => format!("{region}{letter}"),
        round => format!("{region}{letter}{round}"),
    }
}

impl State {
    /// How many zones have a subnet.
    pub(super) fn zones(&self) -> u8 {
        let all = self.scenario.environments.iter().map(|spec| spec.zones);
        all.max().unwrap_or(1).max(1)
    }

    pub(super) fn vpcs(&self) -> Vec<Value> {
        vec![json!({
            "vpcId": VPC,
            "ownerId": self.names.account,
            "state": "available",
            "cidrBlock": "10.0.0.0/16",
            "dhcpOptionsId": "dopt-00000000000000000",
            "instanceTenancy": "default",
            "isDefault": false,
        })]
    }

    pub(super) fn subnets(&self) -> Vec<Value> {
        // As many equal parts of the VPC as there are zones.
        let bits = u32::from(self.zones()).next_power_of_two().trailing_zeros().max(2);
        let size = 1_u32 << (16 - bits);
        let mut taken = vec![0_i64; usize::from(self.zones())];
        for position in 0..self.scenario.environments.len() {
            for instance in self.world.launched(EnvironmentIndex::at(position)) {
                if let Some(taken) = taken.get_mut(usize::from(instance.zone)) {
                    *taken += 1;
                }
            }
        }
        let subnet = |(zone, taken): (u8, &i64)| {
            let (id, from) = (subnet_id(zone), u32::from(zone) * size);
            let free = if self.flaws.has(Flaw::FewAddresses) {
                2
            } else {
                (i64::from(size) - KEPT_ADDRESSES - taken).max(0)
            };
            json!({
                "subnetArn": self.names.arn("ec2", &format!("subnet/{id}")),
                "subnetId": id,
                "vpcId": VPC,
                "ownerId": self.names.account,
                "state": "available",
                "availabilityZone": zone_name(&self.names.region, zone),
                "availabilityZoneId": format!("sim-az{}", u32::from(zone) + 1),
                "cidrBlock": format!("10.0.{}.{}/{}", from / 256, from % 256, 16 + bits),
                "availableIpAddressCount": free,
                "defaultForAz": false,
                "mapPublicIpOnLaunch": false,
                "assignIpv6AddressOnCreation": false,
            })
        };
        (0..self.zones()).zip(&taken).map(subnet).collect()
    }

    /// The main one, and one for all subnets with a NAT gateway behind it.
    pub(super) fn route_tables(&self) -> Vec<Value> {
        let local = json!({"destinationCidrBlock": "10.0.0.0/16", "gatewayId": "local", "origin": "CreateRouteTable",
            "state": "active"});
        let out = json!({"destinationCidrBlock": "0.0.0.0/0", "natGatewayId": "nat-00000000000000000",
            "origin": "CreateRoute", "state": "active"});
        let mut routes = vec![local.clone()];
        routes.extend((!self.flaws.has(Flaw::NoWayOut)).then_some(out));
        let table = |id: &str, associations: Vec<Value>, routes: Vec<Value>| {
            json!({
                "routeTableId": id,
                "vpcId": VPC,
                "ownerId": self.names.account,
                "associationSet": associations,
                "routeSet": routes,
            })
        };
        let associated = |zone: u8| {
            json!({
                "routeTableAssociationId": format!("rtbassoc-{:017x}", u32::from(zone) + 1),
                "routeTableId": OWN_TABLE,
                "subnetId": subnet_id(zone),
                "main": false,
                "associationState": {"state": "associated"},
            })
        };
        let main = json!({"routeTableAssociationId": "rtbassoc-00000000000000000", "routeTableId": MAIN_TABLE,
            "main": true, "associationState": {"state": "associated"}});
        vec![
            table(MAIN_TABLE, vec![main], vec![local]),
            table(OWN_TABLE, (0..self.zones()).map(associated).collect(), routes),
        ]
    }

    /// Nothing comes in, everything may go out.
    pub(super) fn security_groups(&self) -> Vec<Value> {
        let everywhere = json!([{"ipProtocol": "-1", "ipRanges": [{"cidrIp": "0.0.0.0/0"}]}]);
        vec![json!({
            "groupId": SECURITY_GROUP,
            "securityGroupArn": self.names.arn("ec2", &format!("security-group/{SECURITY_GROUP}")),
            "groupName": "batch",
            "groupDescription": "Instances of AWS Batch (simulated)",
            "vpcId": VPC,
            "ownerId": self.names.account,
            "ipPermissions": [],
            "ipPermissionsEgress": everywhere,
        })]
    }
}
