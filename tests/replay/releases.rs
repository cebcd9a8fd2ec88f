//! No policy can make AWS Batch release an instance earlier than it would by itself.

use autotune::simulate::drive::Drive;
use autotune::simulate::model::Lasting;
use autotune::units::Span;
use proptest::prelude::*;

use crate::worlds::{alone, on_demand, policies, policy, spot, steered, traces};

/// The shortest that the model `recent` keeps an idle instance: `idle_on_demand` and `idle_spot` begin here.
const SHORTEST_IDLE: Span = Span::from_seconds(60);

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_policy_releases_an_instance_earlier_than_stock_would(
        seed in 0_u64..1_000, situation in 0_usize..4, on_spot in any::<bool>(), delay in prop_oneof![Just(0_i64), 20_i64..60],
    ) {
        let mut scenario = if on_spot { spot() } else { on_demand() };
        let delay = Span::from_minutes(delay);
        for environment in &mut scenario.environments {
            environment.scale_down_delay = Lasting(delay);
        }
        let (name, trace) = traces(seed).swap_remove(situation);
        let stock = alone(&scenario, &trace, seed);
        prop_assert!(!stock.releases.is_empty());
        for policy_name in policies() {
            let (result, _) = steered(&scenario, &trace, &policy(policy_name), Drive::default(), seed);
            for release in stock.releases.iter().chain(&result.releases) {
                let idle = release.at.since(release.idle_since);
                let least = if release.ran { SHORTEST_IDLE.max(delay) } else { SHORTEST_IDLE };
                prop_assert!(idle >= least, "{name} {policy_name}: {release:?} after {idle}, not {least}");
                prop_assert!(release.left >= release.min, "{name} {policy_name}: below minvCpus: {release:?}");
            }
        }
    }
}
