//! What goes over the wire and what is made of the answers, with recorded replies.

mod errors;

use serde_json::{Value, json};

use crate::account::Platform;
use crate::account::survey::Counted;
use crate::aws::Aws;
use crate::aws::replay::{Replay, Reply, file};
use crate::catalog::Purchase;
use crate::control::Outcome;
use crate::daemon::cloud::{Cloud, EnvironmentRead, Hint, NamedGuard, Tagged};
use crate::daemon::leadership::{Claim, Claimed, Held, Lock as _};
use crate::jobs::JobStatus;
use crate::observation::GapReason;
use crate::planner::plan::Change;
use crate::units::{Span, Time, Vcpus};

const T: Time = Time::from_millis(1_782_000_000_000);

fn change(min: Option<i64>, desired: Option<i64>, max: Option<i64>) -> Change {
    Change {
        min_vcpus: min.map(Vcpus::new),
        desired_vcpus: desired.map(Vcpus::new),
        max_vcpus: max.map(Vcpus::new),
    }
}

fn guard() -> NamedGuard {
    NamedGuard {
        environment: "spot".to_owned(),
        fires: T,
        min_vcpus: Vcpus::new(2),
        max_vcpus: Some(Vcpus::new(64)),
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// Objects as they are, but fields in the order of their names and whole numbers alike.
fn same(sent: &Value, recorded: &Value) -> bool {
    match (sent, recorded) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|other| same(v, other)))
        }
        (Value::Number(a), Value::Number(b)) => {
            a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| a.total_cmp(&b).is_eq())
        }
        (a, b) => a == b,
    }
}

#[tokio::test]
async fn an_update_carries_scaling_fields_and_nothing_else() {
    let cases = [
        ("raise", change(Some(16), Some(16), None)),
        ("lower", change(Some(0), None, None)),
        ("cap", change(None, None, Some(64))),
    ];
    for (name, change) in cases {
        let (aws, replay) = Replay::account(&[Reply::File("update-compute-environment")]);
        let answer = aws.send("spot", &change).await;
        assert_eq!((answer.outcome, answer.message.as_str()), (Outcome::Accepted, ""));
        let asked = replay.asked();
        let recorded = file("requests", &format!("update-compute-environment-{name}"));
        assert_eq!(asked[0].body, recorded["request"], "{name}");
        assert_eq!(asked[0].path, "/v1/updatecomputeenvironment");
    }
}

#[tokio::test]
async fn an_update_is_attempted_once_whatever_comes_back() {
    let trouble = [
        (Reply::Lost, Outcome::Failed),
        (Reply::Error(500, "ServerException", "oops"), Outcome::Failed),
        (
            Reply::Error(429, "TooManyRequestsException", "Too Many Requests"),
            Outcome::Throttled,
        ),
        (
            Reply::Error(400, "ClientException", "Cannot update, resource is being modified."),
            Outcome::Raced,
        ),
    ];
    for (reply, expected) in trouble {
        let (aws, replay) = Replay::account(&[reply]);
        let answer = aws.send("spot", &change(Some(1), None, None)).await;
        assert_eq!(answer.outcome, expected, "{}", answer.message);
        assert_eq!(replay.asked().len(), 1);
        assert!(
            answer.message.starts_with("batch:UpdateComputeEnvironment"),
            "{}",
            answer.message
        );
    }
    let (aws, replay) = Replay::account(&[]);
    assert_eq!(aws.send("spot", &Change::default()).await.outcome, Outcome::Failed);
    assert_eq!(replay.asked(), []);
}

