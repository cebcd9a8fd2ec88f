//! EC2: what instances begin with and where they run, from the account; types and where they are offered, from the catalogue. Nothing
//! can be made or changed.

mod templates;
mod types;

use serde_json::{Value, json};

use super::Reply;
use super::calls::Call;
use super::xml::{self, Filter, filters, matches, numbered};
use crate::sandbox::input::{Input, Taken};
use crate::sandbox::refused::Refused;
use crate::sandbox::state::State;
use crate::units::to_usize;

pub(super) const OPERATIONS: [&str; 12] = [
    "DescribeInstanceTypes",
    "DescribeInstanceTypeOfferings",
    "DescribeLaunchTemplateVersions",
    "DescribeVpcs",
    "DescribeSubnets",
    "DescribeRouteTables",
    "DescribeVpcEndpoints",
    "DescribeSecurityGroups",
    "DescribeImages",
    "DescribeLaunchTemplates",
    "DescribeInstances",
    "DescribeSpotPriceHistory",
];

/// Most things of a page.
const PAGE: usize = 1_000;

/// How a kind of things is listed. Filters are by the path of the member that they compare.
struct Listing {
    operation: &'static str,
    /// The member that holds them.
    set: &'static str,
    /// The parameter that asks for them by id, and the path of the id.
    id: (&'static str, &'static str),
    /// What is answered where one is missing; `{}` stands for its id.
    missing: (&'static str, &'static str),
    filters: &'static [(&'static str, &'static str)],
    all: fn(&State) -> Vec<Value>,
}

static LISTINGS: [Listing; 8] = [
    Listing {
        operation: "DescribeVpcs",
        set: "vpcSet",
        id: ("VpcId", "vpcId"),
        missing: ("InvalidVpcID.NotFound", "The vpc ID '{}' does not exist"),
        filters: &[("vpc-id", "vpcId"), ("owner-id", "ownerId"), ("state", "state")],
        all: State::vpcs,
    },
    Listing {
        operation: "DescribeSubnets",
        set: "subnetSet",
        id: ("SubnetId", "subnetId"),
        missing: ("InvalidSubnetID.NotFound", "The subnet ID '{}' does not exist"),
        filters: &[
            ("subnet-id", "subnetId"),
            ("vpc-id", "vpcId"),
            ("owner-id", "ownerId"),
            ("state", "state"),
            ("availability-zone", "availabilityZone"),
            ("map-public-ip-on-launch", "mapPublicIpOnLaunch"),
        ],
        all: State::subnets,
    },
    Listing {
        operation: "DescribeRouteTables",
        set: "routeTableSet",
        id: ("RouteTableId", "routeTableId"),
        missing: ("InvalidRouteTableID.NotFound", "The routeTable ID '{}' does not exist"),
        filters: &[
            ("route-table-id", "routeTableId"),
            ("vpc-id", "vpcId"),
            ("owner-id", "ownerId"),
            ("association.subnet-id", "associationSet.subnetId"),
            ("association.main", "associationSet.main"),
        ],
        all: State::route_tables,
    },
    Listing {
        operation: "DescribeVpcEndpoints",
        set: "vpcEndpointSet",
        id: ("VpcEndpointId", "vpcEndpointId"),
        missing: (
            "InvalidVpcEndpointId.NotFound",
            "The Vpc Endpoint Id '{}' does not exist",
        ),
        filters: &[
            ("vpc-endpoint-id", "vpcEndpointId"),
            ("vpc-id", "vpcId"),
            ("service-name", "serviceName"),
            ("vpc-endpoint-state", "state"),
            ("vpc-endpoint-type", "vpcEndpointType"),
        ],
        // The way out is a NAT gateway: there are none.
        all: |_| Vec::new(),
    },
    Listing {
        operation: "DescribeSecurityGroups",
        set: "securityGroupInfo",
        id: ("GroupId", "groupId"),
        missing: ("InvalidGroup.NotFound", "The security group '{}' does not exist"),
        filters: &[
            ("group-id", "groupId"),
            ("group-name", "groupName"),
            ("vpc-id", "vpcId"),
            ("owner-id", "ownerId"),
        ],
        all: State::security_groups,
    },
    Listing {
        operation: "DescribeImages",
        set: "imagesSet",
        id: ("ImageId", "imageId"),
        missing: ("InvalidAMIID.NotFound", "The image id '[{}]' does not exist"),
        filters: &[
            ("image-id", "imageId"),
            ("name", "name"),
            ("architecture", "architecture"),
            ("state", "imageState"),
            ("owner-id", "imageOwnerId"),
            ("owner-alias", "imageOwnerAlias"),
            ("is-public", "isPublic"),
            ("root-device-type", "rootDeviceType"),
        ],
        all: State::images,
    },
    Listing {
        operation: "DescribeLaunchTemplates",
        set: "launchTemplates",
        id: ("LaunchTemplateId", "launchTemplateId"),
        missing: (
            "InvalidLaunchTemplateId.NotFound",
            "The specified launch template, with template ID {}, does not exist.",
        ),
        filters: &[
            ("launch-template-name", "launchTemplateName"),
            ("create-time", "createTime"),
        ],
        all: State::launch_templates,
    },
    Listing {
        operation: "DescribeInstances",
        set: "reservationSet",
        id: ("InstanceId", "instancesSet.instanceId"),
        missing: ("InvalidInstanceID.NotFound", "The instance ID '{}' does not exist"),
        filters: &[
            ("instance-state-name", "instancesSet.instanceState.name"),
            ("instance-state-code", "instancesSet.instanceState.code"),
            ("instance-type", "instancesSet.instanceType"),
            ("instance-lifecycle", "instancesSet.instanceLifecycle"),
            ("subnet-id", "instancesSet.subnetId"),
            ("vpc-id", "instancesSet.vpcId"),
            ("availability-zone", "instancesSet.placement.availabilityZone"),
            ("tag-key", "instancesSet.tagSet.key"),
            ("owner-id", "ownerId"),
        ],
        all: State::reservations,
    },
];

