//! STS: GetCallerIdentity.

use super::Reply;
use super::calls::Call;
use super::encode::escaped;
use crate::sandbox::input::Taken;
use crate::sandbox::state::State;

#[expect(clippy::unnecessary_wraps, reason = "all services have one form")]
pub(super) fn perform(state: &mut State, _call: &Call) -> Taken<Reply> {
    let account = escaped(&state.names.account);
    Ok(Reply::Xml(format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>arn:aws:iam::{account}:user/sandbox</Arn><UserId>AIDAIOSFODNN7EXAMPLE</UserId><Account>{account}</Account>\
         </GetCallerIdentityResult><ResponseMetadata><RequestId>simulated</RequestId></ResponseMetadata>\
         </GetCallerIdentityResponse>"
    )))
}
