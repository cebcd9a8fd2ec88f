//! AWS Batch: jobs from submission to their end, updates, paging, tags.

use super::*;

fn texts(values: &Value, member: &str) -> Vec<String> {
    let values = values.as_array().unwrap().iter();
    values.map(|value| value[member].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_job_goes_through_its_statuses_on_an_instance_that_is_launched_for_it() {
    let client = Client::new();
    let id = client
        .submit(json!({"containerOverrides": {
            "command": ["sleep", "300"],
            "resourceRequirements": [{"type": "VCPU", "value": "4"}, {"type": "MEMORY", "value": "8000"}],
        }}))
        .await;
    assert_eq!(client.status(&id).await, "RUNNABLE");
    let listed = client
        .batch("ListJobs", json!({"jobQueue": "q", "jobStatus": "RUNNABLE"}))
        .await
        .unwrap();
    let job = &listed["jobSummaryList"][0];
    assert_eq!(
        (job["jobId"].as_str(), job["jobName"].as_str()),
        (Some(id.as_str()), Some("job"))
    );
    assert_eq!(job["capacityUsage"], json!([{"capacityUnit": "VCPU", "quantity": 4}]));
    let front = client
        .batch("GetJobQueueSnapshot", json!({"jobQueue": "q"}))
        .await
        .unwrap();
    let first = front["frontOfQueue"]["jobs"][0]["jobArn"].as_str().unwrap();
    assert!(first.ends_with(&id), "{front}");
    assert_eq!(
        client.environment("on-demand").await["computeResources"]["desiredvCpus"],
        0
    );
    // Batch looks after 5 s, the instance needs 70 s, the job 5 s.
    client.pass(10).await;
    let desired = &client.environment("on-demand").await["computeResources"]["desiredvCpus"];
    assert!(desired.as_i64().unwrap() >= 4, "{desired}");
    client.pass(70).await;
    assert_eq!(client.status(&id).await, "STARTING");
    client.pass(1).await;
    let told = client.batch("DescribeJobs", json!({"jobs": [id]})).await.unwrap();
    let job = &told["jobs"][0];
    assert_eq!(job["status"], "RUNNING");
    assert_eq!(job["startedAt"], (NOW + Span::from_seconds(81)).millis());
    assert_eq!(job["container"]["command"], json!(["sleep", "300"]));
    assert!(job["container"]["containerInstanceArn"].is_string());
    client.pass(300).await;
    assert_eq!(client.status(&id).await, "SUCCEEDED");
    client.pass(120).await;
    assert_eq!(
        client.environment("on-demand").await["computeResources"]["desiredvCpus"],
        0
    );
}

#[tokio::test(start_paused = true)]
async fn children_hide_behind_a_parent_that_counts_them_late() {
    let client = Client::new();
    let id = client.submit(json!({"arrayProperties": {"size": 3}})).await;
    assert_eq!(client.status(&id).await, "PENDING");
    let list = async |input: Value| client.batch("ListJobs", input).await.unwrap()["jobSummaryList"].clone();
    assert_eq!(list(json!({"jobQueue": "q", "jobStatus": "RUNNABLE"})).await, json!([]));
    let children = list(json!({"arrayJobId": id, "jobStatus": "RUNNABLE"})).await;
    assert_eq!(
        texts(&children, "jobId"),
        [format!("{id}:0"), format!("{id}:1"), format!("{id}:2")]
    );
    // The parent tells how they stood ten seconds ago.
    for (passes, runnable) in [(9, 0), (1, 3)] {
        client.pass(passes).await;
        let parents = list(json!({"jobQueue": "q", "jobStatus": "PENDING"})).await;
        let summary = &parents[0]["arrayProperties"];
        assert_eq!(
            (&summary["size"], &summary["statusSummary"]["RUNNABLE"]),
            (&json!(3), &json!(runnable))
        );
    }
    client.pass(71).await;
    assert_eq!(client.status(&format!("{id}:2")).await, "RUNNING");
    client.pass(300).await;
    assert_eq!(client.status(&id).await, "SUCCEEDED");
    let ended = list(json!({"jobQueue": "q", "jobStatus": "SUCCEEDED"})).await;
    assert_eq!(ended[0]["arrayProperties"]["statusSummary"]["SUCCEEDED"], 3);
}

#[tokio::test(start_paused = true)]
async fn jobs_wait_for_those_that_they_depend_on_and_fail_with_them() {
    let client = Client::new();
    let array = client.submit(json!({"arrayProperties": {"size": 2}})).await;
    let each = client
        .submit(json!({"arrayProperties": {"size": 2}, "dependsOn": [{"jobId": array, "type": "N_TO_N"}]}))
        .await;
    let after = client.submit(json!({"dependsOn": [{"jobId": each}]})).await;
    let in_turn = client
        .submit(json!({"arrayProperties": {"size": 2}, "dependsOn": [{"type": "SEQUENTIAL"}]}))
        .await;
    assert_eq!(client.status(&format!("{each}:0")).await, "PENDING");
    assert_eq!(client.status(&format!("{in_turn}:0")).await, "RUNNABLE");
    assert_eq!(client.status(&format!("{in_turn}:1")).await, "PENDING");
    assert_eq!(client.status(&after).await, "PENDING");
    client.pass(600).await;
    for job in [&array, &each, &after, &in_turn] {
        assert_eq!(client.status(job).await, "SUCCEEDED");
    }
    let parent = client.submit(json!({})).await;
    let child = client.submit(json!({"dependsOn": [{"jobId": parent}]})).await;
    client
        .batch("TerminateJob", json!({"jobId": parent, "reason": "not needed"}))
        .await
        .unwrap();
    assert_eq!(client.status(&parent).await, "FAILED");
    assert_eq!(client.status(&child).await, "FAILED");
    let told = client
        .batch("DescribeJobs", json!({"jobs": [parent, child]}))
        .await
        .unwrap();
    assert_eq!(
        texts(&told["jobs"], "statusReason"),
        ["not needed", "Dependent Job failed"]
    );
}

#[tokio::test(start_paused = true)]
async fn terminating_gives_room_back_and_cancelling_leaves_what_runs() {
    let client = Client::new();
    let large = json!({"resourceRequirements": [{"type": "VCPU", "value": "16"}, {"type": "MEMORY", "value": "1000"}]});
    let large = json!({"containerOverrides": {"command": ["sleep", "9000"], "resourceRequirements": large["resourceRequirements"]}});
    let first = client.submit(large.clone()).await;
    client.pass(100).await;
    client
        .batch("CancelJob", json!({"jobId": first, "reason": "no"}))
        .await
        .unwrap();
    assert_eq!(client.status(&first).await, "RUNNING");
    let waits = client.submit(large).await;
    client
        .batch("CancelJob", json!({"jobId": waits, "reason": "no"}))
        .await
        .unwrap();
    assert_eq!(client.status(&waits).await, "FAILED");
    client
        .batch("TerminateJob", json!({"jobId": first, "reason": "enough"}))
        .await
        .unwrap();
    assert_eq!(client.status(&first).await, "FAILED");
    client.pass(600).await;
    let (_, told) = client.admin("GET", "state", None).await;
    assert_eq!(
        (&told["environments"][0]["there_vcpus"], &told["jobs_open"]),
        (&json!(0), &json!(0))
    );
}

#[tokio::test(start_paused = true)]
async fn a_listing_comes_in_pages_and_each_job_once() {
    let client = Client::new();
    let array = client.submit(json!({"arrayProperties": {"size": 2_500}})).await;
    let mut ids = Vec::new();
    let mut input = json!({"arrayJobId": array, "jobStatus": "RUNNABLE"});
    let mut pages = 0;
    loop {
        let page = client.batch("ListJobs", input.clone()).await.unwrap();
        ids.extend(texts(&page["jobSummaryList"], "jobId"));
        pages += 1;
        let Some(token) = page.get("nextToken") else { break };
        input["nextToken"] = token.clone();
    }
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), pages), (2_500, 3));
}

