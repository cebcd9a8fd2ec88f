//! Whatever error a service may answer by its model, at whichever operation, it is told and classified.

use std::collections::BTreeMap;

use super::{change, guard, names};
use crate::aws::Aws;
use crate::aws::replay::{Asked, Replay, Reply, ec2_xml, file, older_name, query_xml};
use crate::aws::survey::tests::{answer, few};
use crate::control::Outcome;
use crate::daemon::cloud::{Cloud as _, EnvironmentRead, Principal, Read, Tagged, Unread};
use crate::daemon::leadership::{Claim, Lock as _};
use crate::jobs::JobStatus;
use crate::observation::GapReason;
use crate::units::{Span, Time};

/// Service, operation, code of the error -> HTTP status. `tests/aws/model.py --errors` makes it of the service models.
type Models = BTreeMap<String, BTreeMap<String, BTreeMap<String, u16>>>;

/// In no model: what any service may answer.
const COMMON: [(&str, u16); 4] = [
    ("AccessDenied", 403),
    ("ExpiredToken", 400),
    ("Throttling", 400),
    ("InternalFailure", 500),
];

/// Errors that are answers: there is no such thing, or another one leads.
const ANSWERS: [(&str, &str); 7] = [
    ("UpdateSchedule", "ResourceNotFoundException"),
    ("DeleteSchedule", "ResourceNotFoundException"),
    ("GetServiceQuota", "NoSuchResourceException"),
    ("GetSchedule", "ResourceNotFoundException"),
    ("GetScheduleGroup", "ResourceNotFoundException"),
    ("GetInstanceProfile", "NoSuchEntity"),
    ("DeleteItem", "ConditionalCheckFailedException"),
];

/// Whatever they answer, nothing is lost: messages that could not be deleted come again, and who may not list asks for each by name.
const IN_VAIN: [&str; 4] = [
    "DeleteMessageBatch",
    "ListEntitiesForPolicy",
    "ListInstanceProfiles",
    "ListRoles",
];

fn why(code: &str, status: u16) -> GapReason {
    match code {
        _ if code.contains("Throttl") || status == 429 => GapReason::Throttled,
        "TooManyRequestsException" | "RequestLimitExceeded" | "ProvisionedThroughputExceededException" => {
            GapReason::Throttled
        }
        _ if code.contains("AccessDenied") || code == "ExpiredToken" => GapReason::Denied,
        _ => GapReason::Failed,
    }
}

/// What a daemon asks, so that the operation is among the requests; `None`: it is of `check` alone.
async fn daemon_asks(aws: &Aws, operation: &str) -> Option<Read<()>> {
    let environment = EnvironmentRead {
        name: "spot".to_owned(),
        cluster: Some("arn:aws:ecs:eu-central-1:111122223333:cluster/spot".to_owned()),
        ..EnvironmentRead::default()
    };
    let fleet = EnvironmentRead {
        cluster: Some("arn:aws:ecs:eu-central-1:111122223333:cluster/AWSBatch-spot-1c5a2b3d-0e4f-4a6b-8c7d-9e0f1a2b3c4d_Batch_5e6f7a8b".to_owned()),
        spot_fleet: true,
        ..environment.clone()
    };
    let claim = || Claim {
        name: "autotune".to_owned(),
        holder: "b".to_owned(),
        lease: Span::from_seconds(60),
        over: None,
    };
    let tagged = || Tagged::Queue("q".to_owned());
    Some(match operation {
        "DescribeComputeEnvironments" => aws.environments(&names(&["spot"])).await.map(drop),
        "DescribeJobQueues" => aws.queues(&names(&["q"])).await.map(drop),
        "ListJobs" => aws.list_jobs("q", JobStatus::Runnable, None).await.map(drop),
        "DescribeJobs" => aws.describe_jobs(&names(&["j"])).await.map(drop),
        "GetJobQueueSnapshot" => aws.head("q").await.map(drop),
        "ListContainerInstances" | "DescribeContainerInstances" => aws.instances(&environment).await.map(drop),
        "DescribeAutoScalingGroups" | "DescribeScalingActivities" => {
            aws.failed_launches(&environment, Time::EPOCH).await.map(drop)
        }
        "DescribeSpotFleetRequests" | "DescribeSpotFleetRequestHistory" => {
            aws.failed_launches(&fleet, Time::EPOCH).await.map(drop)
        }
        "GetQueueUrl" | "GetQueueAttributes" => aws.messages("work").await.map(drop),
        "GetMetricStatistics" => aws.oldest_message("work").await.map(drop),
        "GetServiceQuota" | "GetAWSDefaultServiceQuota" => aws.limit_of("L-34B43A08").await.map(drop),
        "DescribeSpotPriceHistory" => aws.spot_prices(&names(&["m6i.large"])).await.map(drop),
        "UpdateSchedule" | "CreateSchedule" => aws.arm(&guard()).await,
        "DeleteSchedule" => aws.disarm("spot").await,
        "ListSchedules" | "GetSchedule" => aws.guards().await.map(drop),
        "GetCallerIdentity" => aws.identity().await.map(drop),
        "TagResource" => aws.tag(&tagged(), "k", Some("v")).await,
        "UntagResource" => aws.tag(&tagged(), "k", None).await,
        "ReceiveMessage" | "DeleteMessageBatch" => aws.hints().await.map(drop),
        "UpdateItem" => aws.claim(&claim()).await.map(drop),
        "DeleteItem" => aws.resign("autotune", "b").await,
        "DescribeInstances" => aws.used_by_instances("L-34B43A08").await.map(drop),
        "UpdateComputeEnvironment" => {
            let answer = aws.send("spot", &change(Some(1), None, None)).await;
            let why = match answer.outcome {
                Outcome::Accepted => return Some(Ok(())),
                Outcome::Throttled => GapReason::Throttled,
                Outcome::Failed if answer.message.contains("denied") => GapReason::Denied,
                Outcome::Failed | Outcome::Raced | Outcome::Overshoot => GapReason::Failed,
            };
            Err(Unread {
                why,
                message: answer.message,
            })
        }
        _ => return None,
    })
}