#[tokio::test]
async fn a_denied_call_names_the_permission_that_is_missing() {
    let text = "User: arn:aws:iam::111122223333:user/x is not authorized";
    let (aws, _) = Replay::account(&[
        Reply::Error(403, "AccessDeniedException", text),
        Reply::Error(403, "AccessDeniedException", text),
        Reply::Error(
            403,
            "ExpiredTokenException",
            "The security token included in the request is expired",
        ),
    ]);
    let answer = aws.send("spot", &change(Some(1), None, None)).await;
    assert!(
        answer.message.contains("allow `batch:UpdateComputeEnvironment`"),
        "{}",
        answer.message
    );
    let denied = aws.list_jobs("q", JobStatus::Runnable, None).await.unwrap_err();
    assert_eq!(denied.why, GapReason::Denied);
    assert!(
        denied.message.contains("allow `batch:ListJobs`") && denied.message.contains(text),
        "{denied}"
    );
    let expired = aws.head("q").await.unwrap_err();
    assert_eq!(expired.why, GapReason::Denied);
    assert!(
        expired.message.contains("have expired") && !expired.message.contains("allow `"),
        "{expired}"
    );
}

#[tokio::test]
async fn reads_are_tried_three_times_and_every_attempt_is_counted() {
    let throttled = || Reply::Error(429, "TooManyRequestsException", "Too Many Requests");
    let (aws, replay) = Replay::account(&[throttled(), throttled(), Reply::File("list-jobs")]);
    assert!(aws.list_jobs("q", JobStatus::Runnable, None).await.is_ok());
    assert_eq!(replay.asked().len(), 3);
    let row = |code: &str, count| ("Batch".to_owned(), "ListJobs".to_owned(), code.to_owned(), count);
    assert_eq!(aws.calls(), [row("200", 1), row("429", 2)]);

    let (aws, replay) = Replay::account(&[throttled(), throttled(), throttled()]);
    let unread = aws.list_jobs("q", JobStatus::Runnable, None).await.unwrap_err();
    assert_eq!((unread.why, replay.asked().len()), (GapReason::Throttled, 3));
}

#[tokio::test]
async fn a_listing_tells_sizes_arrays_and_nodes() {
    let (aws, replay) = Replay::account(&[(); 3].map(|()| Reply::File("list-jobs")));
    let page = aws
        .list_jobs("q", JobStatus::Runnable, Some("page-1".to_owned()))
        .await
        .unwrap();
    assert_eq!(page.next.as_deref(), Some("page-2"));
    let vcpus: Vec<_> = page
        .jobs
        .iter()
        .map(|j| (j.id.as_str(), j.vcpus.map(Vcpus::get), j.nodes))
        .collect();
    let expected = [
        ("single", Some(4), 1),
        ("parent", Some(2), 1),
        ("parent:7", None, 1),
        ("pod", Some(1), 1),
        ("nodes", None, 4),
    ];
    assert_eq!(vcpus, expected);
    let array = page.jobs[1].array.clone().unwrap();
    assert_eq!(
        (array.size, array.summary[&JobStatus::Runnable], array.summary.len()),
        (1000, 900, 3)
    );
    assert_eq!(array.updated, Some(T + Span::from_seconds(5)));
    assert_eq!((page.jobs[1].started, page.jobs[2].array.as_ref()), (None, None));
    assert!(page.jobs[0].status_reason.starts_with("CAPACITY:"));
    aws.list_children("parent", JobStatus::Runnable, None).await.unwrap();
    aws.list_created("q", T, None).await.unwrap();
    let bodies: Vec<_> = replay.asked().into_iter().map(|asked| asked.body).collect();
    assert_eq!(
        bodies,
        [
            file("requests", "list-jobs")["request"].clone(),
            file("requests", "list-children")["request"].clone(),
            file("requests", "list-created")["request"].clone()
        ]
    );
}

#[tokio::test]
async fn sizes_come_from_wherever_a_job_states_them() {
    let (aws, _) = Replay::account(&[Reply::File("describe-jobs")]);
    let described = aws.describe_jobs(&names(&["any"])).await.unwrap();
    let sizes: Vec<_> = described.iter().filter_map(|job| job.size.as_ref()).collect();
    let read: Vec<_> = sizes
        .iter()
        .map(|s| {
            let r = s.shape.resources;
            (s.id.as_str(), r.vcpus.get(), r.memory.get(), r.gpus, s.shape.nodes)
        })
        .collect();
    let expected = [
        ("requirements", 8, 30_000, 1, 1),
        ("legacy", 2, 2_000, 0, 1),
        ("fargate", 1, 512, 0, 1),
        ("nodes", 16, 60_000, 0, 3),
        ("task", 3, 300, 0, 1),
        ("pod", 2, 2_048, 1, 1),
    ];
    assert_eq!(read, expected);
    assert_eq!(sizes[0].parents, ["before"]);
}

