//! The ledger of limits: maxvCpus, caps, step limits, service quotas. Always clamps, never refuses, names what bound.
//!
//! **Service quotas.** A row of the ledger is one quota: its limit, what others use of it, what our environments hold, what is on
//! its way, a reserve, and room for the overshoot of Batch, which may exceed a limit "by no more than a single instance" (AWS
//! Batch API reference, `ComputeResource`): the largest type of every environment that may launch, together at most half of the
//! quota, for a small one would otherwise be of no use to environments with large types.
//!
//! An environment whose types are of several classes draws from several quotas, and nobody says from which Batch will launch. So
//! that none is ever exceeded, an ask has to fit into each that counts a type which holds the job, and is booked in all of
//! them; what is on its way counts in all of them too. Only a quota in which not even the smallest of these types fits (accelerator
//! quotas are 0 by default) is left out beside others: nothing can be launched under it.

use crate::catalog;
use crate::ids::{EnvironmentIndex, QuotaIndex};
use crate::observation::{GapReason, Seen};
use crate::overrides::Order;
use crate::planner::Inputs;
use crate::planner::memory::Supply;
use crate::planner::plan::{Limit, Plan, QuotaPlan};
use crate::planner::scratch::{Row, Source};
use crate::planner::supply::{failed_last, probe_size};
use crate::setup::{EnvironmentSetup, Limits, QuotaShare};
use crate::units::{Vcpus, to_i64};

/// Opens the ledger: what every environment, quota and the account still allow.
pub(crate) fn open(inputs: &Inputs<'_>, plan: &mut Plan) {
    for position in 0..inputs.setup.quotas.len() {
        plan.quotas[position] = open_quota(inputs, QuotaIndex::at(position), plan);
    }
    let total: Vcpus = plan.scratch.pools.iter().map(|pool| pool.committed).sum();
    plan.scratch.account_left = inputs
        .setup
        .account_cap
        .map_or(Vcpus::MAX, |cap| cap.minus_or_zero(total));
    for (position, setup) in inputs.setup.environments.iter().enumerate() {
        own_limits(inputs, position, setup, plan);
    }
}

fn open_quota(inputs: &Inputs<'_>, quota: QuotaIndex, plan: &Plan) -> QuotaPlan {
    let position = quota.position();
    let setup = inputs.setup.quotas.get(position);
    let part = inputs.observation.quotas.get(position);
    let seen = part.and_then(Seen::value);
    let limit = match (seen.map(|quota| quota.limit), setup.and_then(|setup| setup.limit)) {
        (Some(seen), Some(policy)) => Some(seen.min(policy)),
        (seen, policy) => seen.or(policy),
    };
    let limit = limit.filter(|limit| *limit < Vcpus::MAX);
    let mut row = QuotaPlan {
        limit,
        unread: matches!(part, Some(Seen::Missing(gap)) if gap.why == GapReason::NotReadYet),
        used_by_others: seen.map(|quota| quota.used_by_others),
        reserve: setup.map_or(Vcpus::ZERO, |setup| setup.reserve),
        ..QuotaPlan::default()
    };
    let mut launching = 0;
    for (at, environment) in inputs.setup.environments.iter().enumerate() {
        let Some(share) = environment.quotas.iter().find(|share| share.quota == quota) else {
            continue;
        };
        let stands = standing(inputs, at, share, limit, plan);
        row.held += stands.held;
        row.on_its_way += stands.on_its_way;
        launching += to_i64(usize::from(may_launch(inputs, at)));
    }
    if let Some(limit) = limit {
        let most = limit.scaled_down(1, 2 * launching.max(1));
        row.overshoot = members(inputs, quota)
            .filter(|(at, _)| may_launch(inputs, *at))
            .map(|(_, share)| share.largest.min(most))
            .sum();
        row.left = limit.minus_or_zero(row.taken());
    }
    row
}

/// The environments that draw from a quota.
pub(crate) fn members<'a>(
    inputs: &Inputs<'a>,
    quota: QuotaIndex,
) -> impl Iterator<Item = (usize, &'a QuotaShare)> + use<'a> {
    let environments = inputs.setup.environments.iter().enumerate();
    environments.filter_map(move |(at, environment)| {
        let share = environment.quotas.iter().find(|share| share.quota == quota)?;
        Some((at, share))
    })
}

/// What is not VALID and ENABLED launches nothing, so it cannot overshoot.
pub(crate) fn may_launch(inputs: &Inputs<'_>, position: usize) -> bool {
    let now = inputs.observation.environments.get(position).and_then(Seen::value);
    now.is_none_or(|now| now.valid && now.enabled)
}

/// What of an environment stands in a quota.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    /// Instances of types that this quota counts.
    pub(crate) held: Vcpus,
    /// On its way, or of a type that is not told: it may be under this quota.
    pub(crate) on_its_way: Vcpus,
    /// Instances of types that it does not count.
    pub(crate) elsewhere: Vcpus,
}

