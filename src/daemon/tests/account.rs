//! An account in memory: answers, delays and failures as a test wishes, and a log of what was asked of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::account::survey::{self, Known, Survey};
use crate::account::{ComputeEnvironment, JobQueue, OfferedType, Platform, Topology};
use crate::catalog::{Purchase, Resources};
use crate::clock::{self, Clock};
use crate::control::Outcome;
use crate::daemon::cloud::{
    Answer, Cloud, EnvironmentRead, FailedLaunch, Head, Hint, Identity, NamedGuard, Page, Principal, QueueRead,
    QuotaRead, Read, Tagged, Unread,
};
use crate::daemon::store::Kept;
use crate::jobs::{JobDescribed, JobSeen, JobSize, JobStatus};
use crate::observation::{EnvironmentNow, GapReason, InstancesNow, Room, Shape, SqsNow};
use crate::planner::plan::Change;
use crate::units::{Mebibytes, MicroUsd, Span, Time, Vcpus};

pub(crate) const START: Time = Time::from_seconds(1_767_258_000); // 2026-01-01 09:00:00 UTC
pub(crate) const POLICY: &str = "version = 1\n[queues.q]\n";

pub(crate) fn shape(vcpus: i64) -> Shape {
    Shape {
        resources: Resources {
            vcpus: Vcpus::new(vcpus),
            memory: Mebibytes::new(vcpus * 1024),
            gpus: 0,
        },
        nodes: 1,
    }
}

/// Spot, then On-Demand, each with the opt-in tag.
pub(crate) fn topology(min: i64) -> Topology {
    let environment = |name: &str, purchase| ComputeEnvironment {
        name: name.to_owned(),
        tags: BTreeMap::from([("autotune".to_owned(), "enabled".to_owned())]),
        platform: Platform::Ec2,
        purchase,
        min_vcpus: Vcpus::new(min),
        max_vcpus: Vcpus::new(256),
        types: vec![OfferedType {
            name: "m6i.4xlarge".to_owned(),
            registered: Resources {
                vcpus: Vcpus::new(16),
                memory: Mebibytes::new(62_000),
                gpus: 0,
            },
            per_hour: MicroUsd::new(768_000),
        }],
    };
    Topology {
        environments: vec![
            environment("spot", Purchase::Spot),
            environment("ondemand", Purchase::OnDemand),
        ],
        queues: vec![JobQueue {
            name: "q".to_owned(),
            priority: 1,
            environments: vec!["spot".to_owned(), "ondemand".to_owned()],
            fair_share: false,
        }],
    }
}

/// What the account holds. Tests change it as they like.
pub(crate) struct State {
    /// Environments in the queue's order.
    names: Vec<String>,
    pub(crate) min: BTreeMap<String, i64>,
    pub(crate) desired: BTreeMap<String, i64>,
    /// maxvCpus of every environment.
    pub(crate) max: i64,
    pub(crate) tags: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) guards: BTreeMap<String, NamedGuard>,
    /// Per environment: the firing of its guard that came last.
    fired: BTreeMap<String, Time>,
    /// What the next wait for hints brings.
    pub(crate) hints: Vec<Hint>,
    pub(crate) jobs: Vec<(JobSeen, Shape)>,
    /// Children of arrays.
    pub(crate) children: Vec<JobSeen>,
    /// What was asked for, one line each: effects in order.
    pub(crate) log: Vec<String>,
    /// Reads by name of the call.
    pub(crate) reads: BTreeMap<String, u32>,
    /// Launches that EC2 refuses, by environment; no instance comes there.
    pub(crate) refused: BTreeMap<String, Vec<FailedLaunch>>,
    /// What Spot Instances cost per hour, by type.
    pub(crate) spot_prices: BTreeMap<String, MicroUsd>,
    /// Accepts updates and shows nothing of them.
    pub(crate) deaf: bool,
    /// Calls that never answer, such as `instances spot`.
    pub(crate) hang: BTreeSet<String>,
    /// Calls that fail; `*` is every one.
    pub(crate) fail: BTreeSet<String>,
    /// Calls that panic, once.
    pub(crate) panic: BTreeSet<String>,
    /// In whose words they fail.
    pub(crate) why: (GapReason, &'static str),
    /// Effects that still happen; after that every one hangs.
    pub(crate) left: usize,
    /// Effects until somebody who waits for them is told.
    until_told: Option<usize>,
    /// Effects take this long.
    pub(crate) slow: Span,
    /// Raises that were taken without lease and guard: there must be none.
    pub(crate) wrong: Vec<String>,
}

