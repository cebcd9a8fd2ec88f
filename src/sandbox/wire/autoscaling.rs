//! Auto Scaling: the groups that AWS Batch would have made, one for each environment. Their activities are not simulated: none is
//! told.

use std::fmt::Write as _;

use super::Reply;
use super::calls::Call;
use super::encode::escaped;
use crate::sandbox::input::Taken;
use crate::sandbox::state::State;

pub(super) const OPERATIONS: [&str; 2] = ["DescribeAutoScalingGroups", "DescribeScalingActivities"];
/// A group carries the id of its environment.
const GROUP: u64 = 5;

#[expect(clippy::unnecessary_wraps, reason = "all services have one form")]
pub(super) fn perform(state: &mut State, call: &Call) -> Taken<Reply> {
    let mut members = String::new();
    let list = if call.operation == OPERATIONS[0] {
        for (position, name) in (0_u64..).zip(state.environment_names()) {
            let group = format!("AWSBatch-{name}-asg-{}", state.names.uuid(GROUP, position));
            // Writing to a string does not fail.
            let _ = write!(
                members,
                "<member><AutoScalingGroupName>{}</AutoScalingGroupName><Tags><member><Key>AWSBatchServiceTag</Key>\
                 <Value>batch</Value></member></Tags></member>",
                escaped(&group)
            );
        }
        "AutoScalingGroups"
    } else {
        "Activities"
    };
    let operation = call.operation;
    Ok(Reply::Xml(format!(
        "<{operation}Response xmlns=\"http://autoscaling.amazonaws.com/doc/2011-01-01/\"><{operation}Result><{list}>{members}\
         </{list}></{operation}Result><ResponseMetadata><RequestId>simulated</RequestId></ResponseMetadata></{operation}Response>"
    )))
}
