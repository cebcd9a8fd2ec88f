//! What the services answer to what they cannot do.

use super::*;

#[tokio::test(start_paused = true)]
async fn batch_refuses_in_its_own_words() {
    let client = Client::new();
    let many: Vec<String> = (0..101).map(|job| job.to_string()).collect();
    let job = |more: Value| {
        let mut input = json!({"jobName": "job", "jobQueue": "q", "jobDefinition": "sleep"});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    let exception = "Error executing request, Exception : ";
    let cases = [
        (
            "SubmitJob",
            job(json!({"jobQueue": "nobody"})),
            "JobQueue nobody not found.".to_owned(),
        ),
        (
            "SubmitJob",
            job(json!({"jobDefinition": "nobody"})),
            "JobDefinition name nobody does not exist or is not in ACTIVE status".to_owned(),
        ),
        (
            "SubmitJob",
            job(json!({"jobName": "a.b"})),
            format!("{exception}Job name should match valid pattern"),
        ),
        (
            "SubmitJob",
            job(json!({"arrayProperties": {"size": 1}})),
            format!("{exception}Array size 1 should be between 2 and 10000"),
        ),
        (
            "SubmitJob",
            job(json!({"containerOverrides": {"resourceRequirements": [{"type": "VCPU", "value": "1.0"}]}})),
            format!("{exception}Value 1.0 for type VCPU is not valid"),
        ),
        (
            "SubmitJob",
            json!({"jobName": "x"}),
            format!("{exception}jobQueue must not be blank."),
        ),
        (
            "ListJobs",
            json!({"jobQueue": "nobody"}),
            "JobQueue nobody not found.".to_owned(),
        ),
        (
            "ListJobs",
            json!({}),
            "Exactly one of [jobQueue, arrayJobId, multiNodeJobId] must be specified".to_owned(),
        ),
        (
            "ListJobs",
            json!({"jobQueue": "q", "nextToken": "made up"}),
            "The nextToken provided is not valid".to_owned(),
        ),
        (
            "DescribeJobs",
            json!({"jobs": many}),
            "Maximum number of jobs supported is  100".to_owned(),
        ),
        (
            "UpdateComputeEnvironment",
            json!({"computeEnvironment": "nobody", "computeResources": {"minvCpus": 1}}),
            "nobody does not exist".to_owned(),
        ),
        (
            "UpdateComputeEnvironment",
            json!({"computeEnvironment": "spot"}),
            "One of [state | compute-resources | service-role | unmanaged-vcpus] is required.".to_owned(),
        ),
        (
            "TerminateJob",
            json!({"jobId": "x", "reason": "y"}),
            "Job x does not exist".to_owned(),
        ),
    ];
    for (operation, input, text) in cases {
        let answer = client.batch(operation, input.clone()).await;
        assert_eq!(
            answer,
            Err((400, "ClientException".to_owned(), text)),
            "{operation} {input}"
        );
    }
    let known = client
        .batch("DescribeJobs", json!({"jobs": ["made-up", "💥"]}))
        .await
        .unwrap();
    assert_eq!(known, json!({"jobs": []}));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_is_refused_by_every_protocol() {
    let client = Client::new();
    let json_target = [("x-amz-target", "AmazonSQS.SendMessage")];
    let unknown_target = [("x-amz-target", "AmazonSQS.Explode")];
    let no_target = [("x-amz-target", "Nothing.Known")];
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let deep = "[".repeat(100_000).into_bytes();
    let cases: [(&str, &str, &str, &[(&str, &str)], &[u8], u16, &str); 12] = [
        (
            "batch",
            "POST",
            "/v1/listjobs",
            &[],
            b"not JSON",
            400,
            "SerializationException",
        ),
        (
            "batch",
            "POST",
            "/v1/listjobs",
            &[],
            b"[]",
            400,
            "SerializationException",
        ),
        (
            "batch",
            "POST",
            "/v1/listjobs",
            &[],
            &deep,
            400,
            "SerializationException",
        ),
        (
            "batch",
            "POST",
            "/v1/listjobs",
            &[],
            b"{\"jobQueue\": 7}",
            400,
            "SerializationException",
        ),
        (
            "batch",
            "POST",
            "/v1/explode",
            &[],
            b"{}",
            404,
            "UnknownOperationException",
        ),
        (
            "batch",
            "GET",
            "/v1/listjobs",
            &[],
            b"",
            404,
            "UnknownOperationException",
        ),
        (
            "sqs",
            "POST",
            "/",
            &json_target,
            b"\xff\xfe",
            400,
            "SerializationException",
        ),
        (
            "sqs",
            "POST",
            "/",
            &unknown_target,
            b"{}",
            404,
            "UnknownOperationException",
        ),
        ("any", "POST", "/", &no_target, b"{}", 404, "UnknownOperationException"),
        ("ec2", "POST", "/", &form, b"Action=Explode", 400, "InvalidAction"),
        ("sts", "POST", "/", &form, b"Action=AssumeRole", 400, "InvalidAction"),
        (
            "monitoring",
            "POST",
            "/service/GraniteServiceVersion20100801/operation/GetMetricData",
            &[("smithy-protocol", "rpc-v2-cbor")],
            b"\xff",
            400,
            "SerializationException",
        ),
    ];
    for (service, method, path, headers, body, status, code) in cases {
        let request = Client::request(service, method, path, headers, body.to_vec());
        let (found, kind, answer) = client.raw(request).await;
        let told = format!("{kind} {}", String::from_utf8_lossy(&answer));
        assert_eq!(found.as_u16(), status, "{service} {path}: {told}");
        assert!(told.contains(code), "{service} {path}: {told}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_dummy_credentials_of_the_region_are_known() {
    let client = Client::new();
    let request = |key: &str, region: &str| {
        let credential = format!("AWS4-HMAC-SHA256 Credential={key}/20260101/{region}/batch/aws4_request, Signature=0");
        Request::post("/v1/describejobqueues")
            .header("host", "localhost:1")
            .header("authorization", credential)
            .body(Body::empty())
            .unwrap()
    };
    client.json(request(ACCESS_KEY_ID, REGION)).await.unwrap();
    let wrong = client.json(request(ACCESS_KEY_ID, "us-east-1")).await.unwrap_err();
    assert_eq!((wrong.0, wrong.1.as_str()), (403, "InvalidSignatureException"));
    assert!(
        wrong.2.contains("scoped to a valid region, not 'us-east-1'"),
        "{}",
        wrong.2
    );
    let wrong = client.json(request("AKIAREALLYREALKEY000", REGION)).await.unwrap_err();
    assert_eq!((wrong.0, wrong.1.as_str()), (403, "UnrecognizedClientException"));
    let unsigned = Request::post("/v1/describejobqueues")
        .header("host", "localhost")
        .body(Body::empty());
    let wrong = client.json(unsigned.unwrap()).await.unwrap_err();
    assert_eq!(
        (wrong.0, wrong.1.as_str()),
        (403, "MissingAuthenticationTokenException")
    );
    let elsewhere = Request::post("/v1/describejobqueues")
        .header("host", "evil.example")
        .body(Body::empty());
    let (status, _, _) = client.raw(elsewhere.unwrap()).await;
    assert_eq!(status, StatusCode::MISDIRECTED_REQUEST);
}
