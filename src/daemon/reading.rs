//! One reading: which calls a part takes, and how what they tell is folded.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Found;
use super::cadence::{Cadence, Circumstances, Part, Periods};
use super::cloud::{Cloud, EnvironmentRead, Read, Unread};
use super::effects::answered;
use super::listing::{self, Book, Sizes};
use super::sight::Sight;
use crate::clock::Clock;
use crate::ids::QueueIndex;
use crate::observation::{GapReason, Seen};
use crate::overrides::{Ordered, Override, TAG};
use crate::planner::plan::Subject;
use crate::setup::Setup;
use crate::units::{Span, Time, Vcpus};

/// A reading that takes longer has failed: calls have deadlines of their own, but a listing has many.
const READING_MOST: Span = Span::from_seconds(120);

/// What a reading needs to know beforehand; owned, so that it goes with a task.
#[derive(Clone, Debug, Default)]
pub(super) struct Needs {
    /// Names to describe.
    pub(super) names: Vec<String>,
    /// The environment as it was last read.
    pub(super) environment: EnvironmentRead,
    /// What the queue's environments could run.
    pub(super) most: Vcpus,
    pub(super) book: Book,
    pub(super) sizes: Sizes,
    /// Launches that were refused later are asked for.
    pub(super) since: Time,
    /// Guards are used.
    pub(super) guard: bool,
}

/// What the reading of a part needs.
pub(super) fn needs(
    part: &Part,
    now: Time,
    sight: &Sight,
    setup: &Setup,
    book: Option<&Book>,
    sizes: &Sizes,
    guard: bool,
) -> Needs {
    let mut needs = Needs {
        sizes: sizes.clone(),
        guard,
        ..Needs::default()
    };
    match part {
        Part::Environments => needs.names = sight.environment_names().to_vec(),
        Part::Queues => needs.names = sight.queue_names().to_vec(),
        Part::Instances(name) | Part::Launches(name) => {
            let unread = || EnvironmentRead {
                name: name.clone(),
                ..EnvironmentRead::default()
            };
            needs.environment = sight.read.get(name).cloned().unwrap_or_else(unread);
            needs.since = sight.refused_since(name, now);
        }
        Part::Jobs(name) => {
            needs.most = sight
                .queue(name)
                .map_or(Vcpus::MAX, |queue| could_run(queue, sight, setup));
            needs.book = book.cloned().unwrap_or_default();
        }
        Part::Prices => needs.names = sight.spot_types(),
        Part::Messages(_) | Part::Oldest(_) | Part::Quota(_) | Part::Topology => {}
    }
    needs
}

/// What the environments of a queue could ever run: their maxvCpus, and the instance by which Batch may exceed each.
fn could_run(queue: QueueIndex, sight: &Sight, setup: &Setup) -> Vcpus {
    let Some(queue) = setup.queues.get(queue.position()) else {
        return Vcpus::MAX;
    };
    let of = |index: &crate::ids::EnvironmentIndex| {
        let now = sight
            .observation
            .environments
            .get(index.position())
            .and_then(Seen::value);
        let largest = setup
            .environments
            .get(index.position())
            .map_or(Vcpus::ZERO, |e| e.largest);
        now.map_or(Vcpus::MAX, |now| now.max_vcpus + largest)
    };
    queue.environments.iter().map(of).sum()
}

/// Reads one part, or says within two minutes why it cannot be.
pub(super) async fn read<C: Cloud>(cloud: Arc<C>, part: Part, now: Time, needs: Needs) -> Read<Found> {
    let found = answered(READING_MOST, calls(cloud, part, now, needs)).await;
    let why = GapReason::Failed;
    found.unwrap_or_else(|message| Err(Unread { why, message }))
}

async fn calls<C: Cloud>(cloud: Arc<C>, part: Part, now: Time, needs: Needs) -> Read<Found> {
    Ok(match &part {
        Part::Environments => Found::Environments(cloud.environments(&needs.names).await?),
        Part::Queues => Found::Queues(cloud.queues(&needs.names).await?),
        Part::Instances(_) => Found::Instances(cloud.instances(&needs.environment).await?),
        Part::Launches(_) => Found::Launches(cloud.failed_launches(&needs.environment, needs.since).await?),
        Part::Messages(name) => Found::Messages(cloud.messages(name).await?),
        Part::Oldest(name) => Found::Oldest(cloud.oldest_message(name).await?),
        Part::Quota(code) => Found::Quota(cloud.quota(code).await?),
        Part::Topology => {
            let topology = cloud.topology().await?;
            // Guards tell of base where levels may be raised: without them, what is raised might be taken for it.
            let guards = if needs.guard { cloud.guards().await? } else { Vec::new() };
            Found::Topology(Box::new(topology), guards)
        }
        Part::Prices if needs.names.is_empty() => Found::Prices(BTreeMap::new()),
        Part::Prices => {
            let told = cloud.spot_prices(&needs.names).await?;
            let price = |name: String| (told.get(&name).copied(), name);
            let prices = needs.names.into_iter().map(price);
            Found::Prices(prices.map(|(price, name)| (name, price)).collect())
        }
        Part::Jobs(name) => {
            let listed = listing::list(cloud.as_ref(), name, now, needs.most, needs.book, &needs.sizes).await?;
            Found::Jobs(Box::new(listed))
        }
    })
}

