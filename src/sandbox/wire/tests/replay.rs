//! The sandbox is the simulator: the same scenario, trace and seed give the same starts, asked or not, step by step or at once.

use super::*;
use crate::ids::{JobIndex, ShapeIndex};
use crate::observation::Shape;
use crate::simulate::drive::replay_alone;
use crate::trace::{ArrayJob, Ending, Job};
use crate::units::{Mebibytes, Vcpus};

/// Chance everywhere: boots, dispatch, pulls, reclaims and droughts.
const CHANCY: &str = r#"
version = 1
model = "recent"

[[environments]]
name = "spot"
purchase = "spot"
min_vcpus = 8
max_vcpus = 128
instance_types = ["c6i", "m6i"]

[[environments]]
name = "on-demand"
max_vcpus = 64
instance_types = ["m6i"]

[[queues]]
name = "q"
environments = ["spot", "on-demand"]

[retries]
attempts = 5

[random_droughts]
mean_between = "30m"
mean_length = "10m""#;

fn trace() -> Trace {
    let size = |vcpus, memory| Shape {
        resources: crate::catalog::Resources {
            vcpus: Vcpus::new(vcpus),
            memory: Mebibytes::new(memory),
            gpus: 0,
        },
        nodes: 1,
    };
    let job = |at: i64, shape: u32, array| Job {
        submit: NOW + Span::from_seconds(at),
        run: Span::from_seconds(200 + at % 1_000),
        recorded_wait: Job::UNKNOWN_WAIT,
        shape: ShapeIndex(shape),
        name: shape,
        dependencies_start: 0,
        dependencies_count: 0,
        spawners: 0,
        array,
        queue: 0,
        ending: Ending::Succeeded,
    };
    let children = (0..40).map(|_| job(1_200, 1, Some(crate::ids::ArrayIndex(0))));
    let singles = (0..60).map(|at| job(at * 37, 0, None));
    let mut jobs: Vec<Job> = singles.chain(children).collect();
    jobs.sort_by_key(|job| (job.submit, job.array.is_some()));
    let first = jobs.iter().position(|job| job.array.is_some()).unwrap();
    Trace {
        jobs,
        shapes: vec![size(2, 4_000), size(4, 20_000)],
        arrays: vec![ArrayJob {
            first: JobIndex::at(first),
            size: 40,
            sequential: false,
        }],
        queues: vec!["q".to_owned()],
        names: vec!["single".to_owned(), "child".to_owned()],
        ..Trace::default()
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_steering_gives_the_same_starts_as_the_simulator() {
    let scenario = Scenario::from_toml("scenario.toml", CHANCY).unwrap();
    let trace = trace();
    let alone = replay_alone(&scenario, &trace, 7, Span::ZERO, &mut |_| {}).unwrap();
    let client = Client::of(CHANCY, trace.clone());
    client.admin("POST", "clock", Some(json!({"factor": 60}))).await;
    // At 60 times the speed, with requests in between, then at once to the end.
    for _ in 0..40 {
        clock::wait(Span::from_millis(997)).await;
        client
            .batch("ListJobs", json!({"jobQueue": "q", "jobStatus": "RUNNABLE"}))
            .await
            .unwrap();
        client
            .batch("ListJobs", json!({"jobQueue": "q", "jobStatus": "PENDING"}))
            .await
            .unwrap();
        let _ = client.environment("spot").await;
    }
    client.admin("POST", "clock", Some(json!({"factor": 0}))).await;
    client.pass(20_000).await;
    let mut seen = Vec::new();
    for (position, expected) in alone.jobs.iter().enumerate() {
        let job = JobIndex::at(position);
        let now = client
            .account
            .with_world(move |world| world.job(job))
            .await
            .unwrap()
            .unwrap();
        // Of an interrupted job the simulator keeps the first attempt, the account the last.
        if now.attempts == 1 {
            let (starting, running) = now.attempt.unwrap();
            seen.push(position);
            assert_eq!((starting, running), (expected.starting, expected.running), "{position}");
            assert_eq!(now.ended, Some(expected.ended), "{position}");
        }
        assert_eq!(now.attempts, expected.attempts, "{position}");
    }
    assert!(seen.len() > 60, "{}", seen.len());
}

/// One after the other, each on an instance.
#[tokio::test(start_paused = true)]
async fn every_attempt_at_interrupted_jobs_is_told() {
    let stormy = format!("{CHANCY}\n[model_overrides]\ninterruption_factor = 3000.0\ninterrupted_share = 1.0\n");
    let client = Client::of(&stormy, trace());
    client.pass(200_000).await;
    let mut expected = 0;
    for position in 0..100 {
        let job = client
            .account
            .with_world(move |world| world.job(JobIndex::at(position)));
        expected += usize::from(job.await.unwrap().unwrap().attempts);
    }
    assert!(expected > 100, "{expected}");
    assert_eq!(attempts_told(&client).await, expected);
}

/// How many attempts DescribeJobs tells of all jobs, which have ended.
async fn attempts_told(client: &Client) -> usize {
    let list = async |of: &str, id: &Value, status: &str| -> Vec<Value> {
        let listed = client.batch("ListJobs", json!({of: id, "jobStatus": status})).await;
        listed.unwrap()["jobSummaryList"].as_array().unwrap().clone()
    };
    let (mut ids, mut parents) = (Vec::new(), Vec::new());
    for status in ["SUCCEEDED", "FAILED"] {
        for job in list("jobQueue", &json!("q"), status).await {
            let is_parent = !job["arrayProperties"].is_null();
            let of_its_kind = if is_parent { &mut parents } else { &mut ids };
            of_its_kind.push(job["jobId"].clone());
        }
    }
    for (parent, status) in parents
        .iter()
        .flat_map(|parent| ["SUCCEEDED", "FAILED"].map(|status| (parent, status)))
    {
        let children = list("arrayJobId", parent, status).await;
        ids.extend(children.into_iter().map(|job| job["jobId"].clone()));
    }
    assert_eq!(ids.len(), 100);
    let told = client.batch("DescribeJobs", json!({"jobs": ids})).await.unwrap();
    let mut sum = 0;
    for job in told["jobs"].as_array().unwrap() {
        let attempts = job["attempts"].as_array().unwrap();
        sum += attempts.len();
        let mut last = job["createdAt"].as_i64().unwrap();
        for attempt in attempts {
            assert!(attempt["container"]["containerInstanceArn"].is_string(), "{job}");
            for at in [&attempt["startedAt"], &attempt["stoppedAt"]] {
                let at = at.as_i64().unwrap_or(last);
                assert!(at >= last, "{job}");
                last = at;
            }
        }
    }
    sum
}

/// A job that is submitted over the wire starts when the same job of a trace would.
#[tokio::test(start_paused = true)]
async fn submitted_and_recorded_jobs_are_alike() {
    let mut trace = trace();
    trace.jobs.retain(|job| job.array.is_none());
    trace.arrays.clear();
    let scenario = Scenario::from_toml("scenario.toml", SCENARIO).unwrap();
    let alone = replay_alone(&scenario, &trace, 7, Span::ZERO, &mut |_| {}).unwrap();
    let client = Client::new();
    let mut ids = Vec::new();
    for job in &trace.jobs {
        let now = client.account.pace().now();
        client.pass(job.submit.since(now).millis() / 1_000).await;
        let seconds = (job.run.millis() / 1_000).to_string();
        let asks = json!([{"type": "VCPU", "value": "2"}, {"type": "MEMORY", "value": "4000"}]);
        let overrides = json!({"command": ["sleep", seconds], "resourceRequirements": asks});
        ids.push(client.submit(json!({"containerOverrides": overrides})).await);
    }
    client.pass(10_000).await;
    for (id, expected) in ids.iter().zip(&alone.jobs) {
        let told = client.batch("DescribeJobs", json!({"jobs": [id]})).await.unwrap();
        let told = ["startedAt", "stoppedAt"].map(|name| told["jobs"][0][name].as_i64().unwrap());
        assert_eq!(told, [expected.running.millis(), expected.ended.millis()]);
    }
}
