//! EventBridge: the one rule of the account, which hands events of AWS Batch, ECS and EC2 to its SQS queue. Nothing can be made or
//! changed.

use serde_json::{Value, json};

use super::Reply;
use super::batch::{most, page};
use super::calls::Call;
use crate::sandbox::flaws::Flaw;
use crate::sandbox::input::{Input, Taken};
use crate::sandbox::refused::Refused;
use crate::sandbox::sqs::EVENTS_QUEUE;
use crate::sandbox::state::State;

pub(super) const OPERATIONS: [&str; 4] = [
    "ListRuleNamesByTarget",
    "DescribeRule",
    "ListRules",
    "ListTargetsByRule",
];
const RULE: &str = "autotune";
const BUS: &str = "default";
/// Most things of a page.
const PAGE: usize = 100;

pub(super) fn perform(state: &mut State, call: &Call) -> Taken<Reply> {
    let input = Input::of(&call.input)?;
    if let Some(bus) = input.text("EventBusName")?
        && bus != BUS
        && bus != state.names.arn("events", &format!("event-bus/{BUS}"))
    {
        return Err(missing(&format!("Event bus {bus} does not exist.")));
    }
    let members = match call.operation {
        "ListRuleNamesByTarget" => {
            let target = required(input, "TargetArn")?;
            let ours = target == state.names.arn("sqs", EVENTS_QUEUE);
            let rules = ours.then(|| json!(RULE)).into_iter().collect();
            paged(state, "RuleNames", rules, input)?
        }
        "DescribeRule" => {
            let name = required(input, "Name")?;
            known(name)?;
            let mut rule = rule(state);
            if let Value::Object(members) = &mut rule {
                members.insert("CreatedBy".to_owned(), json!(state.names.account));
            }
            rule
        }
        "ListRules" => {
            let prefix = input.text("NamePrefix")?.unwrap_or_default();
            let rules = RULE.starts_with(prefix).then(|| rule(state)).into_iter().collect();
            paged(state, "Rules", rules, input)?
        }
        _ => {
            known(required(input, "Rule")?)?;
            let target = json!({"Id": "queue", "Arn": state.names.arn("sqs", EVENTS_QUEUE)});
            paged(state, "Targets", vec![target], input)?
        }
    };
    Ok(Reply::Members(members))
}

fn rule(state: &State) -> Value {
    let disabled = state.flaws.has(Flaw::NoEvents);
    let pattern = json!({"source": ["aws.batch", "aws.ecs", "aws.ec2"]});
    json!({
        "Name": RULE,
        "Arn": state.names.arn("events", &format!("rule/{RULE}")),
        "EventPattern": pattern.to_string(),
        "State": if disabled { "DISABLED" } else { "ENABLED" },
        "EventBusName": BUS,
    })
}

fn known(name: &str) -> Taken<()> {
    if name == RULE {
        return Ok(());
    }
    Err(missing(&format!("Rule {name} does not exist on EventBus {BUS}.")))
}

fn missing(text: &str) -> Refused {
    Refused::new(400, "ResourceNotFoundException", text)
}

fn required<'a>(input: Input<'a>, name: &str) -> Taken<&'a str> {
    let given = input.text(name)?.filter(|text| !text.is_empty());
    given.ok_or_else(|| {
        let text = format!(
            "1 validation error detected: Value null at '{name}' failed to satisfy constraint: Member must not be null"
        );
        Refused::validation(text)
    })
}

fn paged(state: &State, list: &str, all: Vec<Value>, input: Input<'_>) -> Taken<Value> {
    let bad = |_| Refused::validation("Token is invalid.");
    let most = most(input, "Limit", PAGE)?;
    let (page, next) = page(state, list, all, input.text("NextToken")?, most).map_err(bad)?;
    let mut members = json!({list: page});
    if let (Some(next), Value::Object(members)) = (next, &mut members) {
        members.insert("NextToken".to_owned(), json!(next));
    }
    Ok(members)
}
