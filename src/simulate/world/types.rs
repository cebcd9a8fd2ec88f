//! Which instance types Batch launches for work without room.
//!
//! One family per scale-up: the best ranked whose memory per vCPU suffices. Of its sizes the smallest of which two suffice,
//! not below the model's smallest; when maxvCpus leaves less room, the largest that still fits below it. This is what
//! recordings of 2023 show for On-Demand; on Spot the ranking puts seldom interrupted types first where the strategy says so.

use std::cmp::Reverse;

use super::environment::{Environment, Offer};
use crate::catalog::{Purchase, Resources};
use crate::simulate::model::BatchModel;
use crate::simulate::scenario::Allocation;
use crate::units::{Mebibytes, Vcpus, to_i64};

/// One instance to launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    /// Position in the environment's offers.
    pub(crate) offer: usize,
    /// The largest job that it is meant for.
    pub(crate) ask: Resources,
}

/// What to launch for jobs, at most `room` vCPUs (exceeded by less than one instance where the model allows). Takes the jobs
/// that find room on it out of `rows`.
pub(crate) fn for_jobs(
    environment: &Environment,
    model: &BatchModel,
    rows: &mut [(Resources, i64)],
    mut room: Vcpus,
) -> Vec<Launch> {
    let mut launches = Vec::new();
    loop {
        let (members, largest, total) = group(environment, model, rows, room);
        if members.is_empty() || room.is_zero() {
            return launches;
        }
        let Some(offer) = choose(environment, model, &largest, &total, room) else {
            return launches;
        };
        let registered = environment.offers[offer].registered;
        let before = launches.len();
        while !room.is_zero() && (registered.vcpus <= room || launches.len() == before) {
            let Some(ask) = fill(registered, rows, &members) else {
                break;
            };
            launches.push(Launch { offer, ask });
            room = room.minus_or_zero(registered.vcpus);
        }
        if launches.len() == before {
            return launches;
        }
    }
}

/// What to launch to reach a number of vCPUs, with the jobs that wait as a hint for the type.
pub(crate) fn for_vcpus(
    environment: &Environment,
    model: &BatchModel,
    rows: &[(Resources, i64)],
    wanted: Vcpus,
) -> Vec<Launch> {
    let room = environment.max.minus_or_zero(environment.committed());
    let (_, largest, total) = group(environment, model, rows, room);
    let total = Resources {
        vcpus: wanted,
        memory: total.memory.scaled_up(wanted.get(), total.vcpus.get()),
        gpus: largest.gpus,
    };
    let mut launches = Vec::new();
    let mut left = wanted;
    while !left.is_zero() {
        let room = room.minus_or_zero(wanted - left);
        let Some(offer) = choose(environment, model, &largest, &total, room) else {
            break;
        };
        launches.push(Launch { offer, ask: largest });
        left = left.minus_or_zero(environment.offers[offer].registered.vcpus);
    }
    launches
}

/// The rows that one type can serve together, from the front; the largest of each resource, and everything they ask for.
fn group(
    environment: &Environment,
    model: &BatchModel,
    rows: &[(Resources, i64)],
    room: Vcpus,
) -> (Vec<usize>, Resources, Resources) {
    let mut reach = room;
    let (mut members, mut largest, mut total) = (Vec::new(), Resources::default(), Resources::default());
    for (position, (ask, jobs)) in rows.iter().enumerate() {
        if *jobs <= 0 {
            continue;
        }
        let joint = largest_of(&largest, ask);
        if members.is_empty() {
            reach = largest_launched(environment, model, ask, room);
        }
        let suits = |offer: &Offer| offer.registered.hold(&joint) && offer.registered.vcpus <= reach;
        if environment.offers.iter().any(suits) {
            members.push(position);
            largest = joint;
            total = total.plus(&Resources {
                vcpus: ask.vcpus.times(*jobs),
                memory: ask.memory.times(*jobs),
                gpus: ask.gpus.saturating_mul(u32::try_from(*jobs).unwrap_or(u32::MAX)),
            });
        }
    }
    (members, largest, total)
}

/// Fills one instance; the largest of each resource that one of its jobs asks for, if any job found room.
fn fill(mut free: Resources, rows: &mut [(Resources, i64)], members: &[usize]) -> Option<Resources> {
    let mut largest = None;
    for position in members {
        let Some((ask, jobs)) = rows.get_mut(*position) else {
            continue;
        };
        let fitting = free.slots(ask).min(*jobs);
        if fitting > 0 {
            *jobs -= fitting;
            free = take(&free, ask, fitting);
            largest = Some(largest_of(&largest.unwrap_or_default(), ask));
        }
    }
    largest
}

/// The larger of each resource.
fn largest_of(a: &Resources, b: &Resources) -> Resources {
    Resources {
        vcpus: a.vcpus.max(b.vcpus),
        memory: a.memory.max(b.memory),
        gpus: a.gpus.max(b.gpus),
    }
}

/// What is left after `jobs` jobs that ask for `ask` each.
pub(crate) fn take(free: &Resources, ask: &Resources, jobs: i64) -> Resources {
    free.less(&Resources {
        vcpus: ask.vcpus.times(jobs),
        memory: ask.memory.times(jobs),
        gpus: ask.gpus.saturating_mul(u32::try_from(jobs).unwrap_or(u32::MAX)),
    })
}

