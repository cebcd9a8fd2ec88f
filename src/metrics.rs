//! Every Prometheus family, once, with its unit, help and stability.
//!
//! All series exist at 0 from the moment a setup comes into force, so that an alert on a rate misses no first event, and go when
//! what they are about goes. A *series* is one line of the exposition; there are at most 70, 10 more per service quota and per
//! SQS source, 30 per compute environment, 40 per job queue. Apart from that, each answer that AWS gives to an operation makes one,
//! [`MOST_REQUEST_SERIES`] at most, and each rule of `check` that finds something.

mod families;
mod money;
mod series;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};

use series::{DIRECTIONS, ERRORS, HINTS, global_series, limit_label, setup_series};

pub use families::{ALL, Bounds, Family, Kind, Stability, metrics_page, metrics_table};
pub use money::{Cost, Simulated};

use crate::account::Platform;
use crate::control::Outcome;
use crate::explain::{self, Coded as _};
use crate::observation::{InstancesNow, Observation, Refusal, Seen, SqsNow};
use crate::planner::plan::{Because, Part, Plan, Subject};
use crate::setup::Setup;
use crate::units::{Span, Time, Vcpus, i64_to_f64};

/// More operations and error codes than this are counted together, so that odd answers cannot fill a database.
pub const MOST_REQUEST_SERIES: usize = 80;
/// What a label says that would be one too many, or is not known.
const OTHER: &str = "other";
const OUTCOMES: [Outcome; 4] = [Outcome::Accepted, Outcome::Raced, Outcome::Throttled, Outcome::Failed];
/// How instances are bought.
const PURCHASES: [&str; 2] = ["on_demand", "spot"];
/// How the times of a job that started are known.
const SOURCES: [&str; 3] = ["events", "listing", "unknown"];
const MESSAGES: [&str; 3] = ["visible", "in_flight", "delayed"];
/// Instances that were not read for so many seconds may not be there any more: twice the slowest cadence.
const COUNTED_BLIND: f64 = 600.0;
/// Beside the kinds of `NotDemandKind`: jobs that no environment can run.
const UNFIT: &str = "unfit";

