//! The account as the daemon sees one, without a wire in between: for a demo that needs no AWS crate, and for tests.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::account::Account;
use super::describe::spelled;
use super::ids::JobRef;
use super::jobs::Seen;
use super::refused::Refused;
use super::schedules::GUARD_GROUP;
use super::sqs::EVENTS_QUEUE;
use super::state::{Hand, State};
use super::wire::listings::{BY_FILTER_MOST, BY_STATUS_MOST};
use crate::account::Topology;
use crate::account::survey::{self, Counted, Known, Survey};
use crate::catalog::Catalog;
use crate::control::Outcome;
use crate::daemon::cloud::{
    Answer, Cloud, EnvironmentRead, FailedLaunch, Head, Hint, Identity, NamedGuard, Page, Principal, QueueRead,
    QuotaRead, Read, Tagged, Unread,
};
use crate::ids::{EnvironmentIndex, QueueIndex};
use crate::jobs::{ArraySeen, Attempt, JobDescribed, JobSeen, JobSize, JobStatus};
use crate::observation::{GapReason, InstancesNow, Room, SqsNow};
use crate::planner::plan::Change;
use crate::simulate::world;
use crate::units::{MicroUsd, Span, Time, Vcpus, to_usize};

/// Messages that are taken at once, and how long is waited for the first.
const HINTS_MOST: usize = 200;
const WAIT: Span = Span::from_seconds(20);
/// A guard's first firing and its last.
const GUARDED_FOR: Span = Span::from_minutes(120);
/// What stands for no quota.
const UNLIMITED: Vcpus = Vcpus::new(1_000_000);

fn unread(refused: &Refused) -> Unread {
    Unread {
        why: GapReason::Failed,
        message: refused.to_string(),
    }
}

impl Account {
    async fn look<R: Send + 'static>(
        &self,
        look: impl FnOnce(&mut State) -> Result<R, Refused> + Send + 'static,
    ) -> Read<R> {
        self.ask(look).await.flatten().map_err(|refused| unread(&refused))
    }
}

impl Cloud for Account {
    async fn identity(&self) -> Read<Identity> {
        let told = self.look(|state| {
            Ok(Identity {
                account: state.names.account.clone(),
                region: state.names.region.clone(),
            })
        });
        told.await
    }

    async fn topology(&self) -> Read<Topology> {
        self.look(|state| Ok(state.topology_now())).await
    }

    async fn environments(&self, names: &[String]) -> Read<Vec<EnvironmentRead>> {
        let names = names.to_vec();
        let told = self.look(move |state| {
            let wanted = |name: &String| names.is_empty() || names.contains(name);
            let all = state.scenario.environments.iter().enumerate();
            let all = all.filter(|(_, spec)| wanted(&spec.name));
            Ok(all
                .map(|(position, spec)| state.environment_read(EnvironmentIndex::at(position), &spec.name))
                .collect())
        });
        told.await
    }

    async fn queues(&self, names: &[String]) -> Read<Vec<QueueRead>> {
        let names = names.to_vec();
        let told = self.look(move |state| {
            let all = state.scenario.queues.iter();
            let all = all.filter(|spec| names.is_empty() || names.contains(&spec.name));
            Ok(all
                .map(|spec| QueueRead {
                    name: spec.name.clone(),
                    tags: state.tags_of(&state.names.queue_arn(&spec.name)),
                })
                .collect())
        });
        told.await
    }

    async fn list_jobs(&self, queue: &str, status: JobStatus, page: Option<String>) -> Read<Page> {
        let queue = queue.to_owned();
        let told = self.look(move |state| {
            let index = state.queue_or_refuse(&queue)?;
            let all = state.book.of_queue(index).to_vec();
            state.listed(&queue, &all, status, page.as_deref())
        });
        told.await
    }