/// Without events nothing else tells how a job ended, and when its first attempt began.
#[tokio::test]
async fn a_description_tells_of_the_end_of_a_job_and_of_every_attempt() {
    let (aws, _) = Replay::account(&[Reply::File("describe-jobs")]);
    let described = aws.describe_jobs(&names(&["any"])).await.unwrap();
    let ended = described.iter().find(|job| job.seen.id == "ended").unwrap();
    let later = |seconds| T + Span::from_seconds(seconds);
    assert_eq!((ended.seen.status, ended.seen.created), (JobStatus::Failed, Some(T)));
    assert_eq!(
        (ended.seen.started, ended.seen.stopped),
        (Some(later(300)), Some(later(360)))
    );
    let begun = ended.seen.begun();
    let begun: Vec<_> = begun
        .iter()
        .map(|a| (a.started, a.stopped, a.instance.as_deref()))
        .collect();
    assert_eq!(
        begun,
        [
            (later(100), Some(later(200)), Some("spot/a")),
            (later(300), Some(later(360)), Some("spot/b"))
        ]
    );
    assert_eq!(ended.seen.attempt, 2);
    let array = ended.seen.array.as_ref().unwrap();
    assert_eq!((array.summary[&JobStatus::Failed], array.sequential), (1, true));
    assert_eq!(ended.size, None);
    // Zero stands for never.
    assert_eq!((described[0].seen.started, described[0].seen.begun().len()), (None, 0));
}

#[tokio::test]
async fn the_head_of_a_queue_may_be_nobody() {
    let (aws, _) = Replay::account(&[
        Reply::File("get-job-queue-snapshot"),
        Reply::File("get-job-queue-snapshot-empty"),
    ]);
    let head = aws.head("q").await.unwrap().unwrap();
    assert_eq!((head.job.as_str(), head.since), ("first", Some(T)));
    assert_eq!(aws.head("q").await.unwrap(), None);
}

#[tokio::test]
async fn environments_are_read_over_all_pages_as_they_stand() {
    let pages = || {
        vec![
            Reply::File("describe-compute-environments-1"),
            Reply::File("describe-compute-environments-2"),
        ]
    };
    let (aws, _) = Replay::account(&pages());
    let read = aws.environments(&names(&["any"])).await.unwrap();
    assert_eq!(read.len(), 6);
    let spot = &read[0];
    assert!(spot.now.updating && spot.now.valid && spot.now.enabled);
    assert_eq!(
        (spot.now.desired_vcpus.get(), spot.now.scale_down_delay),
        (4, Span::from_minutes(30))
    );
    assert_eq!(
        (spot.status_reason.as_str(), spot.tags["autotune"].as_str()),
        ("", "yes")
    );
    assert!(read[1].status_reason.starts_with("CLIENT_ERROR") && !read[1].now.enabled);

    let mut replies = pages();
    replies.push(Reply::File("describe-job-queues"));
    let (aws, _) = Replay::account(&replies);
    let topology = aws.topology().await.unwrap();
    let platforms: Vec<_> = topology.environments.iter().map(|e| (e.platform, e.purchase)).collect();
    let expected = [
        (Platform::Ec2, Purchase::Spot),
        (Platform::Ec2, Purchase::OnDemand),
        (Platform::Eks, Purchase::OnDemand),
        (Platform::Fargate, Purchase::Spot),
        (Platform::ManagedInstances, Purchase::OnDemand),
        (Platform::Unmanaged, Purchase::OnDemand),
    ];
    assert_eq!(platforms, expected);
    assert!(
        topology.environments[0]
            .types
            .iter()
            .all(|t| t.name.starts_with("c7i."))
    );
    assert_eq!(topology.queues[0].environments, ["spot", "eks"]);
    assert!(topology.queues[0].fair_share);
}

