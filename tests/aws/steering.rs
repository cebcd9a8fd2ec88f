//! A daemon that really steers, from its first write to what it leaves behind, as processes against moto.
//!
//! Moto takes updates and ignores their numbers, so what is asserted here is what was written to journal and account, not what
//! came of it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use autotune::aws::{Aws, AwsSettings, GuardSettings};
use autotune::clock;
use autotune::daemon::cloud::{Cloud, NamedGuard};
use autotune::units::{Time, Vcpus};
use serde_json::{Value, json};

use crate::commands::{Daemon, autotune, moto_url, ran};

const QUEUE: &str = "arn:aws:batch:eu-central-1:123456789012:job-queue/urgent";

/// Settings with something of their own before the tables and after them.
fn settings(folder: &Path, keys: &str, tables: &str) -> PathBuf {
    let url = moto_url();
    let text = format!(
        "region = \"eu-central-1\"\naccount = \"123456789012\"\napply = true\nlisten = \"127.0.0.1:0\"\nendpoint_url = \"{url}\"\n\
         {keys}\n[guard]\ngroup = \"steered\"\nrole_arn = \"arn:aws:iam::123456789012:role/autotune-guard\"\n\
         [journal]\npath = \"{}\"\n{tables}",
        folder.join("journal").display()
    );
    let file = folder.join("autotune.toml");
    std::fs::write(&file, text).unwrap();
    file
}

/// The guards that stand in the account now.
fn guards() -> Vec<NamedGuard> {
    let settings = AwsSettings {
        region: Some("eu-central-1".to_owned()),
        endpoint_url: Some(moto_url()),
        guard: Some(GuardSettings {
            group: "steered".to_owned(),
            role_arn: "unused".to_owned(),
        }),
        ..AwsSettings::default()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { Aws::connect(&settings).await.unwrap().guards().await.unwrap() })
}

fn get(url: &str) -> String {
    ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap()
}

/// Asks again until the answer is right. Moto answers at its own pace; what hangs is ended by whoever runs the tests.
fn until<T>(what: impl Fn() -> Option<T>) -> T {
    loop {
        if let Some(found) = what() {
            return found;
        }
        std::thread::yield_now();
    }
}

fn environment(url: &str) -> Value {
    let status: Value = serde_json::from_str(&get(&format!("{url}/api/v1/status"))).unwrap();
    let environments = status["environments"].as_array().unwrap();
    environments
        .iter()
        .find(|environment| environment["name"] == "steered")
        .cloned()
        .unwrap_or(Value::Null)
}