/// The account.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) kept: Kept,
    pub(super) journal: Option<std::path::PathBuf>,
    pub(crate) clock: Clock,
    effects: Arc<Notify>,
}

impl Account {
    pub(crate) fn new(clock: Clock) -> Self {
        let names = || ["spot", "ondemand"].map(str::to_owned).into_iter();
        let state = State {
            names: names().collect(),
            min: names().map(|name| (name, 0)).collect(),
            desired: names().map(|name| (name, 0)).collect(),
            max: 256,
            tags: BTreeMap::new(),
            guards: BTreeMap::new(),
            fired: BTreeMap::new(),
            hints: Vec::new(),
            jobs: Vec::new(),
            children: Vec::new(),
            log: Vec::new(),
            reads: BTreeMap::new(),
            refused: BTreeMap::new(),
            spot_prices: BTreeMap::new(),
            deaf: false,
            hang: BTreeSet::new(),
            fail: BTreeSet::new(),
            panic: BTreeSet::new(),
            why: (GapReason::Failed, "failed"),
            left: usize::MAX,
            until_told: None,
            slow: Span::from_millis(50),
            wrong: Vec::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            kept: Kept::default(),
            journal: None,
            clock,
            effects: Arc::default(),
        }
    }

    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.fire_guards(self.clock.now());
        change(&mut state)
    }

    /// So many RUNNABLE jobs, instead of those there were.
    pub(crate) fn set_runnable(&self, jobs: usize, vcpus: i64) {
        let job = |number: usize| JobSeen {
            id: format!("{vcpus}-{number}"),
            name: format!("job-{number}"),
            definition: "d:1".to_owned(),
            status: JobStatus::Runnable,
            created: Some(START),
            vcpus: Some(Vcpus::new(vcpus)),
            nodes: 1,
            ..JobSeen::default()
        };
        self.with(|state| state.jobs = (0..jobs).map(|number| (job(number), shape(vcpus))).collect());
    }

    /// Waits until so many effects have begun, for an hour at most; tells whether they have.
    pub(crate) async fn effects(&self, count: usize) -> bool {
        self.with(|state| state.until_told = Some(count));
        clock::within(Span::from_minutes(60), self.effects.notified())
            .await
            .is_some()
    }

    /// An environment is removed, and another one takes its place.
    pub(crate) fn replace(&self, old: &str, new: &str) {
        self.with(|state| {
            for name in state.names.iter_mut().filter(|name| *name == old) {
                new.clone_into(name);
            }
            state.min.remove(old);
            state.desired.remove(old);
            state.min.insert(new.to_owned(), 0);
            state.desired.insert(new.to_owned(), 0);
        });
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.with(|state| state.log.clone())
    }

    /// What an environment's min was raised to, one after the other.
    pub(crate) fn raises(&self, name: &str) -> Vec<i64> {
        let log = self.log();
        let levels = log.iter().filter_map(|line| {
            let (from, to) = line
                .strip_prefix("send ")?
                .strip_prefix(name)?
                .trim()
                .split_once(" -> ")?;
            let (from, to): (i64, i64) = (from.parse().unwrap(), to.parse().unwrap());
            (to > from).then_some(to)
        });
        levels.collect()
    }

    pub(crate) fn min(&self, name: &str) -> i64 {
        self.with(|state| state.min[name])
    }

    async fn read(&self, call: &str) -> Read<()> {
        let (hang, panics) = self.with(|state| {
            *state.reads.entry(call.to_owned()).or_default() += 1;
            (state.hang.contains(call), state.panic.remove(call))
        });
        assert!(!panics, "{call} was to panic");
        if hang {
            std::future::pending::<()>().await;
        }
        let answer = self.with(|state| state.answer(call));
        clock::wait(Span::from_millis(20)).await;
        answer
    }

    /// One effect: takes its time, and may be the last. Whether it happens at all is decided before, whether it fails after.
    /// Tells when it took place: our own process may stand still while the account does not.
    async fn effect(&self, call: &str) -> Read<Time> {
        let (happens, slow, panics) = self.with(|state| {
            let happens = state.left > 0 && !state.hang.contains(call);
            state.left = state.left.saturating_sub(usize::from(happens));
            *state.reads.entry(call.to_owned()).or_default() += 1;
            state.until_told = state.until_told.map(|left| left.saturating_sub(1));
            if state.until_told == Some(0) {
                state.until_told = None;
                self.effects.notify_one();
            }
            (happens, state.slow, state.panic.remove(call))
        });
        assert!(!panics, "{call} was to panic");
        if !happens {
            std::future::pending::<()>().await;
        }
        let at = self.clock.now() + slow;
        clock::wait(slow).await;
        self.with(|state| state.answer(call).map(|()| at))
    }
}

