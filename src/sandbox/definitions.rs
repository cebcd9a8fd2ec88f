//! Job definitions: registered under rising revisions; one is there from the start.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::ids::Names;
use super::input::{Input, Taken};
use super::refused::Refused;
use crate::catalog::Resources;
use crate::observation::Shape;
use crate::units::{Mebibytes, Vcpus, to_u32};

/// The definition that is there from the start.
pub const FIRST_DEFINITION: &str = "sleep";

/// What a revision says.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) revision: usize,
    /// The request that registered it.
    pub(super) sent: Value,
}

/// All definitions, revisions in order.
#[derive(Debug)]
pub(super) struct Definitions(BTreeMap<String, Vec<Value>>);

impl Definitions {
    /// Those that are there from the start; `attempts` is how often the account tries jobs.
    pub(super) fn new(attempts: u8) -> Self {
        let sleep = json!({
            "jobDefinitionName": FIRST_DEFINITION,
            "type": "container",
            "retryStrategy": {"attempts": attempts, "evaluateOnExit": []},
            "containerProperties": {
                "image": "public.ecr.aws/amazonlinux/amazonlinux:latest",
                "command": ["sleep", "60"],
                "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "1024"}],
            },
        });
        Self(BTreeMap::from([(FIRST_DEFINITION.to_owned(), vec![sleep])]))
    }

    /// RegisterJobDefinition; the revision.
    pub(super) fn register(&mut self, sent: &Value) -> Taken<Definition> {
        let input = Input::of(sent)?;
        let name = input.required("jobDefinitionName")?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.len() > 128 || !name.chars().all(allowed) {
            return Err(Refused::executing("Job definition name should match valid pattern"));
        }
        match input.required("type")? {
            "container" => {
                let container = input.structure("containerProperties")?;
                let container = container.ok_or_else(|| {
                    Refused::executing("Container properties should not be empty for a container job.")
                })?;
                let shape = shape(&[Some(container)])?;
                if shape.resources.vcpus.is_zero() || shape.resources.memory.is_zero() {
                    return Err(Refused::executing("Container vcpus and memory should be specified"));
                }
            }
            "multinode" => drop(nodes(input)?),
            kind => return Err(Refused::executing(&format!("Job definition type {kind} is not valid"))),
        }
        let revisions = self.0.entry(name.to_owned()).or_default();
        revisions.push(sent.clone());
        Ok(Definition {
            name: name.to_owned(),
            revision: revisions.len(),
            sent: sent.clone(),
        })
    }

    /// A definition by name, `name:revision` or ARN; without a revision the latest.
    pub(super) fn find(&self, names: &Names, wanted: &str) -> Taken<Definition> {
        let prefix = names.arn("batch", "job-definition/");
        let (missing, bare) = match wanted.strip_prefix(&prefix) {
            Some(bare) => (format!("JobDefinition {wanted} not found."), bare),
            None => (
                format!("JobDefinition name {wanted} does not exist or is not in ACTIVE status"),
                wanted,
            ),
        };
        let (name, revision) = match bare.rsplit_once(':') {
            Some((name, revision)) => (name, Some(revision.parse::<usize>().unwrap_or(0))),
            None => (bare, None),
        };
        let revisions = self.0.get(name).map_or(&[][..], Vec::as_slice);
        let revision = revision.unwrap_or(revisions.len());
        let sent = revision.checked_sub(1).and_then(|position| revisions.get(position));
        Ok(Definition {
            sent: sent.ok_or_else(|| Refused::client(missing))?.clone(),
            name: name.to_owned(),
            revision,
        })
    }

    /// All revisions, by name.
    pub(super) fn all(&self) -> impl Iterator<Item = Definition> {
        self.0.iter().flat_map(|(name, revisions)| {
            revisions.iter().enumerate().map(|(position, sent)| Definition {
                name: name.clone(),
                revision: position + 1,
                sent: sent.clone(),
            })
        })
    }
}

impl Definition {
    pub(super) fn arn(&self, names: &Names) -> String {
        names.arn("batch", &format!("job-definition/{}:{}", self.name, self.revision))
    }
}

/// What containers ask for: the first one, changed by those after it.
pub(super) fn shape(containers: &[Option<Input<'_>>]) -> Taken<Shape> {
    let mut resources = Resources::default();
    for container in containers.iter().flatten() {
        if let Some(vcpus) = container.whole("vcpus")? {
            resources.vcpus = Vcpus::new(vcpus.clamp(0, 1_000_000));
        }
        if let Some(memory) = container.whole("memory")? {
            resources.memory = Mebibytes::new(memory.clamp(0, 1_000_000_000));
        }
        for requirement in container.structures("resourceRequirements")? {
            let kind = requirement.required("type")?;
            let value = requirement.required("value")?;
            // EC2 jobs have whole vCPUs, at least one.
            let count = value
                .parse::<i64>()
                .ok()
                .filter(|count| (1..=1_000_000_000).contains(count));
            let invalid = || Refused::executing(&format!("Value {value} for type {kind} is not valid"));
            let count = count.ok_or_else(invalid)?;
            match kind {
                "VCPU" => resources.vcpus = Vcpus::new(count),
                "MEMORY" if count >= 4 => resources.memory = Mebibytes::new(count),
                "GPU" => resources.gpus = to_u32(count),
                _ => return Err(invalid()),
            }
        }
    }
    Ok(Shape { resources, nodes: 1 })
}

/// What a multi-node definition asks for: nodes, each as large as the largest.
pub(super) fn nodes(definition: Input<'_>) -> Taken<Shape> {
    let missing = || Refused::executing("Node properties should not be empty for a multinode job.");
    let properties = definition.structure("nodeProperties")?.ok_or_else(missing)?;
    let count = properties
        .whole("numNodes")?
        .filter(|count| (1..=1_000).contains(count));
    let mut largest = Resources::default();
    for range in properties.structures("nodeRangeProperties")? {
        let one = shape(&[range.structure("container")?])?.resources;
        largest = Resources {
            vcpus: largest.vcpus.max(one.vcpus),
            memory: largest.memory.max(one.memory),
            gpus: largest.gpus.max(one.gpus),
        };
    }
    Ok(Shape {
        resources: largest,
        nodes: to_u32(count.ok_or_else(missing)?),
    })
}
