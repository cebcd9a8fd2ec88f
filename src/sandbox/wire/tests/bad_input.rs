//! What the services answer to what they cannot do.

use super::*;

/// A SubmitJob with something wrong in it.
fn job(name: &str, value: Value) -> Value {
    let mut input = json!({"jobName": "job", "jobQueue": "q", "jobDefinition": "sleep"});
    input[name] = value;
    input
}

#[tokio::test(start_paused = true)]
async fn batch_refuses_in_its_own_words() {
    let client = Client::new();
    let many: Vec<String> = (0..101).map(|job| job.to_string()).collect();
    let one_point = json!({"resourceRequirements": [{"type": "VCPU", "value": "1.0"}]});
    let unknown = json!({"computeEnvironment": "nobody", "computeResources": {"minvCpus": 1}});
    let token = json!({"jobQueue": "q", "nextToken": "made up"});
    let which = "Exactly one of [jobQueue, arrayJobId, multiNodeJobId] must be specified";
    let definition = "JobDefinition name nobody does not exist or is not in ACTIVE status";
    let required = "One of [state | compute-resources | service-role | unmanaged-vcpus] is required.";
    let exception = "Error executing request, Exception : ";
    let executing = [
        (job("jobName", json!("a.b")), "Job name should match valid pattern"),
        (
            job("arrayProperties", json!({"size": 1})),
            "Array size 1 should be between 2 and 10000",
        ),
        (
            job("containerOverrides", one_point),
            "Value 1.0 for type VCPU is not valid",
        ),
        (json!({"jobName": "x"}), "jobQueue must not be blank."),
    ];
    let executing = executing.map(|(input, text)| ("SubmitJob", input, format!("{exception}{text}")));
    let plain = [
        (
            "SubmitJob",
            job("jobQueue", json!("nobody")),
            "JobQueue nobody not found.",
        ),
        ("SubmitJob", job("jobDefinition", json!("nobody")), definition),
        ("ListJobs", json!({"jobQueue": "nobody"}), "JobQueue nobody not found."),
        ("ListJobs", json!({}), which),
        ("ListJobs", token, "The nextToken provided is not valid"),
        (
            "DescribeJobs",
            json!({"jobs": many}),
            "Maximum number of jobs supported is  100",
        ),
        ("UpdateComputeEnvironment", unknown, "nobody does not exist"),
        (
            "UpdateComputeEnvironment",
            json!({"computeEnvironment": "spot"}),
            required,
        ),
        (
            "TerminateJob",
            json!({"jobId": "x", "reason": "y"}),
            "Job x does not exist",
        ),
    ];
    let plain = plain.map(|(operation, input, text)| (operation, input, text.to_owned()));
    for (operation, input, text) in plain.into_iter().chain(executing) {
        let answer = client.batch(operation, input.clone()).await;
        assert_eq!(
            answer,
            Err((400, "ClientException".to_owned(), text)),
            "{operation} {input}"
        );
    }
    let known = client.batch("DescribeJobs", json!({"jobs": ["made-up", "💥"]}));
    assert_eq!(known.await.unwrap(), json!({"jobs": []}));
}

/// Service, method, path, one header, body, and what comes of it.
struct Wrong(
    &'static str,
    &'static str,
    &'static str,
    (&'static str, &'static str),
    &'static [u8],
    u16,
    &'static str,
);

#[tokio::test(start_paused = true)]
async fn what_is_no_request_is_refused_by_every_protocol() {
    const REST: (&str, &str) = ("accept", "*/*");
    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
    const CBOR: &str = "/service/GraniteServiceVersion20100801/operation/GetMetricData";
    const DEEP: &[u8] = &[b'['; 100_000];
    let target = |target| ("x-amz-target", target);
    let serialization = "SerializationException";
    let unknown = "UnknownOperationException";
    let client = Client::new();
    let cases = [
        Wrong("batch", "POST", "/v1/listjobs", REST, b"not JSON", 400, serialization),
        Wrong("batch", "POST", "/v1/listjobs", REST, b"[]", 400, serialization),
        Wrong("batch", "POST", "/v1/listjobs", REST, DEEP, 400, serialization),
        Wrong(
            "batch",
            "POST",
            "/v1/listjobs",
            REST,
            b"{\"jobQueue\": 7}",
            400,
            serialization,
        ),
        Wrong("batch", "POST", "/v1/explode", REST, b"{}", 404, unknown),
        Wrong("batch", "GET", "/v1/listjobs", REST, b"", 404, unknown),
        Wrong(
            "sqs",
            "POST",
            "/",
            target("AmazonSQS.SendMessage"),
            b"\xff\xfe",
            400,
            serialization,
        ),
        Wrong("sqs", "POST", "/", target("AmazonSQS.Explode"), b"{}", 404, unknown),
        Wrong("any", "POST", "/", target("Nothing.Known"), b"{}", 404, unknown),
        Wrong("ec2", "POST", "/", FORM, b"Action=Explode", 400, "InvalidAction"),
        Wrong("sts", "POST", "/", FORM, b"Action=AssumeRole", 400, "InvalidAction"),
        Wrong(
            "monitoring",
            "POST",
            CBOR,
            ("smithy-protocol", "rpc-v2-cbor"),
            b"\xff",
            400,
            serialization,
        ),
    ];
    for Wrong(service, method, path, header, body, status, code) in cases {
        let request = Client::request(service, method, path, &[header], body.to_vec());
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
