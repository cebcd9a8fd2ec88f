//! `autotune validate` and `autotune schema` as a script sees them: exit codes, and what goes to which stream.

#![expect(clippy::unwrap_used, reason = "a test binary: to panic is to fail")]

use assert_cmd::Command;

fn autotune(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::cargo_bin("autotune").unwrap();
    let output = command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn good_policies_end_with_zero_and_one_line_each() {
    let (code, out, err) = autotune(&["validate", "policies/reactive.toml", "thrifty"]);
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (Some(0), "policies/reactive.toml: ok\nthrifty: ok\n", "")
    );
}

#[test]
fn problems_of_all_paths_end_with_two_and_leave_standard_output_empty() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.toml");
    std::fs::write(&bad, "version = 1\nqueue = 1\n[tempo]\nlease = 5\n").unwrap();
    let (code, out, err) = autotune(&["validate", bad.to_str().unwrap(), "no-such-file", "reactive"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(
        err.contains("bad.toml:2:1: queue: found an unknown key") && err.contains("did you mean `queues`?"),
        "{err}"
    );
    assert!(err.contains("bad.toml:4:9: tempo.lease: found 5"), "{err}");
    assert!(err.contains("no-such-file: found nothing that can be read"), "{err}");
    assert!(err.ends_with("3 problems\n"), "{err}");
}

#[test]
fn schedules_are_shown_from_a_given_time() {
    let arguments = [
        "validate",
        "warm-hours",
        "--schedules",
        "1",
        "--from",
        "2026-01-01T00:00Z",
    ];
    let (code, out, err) = autotune(&arguments);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let window = "#   Thu 2026-01-01 07:30 UTC to Thu 2026-01-01 18:30 UTC: headroom 4 (schedules[0])\n";
    assert!(out.ends_with(window), "{out}");
}

#[test]
fn enforced_limits_without_a_guard_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (policy, settings) = (path("policy.toml"), path("autotune.toml"));
    std::fs::write(&policy, "version = 1\n[environments.\"*\"]\nlimits = \"enforce\"\n").unwrap();
    let with = |rest: &str| std::fs::write(&settings, format!("policies = [{policy:?}]\n{rest}")).unwrap();
    with("");
    for arguments in [&["validate", &settings][..], &["validate", &settings, &policy]] {
        let (code, _, err) = autotune(arguments);
        assert_eq!(code, Some(0));
        assert_eq!(err.matches("warning:").count(), 1, "{err}");
        assert!(
            err.contains("limits: found \"enforce\", which acts as \"clamp\""),
            "{err}"
        );
    }
    with("[guard]\ngroup = \"g\"\nrole_arn = \"arn:aws:iam::123456789012:role/guard\"\n");
    let (code, _, err) = autotune(&["validate", &settings, &policy]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
}

#[test]
fn settings_are_checked_with_the_policies_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
    write("autotune.toml", "policies = [\"policy.toml\", \"demo\"]\n");
    let settings = path("autotune.toml");
    let (code, out, err) = autotune(&["validate", &settings]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    let missing = format!("{}: found nothing that can be read", path("policy.toml"));
    assert!(err.contains(&missing) && err.ends_with("1 problem\n"), "{err}");
    write("policy.toml", "version = 1\n[queue.q]\n");
    let slip = format!("{}:2:2: queue: found an unknown key", path("policy.toml"));
    for also in [path("policy.toml"), path("./policy.toml"), path(""), settings.clone()] {
        let (code, out, err) = autotune(&["validate", &settings, &also]);
        assert_eq!((code, out.as_str()), (Some(2), ""));
        assert!(
            err.ends_with("1 problem\n") && err.contains("policy.toml:2:2: queue"),
            "{also}: {err}"
        );
    }
    assert!(autotune(&["validate", &settings]).2.contains(&slip));
    write("policy.toml", "version = 1\n[queues.arrays]\n");
    let (code, _, err) = autotune(&["validate", &settings]);
    assert_eq!(code, Some(2));
    assert!(
        err.contains("queues.arrays: found a second entry of this name"),
        "{err}"
    );
    write("policy.toml", "version = 1\n[queues.q]\n");
    let ok = format!("{settings}: ok, settings\n");
    assert_eq!(autotune(&["validate", &settings]), (Some(0), ok, String::new()));
}

#[test]
fn the_schema_is_json_on_standard_output() {
    let (code, out, err) = autotune(&["schema"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(schema["title"], "PolicyFile");
}

const SCENARIO: &str = r#"version = 1
[[environments]]
name = "a"
max_vcpus = 64
[[queues]]
name = "q"
environments = ["a"]
"#;

#[test]
fn files_of_a_folder_are_told_apart_by_their_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("a.toml"), SCENARIO).unwrap();
    let only_scenario = autotune(&["validate", &path("")]);
    assert_eq!(
        only_scenario.1,
        format!("{}: ok, a scenario\n", path("a.toml")),
        "{}",
        only_scenario.2
    );
    std::fs::write(path("b.toml"), "version = 1\n[queues.q]\n").unwrap();
    let (code, out, err) = autotune(&["validate", &path(""), "spot-128"]);
    let expected = format!(
        "{}: ok\n{}: ok, a scenario\nspot-128: ok, a scenario\n",
        path("b.toml"),
        path("a.toml")
    );
    assert_eq!((code, out, err), (Some(0), expected, String::new()));
    // As a policy the folder is refused: the scenario could be a policy with a mistake, and none is left out in silence.
    let replay = ["simulate", "--trace", "tests/traces/nightly.jsonl.gz", "--scenario"];
    let (code, out, err) = autotune(&[&replay[..], &["spot-128", "--policy", &path("")]].concat());
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("a.toml: found a scenario, expected a policy"), "{err}");
}

