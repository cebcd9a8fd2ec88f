//! What an answer that is none means, for the daemon and for people. The only place that reads codes and texts of errors.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::control::Outcome;
use crate::daemon::cloud::Unread;
use crate::observation::GapReason;

/// What services call throttling. Batch's own, `TooManyRequestsException`, is not in its model.
const THROTTLED: &[&str] = &[
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "KMS.ThrottlingException",
];
/// The credentials are good, but not for this.
const DENIED: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "NotAuthorized",
    KMS_DENIED,
];
/// SQS may be read, but not with the key that the queue is encrypted with.
const KMS_DENIED: &str = "KMS.AccessDeniedException";
/// The credentials are not good, or no longer.
const EXPIRED: &[&str] = &["ExpiredToken", "ExpiredTokenException", "RequestExpired"];
const INVALID: &[&str] = &[
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "InvalidAccessKeyId",
    "AuthFailure",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "IncompleteSignature",
];

/// Longest text of a service that is passed on: enough for every sentence known, too little to flood a log.
const TEXT_MOST: usize = 500;

/// A failure that has nothing to do with an answer.
pub(super) fn failed(message: impl Into<String>) -> Unread {
    Unread {
        why: GapReason::Failed,
        message: message.into(),
    }
}

/// The code of an error, as the service gave it.
pub(super) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    ProvideErrorMetadata::code(error)
}

/// What an error of any operation means. `action` is the IAM action that the call needs, such as `batch:ListJobs`.
pub(super) fn unread<E>(action: &str, error: &SdkError<E, HttpResponse>) -> Unread
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let said = said(error);
    let code = ProvideErrorMetadata::code(error);
    let kind = kind(code, status, has_no_credentials(error));
    let (why, message) = match kind {
        Kind::Denied if code == Some(KMS_DENIED) => (
            GapReason::Denied,
            format!(
                "{action} was denied: {said}; hint: allow `kms:Decrypt` with the queue's key to the role that autotune runs with, in its policy and in the key's"
            ),
        ),
        Kind::Throttled => (GapReason::Throttled, format!("{action} was throttled: {said}")),
        Kind::Denied => (
            GapReason::Denied,
            format!("{action} was denied: {said}; hint: allow `{action}` to the role that autotune runs with"),
        ),
        Kind::Expired => (
            GapReason::Denied,
            format!(
                "{action} was denied because the credentials have expired: {said}; hint: renew them, or use a role"
            ),
        ),
        Kind::Invalid => (
            GapReason::Denied,
            format!(
                "{action} was denied because the credentials are not valid: {said}; hint: check the keys and the clock"
            ),
        ),
        Kind::NoCredentials => (
            GapReason::Denied,
            format!(
                "{action} was not sent because no credentials were found: {said}; hint: `aws configure`, AWS_PROFILE or `profile` of the settings, or a role"
            ),
        ),
        Kind::Other => (GapReason::Failed, format!("{action} failed: {said}")),
    };
    Unread { why, message }
}

/// Kinds of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Throttled,
    Denied,
    Expired,
    Invalid,
    NoCredentials,
    Other,
}

fn kind(code: Option<&str>, status: Option<u16>, no_credentials: bool) -> Kind {
    let is = |list: &[&str]| code.is_some_and(|code| list.contains(&code));
    if no_credentials {
        Kind::NoCredentials
    } else if is(THROTTLED) || status == Some(429) {
        Kind::Throttled
    } else if is(EXPIRED) {
        Kind::Expired
    } else if is(INVALID) || status == Some(401) {
        Kind::Invalid
    } else if is(DENIED) || status == Some(403) {
        Kind::Denied
    } else {
        Kind::Other
    }
}

/// What an update's refusal means (the texts are AWS Batch's own; its model knows only ClientException and ServerException).
pub(super) fn refusal(code: Option<&str>, status: Option<u16>, text: &str) -> Outcome {
    if kind(code, status, false) == Kind::Throttled {
        return Outcome::Throttled;
    }
    let text = text.to_ascii_lowercase();
    let says = |what: &str| text.contains(what);
    // Batch itself raised desired between our look and our update, or another update is under way.
    if says("manually scaling down compute environment is not supported") || says("resource is being modified") {
        Outcome::Raced
    } else if says("desiredvcpus should be between minvcpus and maxvcpus")
        || says("maxvcpus should be greater than or equal to minvcpus")
    {
        Outcome::Overshoot
    } else {
        Outcome::Failed
    }
}

