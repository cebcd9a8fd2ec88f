//! AWS Batch: environments, queues, tags, definitions. Jobs are in `listings.rs` and `submit.rs`.

use serde_json::{Value, json};

use super::Reply;
use super::calls::Call;
use crate::account::Platform;
use crate::catalog::Purchase;
use crate::sandbox::ids::Subject;
use crate::sandbox::input::{Input, Taken};
use crate::sandbox::machines::ec2_configuration;
use crate::sandbox::network::{SECURITY_GROUP, subnet_id};
use crate::sandbox::refused::Refused;
use crate::sandbox::roles::{FLEET_ROLE, INSTANCE_ROLE};
use crate::sandbox::state::{Hand, State};
use crate::simulate::scenario::{Allocation, EnvironmentSpec, QueueSpec};
use crate::simulate::world::Change;
use crate::units::{Span, Vcpus, to_usize};

/// What of AWS Batch is served.
pub(super) const OPERATIONS: [&str; 15] = [
    "DescribeComputeEnvironments",
    "UpdateComputeEnvironment",
    "DescribeJobQueues",
    "ListJobs",
    "DescribeJobs",
    "GetJobQueueSnapshot",
    "SubmitJob",
    "TerminateJob",
    "CancelJob",
    "RegisterJobDefinition",
    "DescribeJobDefinitions",
    "TagResource",
    "UntagResource",
    "ListTagsForResource",
    "DescribeSchedulingPolicies",
];

/// Most names or ids of one request, and of one page.
const NAMES_MOST: usize = 100;
/// Tags of one resource.
const TAGS_MOST: usize = 50;

pub(super) fn perform(state: &mut State, call: &Call) -> Taken<Reply> {
    let input = Input::of(&call.input)?;
    let answer = match call.operation {
        "DescribeComputeEnvironments" => state.describe_environments(input),
        "UpdateComputeEnvironment" => state.update_environment(input),
        "DescribeJobQueues" => state.describe_queues(input),
        "ListJobs" => state.list_jobs(input),
        "DescribeJobs" => state.describe_jobs(input),
        "GetJobQueueSnapshot" => state.snapshot(input),
        "SubmitJob" => state.submit_job(input),
        "TerminateJob" => state.end_job(input, true),
        "CancelJob" => state.end_job(input, false),
        "RegisterJobDefinition" => state.register_definition(&call.input),
        "DescribeJobDefinitions" => state.describe_definitions(input),
        "TagResource" => state.tag(&call.resource, input),
        "UntagResource" => state.untag(call),
        "ListTagsForResource" => state.list_tags(&call.resource),
        _ => state.describe_policies(input),
    };
    answer.map(Reply::Members)
}

/// A page of what is there: `all` in order, from the token on.
pub(super) fn page<T>(
    state: &State,
    of: &str,
    all: Vec<T>,
    token: Option<&str>,
    most: usize,
) -> Taken<(Vec<T>, Option<String>)> {
    let start = match token {
        None => 0,
        // What AWS Batch says of a token that it did not give is not known.
        Some(token) => {
            (state.names.position(of, token)).ok_or_else(|| Refused::client("The nextToken provided is not valid"))?
        }
    };
    let more = start.saturating_add(most) < all.len();
    let next = more.then(|| state.names.token(of, start + most));
    Ok((all.into_iter().skip(start).take(most).collect(), next))
}

/// `maxResults` between 1 and a most.
pub(super) fn most(input: Input<'_>, name: &str, most: usize) -> Taken<usize> {
    let asked = input.whole(name)?.filter(|asked| *asked > 0);
    Ok(asked.map_or(most, |asked| to_usize(asked).min(most)))
}

fn answered(name: &str, values: &[Value], next: Option<String>) -> Value {
    let mut answer = json!({name: values});
    if let (Some(next), Value::Object(members)) = (next, &mut answer) {
        members.insert("nextToken".to_owned(), json!(next));
    }
    answer
}

