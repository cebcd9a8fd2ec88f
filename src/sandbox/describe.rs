//! Jobs and container instances in the words of the service models: what DescribeJobs, DescribeContainerInstances and events tell.

use serde_json::{Value, json};

use super::ids::{JobRef, Names};
use super::jobs::{Lost, Seen, array_of, children};
use super::state::State;
use crate::catalog::Resources;
use crate::ids::{EnvironmentIndex, JobIndex};
use crate::jobs::JobStatus;
use crate::observation::Shape;
use crate::simulate::world::InstanceNow;
use crate::units::{Time, to_usize};

/// The image of jobs that nobody gave one.
const IMAGE: &str = "public.ecr.aws/amazonlinux/amazonlinux:latest";

/// A status as AWS Batch spells it.
pub(super) fn spelled(status: JobStatus) -> &'static str {
    match status {
        JobStatus::Submitted => "SUBMITTED",
        JobStatus::Pending => "PENDING",
        JobStatus::Runnable => "RUNNABLE",
        JobStatus::Starting => "STARTING",
        JobStatus::Running => "RUNNING",
        JobStatus::Succeeded => "SUCCEEDED",
        JobStatus::Failed => "FAILED",
    }
}

/// `statusSummary`: every status, as the service tells them.
fn summary(seen: &Seen) -> Option<(u32, Value, Time)> {
    let (size, summary) = seen.array.as_ref()?;
    let all = [
        JobStatus::Submitted,
        JobStatus::Pending,
        JobStatus::Runnable,
        JobStatus::Starting,
        JobStatus::Running,
        JobStatus::Succeeded,
        JobStatus::Failed,
    ];
    let counts = all.map(|status| {
        let count = summary.counts.get(&status).copied().unwrap_or(0);
        (spelled(status).to_owned(), json!(count))
    });
    Some((*size, Value::Object(counts.into_iter().collect()), summary.at))
}

fn put(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(name.to_owned(), value);
    }
}

fn vcpus_of(shape: &Shape) -> i64 {
    shape.resources.vcpus.get()
}

/// When a job first ran and when it ended, in milliseconds; a job that has not is left out.
fn put_times(object: &mut Value, seen: &Seen) {
    let begun = matches!(
        seen.status,
        JobStatus::Running | JobStatus::Succeeded | JobStatus::Failed
    );
    if let Some((_, running)) = seen.now.attempt.filter(|_| begun) {
        put(object, "startedAt", json!(running.millis()));
    }
    if let Some(ended) = seen.now.ended {
        put(object, "stoppedAt", json!(ended.millis()));
    }
    if let Some(reason) = &seen.reason {
        put(object, "statusReason", json!(reason));
    }
}

impl State {
    /// One `JobSummary`.
    pub(super) fn job_summary(&self, seen: &Seen) -> Value {
        let mut told = json!({
            "jobArn": self.names.job_arn(seen.job),
            "jobId": self.names.job_id(seen.job),
            "jobName": seen.name(),
            "createdAt": seen.created.millis(),
            "status": spelled(seen.status),
            "jobDefinition": seen.definition(&self.names),
            "capacityUsage": [{"capacityUnit": "VCPU", "quantity": vcpus_of(&seen.now.shape)}],
        });
        put_times(&mut told, seen);
        if let Some((size, counts, at)) = summary(seen) {
            let parent = json!({"size": size, "statusSummary": counts, "statusSummaryLastUpdatedAt": at.millis()});
            put(&mut told, "arrayProperties", parent);
        }
        if let JobRef::Child(_, index) = seen.job {
            put(&mut told, "arrayProperties", json!({"index": index}));
        }
        if seen.now.shape.nodes > 1 {
            let nodes = json!({"isMainNode": false, "numNodes": seen.now.shape.nodes, "nodeIndex": 0});
            put(&mut told, "nodeProperties", nodes);
        }
        if seen.status.is_over() && seen.array.is_none() {
            put(&mut told, "container", json!({"exitCode": exit_code(seen)}));
        }
        if let Some(terminated) = seen.terminated {
            put(&mut told, "isTerminated", json!(terminated));
            put(&mut told, "isCancelled", json!(!terminated));
        }
        told
    }

