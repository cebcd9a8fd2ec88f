//! The ledger of limits: maxvCpus, caps, step limits, service quotas. Always clamps, never refuses, names what bound.
//!
//! Batch may exceed a limit by one instance ("never exceeds maxvCpus by more than a single instance", AWS Batch API
//! reference, ComputeResource), so each environment's share of a quota keeps room for its largest type; on a quota so small
//! that this would leave nothing, a tenth of the quota is kept instead.

use crate::ids::EnvironmentIndex;
use crate::observation::Seen;
use crate::overrides::Order;
use crate::planner::Inputs;
use crate::planner::memory::Supply;
use crate::planner::plan::{Limit, Plan};
use crate::planner::supply::{failed_last, probe_size};
use crate::setup::EnvironmentSetup;
use crate::units::Vcpus;

/// Opens the ledger: what every environment, quota and the account still allow.
pub(crate) fn open(inputs: &Inputs<'_>, plan: &mut Plan) {
    open_quotas(inputs, plan);
    let total: Vcpus = plan.scratch.pools.iter().map(|pool| pool.committed).sum();
    plan.scratch.account_left = inputs
        .setup
        .account_cap
        .map_or(Vcpus::MAX, |cap| cap.minus_or_zero(total));
    for (position, setup) in inputs.setup.environments.iter().enumerate() {
        own_limits(inputs, position, setup, plan);
    }
}

fn open_quotas(inputs: &Inputs<'_>, plan: &mut Plan) {
    plan.scratch.quota_left.clear();
    for (position, setup) in inputs.setup.quotas.iter().enumerate() {
        let seen = inputs.observation.quotas.get(position).and_then(Seen::value);
        let limit = match (seen.map(|quota| quota.limit), setup.limit) {
            (Some(seen), Some(policy)) => Some(seen.min(policy)),
            (seen, policy) => seen.or(policy),
        };
        let others = seen.map_or(Vcpus::ZERO, |quota| quota.used_by_others);
        let left = limit.map_or(Vcpus::MAX, |limit| {
            let mut held = setup.reserve + others;
            for (environment, pool) in inputs.setup.environments.iter().zip(&plan.scratch.pools) {
                if environment.quota.is_some_and(|quota| quota.position() == position) {
                    let overshoot = Vcpus::new(environment.largest.get() - 1).min(limit.scaled_down(1, 10));
                    held += pool.committed + overshoot;
                }
            }
            limit.minus_or_zero(held)
        });
        plan.scratch.quota_left.push(left);
    }
}

/// What the environment alone limits: the tightest of its state, a drought, maxvCpus, cap and step. `min_by_key` keeps the
/// first of equals, so this is also the order in which they are named.
fn own_limits(inputs: &Inputs<'_>, position: usize, setup: &EnvironmentSetup, plan: &mut Plan) {
    let (Some(pool), Some(levels)) = (
        plan.scratch.pools.get_mut(position),
        inputs.observation.environments.get(position).and_then(Seen::value),
    ) else {
        return;
    };
    let supply = plan
        .scratch
        .environments
        .get(position)
        .map(|memory| memory.supply)
        .unwrap_or_default();
    let unfulfilled = pool.committed.minus_or_zero(plan.environments[position].there);
    let probe = probe_size(setup, levels.max_vcpus).minus_or_zero(unfulfilled);
    let failing = inputs
        .observation
        .instances
        .get(position)
        .and_then(Seen::value)
        .is_some_and(failed_last);
    let drought = match supply {
        Supply::Drought { .. } => Some(Vcpus::ZERO),
        Supply::Probing { .. } => Some(probe),
        Supply::Delivers => failing.then_some(probe),
    };
    let stopped = matches!(pool.order, Some(Order::Pause | Order::Drain));
    let own = [
        stopped.then_some((Vcpus::ZERO, Limit::Override)),
        (!pool.may_raise).then_some((Vcpus::ZERO, Limit::NotSteerable)),
        drought.map(|left| (left, Limit::Drought)),
        Some((levels.max_vcpus.minus_or_zero(pool.committed), Limit::MaxVcpus)),
        setup.cap.map(|cap| (cap.minus_or_zero(pool.committed), Limit::Cap)),
        setup.max_step.map(|step| (step, Limit::Step)),
    ];
    let tightest = own.into_iter().flatten().min_by_key(|(left, _)| *left);
    pool.wasteful_limit = levels.max_vcpus.scaled_down(1, 2).minus_or_zero(pool.committed);
    if let Some((left, limit)) = tightest {
        (pool.own_limit, pool.own_limit_kind) = (left, Some(limit));
    }
}

/// How much more an environment may be asked for, and what says so.
pub(crate) fn left(inputs: &Inputs<'_>, environment: EnvironmentIndex, plan: &Plan) -> (Vcpus, Limit) {
    let position = environment.position();
    let pool = &plan.scratch.pools[position];
    let mut tightest = (pool.own_limit, pool.own_limit_kind.unwrap_or(Limit::NotSteerable));
    if plan.scratch.account_left < tightest.0 {
        tightest = (plan.scratch.account_left, Limit::AccountCap);
    }
    if let Some(quota) = inputs.setup.environments.get(position).and_then(|setup| setup.quota)
        && let Some(&left) = plan.scratch.quota_left.get(quota.position())
        && left < tightest.0
    {
        tightest = (left, Limit::Quota(quota));
    }
    tightest
}

/// Books a grant.
pub(crate) fn book(inputs: &Inputs<'_>, environment: EnvironmentIndex, granted: Vcpus, plan: &mut Plan) {
    let position = environment.position();
    let pool = &mut plan.scratch.pools[position];
    pool.own_limit -= granted;
    pool.wasteful_limit = pool.wasteful_limit.minus_or_zero(granted);
    if plan.scratch.account_left != Vcpus::MAX {
        plan.scratch.account_left -= granted;
    }
    if let Some(quota) = inputs.setup.environments.get(position).and_then(|setup| setup.quota)
        && let Some(left) = plan.scratch.quota_left.get_mut(quota.position())
        && *left != Vcpus::MAX
    {
        *left -= granted;
    }
}