/// F13: what drains is not free.
#[tokio::test]
async fn draining_and_unreachable_instances_are_no_room() {
    let (aws, _) = Replay::account(&[
        Reply::File("list-container-instances"),
        Reply::File("describe-container-instances"),
    ]);
    let environment = EnvironmentRead {
        cluster: Some("arn:aws:ecs:eu-central-1:111122223333:cluster/spot".to_owned()),
        ..EnvironmentRead::default()
    };
    let now = aws.instances(&environment).await.unwrap();
    assert_eq!((now.there.get(), now.used.get()), (32, 4 + 4 + 7));
    let rooms: Vec<_> = now
        .rooms
        .iter()
        .map(|r| (r.free.vcpus.get(), r.free.memory.get(), r.free.gpus, r.instances))
        .collect();
    assert_eq!(rooms, [(1, 50_000, 1, 1), (4, 7_000, 0, 2)]);
    assert_eq!(now.registered, Some(T + Span::from_minutes(1)));
    assert!(aws.instances(&EnvironmentRead::default()).await.is_err());
}

#[tokio::test]
async fn a_missing_count_of_messages_is_no_zero() {
    let (aws, replay) = Replay::account(&[
        Reply::File("get-queue-url"),
        Reply::File("get-queue-attributes"),
        Reply::File("get-queue-attributes-part"),
        Reply::File("get-metric-statistics"),
        Reply::File("get-metric-statistics-empty"),
    ]);
    let sqs = aws.messages("work").await.unwrap();
    assert_eq!((sqs.visible, sqs.in_flight, sqs.delayed), (17, 3, 2));
    assert!(aws.messages("work").await.is_err());
    assert_eq!(replay.asked().len(), 3, "the URL is asked for once");
    assert_eq!(aws.oldest_message("work").await.unwrap(), Some(Span::from_seconds(321)));
    assert_eq!(aws.oldest_message("work").await.unwrap(), None);
}

#[tokio::test]
async fn a_quota_is_the_applied_one_else_the_default_and_its_use_that_of_its_own_metric() {
    let (aws, _) = Replay::account(&[
        Reply::File("get-service-quota"),
        Reply::File("get-metric-statistics"),
        Reply::Error(400, "NoSuchResourceException", "The request failed"),
        Reply::File("get-aws-default-service-quota"),
        Reply::File("get-metric-statistics-empty"),
        Reply::Text("<DescribeInstancesResponse/>"),
        Reply::File("get-service-quota-no-metric"),
        Reply::File("get-service-quota-no-metric"),
        Reply::Error(403, "UnauthorizedOperation", "not authorized"),
    ]);
    let quota = aws.quota("L-34B43A08").await.unwrap();
    assert_eq!(
        (quota.limit.get(), quota.used.get(), quota.counted),
        (640, 321, Counted::Metric)
    );
    // No datum: instances are counted, and none runs.
    let quota = aws.quota("L-34B43A08").await.unwrap();
    assert_eq!(
        (quota.limit.get(), quota.used.get(), quota.counted),
        (5, 0, Counted::Instances)
    );
    // No metric; the count is of the same minute.
    let quota = aws.quota("L-34B43A08").await.unwrap();
    assert_eq!(quota.counted, Counted::Instances);
    aws.in_use.forget();
    let unread = aws.quota("L-34B43A08").await.unwrap_err();
    assert!(
        unread.message.contains("ec2:DescribeInstances"),
        "use that is not known is no zero: {unread}"
    );
}

