//! Commands about a daemon and a real account, as a newcomer meets them: without one, without settings, without credentials.

use crate::{autotune, file};

#[test]
fn a_newcomer_is_told_what_is_missing_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (nothing, out) = (path("nothing"), path("out.jsonl"));
    let nowhere = "http://127.0.0.1:1";
    let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    let cases: &[(&[&str], i32, &[&str])] = &[
        (
            &["status", "--url", nowhere],
            3,
            &["no daemon answers at http://127.0.0.1:1", "hint: is it running?"],
        ),
        (&["health", "--url", nowhere], 3, &["no daemon answers"]),
        (
            &["status", "--url", "127.0.0.1:9464"],
            2,
            &["--url: found", "such as http://127.0.0.1:9464"],
        ),
        (
            &["status", "--config", &nothing],
            2,
            &["expected a settings file", "hint: `autotune init` prints one"],
        ),
        (
            &["explain", "--journal", &nothing],
            3,
            &["there is no such file", "--url asks a daemon elsewhere"],
        ),
        (&["explain", "--url", nowhere], 3, &["no daemon answers"]),
        (
            &["explain", "--at", "noon"],
            2,
            &["expected a time such as 2026-03-28T09:00:00Z"],
        ),
        (&["explain", "--last", "0"], 2, &["1..=1000"]),
        (
            &["explain", "--url", nowhere, "--journal", "x"],
            2,
            &["cannot be used with"],
        ),
        (
            &["record", "--out", &out, "--journal", &nothing],
            3,
            &["there is no such file"],
        ),
        (&["record", "--out", &out, "--url", nowhere], 3, &["no daemon answers"]),
        (
            &["record", "--out", &out, "--url", nowhere, "--keep-names"],
            2,
            &["cannot be used with"],
        ),
        (
            &["record", "--out", &out, "--from", late, "--to", early],
            2,
            &["expected a time after --from"],
        ),
        (&["record"], 2, &["--out <FILE>"]),
    ];
    for (arguments, code, words) in cases {
        autotune(arguments).refused(*code, words);
    }
    assert!(!std::path::Path::new(&out).exists());
}

#[test]
fn the_settings_that_init_prints_are_valid_and_a_slip_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let printed = autotune(&["init"]);
    printed.done(&[]);
    let good = file(folder.path(), "autotune.toml", printed.out.as_bytes());
    let ended = autotune(&["validate", &good, "deploy/autotune.toml"]);
    ended.done(&[]);
    let settings = ended.out.lines().filter(|line| line.ends_with(": ok, settings"));
    assert_eq!(settings.count(), 2, "{}", ended.out);
    let few = file(
        folder.path(),
        "few.toml",
        b"region = \"eu-central-1\"\npolicies = [\"reactive\"]\n",
    );
    let ended = autotune(&["validate", "--show-effective", &few]);
    ended.done(&[]);
    assert!(ended.out.contains("apply = false  # default"), "{}", ended.out);
    assert!(ended.out.contains("region = \"eu-central-1\"\n"), "{}", ended.out);
    let cases: &[(&str, &[&str])] = &[
        (
            "aply = true\npolicies = []\n",
            &["bad.toml:1:1: aply", "did you mean `apply`?"],
        ),
        (
            "apply = true\nlisten = \"0.0.0.0:80\"\n",
            &["bad.toml:2", "listen_anywhere"],
        ),
        (
            "region = \"mars\"\n[journal]\nkeep = 3\n",
            &["bad.toml:1", "bad.toml:3", "journal.keep"],
        ),
    ];
    for (text, words) in cases {
        let bad = file(folder.path(), "bad.toml", text.as_bytes());
        autotune(&["validate", &bad]).refused(2, words);
        autotune(&["status", "--config", &bad]).refused(2, words);
    }
    // Beside policies a settings file is no policy.
    std::fs::remove_file(folder.path().join("bad.toml")).unwrap();
    file(folder.path(), "policy.toml", b"version = 1\n");
    let ended = autotune(&["validate", folder.path().to_str().unwrap()]);
    ended.done(&[]);
    let policies = ended.out.lines().filter(|line| line.ends_with(": ok"));
    assert_eq!(policies.count(), 1, "{}", ended.out);
}

#[test]
fn the_settings_schema_accepts_the_example() {
    let schema: serde_json::Value = serde_json::from_str(&autotune(&["schema", "settings"]).out).unwrap();
    let example = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/autotune.toml")).unwrap();
    let value: toml::Value = toml::from_str(&example).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&serde_json::to_value(value).unwrap()));
}

#[cfg(feature = "aws")]
#[test]
fn without_a_region_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [&[&str]; 5] = [
        &["plan"],
        &["run", "--listen", "127.0.0.1:0"],
        &["release"],
        &["override", "drain", "--queue", "q", "--for", "2h"],
        &["override", "clear", "--environment", "e"],
    ];
    for arguments in cases {
        let output = assert_cmd::Command::cargo_bin("autotune")
            .unwrap()
            .args(arguments)
            .env_clear()
            .env("HOME", folder.path())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .current_dir(folder.path())
            .output()
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), output.stdout.as_slice()),
            (Some(3), &b""[..]),
            "{told}"
        );
        assert!(
            told.starts_with("error: no region is named\nhint: set `region`"),
            "{told}"
        );
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let bad = autotune(&["run", "--listen", "0.0.0.0:80"]);
    bad.refused(2, &["--listen: listen: found \"0.0.0.0:80\"", "listen_anywhere"]);
    // These are taken, so what is missed is the next thing.
    for listen in ["", "127.0.0.1:0"] {
        let policy = folder.path().join("none.toml");
        let bad = autotune(&["run", "--listen", listen, "--policy", policy.to_str().unwrap()]);
        bad.refused(2, &["none.toml: found nothing that can be read"]);
        assert!(!bad.err.contains("--listen"), "{}", bad.err);
    }
}

#[cfg(feature = "aws")]
#[test]
fn policies_are_those_beside_the_settings_and_hold_together() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), "policy.toml", b"version = 1\n[queue.q]\n");
    let settings = file(folder.path(), "autotune.toml", b"policies = [\"policy.toml\"]\n");
    let beside = format!("{}/policy.toml:2:2: queue", folder.path().display());
    autotune(&["plan", "--config", &settings]).refused(2, &[&beside]);
    let both = autotune(&["plan", "--policy", "thrifty", "--policy", "warm-hours"]);
    both.refused(2, &["warm-hours:", "found a second entry of this name", "thrifty:"]);
}

/// A script that goes by exit codes alone would take bad settings for changes.
#[cfg(feature = "aws")]
#[test]
fn bad_input_of_plan_is_told_from_changes_and_so_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let settings = file(folder.path(), "autotune.toml", b"aply = true\n");
    let policy = file(folder.path(), "policy.toml", b"version = 2\n");
    for arguments in [
        ["plan", "--config", &settings],
        ["plan", "--policy", &policy],
        ["plan", "--policy", "no-such"],
    ] {
        let ended = autotune(&arguments);
        ended.refused(2, &["found"]);
        assert!(ended.err.starts_with("error: "), "{}", ended.err);
    }
    let file =
        |name: &str| std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    for text in [
        autotune(&["plan", "--help"]).out,
        file("README.md"),
        file("docs/policies.md"),
    ] {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for words in [
            "`error:` on standard error and nothing on standard output",
            "that AWS did not answer",
        ] {
            assert!(text.contains(words), "{words} is missing in\n{text}");
        }
    }
}