impl State {
    fn describe_environments(&mut self, input: Input<'_>) -> Taken<Value> {
        let names = input.texts("computeEnvironments")?;
        let specs: Vec<usize> = if names.is_empty() {
            (0..self.scenario.environments.len()).collect()
        } else {
            within(names.len(), "compute environments")?;
            let found = names.iter().filter_map(|name| self.environment(name));
            found.map(crate::ids::EnvironmentIndex::position).collect()
        };
        let most = most(input, "maxResults", NAMES_MOST)?;
        let (specs, next) = page(self, "environments", specs, input.text("nextToken")?, most)?;
        let told = specs.into_iter().filter_map(|position| {
            let spec = self.scenario.environments.get(position)?;
            Some(self.environment_detail(spec, crate::ids::EnvironmentIndex::at(position)))
        });
        Ok(answered("computeEnvironments", &told.collect::<Vec<Value>>(), next))
    }

    fn environment_detail(&self, spec: &EnvironmentSpec, index: crate::ids::EnvironmentIndex) -> Value {
        let now = self.world.environment(index);
        let arn = self.names.environment_arn(&spec.name);
        let (status, reason) = match (now.updating, now.valid) {
            (true, _) => ("UPDATING", "ComputeEnvironment Healthy"),
            (false, true) => ("VALID", "ComputeEnvironment Healthy"),
            (false, false) => ("INVALID", "CLIENT_ERROR - simulated as INVALID by the scenario"),
        };
        let managed = spec.platform != Platform::Unmanaged;
        let mut told = json!({
            "computeEnvironmentName": spec.name,
            "computeEnvironmentArn": arn,
            "ecsClusterArn": self.names.cluster_arn(&spec.name),
            "tags": self.tags_of(&arn),
            "type": if managed { "MANAGED" } else { "UNMANAGED" },
            "state": if now.enabled { "ENABLED" } else { "DISABLED" },
            "status": status,
            "statusReason": reason,
            "serviceRole": self.names.service_role_arn(),
            "containerOrchestrationType": if spec.platform == Platform::Eks { "EKS" } else { "ECS" },
            "uuid": self.names.uuid(5, crate::units::to_u64(index.position())),
        });
        if let Value::Object(members) = &mut told {
            if managed {
                members.insert("computeResources".to_owned(), self.resources_of(spec, index));
                members.insert(
                    "updatePolicy".to_owned(),
                    json!({"terminateJobsOnUpdate": false, "jobExecutionTimeoutMinutes": 30}),
                );
            } else {
                members.insert("unmanagedvCpus".to_owned(), count(now.max_vcpus));
            }
            if spec.platform == Platform::Eks {
                let cluster = self.names.arn("eks", "cluster/simulated");
                members.insert(
                    "eksConfiguration".to_owned(),
                    json!({"eksClusterArn": cluster, "kubernetesNamespace": "batch"}),
                );
            }
        }
        told
    }

