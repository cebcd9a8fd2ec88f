//! Whatever error a service may answer by its model, at whichever operation, it is told and classified.

use std::collections::BTreeMap;

use super::{change, guard, names};
use crate::aws::Aws;
use crate::aws::errors::failed;
use crate::aws::replay::{Asked, Replay, Reply, ec2_xml, file, query_xml};
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
        "ListQueues" => match Box::pin(aws.discover()).await {
            Ok((_, queues)) => queues.read().map(drop).map_err(|message| failed(message.to_owned())),
            Err(unread) => Err(unread),
        },
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
        "ReceiveMessage" => Reply::File("receive-message"),
        "DescribeSpotFleetRequests" => Reply::Made(ec2_xml("describe-spot-fleet-requests")),
        _ => answer(asked),
    }
}

fn failing(
    operation: String,
    code: String,
    status: u16,
    otherwise: fn(&Asked) -> Reply,
) -> impl Fn(&Asked) -> Reply + Send + Sync {
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

#[tokio::test]
async fn every_error_of_the_models_is_told_at_every_operation() {
    let models: Models = serde_json::from_value(file("", "errors")).unwrap();
    let mut wrong = Vec::new();
    for (operation, errors) in models.values().flatten() {
        for (code, status) in errors_of(errors) {
            if (operation.as_str(), code.as_str()) == ("UpdateItem", "ConditionalCheckFailedException") {
                continue; // who holds the lease comes with it
            }
            let is_answer = ANSWERS.contains(&(operation, &code)) || IN_VAIN.contains(&operation.as_str());
            let (aws, replay) = Replay::answering(failing(operation.clone(), code.clone(), status, well));
            let told = match Box::pin(daemon_asks(&aws, operation)).await {
                Some(told) => told,
                None => checked(operation, &code, status).await,
            };
            // Survey and listing tell no reason but the text.
            let classed =
                replay.asked().iter().any(|asked| asked.operation() == *operation) && operation != "ListQueues";
            match told {
                Ok(()) if is_answer => {}
                Err(unread) if !is_answer => {
                    let says = unread.message.contains(&code) && unread.message.contains("as the model has it");
                    if !says || unread.why != why(&code, status) && classed {
                        wrong.push(format!("{operation} {status} {code}: {unread:?}"));
                    }
                }
                told => wrong.push(format!("{operation} {status} {code}: {told:?}")),
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

/// What `check` says of an account in which one operation fails: it goes on, and tells what it could not read.
async fn checked(operation: &str, code: &str, status: u16) -> Read<()> {
    for otherwise in [answer, few] {
        let (aws, replay) = Replay::answering(failing(operation.to_owned(), code.to_owned(), status, otherwise));
        let survey = Box::pin(aws.survey(&names(&["work"]), Principal::Caller)).await?;
        if replay.asked().iter().any(|asked| asked.operation() == operation) {
            let survey = format!("{survey:?}");
            let told = survey.contains(code) && survey.contains("as the model has it");
            return if told {
                Err(Unread {
                    why: why(code, status),
                    message: format!("{code}: as the model has it"),
                })
            } else {
                Ok(())
            };
        }
    }
    Err(failed(format!("nobody asks {operation}")))
}
