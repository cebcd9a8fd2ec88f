//! What was read becomes the [`Observation`]. A part that cannot be read keeps its last value with the old time (the planner
//! judges its age), or stays a gap if it never had one; either way it is known here by name, with the reason.

use std::collections::{BTreeMap, BTreeSet};

use super::cadence::Part;
use super::cloud::{EnvironmentRead, FailedLaunch, QuotaRead, Unread};
use super::listing::Listed;
use crate::account::Platform;
use crate::account::survey::Counted;
use crate::catalog::{self, Purchase};
use crate::ids::{EnvironmentIndex, QueueIndex};
use crate::jobs::{Attempt, JobSeen};
use crate::observation::{
    Gap, GapReason, InstancesNow, NotDemand, Observation, QuotaNow, Refusal, Refused, Seen, SqsNow, Tally,
};
use crate::setup::{EnvironmentSetup, Setup};
use crate::units::{MicroUsd, Span, Time, Vcpus};

/// A count of instances of before that says nothing of which of them are ours now.
const COUNT_MATCHES: Span = Span::from_minutes(1);
/// So many refused launches are kept per environment: enough to show what goes on, and to know those that are told twice.
const REFUSED_MOST: usize = 20;
/// Refused launches of before that are history.
const REFUSED_FOR: Span = Span::from_minutes(60);

/// Spot prices of before that are too old to go by.
const PRICES_FOR: Span = Span::from_minutes(180);

/// What is seen, and what only people want to know of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    pub(super) observation: Observation,
    environments: Vec<String>,
    /// Those of them whose instances are container instances of ECS.
    counted_in_ecs: Vec<String>,
    /// Those of them behind which EC2 instances are launched, so that a launch may be refused.
    launching: Vec<String>,
    /// Those of them whose instances are Spot Instances.
    spot: Vec<String>,
    queues: Vec<String>,
    sqs: Vec<String>,
    quotas: Vec<String>,
    /// Environments as they were last read, by name.
    pub(super) read: BTreeMap<String, EnvironmentRead>,
    /// Queues, by name.
    pub(super) queues_read: BTreeMap<String, QueueExtra>,
    /// When launches in an environment were last said to fail, by name. Not told by its instances.
    short: BTreeMap<String, Time>,
    /// Launches that EC2 refused, latest last, by environment.
    pub(super) refused: BTreeMap<String, Vec<FailedLaunch>>,
    /// How many readings in a row have shown nothing new in an environment with an open raise, by name.
    in_vain: BTreeMap<String, u32>,
    /// Tags of queues, by name.
    pub(super) queue_tags: BTreeMap<String, BTreeMap<String, String>>,
    /// Quotas that were read before all instances that count against them.
    unsettled: BTreeSet<String>,
    /// How and when the use of a quota was counted last, by its code.
    pub(super) counted: BTreeMap<String, (Counted, Time)>,
    /// Ages of oldest messages, by SQS source.
    pub(super) oldest: BTreeMap<String, Span>,
    /// What Spot Instances of each type cost per hour, as far as EC2 tells, and when that was read.
    spot_prices: BTreeMap<String, (Time, Option<MicroUsd>)>,
    /// What could not be read: since when, and why, in words.
    pub(super) gaps: BTreeMap<Part, (Time, String)>,
}

/// What a listing told beside counts.
#[derive(Clone, Debug, Default)]
pub(super) struct QueueExtra {
    pub(super) sampled: bool,
    pub(super) blocked: Option<(String, Time)>,
    pub(super) oldest: Option<Time>,
    pub(super) trouble: Option<String>,
}

impl Sight {
    /// Nothing is seen yet of what a setup names.
    pub(super) fn new(setup: &Setup) -> Self {
        let mut sight = Self::default();
        sight.renumber(setup);
        sight
    }

