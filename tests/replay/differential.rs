//! An independent simulator gives the same waits.

use std::path::Path;
use std::process::Command;

use autotune::simulate::ledger::Fate;
use autotune::simulate::scenario::Scenario;
use autotune::trace::{ReadOptions, Sizes, read};
use autotune::units::Vcpus;

use crate::worlds::alone;

const PROCESSORS: i64 = 64;

fn python(script: &str, arguments: &[&str]) -> String {
    #[expect(clippy::disallowed_methods, reason = "tests/run says so where it put SimPy")]
    let python = std::env::var("AUTOTUNE_TEST_PYTHON").expect("AUTOTUNE_TEST_PYTHON is set by tests/run");
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/differential")
        .join(script);
    let output = Command::new(python).arg(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Mean and largest wait in seconds on a pool that never changes, in order of submission.
fn ours(log: &Path) -> (usize, f64, f64) {
    let options = ReadOptions {
        sizes: Sizes {
            memory_per_vcpu_mib: Some(1),
            ..Sizes::default()
        },
        ..ReadOptions::default()
    };
    let trace = read(&[log.to_owned()], &options).unwrap().trace;
    let result = alone(&Scenario::fixed(Vcpus::new(PROCESSORS)), &trace, 1);
    assert_eq!(result.count(Fate::Succeeded), trace.jobs.len());
    let waits: Vec<f64> = result
        .jobs
        .iter()
        .map(|job| job.wait().unwrap().seconds_f64())
        .collect();
    let total: f64 = waits.iter().sum();
    let jobs = u32::try_from(waits.len()).unwrap();
    (
        waits.len(),
        total / f64::from(jobs),
        waits.iter().copied().fold(0.0, f64::max),
    )
}

#[test]
#[ignore = "needs SimPy: tests/run provides it"]
fn simpy_agrees_on_mean_waits_to_two_decimals() {
    let folder = tempfile::tempdir().unwrap();
    let mut waited = 0;
    for seed in 1..=20 {
        let log = folder.path().join(format!("{seed}.swf"));
        // From hardly any queue to a long one.
        let load = format!("0.{}", 4 + seed % 4);
        let text = python(
            "make_swf.py",
            &[
                "--seed",
                &seed.to_string(),
                "--processors",
                &PROCESSORS.to_string(),
                "--load",
                &load,
            ],
        );
        std::fs::write(&log, text).unwrap();
        let answer = python(
            "simpy_fifo.py",
            &[log.to_str().unwrap(), "--processors", &PROCESSORS.to_string()],
        );
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let (jobs, mean, longest) = ours(&log);
        let theirs = |key: &str| answer[key].as_f64().unwrap();
        assert_eq!(answer["jobs"].as_u64(), u64::try_from(jobs).ok(), "seed {seed}");
        assert!(
            (mean - theirs("mean_wait_seconds")).abs() < 0.005,
            "seed {seed}: {mean}, SimPy {answer}"
        );
        assert!(
            (longest - theirs("max_wait_seconds")).abs() < 0.005,
            "seed {seed}: {longest}, SimPy {answer}"
        );
        waited += u32::from(mean > 60.0);
    }
    assert!(waited >= 10, "only {waited} of the logs make jobs wait");
}
