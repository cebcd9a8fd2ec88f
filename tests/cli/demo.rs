//! `autotune demo` without a terminal: it ends by itself, and says at both ends that it is simulated.

use crate::autotune;

#[test]
fn a_demo_ends_by_itself_and_says_that_it_is_simulated() {
    let ended = autotune(&["demo", "--for", "2s", "--speed", "600"]);
    ended.done(&[]);
    for words in [
        "SIMULATION: nothing here is AWS",
        "Scenario `demo-account`, policy `demo`",
        "autotune status --url http://127.0.0.1:",
        "SIMULATED with model `recent`, assumed until calibrated: 0:20 hours",
        "autotune has stopped",
    ] {
        assert!(ended.out.contains(words), "`{words}` is missing in\n{}", ended.out);
    }
    assert!(!ended.out.contains('\u{1b}'), "no terminal, no control sequences");
    let text = ended.out.lines().filter(|line| !line.starts_with("  "));
    let wide: Vec<&str> = text.filter(|line| line.chars().count() > 80).collect();
    assert!(wide.is_empty(), "wider than a terminal: {wide:#?}");
}

/// The same with the SDK and the protocols of AWS in between: the daemon reaches its account, raises and puts back.
#[cfg(feature = "aws")]
#[test]
fn a_demo_over_the_wire_steers_its_account_and_leaves_it_at_its_base() {
    let ended = autotune(&["demo", "--wire", "--for", "12s", "--speed", "240"]);
    ended.done(&[]);
    assert!(!ended.out.contains("Updates sent: 0."), "{}", ended.out);
    assert!(
        ended.out.contains("every minvCpus is back at its base"),
        "{}",
        ended.out
    );
}

/// `autotune demo | head`: it does not go on for nobody.
#[cfg(unix)]
#[test]
fn a_demo_that_nobody_reads_any_more_ends() {
    use std::process::{Command, Stdio};

    let mut command = Command::new(assert_cmd::cargo::cargo_bin("autotune"));
    command
        .args(["demo", "--for", "1h", "--speed", "600"])
        .stdout(Stdio::piped());
    let mut demo = command.spawn().unwrap();
    drop(demo.stdout.take());
    assert!(demo.wait().unwrap().success());
}

#[test]
fn bad_arguments_of_a_demo_are_refused() {
    for (arguments, words) in [
        (["demo", "--for", "3h"], "at most 60m"),
        (["demo", "--listen", "0.0.0.0:80"], "this machine alone"),
        (["demo", "--speed", "0"], "1..=600"),
    ] {
        autotune(&arguments).refused(2, &[words]);
    }
}