    /// Another setup is in force: whatever keeps its name keeps what was seen of it.
    pub(super) fn renumber(&mut self, setup: &Setup) {
        let environments: Vec<String> = setup.environments.iter().map(|e| e.name.clone()).collect();
        let ec2 = |setup: &&EnvironmentSetup| matches!(setup.platform, Platform::Ec2 | Platform::Eks);
        let launching = setup.environments.iter().filter(ec2);
        self.launching = launching.clone().map(|environment| environment.name.clone()).collect();
        // The nodes of EKS are no container instances of ECS.
        let on_ecs = setup
            .environments
            .iter()
            .filter(|setup| setup.platform != Platform::Eks);
        self.counted_in_ecs = on_ecs.map(|environment| environment.name.clone()).collect();
        let spot = launching.filter(|environment| environment.purchase == Purchase::Spot);
        self.spot = spot.map(|environment| environment.name.clone()).collect();
        let queues: Vec<String> = setup.queues.iter().map(|queue| queue.name.clone()).collect();
        let sqs: Vec<String> = setup.sqs_sources.iter().map(|source| source.name.clone()).collect();
        let quotas: Vec<String> = setup.quotas.iter().map(|quota| quota.code.clone()).collect();
        let old = &self.observation;
        self.observation = Observation {
            generation: old.generation + 1,
            environments: carried(&self.environments, &old.environments, &environments),
            instances: carried(&self.environments, &old.instances, &environments),
            queues: carried(&self.queues, &old.queues, &queues),
            sqs: carried(&self.sqs, &old.sqs, &sqs),
            quotas: carried(&self.quotas, &old.quotas, &quotas),
            arrivals: Vec::new(),
        };
        self.read.retain(|name, _| environments.contains(name));
        self.short.retain(|name, _| environments.contains(name));
        self.refused.retain(|name, _| environments.contains(name));
        self.in_vain.retain(|name, _| environments.contains(name));
        self.queues_read.retain(|name, _| queues.contains(name));
        self.queue_tags.retain(|name, _| queues.contains(name));
        self.unsettled.retain(|code| quotas.contains(code));
        self.counted.retain(|code, _| quotas.contains(code));
        self.oldest.retain(|name, _| sqs.contains(name));
        (self.environments, self.queues, self.sqs, self.quotas) = (environments, queues, sqs, quotas);
        let parts = self.parts();
        self.gaps.retain(|part, _| parts.contains(part));
    }

    /// Everything there is to read.
    pub(super) fn parts(&self) -> Vec<Part> {
        let mut parts = vec![Part::Environments, Part::Queues, Part::Topology];
        parts.extend(self.counted_in_ecs.iter().cloned().map(Part::Instances));
        parts.extend(self.launching.iter().cloned().map(Part::Launches));
        parts.extend(self.queues.iter().cloned().map(Part::Jobs));
        parts.extend(self.sqs.iter().cloned().map(Part::Messages));
        parts.extend(self.sqs.iter().cloned().map(Part::Oldest));
        parts.extend(self.quotas.iter().cloned().map(Part::Quota));
        parts.extend((!self.spot.is_empty()).then_some(Part::Prices));
        parts
    }

    pub(super) fn environment_names(&self) -> &[String] {
        &self.environments
    }

    pub(super) fn queue_names(&self) -> &[String] {
        &self.queues
    }

    pub(super) fn environment(&self, name: &str) -> Option<EnvironmentIndex> {
        position(&self.environments, name).map(EnvironmentIndex::at)
    }

    pub(super) fn queue(&self, name: &str) -> Option<QueueIndex> {
        position(&self.queues, name).map(QueueIndex::at)
    }

    /// All attempts at a job, each with the environment in whose cluster it was placed.
    pub(super) fn attempts(&self, job: &JobSeen) -> Vec<Attempt> {
        let environment = |instance: &str| {
            let (placed_in, _) = instance.split_once('/')?;
            let is_there = |read: &&EnvironmentRead| {
                let cluster = read.cluster.as_deref().and_then(|cluster| cluster.rsplit('/').next());
                cluster == Some(placed_in)
            };
            self.read.values().find(is_there).map(|read| read.name.clone())
        };
        let mut attempts = job.begun();
        for attempt in &mut attempts {
            attempt.environment = attempt.instance.as_deref().and_then(environment);
        }
        attempts
    }

