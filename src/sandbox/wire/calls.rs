//! From an HTTP request to a call: which service, which operation, which members.

use std::fmt;

use axum::http::Method;
use axum::http::request::Parts;
use serde_json::{Map, Value};

use super::encode::from_cbor;
use crate::sandbox::refused::Refused;

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// AWS Batch.
    Batch,
    /// SQS.
    Sqs,
    /// ECS.
    Ecs,
    /// EC2.
    Ec2,
    /// CloudWatch.
    CloudWatch,
    /// Service Quotas.
    Quotas,
    /// EventBridge Scheduler.
    Scheduler,
    /// STS.
    Sts,
    /// Auto Scaling.
    AutoScaling,
    /// IAM.
    Iam,
    /// EventBridge.
    Events,
    /// CloudTrail.
    CloudTrail,
}

impl Service {
    /// As IAM actions begin.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Sqs => "sqs",
            Self::Ecs => "ecs",
            Self::Ec2 => "ec2",
            Self::CloudWatch => "cloudwatch",
            Self::Quotas => "servicequotas",
            Self::Scheduler => "scheduler",
            Self::Sts => "sts",
            Self::AutoScaling => "autoscaling",
            Self::Iam => "iam",
            Self::Events => "events",
            Self::CloudTrail => "cloudtrail",
        }
    }

    fn operations(self) -> &'static [&'static str] {
        match self {
            Self::Batch => &super::batch::OPERATIONS,
            Self::Sqs => &super::sqs::OPERATIONS,
            Self::Ecs => &super::ecs::OPERATIONS,
            Self::Ec2 => &super::ec2::OPERATIONS,
            Self::CloudWatch => &["GetMetricStatistics", "GetMetricData"],
            Self::Quotas => &["GetServiceQuota", "GetAWSDefaultServiceQuota", "ListServiceQuotas"],
            Self::Scheduler => &super::scheduler::OPERATIONS,
            Self::Sts => &["GetCallerIdentity"],
            Self::AutoScaling => &super::autoscaling::OPERATIONS,
            Self::Iam => &super::iam::OPERATIONS,
            Self::Events => &super::events::OPERATIONS,
            Self::CloudTrail => &super::cloudtrail::OPERATIONS,
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How request and answer are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Path and body, errors by header.
    RestJson,
    /// A target header and a body; the version of it.
    Json(&'static str),
    /// Smithy RPC v2 with CBOR.
    Cbor,
    /// Form in, XML out.
    Query,
    /// The same with EC2's shape of errors.
    Ec2,
}

/// What the credentials are scoped to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) key_id: String,
    pub(super) region: String,
    pub(super) service: String,
}

/// A call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) service: Service,
    pub(super) operation: &'static str,
    /// Members of the body; for forms and query strings, all texts.
    pub(super) input: Value,
    /// What of the path names the resource.
    pub(super) resource: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) scope: Scope,
    /// The host that was asked, for URLs in answers.
    pub(super) host: String,
}

