//! An account on loopback that never changes: as many queues, environments and jobs as asked for, and wake-ups on demand. It
//! answers what the daemon asks, counts it, and takes no notice of anything else.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// As many jobs as a page of ListJobs holds.
const PAGE: usize = 1000;
const ARN: &str = "arn:aws:batch:eu-central-1:123456789012";

/// How large the account is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) queues: usize,
    pub(crate) environments: usize,
    /// RUNNABLE jobs of each queue.
    pub(crate) runnable: usize,
    /// RUNNING jobs of each queue.
    pub(crate) running: usize,
}

/// The account, and what was asked of it.
#[derive(Debug)]
pub(crate) struct Account {
    size: Size,
    pub(crate) address: SocketAddr,
    asked: Mutex<BTreeMap<String, u64>>,
    /// Per queue: when its jobs were last asked for.
    listed: Mutex<BTreeMap<String, Instant>>,
    events: Mutex<Vec<String>>,
    told: Notify,
}

impl Account {
    /// Serves until the process ends.
    pub(crate) fn serve(size: Size) -> Arc<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let account = Arc::new(Self {
            size,
            address: listener.local_addr().unwrap(),
            asked: Mutex::default(),
            listed: Mutex::default(),
            events: Mutex::default(),
            told: Notify::new(),
        });
        let shared = Arc::clone(&account);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let router = Router::new().fallback(answer).with_state(shared);
                axum::serve(listener, router).await.unwrap();
            });
        });
        account
    }

    /// Requests so far, but for the long polls.
    pub(crate) fn asked(&self) -> u64 {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|(name, _)| *name != "ReceiveMessage")
            .map(|(_, count)| count)
            .sum()
    }

    /// Requests so far of one operation.
    pub(crate) fn asked_for(&self, operation: &str) -> u64 {
        self.asked.lock().unwrap().get(operation).copied().unwrap_or(0)
    }

    /// When a queue's jobs were last asked for.
    pub(crate) fn listed(&self, queue: &str) -> Option<Instant> {
        self.listed.lock().unwrap().get(queue).copied()
    }

    /// EventBridge tells that a job of the queue became RUNNABLE.
    pub(crate) fn tell(&self, queue: &str, job: usize) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let at = jiff::Timestamp::from_second(i64::try_from(now.as_secs()).unwrap()).unwrap();
        let event = json!({
            "source": "aws.batch", "detail-type": "Batch Job State Change", "time": at.to_string(),
            "detail": {
                "jobId": format!("told-{queue}-{job}"), "jobName": "told", "status": "RUNNABLE",
                "jobQueue": format!("{ARN}:job-queue/{queue}"), "createdAt": 1_782_000_000_000_i64,
                "container": {"resourceRequirements": [{"type": "VCPU", "value": "2"}, {"type": "MEMORY", "value": "4096"}]},
            },
        });
        self.events.lock().unwrap().push(event.to_string());
        self.told.notify_one();
    }

    fn environments(&self) -> Value {
        let one = |at: usize| {
            json!({
                "computeEnvironmentName": format!("environment-{at}"),
                "computeEnvironmentArn": format!("{ARN}:compute-environment/environment-{at}"),
                "type": "MANAGED", "state": "ENABLED", "status": "VALID", "containerOrchestrationType": "ECS",
                "ecsClusterArn": format!("arn:aws:ecs:eu-central-1:123456789012:cluster/environment-{at}"),
                "tags": {"autotune": "enabled"},
                "computeResources": {
                    "type": if at.is_multiple_of(2) { "SPOT" } else { "EC2" }, "minvCpus": 0, "maxvCpus": 10_000_000,
                    "desiredvCpus": 64, "instanceTypes": ["c5", "m5"], "subnets": ["subnet-1"],
                },
            })
        };
        json!({"computeEnvironments": (0..self.size.environments).map(one).collect::<Vec<_>>()})
    }

    fn queues(&self) -> Value {
        let one = |at: usize| {
            let order = (0..2).map(|order| {
                let environment = (at * 2 + order) % self.size.environments;
                json!({"order": order, "computeEnvironment": format!("{ARN}:compute-environment/environment-{environment}")})
            });
            json!({
                "jobQueueName": format!("queue-{at}"), "jobQueueArn": format!("{ARN}:job-queue/queue-{at}"),
                "state": "ENABLED", "status": "VALID", "priority": 1, "tags": {},
                "computeEnvironmentOrder": order.collect::<Vec<_>>(),
            })
        };
        json!({"jobQueues": (0..self.size.queues).map(one).collect::<Vec<_>>()})
    }

    /// A page as the service writes it; its token is the number of its first job.
    fn jobs(&self, asked: &Value) -> String {
        let queue = asked["jobQueue"].as_str().unwrap_or_default();
        self.listed.lock().unwrap().insert(queue.to_owned(), Instant::now());
        let status = asked["jobStatus"].as_str().unwrap_or_default();
        let jobs = match status {
            "RUNNABLE" => self.size.runnable,
            "RUNNING" => self.size.running,
            _ => 0,
        };
        let from: usize = asked["nextToken"].as_str().map_or(0, |token| token.parse().unwrap());
        let to = jobs.min(from + PAGE);
        let mut page = String::from("{\"jobSummaryList\":[");
        for job in from..to {
            let comma = if job == from { "" } else { "," };
            let id = format!("{job:08}-aaaa-bbbb-cccc-{queue}-{status}");
            let _ = write!(
                page,
                "{comma}{{\"jobArn\":\"{ARN}:job/{id}\",\"jobId\":\"{id}\",\"jobName\":\"sample-{job}\",\"jobDefinition\":\
                 \"{ARN}:job-definition/align:3\",\"createdAt\":1782000000000,\"status\":\"{status}\",\"container\":{{}},\
                 \"capacityUsage\":[{{\"capacityUnit\":\"VCPU\",\"quantity\":2.0}}]}}"
            );
        }
        page.push(']');
        if to < jobs {
            let _ = write!(page, ",\"nextToken\":\"{to}\"");
        }
        page.push('}');
        page
    }

    /// Waits for events as long as asked to.
    async fn messages(&self, asked: &Value) -> Value {
        let until = Instant::now() + Duration::from_secs(asked["WaitTimeSeconds"].as_u64().unwrap_or(0));
        loop {
            let told = self.told.notified();
            let events: Vec<String> = {
                let mut waiting = self.events.lock().unwrap();
                let count = waiting.len().min(10);
                waiting.drain(..count).collect()
            };
            if !events.is_empty() || Instant::now() >= until {
                let one =
                    |(at, body)| json!({"MessageId": format!("{at}"), "ReceiptHandle": format!("r{at}"), "Body": body});
                return json!({"Messages": events.into_iter().enumerate().map(one).collect::<Vec<_>>()});
            }
            let _ = tokio::time::timeout(until.saturating_duration_since(Instant::now()), told).await;
        }
    }
}