    /// The clock was set back to this: what was read later counts as read now.
    pub(super) fn no_later_than(&mut self, now: Time) {
        let observation = &mut self.observation;
        observation.environments.iter_mut().for_each(|seen| limit(seen, now));
        observation.instances.iter_mut().for_each(|seen| limit(seen, now));
        observation.sqs.iter_mut().for_each(|seen| limit(seen, now));
        observation.quotas.iter_mut().for_each(|seen| limit(seen, now));
        for (read, _) in self.spot_prices.values_mut() {
            *read = now.min(*read);
        }
        for queue in &mut observation.queues {
            limit(&mut queue.runnable, now);
            limit(&mut queue.placed, now);
            limit(&mut queue.head, now);
        }
    }

    /// AWS Batch said, and went on saying, that it cannot get the instances it wants for a queue. It does not say where: it may
    /// be any of the queue's environments in which something is on its way.
    pub(super) fn short_of_capacity(&mut self, environments: &[EnvironmentIndex], at: Time) {
        for environment in environments {
            if !self.is_open(*environment) {
                continue;
            }
            let Some(name) = self.environments.get(environment.position()).cloned() else {
                continue;
            };
            let slot = self.observation.instances.get_mut(environment.position());
            if let Some(instances) = slot.and_then(Seen::value_mut) {
                instances.capacity_error = Some(at);
                self.observation.generation += 1;
                self.short.insert(name, at);
            }
        }
    }

    /// A part could not be read. Says whether that is news.
    pub(super) fn could_not(&mut self, part: &Part, now: Time, unread: &Unread) -> bool {
        let news = !self.gaps.contains_key(part);
        let since = self.gaps.get(part).map_or(now, |(since, _)| *since);
        self.gaps.insert(part.clone(), (since, unread.message.clone()));
        let gap = Gap { since, why: unread.why };
        let observation = &mut self.observation;
        let changed = match part {
            Part::Environments => {
                let mut changed = false;
                for seen in &mut observation.environments {
                    changed |= open_gap(seen, gap);
                }
                changed
            }
            Part::Instances(name) => {
                at(&self.environments, &mut observation.instances, name).is_some_and(|seen| open_gap(seen, gap))
            }
            Part::Jobs(name) => at(&self.queues, &mut observation.queues, name).is_some_and(|queue| {
                open_gap(&mut queue.runnable, gap) | open_gap(&mut queue.placed, gap) | open_gap(&mut queue.head, gap)
            }),
            Part::Messages(name) => at(&self.sqs, &mut observation.sqs, name).is_some_and(|seen| open_gap(seen, gap)),
            Part::Quota(code) => {
                at(&self.quotas, &mut observation.quotas, code).is_some_and(|seen| open_gap(seen, gap))
            }
            // No plan rests on it.
            Part::Oldest(name) => {
                self.oldest.remove(name);
                false
            }
            Part::Queues | Part::Launches(_) | Part::Topology | Part::Prices => false,
        };
        observation.generation += u64::from(changed);
        news
    }

    /// A part could be read. Says whether it could not before.
    pub(super) fn could(&mut self, part: &Part) -> bool {
        self.gaps.remove(part).is_some()
    }

    /// Environments as they stood when the reading began. What was read of one that is not there any more grows old.
    pub(super) fn environments(&mut self, began: Time, read: Vec<EnvironmentRead>) {
        let mut read: BTreeMap<String, EnvironmentRead> =
            read.into_iter().map(|read| (read.name.clone(), read)).collect();
        let observation = &mut self.observation;
        for (name, seen) in self.environments.iter().zip(&mut observation.environments) {
            if let Some(read) = read.get(name) {
                observation.generation += u64::from(put(seen, Seen::Exactly(began, read.now)));
            }
        }
        read.retain(|name, _| self.environments.contains(name));
        self.read = read;
    }