/// What an update's error means, with its message.
pub(super) fn update_refused<E>(error: &SdkError<E, HttpResponse>) -> (Outcome, String)
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let text = ProvideErrorMetadata::message(error).unwrap_or_default();
    let outcome = refusal(ProvideErrorMetadata::code(error), status, text);
    (outcome, unread("batch:UpdateComputeEnvironment", error).message)
}

/// Code and message of the service; without an answer, the chain of causes.
fn said<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let text = match (ProvideErrorMetadata::code(error), ProvideErrorMetadata::message(error)) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, Some(message)) => message.to_owned(),
        (None, None) => causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": "),
    };
    text.chars().take(TEXT_MOST).collect()
}

fn has_no_credentials<E: Error + 'static>(error: &SdkError<E, HttpResponse>) -> bool {
    causes(error).any(|cause| cause.downcast_ref::<CredentialsError>().is_some())
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;

    use super::*;

    /// SQS refuses with 400 and the permission of another service: that of its own would not cure it.
    #[test]
    fn a_key_that_may_not_be_used_is_told_with_the_permission_that_is_missing() {
        let answered = |code: &str| {
            let told = ErrorMetadata::builder().code(code).message("no").build();
            let response = HttpResponse::new(400.try_into().unwrap(), SdkBody::empty());
            unread("sqs:ReceiveMessage", &SdkError::service_error(told, response))
        };
        let Unread { why, message } = answered("KMS.AccessDeniedException");
        assert_eq!(why, GapReason::Denied);
        assert!(
            message.contains("allow `kms:Decrypt` with the queue's key"),
            "{message}"
        );
        assert!(!message.contains("allow `sqs:ReceiveMessage`"), "{message}");
        let other = answered("AccessDenied").message;
        assert!(other.contains("allow `sqs:ReceiveMessage`"), "{other}");
    }

    #[test]
    fn refusals_of_updates_are_told_apart_by_what_batch_says() {
        let client = Some("ClientException");
        let down = "Manually scaling down compute environment is not supported.  Disconnecting job queues from compute \
                    environment will cause it to scale-down to minvCpus";
        let cases = [
            (client, 400, down, Outcome::Raced),
            (
                client,
                400,
                "Error executing request, Exception : Manually scaling down compute environment is not supported. Disconnecting",
                Outcome::Raced,
            ),
            (
                client,
                400,
                "Cannot update, resource is being modified.",
                Outcome::Raced,
            ),
            (
                client,
                400,
                "desiredvCpus should be between minvCpus and maxvCpus.",
                Outcome::Overshoot,
            ),
            (
                client,
                400,
                "maxvCpus should be greater than or equal to minvCpus.",
                Outcome::Overshoot,
            ),
            (
                Some("TooManyRequestsException"),
                429,
                "Too Many Requests",
                Outcome::Throttled,
            ),
            (None, 429, "", Outcome::Throttled),
            (Some("ThrottlingException"), 400, "Rate exceeded", Outcome::Throttled),
            (
                Some("AccessDeniedException"),
                403,
                "User is not authorized",
                Outcome::Failed,
            ),
            (client, 400, "minvCpus is not applicable for Fargate", Outcome::Failed),
            (Some("ServerException"), 500, "", Outcome::Failed),
        ];
        for (code, status, text, expected) in cases {
            assert_eq!(refusal(code, Some(status), text), expected, "{code:?} {text}");
        }
    }

    #[test]
    fn trouble_with_credentials_is_told_from_missing_permissions() {
        let cases = [
            (Some("AccessDeniedException"), Some(403), Kind::Denied),
            (Some("UnauthorizedOperation"), Some(403), Kind::Denied),
            (Some("AccessDenied"), Some(400), Kind::Denied),
            (None, Some(403), Kind::Denied),
            (Some("ExpiredTokenException"), Some(403), Kind::Expired),
            (Some("UnrecognizedClientException"), Some(403), Kind::Invalid),
            (Some("RequestLimitExceeded"), Some(503), Kind::Throttled),
            (Some("ServerException"), Some(500), Kind::Other),
            (None, None, Kind::Other),
        ];
        for (code, status, expected) in cases {
            assert_eq!(kind(code, status, false), expected, "{code:?} {status:?}");
        }
        assert_eq!(kind(None, None, true), Kind::NoCredentials);
    }
}
