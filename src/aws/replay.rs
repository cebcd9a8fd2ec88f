//! For tests: an account that gives recorded replies in their order and keeps what it was asked.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use base64::Engine as _;
use serde_json::Value;

use crate::aws::{Aws, AwsSettings, GuardSettings, retries};

/// What was asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) body: Value,
    /// The body of a service that does not speak JSON.
    pub(super) text: String,
}

impl Asked {
    /// The operation, by the name that the service model has for it.
    pub(super) fn operation(&self) -> String {
        let last = |text: &str, of: char| text.rsplit(of).next().unwrap_or_default().to_owned();
        if let Some((_, rest)) = self.text.split_once("Action=") {
            return rest.split('&').next().unwrap_or_default().to_owned();
        }
        let path = self.path.split('?').next().unwrap_or_default();
        if path.contains("/operation/") {
            return last(path, '/');
        }
        let known = |(start, method, operation): &(&str, &str, &'static str)| {
            (path.starts_with(start) && self.method == *method).then_some(*operation)
        };
        if let Some(operation) = REST.iter().find_map(known) {
            return operation.to_owned();
        }
        last(path, '.')
    }
}

/// Beginning of the path, method, operation: of services that have neither a target nor an action.
const REST: &[(&str, &str, &str)] = &[
    ("/v1/describecomputeenvironments", "POST", "DescribeComputeEnvironments"),
    ("/v1/describejobdefinitions", "POST", "DescribeJobDefinitions"),
    ("/v1/describejobqueues", "POST", "DescribeJobQueues"),
    ("/v1/describejobs", "POST", "DescribeJobs"),
    ("/v1/describeschedulingpolicies", "POST", "DescribeSchedulingPolicies"),
    ("/v1/getjobqueuesnapshot", "POST", "GetJobQueueSnapshot"),
    ("/v1/listjobs", "POST", "ListJobs"),
    ("/v1/tags/", "POST", "TagResource"),
    ("/v1/tags/", "DELETE", "UntagResource"),
    ("/v1/updatecomputeenvironment", "POST", "UpdateComputeEnvironment"),
    ("/schedule-groups/", "GET", "GetScheduleGroup"),
    ("/schedules/", "GET", "GetSchedule"),
    ("/schedules/", "POST", "CreateSchedule"),
    ("/schedules/", "PUT", "UpdateSchedule"),
    ("/schedules/", "DELETE", "DeleteSchedule"),
    ("/schedules", "GET", "ListSchedules"),
];

/// What to answer.
pub(super) enum Reply {
    /// A file of `tests/aws/replies`.
    File(&'static str),
    /// A body as it is, for the services that speak XML.
    Text(&'static str),
    /// The same, put together.
    Made(String),
    /// An error: HTTP status, code, message.
    Error(u16, &'static str, &'static str),
    /// The connection breaks.
    Lost,
}

/// Status, the header with the error's code, and the body; `None` breaks the connection.
type Encoded = Option<(u16, String, Vec<u8>)>;

#[derive(Clone)]
struct Answering(Arc<dyn Fn(&Asked) -> Reply + Send + Sync>);

impl std::fmt::Debug for Answering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answering")
    }
}