impl Call {
    /// A value of the query string.
    pub(super) fn asked(&self, name: &str) -> Option<&str> {
        let mut all = self.query.iter();
        all.find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Reads a request. What cannot be read is refused in the protocol that it came in.
pub(super) fn read(parts: &Parts, body: &[u8], host: &str) -> Result<(Call, Protocol), (Protocol, Refused)> {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let query = pairs(parts.uri.query().unwrap_or_default().as_bytes());
    let scope = header("authorization").and_then(scope);
    let path = parts.uri.path();
    let call = |service, operation, input, resource: &str| Call {
        service,
        operation,
        input,
        resource: resource.to_owned(),
        query: query.clone(),
        scope: scope.clone().unwrap_or_default(),
        host: host.to_owned(),
    };
    let unsigned = |protocol| (protocol, missing_token());
    let form = header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    if let Some(operation) = cbor_operation(path) {
        let protocol = Protocol::Cbor;
        scope.as_ref().ok_or_else(|| unsigned(protocol))?;
        let input = from_cbor(body).ok_or_else(|| (protocol, unparsed("CBOR")))?;
        let operation = known(Service::CloudWatch, operation).map_err(|refused| (protocol, refused))?;
        return Ok((call(Service::CloudWatch, operation, input, ""), protocol));
    }
    if let Some(target) = header("x-amz-target") {
        let (service, protocol, operation) =
            target_of(target).ok_or_else(|| (Protocol::Json("1.1"), unknown(target)))?;
        scope.as_ref().ok_or_else(|| unsigned(protocol))?;
        let operation = known(service, operation).map_err(|refused| (protocol, refused))?;
        let input = json(body).map_err(|refused| (protocol, refused))?;
        return Ok((call(service, operation, input, ""), protocol));
    }
    let action = if form { pairs(body) } else { query.clone() };
    if let Some((_, action_name)) = action.iter().find(|(key, _)| key == "Action") {
        let service = scope.as_ref().map_or("", |scope| scope.service.as_str());
        let (service, protocol) = match service {
            "sts" => (Service::Sts, Protocol::Query),
            "ec2" => (Service::Ec2, Protocol::Ec2),
            "autoscaling" => (Service::AutoScaling, Protocol::Query),
            "iam" => (Service::Iam, Protocol::Query),
            _ => return Err(unsigned(Protocol::Query)),
        };
        let operation = known(service, action_name).map_err(|refused| (protocol, refused))?;
        let members: Map<String, Value> = action
            .into_iter()
            .map(|(key, value)| (key, Value::String(value)))
            .collect();
        return Ok((call(service, operation, Value::Object(members), ""), protocol));
    }
    let protocol = Protocol::RestJson;
    let (service, operation, resource) = rest(&parts.method, path).ok_or_else(|| (protocol, unknown(path)))?;
    scope.as_ref().ok_or_else(|| unsigned(protocol))?;
    let input = json(body).map_err(|refused| (protocol, refused))?;
    Ok((call(service, operation, input, &resource), protocol))
}

fn missing_token() -> Refused {
    Refused::new(
        403,
        "MissingAuthenticationTokenException",
        "Missing Authentication Token",
    )
}

fn unparsed(what: &str) -> Refused {
    Refused::serialization(format!("Could not parse the request body as {what}"))
}

fn unknown(what: &str) -> Refused {
    let what: String = what.chars().take(100).collect();
    Refused::new(
        404,
        "UnknownOperationException",
        format!("The simulated account knows no operation {what}"),
    )
}

fn known(service: Service, operation: &str) -> Result<&'static str, Refused> {
    let found = service.operations().iter().find(|known| **known == operation);
    found.copied().ok_or_else(|| match service {
        Service::Ec2 => Refused::new(
            400,
            "InvalidAction",
            format!("The action {operation} is not valid for this web service."),
        ),
        Service::Sts | Service::AutoScaling | Service::Iam => {
            Refused::new(400, "InvalidAction", format!("Could not find operation {operation}"))
        }
        Service::Batch
        | Service::Sqs
        | Service::Ecs
        | Service::CloudWatch
        | Service::Quotas
        | Service::Scheduler
        | Service::Events
        | Service::CloudTrail => unknown(operation),
    })
}

fn cbor_operation(path: &str) -> Option<&str> {
    path.strip_prefix("/service/GraniteServiceVersion20100801/operation/")
}

fn target_of(target: &str) -> Option<(Service, Protocol, &str)> {
    let (prefix, operation) = target.split_once('.')?;
    let (service, version) = match prefix {
        "AmazonSQS" => (Service::Sqs, "1.0"),
        "AmazonEC2ContainerServiceV20141113" => (Service::Ecs, "1.1"),
        "GraniteServiceVersion20100801" => (Service::CloudWatch, "1.0"),
        "ServiceQuotasV20190624" => (Service::Quotas, "1.1"),
        "AWSEvents" => (Service::Events, "1.1"),
        "CloudTrail_20131101" => (Service::CloudTrail, "1.1"),
        _ => return None,
    };
    Some((service, Protocol::Json(version), operation))
}

/// Service, operation and resource of a path.
fn rest(method: &Method, path: &str) -> Option<(Service, &'static str, String)> {
    if let Some(rest) = path.strip_prefix("/v1/") {
        if let Some(arn) = rest.strip_prefix("tags/") {
            let operation = match method.as_str() {
                "POST" => "TagResource",
                "DELETE" => "UntagResource",
                "GET" => "ListTagsForResource",
                _ => return None,
            };
            return Some((Service::Batch, operation, decoded(arn)));
        }
        let mut all = super::batch::OPERATIONS.iter().filter(|name| !name.contains("Tag"));
        let operation = all.find(|name| name.eq_ignore_ascii_case(rest) && method.as_str() == "POST")?;
        return Some((Service::Batch, *operation, String::new()));
    }
    let (kind, name) = match path.strip_prefix('/')?.split_once('/') {
        Some((kind, name)) => (kind, Some(decoded(name))),
        None => (path.strip_prefix('/')?, None),
    };
    let operation = match (kind, method.as_str(), name.is_some()) {
        ("schedules", "POST", true) => "CreateSchedule",
        ("schedules", "PUT", true) => "UpdateSchedule",
        ("schedules", "GET", true) => "GetSchedule",
        ("schedules", "DELETE", true) => "DeleteSchedule",
        ("schedules", "GET", false) => "ListSchedules",
        ("schedule-groups", "POST", true) => "CreateScheduleGroup",
        ("schedule-groups", "GET", true) => "GetScheduleGroup",
        ("schedule-groups", "DELETE", true) => "DeleteScheduleGroup",
        ("schedule-groups", "GET", false) => "ListScheduleGroups",
        _ => return None,
    };
    Some((Service::Scheduler, operation, name.unwrap_or_default()))
}

/// `AWS4-HMAC-SHA256 Credential=ID/20260101/eu-central-1/batch/aws4_request, ...`.
fn scope(authorization: &str) -> Option<Scope> {
    let rest = authorization.strip_prefix("AWS4-HMAC-SHA256")?;
    let credential = rest
        .split(',')
        .find_map(|part| part.trim().strip_prefix("Credential="))?;
    let mut parts = credential.split('/');
    let (key_id, _day, region, service) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some(Scope {
        key_id: key_id.to_owned(),
        region: region.to_owned(),
        service: service.to_owned(),
    })
}

fn json(body: &[u8]) -> Result<Value, Refused> {
    if body.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let value: Value = serde_json::from_slice(body).map_err(|_| unparsed("JSON"))?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(unparsed("JSON"))
    }
}

/// Pairs of a form or a query string.
fn pairs(text: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(text)
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect()
}

/// Percent signs of a path.
fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}
