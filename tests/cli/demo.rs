//! `autotune demo` without a terminal: it ends by itself, and says at both ends that it is simulated.

use crate::autotune;

#[test]
fn a_demo_ends_by_itself_and_says_that_it_is_simulated() {
    let ended = autotune(&["demo", "--for", "2s", "--speed", "600"]);
    ended.done(&[]);
    for words in [
        "SIMULATION: nothing here is AWS",
        "autotune status --url http://127.0.0.1:",
        "SIMULATED with model `recent`, assumed until calibrated: 0:20 hours",
        "autotune has stopped",
    ] {
        assert!(ended.out.contains(words), "`{words}` is missing in\n{}", ended.out);
    }
    assert!(!ended.out.contains('\u{1b}'), "no terminal, no control sequences");
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
