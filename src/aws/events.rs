//! From an EventBridge event to a hint. What is said by others stays data; what is not understood is malformed.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::aws::jobs::{nodes, status, time};
use crate::aws::size::Size;
use crate::aws::topology::name_of;
use crate::daemon::cloud::Hint;
use crate::jobs::{ArraySeen, JobSeen};
use crate::observation::Shape;
use crate::units::Time;

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
struct Job {
    job_id: String,
    job_queue: String,
    status: String,
    #[serde(default)]
    job_name: String,
    #[serde(default)]
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
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    vcpus: Option<i32>,
    memory: Option<i32>,
    #[serde(default)]
    resource_requirements: Vec<Requirement>,
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
    #[serde(default)]
    status_summary: BTreeMap<String, i64>,
    status_summary_last_updated_at: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Nodes {
    num_nodes: Option<i32>,
    #[serde(default)]
    node_range_properties: Vec<NodeRange>,
}

#[derive(Deserialize)]
struct NodeRange {
    container: Option<Container>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ecs {
    #[serde(default)]
    task_properties: Vec<Task>,
}

#[derive(Deserialize)]
struct Task {
    #[serde(default)]
    containers: Vec<Container>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Eks {
    pod_properties: Option<Pod>,
}

#[derive(Deserialize)]
struct Pod {
    #[serde(default)]
    containers: Vec<PodContainer>,
}

#[derive(Deserialize)]
struct PodContainer {
    resources: Option<PodResources>,
}

#[derive(Deserialize)]
struct PodResources {
    #[serde(default)]
    requests: BTreeMap<String, String>,
    #[serde(default)]
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

fn job(job: Job, at: Time) -> Option<Hint> {
    let mut size = Size::default();
    if let Some(container) = &job.container {
        add(&mut size, container);
    }
    for container in job.ecs_properties.iter().flat_map(|e| &e.task_properties).flat_map(|t| &t.containers) {
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
    let nodes = nodes(job.node_properties.and_then(|n| n.num_nodes));
    let array = job.array_properties.and_then(|array| {
        let size = array.size.filter(|size| *size > 0 && array.index.is_none())?;
        let counts = array.status_summary.into_iter();
        Some(ArraySeen {
            size,
            summary: counts.filter_map(|(name, count)| Some((status(&name)?, count.max(0)))).collect(),
            updated: array.status_summary_last_updated_at.and_then(time),
        })
    });
    Some(Hint::Job {
        queue: name_of(&job.job_queue).to_owned(),
        shape: size.get().map(|resources| Shape { resources, nodes }),
        job: JobSeen {
            status: status(&job.status)?,
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
        },
        at,
    })
}

fn add(size: &mut Size, container: &Container) {
    let requirements = container.resource_requirements.iter();
    let requirements = requirements.map(|r| (r.r#type.as_str(), r.value.as_str()));
    size.container(container.vcpus, container.memory, requirements);
}
