//! What people are told: one log line per action and per change of mind, ticks for the journal, and the snapshot.

use std::collections::BTreeMap;

use super::cadence::Part;
use super::cloud::{Answer, Cloud, FailedLaunch, LaunchSource};
use super::driver::Driver;
use super::listing::{jobs_in, vcpus_in};
use super::sight::{QueueExtra, Sight, kind};
use super::snapshot::{Demand, EnvironmentStatus, NoDemand, QueueStatus, QuotaStatus, Snapshot, SqsStatus, Told};
use crate::account::Platform;
use crate::account::survey::Counted;
use crate::catalog::{Catalog, Purchase};
use crate::control::{Controller, Outcome, Planner};
use crate::explain::{self, Coded as _, printable};
use crate::ids::{EnvironmentIndex, QueueIndex, QuotaIndex, SqsIndex};
use crate::journal::{Names, QUIET_TICK_EVERY, Said, Tick};
use crate::metrics::Metrics;
use crate::observation::{EnvironmentNow, InstancesNow, Seen};
use crate::planner::memory::Supply;
use crate::planner::plan::{Because, QuotaPlan, Subject};
use crate::setup::{EnvironmentSetup, Setup};
use crate::units::{MicroUsd, Span, Time, Vcpus, to_u64};

/// Ticks with the same reasons are noted this often at most: numbers move with every reading.
const TICK_EVERY: Span = Span::from_seconds(30);
/// Refused launches of one kind are logged this often at most.
const REFUSED_EVERY: Span = Span::from_minutes(60);
/// Reasons up to this precedence are worth a line when they begin: those after it only wait for a moment.
const WORTH_A_LINE: u8 = 4;

const UNARMED: &str = "the guard could not be armed";
const UNCOMMITTED: &str = "nothing is raised: the journal could not be written";
const REFUSED: &str = "the last update was refused";