    async fn list_children(&self, parent: &str, status: JobStatus, page: Option<String>) -> Read<Page> {
        let parent = parent.to_owned();
        let told = self.look(move |state| {
            let job = state.names.job_ref(&parent);
            let job = job.ok_or_else(|| Refused::client(format!("Job {parent} is not an array job")))?;
            let children = state.children_of(job).into_iter();
            let all: Vec<JobRef> = children.map(|child| state.ref_of(child)).collect();
            state.listed(&parent, &all, status, page.as_deref())
        });
        told.await
    }

    async fn list_created(&self, queue: &str, after: Time, page: Option<String>) -> Read<Page> {
        let queue = queue.to_owned();
        let told = self.look(move |state| {
            let index = state.queue_or_refuse(&queue)?;
            let all = state.book.of_queue(index).to_vec();
            let of = format!("created {queue}");
            let start = state.page_begins(&of, page.as_deref())?;
            let (page, next) = state.latest_first(&all, (start, BY_FILTER_MOST), |_, seen| seen.created > after);
            Ok(Page {
                jobs: page.iter().map(|seen| state.job_seen(seen)).collect(),
                next: next.map(|position| state.names.token(&of, position)),
            })
        });
        told.await
    }

    async fn describe_jobs(&self, ids: &[String]) -> Read<Vec<JobDescribed>> {
        let ids = ids.to_vec();
        let told = self.look(move |state| {
            let seen: Vec<Seen> = ids.iter().filter_map(|id| state.find(id)).collect();
            Ok(seen.iter().map(|seen| state.described(seen)).collect())
        });
        told.await
    }

    async fn head(&self, queue: &str) -> Read<Option<Head>> {
        let queue = queue.to_owned();
        let told = self.look(move |state| {
            let queue = state.queue_or_refuse(&queue)?;
            let first = state.world.front(queue, 1).into_iter().next();
            Ok(first.map(|job| Head {
                job: state.names.job_id(state.ref_of(job)),
                since: state.world.front_since(job),
            }))
        });
        told.await
    }

    async fn instances(&self, environment: &EnvironmentRead) -> Read<InstancesNow> {
        let name = environment.name.clone();
        let told = self.look(move |state| {
            let environment = state.environment(&name);
            let environment = environment.ok_or_else(|| Refused::client(format!("{name} does not exist")))?;
            Ok(state.instances_now(environment))
        });
        told.await
    }

    async fn messages(&self, sqs: &str) -> Read<SqsNow> {
        let name = last_part(sqs).to_owned();
        let told = self.look(move |state| {
            let missing = || Refused::client(format!("there is no SQS queue `{name}`"));
            state.sqs_counts(&name).ok_or_else(missing)
        });
        told.await
    }

    async fn oldest_message(&self, sqs: &str) -> Read<Option<Span>> {
        let name = last_part(sqs).to_owned();
        self.look(move |state| Ok(state.oldest_message(&name))).await
    }

    async fn quota(&self, code: &str) -> Read<QuotaRead> {
        let code = code.to_owned();
        let told = self.look(move |state| {
            Ok(QuotaRead {
                limit: state.world.quota(&code).map_or(UNLIMITED, |quota| quota.limit),
                used: state.world.quota_used(&code),
                counted: Counted::Metric,
                counted_at: Time::EPOCH,
            })
        });
        told.await
    }

    async fn spot_prices(&self, types: &[String]) -> Read<BTreeMap<String, MicroUsd>> {
        let types = types.to_vec();
        let told = move |state: &mut State| {
            let price = |name: String| Some((state.spot_price(Catalog::bundled().get(&name)?)?, name));
            let prices = types.into_iter().filter_map(price);
            Ok(prices.map(|(price, name)| (name, price)).collect())
        };
        self.look(told).await
    }

    async fn send(&self, environment: &str, change: &Change) -> Answer {
        let change = world::Change {
            min: change.min_vcpus,
            desired: change.desired_vcpus,
            max: change.max_vcpus,
        };
        let name = environment.to_owned();
        let sent = self.ask(move |state| {
            state
                .environment(&name)
                .map(|found| state.scale(Hand::Credentials, found, &change))
        });
        let (outcome, message) = match sent.await {
            Ok(Some(Ok(()))) => (Outcome::Accepted, String::new()),
            Ok(Some(Err(refusal))) => (refusal.outcome(), refusal.text().to_owned()),
            Ok(None) => (Outcome::Failed, format!("{environment} does not exist")),
            Err(refused) => (Outcome::Failed, refused.to_string()),
        };
        Answer { outcome, message }
    }