/// Folds what needs no more than the sight. Gives back what does.
pub(super) fn fold(sight: &mut Sight, setup: &Setup, part: &Part, began: Time, found: Found) -> Option<Found> {
    match (part, found) {
        (_, Found::Environments(read)) => sight.environments(began, read),
        (Part::Instances(name), Found::Instances(read)) => sight.instances(name, began, read),
        (Part::Messages(name), Found::Messages(read)) => sight.messages(name, began, read),
        (Part::Oldest(name), Found::Oldest(age)) => {
            if let Some(age) = age {
                sight.oldest.insert(name.clone(), age);
            } else {
                sight.oldest.remove(name);
            }
        }
        (Part::Quota(code), Found::Quota(read)) => sight.quota(code, began, read, setup),
        (_, Found::Prices(read)) => sight.prices(began, read),
        (_, found) => return Some(found),
    }
    None
}

/// Reads everything that a plan needs once: environments together, then what hangs on them, then jobs.
pub(super) async fn all_once<C: Cloud>(cloud: &Arc<C>, setup: &Setup, sight: &mut Sight, clock: Clock) {
    let sizes = Sizes::default();
    let mut cadence = Cadence::new(Periods::default());
    let needed = |part: &Part| !matches!(part, Part::Topology | Part::Prices);
    cadence.set_parts(sight.parts().into_iter().filter(needed));
    for first in [true, false, false] {
        let mut tasks = tokio::task::JoinSet::new();
        let now = clock.now();
        let due = cadence.due(now, &Circumstances::default());
        let (now_due, later): (Vec<Part>, Vec<Part>) = due
            .into_iter()
            .partition(|part| !first || matches!(part, Part::Environments | Part::Queues));
        // What hangs on environments is read in the next round.
        for part in later {
            cadence.ended(&part, true);
            cadence.forget(&part);
        }
        for part in now_due {
            let needs = needs(&part, now, sight, setup, None, &sizes, false);
            let cloud = Arc::clone(cloud);
            tasks.spawn(async move {
                let found = read(cloud, part.clone(), now, needs).await;
                (part, found)
            });
        }
        while let Some(done) = tasks.join_next().await {
            let Ok((part, found)) = done else { continue };
            cadence.ended(&part, true);
            match found {
                Ok(found) => match fold(sight, setup, &part, now, found) {
                    Some(Found::Jobs(listed)) => {
                        if let Part::Jobs(name) = &part {
                            sight.jobs(name, *listed);
                        }
                    }
                    Some(Found::Launches(launches)) => {
                        if let Part::Launches(name) = &part {
                            sight.launches(name, launches);
                        }
                    }
                    Some(Found::Queues(queues)) => {
                        sight.queue_tags = queues.into_iter().map(|queue| (queue.name, queue.tags)).collect();
                    }
                    Some(
                        Found::Environments(_)
                        | Found::Instances(_)
                        | Found::Messages(_)
                        | Found::Oldest(_)
                        | Found::Quota(_)
                        | Found::Topology(..)
                        | Found::Prices(_),
                    )
                    | None => {}
                },
                Err(unread) => {
                    sight.could_not(&part, now, &unread);
                }
            }
        }
    }
}

/// Orders of people that tags hold.
pub(super) fn orders_in(sight: &Sight) -> Vec<(Subject, Override)> {
    let order = |tags: &BTreeMap<String, String>| Some(Ordered::parse(tags.get(TAG)?)?.order);
    let environments = sight.read.iter().filter_map(|(name, read)| {
        let index = sight.environment(name)?;
        Some((Subject::Environment(index), order(&read.tags)?))
    });
    let queues = sight.queue_tags.iter().filter_map(|(name, tags)| {
        let index = sight.queue(name)?;
        Some((Subject::Queue(index), order(tags)?))
    });
    environments.chain(queues).collect()
}
