//! How AWS Batch, EC2 and Spot behave: every number and every open question in one place, each with where it comes from.
//!
//! Nobody outside AWS knows these for sure. A value that no recording and no document supports says *assumed*; a result is
//! worth as much as its order of policies holds when such a value is changed.

use serde::{Deserialize, Serialize};

use super::distribution::Distribution;
pub use crate::input::values::Duration as Lasting;
use crate::units::Span;

/// Declares the parameters once: the model, what a scenario may override, and the provenance table.
macro_rules! parameters {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:ty, $source:literal;)+) => {
        /// A complete model of AWS Batch.
        #[derive(Clone, Debug, PartialEq)]
        pub struct BatchModel {
            /// What it is called.
            pub name: &'static str,
            $($(#[doc = $doc])+ #[doc = concat!("\n\nSource: ", $source, ".")] pub $name: $kind,)+
        }

        /// What a scenario changes of the named model.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct Overrides {
            $($(#[doc = $doc])+ #[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<$kind>,)+
        }

        impl BatchModel {
            /// This model with some of its parameters changed.
            pub fn with(mut self, overrides: &Overrides) -> Self {
                $(if let Some(value) = &overrides.$name { self.$name = value.clone(); })+
                self
            }

            /// Every parameter, as overrides that make this model of any other.
            pub fn into_overrides(self) -> Overrides {
                Overrides { $($name: Some(self.$name)),+ }
            }

            /// Each parameter and where its default comes from.
            pub fn provenance() -> &'static [(&'static str, &'static str)] {
                &[$((stringify!($name), $source)),+]
            }
        }
    };
}

parameters! {
    /// From RUNNABLE work without room to the launch.
    decision_delay: Distribution,
        "assumed; recordings of 2023-25 identify only the sum of decision, pending and boot (131 to 442 s by environment)";
    /// Looks happen only at multiples of this, per environment with its own phase. `0s`: no periodic look, work is
    /// answered after `decision_delay`.
    evaluation_interval: Lasting,
        "recent: none is visible in recordings of 2023-25; folk-2020: 600 s as users reported until 2021 (awsdocs/aws-batch-user-guide issue 10)";
    /// An environment without instances is looked at without waiting for its interval.
    looks_at_once_when_idle: bool, "assumed";
    /// No launch in this time after an instance of the environment was released.
    cooldown_after_scale_in: Lasting,
        "folk-2020: 300 s (aws/aws-cdk issue 10943); recent: assumed none";
    /// From the launch to EC2's state running. Not billed.
    pending: Distribution, "brevdev/ec2-coldboot-research: about 16.5 s whatever the family";
    /// From running to a registered container instance, On-Demand. Billed. A scenario sets it per environment.
    boot_on_demand: Distribution,
        "recordings of 2023: fresh On-Demand capacity without NVMe set-up after 119 to 270 s in all, fitted sum 209 s; less decision and pending";
    /// The same on Spot.
    boot_spot: Distribution,
        "recordings of 2025: fresh Spot capacity after 110 to 390 s in all, fitted sum 229 s; less decision and pending";
    /// From room to STARTING.
    dispatch: Distribution, "recordings of 2023-25: 4 to 11 s onto warm room";
    /// The image pull before the first job of a name on an instance; part of STARTING.
    pull: Distribution, "recordings of 2023-25: 10 to 17 s more for the first task of a process on an instance";
    /// From STARTING with the image there to RUNNING.
    container_start: Distribution, "assumed";
    /// How long an idle On-Demand instance is kept.
    idle_on_demand: Distribution, "recordings of 2023: 1 to 2 min";
    /// How long an idle Spot instance is kept.
    idle_spot: Distribution, "assumed; recordings of 2025 contradict each other (gone after 262 s, reused after 1,740 s)";
    /// A scale-up takes the smallest size with at least this many vCPUs of which two suffice.
    smallest_launched_vcpus: i64, "recordings of 2023, about ten scale-ups: 4xlarge (16 vCPUs) or larger";
    /// A launch may end above maxvCpus by less than one instance. Never with BEST_FIT On-Demand.
    overshoots_max: bool, "AWS Batch API reference, ComputeResource: exceeds maxvCpus by no more than a single instance";
    /// From a raised minvCpus to the launch, if desiredvCpus was not raised with it.
    min_raise_delay: Distribution, "assumed";
    /// How long a desiredvCpus beyond minvCpus survives without RUNNABLE jobs.
    desired_kept: Lasting, "assumed; aws/aws-parallelcluster issue 2389 says only `quickly`";
    /// How long a scaling update keeps its environment UPDATING.
    updating: Distribution, "assumed; AWS Batch user guide: within minutes";
    /// A launch that failed is tried again after this.
    launch_retry: Lasting, "assumed";
    /// Multiplies the interruption rates of the Spot advisor.
    interruption_factor: f64, "1: the bands as published";
    /// A reclaim takes this share of a pool's instances; it comes as much more often.
    interrupted_share: f64, "assumed";
    /// How long before a Spot interruption the instance starts to drain.
    interruption_warning: Lasting, "Amazon EC2 user guide, Spot Instance interruption notices: two minutes, best effort";
    /// An environment short of capacity for this long is passed over for the next in order. `0s`: never.
    next_environment_after: Lasting, "assumed never; no document says how long a Spot shortage takes to count";
    /// A job that does not fit holds all jobs behind it in its queue.
    head_of_line_blocking: bool,
        "AWS Batch user guide, job scheduling: first in, first out; whether smaller jobs may pass a blocked head is not documented: assumed not";
    /// Batch counts capacity that a raised minvCpus or desiredvCpus started when it computes what to launch.
    counts_capacity_of_updates: bool, "assumed";
    /// Batch scales an environment that is UPDATING because of a scaling update.
    scales_while_updating: bool, "assumed";
    /// Jobs are placed on idle capacity of a later environment although an earlier one could still grow.
    places_on_later_environments: bool, "assumed";
    /// An update may set maxvCpus below desiredvCpus.
    accepts_max_below_desired: bool, "assumed not; ASFHyP3/hyp3 issue 2965 reports that it does not work";
    /// An update may raise minvCpus above desiredvCpus without naming desiredvCpus.
    accepts_min_above_desired: bool, "assumed; the user guide's example sends minvCpus without desiredvCpus";
    /// Launches that are still unfulfilled when minvCpus falls are kept until Batch's next look.
    keeps_unfulfilled_when_min_falls: bool, "assumed not";
    /// A lowered minvCpus ends instances that never ran a job at once, without their idle time.
    ends_unused_at_once: bool, "assumed not";
}

impl BatchModel {
    /// The names that [`BatchModel::named`] knows.
    pub const NAMES: [&'static str; 2] = ["recent", "folk-2020"];

    /// A model by its name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "recent" => Some(Self::recent()),
            "folk-2020" => Some(Self::folk_2020()),
            _ => None,
        }
    }

    /// AWS Batch as recordings of 2023 to 2025 show it; assumed until a recording of one's own has been fitted.
    pub fn recent() -> Self {
        Self {
            name: "recent",
            decision_delay: Distribution::seconds(10),
            evaluation_interval: Lasting(Span::ZERO),
            looks_at_once_when_idle: true,
            cooldown_after_scale_in: Lasting(Span::ZERO),
            pending: Distribution::Constant(Span::from_millis(16_500)),
            boot_on_demand: three_quantiles(92, 182, 243),
            boot_spot: three_quantiles(83, 202, 363),
            dispatch: Distribution::Uniform(Span::from_seconds(4), Span::from_seconds(11)),
            pull: Distribution::Uniform(Span::from_seconds(10), Span::from_seconds(17)),
            container_start: Distribution::seconds(1),
            idle_on_demand: Distribution::Uniform(Span::from_seconds(60), Span::from_seconds(120)),
            idle_spot: Distribution::Uniform(Span::from_seconds(60), Span::from_seconds(262)),
            smallest_launched_vcpus: 16,
            overshoots_max: true,
            min_raise_delay: Distribution::Uniform(Span::from_seconds(10), Span::from_seconds(30)),
            desired_kept: Lasting::seconds(60),
            updating: Distribution::Uniform(Span::from_seconds(5), Span::from_seconds(30)),
            launch_retry: Lasting::seconds(60),
            interruption_factor: 1.0,
            interrupted_share: 0.25,
            interruption_warning: Lasting::seconds(120),
            next_environment_after: Lasting(Span::ZERO),
            head_of_line_blocking: true,
            counts_capacity_of_updates: true,
            scales_while_updating: true,
            places_on_later_environments: true,
            accepts_max_below_desired: false,
            accepts_min_above_desired: true,
            keeps_unfulfilled_when_min_falls: false,
            ends_unused_at_once: false,
        }
    }

    /// AWS Batch as users described it until 2021: a look every ten minutes and a cooldown after scale-in.
    pub fn folk_2020() -> Self {
        Self {
            name: "folk-2020",
            decision_delay: Distribution::seconds(10),
            evaluation_interval: Lasting::seconds(600),
            cooldown_after_scale_in: Lasting::seconds(300),
            ..Self::recent()
        }
    }

    /// Nothing takes time and nothing is billed by chance: for pools that never change, and for tests.
    pub fn instant() -> Self {
        Self {
            name: "instant",
            decision_delay: Distribution::ZERO,
            pending: Distribution::ZERO,
            boot_on_demand: Distribution::ZERO,
            boot_spot: Distribution::ZERO,
            dispatch: Distribution::ZERO,
            pull: Distribution::ZERO,
            container_start: Distribution::ZERO,
            min_raise_delay: Distribution::ZERO,
            updating: Distribution::ZERO,
            interruption_factor: 0.0,
            ..Self::recent()
        }
    }
}

fn three_quantiles(low: i64, middle: i64, high: i64) -> Distribution {
    Distribution::Quantiles(vec![
        (0.0, Span::from_seconds(low)),
        (0.5, Span::from_seconds(middle)),
        (1.0, Span::from_seconds(high)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_says_where_it_comes_from() {
        for (name, source) in BatchModel::provenance() {
            assert!(source.len() > 6, "{name}: {source}");
        }
    }

    #[test]
    fn named_models_exist_and_carry_their_name() {
        for name in BatchModel::NAMES {
            assert_eq!(BatchModel::named(name).map(|model| model.name), Some(name));
        }
        assert_eq!(BatchModel::named("newest"), None);
    }
}
