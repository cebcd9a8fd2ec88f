//! Ctrl-C and SIGTERM: nothing half-written is left, and the exit code says which.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::autotune;

/// Ends with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Looks again and again for at most a minute.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "another process is waited for")]
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let found = (0..6_000).find_map(|_| {
        look().or_else(|| {
            std::thread::sleep(Duration::from_millis(10));
            None
        })
    });
    assert!(found.is_some(), "{what} did not happen within a minute");
    found.unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Starts a command that writes `out` in an empty folder, sends the signal once its partial file has some content.
#[track_caller]
fn interrupted(folder: &Path, signal: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let command = Command::new(env!("CARGO_BIN_EXE_autotune"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut running = Running(command.unwrap());
    eventually("a partial file", || {
        let entry = std::fs::read_dir(folder).unwrap().next()?.unwrap();
        let name = entry.file_name().into_string().unwrap();
        assert!(name.starts_with('.') && name.ends_with(".partial"), "{name}");
        (entry.metadata().ok()?.len() > 0).then_some(())
    });
    let pid = running.0.id().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    let status = eventually("the end", || running.0.try_wait().unwrap());
    let mut said = String::new();
    std::io::Read::read_to_string(&mut running.0.stderr.take().unwrap(), &mut said).unwrap();
    assert!(names(folder).is_empty(), "{:?} is left", names(folder));
    (status.code(), said)
}

#[test]
fn ctrl_c_during_a_replay_leaves_no_timeline() {
    let (traces, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let trace = traces.path().join("year.jsonl");
    let trace = trace.to_str().unwrap();
    let year = ["--seed", "1", "--days", "365", "--jobs-per-hour", "1", "--out", trace];
    autotune(&[&["trace", "generate", "trickle"], &year[..]].concat()).done(&[]);
    let out = folder.path().join("timeline.csv");
    let replay = [
        "simulate",
        "--trace",
        trace,
        "--scenario",
        "on-demand-500",
        "--policy",
        "reactive",
    ];
    let timeline = ["--timeline", out.to_str().unwrap(), "--timeline-every", "1"];
    let (code, said) = interrupted(folder.path(), "-INT", &[&replay[..], &timeline].concat());
    assert_eq!(
        (code, said.as_str()),
        (Some(130), "error: interrupted, nothing was written\n")
    );
}

#[test]
fn sigterm_while_a_recording_is_written_leaves_none() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("trickle.jsonl.gz");
    let large = [
        "--seed",
        "1",
        "--days",
        "365",
        "--jobs-per-hour",
        "100",
        "--out",
        out.to_str().unwrap(),
    ];
    let (code, said) = interrupted(
        folder.path(),
        "-TERM",
        &[&["trace", "generate", "trickle"], &large[..]].concat(),
    );
    assert_eq!(
        (code, said.as_str()),
        (Some(143), "error: told to end, nothing was written\n")
    );
}