    fn resources_of(&self, spec: &EnvironmentSpec, index: crate::ids::EnvironmentIndex) -> Value {
        let now = self.world.environment(index);
        let kind = match (spec.platform, spec.purchase) {
            (Platform::Fargate, Purchase::OnDemand) => "FARGATE",
            (Platform::Fargate, Purchase::Spot) => "FARGATE_SPOT",
            (Platform::ManagedInstances, _) => "ECS_MANAGED_INSTANCES",
            (Platform::Ec2 | Platform::Eks | Platform::Unmanaged, Purchase::OnDemand) => "EC2",
            (Platform::Ec2 | Platform::Eks | Platform::Unmanaged, Purchase::Spot) => "SPOT",
        };
        let zones = (0..spec.zones).map(subnet_id);
        let mut told = json!({
            "type": kind,
            "maxvCpus": count(now.max_vcpus),
            "subnets": zones.collect::<Vec<String>>(),
            "securityGroupIds": [SECURITY_GROUP],
            "tags": {},
        });
        let scales = matches!(spec.platform, Platform::Ec2 | Platform::Eks);
        if let Value::Object(members) = &mut told
            && scales
        {
            members.insert("minvCpus".to_owned(), count(now.min_vcpus));
            members.insert("desiredvCpus".to_owned(), count(now.desired_vcpus));
            let types = &spec.instance_types;
            let types = if types.is_empty() {
                json!(["optimal"])
            } else {
                json!(types)
            };
            members.insert("instanceTypes".to_owned(), types);
            members.insert("allocationStrategy".to_owned(), json!(strategy(spec.allocation)));
            members.insert("ec2Configuration".to_owned(), ec2_configuration(spec));
            let role = self.names.iam_arn(&format!("instance-profile/{INSTANCE_ROLE}"));
            members.insert("instanceRole".to_owned(), json!(role));
            if spec.purchase == Purchase::Spot && spec.allocation == Allocation::BestFit {
                let role = self.names.iam_arn(&format!("role/{FLEET_ROLE}"));
                members.insert("spotIamFleetRole".to_owned(), json!(role));
            }
            if let Some((id, _)) = self.template_of(index) {
                let template = json!({"launchTemplateId": id, "version": "1"});
                members.insert("launchTemplate".to_owned(), template);
            }
            let minutes = now.scale_down_delay.millis() / Span::from_minutes(1).millis();
            if minutes > 0 {
                members.insert("scalingPolicy".to_owned(), json!({"minScaleDownDelayMinutes": minutes}));
            }
        }
        told
    }

    fn describe_queues(&mut self, input: Input<'_>) -> Taken<Value> {
        let names = input.texts("jobQueues")?;
        let specs: Vec<usize> = if names.is_empty() {
            (0..self.scenario.queues.len()).collect()
        } else {
            within(names.len(), "job queues")?;
            let found = names.iter().filter_map(|name| self.queue(name));
            found.map(crate::ids::QueueIndex::position).collect()
        };
        let most = most(input, "maxResults", NAMES_MOST)?;
        let (specs, next) = page(self, "queues", specs, input.text("nextToken")?, most)?;
        let specs = specs
            .into_iter()
            .filter_map(|position| self.scenario.queues.get(position));
        let told: Vec<Value> = specs.map(|spec| self.queue_detail(spec)).collect();
        Ok(answered("jobQueues", &told, next))
    }

    fn queue_detail(&self, spec: &QueueSpec) -> Value {
        let arn = self.names.queue_arn(&spec.name);
        let order = spec.environments.iter().zip(1..).map(|(environment, order)| {
            json!({"order": order, "computeEnvironment": self.names.environment_arn(environment)})
        });
        let mut told = json!({
            "jobQueueName": spec.name,
            "jobQueueArn": arn,
            "state": "ENABLED",
            "status": "VALID",
            "statusReason": "JobQueue Healthy",
            "priority": spec.priority,
            "computeEnvironmentOrder": order.collect::<Vec<Value>>(),
            "jobQueueType": "ECS",
            "tags": self.tags_of(&arn),
            "jobStateTimeLimitActions": [],
        });
        if let Value::Object(members) = &mut told
            && spec.reservation_percent > 0
        {
            members.insert("schedulingPolicyArn".to_owned(), json!(self.policy_arn(spec)));
        }
        told
    }

    /// Each queue with a reservation has a policy of its own.
    fn describe_policies(&self, input: Input<'_>) -> Taken<Value> {
        let arns = input.texts("arns")?;
        within(arns.len(), "scheduling policies")?;
        let fair = self
            .scenario
            .queues
            .iter()
            .filter(|queue| queue.reservation_percent > 0);
        let told = fair.filter_map(|queue| {
            let arn = self.policy_arn(queue);
            arns.contains(&arn.as_str()).then(|| {
                json!({
                    "name": queue.name,
                    "arn": arn,
                    "fairsharePolicy": {
                        "shareDecaySeconds": 0,
                        "computeReservation": queue.reservation_percent,
                        "shareDistribution": [],
                    },
                    "tags": {},
                })
            })
        });
        Ok(json!({"schedulingPolicies": told.collect::<Vec<Value>>()}))
    }

