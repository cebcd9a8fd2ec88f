//! IAM: roles and instance profiles of the account, and what its policies allow: everything that no fault denies. Nothing can be made
//! or changed.

use serde_json::{Value, json};

use super::Reply;
use super::calls::Call;
use super::xml::{self, numbered};
use crate::sandbox::input::{Input, Taken};
use crate::sandbox::refused::Refused;
use crate::sandbox::roles::{GUARD_POLICY, Role};
use crate::sandbox::state::State;
use crate::units::to_usize;

pub(super) const OPERATIONS: [&str; 6] = [
    "GetRole",
    "GetInstanceProfile",
    "ListAttachedRolePolicies",
    "ListRolePolicies",
    "GetRolePolicy",
    "SimulatePrincipalPolicy",
];
const NAMESPACE: &str = "https://iam.amazonaws.com/doc/2010-05-08/";
/// Things of a page, unless fewer are asked for.
const PAGE: usize = 100;

pub(super) fn perform(state: &mut State, call: &Call) -> Taken<Reply> {
    let input = Input::of(&call.input)?;
    let members = match call.operation {
        "GetRole" => json!({"Role": state.role_told(&role(state, input)?)}),
        "GetInstanceProfile" => {
            let name = required(input, "InstanceProfileName")?;
            let missing = || absent(&format!("Instance Profile {name} cannot be found."));
            json!({"InstanceProfile": state.instance_profile(name).ok_or_else(missing)?})
        }
        "ListAttachedRolePolicies" => {
            let attached = role(state, input)?.attached;
            let told = attached.iter().map(|policy| {
                let name = policy.rsplit('/').next().unwrap_or(policy);
                json!({"PolicyName": name, "PolicyArn": format!("arn:aws:iam::aws:policy/{policy}")})
            });
            paged(state, call.operation, "AttachedPolicies", told.collect(), input)?
        }
        "ListRolePolicies" => {
            let names = role(state, input)?.inline.iter().map(|name| json!(name)).collect();
            paged(state, call.operation, "PolicyNames", names, input)?
        }
        "GetRolePolicy" => {
            let role = role(state, input)?;
            let policy = required(input, "PolicyName")?;
            if !role.inline.contains(&policy) || policy != GUARD_POLICY {
                let text = format!("The role policy with name {policy} cannot be found.");
                return Err(absent(&text));
            }
            json!({"RoleName": role.name, "PolicyName": policy, "PolicyDocument": state.guard_policy()})
        }
        _ => simulated(state, input, call.operation)?,
    };
    Ok(xml::query(call.operation, NAMESPACE, &members))
}

fn role(state: &State, input: Input<'_>) -> Taken<Role> {
    let name = required(input, "RoleName")?;
    let missing = || absent(&format!("The role with name {name} cannot be found."));
    state.role(name).ok_or_else(missing)
}

/// What the caller may do. `SimulatePrincipalPolicy` tells one result for each action, and where several resources are asked
/// for one for each of those within it.
fn simulated(state: &State, input: Input<'_>, operation: &'static str) -> Taken<Value> {
    let principal = required(input, "PolicySourceArn")?;
    if !state.has_principal(principal) {
        return Err(absent(&format!("The entity {principal} cannot be found.")));
    }
    let actions = numbered(input, "ActionNames.member")?;
    let resources = numbered(input, "ResourceArns.member")?;
    if actions.is_empty() {
        return Err(invalid("actionNames", "null"));
    }
    let result = |action: &str| {
        let decision = if state.faults.denies(action) {
            "explicitDeny"
        } else {
            "allowed"
        };
        let told = |resource: &&str| {
            json!({
                "EvalResourceName": resource,
                "EvalResourceDecision": decision,
                "MatchedStatements": [],
                "MissingContextValues": [],
            })
        };
        let (first, each) = match &resources[..] {
            [] => ("*", Vec::new()),
            [one] => (*one, Vec::new()),
            many => ("*", many.iter().map(told).collect()),
        };
        json!({
            "EvalActionName": action,
            "EvalResourceName": first,
            "EvalDecision": decision,
            "MatchedStatements": [],
            "MissingContextValues": [],
            "ResourceSpecificResults": each,
        })
    };
    let results = actions.into_iter().map(result).collect();
    paged(state, operation, "EvaluationResults", results, input)
}

/// A page of a list, with a marker where there is more.
fn paged(state: &State, of: &str, list: &str, all: Vec<Value>, input: Input<'_>) -> Taken<Value> {
    let most = match input.text("MaxItems")? {
        None => PAGE,
        Some(asked) => {
            let most = asked.parse::<i64>().ok().filter(|most| (1..=1_000).contains(most));
            to_usize(most.ok_or_else(|| invalid("maxItems", asked))?)
        }
    };
    let start = match input.text("Marker")? {
        None => 0,
        Some(marker) => (state.names.position(of, marker)).ok_or_else(|| invalid("marker", marker))?,
    };
    let more = start.saturating_add(most) < all.len();
    let page: Vec<Value> = all.into_iter().skip(start).take(most).collect();
    let mut members = json!({list: page, "IsTruncated": more});
    if let Value::Object(members) = &mut members
        && more
    {
        members.insert("Marker".to_owned(), json!(state.names.token(of, start + most)));
    }
    Ok(members)
}

fn required<'a>(input: Input<'a>, name: &str) -> Taken<&'a str> {
    let given = input.text(name)?.filter(|text| !text.is_empty());
    given.ok_or_else(|| {
        let mut letters = name.chars();
        let first = letters.next().map(|c| c.to_ascii_lowercase());
        invalid(&first.into_iter().chain(letters).collect::<String>(), "null")
    })
}

fn invalid(name: &str, found: &str) -> Refused {
    let found = if found == "null" {
        found.to_owned()
    } else {
        format!("'{found}'")
    };
    let text = format!("1 validation error detected: Value {found} at '{name}' failed to satisfy constraint");
    Refused::new(400, "ValidationError", text)
}

fn absent(text: &str) -> Refused {
    Refused::new(404, "NoSuchEntity", text)
}
