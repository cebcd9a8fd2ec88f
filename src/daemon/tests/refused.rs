//! Launches that EC2 refused.

use std::sync::Arc;

use super::account::START;
use super::told::{Lines, message};
use super::{Life, account, minutes};
use crate::daemon::cloud::{FailedLaunch, LaunchSource};
use crate::metrics::Metrics;
use crate::units::Span;

/// AWS Batch says nothing of a quota that is used up; Auto Scaling does.
#[tokio::test(start_paused = true)]
async fn a_launch_that_ec2_refused_is_told_everywhere() {
    let account = account();
    account.set_runnable(8, 4);
    let refused = |minute: i64| FailedLaunch {
        at: START + Span::from_minutes(minute),
        code: "MaxSpotInstanceCountExceeded".to_owned(),
        message: "Max spot instance count exceeded\u{1b}[2J. Launching EC2 instance failed.".to_owned(),
        quota: Some("L-34B43A08".to_owned()),
        source: LaunchSource::AutoScaling,
    };
    account.with(|state| state.refused.insert("spot".to_owned(), vec![refused(1), refused(2)]));
    let metrics = Arc::new(Metrics::default());
    let counted = Arc::clone(&metrics);
    let life = Life::begin(&account, |options| options.metrics = counted);
    minutes(6).await;
    let (spot, other) = account.with(|state| (state.reads["launches spot"], state.reads["launches ondemand"]));
    assert!(
        spot >= 5 && other <= 2,
        "asked for where nothing comes: {spot} and {other}"
    );
    let snapshot = life.snapshot.borrow().clone();
    let told: Vec<_> = snapshot.environments[0]
        .reasons
        .iter()
        .filter(|told| told.code == "launch_refused")
        .collect();
    let details: Vec<_> = told.iter().map(|told| told.detail.as_deref()).collect();
    assert_eq!(details, [Some("spot_limit"), None], "{told:?}");
    assert!(
        told[0]
            .sentence
            .contains("eu-central-1.console.aws.amazon.com/servicequotas"),
        "{told:?}"
    );
    assert!(
        told[1]
            .sentence
            .contains("Auto Scaling at 2026-01-01T09:02:00Z: MaxSpotInstanceCountExceeded (service quota L-34B43A08)"),
        "{told:?}"
    );
    assert!(!told[1].sentence.contains('\u{1b}'), "{told:?}");
    let counter = r#"refused_launches_total{environment="spot",reason="quota"} 2"#;
    assert!(metrics.render().contains(counter), "{}", metrics.render());
    life.end().await.unwrap();
}

/// In a drought a launch is refused every minute.
#[tokio::test(start_paused = true)]
async fn refused_launches_of_one_kind_have_one_line_an_hour_and_all_are_counted() {
    let lines = Lines::default();
    let _capturing = lines.capture();
    let account = account();
    account.set_runnable(8, 4);
    let metrics = Arc::new(Metrics::default());
    let counted = Arc::clone(&metrics);
    let life = Life::begin(&account, |options| options.metrics = counted);
    for minute in 0..45 {
        let refused = FailedLaunch {
            at: START + Span::from_minutes(minute),
            code: "UnfulfillableCapacity".to_owned(),
            message: "Could not launch Spot Instances.".to_owned(),
            quota: None,
            source: LaunchSource::AutoScaling,
        };
        account.with(|state| state.refused.insert("spot".to_owned(), vec![refused]));
        minutes(1).await;
    }
    let logged = lines.taken();
    let logged = logged.iter().filter(|line| message(line) == "EC2 refused a launch");
    assert_eq!(logged.count(), 1);
    let rendered = metrics.render();
    let series = r#"refused_launches_total{environment="spot",reason="capacity"} "#;
    let all = rendered.split_once(series).unwrap().1.lines().next().unwrap();
    assert!(all.parse::<u32>().unwrap() >= 5, "{all}");
    life.end().await.unwrap();
}