    async fn arm(&self, guard: &NamedGuard) -> Read<()> {
        let guard = guard.clone();
        let told = self.look(move |state| {
            let name = guard_name(&guard.environment);
            let create = state.schedules.get(GUARD_GROUP, &name).is_err();
            state.put_schedule(&name, &schedule(&guard), create).map(drop)
        });
        told.await
    }

    async fn disarm(&self, environment: &str) -> Read<()> {
        let name = guard_name(environment);
        let told = self.look(move |state| {
            let _ = state.schedules.delete(GUARD_GROUP, &name);
            Ok(())
        });
        told.await
    }

    async fn guards(&self) -> Read<Vec<NamedGuard>> {
        let told = self.look(|state| {
            let ours = state.schedules.all().filter(|schedule| schedule.group == GUARD_GROUP);
            Ok(ours.filter_map(|schedule| guard_of(&schedule.sent)).collect())
        });
        told.await
    }

    async fn tag(&self, subject: &Tagged, key: &str, value: Option<&str>) -> Read<()> {
        let (subject, key, value) = (subject.clone(), key.to_owned(), value.map(str::to_owned));
        let told = self.look(move |state| {
            let arn = match &subject {
                Tagged::Environment(name) => state.names.environment_arn(name),
                Tagged::Queue(name) => state.names.queue_arn(name),
            };
            let missing = || Refused::client(format!("{arn} does not exist"));
            state.subject(&arn).ok_or_else(missing)?;
            let tags = state.tags.entry(arn).or_default();
            match value {
                Some(value) => tags.insert(key, value),
                None => tags.remove(&key),
            };
            Ok(())
        });
        told.await
    }

    /// As Auto Scaling would tell of them.
    async fn failed_launches(&self, environment: &EnvironmentRead, since: Time) -> Read<Vec<FailedLaunch>> {
        let name = environment.name.clone();
        self.look(move |state| {
            let environment = state.environment(&name);
            let environment = environment.ok_or_else(|| Refused::client(format!("{name} does not exist")))?;
            Ok(state.failed_launches(environment, since))
        })
        .await
    }

    /// Roles, disks and templates are told on the wire only.
    async fn survey(&self, _sqs_queues: &[String], _principal: Principal) -> Read<Survey> {
        let unread = Known::unread("the account is simulated and has no such thing");
        let identity = self.identity().await?;
        Ok(Survey {
            version: survey::VERSION,
            account: identity.account,
            region: identity.region,
            compute_environments: unread,
            ..Survey::default()
        })
    }

    async fn hints(&self) -> Read<Vec<Hint>> {
        let told = self.ask_until(WAIT, |state| {
            let messages = state.sqs.receive(EVENTS_QUEUE, HINTS_MOST, None, state.now);
            for message in &messages {
                state.sqs.delete(EVENTS_QUEUE, message.number);
            }
            let hints: Vec<Hint> = messages.iter().map(|message| state.hint_of(&message.body)).collect();
            (!hints.is_empty()).then_some(hints)
        });
        let told = told.await.map_err(|refused| unread(&refused))?;
        Ok(told.unwrap_or_default())
    }
}

/// The name of an SQS queue that may be given by its URL.
fn last_part(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or(url)
}

/// A schedule's name has 64 characters at most.
fn guard_name(environment: &str) -> String {
    format!("autotune-{environment}").chars().take(64).collect()
}