impl State {
    /// What the account's own guards do when their time comes: every five minutes for two hours.
    fn fire_guards(&mut self, now: Time) {
        for guard in self.guards.values() {
            let late = now.since(guard.fires).min(Span::from_minutes(120));
            if late < Span::ZERO {
                continue;
            }
            let firing = guard.fires + Span::from_minutes(late.millis() / 300_000 * 5);
            if self.fired.get(&guard.environment).is_none_or(|last| *last < firing) {
                self.fired.insert(guard.environment.clone(), firing);
                for levels in [&mut self.min, &mut self.desired] {
                    if let Some(level) = levels.get_mut(&guard.environment) {
                        *level = guard.min_vcpus.get();
                    }
                }
                self.max = guard.max_vcpus.map_or(self.max, Vcpus::get);
                self.log.push(format!("fired {}", guard.environment));
            }
        }
        self.guards
            .retain(|_, guard| now < guard.fires + Span::from_minutes(120));
    }

    fn answer(&self, call: &str) -> Read<()> {
        if self.fail.contains(call) || self.fail.contains("*") {
            let (why, says) = self.why;
            let message = format!("{call} {says}");
            return Err(Unread { why, message });
        }
        Ok(())
    }
}

impl Cloud for Account {
    async fn identity(&self) -> Read<Identity> {
        self.read("identity").await?;
        Ok(Identity {
            account: "123456789012".to_owned(),
            region: "eu-central-1".to_owned(),
        })
    }

    async fn topology(&self) -> Read<Topology> {
        self.read("topology").await?;
        let mut topology = topology(0);
        self.with(|state| {
            topology.queues[0].environments.clone_from(&state.names);
            for (environment, name) in topology.environments.iter_mut().zip(&state.names) {
                environment.name.clone_from(name);
                environment.min_vcpus = Vcpus::new(state.min[&environment.name]);
                environment.max_vcpus = Vcpus::new(state.max);
                let tags = state.tags.get(name).cloned();
                environment.tags.extend(tags.unwrap_or_default());
            }
        });
        Ok(topology)
    }

    async fn environments(&self, names: &[String]) -> Read<Vec<EnvironmentRead>> {
        self.read("environments").await?;
        let read = |state: &State, name: &String| EnvironmentRead {
            name: name.clone(),
            now: EnvironmentNow {
                valid: true,
                enabled: true,
                min_vcpus: Vcpus::new(state.min[name]),
                desired_vcpus: Vcpus::new(state.desired[name].max(state.min[name])),
                max_vcpus: Vcpus::new(state.max),
                ..EnvironmentNow::default()
            },
            tags: state.tags.get(name).cloned().unwrap_or_default(),
            cluster: Some(format!("cluster-{name}")),
            ..EnvironmentRead::default()
        };
        Ok(self.with(|state| {
            let there = names.iter().filter(|name| state.min.contains_key(*name));
            there.map(|name| read(state, name)).collect()
        }))
    }

    async fn queues(&self, names: &[String]) -> Read<Vec<QueueRead>> {
        self.read("queues").await?;
        let read = |state: &State, name: &String| QueueRead {
            name: name.clone(),
            tags: state.tags.get(name).cloned().unwrap_or_default(),
        };
        Ok(self.with(|state| names.iter().map(|name| read(state, name)).collect()))
    }

    /// A thousand a page, as AWS Batch has it.
    async fn list_jobs(&self, _queue: &str, status: JobStatus, page: Option<String>) -> Read<Page> {
        self.read("list_jobs").await?;
        let jobs = self.with(|state| state.jobs.clone());
        let jobs = jobs.into_iter().map(|(job, _)| job).filter(|job| job.status == status);
        let from = page.map_or(0, |page| page.parse().unwrap());
        let mut jobs: Vec<JobSeen> = jobs.skip(from).collect();
        let next = (jobs.len() > 1_000).then(|| (from + 1_000).to_string());
        jobs.truncate(1_000);
        Ok(Page { jobs, next })
    }