#[derive(Clone, Debug)]
pub(super) struct Replay {
    replies: Arc<Mutex<VecDeque<Encoded>>>,
    /// Instead of replies in their order.
    answer: Option<Answering>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Replay {
    /// An account with a guard and an events queue that answers so.
    pub(super) fn account(replies: &[Reply]) -> (Aws, Self) {
        Self {
            replies: Arc::new(Mutex::new(replies.iter().map(encode).collect())),
            answer: None,
            asked: Arc::default(),
        }
        .connect()
    }

    /// The same, with answers that depend on what is asked.
    pub(super) fn answering(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> (Aws, Self) {
        Self {
            replies: Arc::default(),
            answer: Some(Answering(Arc::new(answer))),
            asked: Arc::default(),
        }
        .connect()
    }

    fn connect(self) -> (Aws, Self) {
        let keys = Credentials::builder()
            .access_key_id("AKIDTEST")
            .secret_access_key("secret")
            .provider_name("tests")
            .build();
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(SharedCredentialsProvider::new(keys))
            .http_client(self.clone())
            // As always, but without the pauses.
            .retry_config(retries().with_initial_backoff(Duration::from_nanos(1)))
            .build();
        let settings = AwsSettings {
            events_queue_url: Some("https://sqs.eu-central-1.amazonaws.com/111122223333/events".to_owned()),
            guard: Some(GuardSettings {
                group: "autotune".to_owned(),
                role_arn: "arn:aws:iam::111122223333:role/autotune-guard".to_owned(),
            }),
            leadership_table: Some("autotune".to_owned()),
            ..AwsSettings::default()
        };
        (Aws::new(&sdk, &settings).unwrap(), self)
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn encode(reply: &Reply) -> Encoded {
    match reply {
        Reply::File(name) => {
            let file = file("replies", name);
            let reply = &file["reply"];
            let bytes = if file["service"] == "cloudwatch" {
                let mut bytes = Vec::new();
                cbor("", reply, &mut bytes);
                bytes
            } else {
                reply.to_string().into_bytes()
            };
            Some((200, String::new(), bytes))
        }
        Reply::Text(text) => Some((200, String::new(), text.as_bytes().to_vec())),
        Reply::Made(text) => Some((200, String::new(), text.as_bytes().to_vec())),
        Reply::Error(status, code, message) => {
            let body = serde_json::json!({"__type": code, "message": message});
            Some((*status, (*code).to_owned(), body.to_string().into_bytes()))
        }
        Reply::Lost => None,
    }
}

/// A file of `tests/aws`, which `tests/aws/model.py` checks against the service model.
pub(super) fn file(folder: &str, name: &str) -> Value {
    let path = format!("{}/tests/aws/{folder}/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A recorded reply as EC2 writes it.
pub(super) fn ec2_xml(name: &str) -> String {
    let file = file("replies", name);
    let operation = file["operation"].as_str().unwrap_or_default();
    format!(
        "<{operation}Response>{}</{operation}Response>",
        ec2_members(&file["reply"])
    )
}

/// A recorded reply as services write it that speak the query protocol.
pub(super) fn query_xml(name: &str) -> String {
    let file = file("replies", name);
    let operation = file["operation"].as_str().unwrap_or_default();
    let members = query_members(&file["reply"]);
    format!("<{operation}Response><{operation}Result>{members}</{operation}Result></{operation}Response>")
}

fn query_members(value: &Value) -> String {
    match value {
        Value::Object(fields) => fields.iter().fold(String::new(), |text, (name, value)| {
            text + &format!("<{name}>{}</{name}>", query_members(value))
        }),
        Value::Array(items) => items.iter().fold(String::new(), |text, item| {
            text + &format!("<member>{}</member>", query_members(item))
        }),
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn ec2_members(value: &Value) -> String {
    let Value::Object(fields) = value else {
        return value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    };
    let spelled = |name: &str| match name {
        "Reservations" => "reservationSet".to_owned(),
        "Instances" => "instancesSet".to_owned(),
        "State" => "instanceState".to_owned(),
        "SpotFleetRequestConfigs" => "spotFleetRequestConfigSet".to_owned(),
        "SpotPriceHistory" => "spotPriceHistorySet".to_owned(),
        "HistoryRecords" => "historyRecordSet".to_owned(),
        other => other[..1].to_lowercase() + &other[1..],
    };
    let field = |text: String, (name, value): (&String, &Value)| {
        let name = spelled(name);
        let inner = match value {
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(ec2_members).collect();
                format!("<item>{}</item>", items.join("</item><item>"))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => ec2_members(value),
        };
        text + &format!("<{name}>{inner}</{name}>")
    };
    fields.iter().fold(String::new(), field)
}

/// The part of CBOR that CloudWatch's replies need; a number under `Timestamp` is a time.
fn cbor(key: &str, value: &Value, into: &mut Vec<u8>) {
    let head = |major: u8, length: usize, into: &mut Vec<u8>| {
        into.push((major << 5) | 0x1a);
        into.extend(u32::try_from(length).unwrap().to_be_bytes());
    };
    match value {
        Value::Number(number) => {
            if key == "Timestamp" {
                into.push(0xc1);
            }
            into.push(0xfb);
            into.extend(number.as_f64().unwrap().to_be_bytes());
        }
        Value::String(text) => {
            head(3, text.len(), into);
            into.extend(text.as_bytes());
        }
        Value::Array(values) => {
            head(4, values.len(), into);
            for value in values {
                cbor("", value, into);
            }
        }
        Value::Object(fields) => {
            head(5, fields.len(), into);
            for (key, value) in fields {
                head(3, key.len(), into);
                into.extend(key.as_bytes());
                cbor(key, value, into);
            }
        }
        Value::Null => into.push(0xf6),
        Value::Bool(is) => into.push(if *is { 0xf5 } else { 0xf4 }),
    }
}

/// SQS tells besides what its older protocol called an error, and clients go by that.
pub(super) fn older_name(code: &str) -> String {
    match code {
        "KmsAccessDenied" => "KMS.AccessDeniedException".to_owned(),
        "KmsThrottled" => "KMS.ThrottlingException".to_owned(),
        "KmsOptInRequired" => "KMS.OptInRequired".to_owned(),
        "KmsDisabled" | "KmsInvalidState" | "KmsInvalidKeyUsage" | "KmsNotFound" => {
            format!("KMS.{}Exception", &code[3..])
        }
        "QueueDoesNotExist" => "AWS.SimpleQueueService.NonExistentQueue".to_owned(),
        "BatchEntryIdsNotDistinct"
        | "EmptyBatchRequest"
        | "InvalidBatchEntryId"
        | "TooManyEntriesInBatchRequest"
        | "UnsupportedOperation" => format!("AWS.SimpleQueueService.{code}"),
        _ => code.to_owned(),
    }
}

/// Services of the query protocols write their errors in XML, CloudWatch in CBOR.
fn spoken(asked: &Asked, (status, code, body): (u16, String, Vec<u8>)) -> (u16, String, Vec<u8>) {
    if code.is_empty() {
        return (status, code, body);
    }
    let told: Value = serde_json::from_slice(&body).unwrap();
    if asked.path.contains("/operation/") {
        let mut body = Vec::new();
        cbor("", &told, &mut body);
        return (status, String::new(), body);
    }
    if !asked.text.contains("Action=") {
        return (status, code, body);
    }
    let error = format!(
        "<Error><Code>{code}</Code><Message>{}</Message></Error>",
        told["message"].as_str().unwrap()
    );
    let text = if asked.text.contains("Version=2016-11-15") {
        format!("<Response><Errors>{error}</Errors><RequestID>r</RequestID></Response>")
    } else {
        format!("<ErrorResponse>{error}<RequestId>r</RequestId></ErrorResponse>")
    };
    (status, String::new(), text.into_bytes())
}

/// Writes a request and its answer, one line each, to the file that tests/run names: `tests/aws/model.py --asked` compares them with the service models.
#[expect(clippy::disallowed_methods, reason = "the test command says where")]
fn note(request: &HttpRequest, reply: Option<&(u16, String, Vec<u8>)>) {
    let Ok(path) = std::env::var("AUTOTUNE_TEST_ASKED") else {
        return;
    };
    let packed = |body: &[u8]| base64::prelude::BASE64_STANDARD.encode(body);
    let asked = serde_json::json!({
        "method": request.method(),
        "uri": request.uri(),
        "target": request.headers().get("x-amz-target"),
        "body": packed(request.body().bytes().unwrap_or_default()),
        "status": reply.map(|(status, ..)| status),
        "reply": reply.map(|(.., body)| packed(body)),
    });
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    // One write: tests run side by side.
    file.unwrap().write_all(format!("{asked}\n").as_bytes()).unwrap();
}

impl HttpConnector for Replay {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = request.body().bytes().unwrap_or_default();
        let path = request.uri().split("amazonaws.com").nth(1).unwrap_or_default();
        let target = request.headers().get("x-amz-target");
        let asked = Asked {
            method: request.method().to_owned(),
            path: target.unwrap_or(path).to_owned(),
            body: serde_json::from_slice(body).unwrap_or(Value::Null),
            text: String::from_utf8_lossy(body).into_owned(),
        };
        let reply = if let Some(Answering(answer)) = &self.answer {
            encode(&answer(&asked))
        } else {
            let next = self.replies.lock().unwrap().pop_front();
            next.expect("more requests than replies")
        };
        let reply = reply.map(|reply| spoken(&asked, reply));
        note(&request, reply.as_ref());
        self.asked.lock().unwrap().push(asked);
        HttpConnectorFuture::ready(match reply {
            Some((status, code, body)) => {
                let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
                // CloudWatch's protocol looks for its name in the answer.
                response.headers_mut().insert("smithy-protocol", "rpc-v2-cbor");
                if !code.is_empty() && target.is_some_and(|target| target.starts_with("AmazonSQS.")) {
                    let older = format!("{};Sender", older_name(&code));
                    response.headers_mut().insert("x-amzn-query-error", older);
                }
                if !code.is_empty() {
                    response.headers_mut().insert("x-amzn-errortype", code);
                }
                Ok(response)
            }
            None => Err(ConnectorError::io("connection reset".into())),
        })
    }
}

impl HttpClient for Replay {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}