    pub(super) fn instances(&mut self, name: &str, began: Time, read: InstancesNow) {
        let refused = self.last_refused(name);
        let read = InstancesNow {
            capacity_error: self.short.get(name).copied(),
            refused,
            ..read
        };
        let (there, observation) = (read.there, &mut self.observation);
        let mut grew = true;
        if let Some(seen) = at(&self.environments, &mut observation.instances, name) {
            grew = seen.value().is_none_or(|before| there > before.there);
            observation.generation += u64::from(put(seen, Seen::Exactly(began, read)));
        }
        let waits = self
            .environment(name)
            .is_some_and(|environment| self.is_open(environment));
        let in_vain = self.in_vain.entry(name.to_owned()).or_default();
        *in_vain = if waits && !grew { in_vain.saturating_add(1) } else { 0 };
    }

    /// Launches that EC2 refused. Gives back those that were not known.
    pub(super) fn launches(&mut self, name: &str, read: Vec<FailedLaunch>) -> Vec<FailedLaunch> {
        let known = self.refused.entry(name.to_owned()).or_default();
        let mut new: Vec<FailedLaunch> = read.into_iter().filter(|launch| !known.contains(launch)).collect();
        new.sort_by_key(|launch| launch.at);
        known.extend(new.iter().cloned());
        known.sort_by_key(|launch| launch.at);
        known.drain(..known.len().saturating_sub(REFUSED_MOST));
        let shortage = known
            .iter()
            .filter(|launch| kind(launch).is_shortage())
            .map(|launch| launch.at)
            .max();
        if let Some(latest) = shortage {
            let short = self.short.entry(name.to_owned()).or_insert(latest);
            *short = latest.max(*short);
        }
        let (refused, short) = (self.last_refused(name), self.short.get(name).copied());
        let observation = &mut self.observation;
        if let Some(instances) = at(&self.environments, &mut observation.instances, name).and_then(Seen::value_mut)
            && (instances.refused, instances.capacity_error) != (refused, short)
        {
            (instances.refused, instances.capacity_error) = (refused, short);
            observation.generation += 1;
        }
        new
    }

    /// From when on refused launches are of interest: those before are known, or were long ago.
    pub(super) fn refused_since(&self, name: &str, now: Time) -> Time {
        let last = self
            .refused
            .get(name)
            .and_then(|known| known.last())
            .map(|launch| launch.at);
        last.unwrap_or(Time::FAR_PAST).max(now - REFUSED_FOR)
    }

    fn last_refused(&self, name: &str) -> Option<Refused> {
        let last = self.refused.get(name).and_then(|known| known.last());
        last.map(|launch| Refused {
            at: launch.at,
            why: kind(launch),
        })
    }

    /// Whether a raise is open and nothing comes: two readings have shown the same.
    pub(super) fn is_stuck(&self, environment: EnvironmentIndex) -> bool {
        let name = self.environments.get(environment.position());
        self.is_open(environment)
            && name
                .and_then(|name| self.in_vain.get(name))
                .is_some_and(|times| *times >= 2)
    }

    /// The types of Spot Instances that are there.
    pub(super) fn spot_types(&self) -> Vec<String> {
        let there = self.spot.iter().filter_map(|name| {
            let position = position(&self.environments, name)?;
            self.observation.instances.get(position)?.value()
        });
        let types: BTreeSet<&String> = there
            .flat_map(|instances| instances.types.iter().map(|(name, _)| name))
            .collect();
        types.into_iter().cloned().collect()
    }

    /// Whether some are of a type whose price was not asked for yet.
    pub(super) fn lacks_prices(&self) -> bool {
        let asked = |name: &String| self.spot_prices.contains_key(name);
        !self.spot_types().iter().all(asked)
    }

    /// Types that are gone keep their price for a while: they may come back.
    pub(super) fn prices(&mut self, began: Time, read: BTreeMap<String, Option<MicroUsd>>) {
        self.spot_prices.retain(|_, (at, _)| began.since(*at) <= PRICES_FOR);
        let read = read.into_iter().map(|(name, price)| (name, (began, price)));
        self.spot_prices.extend(read);
    }

    /// What a Spot Instance of a type costs per hour, if EC2 told lately.
    pub(super) fn spot_price(&self, name: &str, now: Time) -> Option<MicroUsd> {
        let (at, price) = self.spot_prices.get(name)?;
        price.filter(|_| now.since(*at) <= PRICES_FOR)
    }