    async fn list_children(&self, _parent: &str, status: JobStatus, _page: Option<String>) -> Read<Page> {
        self.read("list_children").await?;
        let children = self.with(|state| state.children.clone());
        Ok(Page {
            jobs: children.into_iter().filter(|job| job.status == status).collect(),
            next: None,
        })
    }

    async fn list_created(&self, _queue: &str, after: Time, page: Option<String>) -> Read<Page> {
        self.read("list_created").await?;
        let jobs = self.with(|state| state.jobs.clone());
        let jobs = jobs.into_iter().map(|(job, _)| job).rev();
        let jobs = jobs.filter(|job| job.created.is_some_and(|created| created > after));
        let from = page.map_or(0, |page| page.parse().unwrap());
        let mut jobs: Vec<JobSeen> = jobs.skip(from).collect();
        let next = (jobs.len() > 100).then(|| (from + 100).to_string());
        jobs.truncate(100);
        Ok(Page { jobs, next })
    }

    async fn describe_jobs(&self, ids: &[String]) -> Read<Vec<JobDescribed>> {
        self.read("describe_jobs").await?;
        let jobs = self.with(|state| state.jobs.clone());
        let described = |(job, shape): (JobSeen, Shape)| {
            let size = Some(JobSize {
                id: job.id.clone(),
                shape,
                parents: Vec::new(),
            });
            JobDescribed { seen: job, size }
        };
        Ok(jobs
            .into_iter()
            .filter(|(job, _)| ids.contains(&job.id))
            .map(described)
            .collect())
    }

    async fn head(&self, _queue: &str) -> Read<Option<Head>> {
        self.read("head").await?;
        let first = self.with(|state| state.jobs.first().map(|(job, _)| job.id.clone()));
        Ok(first.map(|job| Head { job, since: None }))
    }

    /// Batch follows at once: what is asked for is there, idle.
    async fn instances(&self, environment: &EnvironmentRead) -> Read<InstancesNow> {
        self.read(&format!("instances {}", environment.name)).await?;
        let level = |levels: &BTreeMap<String, i64>| levels.get(&environment.name).copied().unwrap_or(0);
        let there = self.with(|state| {
            let launches = !state.refused.contains_key(&environment.name);
            if launches {
                level(&state.desired).max(level(&state.min))
            } else {
                0
            }
        });
        let free = Resources {
            vcpus: Vcpus::new(16),
            memory: Mebibytes::new(62_000),
            gpus: 0,
        };
        let instances = u32::try_from((there + 15) / 16).unwrap();
        Ok(InstancesNow {
            there: Vcpus::new(i64::from(instances) * 16),
            rooms: if instances > 0 {
                vec![Room { free, instances }]
            } else {
                Vec::new()
            },
            types: (instances > 0)
                .then(|| ("m6i.4xlarge".to_owned(), Vcpus::new(i64::from(instances) * 16)))
                .into_iter()
                .collect(),
            ..InstancesNow::default()
        })
    }

    async fn failed_launches(&self, environment: &EnvironmentRead, since: Time) -> Read<Vec<FailedLaunch>> {
        self.read(&format!("launches {}", environment.name)).await?;
        let now = self.clock.now();
        let mut refused = self.with(|state| state.refused.get(&environment.name).cloned().unwrap_or_default());
        refused.retain(|launch| launch.at > since && launch.at <= now);
        Ok(refused)
    }

    async fn messages(&self, _sqs: &str) -> Read<SqsNow> {
        Ok(SqsNow::default())
    }

    async fn oldest_message(&self, _sqs: &str) -> Read<Option<Span>> {
        Ok(None)
    }

    async fn quota(&self, code: &str) -> Read<QuotaRead> {
        self.with(|state| *state.reads.entry(format!("quota {code}")).or_default() += 1);
        Ok(QuotaRead {
            limit: Vcpus::new(100_000),
            ..QuotaRead::default()
        })
    }

