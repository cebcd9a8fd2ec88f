//! Instance types and where they are offered.

use serde_json::{Value, json};

use super::{invalid, keep, listed};
use crate::catalog::{Architecture, Catalog, InstanceType};
use crate::sandbox::flaws::Flaw;
use crate::sandbox::input::{Input, Taken};
use crate::sandbox::network::zone_name;
use crate::sandbox::refused::Refused;
use crate::sandbox::state::State;
use crate::sandbox::wire::Reply;
use crate::sandbox::wire::xml::{filters, numbered};

/// Most types of a page, and of one request by name.
const PAGE: usize = 100;
/// Most offerings of a page, and most prices.
const OFFERINGS: usize = 1_000;
/// What Spot prices call Linux without a licence.
const LINUX: &str = "Linux/UNIX";

pub(super) fn describe(state: &State, input: Input<'_>) -> Taken<Reply> {
    let named = numbered(input, "InstanceType")?;
    if named.len() > PAGE {
        return Err(invalid("At most 100 instance types can be asked for by name"));
    }
    let catalog = Catalog::bundled();
    if let Some(unknown) = named.iter().find(|name| catalog.get(name).is_none()) {
        let text = format!("The following supplied instance types do not exist: [{unknown}]");
        return Err(Refused::new(400, "InvalidInstanceType", text));
    }
    let chosen = catalog
        .iter()
        .filter(|one| named.is_empty() || named.contains(&one.name.as_str()));
    let mut all: Vec<Value> = chosen.map(told).collect();
    for filter in filters(input, "Filter", "Value")? {
        let known = [
            ("instance-type", "instanceType"),
            ("bare-metal", "bareMetal"),
            ("current-generation", "currentGeneration"),
            (
                "processor-info.supported-architecture",
                "processorInfo.supportedArchitectures",
            ),
        ];
        keep(&mut all, &filter, &known)?;
    }
    listed(state, "DescribeInstanceTypes", "instanceTypeSet", all, input, PAGE)
}

fn told(one: &InstanceType) -> Value {
    let architecture = match one.architecture {
        Architecture::Amd64 => "x86_64",
        Architecture::Arm64 => "arm64",
    };
    let mut told = json!({
        "instanceType": one.name,
        "currentGeneration": true,
        "bareMetal": one.name.contains(".metal"),
        "processorInfo": {"supportedArchitectures": [architecture]},
        "vCpuInfo": {"defaultVCpus": one.nominal.vcpus.get()},
        "memoryInfo": {"sizeInMiB": one.nominal.memory.get()},
    });
    if let Value::Object(members) = &mut told
        && one.nominal.gpus > 0
    {
        members.insert("gpuInfo".to_owned(), json!({"gpus": [{"count": one.nominal.gpus}]}));
    }
    told
}

/// Every zone offers every type.
pub(super) fn offerings(state: &State, input: Input<'_>) -> Taken<Reply> {
    let region = &state.names.region;
    let kind = input.text("LocationType")?.unwrap_or("region");
    let places: Vec<String> = match kind {
        _ if state.flaws.has(Flaw::NotOffered) => Vec::new(),
        "region" => vec![region.clone()],
        "availability-zone" => (0..state.zones()).map(|zone| zone_name(region, zone)).collect(),
        other => return Err(invalid(&format!("Invalid value '{other}' for locationType"))),
    };
    let offered = |one: &InstanceType| -> Vec<Value> {
        let at = |place: &String| json!({"instanceType": one.name, "locationType": kind, "location": place});
        places.iter().map(at).collect()
    };
    let mut all: Vec<Value> = Catalog::bundled().iter().flat_map(offered).collect();
    for filter in filters(input, "Filter", "Value")? {
        keep(
            &mut all,
            &filter,
            &[("instance-type", "instanceType"), ("location", "location")],
        )?;
    }
    let set = "instanceTypeOfferingSet";
    listed(state, "DescribeInstanceTypeOfferings", set, all, input, OFFERINGS)
}

/// The same price in every zone, as if it had been set when the simulated time began.
pub(super) fn spot_prices(state: &State, input: Input<'_>) -> Taken<Reply> {
    let named = numbered(input, "InstanceType")?;
    let descriptions = numbered(input, "ProductDescription")?;
    let linux = descriptions.is_empty() || descriptions.contains(&LINUX);
    let chosen = Catalog::bundled()
        .iter()
        .filter(|one| linux && (named.is_empty() || named.contains(&one.name.as_str())));
    let region = &state.names.region;
    let begun = state.begun.to_string();
    let told = |one: &InstanceType| -> Vec<Value> {
        let Some(price) = state.spot_price(one) else {
            return Vec::new();
        };
        let at = |zone| {
            json!({
                "availabilityZone": zone_name(region, zone),
                "instanceType": one.name,
                "productDescription": LINUX,
                "spotPrice": format!("{:.6}", price.usd()),
                "timestamp": begun,
            })
        };
        (0..state.zones()).map(at).collect()
    };
    let mut all: Vec<Value> = chosen.flat_map(told).collect();
    for filter in filters(input, "Filter", "Value")? {
        let known = [
            ("instance-type", "instanceType"),
            ("availability-zone", "availabilityZone"),
            ("product-description", "productDescription"),
        ];
        keep(&mut all, &filter, &known)?;
    }
    listed(
        state,
        "DescribeSpotPriceHistory",
        "spotPriceHistorySet",
        all,
        input,
        OFFERINGS,
    )
}
