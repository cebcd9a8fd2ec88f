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
fn the_schema_is_json_on_standard_output() {
    let (code, out, err) = autotune(&["schema"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(schema["title"], "PolicyFile");
}