    /// When it last told of any, if that was lately.
    pub(super) fn spot_prices_of(&self, now: Time) -> Option<Time> {
        let told = self.spot_prices.values().filter(|(_, price)| price.is_some());
        let last = told.map(|(at, _)| *at).max();
        last.filter(|at| now.since(*at) <= PRICES_FOR)
    }

    pub(super) fn messages(&mut self, name: &str, began: Time, read: SqsNow) {
        let observation = &mut self.observation;
        if let Some(seen) = at(&self.sqs, &mut observation.sqs, name) {
            observation.generation += u64::from(put(seen, Seen::Exactly(began, read)));
        }
    }

    /// A quota. The service counts all of the account's use: what runs in the environments we steer is taken off here. Before it is
    /// known what that is, ours would pass for the use of others: what was known before stays. A count of instances stands for
    /// several readings: of one that was known, what is ours was taken off as it was then; of one that was not, nothing can be. A count that
    /// was cut off says of no use that it ended.
    pub(super) fn quota(&mut self, code: &str, began: Time, read: QuotaRead, setup: &Setup) {
        if !self.may_settle(code, setup) {
            self.unsettled.insert(code.to_owned());
            return;
        }
        self.unsettled.remove(code);
        let environments = setup.environments.iter().zip(&self.observation.instances);
        let ours: Vcpus = environments
            .filter_map(|(environment, seen)| Some(held_under(environment, seen.value()?, code, setup)))
            .sum();
        let count = (read.counted, read.counted_at);
        let known = self.counted.insert(code.to_owned(), count);
        let observation = &mut self.observation;
        if let Some(seen) = at(&self.quotas, &mut observation.quotas, code) {
            let before = seen.value().map(|before| before.used_by_others);
            let used_by_others = match (read.counted, before) {
                (Counted::Metric, _) => read.used.minus_or_zero(ours),
                (_, Some(before)) if known == Some(count) => before,
                // Of an old count that was never matched, what is ours cannot be told.
                (_, before) if began.since(read.counted_at) > COUNT_MATCHES => before.unwrap_or(read.used),
                (..) => read.used.minus_or_zero(ours),
            };
            let mut now = QuotaNow {
                limit: read.limit,
                used_by_others,
            };
            let new = if read.counted.is_exact() {
                Seen::Exactly(began, now)
            } else {
                now.used_by_others = used_by_others.max(before.unwrap_or_default());
                Seen::AtLeast(began, now)
            };
            observation.generation += u64::from(put(seen, new));
        }
    }

    /// Quotas that could be made nothing of when they were read, and can now: to be read again.
    pub(super) fn settled(&mut self, setup: &Setup) -> BTreeSet<String> {
        let all = std::mem::take(&mut self.unsettled);
        let (settled, unsettled) = all.into_iter().partition(|code| self.may_settle(code, setup));
        self.unsettled = unsettled;
        settled
    }

    /// Whether the instances of every environment that counts against a quota were read, or tried to. Nodes of EKS never are: they
    /// count as the use of others.
    fn may_settle(&self, code: &str, setup: &Setup) -> bool {
        let mut environments = setup.environments.iter().zip(&self.observation.instances);
        environments.all(|(environment, seen)| {
            !counts_against(environment, code, setup)
                || environment.platform == Platform::Eks
                || !matches!(seen, Seen::Missing(gap) if gap.why == GapReason::NotReadYet)
        })
    }

    pub(super) fn jobs(&mut self, name: &str, listed: Listed) {
        let observation = &mut self.observation;
        let Some(queue) = at(&self.queues, &mut observation.queues, name) else {
            return;
        };
        let mut changed = put(&mut queue.runnable, listed.runnable) | put(&mut queue.placed, listed.placed);
        changed |= match &listed.head {
            Seen::Missing(gap) => open_gap(&mut queue.head, *gap),
            Seen::Exactly(..) | Seen::AtLeast(..) => put(&mut queue.head, listed.head),
        };
        changed |= queue.not_demand != listed.not_demand || queue.multi_node != listed.multi_node;
        (queue.not_demand, queue.multi_node) = (listed.not_demand, listed.multi_node);
        observation.generation += u64::from(changed);
        self.queues_read.insert(
            name.to_owned(),
            QueueExtra {
                sampled: listed.sampled,
                blocked: listed.blocked,
                oldest: listed.oldest,
                trouble: listed.trouble,
            },
        );
    }