/// What was told last.
#[derive(Clone, Debug, Default)]
pub(super) struct Teller {
    /// Per subject, by kind and name: the code of its headline.
    minds: BTreeMap<(&'static str, String), &'static str>,
    /// What is being sent, as sentences.
    sending: BTreeMap<String, String>,
    /// Why the last attempt to change an environment failed, by name; of a row of failures alike only the first is logged.
    pub(super) troubles: BTreeMap<String, String>,
    /// Since the start, by environment: accepted and refused updates.
    counts: BTreeMap<String, (u64, u64)>,
    ticked: Option<(Time, u64)>,
    codes: Vec<(String, String)>,
    /// Per environment: the min of another hand that was last told of, and since when.
    yielded: BTreeMap<String, (Vcpus, Time)>,
    /// Per environment and kind: when a refused launch was last logged.
    launches: BTreeMap<(String, &'static str), Time>,
}

impl Teller {
    pub(super) fn sending(&mut self, environment: &str, sentence: String) {
        self.sending.insert(environment.to_owned(), sentence);
    }

    /// A guard was armed, or why it was not.
    pub(super) fn armed(&mut self, environment: &str, error: Option<&str>) {
        if let Some(error) = error {
            if self.is_news(environment, UNARMED, error) {
                let (environment, error) = (printable(environment), printable(error));
                tracing::warn!(%environment, %error, "The guard could not be armed, so nothing is raised");
            }
        } else if self.is_over(environment, UNARMED) {
            // Whether updates are possible shows with the next update only.
            tracing::info!(environment = %printable(environment), "The guard can be armed again");
        }
    }

    /// The journal took an intent, or why it did not. That it cannot be written is logged where it is.
    pub(super) fn committed(&mut self, environment: &str, error: Option<&str>) {
        if let Some(error) = error {
            self.is_news(environment, UNCOMMITTED, error);
        } else {
            self.is_over(environment, UNCOMMITTED);
        }
    }

    /// Forgets why something failed. Says whether that was what had failed.
    fn is_over(&mut self, environment: &str, what: &str) -> bool {
        let trouble = self.troubles.get(environment);
        trouble.is_some_and(|why| why.starts_with(what)) && self.troubles.remove(environment).is_some()
    }

    /// Remembers why something failed. Says whether that is not what failed before.
    fn is_news(&mut self, environment: &str, what: &str, why: &str) -> bool {
        let trouble = format!("{what}: {why}");
        self.troubles.insert(environment.to_owned(), trouble.clone()) != Some(trouble)
    }

    pub(super) fn sent(&mut self, environment: &str, answer: &Answer) {
        let action = self.sending.remove(environment).unwrap_or_default();
        let counts = self.counts.entry(environment.to_owned()).or_default();
        if answer.outcome == Outcome::Accepted {
            counts.0 += 1;
            self.troubles.remove(environment);
            tracing::info!(environment = %printable(environment), action, "Updated");
            return;
        }
        counts.1 += 1;
        if self.is_news(environment, REFUSED, &answer.message) {
            let (environment, words) = (printable(environment), printable(&answer.message));
            let outcome = answer.outcome;
            tracing::warn!(%environment, action, ?outcome, %words, "Not updated");
        }
    }

    /// EC2 refused launches: all are counted, and one of each kind is logged, at most once an hour: in a drought they go on.
    pub(super) fn refused(&mut self, environment: &str, launches: &[FailedLaunch], metrics: &Metrics, now: Time) {
        for why in explain::refusals() {
            let own: Vec<&FailedLaunch> = launches.iter().filter(|launch| kind(launch) == why).collect();
            metrics.refused(environment, why, to_u64(own.len()));
            let Some(last) = own.last() else { continue };
            let which = (environment.to_owned(), why.code());
            let logged = self.launches.get(&which);
            if logged.is_none_or(|logged| now >= *logged + REFUSED_EVERY || now < *logged) {
                self.launches.insert(which, now);
                let (environment, words) = (printable(environment), printable(&last.message));
                let (at, code) = (last.at, printable(&last.code));
                tracing::warn!(%environment, %at, %code, %words, "EC2 refused a launch");
            }
        }
    }

    /// Logs changes of mind; gives the tick if it says something new, or none was for long.
    pub(super) fn changes(&mut self, controller: &Controller<Planner>, sight: &Sight, now: Time) -> Option<Tick> {
        let (setup, plan) = (controller.setup(), controller.plan());
        if plan.at == Time::EPOCH {
            return None; // nothing was decided yet, or not since a reload
        }
        let mut minds = BTreeMap::new();
        for subject in subjects(setup) {
            let Some(reason) = explain::headline(plan, subject) else {
                continue;
            };
            if explain::precedence(&reason.because) > WORTH_A_LINE {
                continue;
            }
            let key = named(setup, subject);
            let code = explain::code(&reason.because);
            if self.minds.get(&key) != Some(&code) {
                tracing::info!("{}", explain::sentence(setup, &reason));
            }
            minds.insert(key, code);
        }
        self.minds = minds;
        self.tell_yielded(controller);
        let say = |reason: &crate::planner::plan::Reason| {
            let (kind, name) = named(setup, reason.subject);
            Said {
                kind: kind.to_owned(),
                name,
                code: explain::code(&reason.because).to_owned(),
                detail: explain::detail(&reason.because).map(str::to_owned),
                sentence: explain::sentence(setup, reason),
            }
        };
        let codes = plan.reasons.iter().map(|reason| {
            let (_, name) = named(setup, reason.subject);
            (name, explain::code(&reason.because).to_owned())
        });
        let codes: Vec<(String, String)> = codes.collect();
        let generation = sight.observation.generation;
        let new = self.ticked.is_none_or(|(at, told)| {
            let due = |every: Span| now >= at + every || now < at;
            codes != self.codes || due(QUIET_TICK_EVERY) || told != generation && due(TICK_EVERY)
        });
        if !new {
            return None;
        }
        self.ticked = Some((now, generation));
        self.codes = codes;
        Some(Tick {
            at: now,
            reasons: plan.reasons.iter().map(say).collect(),
            observation: sight.observation.clone(),
            names: names(setup),
        })
    }
}

impl Teller {
    /// Logs once what another hand did.
    fn tell_yielded(&mut self, controller: &Controller<Planner>) {
        let environments = controller.setup().environments.iter().enumerate();
        let yielded = environments.filter_map(|(at, setup)| {
            let yielded = controller.yielded(EnvironmentIndex::at(at))?;
            Some((setup.name.clone(), yielded))
        });
        let yielded: BTreeMap<String, (Vcpus, Time)> = yielded.collect();
        for (name, (min, _)) in yielded
            .iter()
            .filter(|(name, now)| self.yielded.get(*name) != Some(now))
        {
            tracing::warn!(environment = %printable(name), %min, "Another hand changed minvCpus; ours is let go");
        }
        self.yielded = yielded;
    }
}

/// Names in the order of indices.
fn names(setup: &Setup) -> Names {
    let environment = |index: &EnvironmentIndex| Some(setup.environments.get(index.position())?.name.clone());
    let queue = |index: QueueIndex| setup.queues.get(index.position()).map(|queue| queue.name.clone());
    let queues = setup.queues.iter();
    let sources = setup.sqs_sources.iter();
    Names {
        environments: setup.environments.iter().map(|setup| setup.name.clone()).collect(),
        queues: queues.clone().map(|setup| setup.name.clone()).collect(),
        sqs: sources.clone().map(|setup| setup.name.clone()).collect(),
        quotas: setup.quotas.iter().map(|setup| setup.code.clone()).collect(),
        queue_environments: queues
            .map(|setup| setup.environments.iter().filter_map(environment).collect())
            .collect(),
        sqs_queues: sources.map(|setup| queue(setup.queue).unwrap_or_default()).collect(),
    }
}

fn subjects(setup: &Setup) -> impl Iterator<Item = Subject> {
    let environments = (0..setup.environments.len()).map(|at| Subject::Environment(EnvironmentIndex::at(at)));
    let queues = (0..setup.queues.len()).map(|at| Subject::Queue(QueueIndex::at(at)));
    let sqs = (0..setup.sqs_sources.len()).map(|at| Subject::Sqs(SqsIndex::at(at)));
    environments.chain(queues).chain(sqs)
}

fn named(setup: &Setup, subject: Subject) -> (&'static str, String) {
    match subject {
        Subject::Environment(index) => {
            let found = setup.environments.get(index.position());
            ("environment", found.map(|found| found.name.clone()).unwrap_or_default())
        }
        Subject::Queue(index) => {
            let found = setup.queues.get(index.position());
            ("queue", found.map(|found| found.name.clone()).unwrap_or_default())
        }
        Subject::Sqs(index) => {
            let found = setup.sqs_sources.get(index.position());
            ("sqs", found.map(|found| found.name.clone()).unwrap_or_default())
        }
    }
}

/// The daemon as it stands.
pub(super) fn snapshot<C: Cloud>(driver: &Driver<C>, now: Time) -> Snapshot {
    let setup = driver.controller.setup();
    let plan = driver.controller.plan();
    Snapshot {
        at: now,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        simulated: driver.options.clock.is_simulated(),
        account: driver.kit.identity.account.clone(),
        region: driver.kit.identity.region.clone(),
        dry_run: !driver.options.apply,
        leads: driver.leads(),
        planned_at: (plan.at > Time::EPOCH).then_some(plan.at),
        events: driver.options.events && driver.hears,
        events_fail: driver.options.events && !driver.hears,
        calls_per_minute: driver.meter.per_minute(now),
        waits_since: Some(driver.waits.today_since(now)),
        reload_refused: driver.refused.clone().or_else(|| driver.unfit.clone()),
        environments: (0..setup.environments.len())
            .filter_map(|at| environment(driver, EnvironmentIndex::at(at), now))
            .collect(),
        queues: (0..setup.queues.len())
            .filter_map(|at| queue(driver, QueueIndex::at(at), now))
            .collect(),
        sqs: (0..setup.sqs_sources.len())
            .filter_map(|at| sqs(driver, SqsIndex::at(at), now))
            .collect(),
        quotas: quotas(driver),
        spot_prices_of: driver.sight.spot_prices_of(now),
        checked: driver.checked.borrow().clone(),
        saved: driver.options.saved.borrow().clone(),
    }
}

fn age<T>(part: &Seen<T>, now: Time) -> Option<Span> {
    part.value().map(|_| now.since(part.at()).max(Span::ZERO))
}

/// What is told of a subject, the most important first, then what of it could not be read.
fn reasons<C: Cloud>(driver: &Driver<C>, subject: Subject, parts: &[Part], now: Time) -> Vec<Told> {
    let (setup, plan) = (driver.controller.setup(), driver.controller.plan());
    let mut own: Vec<_> = plan.reasons.iter().filter(|reason| reason.subject == subject).collect();
    own.sort_by_key(|reason| explain::precedence(&reason.because));
    let mut said: Vec<Told> = (own.iter())
        .map(|reason| Told {
            code: explain::code(&reason.because).to_owned(),
            detail: explain::detail(&reason.because).map(str::to_owned),
            rank: explain::precedence(&reason.because),
            sentence: explain::sentence(setup, reason),
        })
        .collect();
    for (since, message) in parts.iter().filter_map(|part| driver.sight.gaps.get(part)) {
        let name = explain::subject(setup, subject);
        let (age, why) = (now.since(*since).max(Span::ZERO), printable(message));
        said.push(Told::new(
            "unreadable",
            format!("{name}: not readable since {since}, {age} ago: {why}"),
        ));
    }
    said
}

fn environment<C: Cloud>(driver: &Driver<C>, index: EnvironmentIndex, now: Time) -> Option<EnvironmentStatus> {
    let position = index.position();
    let setup = driver.controller.setup().environments.get(position)?;
    let seen = driver.sight.observation.environments.get(position)?;
    let levels = seen.value().copied().unwrap_or_default();
    let plan = driver
        .controller
        .plan()
        .environments
        .get(position)
        .copied()
        .unwrap_or_default();
    let memory = driver
        .controller
        .memory()
        .environments
        .get(position)
        .copied()
        .unwrap_or_default();
    // A lease of base is a guard that is still to be removed: nothing is raised.
    let held = |lease: &crate::control::Lease| lease.min_vcpus > setup.base || memory.max_before.is_some();
    let lease = driver.controller.lease(index).filter(held);
    let (accepted, refused) = driver.teller.counts.get(&setup.name).copied().unwrap_or_default();
    let instances = driver.sight.observation.instances.get(position);
    let mut said = reasons(
        driver,
        Subject::Environment(index),
        &[
            Part::Environments,
            Part::Instances(setup.name.clone()),
            Part::Launches(setup.name.clone()),
        ],
        now,
    );
    troubles(driver, index, (setup, &levels), now, &mut said);
    Some(EnvironmentStatus {
        name: setup.name.clone(),
        purchase: match setup.purchase {
            Purchase::OnDemand => "on_demand",
            Purchase::Spot => "spot",
        }
        .to_owned(),
        steered: setup.covered,
        usable: levels.valid && levels.enabled,
        updating: levels.updating,
        base_vcpus: setup.base,
        min_vcpus: levels.min_vcpus,
        desired_vcpus: levels.desired_vcpus,
        max_vcpus: levels.max_vcpus,
        there_vcpus: plan.there,
        used_vcpus: plan.used,
        on_its_way_vcpus: plan.on_its_way,
        wanted_vcpus: plan.wanted,
        granted_vcpus: plan.granted,
        lease_expires: lease.map(|lease| lease.expires),
        guarded: lease.is_some() && driver.armed.contains_key(&setup.name),
        age: age(seen, now),
        instances_age: instances.and_then(|seen| age(seen, now)),
        per_hour: instances
            .and_then(Seen::value)
            .and_then(|there| per_hour(there, setup.purchase, (&driver.sight, now))),
        quotas: quota_codes(driver, setup),
        backs_off_until: driver.controller.backs_off(index).filter(|until| *until > now),
        dry_until: match memory.supply {
            Supply::Drought { until } => Some(until).filter(|until| *until > now),
            Supply::Delivers | Supply::Probing { .. } => None,
        },
        overridden: memory.overridden.filter(|order| order.until > now),
        accepted,
        refused,
        reasons: said,
    })
}

/// What is there, at the prices of EC2 for Spot where it told them, else at list prices. `None`: not every type of it is known.
fn per_hour(there: &InstancesNow, purchase: Purchase, (sight, now): (&Sight, Time)) -> Option<MicroUsd> {
    let told: Vcpus = there.types.iter().map(|(_, vcpus)| *vcpus).sum();
    let price = |(name, vcpus): &(String, Vcpus)| {
        let known = Catalog::bundled().get(name)?;
        let told = sight.spot_price(name, now).filter(|_| purchase == Purchase::Spot);
        let price = told.unwrap_or_else(|| known.price_per_hour(purchase));
        Some(price.scaled_up(vcpus.get(), known.nominal.vcpus.get()))
    };
    let all: Option<MicroUsd> = there.types.iter().map(price).sum();
    all.filter(|_| told >= there.there)
}

/// Of quotas that count what is seen there: nodes of EKS are the use of others.
fn quota_codes<C: Cloud>(driver: &Driver<C>, setup: &EnvironmentSetup) -> Vec<String> {
    if setup.platform == Platform::Eks {
        return Vec::new();
    }
    let quotas = &driver.controller.setup().quotas;
    let code = |share: &crate::setup::QuotaShare| Some(quotas.get(share.quota.position())?.code.clone());
    setup.quotas.iter().filter_map(code).collect()
}

/// What the plan does not know: another hand, refusals in the words of the service, what makes the environment INVALID.
fn troubles<C: Cloud>(
    driver: &Driver<C>,
    index: EnvironmentIndex,
    (setup, levels): (&EnvironmentSetup, &EnvironmentNow),
    now: Time,
    said: &mut Vec<Told>,
) {
    let name = printable(&setup.name);
    if let Some((min, since)) = driver.controller.yielded(index)
        && levels.min_vcpus == min
    {
        let ago = now.since(since).max(Span::ZERO);
        let then = if setup.base == min {
            "it is left alone".to_owned()
        } else {
            format!("the policy wants {}, but not at once", setup.base)
        };
        let sentence = format!("{name}: another hand set min to {min}, seen {ago} ago; {then}");
        said.insert(0, Told::new("yielded", sentence));
    }
    if setup.unenforced {
        said.insert(0, Told::new("unenforced", explain::unenforced(&setup.name)));
    }
    if let Some(last) = driver.sight.refused.get(&setup.name).and_then(|known| known.last())
        && plan_says_refused(driver, index)
    {
        said.push(Told::new("launch_refused", in_their_words(&name, last)));
    }
    if let Some(trouble) = driver.teller.troubles.get(&setup.name) {
        said.insert(0, Told::new("refused", format!("{name}: {}", printable(trouble))));
    }
    if let Some(read) = driver.sight.read.get(&setup.name)
        && !read.now.valid
        && !read.status_reason.is_empty()
    {
        let sentence = format!("{name}: not VALID: {}", printable(&read.status_reason));
        said.insert(0, Told::new("not_valid", sentence));
    }
}

/// Whether the plan still speaks of a refused launch: nothing has come since.
fn plan_says_refused<C: Cloud>(driver: &Driver<C>, index: EnvironmentIndex) -> bool {
    let about = |reason: &crate::planner::plan::Reason| {
        reason.subject == Subject::Environment(index) && matches!(reason.because, Because::LaunchRefused(..))
    };
    driver.controller.plan().reasons.iter().any(about)
}

fn in_their_words(environment: &impl std::fmt::Display, launch: &FailedLaunch) -> String {
    let who = match launch.source {
        LaunchSource::AutoScaling => "Auto Scaling",
        LaunchSource::SpotFleet => "the Spot Fleet",
    };
    let quota = launch.quota.as_ref();
    let quota = quota.map_or_else(String::new, |code| format!(" (service quota {})", printable(code)));
    let (code, message) = (printable(&launch.code), printable(&launch.message));
    format!("{environment}: {who} at {}: {code}{quota}: {message}", launch.at)
}

/// What people have to know of a queue's listing before they believe it.
pub(super) fn of_listing(queue: &str, extra: &QueueExtra) -> impl Iterator<Item = Told> {
    let told = |code, words: &str| Told::new(code, format!("{}: {}", printable(queue), printable(words)));
    let trouble = extra.trouble.as_deref().map(|trouble| told("unreadable", trouble));
    let sampled = extra.sampled.then(|| Told {
        // Usual, and no reason why a job waits.
        rank: u8::MAX,
        ..told(
            "sampled",
            "the sizes of its jobs are sampled: there are too many new ones to ask for each",
        )
    });
    trouble.into_iter().chain(sampled)
}

fn queue<C: Cloud>(driver: &Driver<C>, index: QueueIndex, now: Time) -> Option<QueueStatus> {
    let setup = driver.controller.setup().queues.get(index.position())?;
    let (runnable, placed) = driver.sight.tallies(index)?;
    let not_demand = driver.sight.not_demand(index);
    let memory = driver
        .controller
        .memory()
        .queues
        .get(index.position())
        .copied()
        .unwrap_or_default();
    let extra = driver.sight.queues_read.get(&setup.name).cloned().unwrap_or_default();
    let (lately, today) = driver.waits.waited(&setup.name, now);
    let parts = [Part::Queues, Part::Jobs(setup.name.clone())];
    let mut said = reasons(driver, Subject::Queue(index), &parts, now);
    if driver.ears.silent().contains(&setup.name) {
        let name = printable(&setup.name);
        let words = "no event tells of its jobs, so they are polled; is it among the queues of the rule?";
        said.push(Told::new("silent", format!("{name}: {words}")));
    }
    for told in of_listing(&setup.name, &extra) {
        let place = if told.code == "sampled" { said.len() } else { 0 };
        said.insert(place, told);
    }
    Some(QueueStatus {
        name: setup.name.clone(),
        runnable_jobs: jobs_in(runnable),
        runnable_vcpus: vcpus_in(runnable),
        at_least: matches!(runnable, Seen::AtLeast(..)),
        sampled: extra.sampled,
        placed_jobs: jobs_in(placed),
        placed_vcpus: vcpus_in(placed),
        pending_jobs: not_demand.pending,
        no_demand: runnable.value().map(|_| NoDemand {
            misconfigured_jobs: not_demand.misconfigured,
            reserved_jobs: not_demand.reserved,
            multi_node_jobs: not_demand.multi_node,
        }),
        environments: (setup.environments.iter())
            .filter_map(|index| {
                Some(
                    driver
                        .controller
                        .setup()
                        .environments
                        .get(index.position())?
                        .name
                        .clone(),
                )
            })
            .collect(),
        demand: demand(driver, index),
        lately,
        today,
        oldest: extra.oldest.map(|oldest| now.since(oldest).max(Span::ZERO)),
        blocked: extra.blocked,
        age: age(runnable, now),
        overridden: memory.overridden.filter(|order| order.until > now),
        reasons: said,
    })
}

fn demand<C: Cloud>(driver: &Driver<C>, index: QueueIndex) -> Option<Demand> {
    let seen = driver.sight.observation.queues.get(index.position())?;
    let plan = driver.controller.plan();
    let row = plan.queues.get(index.position()).filter(|_| plan.at > Time::EPOCH)?;
    seen.runnable.value().map(|_| Demand {
        runnable_vcpus: row.waiting,
        messages_vcpus: row.messages,
        arriving_vcpus: row.arriving,
        denied_vcpus: row.denied,
    })
}

fn sqs<C: Cloud>(driver: &Driver<C>, index: SqsIndex, now: Time) -> Option<SqsStatus> {
    let setup = driver.controller.setup();
    let source = setup.sqs_sources.get(index.position())?;
    let seen = driver.sight.observation.sqs.get(index.position())?;
    let counts = seen.value().copied().unwrap_or_default();
    let fed = setup.queues.get(source.queue.position());
    let parts = [Part::Messages(source.name.clone()), Part::Oldest(source.name.clone())];
    Some(SqsStatus {
        name: source.name.clone(),
        queue: fed.map(|queue| queue.name.clone()).unwrap_or_default(),
        visible: counts.visible,
        in_flight: counts.in_flight,
        delayed: counts.delayed,
        oldest: driver.sight.oldest.get(&source.name).copied(),
        age: age(seen, now),
        reasons: reasons(driver, Subject::Sqs(index), &parts, now),
    })
}

fn quotas<C: Cloud>(driver: &Driver<C>) -> Vec<QuotaStatus> {
    let setup = driver.controller.setup();
    let rows = &driver.controller.plan().quotas;
    let status = |(at, quota): (usize, &crate::setup::QuotaSetup)| {
        let row = rows.get(at).copied().unwrap_or_else(|| unplanned(driver, at, quota));
        let counted = driver.sight.counted.get(&quota.code).map(|(by, _)| *by);
        QuotaStatus {
            counted: counted
                .filter(|by| *by != Counted::Metric)
                .map(|by| by.text().to_owned()),
            ..QuotaStatus::of(setup, QuotaIndex::at(at), &row)
        }
    };
    setup.quotas.iter().enumerate().map(status).collect()
}

/// What is known of a quota before the first plan.
fn unplanned<C: Cloud>(driver: &Driver<C>, position: usize, quota: &crate::setup::QuotaSetup) -> QuotaPlan {
    let seen = driver.sight.observation.quotas.get(position).and_then(Seen::value);
    QuotaPlan {
        limit: seen.map(|now| now.limit).or(quota.limit),
        unread: seen.is_none(),
        used_by_others: seen.map(|now| now.used_by_others),
        reserve: quota.reserve,
        ..QuotaPlan::default()
    }
}
