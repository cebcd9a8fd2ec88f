//! The real `Cloud` over HTTP against moto, which tests/run starts and tests/aws/seed.py fills.
//!
//! Moto accepts an update and ignores its numbers, holds no job RUNNABLE and knows no snapshot of a queue, no quota of EC2 and no
//! CBOR: those are proved with recorded replies inside the library.

use autotune::account::Platform;
use autotune::account::survey::Counted;
use autotune::aws::{Aws, AwsSettings, GuardSettings};
use autotune::catalog::Purchase;
use autotune::control::Outcome;
use autotune::daemon::cloud::{Cloud, Hint, NamedGuard, Tagged};
use autotune::daemon::leadership::{Claim, Claimed, Held, Lock};
use autotune::jobs::JobStatus;
use autotune::planner::plan::Change;
use autotune::units::{MicroUsd, Span, Time, Vcpus};

/// The account that moto simulates.
const ACCOUNT: &str = "123456789012";

fn settings() -> AwsSettings {
    #[expect(clippy::disallowed_methods, reason = "tests/run says so where it started moto")]
    let url = std::env::var("AUTOTUNE_TEST_MOTO").expect("AUTOTUNE_TEST_MOTO is set by tests/run");
    AwsSettings {
        region: Some("eu-central-1".to_owned()),
        events_queue_url: Some(format!("{url}/{ACCOUNT}/events")),
        guard: Some(GuardSettings {
            group: "autotune".to_owned(),
            role_arn: format!("arn:aws:iam::{ACCOUNT}:role/autotune-guard"),
        }),
        endpoint_url: Some(url),
        leadership_table: Some("autotune".to_owned()),
        ..AwsSettings::default()
    }
}

