//! What services answer instead of doing it: code, status and text. Texts are the services' own where somebody has quoted them;
//! where nobody has, the comment says so.

use std::fmt;

/// An error of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// The service's code, such as `ClientException`.
    pub code: &'static str,
    /// The service's text.
    pub message: String,
}

impl Refused {
    /// Any error.
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    /// AWS Batch: the caller's mistake.
    pub(super) fn client(message: impl Into<String>) -> Self {
        Self::new(400, "ClientException", message)
    }

    /// AWS Batch as it words what its validation finds.
    pub(super) fn executing(what: &str) -> Self {
        Self::client(format!("Error executing request, Exception : {what}"))
    }

    /// A body that is not JSON, or a member of another type than the model says. The words are those of other services with the
    /// same front end; for AWS Batch nobody has quoted them.
    pub(super) fn serialization(message: impl Into<String>) -> Self {
        Self::new(400, "SerializationException", message)
    }

    /// A value that the model does not allow.
    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::new(400, "ValidationException", message)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Refused {}
