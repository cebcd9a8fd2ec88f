//! The hourly look at the account as `check` has it.

use std::sync::Arc;

use super::{Life, account, minutes};
use crate::metrics::Metrics;

#[tokio::test(start_paused = true)]
async fn findings_are_told_soon_after_the_start_and_looked_for_every_hour() {
    let account = account();
    let metrics = Arc::new(Metrics::default());
    let counted = Arc::clone(&metrics);
    let life = Life::begin(&account, |options| options.metrics = counted);
    minutes(2).await;
    assert!(
        metrics.render().contains("autotune_policy_last_reload_success 1"),
        "the start took the policies"
    );
    let checked = life.snapshot.borrow().checked.clone().unwrap();
    let invalid: Vec<_> = checked.findings.iter().filter(|found| found.code == "AT401").collect();
    assert_eq!(invalid.len(), 2, "{checked:?}");
    assert!(checked.could_not_check > 0, "what the account does not tell is no pass");
    let line = r#"autotune_check_findings{rule="AT401",severity="error"} 2"#;
    assert!(metrics.render().contains(line), "{}", metrics.render());
    let reads = || account.with(|state| state.reads["survey"]);
    assert_eq!(reads(), 1);
    minutes(120).await;
    assert_eq!(reads(), 3);
    // An account that cannot be read is no account without findings.
    account.with(|state| state.fail = ["survey".to_owned()].into());
    minutes(60).await;
    assert_eq!(reads(), 4);
    assert_eq!(
        life.snapshot.borrow().checked.clone().unwrap().findings,
        checked.findings
    );
    life.end().await.unwrap();
}