/// A series: its family and the values of its labels.
type Series = (&'static str, Vec<String>);

/// All metrics of the daemon.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    gauges: BTreeMap<&'static str, GaugeVec>,
    counters: BTreeMap<&'static str, IntCounterVec>,
    histograms: BTreeMap<&'static str, HistogramVec>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The series of the setup in force.
    series: BTreeSet<Series>,
    requests: BTreeSet<[String; 3]>,
    /// Rules and severities that were found at some time.
    findings: BTreeSet<[String; 2]>,
    /// When the next plan is due.
    due: Time,
    /// Per environment: since when how many vCPUs stand idle, and what of a vCPU second is not counted yet, in thousandths.
    idle: BTreeMap<String, (Time, i64, i64)>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All families, and the series that do not depend on a setup.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::new(),
            gauges: BTreeMap::new(),
            counters: BTreeMap::new(),
            histograms: BTreeMap::new(),
            state: Mutex::new(State {
                series: BTreeSet::new(),
                requests: BTreeSet::new(),
                findings: BTreeSet::new(),
                due: Time::FAR_FUTURE,
                idle: BTreeMap::new(),
            }),
        };
        for family in ALL {
            metrics.register(family);
        }
        for (family, labels) in global_series() {
            metrics.touch(family, &labels);
        }
        metrics.set(&families::BUILD, &[env!("CARGO_PKG_VERSION")], 1.0);
        metrics.set(&families::DRY_RUN, &[], 1.0);
        metrics.journal(true);
        metrics.reloaded(true);
        metrics.costs(None, 0);
        metrics.simulated(None);
        metrics
    }

    /// A family with a bad name would be left out; a test proves that none is.
    fn register(&mut self, family: &'static Family) {
        let opts = Opts::new(family.name, family.help);
        match family.kind {
            Kind::Counter => {
                if let Ok(made) = IntCounterVec::new(opts, family.labels) {
                    let _ = self.registry.register(Box::new(made.clone()));
                    self.counters.insert(family.name, made);
                }
            }
            Kind::Gauge => {
                if let Ok(made) = GaugeVec::new(opts, family.labels) {
                    let _ = self.registry.register(Box::new(made.clone()));
                    self.gauges.insert(family.name, made);
                }
            }
            Kind::Histogram(bounds) => {
                let opts = HistogramOpts::from(opts).buckets(bounds.seconds());
                if let Ok(made) = HistogramVec::new(opts, family.labels) {
                    let _ = self.registry.register(Box::new(made.clone()));
                    self.histograms.insert(family.name, made);
                }
            }
        }
    }

    /// A setup came into force: series of what is new begin at 0, those of what is gone end, all others go on.
    pub fn reset(&self, setup: &Setup) {
        let mut state = self.state();
        let wanted = setup_series(setup);
        for (name, labels) in state.series.difference(&wanted) {
            self.remove(name, labels);
        }
        for (name, labels) in wanted.difference(&state.series) {
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            if let Some(family) = ALL.iter().find(|family| family.name == *name) {
                self.touch(family, &labels);
            }
        }
        for environment in &setup.environments {
            self.set(&families::BASE, &[&environment.name], vcpus(environment.base));
        }
        for quota in &setup.quotas {
            self.set(&families::QUOTA, &[&quota.code], quota.limit.map_or(0.0, vcpus));
        }
        state.series = wanted;
        state
            .idle
            .retain(|name, _| setup.environments.iter().any(|environment| environment.name == *name));
    }

    /// A plan was made; that took so many seconds.
    pub fn planned(&self, setup: &Setup, observation: &Observation, plan: &Plan, now: Time, took_seconds: f64) {
        self.observe(&families::TICK, &[], took_seconds);
        self.set(&families::LAST_TICK, &[], now.since(Time::EPOCH).seconds_f64());
        let due = std::mem::replace(&mut self.state().due, plan.look_again_at);
        let late = if now > due { now.since(due).seconds_f64() } else { 0.0 };
        self.set(&families::LAG, &[], late);
        self.seen(setup, observation, now);
        for (environment, sums) in setup.environments.iter().zip(&plan.environments) {
            let labels = [environment.name.as_str()];
            self.set(&families::ON_ITS_WAY, &labels, vcpus(sums.on_its_way));
            self.set(&families::WANTED, &labels, vcpus(sums.wanted));
            self.set(&families::GRANTED, &labels, vcpus(sums.granted));
        }
        for (queue, sums) in setup.queues.iter().zip(&plan.queues) {
            let labels = [queue.name.as_str()];
            self.set(&families::WAITING, &labels, vcpus(sums.waiting));
            self.set(&families::DENIED, &labels, vcpus(sums.denied));
        }
        for action in &plan.actions {
            if let Some(environment) = setup.environments.get(action.environment().position()) {
                let [raise, lower] = DIRECTIONS;
                let direction = if action.is_upward() { raise } else { lower };
                self.add(&families::DECISIONS, &[environment.name.as_str(), direction], 1);
                self.add(&families::REASONS, &[action.because().code()], 1);
            }
        }
        for (quota, row) in setup.quotas.iter().zip(&plan.quotas) {
            let labels = [quota.code.as_str()];
            if let Some(limit) = row.limit {
                self.set(&families::QUOTA, &labels, vcpus(limit));
            }
            self.set(&families::QUOTA_HELD, &labels, vcpus(row.held));
            self.set(&families::QUOTA_COMING, &labels, vcpus(row.on_its_way));
            self.set(&families::QUOTA_RESERVE, &labels, vcpus(row.reserve));
            self.set(&families::QUOTA_OVERSHOOT, &labels, vcpus(row.overshoot));
            self.set(&families::QUOTA_LEFT, &labels, vcpus(row.left));
        }
        self.reasons(setup, plan);
    }

    /// What was seen, and how long ago.
    fn seen(&self, setup: &Setup, observation: &Observation, now: Time) {
        for (environment, seen) in setup.environments.iter().zip(&observation.environments) {
            let labels = [environment.name.as_str()];
            if let Some(seen) = seen.value() {
                self.set(&families::MIN, &labels, vcpus(seen.min_vcpus));
                self.set(&families::DESIRED, &labels, vcpus(seen.desired_vcpus));
                self.set(&families::MAX, &labels, vcpus(seen.max_vcpus));
            }
            let part = Part::Environment.code();
            self.set(&families::AGE, &[&environment.name, part], age(seen, now));
        }
        for (environment, seen) in setup.environments.iter().zip(&observation.instances) {
            let labels = [environment.name.as_str()];
            if let Some(seen) = seen.value() {
                self.set(&families::THERE, &labels, vcpus(seen.there));
                self.set(&families::USED, &labels, vcpus(seen.used));
            }
            self.idle(&environment.name, seen, now);
            let part = Part::Instances.code();
            // The nodes of EKS are not read, and so are never late.
            let age = if environment.platform == Platform::Eks {
                f64::NAN
            } else {
                age(seen, now)
            };
            self.set(&families::AGE, &[&environment.name, part], age);
        }
        for (queue, seen) in setup.queues.iter().zip(&observation.queues) {
            let labels = [queue.name.as_str()];
            if let Some(runnable) = seen.runnable.value() {
                self.set(&families::RUNNABLE, &labels, i64_to_f64(runnable.jobs()));
            }
            if let Some(placed) = seen.placed.value() {
                self.set(&families::PLACED, &labels, i64_to_f64(placed.jobs()));
            }
            self.set(&families::QUEUE_AGE, &labels, age(&seen.runnable, now));
        }
        for (source, seen) in setup.sqs_sources.iter().zip(&observation.sqs) {
            if let Some(SqsNow {
                visible,
                in_flight,
                delayed,
            }) = seen.value().copied()
            {
                for (kind, messages) in MESSAGES.into_iter().zip([visible, in_flight, delayed]) {
                    self.set(&families::SQS, &[&source.name, kind], i64_to_f64(messages));
                }
            }
            self.set(&families::SQS_AGE, &[&source.name], age(seen, now));
        }
        for (quota, seen) in setup.quotas.iter().zip(&observation.quotas) {
            if let Some(seen) = seen.value() {
                self.set(&families::QUOTA_OTHERS, &[&quota.code], vcpus(seen.used_by_others));
            }
        }
    }

    /// Counts idle capacity from one plan to the next: what stood idle at the last one did so until now. Not while it is unseen.
    fn idle(&self, environment: &str, seen: &Seen<InstancesNow>, now: Time) {
        let mut state = self.state();
        let before = state.idle.remove(environment);
        let is_fresh = seen.value().is_some() && age(seen, now) <= COUNTED_BLIND;
        let Some(instances) = seen.value().filter(|_| is_fresh) else {
            return;
        };
        let idle = instances.there.get().saturating_sub(instances.used.get()).max(0);
        let mut left = 0;
        if let Some((since, stood, rest)) = before {
            let thousandths = now
                .since(since)
                .millis()
                .max(0)
                .saturating_mul(stood)
                .saturating_add(rest);
            self.add(&families::IDLE, &[environment], (thousandths / 1000).unsigned_abs());
            left = thousandths % 1000;
        }
        state.idle.insert(environment.to_owned(), (now, idle, left));
    }

    /// What the reasons of a plan add up to. What no reason speaks of is 0.
    fn reasons(&self, setup: &Setup, plan: &Plan) {
        let mut sums: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        let mut until: BTreeMap<Series, Time> = BTreeMap::new();
        for reason in &plan.reasons {
            let detail = explain::detail(&reason.because).unwrap_or(OTHER);
            let mut sum = |family: &Family, of: &'static str, more: i64| {
                *sums.entry((family.name, of)).or_default() += more;
            };
            match reason.because {
                Because::Limit(limit, denied) => sum(&families::LIMITED, limit_label(limit), denied.get()),
                Because::Hold(..) => sum(&families::HELD, detail, 1),
                Because::NotDemand(_, jobs) => sum(&families::ELSEWHERE, detail, jobs),
                Because::Unfit(jobs) => sum(&families::ELSEWHERE, UNFIT, jobs),
                Because::DoubleLaunch(more) => {
                    if let (Some(family), name) = about(setup, reason.subject, &families::DOUBLE, None) {
                        self.add(family, &[&name], more.get().unsigned_abs());
                    }
                }
                Because::Ordered(_, end) => {
                    let queue = Some(&families::QUEUE_OVERRIDE);
                    if let (Some(family), name) = about(setup, reason.subject, &families::OVERRIDE, queue) {
                        until.insert((family.name, vec![name]), end);
                    }
                }
                Because::Drought(end) => {
                    if let (Some(family), name) = about(setup, reason.subject, &families::DROUGHT, None) {
                        until.insert((family.name, vec![name]), end);
                    }
                }
                Because::Waiting(_)
                | Because::Messages(_)
                | Because::Arriving(_)
                | Because::Headroom(_)
                | Because::Scheduled(_)
                | Because::RecentlyUsed(_)
                | Because::Fallback(..)
                | Because::Served
                | Because::LessWanted(_)
                | Because::Probing(_)
                | Because::Recovered
                | Because::BeyondQuota(..)
                | Because::LaunchRefused(..)
                | Because::WithinQuota(..)
                | Because::Patience(_)
                | Because::Blind(..)
                | Because::WrongShape(_)
                | Because::Stalled(_)
                | Because::NotPlaced
                | Because::HeldInVain
                | Because::MovesOn
                | Because::MaxRestored
                | Because::LeaseExpired => {}
            }
        }
        for (family, labels) in global_series() {
            if [&families::LIMITED, &families::HELD, &families::ELSEWHERE].contains(&family) {
                let of = labels.first().copied().unwrap_or(OTHER);
                let sum = sums.get(&(family.name, of)).copied().unwrap_or(0);
                self.set(family, &labels, i64_to_f64(sum));
            }
        }
        let names = (setup.environments.iter())
            .flat_map(|e| [(&families::OVERRIDE, &e.name), (&families::DROUGHT, &e.name)])
            .chain(setup.queues.iter().map(|q| (&families::QUEUE_OVERRIDE, &q.name)));
        for (family, name) in names {
            let until = until.get(&(family.name, vec![name.clone()])).copied();
            self.set(family, &[name], timestamp(until));
        }
    }

    /// An update of an environment was answered.
    pub fn ended(&self, environment: &str, outcome: Outcome) {
        let labels = [environment, outcome_label(outcome)];
        if self.is_in_force(&families::UPDATES, &labels) {
            self.add(&families::UPDATES, &labels, 1);
        }
    }

    /// EC2 refused so many more launches of an environment for this reason.
    pub fn refused(&self, environment: &str, why: Refusal, count: u64) {
        let labels = [environment, refusal_label(why)];
        if self.is_in_force(&families::REFUSED, &labels) {
            self.add(&families::REFUSED, &labels, count);
        }
    }

    /// So many hints of a kind came: `job`, `blocked`, `instance`, `interruption`, `malformed`, `duplicate`, `dropped`. Of an
    /// unknown kind nothing is noted.
    pub fn hinted(&self, kind: &str, count: u64) {
        if let Some(kind) = HINTS.into_iter().find(|known| *known == kind) {
            self.add(&families::HINTS, &[kind], count);
        }
    }

    /// Something did not work: `reading`, `events` or `guard`. Of an unknown kind nothing is noted.
    pub fn failed(&self, kind: &str) {
        if let Some(kind) = ERRORS.into_iter().find(|known| *known == kind) {
            self.add(&families::ERRORS, &[kind], 1);
        }
    }

    /// Whether the journal took what was last written.
    pub fn journal(&self, writable: bool) {
        self.set(&families::JOURNAL, &[], flag(writable));
    }

    /// The policies were read again, and taken or refused.
    pub fn reloaded(&self, ok: bool) {
        self.set(&families::RELOAD, &[], flag(ok));
    }

    /// Whether this process may change the account.
    pub fn leads(&self, leads: bool) {
        self.set(&families::LEADER, &[], flag(leads));
    }

    /// Whether nothing is changed; so it is until told otherwise.
    pub fn dry_run(&self, dry: bool) {
        self.set(&families::DRY_RUN, &[], flag(dry));
    }

    /// A job has waited: `wait`, `avoidable_wait` or `start_latency`. Of an unknown kind nothing is noted.
    pub fn waited(&self, queue: &str, seconds: f64, kind: &str) {
        let family = match kind {
            "wait" => &families::WAIT,
            "avoidable_wait" => &families::AVOIDABLE,
            "start_latency" => &families::START,
            _ => return,
        };
        if self.is_in_force(family, &[queue]) {
            self.observe(family, &[queue], seconds);
        }
    }

    /// A job of a queue has started, its times known from `events`, a `listing` or `unknown`; the ratio is the share, 0 to 1, of those
    /// so far that are known from events.
    pub fn started(&self, queue: &str, source: &str, ratio: f64) {
        if self.is_in_force(&families::COVERAGE, &[queue]) {
            self.set(&families::COVERAGE, &[queue], ratio);
            let source = SOURCES.into_iter().find(|known| *known == source).unwrap_or("unknown");
            self.add(&families::STARTED, &[queue, source], 1);
        }
    }

    /// How old the oldest message of an SQS source is.
    pub fn oldest_message(&self, source: &str, age: Option<Span>) {
        if self.is_in_force(&families::SQS_OLDEST, &[source]) {
            self.set(&families::SQS_OLDEST, &[source], age.map_or(0.0, Span::seconds_f64));
        }
    }

    /// How long the longest waiting RUNNABLE job of a queue has existed, and since when its head is blocked.
    pub fn queue(&self, queue: &str, oldest: Option<Span>, blocked: Option<Time>) {
        if self.is_in_force(&families::OLDEST, &[queue]) {
            self.set(&families::OLDEST, &[queue], oldest.map_or(0.0, Span::seconds_f64));
            self.set(&families::BLOCKED, &[queue], timestamp(blocked));
        }
    }

    /// When the lease of an environment ends; `None`: nothing is raised.
    pub fn lease(&self, environment: &str, expires: Option<Time>) {
        if self.is_in_force(&families::LEASE, &[environment]) {
            self.set(&families::LEASE, &[environment], timestamp(expires));
        }
    }

    /// Whether a guard in the account would restore base.
    pub fn guarded(&self, environment: &str, guarded: bool) {
        if self.is_in_force(&families::GUARDED, &[environment]) {
            self.set(&families::GUARDED, &[environment], flag(guarded));
        }
    }

    /// So many more requests to AWS: service, operation, code of the answer, count.
    pub fn requests(&self, requests: &[(&str, &str, &str, u64)]) {
        for (service, operation, code, count) in requests {
            let labels = [*service, *operation, *code];
            let key = labels.map(str::to_owned);
            let mut state = self.state();
            let known = state.requests.contains(&key);
            if !known && state.requests.len() + 1 >= MOST_REQUEST_SERIES {
                self.add(&families::REQUESTS, &[OTHER; 3], *count);
                continue;
            }
            state.requests.insert(key);
            self.add(&families::REQUESTS, &labels, *count);
        }
    }

    /// What `check` found: code of the rule, severity, count. What is not found any more goes to 0.
    pub fn checked(&self, counts: &[(&str, &str, f64)], at: Time) {
        let mut state = self.state();
        for labels in &state.findings {
            self.set(&families::FINDINGS, &labels.each_ref().map(String::as_str), 0.0);
        }
        for (rule, severity, count) in counts {
            state.findings.insert([(*rule).to_owned(), (*severity).to_owned()]);
            self.set(&families::FINDINGS, &[rule, severity], *count);
        }
        self.set(&families::CHECKED, &[], at.since(Time::EPOCH).seconds_f64());
    }

    /// The text that Prometheus reads.
    pub fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the setup in force has this environment or queue: what is told late of one that is gone brings no series back.
    fn is_in_force(&self, family: &Family, labels: &[&str]) -> bool {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        self.state().series.contains(&(family.name, labels))
    }

    fn set(&self, family: &Family, labels: &[&str], value: f64) {
        let found = self.gauges.get(family.name);
        if let Some(Ok(gauge)) = found.map(|made| made.get_metric_with_label_values(labels)) {
            gauge.set(value);
        }
    }

    fn add(&self, family: &Family, labels: &[&str], more: u64) {
        let found = self.counters.get(family.name);
        if let Some(Ok(counter)) = found.map(|made| made.get_metric_with_label_values(labels)) {
            counter.inc_by(more);
        }
    }

    fn observe(&self, family: &Family, labels: &[&str], value: f64) {
        let found = self.histograms.get(family.name);
        if let Some(Ok(histogram)) = found.map(|made| made.get_metric_with_label_values(labels)) {
            histogram.observe(value);
        }
    }

    /// Makes a series with its zero.
    fn touch(&self, family: &Family, labels: &[&str]) {
        match family.kind {
            Kind::Counter => self.add(family, labels, 0),
            Kind::Gauge => self.set(family, labels, 0.0),
            Kind::Histogram(_) => {
                let found = self.histograms.get(family.name);
                let _ = found.map(|made| made.get_metric_with_label_values(labels).map(drop));
            }
        }
    }

    fn remove(&self, name: &str, labels: &[String]) {
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let _ = self.gauges.get(name).map(|made| made.remove_label_values(&labels));
        let _ = self.counters.get(name).map(|made| made.remove_label_values(&labels));
        let _ = self.histograms.get(name).map(|made| made.remove_label_values(&labels));
    }
}