#[test]
fn every_problem_of_policies_and_scenarios_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let bad = SCENARIO
        .replace("max_vcpus = 64", "max_vcpus = 64\nzones = 0\nzone = 3")
        .replace("[\"a\"]", "[\"b\"]");
    std::fs::write(path("a.toml"), bad).unwrap();
    std::fs::write(path("b.toml"), "version = 1\n[tempo]\nlease = 5\n").unwrap();
    let (code, out, err) = autotune(&["validate", &path("")]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    for words in [
        "a.toml:5:9: environments[0].zones: found 0, expected ",
        "a.toml:6:1: environments[0].zone: found an unknown key",
        "did you mean `zones`?",
        "a.toml:9:17: queues[0].environments[0]: found \"b\", expected an environment of this file: \"a\"",
        "b.toml:3:9: tempo.lease: found 5",
        "4 problems\n",
    ] {
        assert!(err.contains(words), "`{words}` is missing in\n{err}");
    }
}

#[test]
fn what_is_shown_of_a_shipped_scenario_replays_like_it() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["spot-128", "folk-2020", "two-queues", "on-demand-500", "demo-account"] {
        let (code, shown, err) = autotune(&["validate", name, "--show-effective"]);
        assert_eq!((code, err.as_str()), (Some(0), ""));
        assert!(
            shown
                .lines()
                .any(|line| line.starts_with("launch_retry = ") && line.ends_with("# default")),
            "{shown}"
        );
        let path = folder.path().join("shown.toml");
        std::fs::write(&path, shown).unwrap();
        let replay = |scenario: &str| {
            let trace = "tests/traces/nightly.jsonl.gz";
            let arguments = [
                "simulate",
                "--trace",
                trace,
                "--scenario",
                scenario,
                "--policy",
                "reactive",
                "--output",
                "json",
            ];
            let (code, out, err) = autotune(&arguments);
            assert_eq!(code, Some(0), "{err}");
            serde_json::from_str::<serde_json::Value>(&out).unwrap()["policies"].clone()
        };
        assert_eq!(replay(path.to_str().unwrap()), replay(name), "{name}");
    }
}
