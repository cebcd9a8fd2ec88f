//! The services as a client sees them, request by request.

use axum::body::Body;
use axum::http::Request;
use axum::http::StatusCode;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::sandbox::state::Options;
use crate::simulate::scenario::Scenario;
use crate::simulate::view::ViewModel;
use crate::trace::Trace;
use crate::units::Time;

mod around;
mod bad_input;
mod batch;
mod others;
mod replay;

const NOW: Time = Time::from_seconds(1_767_258_000);
const TOKEN: &str = "secret";
const REGION: &str = "eu-central-1";

/// A scenario without chance: one On-Demand environment of m6i and two queues.
const SCENARIO: &str = r#"
version = 1
model = "recent"

[model_overrides]
decision_delay = "5s"
pending = "10s"
boot_on_demand = "60s"
boot_spot = "60s"
dispatch = "5s"
pull = "0s"
container_start = "1s"
min_raise_delay = "5s"
updating = "10s"
idle_on_demand = "60s"
idle_spot = "60s"

[[account.quotas]]
code = "L-1216C47A"
limit_vcpus = 400
used_by_others_vcpus = 40

[[environments]]
name = "on-demand"
max_vcpus = 256
instance_types = ["m6i"]
tags = { autotune = "enabled" }

[[environments]]
name = "spot"
purchase = "spot"
max_vcpus = 128
instance_types = ["c6i"]

[[queues]]
name = "q"
environments = ["on-demand"]

[[queues]]
name = "spot-q"
priority = 5
environments = ["spot", "on-demand"]
"#;

/// A client of a simulated account whose time stands still unless it is asked to pass.
struct Client {
    router: Router,
    account: Account,
}

impl Client {
    fn of(scenario: &str, trace: Trace) -> Self {
        let options = Options {
            scenario: Scenario::from_toml("scenario.toml", scenario).unwrap(),
            trace,
            seed: 7,
            account: "111122223333".to_owned(),
            region: REGION.to_owned(),
            view: ViewModel {
                hints_lost_permille: 0,
                hints_doubled_permille: 0,
                sqs_error_permille: 0,
                ..ViewModel::recent()
            },
            idle_from: NOW,
        };
        let account = Account::begin(options, 0).unwrap();
        Self {
            router: router(account.clone(), TOKEN),
            account,
        }
    }

    fn new() -> Self {
        Self::of(SCENARIO, Trace::default())
    }

    async fn pass(&self, seconds: i64) {
        self.account.skip(Span::from_seconds(seconds)).await.unwrap();
    }

    /// Status, error type or content type, and body.
    async fn raw(&self, request: Request<Body>) -> (StatusCode, String, Vec<u8>) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let kind = ["x-amzn-errortype", "content-type"];
        let kind = kind.iter().find_map(|name| response.headers().get(*name));
        let kind = kind.map(|kind| kind.to_str().unwrap().to_owned()).unwrap_or_default();
        let body = axum::body::to_bytes(response.into_body(), 10 << 20).await.unwrap();
        (status, kind, body.to_vec())
    }

    fn request(service: &str, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Request<Body> {
        let credential = format!("{ACCESS_KEY_ID}/20260101/{REGION}/{service}/aws4_request");
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "127.0.0.1:4566")
            .header(
                "authorization",
                format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"),
            );
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::from(body)).unwrap()
    }

    async fn json(&self, request: Request<Body>) -> Result<Value, (u16, String, String)> {
        let (status, kind, body) = self.raw(request).await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        if status.is_success() {
            return Ok(body);
        }
        let code = body.get("__type").and_then(Value::as_str).map_or(kind, str::to_owned);
        let message = body["message"].as_str().unwrap_or_default().to_owned();
        Err((status.as_u16(), code, message))
    }

    /// REST-JSON.
    async fn batch(&self, operation: &str, input: Value) -> Result<Value, (u16, String, String)> {
        let path = format!("/v1/{}", operation.to_lowercase());
        let body = input.to_string().into_bytes();
        self.json(Self::request("batch", "POST", &path, &[], body)).await
    }

    /// JSON with a target.
    async fn target(&self, target: &str, input: Value) -> Result<Value, (u16, String, String)> {
        let headers = [("x-amz-target", target), ("content-type", "application/x-amz-json-1.1")];
        let body = input.to_string().into_bytes();
        self.json(Self::request("any", "POST", "/", &headers, body)).await
    }

    async fn sqs(&self, operation: &str, input: Value) -> Result<Value, (u16, String, String)> {
        self.target(&format!("AmazonSQS.{operation}"), input).await
    }

    async fn admin(&self, method: &str, path: &str, input: Option<Value>) -> (StatusCode, Value) {
        let body = input.map(|input| input.to_string().into_bytes()).unwrap_or_default();
        let path = format!("/_autotune/{path}");
        let request = Self::request("none", method, &path, &[("x-autotune-token", TOKEN)], body);
        let (status, _, body) = self.raw(request).await;
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn submit(&self, more: Value) -> String {
        let mut input = json!({"jobName": "job", "jobQueue": "q", "jobDefinition": "sleep"});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = self.batch("SubmitJob", input).await.unwrap();
        answer["jobId"].as_str().unwrap().to_owned()
    }

    async fn status(&self, id: &str) -> String {
        let told = self.batch("DescribeJobs", json!({"jobs": [id]})).await.unwrap();
        told["jobs"][0]["status"].as_str().unwrap_or("none").to_owned()
    }

    async fn environment(&self, name: &str) -> Value {
        let told = self.batch("DescribeComputeEnvironments", json!({"computeEnvironments": [name]}));
        told.await.unwrap()["computeEnvironments"][0].clone()
    }
}
