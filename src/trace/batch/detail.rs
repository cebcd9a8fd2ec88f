//! What AWS Batch says of one job (API reference, "JobDetail"), and what follows from it.

use serde::Deserialize;
use serde_json::Value;

use crate::trace::report::Remark;
use crate::trace::size::Ask;
use crate::trace::values::{self, time_from_millis};
use crate::units::{Mebibytes, Time};

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobDetail {
    pub(super) job_id: String,
    pub(super) job_name: Option<String>,
    pub(super) job_queue: Option<String>,
    pub(super) job_definition: Option<String>,
    pub(super) status: Option<String>,
    pub(super) created_at: Option<i64>,
    pub(super) started_at: Option<i64>,
    pub(super) stopped_at: Option<i64>,
    pub(super) attempts: Option<Vec<Attempt>>,
    pub(super) depends_on: Option<Vec<DependsOn>>,
    pub(super) array_properties: Option<ArrayProperties>,
    pub(super) container: Option<Container>,
    pub(super) node_properties: Option<NodeProperties>,
    pub(super) ecs_properties: Option<Value>,
    pub(super) eks_properties: Option<Value>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Attempt {
    pub(super) started_at: Option<i64>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DependsOn {
    pub(super) job_id: Option<String>,
    pub(super) r#type: Option<String>,
}

#[derive(Clone, Deserialize)]
pub(super) struct ArrayProperties {
    pub(super) size: Option<u32>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Container {
    pub(super) vcpus: Option<i64>,
    pub(super) memory: Option<i64>,
    pub(super) resource_requirements: Option<Vec<Requirement>>,
}

#[derive(Clone, Deserialize)]
pub(super) struct Requirement {
    pub(super) r#type: String,
    pub(super) value: String,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeProperties {
    pub(super) num_nodes: Option<u32>,
    pub(super) node_range_properties: Option<Vec<NodeRange>>,
}

#[derive(Clone, Deserialize)]
pub(super) struct NodeRange {
    pub(super) container: Option<Container>,
}

impl JobDetail {
    /// How far a record is along its job's life.
    pub(super) fn stage(&self) -> (usize, usize, Option<i64>) {
        const STATES: [&str; 7] = [
            "SUBMITTED",
            "PENDING",
            "RUNNABLE",
            "STARTING",
            "RUNNING",
            "SUCCEEDED",
            "FAILED",
        ];
        let state = STATES
            .iter()
            .position(|name| self.status.as_deref() == Some(*name))
            .unwrap_or(0);
        (state, self.attempts.as_ref().map_or(0, Vec::len), self.started_at)
    }

    /// What is missing here and known there.
    pub(super) fn fill_from(&mut self, other: Self) {
        macro_rules! fill {
            ($($field:ident),*) => { $( if self.$field.is_none() { self.$field = other.$field; } )* };
        }
        fill!(
            job_name,
            job_queue,
            job_definition,
            created_at,
            started_at,
            stopped_at,
            attempts,
            depends_on
        );
        fill!(
            array_properties,
            container,
            node_properties,
            ecs_properties,
            eks_properties
        );
    }

    pub(super) fn ended(&self) -> Option<Time> {
        let done = matches!(self.status.as_deref(), Some("SUCCEEDED" | "FAILED"));
        self.stopped_at.filter(|_| done).and_then(time_from_millis)
    }

    pub(super) fn first_start(&self) -> Option<Time> {
        let attempts = self.attempts.iter().flatten().filter_map(|attempt| attempt.started_at);
        attempts.chain(self.started_at).min().and_then(time_from_millis)
    }

    /// The id of the array that this is a child of, and the child's index.
    pub(super) fn child_of(&self) -> Option<(&str, u32)> {
        let (parent, index) = self.job_id.rsplit_once(':')?;
        Some((parent, index.parse().ok()?))
    }

    pub(super) fn is_array_parent(&self) -> bool {
        self.child_of().is_none() && self.array_properties.as_ref().is_some_and(|array| array.size.is_some())
    }

    /// What the job asks for (for a multi-node job what its first node asks for), and what there is to remark about it.
    pub(super) fn ask(&self) -> (Ask, [Option<Remark>; 2]) {
        let nodes = self.node_properties.as_ref();
        let node = nodes.and_then(|nodes| nodes.node_range_properties.as_ref()?.first()?.container.as_ref());
        let mut asked = Asked::default();
        if let Some(container) = node.or(self.container.as_ref()) {
            asked.container(container);
        }
        for container in containers(self.ecs_properties.as_ref(), "/taskProperties/0/containers") {
            if let Ok(container) = serde_json::from_value(container.clone()) {
                asked.container(&container);
            }
        }
        for container in containers(self.eks_properties.as_ref(), "/podProperties/containers") {
            asked.pod(container);
        }
        let vcpus = values::vcpus(asked.vcpus);
        let ask = Ask {
            vcpus: vcpus.map(|(count, _)| count),
            memory: Some(asked.memory).filter(|memory| !memory.is_zero()),
            gpus: asked.gpus,
            nodes: nodes.and_then(|nodes| nodes.num_nodes).unwrap_or(1),
            ..Ask::default()
        };
        let rounded = vcpus.is_some_and(|(_, rounded)| rounded);
        (
            ask,
            [
                rounded.then_some(Remark::VcpusRounded),
                asked.unknown.then_some(Remark::UnknownResource),
            ],
        )
    }
}

fn containers<'a>(properties: Option<&'a Value>, pointer: &str) -> impl Iterator<Item = &'a Value> {
    properties
        .and_then(|properties| properties.pointer(pointer))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

#[derive(Default)]
struct Asked {
    vcpus: f64,
    memory: Mebibytes,
    gpus: u32,
    unknown: bool,
}

impl Asked {
    fn container(&mut self, container: &Container) {
        let requirements = container.resource_requirements.as_deref().unwrap_or(&[]);
        let has = |kind: &str| requirements.iter().any(|requirement| requirement.r#type == kind);
        // The older fields say the same as the requirements where both are there.
        if let Some(vcpus) = container.vcpus.filter(|_| !has("VCPU")) {
            self.vcpu(&vcpus.to_string());
        }
        if let Some(memory) = container.memory.filter(|_| !has("MEMORY")) {
            self.memory += Mebibytes::new(memory);
        }
        for requirement in requirements {
            let value = requirement.value.trim();
            match requirement.r#type.as_str() {
                "VCPU" => self.vcpu(value),
                "MEMORY" => match value.parse::<i64>() {
                    Ok(mebibytes) => self.memory += Mebibytes::new(mebibytes),
                    Err(_) => self.unknown = true,
                },
                "GPU" => match value.parse::<u32>() {
                    Ok(gpus) => self.gpus = self.gpus.saturating_add(gpus),
                    Err(_) => self.unknown = true,
                },
                _ => self.unknown = true,
            }
        }
    }

    fn vcpu(&mut self, value: &str) {
        match value.parse::<f64>() {
            Ok(vcpus) if vcpus.is_finite() && vcpus >= 0.0 => self.vcpus += vcpus,
            _ => self.unknown = true,
        }
    }

    /// A container of a pod: quantities of Kubernetes such as `500m` and `2048Mi`.
    fn pod(&mut self, container: &Value) {
        let quantity = |name: &str| {
            let of = |kind: &str| {
                container
                    .pointer(&format!("/resources/{kind}/{name}"))
                    .and_then(Value::as_str)
            };
            of("requests").or_else(|| of("limits"))
        };
        if let Some(cpu) = quantity("cpu") {
            match cpu.strip_suffix('m').map(str::parse::<f64>) {
                Some(Ok(millis)) => self.vcpu(&(millis / 1000.0).to_string()),
                Some(Err(_)) => self.unknown = true,
                None => self.vcpu(cpu),
            }
        }
        if let Some(memory) = quantity("memory") {
            match values::memory(memory) {
                Some(memory) => self.memory += memory,
                None => self.unknown = true,
            }
        }
        if let Some(gpus) = quantity("nvidia.com~1gpu").and_then(|gpus| gpus.parse::<u32>().ok()) {
            self.gpus = self.gpus.saturating_add(gpus);
        }
    }
}
