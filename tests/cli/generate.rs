//! `autotune trace generate`: the same seed makes the same bytes, and the recordings in the tree are what it makes.

use crate::autotune;

const KINDS: [&str; 5] = ["sqs-array", "object-created", "trickle", "nightly", "diurnal"];

fn generate(kind: &str, seed: &str, out: &std::path::Path) -> Vec<u8> {
    let out = out.to_str().unwrap();
    autotune(&["trace", "generate", kind, "--seed", seed, "--days", "7", "--out", out]).done(&["jobs written to"]);
    std::fs::read(out).unwrap()
}

#[test]
fn the_recordings_in_the_tree_are_what_the_generators_make() {
    let folder = tempfile::tempdir().unwrap();
    for kind in KINDS {
        let name = format!("{kind}.jsonl.gz");
        let fresh = generate(kind, "1", &folder.path().join(&name));
        let in_tree = std::fs::read(format!("{}/tests/traces/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(
            fresh == in_tree,
            "{name} is stale: tests/traces/README.md says how it is made"
        );
        assert!(in_tree.len() < 200 << 10, "{name} has {} bytes", in_tree.len());
    }
}

#[test]
fn another_seed_makes_another_recording() {
    let folder = tempfile::tempdir().unwrap();
    for kind in KINDS {
        let one = generate(kind, "1", &folder.path().join("one.jsonl"));
        let again = generate(kind, "1", &folder.path().join("again.jsonl"));
        let other = generate(kind, "2", &folder.path().join("other.jsonl"));
        assert!(one == again && one != other, "{kind}");
    }
}

#[test]
fn recordings_that_cannot_be_written_or_are_too_large_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("none/t.jsonl");
    let nowhere = nowhere.to_str().unwrap();
    autotune(&["trace", "generate", "trickle", "--seed", "1", "--out", nowhere]).refused(3, &["error: failed to"]);
    let out = folder.path().join("t.jsonl");
    let large = [
        "trace",
        "generate",
        "trickle",
        "--seed",
        "1",
        "--days",
        "3650",
        "--jobs-per-hour",
        "10000",
    ];
    let ended = autotune(&[&large[..], &["--out", out.to_str().unwrap()]].concat());
    ended.refused(2, &["expected"]);
    assert!(!out.exists());
}