pub(crate) fn standing(
    inputs: &Inputs<'_>,
    position: usize,
    share: &QuotaShare,
    limit: Option<Vcpus>,
    plan: &Plan,
) -> Standing {
    let committed = plan
        .scratch
        .pools
        .get(position)
        .map_or(Vcpus::ZERO, |pool| pool.committed);
    let there = plan.environments.get(position).map_or(Vcpus::ZERO, |sums| sums.there);
    let Some(setup) = inputs.setup.environments.get(position) else {
        return Standing::default();
    };
    if setup.quotas.len() < 2 {
        return Standing {
            held: there,
            on_its_way: committed.minus_or_zero(there),
            elsewhere: Vcpus::ZERO,
        };
    }
    let mut stands = Standing::default();
    let code = inputs
        .setup
        .quotas
        .get(share.quota.position())
        .map(|quota| quota.code.as_str());
    let instances = inputs.observation.instances.get(position).and_then(Seen::value);
    for (name, vcpus) in instances.iter().flat_map(|instances| &instances.types) {
        if catalog::quota_code(name, setup.purchase) == code {
            stands.held += *vcpus;
        } else {
            stands.elsewhere += *vcpus;
        }
    }
    if is_open(share, limit) {
        stands.on_its_way = committed.minus_or_zero(stands.held + stands.elsewhere);
    }
    stands
}

/// Whether anything of the environment can be launched under a quota at all.
fn is_open(share: &QuotaShare, limit: Option<Vcpus>) -> bool {
    limit.is_none_or(|limit| share.smallest <= limit)
}

/// Whether Batch may take what is asked for a job (for no job in particular: for anything) from this of the environment's quotas.
pub(crate) fn draws(setup: &EnvironmentSetup, share: &QuotaShare, row: Option<&Row>, quotas: &[QuotaPlan]) -> bool {
    // Ahead of jobs Batch launches what it likes.
    let ask = row
        .filter(|row| row.source == Source::Waiting)
        .map(|row| row.shape.resources);
    let holds = |share: &QuotaShare| ask.is_none_or(|ask| share.fits.iter().any(|room| room.hold(&ask)));
    let open = |share: &QuotaShare| is_open(share, quotas.get(share.quota.position()).and_then(|row| row.limit));
    match setup.quotas.as_slice() {
        [] | [_] => true,
        all => holds(share) && (open(share) || !all.iter().any(|other| holds(other) && open(other))),
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

/// How much more an environment may be asked for by itself and by the account, and what says so. Quotas depend on the job.
pub(crate) fn left(environment: EnvironmentIndex, plan: &Plan) -> (Vcpus, Limit) {
    let pool = &plan.scratch.pools[environment.position()];
    let own = (pool.own_limit, pool.own_limit_kind.unwrap_or(Limit::NotSteerable));
    if plan.scratch.account_left < own.0 {
        return (plan.scratch.account_left, Limit::AccountCap);
    }
    own
}

/// What may be asked for at most and what says so, with the quotas. Those that are only reported bind nothing; one that was not
/// read yet lets nothing pass, for a moment. (One that cannot be read is as good as none.)
pub(crate) fn within_quotas(
    setup: &EnvironmentSetup,
    row: Option<&Row>,
    (allowed, limit): (Vcpus, Limit),
    quotas: &[QuotaPlan],
) -> (Vcpus, Limit) {
    if setup.limits == Limits::Report {
        return (allowed, limit);
    }
    if let Some(unread) = unread(setup, quotas) {
        return (Vcpus::ZERO, Limit::QuotaUnread(unread));
    }
    let binding = quota_left(setup, row, quotas);
    match binding.filter(|(left, _)| *left < allowed) {
        Some((left, quota)) => (left, Limit::Quota(quota, QuotaPlan::default())),
        None => (allowed, limit),
    }
}

/// A quota of the environment that was not read yet.
pub(crate) fn unread(setup: &EnvironmentSetup, quotas: &[QuotaPlan]) -> Option<QuotaIndex> {
    let of = setup.quotas.iter().map(|share| share.quota);
    let mut unread = of.filter(|quota| quotas.get(quota.position()).is_some_and(|row| row.unread));
    unread.next()
}

/// How much more quotas allow an environment for a job, and which allows least.
fn quota_left(setup: &EnvironmentSetup, row: Option<&Row>, quotas: &[QuotaPlan]) -> Option<(Vcpus, QuotaIndex)> {
    let drawn = setup.quotas.iter().filter(|share| draws(setup, share, row, quotas));
    let left = drawn.filter_map(|share| {
        let row = quotas.get(share.quota.position())?;
        row.limit.map(|_| (row.left, share.quota))
    });
    left.min_by_key(|(left, _)| *left)
}

/// Books a grant for a job in its quotas. What is only reported may go beyond: says by how much, and of which.
pub(crate) fn book_quotas(
    setup: &EnvironmentSetup,
    row: Option<&Row>,
    granted: Vcpus,
    quotas: &mut [QuotaPlan],
) -> Option<(QuotaIndex, Vcpus)> {
    let beyond = quota_left(setup, row, quotas)
        .map(|(left, quota)| (quota, granted.minus_or_zero(left)))
        .filter(|(_, beyond)| setup.limits == Limits::Report && !beyond.is_zero());
    for share in &setup.quotas {
        let draws = draws(setup, share, row, quotas);
        if let (Some(row), true) = (quotas.get_mut(share.quota.position()), draws) {
            row.granted += granted;
            row.left = row.left.minus_or_zero(granted);
        }
    }
    beyond
}

/// Books what was granted to an environment, but for quotas.
pub(crate) fn book(environment: EnvironmentIndex, granted: Vcpus, plan: &mut Plan) {
    let pool = &mut plan.scratch.pools[environment.position()];
    pool.own_limit -= granted;
    pool.wasteful_limit = pool.wasteful_limit.minus_or_zero(granted);
    if plan.scratch.account_left != Vcpus::MAX {
        plan.scratch.account_left -= granted;
    }
}