    async fn spot_prices(&self, types: &[String]) -> Read<BTreeMap<String, MicroUsd>> {
        self.read("prices").await?;
        let mut prices = self.with(|state| state.spot_prices.clone());
        prices.retain(|name, _| types.contains(name));
        Ok(prices)
    }

    async fn send(&self, environment: &str, change: &Change) -> Answer {
        let done = self.effect(&format!("send {environment}")).await;
        let open = self.open_intents();
        self.with(|state| {
            let Some(min) = state.min.get(environment).copied() else {
                return Answer {
                    outcome: Outcome::Failed,
                    message: format!("{environment} does not exist"),
                };
            };
            let to = change.min_vcpus.map_or(min, Vcpus::get);
            state.log.push(format!("send {environment} {min} -> {to}"));
            let now = match done {
                Ok(at) => at,
                Err(Unread { why, message }) => {
                    let outcome = match why {
                        GapReason::Denied => Outcome::Failed,
                        GapReason::NotReadYet | GapReason::Throttled | GapReason::Failed => Outcome::Throttled,
                    };
                    return Answer { outcome, message };
                }
            };
            let leased = open.iter().any(|intent| {
                intent.environment == environment && intent.lease.is_some_and(|lease| lease.expires > now)
            });
            let guarded = state.guards.get(environment).is_some_and(|guard| guard.fires > now);
            if to > min && !(leased && guarded) {
                state.wrong.push(format!(
                    "{environment} to {to} at {now}: leased {leased}, guarded {guarded}"
                ));
            }
            if state.deaf {
                return Answer {
                    outcome: Outcome::Accepted,
                    message: String::new(),
                };
            }
            state.min.insert(environment.to_owned(), to);
            if let Some(max) = change.max_vcpus {
                state.log.push(format!("max {environment} {max}"));
                state.max = max.get();
            }
            // Batch takes desired back as soon as min lets it.
            state.desired.insert(environment.to_owned(), to);
            Answer {
                outcome: Outcome::Accepted,
                message: String::new(),
            }
        })
    }

    async fn arm(&self, guard: &NamedGuard) -> Read<()> {
        self.effect(&format!("arm {}", guard.environment)).await?;
        self.with(|state| {
            state
                .log
                .push(format!("arm {} {}", guard.environment, guard.min_vcpus.get()));
            state.guards.insert(guard.environment.clone(), guard.clone());
            state.fired.remove(&guard.environment);
        });
        Ok(())
    }

    async fn disarm(&self, environment: &str) -> Read<()> {
        self.effect(&format!("disarm {environment}")).await?;
        self.with(|state| {
            state.log.push(format!("disarm {environment}"));
            state.guards.remove(environment);
        });
        Ok(())
    }

    async fn guards(&self) -> Read<Vec<NamedGuard>> {
        self.read("guards").await?;
        Ok(self.with(|state| state.guards.values().cloned().collect()))
    }

    async fn tag(&self, subject: &Tagged, key: &str, value: Option<&str>) -> Read<()> {
        let (Tagged::Environment(name) | Tagged::Queue(name)) = subject;
        self.with(|state| {
            let tags = state.tags.entry(name.clone()).or_default();
            match value {
                Some(value) => tags.insert(key.to_owned(), value.to_owned()),
                None => tags.remove(key),
            };
        });
        Ok(())
    }

    async fn survey(&self, _sqs_queues: &[String], principal: Principal) -> Read<Survey> {
        self.read("survey").await?;
        assert_eq!(
            principal,
            Principal::Caller,
            "what is found is about the daemon's own role"
        );
        let environments = self
            .with(|state| state.names.clone())
            .into_iter()
            .map(|name| survey::ComputeEnvironment {
                compute_environment_name: name,
                status: "INVALID".to_owned(),
                ..survey::ComputeEnvironment::default()
            });
        Ok(Survey {
            compute_environments: Known::Known(environments.collect()),
            ..Survey::default()
        })
    }

    async fn hints(&self) -> Read<Vec<Hint>> {
        self.with(|state| {
            *state.reads.entry("hints".to_owned()).or_default() += 1;
            state.answer("hints")
        })?;
        for _ in 0..20 {
            let hints = self.with(|state| std::mem::take(&mut state.hints));
            if !hints.is_empty() {
                return Ok(hints);
            }
            clock::wait(Span::from_seconds(1)).await;
        }
        Ok(Vec::new())
    }
}
