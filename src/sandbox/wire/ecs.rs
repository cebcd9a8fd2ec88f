//! ECS: the container instances of an environment's cluster.

use serde_json::{Value, json};

use super::Reply;
use super::batch::{most, page};
use super::calls::Call;
use crate::ids::EnvironmentIndex;
use crate::sandbox::ids::Names;
use crate::sandbox::input::{Input, Taken};
use crate::sandbox::refused::Refused;
use crate::sandbox::state::State;
use crate::units::i64_to_f64;

/// What of ECS is served.
pub(super) const OPERATIONS: [&str; 2] = ["ListContainerInstances", "DescribeContainerInstances"];

/// Most ARNs of a page and of one request.
const MOST: usize = 100;

pub(super) fn perform(state: &mut State, call: &Call) -> Taken<Reply> {
    let input = Input::of(&call.input)?;
    let answer = match call.operation {
        "ListContainerInstances" => state.list_instances(input),
        _ => state.describe_instances(input),
    };
    answer.map(Reply::Members)
}

impl State {
    fn cluster(&self, input: Input<'_>) -> Taken<EnvironmentIndex> {
        let unknown = || Refused::new(400, "ClusterNotFoundException", "Cluster not found.");
        let name = self
            .names
            .environment_of_cluster(input.text("cluster")?.unwrap_or("default"));
        name.and_then(|name| self.environment(name)).ok_or_else(unknown)
    }

    fn list_instances(&self, input: Input<'_>) -> Taken<Value> {
        let environment = self.cluster(input)?;
        let active = match input.text("status")? {
            None => None,
            Some("ACTIVE") => Some(true),
            Some("DRAINING") => Some(false),
            // Real ones, which none of these ever is.
            Some("REGISTERING" | "DEREGISTERING" | "REGISTRATION_FAILED") => {
                return Ok(json!({"containerInstanceArns": []}));
            }
            Some(_) => return Err(Refused::new(400, "InvalidParameterException", "Invalid status.")),
        };
        let name = self.environment_name(environment);
        let arns = self.world.instances_of(environment).into_iter();
        let arns = arns.filter(|instance| active.is_none_or(|active| instance.active == active));
        let arns = arns
            .map(|instance| self.names.instance_arn(name, instance.entity))
            .collect();
        let bad = |_| Refused::new(400, "InvalidParameterException", "Invalid token.");
        let most = most(input, "maxResults", MOST)?;
        let (arns, next) = page(self, "instances", arns, input.text("nextToken")?, most).map_err(bad)?;
        let mut answer = json!({"containerInstanceArns": arns});
        if let (Some(next), Value::Object(members)) = (next, &mut answer) {
            members.insert("nextToken".to_owned(), json!(next));
        }
        Ok(answer)
    }

    fn describe_instances(&self, input: Input<'_>) -> Taken<Value> {
        let environment = self.cluster(input)?;
        let wanted = input.texts("containerInstances")?;
        if wanted.is_empty() || wanted.len() > MOST {
            let text = if wanted.is_empty() {
                "Container instances cannot be empty."
            } else {
                "Container instances must have at most 100 elements."
            };
            return Err(Refused::new(400, "InvalidParameterException", text));
        }
        let name = self.environment_name(environment).to_owned();
        let all = self.world.instances_of(environment);
        let (mut told, mut failures) = (Vec::new(), Vec::new());
        for wanted in wanted {
            let entity = Names::entity(wanted);
            if let Some(instance) = all.iter().find(|instance| Some(instance.entity) == entity) {
                let seconds = json!(i64_to_f64(instance.registered.millis()) / 1_000.0);
                told.push(self.container_instance(environment, instance, &seconds));
            } else {
                let arn = entity.map_or_else(|| wanted.to_owned(), |entity| self.names.instance_arn(&name, entity));
                failures.push(json!({"arn": arn, "reason": "MISSING"}));
            }
        }
        Ok(json!({"containerInstances": told, "failures": failures}))
    }
}