    fn policy_arn(&self, queue: &QueueSpec) -> String {
        self.names.arn("batch", &format!("scheduling-policy/{}", queue.name))
    }

    fn update_environment(&mut self, input: Input<'_>) -> Taken<Value> {
        let wanted = input.required("computeEnvironment")?;
        let resources = input.structure("computeResources")?;
        let state = input.text("state")?;
        let others = [
            "serviceRole",
            "unmanagedvCpus",
            "updatePolicy",
            "context",
            "ecsSettings",
        ];
        if resources.is_none() && state.is_none() && others.iter().all(|name| input.get(name).is_none()) {
            return Err(Refused::client(
                "One of [state | compute-resources | service-role | unmanaged-vcpus] is required.",
            ));
        }
        // The text for an environment that is not there is not known.
        let environment = self
            .environment(wanted)
            .ok_or_else(|| Refused::client(format!("{wanted} does not exist")))?;
        let enabled = match state {
            None => None,
            Some("ENABLED") => Some(true),
            Some("DISABLED") => Some(false),
            Some(other) => return Err(Refused::executing(&format!("State {other} is not valid"))),
        };
        if let Some(name) = resources.and_then(|resources| resources.names().find(|name| is_infrastructure(name))) {
            return Err(Refused::client(format!(
                "{name} would make this an infrastructure update, which this simulation has not"
            )));
        }
        let delay = match resources.map(|r| r.structure("scalingPolicy")).transpose()?.flatten() {
            Some(policy) => policy.whole("minScaleDownDelayMinutes")?,
            None => None,
        };
        if let Some(minutes) = delay.filter(|minutes| !(*minutes == 0 || (20..=10_080).contains(minutes))) {
            return Err(Refused::executing(&format!(
                "minScaleDownDelayMinutes {minutes} is not valid"
            )));
        }
        if let Some(resources) = resources {
            let change = Change {
                min: level(resources, "minvCpus")?,
                desired: level(resources, "desiredvCpus")?,
                max: level(resources, "maxvCpus")?,
            };
            if change != Change::default() || delay.is_none() {
                let answer = self.scale(Hand::Credentials, environment, &change);
                answer.map_err(|refusal| Refused::client(refusal.text()))?;
            }
        }
        if enabled.is_some() || delay.is_some() {
            self.world
                .set_state(environment, enabled, delay.map(Span::from_minutes));
            self.hear();
        }
        let name = self.environment_name(environment);
        Ok(json!({"computeEnvironmentName": name, "computeEnvironmentArn": self.names.environment_arn(name)}))
    }

