//! What Spot Instances cost now.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{InstanceType, SpotPrice};
use aws_smithy_types::DateTime;

use crate::aws::Aws;
use crate::aws::errors::unread;
use crate::daemon::cloud::Read;
use crate::units::{MicroUsd, Time};

/// So many types in one call: with six zones, their prices are a page.
const TYPES_A_CALL: usize = 100;
const PRICES_A_PAGE: i32 = 1_000;

/// The latest price per hour in each zone, by type.
type ByZone = BTreeMap<String, BTreeMap<String, (Time, MicroUsd)>>;

impl Aws {
    /// The mean over the zones of the region, for Linux: in which of them instances come is not known before. A history that begins
    /// now begins with what was set last before.
    pub(super) async fn read_spot_prices(&self, types: &[String]) -> Read<BTreeMap<String, MicroUsd>> {
        let mut found = ByZone::new();
        for types in types.chunks(TYPES_A_CALL) {
            let types = types.iter().map(|name| InstanceType::from(name.as_str())).collect();
            let now = DateTime::from_millis(self.clock.now().millis());
            let call = self.ec2.describe_spot_price_history().set_instance_types(Some(types));
            let call = call.product_descriptions("Linux/UNIX").start_time(now);
            let mut prices = call.max_results(PRICES_A_PAGE).into_paginator().items().send();
            while let Some(price) = prices.next().await {
                let price = price.map_err(|e| unread("ec2:DescribeSpotPriceHistory", &e))?;
                note(&mut found, &price);
            }
        }
        let mean = |zones: BTreeMap<String, (Time, MicroUsd)>| {
            let count = i64::try_from(zones.len()).unwrap_or(i64::MAX);
            let sum: MicroUsd = zones.into_values().map(|(_, price)| price).sum();
            sum.scaled_down(1, count)
        };
        Ok(found.into_iter().map(|(name, zones)| (name, mean(zones))).collect())
    }
}

fn note(found: &mut ByZone, told: &SpotPrice) {
    let usd = told.spot_price().and_then(|price| price.parse().ok());
    let price = usd.and_then(MicroUsd::from_usd).filter(|price| *price > MicroUsd::ZERO);
    let (Some(price), Some(name)) = (price, told.instance_type()) else {
        return;
    };
    let at = told.timestamp().and_then(|at| at.to_millis().ok());
    let at = at.map_or(Time::FAR_PAST, Time::from_millis);
    let zone = told
        .availability_zone_id()
        .or(told.availability_zone())
        .unwrap_or_default();
    let zones = found.entry(name.as_str().to_owned()).or_default();
    let known = zones.entry(zone.to_owned()).or_insert((at, price));
    if at > known.0 {
        *known = (at, price);
    }
}

#[cfg(test)]
mod tests {
    use crate::aws::replay::{Replay, Reply, ec2_xml};
    use crate::daemon::cloud::Cloud as _;

    #[tokio::test]
    async fn a_types_spot_price_is_the_mean_over_zones_of_what_each_tells_last() {
        let denied = Reply::Error(403, "UnauthorizedOperation", "not authorized");
        let (aws, replay) = Replay::account(&[Reply::Made(ec2_xml("describe-spot-price-history")), denied]);
        let names = ["m6i.4xlarge", "c7i.large", "x9.large"].map(str::to_owned);
        let prices = aws.spot_prices(&names).await.unwrap();
        let told: Vec<_> = prices
            .iter()
            .map(|(name, price)| (name.as_str(), price.usd()))
            .collect();
        // 0.30 and 0.28 (it was 0.32 before) in two zones; what is no price is none.
        assert_eq!(told, [("c7i.large", 0.0312), ("m6i.4xlarge", 0.29)]);
        let asked = &replay.asked()[0].text;
        for part in [
            "InstanceType.3=x9.large",
            "ProductDescription.1=Linux%2FUNIX",
            "StartTime=",
        ] {
            assert!(asked.contains(part), "{part}: {asked}");
        }
        let unread = aws.spot_prices(&names).await.unwrap_err();
        assert!(unread.message.contains("ec2:DescribeSpotPriceHistory"), "{unread}");
    }
}