    /// Whether a raise is open: more is asked for than is there.
    pub(super) fn is_open(&self, environment: EnvironmentIndex) -> bool {
        let now = self.observation.environments.get(environment.position());
        let there = self.observation.instances.get(environment.position());
        let there = there
            .and_then(Seen::value)
            .map_or(Vcpus::ZERO, |instances| instances.there);
        let asked = now
            .and_then(Seen::value)
            .map(|now| now.desired_vcpus.max(now.min_vcpus));
        asked.is_some_and(|asked| asked > there)
    }

    /// The jobs of a queue that are no demand.
    pub(super) fn not_demand(&self, queue: QueueIndex) -> NotDemand {
        let now = self.observation.queues.get(queue.position());
        now.map(|now| now.not_demand).unwrap_or_default()
    }

    /// A queue's RUNNABLE and placed jobs.
    pub(super) fn tallies(&self, queue: QueueIndex) -> Option<(&Seen<Tally>, &Seen<Tally>)> {
        let now = self.observation.queues.get(queue.position())?;
        Some((&now.runnable, &now.placed))
    }
}

/// Why a launch was refused.
pub(super) fn kind(launch: &FailedLaunch) -> Refusal {
    Refusal::of(&launch.code, &launch.message)
}

/// What of an environment's instances a quota counts. Where it may be several, only what is told by type.
fn held_under(environment: &EnvironmentSetup, instances: &InstancesNow, code: &str, setup: &Setup) -> Vcpus {
    if !counts_against(environment, code, setup) {
        return Vcpus::ZERO;
    }
    if environment.quotas.len() == 1 {
        return instances.there;
    }
    let counted = |name: &str| catalog::quota_code(name, environment.purchase) == Some(code);
    let types = instances.types.iter().filter(|(name, _)| counted(name));
    types.map(|(_, vcpus)| *vcpus).sum()
}

/// Whether any of an environment's types counts against a quota.
fn counts_against(environment: &EnvironmentSetup, code: &str, setup: &Setup) -> bool {
    let quotas = environment.quotas.iter();
    let mut quotas = quotas.filter_map(|share| setup.quotas.get(share.quota.position()));
    quotas.any(|quota| quota.code == code)
}

/// Replaces a part; says whether a plan could see a difference other than its age.
fn put<T: PartialEq>(slot: &mut Seen<T>, new: Seen<T>) -> bool {
    let changed = slot.value() != new.value() || slot.is_exact() != new.is_exact();
    *slot = new;
    changed
}

fn limit<T>(seen: &mut Seen<T>, now: Time) {
    if seen.at() > now {
        seen.refresh(now);
    }
}

/// Only where nothing was ever read is there a gap: old values stay, with their time.
fn open_gap<T>(slot: &mut Seen<T>, gap: Gap) -> bool {
    match slot {
        Seen::Missing(old) if *old != gap => {
            *slot = Seen::Missing(gap);
            true
        }
        Seen::Missing(_) | Seen::Exactly(..) | Seen::AtLeast(..) => false,
    }
}

fn position(names: &[String], name: &str) -> Option<usize> {
    names.iter().position(|other| other == name)
}

fn at<'a, T>(names: &[String], values: &'a mut [T], name: &str) -> Option<&'a mut T> {
    position(names, name).and_then(|position| values.get_mut(position))
}

fn carried<T: Clone + Default>(old_names: &[String], old: &[T], names: &[String]) -> Vec<T> {
    let value = |name: &String| position(old_names, name).and_then(|at| old.get(at)).cloned();
    names.iter().map(|name| value(name).unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests;
