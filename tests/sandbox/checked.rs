//! `autotune check` over a simulated account: what it finds, and that it can look at all there is.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::Sandbox;

const POLICY: &str = "version = 1\n[queues.\"*\"]\nidle_time = \"5m\"\n";

/// An account with Spot before On-Demand and quotas that nobody will reach.
const SCENARIO: &str = "version = 1\n\
    [[environments]]\nname = \"spot\"\npurchase = \"spot\"\nmax_vcpus = 128\ninstance_types = [\"c6i\", \"m6i\"]\n\
    allocation = \"spot_price_capacity_optimized\"\ntags = { autotune = \"enabled\" }\n\
    [[environments]]\nname = \"on-demand\"\nmax_vcpus = 128\ninstance_types = [\"c6i\", \"m6i\"]\n\
    tags = { autotune = \"enabled\" }\n\
    [[queues]]\nname = \"default\"\nenvironments = [\"spot\", \"on-demand\"]\nreservation_percent = 10\n\
    [retries]\nattempts = 3\n";

/// What a check came to.
struct Checked {
    /// Codes of all findings.
    found: BTreeSet<String>,
    /// Those of errors and warnings.
    bad: BTreeSet<String>,
    /// Codes of rules that could not look, with why.
    open: BTreeSet<(String, String)>,
    exit: Option<i32>,
    told: Value,
}

fn folder(scenario: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("scenario.toml"), scenario).unwrap();
    std::fs::write(folder.path().join("policy.toml"), POLICY).unwrap();
    folder
}

fn account(folder: &Path) -> Sandbox {
    // Its time stands still: nothing is throttled, and nothing changes between two looks.
    Sandbox::over(folder.join("scenario.toml").to_str().unwrap(), &["--speed", "0"])
}

fn check(sandbox: &Sandbox, folder: &Path) -> Checked {
    let output = Command::new(env!("CARGO_BIN_EXE_autotune"))
        .args(["check", "--output", "json", "--policy"])
        .arg(folder.join("policy.toml"))
        .args(["--role", "arn:aws:iam::111122223333:role/autotune"])
        .envs(&sandbox.variables)
        .current_dir(folder)
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let trouble = String::from_utf8(output.stderr).unwrap();
    assert!(told.starts_with('{'), "{told}{trouble}");
    let told: Value = serde_json::from_str(&told).unwrap();
    let text = |at: &Value| at.as_str().unwrap().to_owned();
    let findings = told["findings"].as_array().unwrap().iter();
    let bad = findings.clone().filter(|finding| finding["severity"] != "info");
    let open = told["could_not_check"].as_array().unwrap().iter().flat_map(|one| {
        let codes = one["codes"].as_array().unwrap().iter();
        codes.map(|code| (text(code), text(&one["because"])))
    });
    Checked {
        found: findings.map(|finding| text(&finding["code"])).collect(),
        bad: bad.map(|finding| text(&finding["code"])).collect(),
        open: open.collect(),
        exit: output.status.code(),
        told,
    }
}

pub(super) fn post(sandbox: &Sandbox, page: &str, body: &Value) {
    let url = format!("{}/_autotune/{page}", sandbox.variables["AWS_ENDPOINT_URL"]);
    let asked = ureq::post(url).header("x-autotune-token", &sandbox.variables["AUTOTUNE_SANDBOX_TOKEN"]);
    asked.send(body.to_string()).unwrap();
}

#[test]
fn in_an_account_as_it_should_be_nothing_bad_is_found_and_everything_is_looked_at() {
    let folder = folder(SCENARIO);
    let sandbox = account(folder.path());
    let checked = check(&sandbox, folder.path());
    assert_eq!(checked.bad, BTreeSet::new(), "{:#}", checked.told);
    assert_eq!(checked.open, BTreeSet::new(), "{:#}", checked.told);
    assert_eq!(checked.exit, Some(0));
}

