//! Auto Scaling: the groups that AWS Batch would have made, one for each environment, and what became of launches.

use serde_json::{Value, json};

use super::Reply;
use super::calls::Call;
use super::xml::{self, Filter, filters, matches, numbered};
use crate::catalog::Purchase;
use crate::ids::EnvironmentIndex;
use crate::sandbox::activities::{Activity, has_group};
use crate::sandbox::ids::Names;
use crate::sandbox::input::{Input, Taken};
use crate::sandbox::network::{subnet_id, zone_name};
use crate::sandbox::refused::Refused;
use crate::sandbox::state::State;
use crate::simulate::scenario::EnvironmentSpec;
use crate::simulate::world::Launch;
use crate::units::{Time, to_usize};

pub(super) const OPERATIONS: [&str; 2] = ["DescribeAutoScalingGroups", "DescribeScalingActivities"];
const NAMESPACE: &str = "http://autoscaling.amazonaws.com/doc/2011-01-01/";
/// Groups of a page unless more are asked for, activities of a page, and the most of either.
const GROUPS: usize = 50;
const PAGE: usize = 100;

pub(super) fn perform(state: &mut State, call: &Call) -> Taken<Reply> {
    let input = Input::of(&call.input)?;
    let filters = filters(input, "Filters.member", "Values.member")?;
    let (list, usual, all) = if call.operation == OPERATIONS[0] {
        ("AutoScalingGroups", GROUPS, groups(state, input, &filters)?)
    } else {
        ("Activities", PAGE, activities(state, input, &filters)?)
    };
    let most = match input.text("MaxRecords")?.map(|most| most.parse::<i64>().ok()) {
        None => usual,
        Some(Some(asked)) if asked >= 1 => to_usize(asked).min(PAGE),
        Some(_) => return Err(invalid("MaxRecords is not valid")),
    };
    let start = match input.text("NextToken")? {
        None => 0,
        Some(token) => {
            let bad = || Refused::new(400, "InvalidNextToken", "The NextToken value is not valid.");
            state.names.position(list, token).ok_or_else(bad)?
        }
    };
    let more = start.saturating_add(most) < all.len();
    let page: Vec<Value> = all.into_iter().skip(start).take(most).collect();
    let mut members = json!({list: page});
    if let Value::Object(members) = &mut members
        && more
    {
        members.insert("NextToken".to_owned(), json!(state.names.token(list, start + most)));
    }
    Ok(xml::query(call.operation, NAMESPACE, &members))
}

fn with_groups(state: &State) -> impl Iterator<Item = (EnvironmentIndex, &EnvironmentSpec)> {
    let all = state.scenario.environments.iter().enumerate();
    all.filter(|(_, spec)| has_group(spec))
        .map(|(position, spec)| (EnvironmentIndex::at(position), spec))
}

/// Filters by tags: all groups carry the same.
fn groups(state: &State, input: Input<'_>, filters: &[Filter<'_>]) -> Taken<Vec<Value>> {
    const TAG: (&str, &str) = ("AWSBatchServiceTag", "batch");
    let mut tagged = true;
    for (name, values) in filters {
        tagged &= match *name {
            "tag-key" => values.contains(&TAG.0),
            "tag-value" | "tag:AWSBatchServiceTag" => values.contains(&TAG.1),
            other if other.starts_with("tag:") => false,
            other => return Err(invalid(&format!("Filter type {other} is not correct."))),
        };
    }
    let named = numbered(input, "AutoScalingGroupNames.member")?;
    let told = with_groups(state).map(|(environment, spec)| state.group(environment, spec, TAG));
    let wanted = |group: &Value| {
        let name = group["AutoScalingGroupName"].as_str().unwrap_or_default();
        tagged && (named.is_empty() || named.contains(&name))
    };
    Ok(told.filter(wanted).collect())
}