pub(super) fn perform(state: &mut State, call: &Call) -> Taken<Reply> {
    let input = Input::of(&call.input)?;
    match call.operation {
        "DescribeInstanceTypes" => types::describe(state, input),
        "DescribeInstanceTypeOfferings" => types::offerings(state, input),
        "DescribeSpotPriceHistory" => types::spot_prices(state, input),
        "DescribeLaunchTemplateVersions" => templates::versions(state, input),
        operation => {
            let listing = LISTINGS.iter().find(|listing| listing.operation == operation);
            let listing = listing.ok_or_else(|| invalid(&format!("The action {operation} is not valid")))?;
            describe(state, listing, input)
        }
    }
}

fn describe(state: &State, listing: &Listing, input: Input<'_>) -> Taken<Reply> {
    let mut all = (listing.all)(state);
    let (parameter, path) = listing.id;
    let ids = numbered(input, parameter)?;
    for id in &ids {
        if !all
            .iter()
            .any(|one| values_at(one, path).iter().any(|there| there == id))
        {
            let (code, text) = listing.missing;
            return Err(Refused::new(400, code, text.replace("{}", id)));
        }
    }
    let is_asked =
        |one: &Value| ids.is_empty() || values_at(one, path).iter().any(|there| ids.contains(&there.as_str()));
    all.retain(is_asked);
    for filter in filters(input, "Filter", "Value")? {
        keep(&mut all, &filter, listing.filters)?;
    }
    for (parameter, paths) in [
        ("LaunchTemplateName", &["launchTemplateName"][..]),
        ("GroupName", &["groupName"]),
        ("Owner", &["imageOwnerId", "imageOwnerAlias"]),
    ] {
        let wanted = numbered(input, parameter)?;
        let suits = |one: &Value| {
            let there = paths.iter().flat_map(|path| values_at(one, path));
            there.into_iter().any(|there| wanted.contains(&there.as_str()))
        };
        all.retain(|one| wanted.is_empty() || suits(one));
    }
    listed(state, listing.operation, listing.set, all, input, PAGE)
}

/// Keeps what a filter admits.
fn keep(all: &mut Vec<Value>, filter: &Filter<'_>, known: &[(&str, &str)]) -> Taken<()> {
    let (name, wanted) = filter;
    let path = known.iter().find(|(known, _)| known == name);
    let (_, path) = path.ok_or_else(|| unknown_filter(name))?;
    let suits = |there: &String| wanted.iter().any(|wanted| matches(wanted, there));
    all.retain(|one| values_at(one, path).iter().any(suits));
    Ok(())
}

/// The values at a path, as texts; lists on the way count with all that they hold.
fn values_at(value: &Value, path: &str) -> Vec<String> {
    fn each(value: &Value) -> Vec<&Value> {
        match value {
            Value::Array(values) => values.iter().collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => vec![value],
        }
    }
    let mut found = vec![value];
    for name in path.split('.') {
        let below = found.into_iter().filter_map(|value| value.get(name));
        found = below.flat_map(each).collect();
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    found.into_iter().map(text).collect()
}

/// A page of a listing.
fn listed(
    state: &State,
    operation: &'static str,
    set: &str,
    all: Vec<Value>,
    input: Input<'_>,
    most: usize,
) -> Taken<Reply> {
    let asked = input.text("MaxResults")?.map(|most| most.parse::<i64>().ok());
    let longest = match asked {
        None => most,
        Some(Some(asked)) if asked >= 1 => to_usize(asked.clamp(5, 1_000)).min(most),
        // The words for a figure out of range differ from operation to operation.
        Some(_) => return Err(invalid("Value for parameter maxResults is invalid.")),
    };
    let start = match input.text("NextToken")? {
        None => 0,
        Some(token) => (state.names.position(operation, token))
            .ok_or_else(|| Refused::new(400, "InvalidNextToken", "The token is not valid"))?,
    };
    let more = start.saturating_add(longest) < all.len();
    let page: Vec<Value> = all.into_iter().skip(start).take(longest).collect();
    let mut members = json!({set: page});
    if let Value::Object(members) = &mut members
        && more
    {
        let token = state.names.token(operation, start + longest);
        members.insert("nextToken".to_owned(), json!(token));
    }
    Ok(xml::ec2(operation, &members))
}

fn invalid(text: &str) -> Refused {
    Refused::new(400, "InvalidParameterValue", text)
}

fn unknown_filter(name: &str) -> Refused {
    invalid(&format!("The filter '{name}' is invalid"))
}
