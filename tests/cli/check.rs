//! `autotune check` over a saved account.

use crate::{autotune, file};

const ACCOUNT: &str = "tests/check/account.json";

#[test]
fn findings_of_a_saved_account_are_told_with_evidence_and_fix_and_errors_end_with_1() {
    let ended = autotune(&["check", "--survey", ACCOUNT]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), ""));
    for words in [
        "error",
        "AT102",
        "AT201 user-data-not-mime: lt-1:3",
        "DeviceName: /dev/xvdcz",
        "fix: Write /dev/xvda instead of /dev/xvdcz in BlockDeviceMappings",
        "could not check AT708 of permissions: AccessDenied",
        "1 errors, 2 warnings, 1 infos; 1 could not",
    ] {
        assert!(ended.out.contains(words), "`{words}` is missing in\n{}", ended.out);
    }
    // The folk who wrote the names of an account do not steer the terminal.
    assert!(!ended.out.contains('\u{1b}'), "{}", ended.out);
}

#[test]
fn scripts_read_json_and_choose_rules() {
    let ended = autotune(&[
        "check", "--survey", ACCOUNT, "--output", "json", "--select", "AT1,AT2", "--ignore", "AT102",
    ]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    let document: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    let findings = document["findings"].as_array().unwrap();
    let codes: Vec<&str> = findings
        .iter()
        .map(|finding| finding["code"].as_str().unwrap())
        .collect();
    assert!(codes.contains(&"AT201") && !codes.contains(&"AT102"), "{codes:?}");
    assert_eq!(findings[0]["evidence"]["version"], "3");
    assert_eq!(document["account"], "111122223333");
    // Warnings and less are no reason to stop a deployment.
    let ended = autotune(&["check", "--survey", ACCOUNT, "--ignore", "AT102,AT201"]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
}

#[test]
fn a_policy_is_compared_with_the_account() {
    let folder = tempfile::tempdir().unwrap();
    let policy = file(folder.path(), "policy.toml", b"version = 1\n[queues.jbos]\n");
    let ended = autotune(&["check", "--survey", ACCOUNT, "--policy", &policy, "--select", "AT701"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(
        ended.out.contains("policy.toml:2") && ended.out.contains("jbos"),
        "{}",
        ended.out
    );
}

#[test]
fn several_policies_may_be_shipped_ones_and_folders() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), "policy.toml", b"version = 1\n[queues.jbos]\n");
    let team = folder.path().to_str().unwrap();
    let look = ["check", "--survey", ACCOUNT, "--select", "AT701", "--policy"];
    let ended = autotune(&[&look[..], &["demo", "--policy", team]].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(
        ended.out.contains("policy.toml:2") && ended.out.contains("demo:"),
        "{}",
        ended.out
    );
    let ended = autotune(&[&look[..], &["thrifty", "--policy", "warm-hours"]].concat());
    ended.refused(2, &["warm-hours:", "found a second entry of this name", "thrifty:"]);
}

#[test]
fn a_rule_is_explained_with_its_reason_and_its_source() {
    let ended = autotune(&["check", "--explain", "AT201"]);
    ended.done(&[]);
    for words in [
        "AT201 user-data-not-mime (error)",
        "Why: ",
        "Fix: ",
        "Source: https://docs.aws.amazon.com/batch/",
    ] {
        assert!(ended.out.contains(words), "`{words}` is missing in\n{}", ended.out);
    }
}

#[test]
fn a_corrected_launch_template_is_printed_and_what_is_left_to_do_is_said_beside_it() {
    for (format, words) in [
        ("json", "\"DeviceName\": \"/dev/xvda\""),
        ("cloudformation", "\"Fn::Base64\": \"MIME-Version: 1.0"),
        ("terraform", "device_name = \"/dev/xvda\""),
    ] {
        let ended = autotune(&[
            "check",
            "--survey",
            ACCOUNT,
            "--fix-template",
            "batch",
            "--format",
            format,
        ]);
        ended.done(&["note: "]);
        assert!(ended.out.contains(words), "`{words}` is missing in\n{}", ended.out);
    }
}

#[test]
fn bad_input_is_refused_with_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| file(folder.path(), name, content.as_bytes());
    let slip = write("slip.json", "{\"version\": 1,\n \"subnet\": {}}");
    let newer = write("newer.json", "{\"version\": 2}");
    let policy = write("policy.toml", "version = 1\nquues = 1\n");
    let cases: &[(&[&str], &[&str])] = &[
        #[cfg(not(feature = "aws"))]
        (&["check"], &["--survey FILE"]),
        (
            &["check", "--survey", "nowhere.json"],
            &["nowhere.json", "expected a survey of an account"],
        ),
        (&["check", "--survey", &slip], &["slip.json:2:", "`subnet`"]),
        (&["check", "--survey", &newer], &["version 2", "version 1"]),
        (
            &["check", "--survey", ACCOUNT, "--select", "XX1"],
            &["\"XX1\"", "AT101"],
        ),
        (&["check", "--explain", "AT999"], &["\"AT999\"", "hint"]),
        (
            &["check", "--survey", ACCOUNT, "--policy", &policy],
            &["policy.toml:2:1", "quues"],
        ),
        (
            &["check", "--survey", ACCOUNT, "--fix-template", "btach"],
            &["\"btach\"", "batch"],
        ),
        (
            &["check", "--survey", ACCOUNT, "--job-minutes", "0"],
            &["--job-minutes"],
        ),
        (&["check", "--survey", ACCOUNT, "--format", "json"], &["--fix-template"]),
    ];
    for (arguments, words) in cases {
        autotune(arguments).refused(2, words);
    }
}