/// EventBridge tells of a job of the queue.
fn tell(statuses: &[(&str, i64)], from: i64) {
    #[expect(clippy::disallowed_methods, reason = "tests/run says where Python is")]
    let python = std::env::var("AUTOTUNE_TEST_PYTHON").unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/aws/event.py");
    let mut sender = Command::new(python)
        .args([script, &moto_url(), "steered-events"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = sender.stdin.take().unwrap();
    for (status, after) in statuses {
        let at = |after: i64| (from + after) * 1000;
        let mut detail = json!({
            "jobId": "11111111-2222-3333-4444-555555555555", "jobName": "align", "jobQueue": QUEUE, "status": status,
            "jobDefinition": "arn:aws:batch:eu-central-1:123456789012:job-definition/align:1", "createdAt": at(0),
            "container": {"resourceRequirements": [{"type": "VCPU", "value": "2"}, {"type": "MEMORY", "value": "4096"}]},
        });
        if *after >= 100 {
            detail["startedAt"] = at(100).into();
        }
        if *after >= 160 {
            detail["stoppedAt"] = at(160).into();
        }
        let event = json!({
            "source": "aws.batch", "detail-type": "Batch Job State Change", "detail": detail,
            "time": Time::from_seconds(from + after).to_string(),
        });
        writeln!(lines, "{event}").unwrap();
    }
    drop(lines);
    assert!(sender.wait().unwrap().success());
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn what_is_raised_is_guarded_survives_a_kill_and_can_be_released_by_hand_or_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let begin = |keys: &str, tables: &str| settings(folder.path(), keys, tables);
    let settings = begin("", "[leadership]\ntable = \"autotune\"\nname = \"steering\"\n");
    let order = [
        "override",
        "boost",
        "--environment",
        "steered",
        "--vcpus",
        "8",
        "--for",
        "1h",
    ];
    let (code, _, errors) = ran(autotune(&order, &settings));
    assert_eq!(code, 0, "{errors}");

    let (code, plan, notes) = ran(autotune(&["plan"], &settings));
    assert!(code == 2 && plan.contains("min 0 -> 8"), "{plan}{notes}");
    assert!(plan.contains("a person wants"), "it explains itself: {plan}");
    let first = Daemon::begin(&settings);
    let raised = until(|| Some(environment(&first.url)).filter(|seen| seen["accepted"].as_u64() > Some(0)));
    assert!(
        raised["guarded"].as_bool().unwrap() && raised["lease_expires"].is_i64(),
        "{raised}"
    );
    let armed = guards();
    assert_eq!(armed.len(), 1, "{armed:?}");
    assert_eq!(
        (armed[0].environment.as_str(), armed[0].min_vcpus),
        ("steered", Vcpus::ZERO)
    );
    let metrics = get(&format!("{}/metrics", first.url));
    let accepted = r#"autotune_environment_updates_total{environment="steered",outcome="accepted"} "#;
    assert!(
        metrics.contains(accepted) && metrics.contains("autotune_leader 1"),
        "{metrics}"
    );
    drop(first);
    assert_eq!(
        guards().len(),
        1,
        "nothing tidies up after SIGKILL but the guard itself"
    );

    // As from any laptop: nothing but credentials.
    let bare = folder.path().join("bare.toml");
    let text = format!("region = \"eu-central-1\"\nendpoint_url = \"{}\"\n", moto_url());
    std::fs::write(&bare, text).unwrap();
    let by_hand = ["release", "--group", "steered", "--output", "json"];
    let (code, told, errors) = ran(autotune(&by_hand, &bare));
    assert_eq!(code, 0, "{told}{errors}");
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let steered = &told["environments"][0];
    assert!(
        steered["environment"] == "steered" && steered["restored"] == true && steered["min_vcpus"] == 0,
        "{told}"
    );
    assert_eq!(guards(), []);
    let (code, told, errors) = ran(autotune(&["release"], &settings));
    assert_eq!(code, 0, "{told}{errors}");
    assert!(
        errors.contains("no guard is armed in schedule group `steered`"),
        "{errors}"
    );

    // Alone, since a test does not wait a minute for the leadership of the dead; and the only one that ever listened, since
    // moto goes on giving messages to the dead.
    let events = format!("events_queue_url = \"{}/123456789012/steered-events\"", moto_url());
    let settings = begin(&events, "");
    let mut second = Daemon::begin(&settings);
    second.line("Took over a lease");
    wake_ups_become_a_recording_that_replays(second, &settings, folder.path());
}

/// What wake-ups tell of jobs goes to the ledger, and from there to a recording.
fn wake_ups_become_a_recording_that_replays(daemon: Daemon, settings: &Path, folder: &Path) {
    let from = clock::now().millis() / 1000 - 3600;
    tell(
        &[
            ("SUBMITTED", 0),
            ("RUNNABLE", 10),
            ("STARTING", 70),
            ("RUNNING", 100),
            ("SUCCEEDED", 160),
        ],
        from,
    );
    until(|| {
        get(&format!("{}/metrics", daemon.url))
            .contains("autotune_hints_total{kind=\"job\"} 5")
            .then_some(())
    });

    let last = daemon.terminate();
    assert!(last.iter().any(|line| line.contains("Stopped")), "{last:?}");

    let (code, story, errors) = ran(autotune(
        &["explain", "--environment", "steered", "--last", "5"],
        settings,
    ));
    assert!(code == 0 && story.contains("steered: min 0 -> 8"), "{story}{errors}");
    let recording = folder.join("recording.jsonl");
    let file = recording.to_str().unwrap();
    let (code, told, errors) = ran(autotune(
        &["record", "--keep-names", "--output", "json", "--out", file],
        settings,
    ));
    assert_eq!(code, 0, "{errors}");
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert!(told["file"] == file && told["jobs"] == 1, "{told}");
    let job = std::fs::read_to_string(&recording).unwrap();
    assert!(job.contains("urgent") && job.lines().count() == 2, "{job}");
    let replay = [
        "simulate",
        "--trace",
        recording.to_str().unwrap(),
        "--policy",
        "reactive",
        "--scenario",
        "on-demand-500",
    ];
    let replayed = Command::new(assert_cmd::cargo::cargo_bin!("autotune"))
        .args(replay)
        .output()
        .unwrap();
    assert!(
        replayed.status.success(),
        "{}",
        String::from_utf8_lossy(&replayed.stderr)
    );
}