pub(crate) async fn moto() -> Aws {
    Aws::connect(&settings()).await.unwrap()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[tokio::test]
#[ignore = "needs moto: tests/run provides it"]
async fn credentials_tell_whose_account_it_is() {
    let identity = moto().await.identity().await.unwrap();
    assert_eq!(
        (identity.account.as_str(), identity.region.as_str()),
        (ACCOUNT, "eu-central-1")
    );
}

#[tokio::test]
#[ignore = "needs moto: tests/run provides it"]
async fn topology_holds_order_purchase_and_types_that_only_ec2_knows() {
    let topology = moto().await.topology().await.unwrap();
    let spot = topology.environments.iter().find(|e| e.name == "spot").unwrap();
    assert_eq!((spot.platform, spot.purchase), (Platform::Ec2, Purchase::Spot));
    assert_eq!((spot.min_vcpus.get(), spot.max_vcpus.get()), (0, 256));
    assert_eq!(spot.tags["autotune"], "steer");
    let types: Vec<_> = spot
        .types
        .iter()
        .map(|t| (t.name.as_str(), t.registered.vcpus.get()))
        .collect();
    assert_eq!(types, [("m5.large", 2), ("mac2.metal", 8)]);
    assert!(
        spot.types
            .iter()
            .all(|t| t.per_hour.get() > 0 && t.registered.memory.get() > 0)
    );
    let queue = topology.queues.iter().find(|q| q.name == "nightly").unwrap();
    assert_eq!(
        (queue.priority, &queue.environments),
        (5, &names(&["spot", "on-demand"]))
    );
}

#[tokio::test]
#[ignore = "needs moto: tests/run provides it"]
async fn environments_and_queues_carry_the_tags_that_are_set() {
    let aws = moto().await;
    let asked = names(&["on-demand"]);
    let subject = Tagged::Environment("on-demand".to_owned());
    let before = aws.environments(&asked).await.unwrap().remove(0);
    assert!(before.now.valid && before.now.enabled && before.cluster.is_some());
    assert_eq!(before.now.max_vcpus, Vcpus::new(256));
    aws.tag(&subject, "autotune:pause", Some("until 2026")).await.unwrap();
    let tagged = aws.environments(&asked).await.unwrap().remove(0);
    assert_eq!(
        tagged.tags.get("autotune:pause").map(String::as_str),
        Some("until 2026")
    );
    aws.tag(&subject, "autotune:pause", None).await.unwrap();
    assert_eq!(aws.environments(&asked).await.unwrap().remove(0).tags, before.tags);
    assert_eq!(aws.queues(&names(&["nightly"])).await.unwrap().len(), 1);
    assert_eq!(aws.instances(&before).await.unwrap().there, Vcpus::ZERO);
}

#[tokio::test]
#[ignore = "needs moto: tests/run provides it"]
async fn jobs_are_listed_and_sized() {
    let aws = moto().await;
    let mut jobs = Vec::new();
    for status in [
        JobStatus::Runnable,
        JobStatus::Starting,
        JobStatus::Running,
        JobStatus::Succeeded,
    ] {
        jobs.extend(aws.list_jobs("nightly", status, None).await.unwrap().jobs);
    }
    jobs.sort_by(|a, b| a.id.cmp(&b.id));
    jobs.dedup_by(|a, b| a.id == b.id);
    assert_eq!(jobs.len(), 3);
    let ids: Vec<String> = jobs.iter().map(|job| job.id.clone()).collect();
    let described = aws.describe_jobs(&ids).await.unwrap();
    let sizes: Vec<_> = described
        .iter()
        .filter_map(|job| job.size.as_ref())
        .map(|s| (s.shape.resources.vcpus.get(), s.shape.resources.memory.get()))
        .collect();
    assert_eq!(sizes, [(2, 4096); 3]);
    // How they stand, and when they came, whatever their status.
    let created = aws.list_created("nightly", Time::from_seconds(0), None).await.unwrap();
    assert_eq!(created.jobs.len(), 3);
    for job in &described {
        let listed = created.jobs.iter().find(|listed| listed.id == job.seen.id).unwrap();
        assert_eq!(
            (&job.seen.name, job.seen.created),
            (&listed.name, listed.created),
            "{listed:?}"
        );
        assert!(job.seen.created.is_some());
    }
}

#[tokio::test]
#[ignore = "needs moto: tests/run provides it"]
async fn messages_are_counted_by_name_and_by_url() {
    let aws = moto().await;
    let by_name = aws.messages("work").await.unwrap();
    assert_eq!((by_name.visible, by_name.in_flight, by_name.delayed), (7, 0, 1));
    let url = format!("{}/{ACCOUNT}/work", settings().endpoint_url.unwrap());
    assert_eq!(aws.messages(&url).await.unwrap(), by_name);
    assert!(
        aws.messages("nobody")
            .await
            .unwrap_err()
            .message
            .starts_with("sqs:GetQueueUrl failed")
    );
}

#[tokio::test]
#[ignore = "needs moto: tests/run provides it"]
async fn instances_that_run_count_against_the_quota_of_their_class_and_purchase() {
    let aws = moto().await;
    for (code, expected) in [("L-1216C47A", 2 * 2), ("L-34B43A08", 4), ("L-DB2E81BA", 0)] {
        let (used, counted, _) = aws.used_by_instances(code).await.unwrap();
        assert_eq!((used.get(), counted), (expected, Counted::Instances), "{code}");
    }
    let calls = aws.calls();
    let listings = calls.iter().filter(|row| row.1 == "DescribeInstances").map(|row| row.3);
    assert_eq!(listings.sum::<u64>(), 1);
}

#[tokio::test]
#[ignore = "needs moto: tests/run provides it"]
async fn spot_prices_are_told_for_the_types_that_are_asked_for() {
    let aws = moto().await;
    let names = ["c5.large", "m5.xlarge"].map(str::to_owned);
    let prices = aws.spot_prices(&names).await.unwrap();
    assert_eq!(prices.keys().collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
    assert!(prices.values().all(|price| *price > MicroUsd::ZERO), "{prices:?}");
}

#[tokio::test]
#[ignore = "needs moto: tests/run provides it"]
async fn an_update_is_accepted_and_an_unknown_environment_is_a_failure() {
    let aws = moto().await;
    let change = Change {
        min_vcpus: Some(Vcpus::new(4)),
        desired_vcpus: Some(Vcpus::new(4)),
        max_vcpus: None,
    };
    let answer = aws.send("spot", &change).await;
    assert_eq!(answer.outcome, Outcome::Accepted, "{}", answer.message);
    let answer = aws.send("nobody", &change).await;
    assert_eq!(answer.outcome, Outcome::Failed);
    assert!(!answer.message.is_empty());
    let calls = aws.calls();
    let updates = calls
        .iter()
        .filter(|row| row.1 == "UpdateComputeEnvironment")
        .map(|row| row.3);
    assert_eq!(updates.sum::<u64>(), 2);
}

#[tokio::test]
#[ignore = "needs moto: tests/run provides it"]
async fn guards_are_created_moved_read_back_and_removed() {
    let aws = moto().await;
    let mut guard = NamedGuard {
        environment: "spot".to_owned(),
        fires: Time::from_seconds(4_000_000_000),
        min_vcpus: Vcpus::new(2),
        max_vcpus: None,
    };
    aws.arm(&guard).await.unwrap();
    assert_eq!(aws.guards().await.unwrap(), [guard.clone()]);
    guard.fires = Time::from_seconds(4_000_000_600);
    guard.max_vcpus = Some(Vcpus::new(64));
    aws.arm(&guard).await.unwrap();
    assert_eq!(aws.guards().await.unwrap(), [guard]);
    aws.disarm("spot").await.unwrap();
    aws.disarm("spot").await.unwrap();
    assert_eq!(aws.guards().await.unwrap(), []);
}

#[tokio::test]
#[ignore = "needs moto: tests/run provides it"]
async fn more_wake_ups_than_one_call_brings_come_at_once_and_only_once() {
    let aws = moto().await;
    let hints = aws.hints().await.unwrap();
    let interruptions = hints
        .iter()
        .filter(|hint| matches!(hint, Hint::Interruption { .. }))
        .count();
    assert_eq!((interruptions, hints.len()), (11, 12));
    let url = settings().events_queue_url.unwrap();
    let left = aws.messages(&url).await.unwrap();
    assert_eq!((left.visible, left.in_flight), (0, 0));
}

#[tokio::test]
#[ignore = "needs moto: tests/run provides it"]
async fn the_lease_of_the_leader_goes_only_from_hands_that_let_it_go_or_let_it_end() {
    let aws = moto().await;
    let claim = |holder: &str, over: Option<&Held>| Claim {
        name: "moto".to_owned(),
        holder: holder.to_owned(),
        lease: Span::from_seconds(60),
        over: over.cloned(),
    };
    let held = |holder: &str, renewals| Held {
        holder: holder.to_owned(),
        renewals,
        lease: Span::from_seconds(60),
    };
    assert_eq!(aws.claim(&claim("a", None)).await, Ok(Claimed::Ours));
    assert_eq!(aws.claim(&claim("a", None)).await, Ok(Claimed::Ours));
    let theirs = aws.claim(&claim("b", None)).await;
    assert_eq!(theirs, Ok(Claimed::Theirs(held("a", 2))));
    // It was renewed since it was seen.
    let theirs = aws.claim(&claim("b", Some(&held("a", 1)))).await;
    assert_eq!(theirs, Ok(Claimed::Theirs(held("a", 2))));
    let ours = aws.claim(&claim("b", Some(&held("a", 2)))).await;
    assert_eq!(ours, Ok(Claimed::Ours));
    aws.resign("moto", "a").await.unwrap();
    let theirs = aws.claim(&claim("a", None)).await;
    assert_eq!(theirs, Ok(Claimed::Theirs(held("b", 3))));
    aws.resign("moto", "b").await.unwrap();
    assert_eq!(aws.claim(&claim("a", None)).await, Ok(Claimed::Ours));
    aws.resign("moto", "a").await.unwrap();
}