/// The family for what a reason is about, and its name.
fn about(
    setup: &Setup,
    subject: Subject,
    environment: &'static Family,
    queue: Option<&'static Family>,
) -> (Option<&'static Family>, String) {
    match subject {
        Subject::Environment(index) => {
            let found = setup.environments.get(index.position());
            found.map_or_else(Default::default, |e| (Some(environment), e.name.clone()))
        }
        Subject::Queue(index) => {
            let found = setup.queues.get(index.position());
            found.map_or_else(Default::default, |q| (queue, q.name.clone()))
        }
        Subject::Sqs(_) => Default::default(),
    }
}

/// Whether an environment is of Spot or not says which of its quotas it was.
fn refusal_label(why: Refusal) -> &'static str {
    match why {
        Refusal::VcpuLimit | Refusal::SpotLimit => "quota",
        Refusal::Capacity | Refusal::Other => why.code(),
    }
}

const fn outcome_label(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted => "accepted",
        // Desired above max is a race, too; as a hold it is counted while it lasts.
        Outcome::Raced | Outcome::Overshoot => "raced",
        Outcome::Throttled => "throttled",
        Outcome::Failed => "failed",
    }
}

fn vcpus(vcpus: Vcpus) -> f64 {
    i64_to_f64(vcpus.get())
}

fn flag(set: bool) -> f64 {
    if set { 1.0 } else { 0.0 }
}

fn timestamp(at: Option<Time>) -> f64 {
    at.map_or(0.0, |at| at.since(Time::EPOCH).seconds_f64())
}

/// How long ago something was read. What is missing was read before it went missing.
fn age<T>(seen: &Seen<T>, now: Time) -> f64 {
    if seen.at() == Time::FAR_PAST {
        return f64::INFINITY;
    }
    now.since(seen.at()).seconds_f64().max(0.0)
}
