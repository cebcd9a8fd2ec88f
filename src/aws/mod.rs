//! The real [`Cloud`]: an account of AWS through the Rust SDK, one file per subject. Nothing here decides anything: it reads,
//! sends what it is told, and says in whose words something went wrong. The only room that names a crate of AWS.
//!
//! Every request has three bounds: 3 s to connect, 5 s an attempt, 12 s with all attempts; a reading of many pages is as many
//! requests. Only the long poll for hints waits longer, because waiting is what it is for.

mod calls;
mod environments;
mod errors;
mod events;
mod fleets;
mod guard;
mod hints;
mod instances;
mod jobs;
mod launches;
mod leadership;
mod prices;
mod quota;
#[cfg(test)]
mod replay;
mod send;
mod shared;
mod size;
mod sqs;
mod survey;
#[cfg(test)]
mod tests;
mod topology;
mod uses;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_smithy_http_client::ConnectorBuilder;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use tokio::sync::Semaphore;

use crate::account::Topology;
use crate::account::survey::Survey;
use crate::clock::Clock;
use crate::daemon::cloud::{
    Answer, Cloud, EnvironmentRead, FailedLaunch, Head, Hint, Identity, NamedGuard, Page, Principal, QueueRead,
    QuotaRead, Read, Tagged,
};
use crate::jobs::{JobDescribed, JobStatus};
use crate::observation::{InstancesNow, SqsNow};
use crate::planner::plan::Change;
use crate::units::{MicroUsd, Span, Time};

use calls::Calls;
use errors::{failed, unread};
use fleets::Fleet;
use shared::Shared;
use uses::InUse;

/// Long enough for any connection that will come about, short enough for three attempts.
const CONNECT: Duration = Duration::from_secs(3);
/// One attempt: AWS answers these calls within a second or two, or not in time.
const ATTEMPT: Duration = Duration::from_secs(5);
/// All attempts with their pauses: the controller counts on a request to be over after 15 s.
const OPERATION: Duration = Duration::from_secs(12);
/// Attempts of everything but updates, within the SDK's own budget for retries.
const ATTEMPTS: u32 = 3;

/// Pages of jobs that are read at once, over all queues: a page of a thousand jobs takes megabytes while it is taken apart.
const PAGES_AT_ONCE: usize = 2;

/// What is needed to reach an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsSettings {
    /// The region; `None`: what the profile or the environment says.
    pub region: Option<String>,
    /// The profile of the shared configuration; `None`: the default chain of credentials.
    pub profile: Option<String>,
    /// Key id and secret of a simulated account, instead of any other credentials.
    pub simulated_keys: Option<(&'static str, &'static str)>,
    /// Where all services are found instead, for a simulated account.
    pub endpoint_url: Option<String>,
    /// The SQS queue that EventBridge feeds with wake-ups.
    pub events_queue_url: Option<String>,
    /// What the guards of the account are made with; `None`: there are none.
    pub guard: Option<GuardSettings>,
    /// The DynamoDB table in which processes agree on who writes; `None`: this one is alone.
    pub leadership_table: Option<String>,
}

/// What the guards are made with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuardSettings {
    /// The EventBridge Scheduler group that holds the schedules; must exist.
    pub group: String,
    /// The role that EventBridge Scheduler assumes to update the environments.
    pub role_arn: String,
}