    /// One `JobDetail`.
    pub(super) fn job_detail(&self, seen: &Seen) -> Value {
        let queue = self.names.queue_arn(self.queue_name(seen.now.queue));
        let parents = self.parents_of(seen).into_iter().map(|(id, kind)| {
            let mut parent = json!({});
            if let Some(id) = id {
                put(&mut parent, "jobId", json!(id));
            }
            if let Some(kind) = kind {
                put(&mut parent, "type", json!(kind));
            }
            parent
        });
        let mut told = json!({
            "jobArn": self.names.job_arn(seen.job),
            "jobId": self.names.job_id(seen.job),
            "jobName": seen.name(),
            "jobQueue": queue,
            "status": spelled(seen.status),
            "createdAt": seen.created.millis(),
            "startedAt": 0,
            "dependsOn": parents.collect::<Vec<Value>>(),
            "jobDefinition": seen.definition(&self.names),
            "parameters": {},
            "tags": seen.submitted.as_ref().map(|submitted| submitted.tags.clone()).unwrap_or_default(),
            "retryStrategy": {"attempts": self.scenario.retries.attempts, "evaluateOnExit": []},
            "platformCapabilities": ["EC2"],
            "attempts": self.attempts(seen),
            "eksAttempts": [],
        });
        put_times(&mut told, seen);
        if let Some((size, counts, at)) = summary(seen) {
            let parent = json!({"size": size, "statusSummary": counts, "statusSummaryLastUpdatedAt": at.millis()});
            put(&mut told, "arrayProperties", parent);
        }
        if let JobRef::Child(_, index) = seen.job {
            put(
                &mut told,
                "arrayProperties",
                json!({"index": index, "statusSummary": {}}),
            );
        }
        let shape = seen.now.shape;
        let container = self.container(seen);
        if shape.nodes > 1 {
            let ranges = json!([{"targetNodes": "0:", "container": container}]);
            let nodes = json!({"numNodes": shape.nodes, "mainNode": 0, "nodeRangeProperties": ranges});
            put(&mut told, "nodeProperties", nodes);
        } else {
            put(&mut told, "container", container);
        }
        if let Some(terminated) = seen.terminated {
            put(&mut told, "isTerminated", json!(terminated));
            put(&mut told, "isCancelled", json!(!terminated));
        }
        told
    }

    /// The container instance of an attempt; a multi-node job has several, which are not told.
    fn placed(&self, seen: &Seen, place: Option<(EnvironmentIndex, u64)>) -> Option<String> {
        let (environment, entity) = place.filter(|_| seen.now.shape.nodes == 1)?;
        Some(self.names.instance_arn(self.environment_name(environment), entity))
    }

    /// Those that have ended.
    fn attempts(&self, seen: &Seen) -> Vec<Value> {
        let lost = seen.lost.iter().map(|lost| {
            let host = lost.place.map_or_else(String::new, |(_, entity)| Names::ec2_id(entity));
            (*lost, 1, format!("Host EC2 (instance {host}) terminated."))
        });
        // One that was ended while it waited to be tried again has no more.
        let again = usize::from(seen.now.attempts) > seen.lost.len();
        let last = seen
            .now
            .attempt
            .filter(|_| again)
            .zip(seen.now.ended)
            .map(|((_, running), ended)| Lost {
                started: Some(running),
                stopped: ended,
                place: seen.now.place,
            });
        let reason = || "Essential container in task exited".to_owned();
        let last = last.map(|last| (last, exit_code(seen), seen.reason.clone().unwrap_or_else(reason)));
        let told = |(attempt, exit_code, reason): (Lost, i64, String)| {
            let mut container = json!({"exitCode": exit_code, "networkInterfaces": []});
            if let Some(arn) = self.placed(seen, attempt.place) {
                put(&mut container, "containerInstanceArn", json!(arn));
            }
            let mut told =
                json!({"container": container, "stoppedAt": attempt.stopped.millis(), "statusReason": reason});
            if let Some(started) = attempt.started {
                put(&mut told, "startedAt", json!(started.millis()));
            }
            told
        };
        lost.chain(last).map(told).collect()
    }