fn choose(
    environment: &Environment,
    model: &BatchModel,
    largest: &Resources,
    total: &Resources,
    room: Vcpus,
) -> Option<usize> {
    let reach = largest_launched(environment, model, largest, room);
    let suits = |offer: &Offer| offer.registered.hold(largest) && offer.registered.vcpus <= reach;
    let fitting = || environment.offers.iter().enumerate().filter(|(_, offer)| suits(offer));
    let rank = |position: usize, offer: &Offer| rank(environment.allocation, position, offer, largest, total);
    let family = &fitting()
        .min_by_key(|(position, offer)| rank(*position, offer))?
        .1
        .family;
    let mut sizes: Vec<(usize, &Offer)> = fitting().filter(|(_, offer)| offer.family == *family).collect();
    sizes.sort_by_key(|(position, offer)| (offer.registered.vcpus, *position));
    let below_max = sizes.partition_point(|(_, offer)| offer.registered.vcpus <= room);
    sizes.truncate(below_max.max(1));
    let suffices = |offer: &Offer| {
        let two = take_twice(&offer.registered);
        offer.registered.vcpus.get() >= model.smallest_launched_vcpus && two.hold(total)
    };
    sizes
        .iter()
        .find(|(_, offer)| suffices(offer))
        .or_else(|| sizes.last())
        .map(|(position, _)| *position)
}

/// The largest size that Batch launches where maxvCpus leaves this much room: what fits below it, or the smallest that holds
/// the job if the model lets that exceed maxvCpus.
fn largest_launched(environment: &Environment, model: &BatchModel, ask: &Resources, room: Vcpus) -> Vcpus {
    let holding = environment.offers.iter().filter(|offer| offer.registered.hold(ask));
    match holding.map(|offer| offer.registered.vcpus).min() {
        Some(smallest) if may_overshoot(environment, model) => room.max(smallest),
        Some(_) | None => room,
    }
}

/// With `BEST_FIT` On-Demand Batch stays below maxvCpus (AWS Batch API reference, ComputeResource).
fn may_overshoot(environment: &Environment, model: &BatchModel) -> bool {
    let never = environment.allocation == Allocation::BestFit && environment.purchase == Purchase::OnDemand;
    model.overshoots_max && !never
}

/// Whether Batch would launch something for a job where maxvCpus leaves this much room.
pub(crate) fn can_launch(environment: &Environment, model: &BatchModel, ask: &Resources, room: Vcpus) -> bool {
    let reach = largest_launched(environment, model, ask, room);
    let suits = |offer: &Offer| offer.registered.hold(ask) && offer.registered.vcpus <= reach;
    !room.is_zero() && environment.offers.iter().any(suits)
}

fn take_twice(registered: &Resources) -> Resources {
    registered.plus(registered)
}

type Rank = (bool, bool, Reverse<i64>, i64, i64, usize);

/// Lower is better: no GPUs for jobs without, enough memory per vCPU, and then what the allocation strategy looks at.
fn rank(allocation: Allocation, position: usize, offer: &Offer, largest: &Resources, total: &Resources) -> Rank {
    let registered = &offer.registered;
    let gpus_wasted = largest.gpus == 0 && registered.gpus > 0;
    let per_vcpu = |memory: Mebibytes, vcpus: Vcpus| memory.scaled_down(1_024, vcpus.get()).get();
    let (has, needs) = (
        per_vcpu(registered.memory, registered.vcpus),
        per_vcpu(total.memory, total.vcpus),
    );
    let scarce = has < needs;
    let most_memory = Reverse(if scarce { has } else { 0 });
    let price = offer.per_hour.scaled_up(1_024, registered.vcpus.get()).get();
    let (band, place) = (i64::from(offer.interruption_band), to_i64(position));
    let (first, second) = match allocation {
        Allocation::BestFit | Allocation::BestFitProgressive => (0, price),
        Allocation::BestFitProgressiveOrdered => (0, place),
        Allocation::SpotCapacityOptimized => (band, price),
        Allocation::SpotPriceCapacityOptimized => (i64::from(band > 1), price),
        Allocation::SpotCapacityOptimizedPrioritized => (band, place),
    };
    (gpus_wasted, scarce, most_memory, first, second, position)
}

/// Other types for the same job, never larger: what Batch tries when one type is short of capacity or quota. The same size
/// first, best ranked first. Empty for `BEST_FIT`, which waits for its type.
pub(crate) fn alternatives(environment: &Environment, launch: &Launch) -> Vec<usize> {
    if environment.allocation == Allocation::BestFit {
        return Vec::new();
    }
    let Some(size) = environment.offers.get(launch.offer).map(|offer| offer.registered.vcpus) else {
        return Vec::new();
    };
    let mut others: Vec<(Reverse<Vcpus>, Rank, usize)> = environment
        .offers
        .iter()
        .enumerate()
        .filter(|(position, offer)| {
            *position != launch.offer && offer.registered.vcpus <= size && offer.registered.hold(&launch.ask)
        })
        .map(|(position, offer)| {
            let rank = rank(environment.allocation, position, offer, &launch.ask, &launch.ask);
            (Reverse(offer.registered.vcpus), rank, position)
        })
        .collect();
    others.sort_unstable();
    others.into_iter().map(|(_, _, position)| position).collect()
}

/// The cheapest type on which each node of a multi-node job has a whole instance, if all of them stay within `room`.
pub(crate) fn for_nodes(environment: &Environment, ask: &Resources, nodes: u32, room: Vcpus) -> Option<usize> {
    let holds = |offer: &Offer| offer.registered.hold(ask) && offer.registered.vcpus.times(i64::from(nodes)) <= room;
    let fitting = environment.offers.iter().enumerate().filter(|(_, offer)| holds(offer));
    fitting
        .min_by_key(|(position, offer)| (offer.per_hour, *position))
        .map(|(position, _)| position)
}