#[tokio::test(start_paused = true)]
async fn updates_follow_the_rules_of_scaling_updates() {
    let client = Client::new();
    let update = async |resources: Value| {
        let input = json!({"computeEnvironment": "on-demand", "computeResources": resources});
        client
            .batch("UpdateComputeEnvironment", input)
            .await
            .map(drop)
            .map_err(|(_, code, text)| {
                assert_eq!(code, "ClientException");
                text
            })
    };
    assert_eq!(update(json!({"minvCpus": 16, "desiredvCpus": 16})).await, Ok(()));
    assert_eq!(client.environment("on-demand").await["status"], "UPDATING");
    let modified = "Cannot update, resource is being modified.";
    assert_eq!(update(json!({"minvCpus": 0})).await, Err(modified.to_owned()));
    client.pass(20).await;
    let told = client.environment("on-demand").await;
    assert_eq!(told["status"], "VALID");
    let levels = ["minvCpus", "desiredvCpus", "maxvCpus"].map(|name| told["computeResources"][name].as_i64().unwrap());
    assert_eq!(levels, [16, 16, 256]);
    let lowered = update(json!({"desiredvCpus": 4})).await.unwrap_err();
    assert!(
        lowered.starts_with("Manually scaling down compute environment is not supported"),
        "{lowered}"
    );
    let range = "desiredvCpus should be between minvCpus and maxvCpus.";
    assert_eq!(update(json!({"desiredvCpus": 300})).await, Err(range.to_owned()));
    let order = "maxvCpus should be greater than or equal to minvCpus.";
    assert_eq!(update(json!({"maxvCpus": 8})).await, Err(order.to_owned()));
    let empty = "At least one compute-resources attribute must be specified";
    assert_eq!(update(json!({})).await, Err(empty.to_owned()));
    assert_eq!(update(json!({"minvCpus": 0})).await, Ok(()));
    client.pass(300).await;
    assert_eq!(
        client.environment("on-demand").await["computeResources"]["desiredvCpus"],
        0
    );
}