/// What an account answers in which all is well.
fn well(asked: &Asked) -> Reply {
    match asked.operation().as_str() {
        "ListContainerInstances" => Reply::File("list-container-instances"),
        "DescribeContainerInstances" => Reply::File("describe-container-instances"),
        "GetAWSDefaultServiceQuota" => Reply::File("get-aws-default-service-quota"),
        // Else the default would not be asked for.
        "GetServiceQuota" => Reply::Error(400, "NoSuchResourceException", "none applied"),
        "UpdateSchedule" => Reply::Error(404, "ResourceNotFoundException", "no such schedule"),
        "DescribeAutoScalingGroups" => Reply::Made(query_xml("describe-auto-scaling-groups")),
        "CreateSchedule" => Reply::File("create-schedule"),
        "ReceiveMessage" => Reply::File("receive-message"),
        "DescribeSpotFleetRequests" => Reply::Made(ec2_xml("describe-spot-fleet-requests")),
        _ => answer(asked),
    }
}

fn failing(operation: String, code: String, status: u16, otherwise: Answers) -> impl Fn(&Asked) -> Reply + Send + Sync {
    // Replies are made of text that lives as long as the test.
    let code: &'static str = code.leak();
    move |asked| {
        if asked.operation() == operation {
            Reply::Error(status, code, "as the model has it")
        } else {
            otherwise(asked)
        }
    }
}

fn errors_of(errors: &BTreeMap<String, u16>) -> impl Iterator<Item = (String, u16)> {
    let own = errors.iter().map(|(code, status)| (code.clone(), *status));
    own.chain(COMMON.map(|(code, status)| (code.to_owned(), status)))
}

/// How an account answers.
type Answers = fn(&Asked) -> Reply;

/// What came of it: nothing, or a class, if one is told, and a text.
type Told = Result<(), (Option<GapReason>, String)>;

#[tokio::test]
async fn every_error_of_the_models_is_told_at_every_operation() {
    let models: Models = serde_json::from_value(file("", "errors")).unwrap();
    let operations = models.iter().flat_map(|(service, operations)| {
        operations
            .iter()
            .map(move |(operation, errors)| (service, operation, errors))
    });
    let mut wrong = Vec::new();
    for (service, operation, errors) in operations {
        for (code, status) in errors_of(errors) {
            if (operation.as_str(), code.as_str()) == ("UpdateItem", "ConditionalCheckFailedException") {
                continue; // who holds the lease comes with it
            }
            let is_answer = ANSWERS.contains(&(operation, &code)) || IN_VAIN.contains(&operation.as_str());
            let says = if service == "sqs" {
                older_name(&code)
            } else {
                code.clone()
            };
            let (asked, told) = asks(operation, &code, status).await;
            let fits = match &told {
                Ok(()) => is_answer,
                Err((class, text)) => {
                    let told = text.contains(&says) && text.contains("as the model has it");
                    told && !is_answer && class.is_none_or(|class| class == why(&code, status))
                }
            };
            if !asked || !fits {
                wrong.push(format!(
                    "{operation} {status} {code}: asked {asked}, {:.400}",
                    format!("{told:?}")
                ));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

/// Whether the operation was asked that fails, and what was told then.
async fn asks(operation: &str, code: &str, status: u16) -> (bool, Told) {
    let account = |otherwise| Replay::answering(failing(operation.to_owned(), code.to_owned(), status, otherwise));
    let is_asked = |replay: &Replay| replay.asked().iter().any(|asked| asked.operation() == operation);
    let (aws, replay) = account(well);
    if let Some(told) = Box::pin(daemon_asks(&aws, operation)).await {
        return (
            is_asked(&replay),
            told.map_err(|unread| (Some(unread.why), unread.message)),
        );
    }
    // `check` and `init` go on, and tell what they could not read.
    let accounts: [(Answers, bool); 3] = [(answer, false), (few, false), (answer, true)];
    for (otherwise, discovers) in accounts {
        let (aws, replay) = account(otherwise);
        let found = if discovers {
            format!("{:?}", Box::pin(aws.discover()).await)
        } else {
            format!("{:?}", Box::pin(aws.survey(&names(&["work"]), Principal::Caller)).await)
        };
        if is_asked(&replay) {
            let told = if found.contains("as the model has it") {
                Err((None, found))
            } else {
                Ok(())
            };
            return (true, told);
        }
    }
    (false, Ok(()))
}
