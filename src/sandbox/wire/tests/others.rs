//! The other services, events, guards, trouble on demand.

use super::*;

const EVENTS: &str = "http://127.0.0.1:4566/111122223333/autotune-events";

async fn receive(client: &Client) -> Vec<Value> {
    let input = json!({"QueueUrl": EVENTS, "MaxNumberOfMessages": 10});
    let told = client.sqs("ReceiveMessage", input).await.unwrap();
    let messages = told["Messages"].as_array().cloned().unwrap_or_default();
    messages
        .iter()
        .map(|message| serde_json::from_str(message["Body"].as_str().unwrap()).unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn changes_of_jobs_and_instances_arrive_as_events() {
    let client = Client::new();
    client.submit(json!({})).await;
    assert_eq!(receive(&client).await.len(), 0);
    client.pass(90).await;
    let events = receive(&client).await;
    let told: Vec<(&str, &str)> = events
        .iter()
        .map(|event| {
            (
                event["detail-type"].as_str().unwrap(),
                event["detail"]["status"].as_str().unwrap(),
            )
        })
        .collect();
    let (job, instance) = ("Batch Job State Change", "ECS Container Instance State Change");
    // It registers; and a task on it changes what remains of it.
    let expected = [
        (job, "RUNNABLE"),
        (instance, "ACTIVE"),
        (job, "STARTING"),
        (instance, "ACTIVE"),
        (job, "RUNNING"),
    ];
    assert_eq!(told, expected);
    assert_eq!(events[0]["time"], "2026-01-01T09:00:00Z");
    // Received and not deleted: hidden for half a minute, then there again.
    assert_eq!(receive(&client).await.len(), 0);
    client.pass(40).await;
    assert!(receive(&client).await.len() >= 4);
}

#[tokio::test(start_paused = true)]
async fn messages_are_sent_received_deleted_and_counted() {
    let client = Client::new();
    let made = client.sqs("CreateQueue", json!({"QueueName": "work"})).await.unwrap();
    let url = made["QueueUrl"].clone();
    assert_eq!(
        client.sqs("GetQueueUrl", json!({"QueueName": "work"})).await.unwrap()["QueueUrl"],
        url
    );
    let entries = json!([{"Id": "a", "MessageBody": "1"}, {"Id": "b", "MessageBody": "2", "DelaySeconds": 60}]);
    let sent = client
        .sqs("SendMessageBatch", json!({"QueueUrl": url, "Entries": entries}))
        .await
        .unwrap();
    assert_eq!(
        sent["Successful"][0]["MD5OfMessageBody"],
        "c4ca4238a0b923820dcc509a6f75849b"
    );
    let counts = async || {
        let names = ["", "NotVisible", "Delayed"].map(|kind| format!("ApproximateNumberOfMessages{kind}"));
        let told = client
            .sqs("GetQueueAttributes", json!({"QueueUrl": url, "AttributeNames": names}))
            .await
            .unwrap();
        names.map(|name| told["Attributes"][name].as_str().unwrap().to_owned())
    };
    assert_eq!(counts().await, ["1", "0", "1"]);
    let got = client.sqs("ReceiveMessage", json!({"QueueUrl": url})).await.unwrap();
    assert_eq!(got["Messages"][0]["Body"], "1");
    assert_eq!(counts().await, ["0", "1", "1"]);
    let receipt = &got["Messages"][0]["ReceiptHandle"];
    let entries = json!([{"Id": "x", "ReceiptHandle": receipt}, {"Id": "y", "ReceiptHandle": "made up"}]);
    let done = client
        .sqs("DeleteMessageBatch", json!({"QueueUrl": url, "Entries": entries}))
        .await
        .unwrap();
    assert_eq!(
        (&done["Successful"][0]["Id"], &done["Failed"][0]["Code"]),
        (&json!("x"), &json!("ReceiptHandleIsInvalid"))
    );
    client.pass(60).await;
    assert_eq!(counts().await, ["1", "0", "0"]);
    let nobody = client
        .sqs("GetQueueUrl", json!({"QueueName": "nobody"}))
        .await
        .unwrap_err();
    assert_eq!(nobody.1, "QueueDoesNotExist");
    let none = client
        .sqs("GetQueueAttributes", json!({"QueueUrl": url}))
        .await
        .unwrap();
    assert_eq!(none, json!({}));
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_ends_with_the_first_message_or_with_its_time() {
    let client = Client::new();
    client.admin("POST", "clock", Some(json!({"factor": 60}))).await;
    let took = clock::Stopwatch::start();
    let wait = json!({"QueueUrl": EVENTS, "WaitTimeSeconds": 20});
    assert_eq!(client.sqs("ReceiveMessage", wait.clone()).await.unwrap(), json!({}));
    assert!(
        (0.3..0.5).contains(&took.seconds()),
        "20 s at 60 times the speed took {} s",
        took.seconds()
    );
    let waiting = client.sqs("ReceiveMessage", wait);
    let sending = client.sqs("SendMessage", json!({"QueueUrl": EVENTS, "MessageBody": "x"}));
    let (got, _) = tokio::join!(waiting, sending);
    assert_eq!(got.unwrap()["Messages"][0]["Body"], "x");
}

#[tokio::test(start_paused = true)]
async fn container_instances_tell_what_is_there_and_what_is_free() {
    let client = Client::new();
    client
        .submit(json!({"containerOverrides": {"command": ["sleep", "900"]}}))
        .await;
    client.pass(90).await;
    let cluster = client.environment("on-demand").await["ecsClusterArn"].clone();
    let ecs = async |operation: &str, input: Value| {
        client
            .target(&format!("AmazonEC2ContainerServiceV20141113.{operation}"), input)
            .await
    };
    let arns = ecs(
        "ListContainerInstances",
        json!({"cluster": cluster, "status": "ACTIVE"}),
    )
    .await
    .unwrap();
    let arns = &arns["containerInstanceArns"];
    assert_eq!(arns.as_array().unwrap().len(), 1);
    let mut asked = arns.clone();
    asked
        .as_array_mut()
        .unwrap()
        .push(json!("00000000000000000000000000000001"));
    let told = ecs(
        "DescribeContainerInstances",
        json!({"cluster": cluster, "containerInstances": asked}),
    )
    .await
    .unwrap();
    let instance = &told["containerInstances"][0];
    let units = |kind: &str| instance[kind][0]["integerValue"].as_i64().unwrap();
    assert_eq!(units("registeredResources") - units("remainingResources"), 1_024);
    assert_eq!(
        (&instance["status"], &told["failures"][0]["reason"]),
        (&json!("ACTIVE"), &json!("MISSING"))
    );
    let nobody = ecs("ListContainerInstances", json!({"cluster": "nobody"}))
        .await
        .unwrap_err();
    assert_eq!(nobody.1, "ClusterNotFoundException");
    // What the account uses of its quota, in CBOR.
    let quota = client
        .target(
            "ServiceQuotasV20190624.GetServiceQuota",
            json!({"ServiceCode": "ec2", "QuotaCode": "L-1216C47A"}),
        )
        .await
        .unwrap();
    assert_eq!(quota["Quota"]["Value"], 400.0);
    let class = &quota["Quota"]["UsageMetric"]["MetricDimensions"]["Class"];
    let now = (NOW + Span::from_seconds(90)).millis() / 1_000;
    let mut body = Vec::new();
    let query = json!({"Namespace": "AWS/Usage", "MetricName": "ResourceCount", "Statistics": ["Maximum"],
        "Dimensions": [{"Name": "Class", "Value": class}], "Period": 60, "StartTime": now - 900, "EndTime": now});
    ciborium::into_writer(&query, &mut body).unwrap();
    let path = "/service/GraniteServiceVersion20100801/operation/GetMetricStatistics";
    let request = Client::request("monitoring", "POST", path, &[("smithy-protocol", "rpc-v2-cbor")], body);
    let (status, kind, body) = client.raw(request).await;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, "application/cbor"));
    let told = encode::from_cbor(&body).unwrap();
    let there = units("registeredResources") / 1_024;
    assert_eq!(
        told["Datapoints"][0]["Maximum"].as_f64(),
        Some(40.0 + crate::units::i64_to_f64(there))
    );
}

#[tokio::test(start_paused = true)]
async fn types_and_identity_come_as_xml() {
    let client = Client::new();
    let form = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
    let ask = async |service: &str, body: &str| {
        let request = Client::request(service, "POST", "/", &form, body.as_bytes().to_vec());
        let (status, _, body) = client.raw(request).await;
        (status.as_u16(), String::from_utf8(body).unwrap())
    };
    let (_, who) = ask("sts", "Action=GetCallerIdentity&Version=2011-06-15").await;
    assert!(who.contains("<Account>111122223333</Account>"), "{who}");
    let filter = "Action=DescribeInstanceTypes&Filter.1.Name=instance-type&Filter.1.Value.1=m6i.*";
    let (_, types) = ask("ec2", filter).await;
    assert!(
        types.contains("<instanceType>m6i.large</instanceType>") && !types.contains("c6i"),
        "{types}"
    );
    let (status, wrong) = ask("ec2", "Action=DescribeInstanceTypes&InstanceType.1=m99.large").await;
    assert!(
        status == 400 && wrong.contains("<Code>InvalidInstanceType</Code>"),
        "{wrong}"
    );
    let pages = async {
        let (mut token, mut pages) = (String::new(), 0);
        loop {
            let (_, page) = ask("ec2", &format!("Action=DescribeInstanceTypes&MaxResults=100{token}")).await;
            pages += 1;
            let Some((_, rest)) = page.split_once("<nextToken>") else {
                return pages;
            };
            token = format!("&NextToken={}", rest.split('<').next().unwrap());
        }
    };
    assert!(pages.await > 2);
}

fn schedule(input: &str, start: i64) -> Value {
    json!({
        "GroupName": "autotune", "ScheduleExpression": "rate(5 minutes)", "FlexibleTimeWindow": {"Mode": "OFF"},
        "StartDate": NOW.millis() / 1_000 + start, "EndDate": NOW.millis() / 1_000 + start + 1_200,
        "ActionAfterCompletion": "DELETE",
        "Target": {"Arn": "arn:aws:scheduler:::aws-sdk:batch:updateComputeEnvironment", "RoleArn": "r", "Input": input},
    })
}

/// Who has scaled environments, the latest first.
async fn hands(client: &Client) -> Vec<String> {
    let asked =
        json!({"LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "UpdateComputeEnvironment"}]});
    let told = client.target("CloudTrail_20131101.LookupEvents", asked).await.unwrap();
    let who = |event: &Value| {
        let event: Value = serde_json::from_str(event["CloudTrailEvent"].as_str().unwrap()).unwrap();
        let arn = event["userIdentity"]["arn"].as_str().unwrap();
        arn.rsplit(':').next().unwrap().to_owned()
    };
    told["Events"].as_array().unwrap().iter().map(who).collect()
}

#[tokio::test(start_paused = true)]
async fn a_guard_puts_base_back_at_its_times_and_goes_away() {
    let client = Client::new();
    let put = async |method: &str, name: &str, body: Value| {
        let path = format!("/schedules/{name}");
        client
            .json(Client::request(
                "scheduler",
                method,
                &path,
                &[],
                body.to_string().into_bytes(),
            ))
            .await
    };
    let get = async |path: &str| {
        client
            .json(Client::request("scheduler", "GET", path, &[], Vec::new()))
            .await
    };
    let levels = json!({"computeEnvironment": "on-demand", "computeResources": {"minvCpus": 32}});
    client.batch("UpdateComputeEnvironment", levels.clone()).await.unwrap();
    let base = r#"{"ComputeEnvironment":"on-demand","ComputeResources":{"MinvCpus":0}}"#;
    let camel = r#"{"computeEnvironment":"on-demand","computeResources":{"minvCpus":0}}"#;
    let missing = put("PUT", "autotune-x", schedule(base, 600)).await.unwrap_err();
    assert_eq!((missing.0, missing.1.as_str()), (404, "ResourceNotFoundException"));
    put("POST", "autotune-x", schedule(base, 600)).await.unwrap();
    put("POST", "autotune-camel", schedule(camel, 600)).await.unwrap();
    let twice = put("POST", "autotune-x", schedule(base, 600)).await.unwrap_err();
    assert_eq!((twice.0, twice.1.as_str()), (409, "ConflictException"));
    // Moved once: what was planned before does not fire.
    client.pass(300).await;
    put("PUT", "autotune-x", schedule(base, 900)).await.unwrap();
    let told = get("/schedules/autotune-x?groupName=autotune").await.unwrap();
    assert_eq!(told["StartDate"].as_i64(), Some(NOW.millis() / 1_000 + 900));
    let list = get("/schedules?ScheduleGroup=autotune&NamePrefix=autotune-x")
        .await
        .unwrap();
    assert_eq!(list["Schedules"][0]["Name"], "autotune-x");
    let min = async || client.environment("on-demand").await["computeResources"]["minvCpus"].clone();
    client.pass(590).await;
    assert_eq!(min().await, 32);
    client.pass(20).await;
    assert_eq!(min().await, 0);
    // Raised again by somebody: five minutes later it is put back again.
    client.pass(30).await;
    client.batch("UpdateComputeEnvironment", levels).await.unwrap();
    client.pass(300).await;
    assert_eq!(min().await, 0);
    let (_, state) = client.admin("GET", "state", None).await;
    let fired = |name: &str| {
        let all = state["schedules"].as_array().unwrap().iter();
        all.filter(|schedule| schedule["name"] == name)
            .map(|schedule| schedule["fired"].clone())
            .next()
            .unwrap()
    };
    assert_eq!(fired("autotune-x").as_array().unwrap().len(), 2);
    assert!(
        fired("autotune-camel")[0]["answer"]
            .as_str()
            .unwrap()
            .contains("Unknown parameter")
    );
    // CloudTrail tells whose hand each was, the latest first.
    let levels = json!({"environment": "on-demand", "min_vcpus": 4});
    client.admin("POST", "levels", Some(levels)).await;
    let (own, guard) = ("user/sandbox", "assumed-role/autotune-guard/schedule");
    assert_eq!(hands(&client).await, ["user/somebody-else", guard, own, guard, own]);
    client.pass(3_600).await;
    let gone = get("/schedules/autotune-x?groupName=autotune").await.unwrap_err();
    assert_eq!(gone.1, "ResourceNotFoundException");
}

#[tokio::test(start_paused = true)]
async fn trouble_comes_on_demand_and_only_for_those_with_the_token() {
    let client = Client::new();
    let list = async || client.batch("ListJobs", json!({"jobQueue": "q"})).await;
    let fault =
        |trouble: &str| Some(json!({"trouble": trouble, "service": "batch", "operation": "ListJobs", "count": 1}));
    client.admin("POST", "faults", fault("throttle")).await;
    assert_eq!(list().await.unwrap_err().1, "TooManyRequestsException");
    list().await.unwrap();
    client.admin("POST", "faults", fault("server_error")).await;
    assert_eq!(list().await.unwrap_err().0, 500);
    client.admin("POST", "faults", fault("denied")).await;
    assert_eq!(list().await.unwrap_err().1, "AccessDeniedException");
    client.admin("POST", "faults", fault("reset")).await;
    let request = Client::request("batch", "POST", "/v1/listjobs", &[], b"{\"jobQueue\": \"q\"}".to_vec());
    let broken = client.router.clone().oneshot(request).await.unwrap();
    assert!(axum::body::to_bytes(broken.into_body(), 1_000).await.is_err());
    let late = json!({"trouble": "latency", "latency_ms": 3_000, "count": 1});
    client.admin("POST", "faults", Some(late)).await;
    let took = clock::Stopwatch::start();
    list().await.unwrap();
    assert!((3.0..3.1).contains(&took.seconds()));
    let (status, _) = client
        .admin("POST", "faults", Some(json!({"trouble": "explode"})))
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let no_token = Client::request(
        "none",
        "GET",
        "/_autotune/state",
        &[("x-autotune-token", "guess")],
        Vec::new(),
    );
    assert_eq!(client.raw(no_token).await.0, StatusCode::UNAUTHORIZED);
    let clock = Client::request("none", "GET", "/_autotune/clock", &[], Vec::new());
    let told: Value = serde_json::from_slice(&client.raw(clock).await.2).unwrap();
    assert_eq!(told, json!({"now_ms": NOW.millis(), "factor": 0}));
}

#[tokio::test(start_paused = true)]
async fn an_outside_hand_a_drought_and_an_interruption_hit_the_world() {
    let client = Client::new();
    let levels = json!({"environment": "on-demand", "min_vcpus": 16});
    client.admin("POST", "levels", Some(levels)).await;
    assert_eq!(
        client.environment("on-demand").await["computeResources"]["minvCpus"],
        16
    );
    client
        .submit(json!({"jobQueue": "spot-q", "containerOverrides": {"command": ["sleep", "9000"]}}))
        .await;
    client.pass(90).await;
    let spot = json!({"environment": "spot", "seconds": 3_600});
    client.admin("POST", "drought", Some(spot)).await;
    let (_, hit) = client
        .admin(
            "POST",
            "interruption",
            Some(json!({"environment": "spot", "instances": 5})),
        )
        .await;
    assert_eq!(hit["instances"], 1);
    client.pass(10).await;
    let events = receive(&client).await;
    assert!(
        events
            .iter()
            .any(|event| event["detail-type"] == "EC2 Spot Instance Interruption Warning"),
        "{events:?}"
    );
    client.pass(600).await;
    let (_, state) = client.admin("GET", "state", None).await;
    assert_eq!(state["environments"][1]["there_vcpus"], 0);
    let (status, _) = client
        .admin("POST", "drought", Some(json!({"environment": "nobody", "seconds": 1})))
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn more_requests_than_an_account_gets_are_throttled_by_simulated_time() {
    let client = Client::new();
    client.admin("POST", "clock", Some(json!({"factor": 60}))).await;
    let ask = async || client.batch("DescribeJobs", json!({"jobs": []})).await;
    let mut refused = 0;
    for _ in 0..30 {
        refused += usize::from(ask().await.is_err());
    }
    assert_eq!(refused, 20);
    clock::wait(Span::from_millis(17)).await;
    ask().await.unwrap();
}