#[tokio::test]
async fn a_metric_that_cannot_be_read_is_replaced_by_a_count_unless_it_is_throttled() {
    let denied = || Reply::Error(403, "AccessDeniedException", "not authorized");
    let throttled = || Reply::Error(429, "ThrottlingException", "Rate exceeded");
    let (aws, _) = Replay::account(&[
        Reply::File("get-service-quota"),
        throttled(),
        throttled(),
        throttled(),
        Reply::File("get-service-quota"),
        denied(),
        denied(),
        Reply::File("get-service-quota"),
        denied(),
        Reply::Text("<DescribeInstancesResponse/>"),
    ]);
    assert_eq!(aws.quota("L-34B43A08").await.unwrap_err().why, GapReason::Throttled);
    let unread = aws.quota("L-34B43A08").await.unwrap_err();
    assert!(
        unread.message.contains("cloudwatch:GetMetricStatistics"),
        "what would tell exactly: {unread}"
    );
    aws.in_use.forget(); // a minute later
    let quota = aws.quota("L-34B43A08").await.unwrap();
    assert_eq!((quota.limit.get(), quota.counted), (640, Counted::Instances));
}

#[tokio::test]
async fn a_guard_is_sent_whole_and_created_where_there_is_none() {
    let missing = || {
        Reply::Error(
            404,
            "ResourceNotFoundException",
            "Schedule autotune-spot does not exist.",
        )
    };
    let (aws, replay) = Replay::account(&[
        Reply::File("update-schedule"),
        missing(),
        Reply::File("create-schedule"),
        missing(),
    ]);
    aws.arm(&guard()).await.unwrap();
    aws.arm(&guard()).await.unwrap();
    aws.disarm("spot").await.unwrap();
    let asked = replay.asked();
    let told: Vec<_> = asked
        .iter()
        .map(|a| (a.method.as_str(), a.path.split('?').next().unwrap()))
        .collect();
    let path = "/schedules/autotune-spot";
    assert_eq!(told, [("PUT", path), ("PUT", path), ("POST", path), ("DELETE", path)]);
    for (at, name) in [(0, "update-schedule"), (2, "create-schedule")] {
        let mut sent = asked[at].body.clone();
        // Made anew for every request, so that the service knows a repetition.
        sent.as_object_mut().unwrap().remove("ClientToken");
        let recorded = &file("requests", name)["request"];
        assert!(same(&sent, recorded), "{name}: {sent} is not {recorded}");
    }
}

#[tokio::test]
async fn guards_are_read_back_and_strangers_left_alone() {
    let (aws, _) = Replay::account(&[
        Reply::File("list-schedules"),
        Reply::File("get-schedule"),
        Reply::Error(404, "ResourceNotFoundException", "gone"),
        Reply::File("get-schedule-strange"),
    ]);
    assert_eq!(aws.guards().await.unwrap(), [guard()]);
}

