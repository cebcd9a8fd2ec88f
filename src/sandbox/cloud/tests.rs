use super::*;
use crate::sandbox::Options;
use crate::simulate::scenario::Scenario;
use crate::simulate::view::ViewModel;
use crate::trace::Trace;

fn account() -> Account {
    let options = Options {
        scenario: Scenario::load(std::path::Path::new("spot-128")).unwrap(),
        trace: Trace::default(),
        seed: 1,
        account: "111122223333".to_owned(),
        region: "eu-central-1".to_owned(),
        view: ViewModel::perfect(),
        idle_from: Time::from_seconds(1_767_258_000),
    };
    Account::begin(options, 0).unwrap()
}

async fn min(account: &Account) -> i64 {
    let read = account.environments(&["on-demand".to_owned()]).await.unwrap();
    read.first().unwrap().now.min_vcpus.get()
}

#[tokio::test(start_paused = true)]
async fn guards_are_moved_read_back_removed_and_fire() {
    let account = account();
    let now = account.clock().now();
    let mut guard = NamedGuard {
        environment: "on-demand".to_owned(),
        fires: now + Span::from_minutes(5),
        min_vcpus: Vcpus::new(2),
        max_vcpus: Some(Vcpus::new(64)),
    };
    let raise = Change {
        min_vcpus: Some(Vcpus::new(32)),
        desired_vcpus: Some(Vcpus::new(32)),
        max_vcpus: None,
    };
    account.arm(&guard).await.unwrap();
    guard.fires = now + Span::from_minutes(10);
    account.arm(&guard).await.unwrap();
    assert_eq!(account.guards().await.unwrap(), [guard.clone()]);
    assert_eq!(account.send("on-demand", &raise).await.outcome, Outcome::Accepted);
    assert_eq!(account.send("on-demand", &raise).await.outcome, Outcome::Raced);
    assert_eq!(account.send("nobody", &raise).await.outcome, Outcome::Failed);
    account.skip(Span::from_minutes(9)).await.unwrap();
    assert_eq!(min(&account).await, 32);
    account.skip(Span::from_minutes(2)).await.unwrap();
    assert_eq!(min(&account).await, 2);
    account.disarm("on-demand").await.unwrap();
    account.disarm("on-demand").await.unwrap();
    assert_eq!(account.guards().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn launches_that_were_refused_are_told_once_they_happened() {
    let account = account();
    let now = account.clock().now();
    let drought = |state: &mut State| {
        let environment = state.environment("on-demand").unwrap();
        state.world.begin_drought(environment, Span::from_minutes(60));
    };
    account.ask(drought).await.unwrap();
    let raise = Change {
        min_vcpus: Some(Vcpus::new(32)),
        desired_vcpus: None,
        max_vcpus: None,
    };
    account.send("on-demand", &raise).await;
    account.skip(Span::from_minutes(2)).await.unwrap();
    let named = |name: &str| EnvironmentRead {
        name: name.to_owned(),
        ..EnvironmentRead::default()
    };
    let told = account.failed_launches(&named("on-demand"), now).await.unwrap();
    assert!(!told.is_empty());
    assert_eq!(told[0].code, "InsufficientInstanceCapacity");
    let latest = told[0].at;
    assert_eq!(account.failed_launches(&named("on-demand"), latest).await.unwrap(), []);
    assert_eq!(account.failed_launches(&named("spot"), now).await.unwrap(), []);
    assert!(account.failed_launches(&named("nobody"), now).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn jobs_are_listed_sized_and_told_of_as_they_change() {
    let account = account();
    let submit = |state: &mut State| {
        let sent = json!({"jobName": "array", "jobQueue": "default", "jobDefinition": "sleep", "arrayProperties": {"size": 2}});
        let input = crate::sandbox::input::Input::of(&sent).unwrap();
        state.submit_job(input).unwrap()["jobId"].as_str().unwrap().to_owned()
    };
    let id = account.ask(submit).await.unwrap();
    let page = account.list_jobs("default", JobStatus::Pending, None).await.unwrap();
    assert_eq!((page.jobs.len(), page.jobs[0].array.as_ref().unwrap().size), (1, 2));
    let children = account.list_children(&id, JobStatus::Runnable, None).await.unwrap();
    assert_eq!(children.jobs[1].id, format!("{id}:1"));
    let sizes = account
        .describe_jobs(&[id.clone(), "made up".to_owned()])
        .await
        .unwrap();
    assert_eq!(
        (sizes.len(), sizes[0].size.as_ref().unwrap().shape.resources.vcpus),
        (1, Vcpus::new(1))
    );
    assert_eq!(account.head("default").await.unwrap().unwrap().job, format!("{id}:0"));
    account.skip(Span::from_minutes(30)).await.unwrap();
    assert_eq!(
        account
            .list_jobs("default", JobStatus::Succeeded, None)
            .await
            .unwrap()
            .jobs[0]
            .id,
        id
    );
    account.ask(submit).await.unwrap();
    account.skip(Span::from_minutes(4)).await.unwrap();
    let hints = account.hints().await.unwrap();
    let job = hints.iter().find_map(|hint| match hint {
        Hint::Job { job, queue, .. } => (job.status == JobStatus::Runnable).then(|| (job.clone(), queue.clone())),
        Hint::Blocked { .. } | Hint::Instance { .. } | Hint::Interruption { .. } | Hint::Malformed => None,
    });
    let (job, queue) = job.unwrap();
    assert_eq!((queue.as_str(), job.vcpus), ("default", Some(Vcpus::new(1))));
    assert!(!hints.contains(&Hint::Malformed), "{hints:?}");
}
