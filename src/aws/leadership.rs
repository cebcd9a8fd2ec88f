//! The lease of whoever writes, as one item of a DynamoDB table: `id` (its key), `holder`, `renewals`, `lease_seconds`.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};

use crate::aws::Aws;
use crate::aws::errors::{code, failed, unread};
use crate::daemon::cloud::Read;
use crate::daemon::leadership::{Claim, Claimed, Held, Lock};
use crate::units::Span;

/// The error of a condition that does not hold.
const REFUSED: &str = "ConditionalCheckFailedException";

impl Lock for Aws {
    async fn claim(&self, claim: &Claim) -> Read<Claimed> {
        let mut call = self
            .dynamodb
            .update_item()
            .table_name(self.leadership_table()?)
            .key("id", text(&claim.name))
            .update_expression("SET holder = :holder, lease_seconds = :lease ADD renewals :one")
            .expression_attribute_values(":holder", text(&claim.holder))
            .expression_attribute_values(":lease", number(claim.lease.millis() / 1000))
            .expression_attribute_values(":one", number(1))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let free = "attribute_not_exists(id) OR holder = :holder";
        call = match &claim.over {
            None => call.condition_expression(free),
            Some(over) => call
                .condition_expression(format!("{free} OR (holder = :over AND renewals = :renewals)"))
                .expression_attribute_values(":over", text(&over.holder))
                .expression_attribute_values(":renewals", number(over.renewals)),
        };
        let Err(error) = call.send().await else {
            return Ok(Claimed::Ours);
        };
        let Some(UpdateItemError::ConditionalCheckFailedException(refused)) = error.as_service_error() else {
            return Err(unread("dynamodb:UpdateItem", &error));
        };
        let item = refused.item.as_ref();
        let held = item.and_then(held);
        held.map(Claimed::Theirs)
            .ok_or_else(|| failed(format!("the item `{}` is no lease of autotune: {item:?}", claim.name)))
    }

    async fn resign(&self, name: &str, holder: &str) -> Read<()> {
        let call = self
            .dynamodb
            .delete_item()
            .table_name(self.leadership_table()?)
            .key("id", text(name))
            .condition_expression("holder = :holder")
            .expression_attribute_values(":holder", text(holder));
        match call.send().await {
            Ok(_) => Ok(()),
            Err(error) if code(&error) == Some(REFUSED) => Ok(()),
            Err(error) => Err(unread("dynamodb:DeleteItem", &error)),
        }
    }
}

impl Aws {
    fn leadership_table(&self) -> Read<&str> {
        let table = self.settings.leadership_table.as_deref();
        table.ok_or_else(|| failed("no table for leadership is configured"))
    }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn held(item: &HashMap<String, AttributeValue>) -> Option<Held> {
    let number = |name: &str| item.get(name)?.as_n().ok()?.parse::<i64>().ok();
    Some(Held {
        holder: item.get("holder")?.as_s().ok()?.clone(),
        renewals: number("renewals")?,
        lease: Span::from_seconds(number("lease_seconds")?.max(0)),
    })
}