/// Latest first, over all groups or of one.
fn activities(state: &State, input: Input<'_>, filters: &[Filter<'_>]) -> Taken<Vec<Value>> {
    let group = input.text("AutoScalingGroupName")?;
    let ids = numbered(input, "ActivityIds.member")?;
    let mut found: Vec<(EnvironmentIndex, Activity)> = Vec::new();
    for (environment, _) in with_groups(state) {
        if group.is_none_or(|group| group == state.group_name(environment)) {
            found.extend(state.activities.of(environment).map(|one| (environment, *one)));
        }
    }
    if let Some(group) = group
        && !with_groups(state).any(|(environment, _)| group == state.group_name(environment))
    {
        return Err(invalid(&format!("Group {group} not found")));
    }
    for (name, values) in filters {
        let bound = || {
            let time = values.first().and_then(|text| Time::parse(text));
            time.ok_or_else(|| invalid(&format!("The value of filter {name} is no time")))
        };
        match *name {
            "Status" => found.retain(|(_, one)| values.contains(&status(one))),
            "StartTimeLowerBound" => {
                let from = bound()?;
                found.retain(|(_, one)| one.at >= from);
            }
            "StartTimeUpperBound" => {
                let until = bound()?;
                found.retain(|(_, one)| one.at <= until);
            }
            other => return Err(invalid(&format!("Filter type {other} is not correct."))),
        }
    }
    found.sort_by_key(|(_, one)| std::cmp::Reverse(one.at));
    let is_asked = |one: &Activity| {
        let id = one.id(&state.names);
        ids.is_empty() || ids.iter().any(|wanted| matches(wanted, &id))
    };
    let asked = found.iter().filter(|(_, one)| is_asked(one));
    Ok(asked
        .map(|(environment, one)| state.activity(*environment, one))
        .collect())
}

fn status(activity: &Activity) -> &'static str {
    if activity.has_failed() { "Failed" } else { "Successful" }
}

fn invalid(text: &str) -> Refused {
    Refused::new(400, "ValidationError", text)
}

impl State {
    fn group(&self, environment: EnvironmentIndex, spec: &EnvironmentSpec, tag: (&str, &str)) -> Value {
        let name = self.group_name(environment);
        let zones = || 0..spec.zones;
        let instances = self.world.launched(environment).into_iter().map(|instance| {
            json!({
                "InstanceId": Names::ec2_id(instance.entity),
                "InstanceType": self.type_of(environment, &instance),
                "AvailabilityZone": zone_name(&self.names.region, instance.zone),
                "LifecycleState": if self.now < instance.running { "Pending" } else { "InService" },
                "HealthStatus": "Healthy",
                "ProtectedFromScaleIn": true,
            })
        });
        let instances: Vec<Value> = instances.collect();
        let subnets: Vec<String> = zones().map(subnet_id).collect();
        let strategy = match spec.purchase {
            Purchase::Spot => json!({"OnDemandPercentageAboveBaseCapacity": 0}),
            Purchase::OnDemand => json!({"OnDemandPercentageAboveBaseCapacity": 100}),
        };
        json!({
            "AutoScalingGroupName": name,
            "AutoScalingGroupARN": self.names.arn("autoscaling", &format!(
                "autoScalingGroup:{}:autoScalingGroupName/{name}",
                name.rsplit("-asg-").next().unwrap_or_default()
            )),
            "MixedInstancesPolicy": {"InstancesDistribution": strategy},
            "MinSize": 0,
            "MaxSize": 5_000,
            "DesiredCapacity": instances.len(),
            "DefaultCooldown": 300,
            "AvailabilityZones": zones().map(|zone| zone_name(&self.names.region, zone)).collect::<Vec<_>>(),
            "HealthCheckType": "EC2",
            "HealthCheckGracePeriod": 0,
            "Instances": instances,
            "CreatedTime": self.made().to_string(),
            "VPCZoneIdentifier": subnets.join(","),
            "NewInstancesProtectedFromScaleIn": true,
            "Tags": [{
                "ResourceId": name,
                "ResourceType": "auto-scaling-group",
                "Key": tag.0,
                "Value": tag.1,
                "PropagateAtLaunch": true,
            }],
        })
    }

    fn activity(&self, environment: EnvironmentIndex, activity: &Activity) -> Value {
        let (at, group) = (activity.at.to_string(), self.group_name(environment));
        let mut told = json!({
            "ActivityId": activity.id(&self.names),
            "AutoScalingGroupName": group,
            "Cause": format!(
                "At {at} an instance was started in response to a difference between desired and actual capacity."
            ),
            "StartTime": at,
            "EndTime": at,
            "StatusCode": status(activity),
            "Progress": 100,
        });
        let (description, zone) = match activity.answer {
            Launch::Coming(instance) => {
                let id = Names::ec2_id(instance.entity);
                (format!("Launching a new EC2 instance: {id}"), instance.zone)
            }
            Launch::Refused(..) => ("Launching a new EC2 instance".to_owned(), 0),
        };
        let details = json!({"Subnet ID": subnet_id(zone), "Availability Zone": zone_name(&self.names.region, zone)});
        if let Value::Object(members) = &mut told {
            members.insert("Description".to_owned(), json!(description));
            members.insert("Details".to_owned(), json!(details.to_string()));
            if let Some((_, words)) = self.refusal_of(environment, activity) {
                members.insert("StatusMessage".to_owned(), json!(words));
            }
        }
        told
    }
}