/// The schedule that the real guard makes.
fn schedule(guard: &NamedGuard) -> Value {
    let mut resources = json!({"MinvCpus": guard.min_vcpus});
    if let Some(max) = guard.max_vcpus {
        resources["MaxvCpus"] = json!(max);
    }
    let input = json!({"ComputeEnvironment": guard.environment, "ComputeResources": resources});
    json!({
        "GroupName": GUARD_GROUP,
        "ScheduleExpression": "rate(5 minutes)",
        "StartDate": guard.fires.since(Time::EPOCH).seconds_f64(),
        "EndDate": (guard.fires + GUARDED_FOR).since(Time::EPOCH).seconds_f64(),
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE",
        "Target": {
            "Arn": "arn:aws:scheduler:::aws-sdk:batch:updateComputeEnvironment",
            "RoleArn": "arn:aws:iam::111122223333:role/autotune-guard",
            "Input": input.to_string(),
            "RetryPolicy": {"MaximumRetryAttempts": 0},
        },
    })
}

fn guard_of(sent: &Value) -> Option<NamedGuard> {
    let fires = Span::from_seconds_f64(sent.get("StartDate")?.as_f64()?)?;
    let input: Value = serde_json::from_str(sent.get("Target")?.get("Input")?.as_str()?).ok()?;
    let resources = input.get("ComputeResources")?;
    Some(NamedGuard {
        environment: input.get("ComputeEnvironment")?.as_str()?.to_owned(),
        fires: Time::EPOCH + fires,
        min_vcpus: Vcpus::new(resources.get("MinvCpus")?.as_i64()?),
        max_vcpus: resources.get("MaxvCpus").and_then(Value::as_i64).map(Vcpus::new),
    })
}

impl State {
    /// The scenario's account with what has been changed since.
    fn topology_now(&self) -> Topology {
        let mut topology = self.scenario.topology();
        for (position, environment) in topology.environments.iter_mut().enumerate() {
            let now = self.world.environment(EnvironmentIndex::at(position));
            environment.min_vcpus = now.min_vcpus;
            environment.max_vcpus = now.max_vcpus;
            environment.tags = self.tags_of(&self.names.environment_arn(&environment.name));
        }
        topology
    }

    fn environment_read(&self, environment: EnvironmentIndex, name: &str) -> EnvironmentRead {
        EnvironmentRead {
            status_reason: String::new(),
            tags: self.tags_of(&self.names.environment_arn(name)),
            cluster: Some(self.names.cluster_arn(name)),
            spot_fleet: false,
            name: name.to_owned(),
            now: self.world.environment(environment),
        }
    }

    fn instances_now(&self, environment: EnvironmentIndex) -> InstancesNow {
        let mut now = InstancesNow::default();
        let (mut rooms, mut types) = (BTreeMap::new(), BTreeMap::new());
        let names = self.types_of(environment);
        let active = self.world.instances_of(environment).into_iter();
        for instance in active.filter(|instance| instance.active) {
            now.there += instance.total.vcpus;
            now.used += instance.total.less(&instance.free).vcpus;
            now.registered = now.registered.max(Some(instance.registered));
            if let Some(name) = names.get(to_usize(instance.offer)) {
                *types.entry(name.clone()).or_insert(Vcpus::ZERO) += instance.total.vcpus;
            }
            if !instance.free.vcpus.is_zero() {
                *rooms.entry(instance.free).or_insert(0) += 1;
            }
        }
        let rooms = rooms.into_iter();
        now.rooms = rooms.map(|(free, instances)| Room { free, instances }).collect();
        now.types = types.into_iter().collect();
        now
    }

    fn listed(&mut self, of: &str, all: &[JobRef], status: JobStatus, page: Option<&str>) -> Result<Page, Refused> {
        let of = format!("{} {of}", spelled(status));
        let start = self.page_begins(&of, page)?.unwrap_or(0);
        let suits = |_: &Self, seen: &Seen| seen.status == status;
        let (page, next) = self.page_of_jobs(all, (start, BY_STATUS_MOST), Some(status), suits);
        Ok(Page {
            jobs: page.iter().map(|seen| self.job_seen(seen)).collect(),
            next: next.map(|position| self.names.token(&of, position)),
        })
    }

