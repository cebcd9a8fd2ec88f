//! The daemon over a simulated account in this process: the control loop that an account of AWS would see.

use std::path::PathBuf;
use std::sync::Arc;

use autotune::daemon::cadence::Periods;
use autotune::daemon::cloud::{Cloud as _, Tagged};
use autotune::daemon::snapshot::Snapshot;
use autotune::daemon::store::{Kept, Retention, Store};
use autotune::daemon::{self, OnStop};
use autotune::ids::{EnvironmentIndex, JobIndex, ShapeIndex};
use autotune::metrics::Metrics;
use autotune::observation::Shape;
use autotune::overrides::{Order, Ordered, Override, TAG};
use autotune::sandbox::{Account, Options};
use autotune::simulate::drive::replay_alone;
use autotune::simulate::scenario::Scenario;
use autotune::simulate::view::ViewModel;
use autotune::trace::{Ending, Job, Trace};
use autotune::units::{Mebibytes, Span, Time, Vcpus};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const NOW: Time = Time::from_seconds(1_767_258_000);

/// Work for an hour: ten jobs every ten minutes.
fn trace() -> Trace {
    let shape = Shape {
        resources: autotune::catalog::Resources {
            vcpus: Vcpus::new(4),
            memory: Mebibytes::new(8_000),
            gpus: 0,
        },
        nodes: 1,
    };
    let job = |number: i64| Job {
        submit: NOW + Span::from_minutes(number / 10 * 10),
        run: Span::from_seconds(240 + number % 10 * 20),
        recorded_wait: Job::UNKNOWN_WAIT,
        shape: ShapeIndex(0),
        name: 0,
        dependencies_start: 0,
        dependencies_count: 0,
        spawners: 0,
        array: None,
        queue: 0,
        ending: Ending::Succeeded,
    };
    Trace {
        jobs: (0..60).map(job).collect(),
        shapes: vec![shape],
        queues: vec!["default".to_owned()],
        names: vec!["align".to_owned()],
        ..Trace::default()
    }
}

fn options(account: &Account, kept: &Kept) -> (daemon::Options, watch::Receiver<Snapshot>) {
    let (snapshot, told) = watch::channel(Snapshot::default());
    let (_, reload) = watch::channel(0);
    let options = daemon::Options {
        policies: vec![PathBuf::from("reactive")],
        reload,
        apply: true,
        store: Store::Memory(kept.clone()),
        recovered: kept.recovered(),
        retention: Retention::default(),
        tag: None,
        account: Some("111122223333".to_owned()),
        region: Some("eu-central-1".to_owned()),
        on_stop: OnStop::HandOver,
        guard: true,
        unguarded_max_vcpus: Vcpus::new(64),
        periods: Periods::default(),
        events: true,
        leads: None,
        clock: account.clock(),
        metrics: Arc::new(Metrics::default()),
        snapshot,
        in_force: watch::Sender::new(None),
        saved: watch::channel(None).1,
        supervisor: daemon::supervisor::Supervisor::default(),
    };
    (options, told)
}

/// A person orders capacity for the hour of work; the daemon holds it, and lets it go when the order ends. Time stands for whoever
/// waits, so that two hours at 60 times the speed take no two minutes.
#[tokio::test(start_paused = true)]
async fn a_boosted_account_starts_jobs_sooner_and_is_left_at_its_base() {
    let scenario = Scenario::load(&PathBuf::from("on-demand-500")).unwrap();
    let alone = replay_alone(&scenario, &trace(), 1, Span::ZERO, &mut |_| {}).unwrap();
    let made = Options {
        scenario,
        trace: trace(),
        seed: 1,
        account: "111122223333".to_owned(),
        region: "eu-central-1".to_owned(),
        view: ViewModel::recent(),
        idle_from: NOW,
    };
    let account = Account::begin(made, 60).unwrap();
    let since = account.clock().now();
    let ordered = Ordered {
        order: Override {
            order: Order::Boost(Vcpus::new(48)),
            since,
            until: NOW + Span::from_minutes(70),
        },
        by: "test".to_owned(),
    };
    let name = account.topology().await.unwrap().environments.remove(0).name;
    let subject = Tagged::Environment(name);
    account.tag(&subject, TAG, Some(&ordered.format())).await.unwrap();
    let stop = CancellationToken::new();
    let kept = Kept::default();
    let (options, told) = options(&account, &kept);
    let steering = tokio::spawn(daemon::run(Arc::new(account.clone()), options, stop.clone()));
    account.clock().wait(Span::from_minutes(120)).await;
    stop.cancel();
    steering.await.unwrap().unwrap();
    assert!(told.borrow().planned_at.is_some(), "it has planned");
    let mut waited = (Span::ZERO, Span::ZERO);
    for (position, expected) in alone.jobs.iter().enumerate() {
        let job = account.with_world(move |world| world.job(JobIndex::at(position)));
        let (starting, _) = job.await.unwrap().unwrap().attempt.unwrap();
        waited.0 += starting.since(trace().jobs[position].submit);
        waited.1 += expected.starting.since(expected.ready);
    }
    assert!(waited.0.times(2) < waited.1, "steered {}, alone {}", waited.0, waited.1);
    let environments = account.environments(&[]).await.unwrap();
    assert!(
        environments.iter().all(|read| read.now.min_vcpus == Vcpus::ZERO),
        "{environments:?}"
    );
    let there = account
        .with_world(|world| world.there(EnvironmentIndex::at(0)))
        .await
        .unwrap();
    assert_eq!(there, Vcpus::ZERO);
    assert_eq!(account.guards().await.unwrap(), []);
}