#[tokio::test(start_paused = true)]
async fn tags_are_set_listed_and_removed() {
    let client = Client::new();
    let arn = client.environment("on-demand").await["computeEnvironmentArn"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/v1/tags/{}", arn.replace(':', "%3A").replace('/', "%2F"));
    let request = |method: &str, query: &str, body: Value| {
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        Client::request("batch", method, &format!("{path}{query}"), &[], body)
    };
    let tags = json!({"tags": {"autotune:override": "pause"}});
    client.json(request("POST", "", tags)).await.unwrap();
    let told = client.json(request("GET", "", Value::Null)).await.unwrap();
    assert_eq!(
        told["tags"],
        json!({"autotune": "enabled", "autotune:override": "pause"})
    );
    assert_eq!(client.environment("on-demand").await["tags"], told["tags"]);
    client
        .json(request("DELETE", "?tagKeys=autotune%3Aoverride", Value::Null))
        .await
        .unwrap();
    assert_eq!(
        client.environment("on-demand").await["tags"],
        json!({"autotune": "enabled"})
    );
}

#[tokio::test(start_paused = true)]
async fn definitions_have_revisions_and_overrides_change_what_they_ask_for() {
    let client = Client::new();
    let definition = |vcpus: &str| {
        json!({"jobDefinitionName": "align", "type": "container", "containerProperties": {
            "image": "busybox",
            "resourceRequirements": [{"type": "VCPU", "value": vcpus}, {"type": "MEMORY", "value": "2000"}],
        }})
    };
    for (vcpus, revision) in [("2", 1), ("8", 2)] {
        let told = client.batch("RegisterJobDefinition", definition(vcpus)).await.unwrap();
        assert_eq!(told["revision"], revision);
    }
    let told = client
        .batch("DescribeJobDefinitions", json!({"jobDefinitionName": "align"}))
        .await
        .unwrap();
    assert_eq!(told["jobDefinitions"].as_array().unwrap().len(), 2);
    let vcpus = async |definition: &str, overrides: Value| {
        let id = client
            .submit(json!({"jobDefinition": definition, "containerOverrides": overrides}))
            .await;
        let told = client.batch("DescribeJobs", json!({"jobs": [id]})).await.unwrap();
        told["jobs"][0]["container"]["resourceRequirements"][0]["value"].clone()
    };
    assert_eq!(vcpus("align", json!({})).await, "8");
    assert_eq!(vcpus("align:1", json!({})).await, "2");
    let more = json!({"resourceRequirements": [{"type": "VCPU", "value": "3"}]});
    assert_eq!(vcpus("align:1", more).await, "3");
}

/// What can never run is told as AWS Batch tells it, and does not hold others.
#[tokio::test(start_paused = true)]
async fn a_job_that_fits_nowhere_is_runnable_with_a_reason() {
    let client = Client::new();
    let id = client
        .submit(json!({"containerOverrides": {"resourceRequirements": [{"type": "VCPU", "value": "500"}]}}))
        .await;
    let told = client.batch("DescribeJobs", json!({"jobs": [id]})).await.unwrap();
    assert_eq!(told["jobs"][0]["status"], "RUNNABLE");
    let reason = told["jobs"][0]["statusReason"].as_str().unwrap();
    assert!(
        reason.starts_with("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"),
        "{reason}"
    );
    client
        .batch("TerminateJob", json!({"jobId": id, "reason": "too large"}))
        .await
        .unwrap();
    assert_eq!(client.status(&id).await, "FAILED");
}