/// An account of AWS.
#[derive(Debug)]
pub struct Aws {
    settings: AwsSettings,
    region: String,
    autoscaling: aws_sdk_autoscaling::Client,
    batch: aws_sdk_batch::Client,
    /// For updates: one attempt, because an answer that was lost may have been a yes.
    batch_once: aws_sdk_batch::Client,
    cloudtrail: aws_sdk_cloudtrail::Client,
    cloudwatch: aws_sdk_cloudwatch::Client,
    dynamodb: aws_sdk_dynamodb::Client,
    ec2: aws_sdk_ec2::Client,
    ecs: aws_sdk_ecs::Client,
    eventbridge: aws_sdk_eventbridge::Client,
    iam: aws_sdk_iam::Client,
    scheduler: aws_sdk_scheduler::Client,
    quotas: aws_sdk_servicequotas::Client,
    sqs: aws_sdk_sqs::Client,
    sts: aws_sdk_sts::Client,
    calls: Calls,
    /// Where the time comes from: metrics are asked for up to now.
    clock: Clock,
    /// Wake-ups could not be deleted when that was last tried.
    hints_stay: AtomicBool,
    /// Turns to read a page of jobs.
    pages: Semaphore,
    /// URLs of SQS queues by name.
    sqs_urls: Mutex<BTreeMap<String, String>>,
    /// EC2 instances by ECS cluster, as they were last read.
    instances: Mutex<BTreeMap<String, BTreeSet<String>>>,
    /// Auto Scaling groups that AWS Batch made, as they were last listed.
    groups: Shared<Arc<Vec<String>>>,
    /// Spot fleets.
    fleets: Shared<Arc<Vec<Fleet>>>,
    /// What instances use of service quotas.
    in_use: Shared<Arc<InUse>>,
}

/// A client of one service whose attempts are counted.
macro_rules! client {
    ($service:ident, $sdk:expr, $calls:expr) => {
        $service::Client::from_conf(
            $service::config::Builder::from($sdk)
                .interceptor($calls.clone())
                .build(),
        )
    };
}

impl Aws {
    /// Reads the configuration and the credentials' whereabouts; makes no call yet. Fails where no region is named.
    pub async fn connect(settings: &AwsSettings) -> Read<Self> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(retries())
            .http_client(http_client());
        if let Some(region) = &settings.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &settings.profile {
            loader = loader.profile_name(profile);
        }
        if let Some((id, secret)) = settings.simulated_keys {
            loader = loader.credentials_provider(Credentials::new(id, secret, None, None, "simulated"));
        }
        if let Some(url) = &settings.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        Self::new(&loader.load().await, settings)
    }

    fn new(sdk: &SdkConfig, settings: &AwsSettings) -> Read<Self> {
        let Some(region) = sdk.region().map(ToString::to_string) else {
            return Err(failed(
                "no region is named; hint: set `region` in the settings, AWS_REGION, or the profile's region",
            ));
        };
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(OPERATION)
            .build();
        let sdk = sdk.to_builder().timeout_config(timeouts).build();
        let once = sdk.to_builder().retry_config(RetryConfig::disabled()).build();
        let calls = Calls::default();
        Ok(Self {
            settings: settings.clone(),
            region,
            autoscaling: client!(aws_sdk_autoscaling, &sdk, calls),
            batch: client!(aws_sdk_batch, &sdk, calls),
            batch_once: client!(aws_sdk_batch, &once, calls),
            cloudtrail: client!(aws_sdk_cloudtrail, &sdk, calls),
            cloudwatch: client!(aws_sdk_cloudwatch, &sdk, calls),
            dynamodb: client!(aws_sdk_dynamodb, &sdk, calls),
            ec2: client!(aws_sdk_ec2, &sdk, calls),
            ecs: client!(aws_sdk_ecs, &sdk, calls),
            eventbridge: client!(aws_sdk_eventbridge, &sdk, calls),
            iam: client!(aws_sdk_iam, &sdk, calls),
            scheduler: client!(aws_sdk_scheduler, &sdk, calls),
            quotas: client!(aws_sdk_servicequotas, &sdk, calls),
            sqs: client!(aws_sdk_sqs, &sdk, calls),
            sts: client!(aws_sdk_sts, &sdk, calls),
            calls,
            clock: Clock::Wall,
            hints_stay: AtomicBool::new(false),
            pages: Semaphore::new(PAGES_AT_ONCE),
            sqs_urls: Mutex::default(),
            instances: Mutex::default(),
            groups: Shared::default(),
            fleets: Shared::default(),
            in_use: Shared::default(),
        })
    }

    /// As it is, by this clock: that of a simulated account. Signatures and deadlines stay with the time of this machine.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    async fn who(&self) -> Read<Identity> {
        let answer = self.sts.get_caller_identity().send().await;
        let answer = answer.map_err(|e| unread("sts:GetCallerIdentity", &e))?;
        let account = answer.account.unwrap_or_default();
        Ok(Identity {
            account,
            region: self.region.clone(),
        })
    }
}

