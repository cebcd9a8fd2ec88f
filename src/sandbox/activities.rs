//! What Auto Scaling remembers of launches, in its own words.

use std::collections::{BTreeMap, VecDeque};

use super::ids::Names;
use super::network::zone_name;
use super::state::State;
use crate::account::Platform;
use crate::catalog::Purchase;
use crate::daemon::cloud::{FailedLaunch, LaunchSource};
use crate::ids::EnvironmentIndex;
use crate::simulate::scenario::{Allocation, EnvironmentSpec};
use crate::simulate::world::{Launch, Shortage};
use crate::units::{Span, Time, to_u64, to_usize};

/// Auto Scaling keeps activities for six weeks.
const KEPT: Span = Span::from_minutes(6 * 7 * 24 * 60);
/// More than these of a group nobody pages through.
const MOST: usize = 10_000;
/// A group carries an id.
const GROUP: u64 = 5;
const ACTIVITY: u64 = 7;

/// One launch, or one attempt at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Activity {
    number: u64,
    pub(super) at: Time,
    pub(super) answer: Launch,
}

/// Activities of each group, latest last.
#[derive(Debug, Default)]
pub(super) struct Activities {
    number: u64,
    all: BTreeMap<EnvironmentIndex, VecDeque<Activity>>,
}

impl Activities {
    pub(super) fn note(&mut self, environment: EnvironmentIndex, at: Time, answer: Launch) {
        self.number += 1;
        let own = self.all.entry(environment).or_default();
        own.push_back(Activity {
            number: self.number,
            at,
            answer,
        });
        while own.len() > MOST || own.front().is_some_and(|first| at.since(first.at) > KEPT) {
            own.pop_front();
        }
    }

    /// Latest first, as the service tells them.
    pub(super) fn of(&self, environment: EnvironmentIndex) -> impl Iterator<Item = &Activity> {
        self.all.get(&environment).into_iter().flatten().rev()
    }
}

impl Activity {
    /// Its id.
    pub(super) fn id(&self, names: &Names) -> String {
        names.uuid(ACTIVITY, self.number)
    }

    pub(super) const fn has_failed(&self) -> bool {
        matches!(self.answer, Launch::Refused(..))
    }
}

/// Whether AWS Batch launches through an Auto Scaling group. For BEST_FIT on Spot it is a Spot Fleet.
pub(super) fn has_group(spec: &EnvironmentSpec) -> bool {
    let fleet = spec.purchase == Purchase::Spot && spec.allocation == Allocation::BestFit;
    matches!(spec.platform, Platform::Ec2 | Platform::Eks) && !fleet
}

impl State {
    /// The name of an environment's group.
    pub(super) fn group_name(&self, environment: EnvironmentIndex) -> String {
        let name = self.environment_name(environment);
        format!(
            "AWSBatch-{name}-asg-{}",
            self.names.uuid(GROUP, to_u64(environment.position()))
        )
    }

    /// Launches that EC2 refused since, latest first.
    pub(super) fn failed_launches(&self, environment: EnvironmentIndex, since: Time) -> Vec<FailedLaunch> {
        let spec = self.scenario.environments.get(environment.position());
        if !spec.is_some_and(has_group) {
            return Vec::new();
        }
        let after = self.activities.of(environment).take_while(|one| one.at > since);
        let told = after.filter_map(|activity| {
            let (code, message) = self.refusal_of(environment, activity)?;
            Some(FailedLaunch {
                at: activity.at,
                code: code.to_owned(),
                message,
                quota: None,
                source: LaunchSource::AutoScaling,
            })
        });
        told.collect()
    }

    /// EC2's code and Auto Scaling's words for a launch that was refused; `None` for any other. The words are as people have
    /// quoted them: they hold no code where EC2 answers by itself, and that of the fleet where one was asked.
    pub(super) fn refusal_of(
        &self,
        environment: EnvironmentIndex,
        activity: &Activity,
    ) -> Option<(&'static str, String)> {
        let Launch::Refused(offer, why) = activity.answer else {
            return None;
        };
        let spec = self.scenario.environments.get(environment.position())?;
        let types = self.scenario.topology_types(spec);
        let name = types.get(to_usize(offer)).map_or("", |one| one.name.as_str());
        let (code, words) = match (why, spec.purchase) {
            (Shortage::Quota(limit), Purchase::OnDemand) => (
                "VcpuLimitExceeded",
                format!(
                    "You have requested more vCPU capacity than your current vCPU limit of {} allows for the instance bucket \
                     that the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to \
                     request an adjustment to this limit.",
                    limit.get()
                ),
            ),
            (Shortage::Quota(_), Purchase::Spot) => (
                "MaxSpotInstanceCountExceeded",
                "Max spot instance count exceeded.".to_owned(),
            ),
            (Shortage::Capacity, Purchase::OnDemand) => (
                "InsufficientInstanceCapacity",
                format!(
                    "InsufficientInstanceCapacity: We currently do not have sufficient {name} capacity in the Availability Zone \
                     you requested ({}). Our system will be working on provisioning additional capacity.",
                    zone_name(&self.names.region, 0)
                ),
            ),
            (Shortage::Capacity, Purchase::Spot) => (
                "UnfulfillableCapacity",
                "Could not launch Spot Instances. UnfulfillableCapacity - Unable to fulfill capacity due to your request \
                 configuration. Please adjust your request and try again."
                    .to_owned(),
            ),
        };
        Some((code, format!("{words} Launching EC2 instance failed.")))
    }
}