#[test]
fn each_flaw_of_the_account_is_found() {
    let folder = folder(SCENARIO);
    for (flaw, code) in [
        ("small_volume", "AT101"),
        ("wrong_device", "AT102"),
        ("no_profile", "AT301"),
        ("wrong_trust", "AT302"),
        ("no_way_out", "AT308"),
        ("few_addresses", "AT309"),
        ("not_offered", "AT407"),
        ("no_guard_role", "AT705"),
    ] {
        let sandbox = account(folder.path());
        post(&sandbox, "flaws", &json!({"flaw": flaw}));
        let checked = check(&sandbox, folder.path());
        assert!(checked.found.contains(code), "{flaw}: {:#}", checked.told);
    }
}

#[test]
fn a_quota_that_the_environments_may_outgrow_is_found() {
    let quota = "[[account.quotas]]\ncode = \"L-1216C47A\"\nlimit_vcpus = 64\n";
    let folder = folder(&format!("{SCENARIO}{quota}"));
    let sandbox = account(folder.path());
    let checked = check(&sandbox, folder.path());
    assert_eq!(checked.bad, BTreeSet::from(["AT601".to_owned()]), "{:#}", checked.told);
    assert_eq!(checked.exit, Some(1));
}

/// As CloudTrail has it.
#[test]
fn whoever_else_scales_an_environment_is_found() {
    let folder = folder(SCENARIO);
    let sandbox = account(folder.path());
    post(&sandbox, "levels", &json!({"environment": "spot", "min_vcpus": 8}));
    let checked = check(&sandbox, folder.path());
    let findings = checked.told["findings"].as_array().unwrap().iter();
    let writers: Vec<_> = findings
        .filter(|finding| finding["code"] == "AT704")
        .map(|finding| (finding["subject"].as_str(), finding["evidence"]["who"].as_str()))
        .collect();
    let who = "arn:aws:iam::111122223333:user/somebody-else";
    assert_eq!(writers, [(Some("spot"), Some(who))], "{:#}", checked.told);
}

/// What the metric does not tell, instances do.
#[test]
fn without_the_metric_of_a_quota_instances_are_counted() {
    let folder = folder(SCENARIO);
    let sandbox = account(folder.path());
    let fault = json!({"trouble": "denied", "service": "cloudwatch", "operation": "GetMetricStatistics"});
    post(&sandbox, "faults", &fault);
    let without = check(&sandbox, folder.path());
    assert!(!without.open.iter().any(|one| one.0 == "AT602"), "{:?}", without.open);
    let fault = json!({"trouble": "denied", "service": "ec2", "operation": "DescribeInstances"});
    post(&sandbox, "faults", &fault);
    let blind = check(&sandbox, folder.path());
    assert!(blind.open.iter().any(|one| one.0 == "AT602"), "{:?}", blind.open);
}

/// Neither a pass nor an alarm.
#[test]
fn what_is_denied_is_told_as_not_looked_at_and_as_denied() {
    let folder = folder(SCENARIO);
    for (service, operation, code) in [
        ("ec2", "DescribeSubnets", "AT308"),
        ("ec2", "DescribeLaunchTemplateVersions", "AT101"),
        ("iam", "GetInstanceProfile", "AT301"),
        ("events", "ListRuleNamesByTarget", "AT706"),
        ("iam", "SimulatePrincipalPolicy", "AT708"),
    ] {
        let sandbox = account(folder.path());
        let fault = json!({"trouble": "denied", "service": service, "operation": operation});
        post(&sandbox, "faults", &fault);
        let checked = check(&sandbox, folder.path());
        assert_eq!(checked.bad, BTreeSet::new(), "{operation}: {:#}", checked.told);
        let open = checked
            .open
            .iter()
            .any(|one| one.0 == code && one.1.contains(operation));
        assert!(open, "{operation}: {:?}", checked.open);
    }
    let sandbox = account(folder.path());
    post(
        &sandbox,
        "faults",
        &json!({"trouble": "denied", "service": "batch", "operation": "DescribeJobs"}),
    );
    let checked = check(&sandbox, folder.path());
    assert_eq!(checked.bad, BTreeSet::from(["AT708".to_owned()]), "{:#}", checked.told);
}
