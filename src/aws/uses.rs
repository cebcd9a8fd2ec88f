//! What the account runs, counted instance by instance: for service quotas of whose use no metric tells.
//!
//! EC2 counts *running* On-Demand instances, and Spot instances with their open requests (EC2 user guide). A pending instance runs
//! within seconds, so it counts here too. Open Spot requests and unused Capacity Reservations do not show among instances.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_ec2::types::{Filter, Instance, InstanceLifecycleType, InstanceType, Reservation};

use crate::account::survey::Counted;
use crate::aws::Aws;
use crate::aws::errors::unread;
use crate::catalog::{Catalog, Purchase, quota_code};
use crate::daemon::cloud::Read;
use crate::units::{Span, Time, Vcpus};

/// As many as EC2 gives at once, and so many pages.
const INSTANCES_A_PAGE: i32 = 1_000;
const PAGES_MOST: usize = 5;
/// A count is kept for so long for each page of it, for all quotas: five calls an hour.
const KEPT_A_PAGE: Span = Span::from_minutes(12);

/// vCPUs by the code of the quota that counts them.
#[derive(Debug, Default)]
pub(super) struct InUse {
    vcpus: BTreeMap<&'static str, Vcpus>,
    /// Something was not counted.
    cut: bool,
    at: Time,
    pages: i64,
}

impl Aws {
    /// What instances use of a quota of EC2, and when they were counted: all quotas share a count.
    pub async fn used_by_instances(&self, code: &str) -> Read<(Vcpus, Counted, Time)> {
        let now = self.clock.now();
        let counting = async { self.count_instances(now).await.map(Arc::new) };
        let kept = |all: &Arc<InUse>| KEPT_A_PAGE.times(all.pages);
        let all = self.in_use.get(now, kept, counting).await?;
        let used = all.vcpus.get(code).copied().unwrap_or_default();
        let counted = if all.cut {
            Counted::SomeInstances
        } else {
            Counted::Instances
        };
        Ok((used, counted, all.at))
    }

    async fn count_instances(&self, now: Time) -> Read<InUse> {
        let states = Filter::builder().name("instance-state-name");
        let states = states.values("pending").values("running").build();
        let call = self.ec2.describe_instances().filters(states);
        let mut pages = call.max_results(INSTANCES_A_PAGE).into_paginator().send();
        let mut all = InUse {
            at: now,
            ..InUse::default()
        };
        for _ in 0..PAGES_MOST {
            let Some(page) = pages.next().await else {
                return Ok(all);
            };
            all.pages += 1;
            let page = page.map_err(|e| unread("ec2:DescribeInstances", &e))?;
            for instance in page.reservations().iter().flat_map(Reservation::instances) {
                all.add(instance);
            }
            if page.next_token.is_none_or(|token| token.is_empty()) {
                return Ok(all);
            }
        }
        all.cut = true;
        Ok(all)
    }
}

impl InUse {
    fn add(&mut self, instance: &Instance) {
        let Some(name) = instance.instance_type.as_ref().map(InstanceType::as_str) else {
            self.cut = true;
            return;
        };
        let purchase = match instance.instance_lifecycle {
            Some(InstanceLifecycleType::Spot) => Purchase::Spot,
            _ => Purchase::OnDemand,
        };
        // Which quota counts an unknown class is not known; it is none of those that are asked for.
        let Some(code) = quota_code(name, purchase) else {
            return;
        };
        match vcpus(instance, name) {
            Some(vcpus) => *self.vcpus.entry(code).or_default() += vcpus,
            None => self.cut = true,
        }
    }
}

/// Nobody says whether fewer threads a core lower what a quota counts, so the larger one of what it has and what its type has.
fn vcpus(instance: &Instance, name: &str) -> Option<Vcpus> {
    let of_type = Catalog::bundled().get(name).map(|one| one.nominal.vcpus);
    let options = instance.cpu_options.as_ref();
    let own = options.and_then(|options| Some(i64::from(options.core_count?) * i64::from(options.threads_per_core?)));
    of_type.max(own.map(Vcpus::new)).filter(|vcpus| !vcpus.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::replay::{Asked, Replay, Reply, ec2_xml};
    use crate::clock::Clock;

    #[tokio::test]
    async fn vcpus_count_by_class_and_purchase_as_the_larger_one_of_type_and_options() {
        let (aws, replay) = Replay::account(&[Reply::Made(ec2_xml("describe-instances"))]);
        for (code, expected) in [
            // m6i.2xlarge with one thread a core, m5.large, c5.large pending.
            ("L-1216C47A", 8 + 2 + 2),
            // m5.xlarge, r5.large.
            ("L-34B43A08", 4 + 2),
            ("L-DB2E81BA", 4),
            ("L-3819A6DF", 0),
        ] {
            let (used, counted, _) = aws.used_by_instances(code).await.unwrap();
            assert_eq!((used.get(), counted), (expected, Counted::Instances), "{code}");
        }
        let asked = replay.asked();
        assert_eq!(asked.len(), 1, "one listing for all quotas");
        let text = &asked[0].text;
        assert!(
            text.contains("MaxResults=1000") && text.contains("Filter.1.Value.2=running"),
            "{text}"
        );
    }

    /// With the promised calls: a count of a page stands for 12 minutes.
    #[tokio::test]
    async fn a_count_stands_the_longer_the_more_calls_it_took() {
        let (aws, replay) = Replay::answering(|_| Reply::Made(ec2_xml("describe-instances")));
        let mut aws = aws;
        for (minutes, calls) in [(0, 1), (11, 1), (13, 2), (24, 2)] {
            aws = aws.with_clock(Clock::paced(Time::from_seconds(1_000_000 + minutes * 60)));
            aws.used_by_instances("L-34B43A08").await.unwrap();
            assert_eq!(replay.asked().len(), calls, "after {minutes} minutes");
        }
    }

    #[tokio::test]
    async fn too_many_instances_are_at_least_those_that_were_read() {
        let more = |asked: &Asked| {
            let token = asked.text.split("NextToken=").nth(1);
            let page: u32 = token.map_or(0, |token| token.split('&').next().unwrap().parse().unwrap());
            let next = format!("<nextToken>{}</nextToken></DescribeInstancesResponse>", page + 1);
            Reply::Made(ec2_xml("describe-instances").replace("</DescribeInstancesResponse>", &next))
        };
        let (aws, replay) = Replay::answering(more);
        let (used, counted, _) = aws.used_by_instances("L-34B43A08").await.unwrap();
        assert_eq!((used.get(), counted), (5 * 6, Counted::SomeInstances));
        assert_eq!(replay.asked().len(), 5);
        // A size that nobody knows.
        let unknown = |_: &Asked| Reply::Made(ec2_xml("describe-instances").replace("m5.xlarge", "m99.large"));
        let (aws, _) = Replay::answering(unknown);
        let (used, counted, _) = aws.used_by_instances("L-34B43A08").await.unwrap();
        assert_eq!((used.get(), counted), (2, Counted::SomeInstances));
    }
}
