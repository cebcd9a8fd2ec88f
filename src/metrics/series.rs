//! Which series there are: those that always are, and those of a setup.

use std::collections::BTreeSet;

use super::families::{self, ALL, Family};
use super::{MESSAGES, OUTCOMES, PURCHASES, SOURCES, Series, UNFIT, outcome_label, refusal_label};
use crate::explain::{self, Coded as _};
use crate::planner::plan::{Because, Limit, Part, QuotaPlan};
use crate::setup::Setup;

/// What hints tell of.
pub(super) const HINTS: [&str; 7] = [
    "job",
    "blocked",
    "instance",
    "interruption",
    "malformed",
    "duplicate",
    "dropped",
];
/// What can fail: reading a part of the account, receiving events, arming a guard.
pub(super) const ERRORS: [&str; 3] = ["reading", "events", "guard"];
/// What an update does to minvCpus or maxvCpus.
pub(super) const DIRECTIONS: [&str; 2] = ["raise", "lower"];

/// Series that no setup adds or takes away.
pub(super) fn global_series() -> Vec<(&'static Family, Vec<&'static str>)> {
    let alone = ALL
        .iter()
        .filter(|family| family.labels.is_empty())
        .map(|family| (family, Vec::new()));
    let mut series: Vec<_> = alone.collect();
    let each =
        |family: &'static Family, values: Vec<&'static str>| values.into_iter().map(move |value| (family, vec![value]));
    series.extend(each(&families::HINTS, HINTS.to_vec()));
    series.extend(each(&families::ERRORS, ERRORS.to_vec()));
    series.extend(each(&families::REASONS, deciding_reasons().into_iter().collect()));
    series.extend(each(&families::COST, PURCHASES.to_vec()));
    let details = |family: &Family| -> Vec<&'static str> {
        let examples = explain::examples();
        let own = examples.iter().filter(|reason| {
            (matches!(reason.because, Because::Limit(limit, _) if limit_label(limit) == limit.code())
                && *family == families::LIMITED)
                || (matches!(reason.because, Because::Hold(..)) && *family == families::HELD)
                || (matches!(reason.because, Because::NotDemand(..)) && *family == families::ELSEWHERE)
        });
        own.filter_map(|reason| explain::detail(&reason.because)).collect()
    };
    for family in [&families::LIMITED, &families::HELD, &families::ELSEWHERE] {
        series.extend(each(family, details(family)));
    }
    series.push((&families::ELSEWHERE, vec![UNFIT]));
    series
}

/// A quota that was not read yet denies as one that is used up does: for counting it is the same limit.
pub(super) fn limit_label(limit: Limit) -> &'static str {
    if let Limit::QuotaUnread(index) = limit {
        Limit::Quota(index, QuotaPlan::default()).code()
    } else {
        limit.code()
    }
}

/// The series of a setup's environments, queues, SQS sources and quotas.
pub(super) fn setup_series(setup: &Setup) -> BTreeSet<Series> {
    let mut series = BTreeSet::new();
    for family in ALL {
        let names: Vec<&String> = match family.labels.first() {
            Some(&"environment") => setup.environments.iter().map(|e| &e.name).collect(),
            Some(&"queue") => setup.queues.iter().map(|q| &q.name).collect(),
            Some(&"source") => setup.sqs_sources.iter().map(|s| &s.name).collect(),
            Some(&"code") => setup.quotas.iter().map(|q| &q.code).collect(),
            _ => continue,
        };
        let second: Vec<&str> = match family.name {
            name if name == families::AGE.name => vec![Part::Environment.code(), Part::Instances.code()],
            name if name == families::UPDATES.name => OUTCOMES.into_iter().map(outcome_label).collect(),
            name if name == families::REFUSED.name => explain::refusals().map(refusal_label).collect(),
            name if name == families::DECISIONS.name => DIRECTIONS.to_vec(),
            name if name == families::SQS.name => MESSAGES.to_vec(),
            name if name == families::STARTED.name => SOURCES.to_vec(),
            _ => Vec::new(),
        };
        for name in names {
            if second.is_empty() {
                series.insert((family.name, vec![name.clone()]));
            }
            series.extend(
                second
                    .iter()
                    .map(|value| (family.name, vec![name.clone(), (*value).to_owned()])),
            );
        }
    }
    series
}

fn deciding_reasons() -> BTreeSet<&'static str> {
    explain::examples()
        .iter()
        .filter(|reason| decides(&reason.because))
        .map(|reason| reason.because.code())
        .collect()
}

/// Whether an update in a plan can have this as its main reason.
pub(super) const fn decides(because: &Because) -> bool {
    match because {
        Because::Waiting(_)
        | Because::Messages(_)
        | Because::Arriving(_)
        | Because::Headroom(_)
        | Because::RecentlyUsed(_)
        | Because::Fallback(..)
        | Because::Served
        | Because::LessWanted(_)
        | Because::Drought(_)
        | Because::Probing(_)
        | Because::Blind(..)
        | Because::HeldInVain
        | Because::WithinQuota(..)
        | Because::MovesOn
        | Because::MaxRestored
        | Because::Ordered(..) => true,
        Because::Scheduled(_)
        | Because::Recovered
        | Because::Limit(..)
        | Because::BeyondQuota(..)
        | Because::LaunchRefused(..)
        | Because::Patience(_)
        | Because::Hold(..)
        | Because::NotDemand(..)
        | Because::Unfit(_)
        | Because::WrongShape(_)
        | Because::Stalled(_)
        | Because::NotPlaced
        | Because::DoubleLaunch(_)
        // The controller restores by itself, beside every plan.
        | Because::LeaseExpired => false,
    }
}
