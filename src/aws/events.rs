//! From an EventBridge event to a hint. What is said by others stays data; what is not understood is malformed.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::aws::jobs::{instance, nodes, status, time};
use crate::aws::size::Size;
use crate::aws::topology::name_of;
use crate::daemon::cloud::Hint;
use crate::jobs::{ArraySeen, Attempt, JobSeen, is_sequential};
use crate::observation::Shape;
use crate::units::Time;

/// AWS Batch tries a job at most so often (SubmitJob, retryStrategy).
const ATTEMPTS_MOST: usize = 10;

/// What is told, or nothing, be it missing or `null`: neither may cost what stands beside it.
fn told<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// The envelope. Fields that are not named here are ignored.
#[derive(Deserialize)]
struct Event {
    source: String,
    #[serde(rename = "detail-type")]
    detail_type: String,
    time: String,
    detail: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StateChange {
    job_id: String,
    job_queue: String,
    status: String,
    #[serde(default, deserialize_with = "told")]
    job_name: String,
    #[serde(default, deserialize_with = "told")]
    job_definition: String,
    status_reason: Option<String>,
    created_at: Option<i64>,
    started_at: Option<i64>,
    stopped_at: Option<i64>,
    container: Option<Container>,
    array_properties: Option<Array>,
    node_properties: Option<Nodes>,
    ecs_properties: Option<Ecs>,
    eks_properties: Option<Eks>,
    depends_on: Option<Vec<DependsOn>>,
    attempts: Option<Vec<serde_json::Value>>,
}

/// An attempt; `startedAt` is missing from one that never began to run.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tried {
    started_at: Option<i64>,
    stopped_at: Option<i64>,
    container: Option<Container>,
    #[serde(default, deserialize_with = "told")]
    task_properties: Vec<Task>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DependsOn {
    job_id: Option<String>,
    #[serde(default)]
    r#type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    vcpus: Option<i32>,
    memory: Option<i32>,
    #[serde(default, deserialize_with = "told")]
    resource_requirements: Vec<Requirement>,
    #[serde(rename = "containerInstanceArn")]
    instance: Option<String>,
}

#[derive(Deserialize)]
struct Requirement {
    r#type: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Array {
    size: Option<i64>,
    index: Option<i64>,
    #[serde(default, deserialize_with = "told")]
    status_summary: BTreeMap<String, i64>,
    status_summary_last_updated_at: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Nodes {
    num_nodes: Option<i32>,
    #[serde(default, deserialize_with = "told")]
    node_range_properties: Vec<NodeRange>,
}

#[derive(Deserialize)]
struct NodeRange {
    container: Option<Container>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ecs {
    #[serde(default, deserialize_with = "told")]
    task_properties: Vec<Task>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    #[serde(default, deserialize_with = "told")]
    containers: Vec<Container>,
    #[serde(rename = "containerInstanceArn")]
    instance: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Eks {
    pod_properties: Option<Pod>,
}

#[derive(Deserialize)]
struct Pod {
    #[serde(default, deserialize_with = "told")]
    containers: Vec<PodContainer>,
}

#[derive(Deserialize)]
struct PodContainer {
    resources: Option<PodResources>,
}

#[derive(Deserialize)]
struct PodResources {
    #[serde(default, deserialize_with = "told")]
    requests: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "told")]
    limits: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Blocked {
    job_queue: String,
    status_reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Instance {
    cluster_arn: String,
}

#[derive(Deserialize)]
struct Interruption {
    #[serde(rename = "instance-id")]
    instance_id: String,
}

/// What a message says.
pub(super) fn parse(body: &str) -> Hint {
    understood(body).unwrap_or(Hint::Malformed)
}

fn understood(body: &str) -> Option<Hint> {
    let event: Event = serde_json::from_str(body).ok()?;
    match (event.source.as_str(), event.detail_type.as_str()) {
        ("aws.batch", "Batch Job State Change") => job(read(event.detail)?, instant(&event.time)?),
        ("aws.batch", "Batch Job Queue Blocked") => {
            let blocked: Blocked = read(event.detail)?;
            Some(Hint::Blocked {
                queue: name_of(&blocked.job_queue).to_owned(),
                reason: blocked.status_reason,
            })
        }
        ("aws.ecs", "ECS Container Instance State Change") => {
            let instance: Instance = read(event.detail)?;
            Some(Hint::Instance {
                cluster: instance.cluster_arn,
            })
        }
        ("aws.ec2", "EC2 Spot Instance Interruption Warning" | "EC2 Instance Rebalance Recommendation") => {
            let interruption: Interruption = read(event.detail)?;
            Some(Hint::Interruption {
                instance: interruption.instance_id,
            })
        }
        _ => None,
    }
}

fn read<T: serde::de::DeserializeOwned>(detail: serde_json::Value) -> Option<T> {
    serde_json::from_value(detail).ok()
}

fn instant(text: &str) -> Option<Time> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(Time::from_millis(at.as_millisecond()))
}

/// What the job asks for, wherever it says so.
fn size(job: &StateChange) -> Size {
    let mut size = Size::default();
    if let Some(container) = &job.container {
        add(&mut size, container);
    }
    for container in job
        .ecs_properties
        .iter()
        .flat_map(|e| &e.task_properties)
        .flat_map(|t| &t.containers)
    {
        add(&mut size, container);
    }
    let pods = job.eks_properties.iter().filter_map(|e| e.pod_properties.as_ref());
    for resources in pods.flat_map(|p| &p.containers).filter_map(|c| c.resources.as_ref()) {
        let wants = resources.requests.iter().chain(&resources.limits);
        size.pod_container(wants.map(|(kind, value)| (kind.as_str(), value.as_str())));
    }
    let ranges = job.node_properties.iter().flat_map(|n| &n.node_range_properties);
    for container in ranges.filter_map(|range| range.container.as_ref()) {
        let mut node = Size::default();
        add(&mut node, container);
        size = size.larger(node);
    }
    size
}

fn job(job: StateChange, at: Time) -> Option<Hint> {
    let size = size(&job);
    let container = job.container.as_ref().and_then(|c| c.instance.as_deref());
    let task = || {
        job.ecs_properties
            .as_ref()?
            .task_properties
            .first()?
            .instance
            .as_deref()
    };
    let instance = container.or_else(task).and_then(instance);
    let depends_on = job.depends_on.unwrap_or_default();
    let sequential = depends_on
        .iter()
        .any(|on| is_sequential(&job.job_id, on.r#type.as_deref(), on.job_id.as_deref()));
    let nodes = nodes(job.node_properties.and_then(|n| n.num_nodes));
    let array = job.array_properties.and_then(|array| {
        let size = array.size.filter(|size| *size > 0 && array.index.is_none())?;
        let counts = array.status_summary.into_iter();
        Some(ArraySeen {
            size,
            summary: counts
                .filter_map(|(name, count)| Some((status(&name)?, count.max(0))))
                .collect(),
            updated: array.status_summary_last_updated_at.and_then(time),
            sequential,
        })
    });
    let status = status(&job.status)?;
    let told = job.attempts.unwrap_or_default().into_iter().take(ATTEMPTS_MOST);
    let told: Vec<Tried> = told.map(|told| read(told).unwrap_or_default()).collect();
    let ended = told.iter().filter(|tried| tried.stopped_at.is_some()).count();
    Some(Hint::Job {
        queue: name_of(&job.job_queue).to_owned(),
        shape: size.get().map(|resources| Shape { resources, nodes }),
        parents: depends_on.into_iter().filter_map(|on| on.job_id).collect(),
        job: JobSeen {
            status,
            id: job.job_id,
            name: job.job_name,
            definition: job.job_definition,
            status_reason: job.status_reason.unwrap_or_default(),
            created: job.created_at.and_then(time),
            started: job.started_at.and_then(time),
            stopped: job.stopped_at.and_then(time),
            vcpus: None,
            array,
            nodes,
            instance,
            attempt: JobSeen::attempt_of(status, ended),
            attempts: (1..)
                .zip(&told)
                .filter_map(|(number, told)| tried(number, told))
                .collect(),
        },
        at,
    })
}

fn tried(number: u32, attempt: &Tried) -> Option<Attempt> {
    let container = attempt.container.as_ref().and_then(|c| c.instance.as_deref());
    let task = || attempt.task_properties.first()?.instance.as_deref();
    Some(Attempt {
        number,
        started: time(attempt.started_at?)?,
        stopped: attempt.stopped_at.and_then(time),
        instance: container.or_else(task).and_then(instance),
        environment: None,
    })
}

fn add(size: &mut Size, container: &Container) {
    let requirements = container.resource_requirements.iter();
    let requirements = requirements.map(|r| (r.r#type.as_str(), r.value.as_str()));
    size.container(container.vcpus, container.memory, requirements);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::JobStatus;

    const QUEUE: &str = "arn:aws:batch:eu-central-1:111122223333:job-queue/q";

    fn event(source: &str, kind: &str, detail: &str) -> String {
        let detail = detail.replace("QUEUE", QUEUE);
        format!(
            r#"{{"version":"0","source":"{source}","detail-type":"{kind}","time":"2026-06-21T00:00:00Z","detail":{detail}}}"#
        )
    }

    fn state_change(detail: &str) -> Hint {
        parse(&event("aws.batch", "Batch Job State Change", detail))
    }

    #[test]
    fn every_kind_of_event_becomes_its_hint() {
        let blocked = r#"{"jobId":"j","jobQueue":"QUEUE","statusReason":"UNDETERMINED - Batch job is blocked"}"#;
        let cases = [
            (
                event("aws.batch", "Batch Job Queue Blocked", blocked),
                Hint::Blocked {
                    queue: "q".to_owned(),
                    reason: "UNDETERMINED - Batch job is blocked".to_owned(),
                },
            ),
            (
                event(
                    "aws.ecs",
                    "ECS Container Instance State Change",
                    r#"{"clusterArn":"arn:c","status":"ACTIVE"}"#,
                ),
                Hint::Instance {
                    cluster: "arn:c".to_owned(),
                },
            ),
            (
                event(
                    "aws.ec2",
                    "EC2 Spot Instance Interruption Warning",
                    r#"{"instance-id":"i-1","instance-action":"terminate"}"#,
                ),
                Hint::Interruption {
                    instance: "i-1".to_owned(),
                },
            ),
            (
                event(
                    "aws.ec2",
                    "EC2 Instance Rebalance Recommendation",
                    r#"{"instance-id":"i-2"}"#,
                ),
                Hint::Interruption {
                    instance: "i-2".to_owned(),
                },
            ),
        ];
        for (body, expected) in cases {
            assert_eq!(parse(&body), expected, "{body}");
        }
    }

    #[test]
    fn a_change_of_a_job_tells_its_size_and_hostile_names_stay_data() {
        let hint = state_change(
            r#"{"jobId":"a:3","jobName":"'; DROP TABLE jobs; --\u0000","jobQueue":"QUEUE","status":"RUNNING","createdAt":1,
                "startedAt":2,"surprise":{"deep":[]},"container":{"containerInstanceArn":
                "arn:aws:ecs:eu-central-1:111122223333:container-instance/spot/a","resourceRequirements":[{"type":"VCPU","value":"4"},
                {"type":"MEMORY","value":"9000"}]},"arrayProperties":{"index":3,"statusSummary":{}},
                "dependsOn":[{"jobId":"before","type":"N_TO_N"},{"type":"SEQUENTIAL"}]}"#,
        );
        let Hint::Job {
            queue,
            job,
            shape,
            parents,
            at,
        } = hint
        else {
            panic!("{hint:?}")
        };
        assert_eq!(parents, ["before"]);
        assert_eq!((job.instance.as_deref(), job.attempt), (Some("spot/a"), 1));
        assert_eq!(
            (queue.as_str(), job.id.as_str(), job.status),
            ("q", "a:3", JobStatus::Running)
        );
        assert_eq!(job.name, "'; DROP TABLE jobs; --\0");
        assert_eq!(
            (job.array, job.nodes, job.started),
            (None, 1, Some(Time::from_millis(2)))
        );
        let shape = shape.unwrap();
        assert_eq!((shape.resources.vcpus.get(), shape.resources.memory.get()), (4, 9_000));
        assert_eq!(at, Time::from_seconds(1_782_000_000));
    }

    #[test]
    fn a_job_that_is_tried_again_tells_of_the_attempts_before() {
        let hint = state_change(
            r#"{"jobId":"a","jobName":null,"jobQueue":"QUEUE","status":"RUNNABLE","createdAt":1,"startedAt":20,"stoppedAt":30,"attempts":[
                {"startedAt":10,"stoppedAt":15,"taskProperties":null,"container":{"resourceRequirements":null,
                "containerInstanceArn":"arn:aws:ecs:r:1:container-instance/spot/a"}},
                {"stoppedAt":17,"statusReason":"Task failed to start"},{"stoppedAt":"soon"},
                {"startedAt":20,"stoppedAt":30,"taskProperties":[{"containerInstanceArn":"arn:aws:ecs:r:1:container-instance/spot/b"}]}]}"#,
        );
        let Hint::Job { job, .. } = hint else {
            panic!("{hint:?}")
        };
        let attempt = |number, started, stopped, instance: &str| Attempt {
            number,
            started: Time::from_millis(started),
            stopped: Some(Time::from_millis(stopped)),
            instance: Some(instance.to_owned()),
            environment: None,
        };
        assert_eq!(
            job.attempt, 4,
            "one that is not understood is taken for none that has ended"
        );
        assert_eq!(
            job.begun(),
            [attempt(1, 10, 15, "spot/a"), attempt(4, 20, 30, "spot/b")]
        );
    }

    #[test]
    fn of_a_job_whose_last_attempt_never_began_the_one_before_keeps_its_number_and_its_end() {
        let hint = state_change(
            r#"{"jobId":"a","jobQueue":"QUEUE","status":"FAILED","createdAt":1,"startedAt":10,"stoppedAt":20,
                "container":{"containerInstanceArn":"arn:aws:ecs:r:1:container-instance/spot/b"},"attempts":[
                {"startedAt":10,"stoppedAt":15},{"stoppedAt":20}]}"#,
        );
        let Hint::Job { job, .. } = hint else {
            panic!("{hint:?}")
        };
        let first = Attempt {
            number: 1,
            started: Time::from_millis(10),
            stopped: Some(Time::from_millis(15)),
            ..Attempt::default()
        };
        assert_eq!((job.attempt, job.begun()), (2, vec![first]));
    }

    #[test]
    fn parents_of_arrays_and_multi_node_jobs_are_known_as_such() {
        let hint = state_change(
            r#"{"jobId":"p","jobQueue":"QUEUE","status":"PENDING","arrayProperties":{"size":10,"statusSummary":{"RUNNABLE":4,"NEW":1}},
                "nodeProperties":{"numNodes":3,"nodeRangeProperties":[{"container":{"vcpus":2,"memory":5}},{"container":{"vcpus":1,"memory":9}}]}}"#,
        );
        let Hint::Job { job, shape, .. } = hint else {
            panic!("{hint:?}")
        };
        let array = job.array.unwrap();
        assert_eq!(
            (array.size, array.summary[&JobStatus::Runnable], array.summary.len()),
            (10, 4, 1)
        );
        assert!(!array.sequential);
        let shape = shape.unwrap();
        assert_eq!(
            (shape.nodes, shape.resources.vcpus.get(), shape.resources.memory.get()),
            (3, 2, 9)
        );
    }