    fn container(&self, seen: &Seen) -> Value {
        let given = seen.submitted.as_ref().map(|submitted| &submitted.container);
        let mut container = json!({"image": IMAGE, "command": [], "volumes": [], "environment": [], "mountPoints": [],
            "ulimits": [], "networkInterfaces": [], "secrets": []});
        if let Some(Value::Object(given)) = given {
            for (name, value) in given {
                put(&mut container, name, value.clone());
            }
        }
        let asked = seen.now.shape.resources;
        let mut requirements = vec![
            json!({"type": "VCPU", "value": asked.vcpus.get().to_string()}),
            json!({"type": "MEMORY", "value": asked.memory.get().max(4).to_string()}),
        ];
        if asked.gpus > 0 {
            requirements.push(json!({"type": "GPU", "value": asked.gpus.to_string()}));
        }
        put(&mut container, "resourceRequirements", Value::Array(requirements));
        if let Some(arn) = self.placed(seen, seen.now.place) {
            put(&mut container, "containerInstanceArn", json!(arn));
        }
        if seen.now.ended.is_some() && seen.array.is_none() {
            put(&mut container, "exitCode", json!(exit_code(seen)));
        }
        container
    }

    /// One `ContainerInstance`. `at` is its time in seconds, as the JSON of ECS has it; events have text.
    pub(super) fn container_instance(
        &self,
        environment: EnvironmentIndex,
        instance: &InstanceNow,
        at: &Value,
    ) -> Value {
        let name = self.environment_name(environment);
        let status = if instance.active { "ACTIVE" } else { "DRAINING" };
        json!({
            "containerInstanceArn": self.names.instance_arn(name, instance.entity),
            "ec2InstanceId": Names::ec2_id(instance.entity),
            "version": 1,
            "status": status,
            "agentConnected": true,
            "registeredAt": at,
            "registeredResources": resources(&instance.total),
            "remainingResources": resources(&instance.free),
            "runningTasksCount": instance.jobs,
            "pendingTasksCount": 0,
            "attributes": [{"name": "ecs.instance-type", "value": self.type_of(environment, instance)}],
        })
    }

    pub(super) fn type_of(&self, environment: EnvironmentIndex, instance: &InstanceNow) -> String {
        let types = self.types_of(environment);
        types.get(to_usize(instance.offer)).cloned().unwrap_or_default()
    }

    /// The instance types of an environment, in the order in which its instances count them.
    pub(super) fn types_of(&self, environment: EnvironmentIndex) -> Vec<String> {
        let spec = self.scenario.environments.get(environment.position());
        let types = spec.map(|spec| self.scenario.topology_types(spec));
        types.unwrap_or_default().into_iter().map(|found| found.name).collect()
    }

    /// The children of a parent; none for any other job.
    pub(super) fn children_of(&self, job: JobRef) -> Vec<JobIndex> {
        let JobRef::Array(array) = job else { return Vec::new() };
        let array = array_of(self.world.trace(), array);
        array.map(|array| children(array).collect()).unwrap_or_default()
    }
}

fn exit_code(seen: &Seen) -> i64 {
    match (seen.status, seen.terminated) {
        (JobStatus::Succeeded, _) => 0,
        // SIGKILL, as Docker counts it.
        (_, Some(_)) => 137,
        _ => 1,
    }
}

/// What ECS counts in: 1024 units a vCPU, MiB, ports and ids of GPUs.
fn resources(resources: &Resources) -> Value {
    let whole = |name: &str, count: i64| {
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        json!({"name": name, "type": "INTEGER", "integerValue": count, "doubleValue": 0.0, "longValue": 0})
    };
    let texts = |name: &str, texts: Vec<String>| json!({"name": name, "type": "STRINGSET", "integerValue": 0, "doubleValue": 0.0, "longValue": 0, "stringSetValue": texts});
    let mut all = vec![
        whole("CPU", resources.vcpus.get().saturating_mul(1_024)),
        whole("MEMORY", resources.memory.get()),
        texts(
            "PORTS",
            ["22", "2375", "2376", "51678", "51679"].map(str::to_owned).to_vec(),
        ),
        texts("PORTS_UDP", Vec::new()),
    ];
    // An unmanaged environment may offer more GPUs than anybody counts.
    if resources.gpus > 0 && resources.gpus < 1_000 {
        all.push(texts(
            "GPU",
            (0..resources.gpus).map(|gpu| format!("GPU-{gpu}")).collect(),
        ));
    }
    Value::Array(all)
}