#[tokio::test]
async fn without_a_guard_configured_none_is_armed_and_none_is_there() {
    let (mut aws, replay) = Replay::account(&[]);
    aws.settings.guard = None;
    assert!(aws.arm(&guard()).await.is_err());
    aws.disarm("spot").await.unwrap();
    assert_eq!((aws.guards().await.unwrap(), replay.asked()), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn tags_need_no_permission_but_for_tagging() {
    let caller = Reply::Text(
        "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>111122223333</Account>\
         <Arn>arn:aws-cn:sts::111122223333:assumed-role/laptop/me</Arn></GetCallerIdentityResult></GetCallerIdentityResponse>",
    );
    let again = || {
        Reply::Text(
            "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>111122223333</Account>\
             </GetCallerIdentityResult></GetCallerIdentityResponse>",
        )
    };
    let (aws, replay) = Replay::account(&[
        caller,
        Reply::File("tag-resource"),
        again(),
        Reply::File("untag-resource"),
        again(),
        Reply::Error(404, "ClientException", "Resource not found"),
    ]);
    let queue = Tagged::Queue("q".to_owned());
    aws.tag(&queue, "autotune:override", Some("pause")).await.unwrap();
    aws.tag(&queue, "autotune:override", None).await.unwrap();
    let environment = Tagged::Environment("r".to_owned());
    let unknown = aws.tag(&environment, "k", None).await.unwrap_err();
    assert!(
        unknown.message.contains("111122223333:compute-environment/r?"),
        "{unknown}"
    );
    let asked = replay.asked();
    assert_eq!(asked[1].body, json!({"tags": {"autotune:override": "pause"}}));
    assert!(
        asked[1]
            .path
            .contains("aws-cn%3Abatch%3Aeu-central-1%3A111122223333%3Ajob-queue%2Fq"),
        "{}",
        asked[1].path
    );
    assert_eq!((asked[3].method.as_str(), asked.len()), ("DELETE", 6));
    assert!(
        asked[3].path.contains("tagKeys=autotune%3Aoverride"),
        "{}",
        asked[3].path
    );
}

#[tokio::test]
async fn leadership_is_claimed_by_one_conditional_write() {
    let (aws, replay) = Replay::account(&[Reply::File("update-item")]);
    let claim = Claim {
        name: "autotune".to_owned(),
        holder: "b".to_owned(),
        lease: Span::from_seconds(60),
        over: Some(Held {
            holder: "a".to_owned(),
            renewals: 2,
            lease: Span::from_seconds(60),
        }),
    };
    assert_eq!(aws.claim(&claim).await, Ok(Claimed::Ours));
    let recorded = file("requests", "update-item");
    assert!(
        same(&replay.asked()[0].body, &recorded["request"]),
        "{:?}",
        replay.asked()
    );
}

/// Whoever has it by then keeps it.
#[tokio::test]
async fn leadership_is_given_up_only_by_its_holder() {
    let lost = "ConditionalCheckFailedException";
    let (aws, replay) = Replay::account(&[Reply::Made("{}".to_owned()), Reply::Error(400, lost, "no")]);
    for _ in 0..2 {
        assert_eq!(aws.resign("autotune", "b").await, Ok(()));
    }
    let body = &replay.asked()[0].body;
    assert_eq!(body["ConditionExpression"], "holder = :holder");
    assert_eq!(body["ExpressionAttributeValues"], json!({":holder": {"S": "b"}}));
    assert_eq!(body["Key"], json!({"id": {"S": "autotune"}}));
}

#[tokio::test]
async fn wake_ups_are_deleted_also_those_that_nobody_understands() {
    let (aws, replay) = Replay::account(&[
        Reply::File("receive-message"),
        Reply::File("delete-message-batch"),
        Reply::File("receive-message-empty"),
    ]);
    let hints = aws.hints().await.unwrap();
    assert!(
        matches!(&hints[..], [Hint::Job { queue, .. }, Hint::Malformed] if queue == "q"),
        "{hints:?}"
    );
    let asked = replay.asked();
    assert_eq!(asked[0].body["WaitTimeSeconds"], 20);
    let receipts: Vec<_> = asked[1].body["Entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["ReceiptHandle"].clone())
        .collect();
    assert_eq!(receipts, ["r1", "r2"]);
    assert_eq!(aws.hints().await.unwrap(), []);
    assert_eq!(replay.asked().len(), 3, "nothing to delete");
}

/// A rule cannot tell whose they are, and each would have every environment read again.
#[tokio::test]
async fn of_spot_instances_that_are_interrupted_only_ours_are_told() {
    let (aws, _) = Replay::account(&[
        Reply::File("receive-message-spot"),
        Reply::File("delete-message-batch"),
        Reply::File("list-container-instances"),
        Reply::File("describe-container-instances"),
        Reply::File("receive-message-spot"),
        Reply::File("delete-message-batch"),
    ]);
    assert_eq!(aws.hints().await.unwrap().len(), 2, "nobody knows yet which are ours");
    let environment = EnvironmentRead {
        cluster: Some("arn:aws:ecs:eu-central-1:111122223333:cluster/spot".to_owned()),
        ..EnvironmentRead::default()
    };
    aws.instances(&environment).await.unwrap();
    let ours = Hint::Interruption {
        instance: "i-b".to_owned(),
    };
    assert_eq!(aws.hints().await.unwrap(), [ours]);
}

#[tokio::test]
async fn no_region_is_said_before_any_call() {
    let sdk = aws_config::SdkConfig::builder().build();
    let unread = Aws::new(&sdk, &crate::aws::AwsSettings::default())
        .map(drop)
        .unwrap_err();
    assert!(unread.message.contains("no region"), "{unread}");
}