fn describe_jobs(asked: &Value) -> Value {
    let one = |id: &Value| {
        json!({
            "jobId": id, "jobName": "sample", "jobQueue": "q", "status": "RUNNABLE", "startedAt": 0, "jobDefinition": "align",
            "container": {"resourceRequirements": [{"type": "VCPU", "value": "2"}, {"type": "MEMORY", "value": "4096"}]},
        })
    };
    json!({"jobs": asked["jobs"].as_array().unwrap().iter().map(one).collect::<Vec<_>>()})
}

async fn answer(State(account): State<Arc<Account>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let operation = match target {
        Some(target) => target.rsplit('.').next().unwrap_or_default().to_owned(),
        None => uri.path().trim_start_matches("/v1/").to_owned(),
    };
    *account.asked.lock().unwrap().entry(operation.clone()).or_default() += 1;
    let asked: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let value = match operation.as_str() {
        "/" => {
            let form = String::from_utf8_lossy(&body);
            let action = form.split('&').find_map(|pair| pair.strip_prefix("Action="));
            if let Some(action) = action.filter(|action| action.starts_with("Describe")) {
                // There is nothing of what is asked for.
                let nothing = format!("<{action}Response><{action}Result/></{action}Response>");
                return ([(header::CONTENT_TYPE, "text/xml")], nothing).into_response();
            }
            let identity = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
                            <Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";
            return ([(header::CONTENT_TYPE, "text/xml")], identity).into_response();
        }
        "describecomputeenvironments" => account.environments(),
        "describejobqueues" => account.queues(),
        "describejobs" => describe_jobs(&asked),
        "getjobqueuesnapshot" => json!({"frontOfQueue": {"jobs": []}}),
        "listjobs" => return ([(header::CONTENT_TYPE, "application/json")], account.jobs(&asked)).into_response(),
        "ListContainerInstances" => json!({"containerInstanceArns": []}),
        "ReceiveMessage" => account.messages(&asked).await,
        "DeleteMessageBatch" => json!({"Successful": [], "Failed": []}),
        "GetServiceQuota" => json!({"Quota": {"QuotaCode": asked["QuotaCode"], "Value": 100_000_000.0}}),
        _ => return (StatusCode::BAD_REQUEST, "{\"__type\":\"UnknownOperationException\"}").into_response(),
    };
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
