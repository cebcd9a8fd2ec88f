//! CloudTrail: who made or updated compute environments. Nothing else is in its history, and it is told at once.

use serde_json::{Value, json};

use super::Reply;
use super::batch::{most, page};
use super::calls::Call;
use crate::sandbox::input::{Input, Taken};
use crate::sandbox::refused::Refused;
use crate::sandbox::state::State;
use crate::units::{Time, i64_to_f64};

pub(super) const OPERATIONS: [&str; 1] = ["LookupEvents"];
/// Most events of a page.
const PAGE: usize = 50;
/// So many updates are kept.
const KEPT: usize = 1_000;
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
    /// Somebody with the sandbox's credentials has updated an environment.
    pub(super) fn note_update(&mut self, request: &Value) {
        self.trail.push_front((self.now, request.clone()));
        self.trail.truncate(KEPT);
    }

    /// Latest first.
    fn events(&self) -> Vec<Value> {
        let updates = self.trail.iter().map(|(at, request)| self.event(UPDATE, *at, request));
        let made = self.scenario.environments.iter().map(|spec| {
            let request = json!({ "computeEnvironmentName": spec.name });
            self.event(CREATE, self.begun, &request)
        });
        updates.chain(made).collect()
    }

    fn event(&self, name: &str, at: Time, request: &Value) -> Value {
        let told = json!({
            "eventVersion": "1.09",
            "userIdentity": { "type": "IAMUser", "arn": self.names.user_arn(), "accountId": self.names.account },
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
            "Username": "sandbox",
            "CloudTrailEvent": told.to_string(),
        })
    }
}