/// One for all services: each client would otherwise hold connections and a store of root certificates of its own. Proxies are
/// those of the process environment, as in the SDK's own.
fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector = ConnectorBuilder::default().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.set_proxy_config(Some(ProxyConfig::from_env()));
        connector.build()
    })
}

/// Named here and not left to the profile: the deadlines above count on it.
fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS)
}

impl Cloud for Aws {
    async fn identity(&self) -> Read<Identity> {
        self.who().await
    }

    async fn topology(&self) -> Read<Topology> {
        self.forget_groups();
        self.read_topology().await
    }

    async fn environments(&self, names: &[String]) -> Read<Vec<EnvironmentRead>> {
        self.read_environments(names).await
    }

    async fn queues(&self, names: &[String]) -> Read<Vec<QueueRead>> {
        self.read_queues(names).await
    }

    async fn list_jobs(&self, queue: &str, status: JobStatus, page: Option<String>) -> Read<Page> {
        let _turn = self.pages.acquire().await;
        let call = self.batch.list_jobs().job_queue(queue);
        jobs::list(call, status, page).await
    }

    async fn list_children(&self, parent: &str, status: JobStatus, page: Option<String>) -> Read<Page> {
        let _turn = self.pages.acquire().await;
        let call = self.batch.list_jobs().array_job_id(parent);
        jobs::list(call, status, page).await
    }

    async fn list_created(&self, queue: &str, after: Time, page: Option<String>) -> Read<Page> {
        let _turn = self.pages.acquire().await;
        let call = self.batch.list_jobs().job_queue(queue);
        jobs::list_created(call, after, page).await
    }

    async fn describe_jobs(&self, ids: &[String]) -> Read<Vec<JobDescribed>> {
        self.read_jobs(ids).await
    }

    async fn head(&self, queue: &str) -> Read<Option<Head>> {
        self.read_head(queue).await
    }

    async fn instances(&self, environment: &EnvironmentRead) -> Read<InstancesNow> {
        self.read_instances(environment).await
    }

    async fn failed_launches(&self, environment: &EnvironmentRead, since: Time) -> Read<Vec<FailedLaunch>> {
        self.read_failed_launches(environment, since).await
    }

    async fn messages(&self, sqs: &str) -> Read<SqsNow> {
        self.read_messages(sqs).await
    }

    async fn oldest_message(&self, sqs: &str) -> Read<Option<Span>> {
        self.read_oldest(sqs).await
    }

    async fn quota(&self, code: &str) -> Read<QuotaRead> {
        self.read_quota(code).await
    }

    async fn spot_prices(&self, types: &[String]) -> Read<BTreeMap<String, MicroUsd>> {
        self.read_spot_prices(types).await
    }

    async fn send(&self, environment: &str, change: &Change) -> Answer {
        self.update(environment, change).await
    }

    async fn arm(&self, guard: &NamedGuard) -> Read<()> {
        self.set_guard(guard).await
    }

    async fn disarm(&self, environment: &str) -> Read<()> {
        self.remove_guard(environment).await
    }

    async fn guards(&self) -> Read<Vec<NamedGuard>> {
        self.read_guards().await
    }

    async fn tag(&self, subject: &Tagged, key: &str, value: Option<&str>) -> Read<()> {
        self.set_tag(subject, key, value).await
    }

    async fn survey(&self, sqs_queues: &[String], principal: Principal) -> Read<Survey> {
        Box::pin(self.read_survey(sqs_queues, principal)).await
    }

    async fn hints(&self) -> Read<Vec<Hint>> {
        self.receive().await
    }

    fn calls(&self) -> Vec<(String, String, String, u64)> {
        self.calls.rows()
    }
}
