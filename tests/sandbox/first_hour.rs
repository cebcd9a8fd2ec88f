//! The first hour of a newcomer over a simulated account: a policy to begin with, and what there is to do with it.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::Sandbox;
use crate::checked::post;

/// Two queues, one of which falls back from Spot, and environments that cannot be steered.
const SCENARIO: &str = "version = 1\n\
    [[environments]]\nname = \"spot\"\npurchase = \"spot\"\nmin_vcpus = 4\nmax_vcpus = 128\ninstance_types = [\"c6i\", \"m6i\"]\n\
    tags = { autotune = \"enabled\" }\n\
    [[environments]]\nname = \"on-demand\"\nmax_vcpus = 128\ninstance_types = [\"c6i\", \"m6i\"]\n\
    [[environments]]\nname = \"pods\"\nplatform = \"eks\"\nmax_vcpus = 64\ninstance_types = [\"c6i\"]\n\
    [[queues]]\nname = \"nightly\"\nenvironments = [\"spot\", \"on-demand\"]\n\
    [[queues]]\nname = \"pods\"\nenvironments = [\"pods\"]\n";

struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

fn autotune(sandbox: &Sandbox, folder: &Path, arguments: &[&str]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_autotune"))
        .args(arguments)
        .envs(&sandbox.variables)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended {
        code: output.status.code(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

fn account(folder: &Path, scenario: &str) -> Sandbox {
    let path = folder.join("scenario.toml");
    std::fs::write(&path, scenario).unwrap();
    // Its time stands still: nothing changes between two looks.
    Sandbox::over(path.to_str().unwrap(), &["--speed", "0"])
}

#[test]
fn a_policy_to_begin_with_is_valid_and_planned_with_and_checked_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let sandbox = account(folder, SCENARIO);
    let made = autotune(&sandbox, folder, &["init", "--policy"]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    assert_eq!(autotune(&sandbox, folder, &["init", "--policy"]).out, made.out);
    for part in [
        "[queues.nightly]",
        "[environments.spot]\n# min_vcpus = 4  # not set",
        "[environments.on-demand]\n# min_vcpus = 0  # not set",
        "compute environment pods: on EKS",
        "job queue pods: none of its environments",
        "autotune-events: left out, it is for the daemon's wake-ups",
        "compute-environment/on-demand --tags autotune=enabled",
    ] {
        assert!(made.out.contains(part), "{part}:\n{}", made.out);
    }
    assert!(!made.out.contains("enforce"), "{}", made.out);
    std::fs::write(folder.join("policy.toml"), &made.out).unwrap();
    let valid = autotune(&sandbox, folder, &["validate", "policy.toml"]);
    assert_eq!(valid.code, Some(0), "{}", valid.err);
    let plan = autotune(&sandbox, folder, &["plan", "--policy", "policy.toml"]);
    assert_eq!(plan.code, Some(0), "{}{}", plan.out, plan.err);
    assert!(plan.out.contains("nothing is changed"), "{}", plan.out);
    let checked = autotune(&sandbox, folder, &["check", "--policy", "policy.toml"]);
    assert!(
        !checked.out.contains("AT701") && !checked.out.contains("AT711"),
        "{}",
        checked.out
    );
    // Of one queue only, and of none that there is.
    let one = autotune(&sandbox, folder, &["init", "--policy", "--queue", "pods"]);
    assert!(
        one.code == Some(0) && !one.out.contains("nightly"),
        "{}{}",
        one.out,
        one.err
    );
    let none = autotune(&sandbox, folder, &["init", "--policy", "--queue", "nihgtly"]);
    assert_eq!((none.code, none.out.as_str()), (Some(2), ""), "{}", none.err);
    assert!(none.err.contains("did you mean `nightly`?"), "{}", none.err);
}

#[test]
fn a_quota_that_may_be_outgrown_is_enforced_and_check_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let quota = "[[account.quotas]]\ncode = \"L-34B43A08\"\nlimit_vcpus = 64\n";
    let sandbox = account(folder, &format!("{SCENARIO}{quota}"));
    let made = autotune(&sandbox, folder, &["init", "--policy"]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    assert!(
        made.out.contains("limits = \"enforce\"  # L-34B43A08\n"),
        "{}",
        made.out
    );
    std::fs::write(folder.join("policy.toml"), &made.out).unwrap();
    let checked = autotune(
        &sandbox,
        folder,
        &["check", "--policy", "policy.toml", "--select", "AT601"],
    );
    assert_eq!(checked.code, Some(0), "{}{}", checked.out, checked.err);
}

/// Nothing is left out in silence.
#[test]
fn what_is_denied_is_said_in_the_policy_or_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (service, operation, written) in [
        ("sqs", "ListQueues", true),
        ("servicequotas", "GetServiceQuota", true),
        ("scheduler", "ListSchedules", true),
        ("batch", "DescribeJobQueues", false),
        ("batch", "DescribeComputeEnvironments", false),
    ] {
        let sandbox = account(folder, SCENARIO);
        let fault = json!({"trouble": "denied", "service": service, "operation": operation});
        post(&sandbox, "faults", &fault);
        let made = autotune(&sandbox, folder, &["init", "--policy"]);
        if written {
            assert_eq!(made.code, Some(0), "{operation}: {}", made.err);
            assert!(made.out.contains(operation), "{operation}: {}", made.out);
        } else {
            assert_eq!((made.code, made.out.as_str()), (Some(3), ""), "{operation}");
            assert!(made.err.contains(operation), "{operation}: {}", made.err);
        }
    }
}