    fn tag(&mut self, arn: &str, input: Input<'_>) -> Taken<Value> {
        self.taggable(arn)?;
        let added = input.map("tags")?;
        let tags = self.tags.entry(arn.to_owned()).or_default();
        for (key, value) in added {
            if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
                return Err(Refused::client(
                    "Tag keys have 1 to 128 characters and values at most 256",
                ));
            }
            tags.insert(key.to_owned(), value.to_owned());
        }
        if tags.len() > TAGS_MOST {
            return Err(Refused::client("A resource can have 50 tags at most"));
        }
        Ok(json!({}))
    }

    fn untag(&mut self, call: &Call) -> Taken<Value> {
        self.taggable(&call.resource)?;
        if let Some(tags) = self.tags.get_mut(&call.resource) {
            for (_, key) in call.query.iter().filter(|(name, _)| name == "tagKeys") {
                tags.remove(key);
            }
        }
        Ok(json!({}))
    }

    fn list_tags(&self, arn: &str) -> Taken<Value> {
        self.taggable(arn)?;
        Ok(json!({"tags": self.tags_of(arn)}))
    }

    fn taggable(&self, arn: &str) -> Taken<Subject> {
        // What the service says of an ARN that is not there is not known.
        self.subject(arn)
            .ok_or_else(|| Refused::client(format!("{arn} does not exist")))
    }

    fn register_definition(&mut self, sent: &Value) -> Taken<Value> {
        let definition = self.definitions.register(sent)?;
        Ok(json!({
            "jobDefinitionName": definition.name,
            "jobDefinitionArn": definition.arn(&self.names),
            "revision": definition.revision,
        }))
    }

    fn describe_definitions(&mut self, input: Input<'_>) -> Taken<Value> {
        let wanted = input.texts("jobDefinitions")?;
        within(wanted.len(), "job definitions")?;
        let (name, status) = (input.text("jobDefinitionName")?, input.text("status")?);
        let chosen = self.definitions.all().filter(|definition| {
            let arn = definition.arn(&self.names);
            let numbered = format!("{}:{}", definition.name, definition.revision);
            (wanted.is_empty() || wanted.iter().any(|one| *one == arn || *one == numbered))
                && name.is_none_or(|name| name == definition.name)
                && status.is_none_or(|status| status == "ACTIVE")
        });
        let chosen: Vec<_> = chosen.collect();
        let most = most(input, "maxResults", NAMES_MOST)?;
        let (chosen, next) = page(self, "definitions", chosen, input.text("nextToken")?, most)?;
        let told = chosen.into_iter().map(|definition| {
            let mut told = definition.sent.clone();
            if let Value::Object(members) = &mut told {
                members.insert("jobDefinitionArn".to_owned(), json!(definition.arn(&self.names)));
                members.insert("revision".to_owned(), json!(definition.revision));
                members.insert("status".to_owned(), json!("ACTIVE"));
                members.insert("containerOrchestrationType".to_owned(), json!("ECS"));
            }
            told
        });
        Ok(answered("jobDefinitions", &told.collect::<Vec<Value>>(), next))
    }
}

/// The texts for too many names are not known, but that of DescribeJobs.
fn within(names: usize, what: &str) -> Taken<()> {
    if names <= NAMES_MOST {
        return Ok(());
    }
    Err(Refused::client(format!(
        "Maximum number of {what} supported is  {NAMES_MOST}"
    )))
}

/// Whether a member of `computeResources` replaces instances.
fn is_infrastructure(name: &str) -> bool {
    !["minvCpus", "desiredvCpus", "maxvCpus", "scalingPolicy"].contains(&name)
}

fn level(resources: Input<'_>, name: &str) -> Taken<Option<Vcpus>> {
    match resources.whole(name)? {
        Some(negative) if negative < 0 => Err(Refused::executing(&format!("{name} must not be negative."))),
        other => Ok(other.map(Vcpus::new)),
    }
}

fn count(vcpus: Vcpus) -> Value {
    json!(i32::try_from(vcpus.get()).unwrap_or(i32::MAX))
}

fn strategy(allocation: Allocation) -> &'static str {
    match allocation {
        Allocation::BestFit => "BEST_FIT",
        Allocation::BestFitProgressive => "BEST_FIT_PROGRESSIVE",
        Allocation::BestFitProgressiveOrdered => "BEST_FIT_PROGRESSIVE_ORDERED",
        Allocation::SpotCapacityOptimized => "SPOT_CAPACITY_OPTIMIZED",
        Allocation::SpotPriceCapacityOptimized => "SPOT_PRICE_CAPACITY_OPTIMIZED",
        Allocation::SpotCapacityOptimizedPrioritized => "SPOT_CAPACITY_OPTIMIZED_PRIORITIZED",
    }
}