    #[test]
    fn an_array_whose_children_run_one_after_the_other_is_told_from_one_that_follows_another() {
        for (depends_on, sequential, before) in [
            (r#"{"type":"SEQUENTIAL"}"#, true, &[][..]),
            (r#"{"jobId":"p","type":"SEQUENTIAL"}"#, true, &["p"]),
            (
                r#"{"jobId":"a","type":null},{"jobId":null,"type":"SEQUENTIAL"}"#,
                true,
                &["a"],
            ),
            (r#"{"jobId":"a","type":"N_TO_N"}"#, false, &["a"]),
            (r#"{"jobId":"a","type":"SEQUENTIAL"}"#, false, &["a"]),
        ] {
            let hint = state_change(&format!(
                r#"{{"jobId":"p","jobQueue":"QUEUE","status":"PENDING","arrayProperties":{{"size":2}},"dependsOn":[{depends_on}]}}"#
            ));
            let Hint::Job { job, parents, .. } = hint else {
                panic!("{hint:?}")
            };
            assert_eq!(
                job.array.map(|array| array.sequential),
                Some(sequential),
                "{depends_on}"
            );
            assert_eq!(parents, before, "{depends_on}");
        }
    }

    #[test]
    fn what_is_not_understood_is_malformed() {
        let bodies = [
            String::new(),
            "null".to_owned(),
            "[]".to_owned(),
            "{".repeat(100_000),
            "[".repeat(100_000),
            r#"{"source":"aws.batch"}"#.to_owned(),
            event("aws.batch", "Batch Job State Change", "{}"),
            event(
                "aws.batch",
                "Batch Job State Change",
                r#"{"jobId":1,"jobQueue":"q","status":"RUNNABLE"}"#,
            ),
            event(
                "aws.batch",
                "Batch Job State Change",
                r#"{"jobId":"j","jobQueue":"q","status":"HIBERNATING"}"#,
            ),
            event("aws.s3", "Object Created", "{}"),
            event("aws.ecs", "ECS Container Instance State Change", "null"),
            event(
                "aws.ec2",
                "EC2 Instance Rebalance Recommendation",
                r#"{"instance-id":7}"#,
            ),
        ];
        for body in bodies {
            assert_eq!(parse(&body), Hint::Malformed, "{}", &body[..body.len().min(80)]);
        }
    }
}
