//! Hostile recordings: refused with help, or read with counted warnings that `--strict` turns into problems.

use crate::{Ended, autotune, file};

const HEADER: &str = r#"{"autotune_trace":{"version":1}}"#;

fn simulate(trace: &str, strict: bool) -> Ended {
    let scenario = "policies/scenarios/on-demand-500.toml";
    let arguments = [
        "simulate",
        "--trace",
        trace,
        "--scenario",
        scenario,
        "--policy",
        "reactive",
    ];
    let strict: &[&str] = if strict { &["--strict"] } else { &[] };
    autotune(&[&arguments[..], strict].concat())
}

/// A job in the native format; `more` follows its keys.
fn job(id: u32, submit: &str, run: &str, more: &str) -> String {
    format!(
        r#"{{"job":{{"id":{id},"submit_ms":{submit},"run_ms":{run},"vcpus":1,"memory_mib":2048,"queue":"q","name":"n"{more}}}}}"#
    )
}

fn native(lines: &[String]) -> Vec<u8> {
    format!("{HEADER}\n{}\n", lines.join("\n")).into_bytes()
}

#[test]
fn recordings_that_cannot_be_used_are_refused_with_help() {
    let folder = tempfile::tempdir().unwrap();
    let cycle = [job(0, "5", "9", r#","after":[1]"#), job(1, "5", "9", r#","after":[0]"#)];
    let newer = format!("{{\"autotune_trace\":{{\"version\":7}}}}\n{}\n", job(0, "5", "9", ""));
    let table: &[(&str, &[u8], &[&str])] = &[
        ("empty.jsonl", b"", &["empty.jsonl: found an empty file"]),
        (
            "junk.bin",
            &[0, 159, 146, 150, 0, 1, 2, 255],
            &["found binary data", "hint: known are: Nextflow"],
        ),
        (
            "broken.gz",
            b"\x1f\x8b\x08junkjunk",
            &["broken.gz: found an error while reading", "gzip"],
        ),
        (
            "text.txt",
            b"hello\nworld\n",
            &["found text that begins `hello`", "hint: known are"],
        ),
        (
            "other.tsv",
            b"task_id\thash\tname\n1\tab\tx\n",
            &["found no column with submit times", "there are: task_id, hash, name"],
        ),
        (
            "newer.jsonl",
            newer.as_bytes(),
            &["newer.jsonl:1: found version 7, expected version 1"],
        ),
        (
            "cycle.jsonl",
            &native(&cycle),
            &["found 2 jobs that wait for each other"],
        ),
        (
            "nan.jsonl",
            &native(&[job(0, "5", "NaN", "")]),
            &["found no jobs, but 1 records not understood"],
        ),
        (
            "key.jsonl",
            &native(&[job(0, "5", "9", r#","colour":1"#)]),
            &["found no jobs, but 1 records not understood"],
        ),
    ];
    for (name, content, words) in table {
        simulate(&file(folder.path(), name, content), false).refused(2, words);
    }
}

#[test]
fn bad_records_are_counted_and_strict_refuses_them_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let no_run = r#"{"job":{"id":1,"submit_ms":5,"vcpus":1,"memory_mib":2048}}"#.to_owned();
    let table: &[(&str, String, &str)] = &[
        (
            "negative-run",
            job(1, "5", "-9", ""),
            "1 jobs that ended without a recorded run time: skipped",
        ),
        (
            "negative-submit",
            job(1, "-5", "9", ""),
            "1 jobs without a usable submit time: skipped",
        ),
        ("missing-run", no_run, "1 records not understood: skipped"),
        (
            "unknown-key",
            job(1, "5", "9", r#","colour":"red""#),
            "1 records not understood: skipped",
        ),
        (
            "not-a-number",
            job(1, "NaN", "9", ""),
            "1 records not understood: skipped",
        ),
        (
            "beyond-64-bits",
            job(1, "9223372036854775808", "9", ""),
            "1 records not understood: skipped",
        ),
        (
            "far-future",
            job(1, "9223372036854775807", "9", ""),
            "1 jobs without a usable submit time: skipped",
        ),
        (
            "cut-off",
            r#"{"job":{"id":1,"submi"#.to_owned(),
            "1 records not understood: skipped",
        ),
    ];
    for (name, bad, words) in table {
        let path = file(
            folder.path(),
            &format!("{name}.jsonl"),
            &native(&[job(0, "5", "9", ""), bad.clone()]),
        );
        simulate(&path, false).done(&["warning: ", words, &format!("{name}.jsonl:3")]);
        simulate(&path, true).refused(2, &[words, &format!("{name}.jsonl:3: found")]);
    }
}

#[test]
fn a_file_that_was_cut_off_between_two_lines_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "{{\"autotune_trace\":{{\"version\":1,\"jobs\":2}}}}\n{}\n",
        job(0, "5", "9", "")
    );
    let path = file(folder.path(), "short.jsonl", text.as_bytes());
    simulate(&path, false).done(&["warning: ", "cut off?", "2 jobs announced, 1 found"]);
    simulate(&path, true).refused(2, &["2 jobs announced, 1 found"]);
}

#[test]
fn the_order_of_lines_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let lines = [
        job(0, "100000", "60000", ""),
        job(1, "200000", "60000", ""),
        job(2, "900000", "60000", ""),
    ];
    let backwards: Vec<String> = lines.iter().rev().cloned().collect();
    let sorted = simulate(&file(folder.path(), "t.jsonl", &native(&lines)), true);
    let unsorted = simulate(&file(folder.path(), "t.jsonl", &native(&backwards)), true);
    sorted.done(&[]);
    assert_eq!(unsorted.out, sorted.out);
}
