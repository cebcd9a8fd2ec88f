//! CloudTrail: who made or scaled compute environments. Nothing else is in its history, and it is told at once.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Reply;
use super::batch::{most, page};
use super::calls::Call;
use crate::sandbox::input::{Input, Taken};
use crate::sandbox::refused::Refused;
use crate::sandbox::roles::GUARD_ROLE;
use crate::sandbox::state::{Hand, State};
use crate::units::{Time, Vcpus, i64_to_f64};

pub(super) const OPERATIONS: [&str; 1] = ["LookupEvents"];
/// Most events of a page.
const PAGE: usize = 50;
const CREATE: &str = "CreateComputeEnvironment";
const UPDATE: &str = "UpdateComputeEnvironment";

pub(super) fn perform(state: &mut State, call: &Call) -> Taken<Reply> {
    let input = Input::of(&call.input)?;
    let mut events = state.events();
    for asked in input.structures("LookupAttributes")? {
        let (key, value) = (asked.text("AttributeKey")?, asked.text("AttributeValue")?);
        match (key, value) {
            (Some("EventName"), Some(name)) => events.retain(|event| event["EventName"] == name),
            (Some(_), Some(_)) => events.clear(),
            (None, _) | (_, None) => return Err(Refused::validation("A lookup attribute needs a key and a value.")),
        }
    }
    let most = most(input, "MaxResults", PAGE)?;
    let bad = |_| Refused::new(400, "InvalidNextTokenException", "The token is not valid.");
    let (events, next) = page(state, "Events", events, input.text("NextToken")?, most).map_err(bad)?;
    let mut members = json!({ "Events": events });
    if let (Some(next), Value::Object(members)) = (next, &mut members) {
        members.insert("NextToken".to_owned(), json!(next));
    }
    Ok(Reply::Members(members))
}

impl State {
    /// Latest first.
    fn events(&self) -> Vec<Value> {
        let updates = self.scaled.iter().map(|scaled| {
            let levels = [
                ("minvCpus", scaled.change.min),
                ("desiredvCpus", scaled.change.desired),
                ("maxvCpus", scaled.change.max),
            ];
            let levels = levels.into_iter().filter_map(|(name, level)| Some((name, level?)));
            let levels: BTreeMap<&str, Vcpus> = levels.collect();
            let request = json!({ "computeEnvironment": scaled.environment, "computeResources": levels });
            self.event(UPDATE, scaled.at, scaled.by, &request)
        });
        let made = self.scenario.environments.iter().map(|spec| {
            let request = json!({ "computeEnvironmentName": spec.name });
            self.event(CREATE, self.begun, Hand::Credentials, &request)
        });
        updates.chain(made).collect()
    }

    fn event(&self, name: &str, at: Time, by: Hand, request: &Value) -> Value {
        let identity = match by {
            Hand::Credentials => json!({ "type": "IAMUser", "arn": self.names.user_arn() }),
            Hand::Other => json!({ "type": "IAMUser", "arn": self.names.iam_arn("user/somebody-else") }),
            Hand::Schedule => json!({
                "type": "AssumedRole",
                "arn": format!("arn:aws:sts::{}:assumed-role/{GUARD_ROLE}/schedule", self.names.account),
                "invokedBy": "scheduler.amazonaws.com",
            }),
        };
        let told = json!({
            "eventVersion": "1.09",
            "userIdentity": identity,
            "eventTime": at.to_string(),
            "eventSource": "batch.amazonaws.com",
            "eventName": name,
            "awsRegion": self.names.region,
            "requestParameters": request,
        });
        json!({
            "EventName": name,
            "EventTime": i64_to_f64(at.millis()) / 1_000.0,
            "EventSource": "batch.amazonaws.com",
            "CloudTrailEvent": told.to_string(),
        })
    }
}