    fn job_seen(&self, seen: &Seen) -> JobSeen {
        let begun = matches!(
            seen.status,
            JobStatus::Running | JobStatus::Succeeded | JobStatus::Failed
        );
        JobSeen {
            id: self.names.job_id(seen.job),
            name: seen.name().to_owned(),
            definition: seen.definition(&self.names),
            status: seen.status,
            status_reason: seen.reason.clone().unwrap_or_default(),
            created: Some(seen.created),
            started: seen.now.attempt.filter(|_| begun).map(|(_, running)| running),
            stopped: seen.now.ended,
            vcpus: Some(seen.now.shape.resources.vcpus),
            array: seen.array.as_ref().map(|(size, summary)| ArraySeen {
                size: i64::from(*size),
                summary: summary.counts.clone(),
                updated: Some(summary.at),
                sequential: self.is_sequential(seen),
            }),
            nodes: seen.now.shape.nodes,
            ..JobSeen::default()
        }
    }

    fn described(&self, seen: &Seen) -> JobDescribed {
        let told = self.job_seen(seen);
        JobDescribed {
            size: Some(JobSize {
                id: told.id.clone(),
                shape: seen.now.shape,
                parents: self.parents_of(seen).into_iter().filter_map(|(id, _)| id).collect(),
            }),
            seen: attempted(told, &self.job_detail(seen)),
        }
    }

    /// What one of our own events says. How the job stood then is in it, what it asks for does not change.
    fn hint_of(&mut self, body: &str) -> Hint {
        self.understood(body).unwrap_or(Hint::Malformed)
    }

    fn understood(&mut self, body: &str) -> Option<Hint> {
        let event: Value = serde_json::from_str(body).ok()?;
        let detail = event.get("detail")?;
        let text = |name: &str| Some(detail.get(name)?.as_str()?.to_owned());
        match event.get("detail-type")?.as_str()? {
            "Batch Job State Change" => {
                let seen = self.find(&text("jobId")?)?;
                let status = text("status")?;
                let time = |name: &str| Some(Time::from_millis(detail.get(name)?.as_i64().filter(|at| *at > 0)?));
                let queue: QueueIndex = seen.now.queue;
                Some(Hint::Job {
                    queue: self.queue_name(queue).to_owned(),
                    shape: Some(seen.now.shape),
                    parents: self.parents_of(&seen).into_iter().filter_map(|(id, _)| id).collect(),
                    at: Time::parse(event.get("time")?.as_str()?)?,
                    job: attempted(
                        JobSeen {
                            status: serde_json::from_value(json!(status)).ok()?,
                            started: time("startedAt"),
                            stopped: time("stoppedAt"),
                            ..self.job_seen(&seen)
                        },
                        detail,
                    ),
                })
            }
            "ECS Container Instance State Change" => Some(Hint::Instance {
                cluster: text("clusterArn")?,
            }),
            "EC2 Spot Instance Interruption Warning" => Some(Hint::Interruption {
                instance: text("instance-id")?,
            }),
            _ => None,
        }
    }
}

/// A job with its attempts, as a `JobDetail` tells of them.
fn attempted(job: JobSeen, detail: &Value) -> JobSeen {
    let instance = |of: &Value| {
        let arn = of.pointer("/container/containerInstanceArn")?.as_str()?;
        Some(arn.split_once(":container-instance/")?.1.to_owned())
    };
    let told = detail.get("attempts").and_then(Value::as_array);
    let time = |of: &Value, name: &str| Some(Time::from_millis(of.get(name)?.as_i64()?));
    let attempt = |(number, told): (u32, &Value)| {
        Some(Attempt {
            number,
            started: time(told, "startedAt")?,
            stopped: time(told, "stoppedAt"),
            instance: instance(told),
            environment: None,
        })
    };
    JobSeen {
        instance: instance(detail),
        attempt: JobSeen::attempt_of(job.status, told.map_or(0, Vec::len)),
        attempts: (1..).zip(told.into_iter().flatten()).filter_map(attempt).collect(),
        ..job
    }
}

#[cfg(test)]
mod tests;
