//! Policies, scenarios and schemas: every problem with its place, exit code 2, and shipped files without any.

use crate::{autotune, file};

const TRACE: &str = "tests/traces/nightly.jsonl.gz";
const SCENARIO: &str = "policies/scenarios/spot-128.toml";

fn simulate(trace: &str, scenario: &str, policy: &str) -> crate::Ended {
    autotune(&["simulate", "--trace", trace, "--scenario", scenario, "--policy", policy])
}

#[test]
fn shipped_policies_are_valid() {
    let ended = autotune(&[
        "validate",
        "policies",
        "reactive",
        "warm-hours",
        "spot-first",
        "thrifty",
        "latency-first",
    ]);
    // A folder is one policy: the shipped ones are alternatives and contradict each other.
    ended.refused(2, &["files of a folder hold together"]);
    let ended = autotune(&[
        "validate",
        "reactive",
        "warm-hours",
        "spot-first",
        "thrifty",
        "latency-first",
        "sqs-ahead",
        "demo",
    ]);
    ended.done(&[]);
    assert_eq!(ended.out.lines().filter(|line| line.ends_with(": ok")).count(), 7);
}

#[test]
fn mistakes_of_a_policy_are_told_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let table: &[(&str, &[&str])] = &[
        ("version = 1\nque = 1\n", &[":2:1: que: found an unknown key"]),
        (
            "version = 1\n[environments.a]\nmin_vcpus = 64\ncap = 32\n",
            &[":3:1: environments.a.min_vcpus: found 64 vCPUs, expected at most the `cap` of 32 vCPUs"],
        ),
        (
            "version = 1\n[tempo]\nlease = \"-5m\"\n",
            &["tempo.lease", "cannot be negative"],
        ),
        (
            "version = 9\n[tempo]\nlease = 5\n",
            &["version: found 9", "tempo.lease: found 5"],
        ),
        ("", &["version: found nothing"]),
        ("version = ", &[":1:11: found"]),
    ];
    for (text, words) in table {
        let path = file(folder.path(), "p.toml", text.as_bytes());
        autotune(&["validate", &path]).refused(2, words);
        simulate(TRACE, SCENARIO, &path).refused(2, words);
    }
    let binary = file(folder.path(), "b.toml", &[0, 159, 146, 150]);
    autotune(&["validate", &binary]).refused(2, &["found bytes that are not UTF-8"]);
}

#[test]
fn mistakes_of_a_scenario_are_told_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let good = std::fs::read_to_string(format!("{}/{SCENARIO}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let table: &[(&str, &str, &[&str])] = &[
        (
            "model =",
            "modle =",
            &["modle: found an unknown key", "did you mean `model`?"],
        ),
        (
            "\"r6i\"]",
            "\"r6ii\"]",
            &["instance_types[4]: found \"r6ii\"", "did you mean `r6i`?"],
        ),
        (
            "max_vcpus = 128",
            "max_vcpus = 128\nmin_vcpus = 256",
            &["min_vcpus: found 256", "`max_vcpus` of 128"],
        ),
        (
            "\"spot\", \"on-demand\"]",
            "\"sport\"]",
            &["queues[0].environments[0]: found \"sport\"", "did you mean `spot`?"],
        ),
        (
            "mean_length = \"30m\"",
            "mean_length = 30",
            &["random_droughts.mean_length: found 30", "write \"30s\""],
        ),
        ("attempts = 5", "attempts = 50", &["retries.attempts: found 50"]),
        ("version = 1", "version = ", &["expected"]),
    ];
    for (from, to, words) in table {
        let bad = good.replace(from, to);
        assert_ne!(bad, good, "{from}");
        let path = file(folder.path(), "s.toml", bad.as_bytes());
        simulate(TRACE, &path, "reactive").refused(2, words);
    }
}

#[test]
fn files_that_are_not_there_are_named() {
    autotune(&["validate", "no-such-policy"]).refused(2, &["no-such-policy", "need no file: reactive"]);
    simulate(TRACE, SCENARIO, "no-such-policy").refused(2, &["no-such-policy", "need no file: reactive"]);
    simulate(TRACE, "no-such-scenario", "reactive").refused(2, &["No such file"]);
    simulate("no-such-trace", SCENARIO, "reactive").refused(3, &["no-such-trace", "No such file"]);
}

#[test]
fn schemas_accept_what_is_shipped() {
    for (kind, folder) in [("policy", "policies"), ("scenario", "policies/scenarios")] {
        let ended = autotune(&["schema", kind]);
        ended.done(&[]);
        let schema: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let files = std::fs::read_dir(format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let toml = files
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "toml"));
        let mut read = 0;
        for path in toml {
            let value: toml::Value = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            let value = serde_json::to_value(value).unwrap();
            assert!(validator.is_valid(&value), "{}", path.display());
            read += 1;
        }
        assert!(read > 3, "{folder}");
    }
}
