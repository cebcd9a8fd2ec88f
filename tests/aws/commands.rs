//! The commands of the binary, as a newcomer runs them, against moto.

use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use assert_cmd::cargo::cargo_bin;

pub(crate) fn moto_url() -> String {
    #[expect(clippy::disallowed_methods, reason = "tests/run says so where it started moto")]
    std::env::var("AUTOTUNE_TEST_MOTO").unwrap()
}

/// Five lines are enough to begin with; the sixth says that the account is simulated.
fn settings(folder: &Path) -> std::path::PathBuf {
    let url = moto_url();
    // Not what another test steers meanwhile.
    let policy = folder.join("nightly.toml");
    std::fs::write(&policy, "version = 1\n[queues.nightly]\n").unwrap();
    let text = format!(
        "region = \"eu-central-1\"\npolicies = [{policy:?}]\nlisten = \"127.0.0.1:0\"\nendpoint_url = \"{url}\"\n\
         [journal]\npath = \"{}\"\n",
        folder.join("journal").display()
    );
    let file = folder.join("autotune.toml");
    std::fs::write(&file, text).unwrap();
    file
}

pub(crate) fn autotune(arguments: &[&str], settings: &Path) -> Command {
    let mut command = Command::new(cargo_bin!("autotune"));
    command.args(arguments).arg("--config").arg(settings);
    command
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test");
    command
}

/// Output of a command that ends by itself: exit code, standard output, standard error.
pub(crate) fn ran(mut command: Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn a_plan_says_whose_account_it_is_and_why_nothing_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let (code, plan, notes) = ran(autotune(&["plan"], &settings));
    assert_eq!(code, 0, "{plan}{notes}");
    assert!(plan.contains("account 123456789012, eu-central-1"), "{plan}{notes}");
    assert!(plan.contains("now:\n  nothing is changed"), "{plan}{notes}");
    let (code, json, notes) = ran(autotune(&["plan", "--output", "json"], &settings));
    assert_eq!(code, 0, "{json}{notes}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["version"], 1);
    assert!(json["steps"][0]["actions"].as_array().unwrap().is_empty(), "{json}");
}

/// A laptop has several profiles.
#[test]
#[ignore = "needs moto: tests/run provides it"]
fn no_command_reaches_an_account_that_the_settings_do_not_name() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let elsewhere = folder.path().join("elsewhere.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&elsewhere, format!("account = \"000000000000\"\n{text}")).unwrap();
    for command in [
        &["plan"][..],
        &["release"],
        &["release", "--environment", "spot", "--min-vcpus", "0"],
        &["override", "pause", "--queue", "nightly", "--for", "2h"],
        &["check"],
        &["init", "--policy"],
        &["run"],
    ] {
        let (code, out, errors) = ran(autotune(command, &elsewhere));
        assert!(code != 0 && out.is_empty(), "{command:?}: {code} {out}");
        let says = "the credentials are for account 123456789012, expected 000000000000";
        assert!(errors.contains(says), "{command:?}: {errors}");
    }
    // Nothing is restored by a name that nobody has.
    let (code, out, errors) = ran(autotune(
        &["release", "--environment", "nobody", "--min-vcpus", "0"],
        &settings,
    ));
    assert_eq!((code, out.as_str()), (2, ""), "{errors}");
    assert!(errors.contains("--environment: found \"nobody\""), "{errors}");
}

/// A daemon in the background, ended if the test forgets.
pub(crate) struct Daemon {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    /// Where it serves.
    pub(crate) url: String,
}

impl Daemon {
    /// Returns when it serves.
    pub(crate) fn begin(settings: &Path) -> Self {
        let mut child = autotune(&["run"], settings).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut daemon = Self {
            child,
            lines,
            url: String::new(),
        };
        let serves: serde_json::Value = serde_json::from_str(&daemon.line("Serves")).unwrap();
        daemon.url = format!("http://{}", serves["address"].as_str().unwrap());
        daemon
    }

    /// The next line of its log that says this.
    pub(crate) fn line(&mut self, says: &str) -> String {
        let mut lines = self.lines.by_ref().map(Result::unwrap);
        lines.find(|line| line.contains(says)).unwrap()
    }

    /// Ends it as an operator does; returns the last lines of its log.
    pub(crate) fn terminate(mut self) -> Vec<String> {
        let ended = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(ended.unwrap().success());
        // Whoever reads its last lines waits for its end.
        let last: Vec<String> = self.lines.by_ref().map(Result::unwrap).collect();
        assert!(self.child.wait().unwrap().success(), "{last:?}");
        last
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn a_dry_run_tells_how_it_stands_and_ends_at_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let daemon = Daemon::begin(&settings);
    // Its first look takes a moment; each try is a new process and none is left behind.
    let status = (0..200).map(|_| ran(autotune(&["status", "--url", &daemon.url], &settings)));
    let told = status
        .map(|(_, text, _)| text)
        .find(|text| text.contains("nightly") && text.contains("last planned"));
    let told = told.unwrap();
    assert!(told.contains("dry run: nothing is changed"), "{told}");
    assert!(told.contains("123456789012"), "{told}");
    daemon.terminate();
    let (code, story, errors) = ran(autotune(&["explain", "--last", "5"], &settings));
    assert_eq!(code, 0, "{story}{errors}");
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn an_override_is_a_tag_that_any_laptop_can_write_and_clear() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let order = [
        "override", "boost", "--queue", "nightly", "--vcpus", "16", "--for", "2h", "--by", "somebody",
    ];
    let (code, told, errors) = ran(autotune(&order, &settings));
    assert_eq!(code, 0, "{told}{errors}");
    assert!(told.starts_with("nightly: boost:16 until="), "{told}");
    let (code, told, errors) = ran(autotune(&["override", "clear", "--queue", "nightly"], &settings));
    assert_eq!(
        (code, told.as_str()),
        (0, "nightly: no override any more\n"),
        "{errors}"
    );
    let (code, _, errors) = ran(autotune(
        &["override", "pause", "--queue", "nightly", "--for", "400d"],
        &settings,
    ));
    assert_eq!(code, 2, "{errors}");
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn a_policy_to_begin_with_is_valid_and_planned_with_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    // Others are steered or made by other tests meanwhile.
    let (code, policy, notes) = ran(autotune(&["init", "--policy", "--queue", "nightly"], &settings));
    assert_eq!(code, 0, "{notes}");
    for part in [
        "account 123456789012, eu-central-1",
        "[queues.nightly]",
        "[environments.spot]\n# min_vcpus = 0  # not set",
        "[environments.on-demand]\n# min_vcpus = 0  # not set",
        "#   [queues.nightly.sqs.nightly-incoming]\n",
        "nightly-dead: left out, a dead-letter queue",
        "nightly.fifo: left out, FIFO",
        "work",
    ] {
        assert!(policy.contains(part), "{part}:\n{policy}");
    }
    let file = folder.path().join("policy.toml");
    std::fs::write(&file, &policy).unwrap();
    let mut validate = Command::new(cargo_bin!("autotune"));
    validate.arg("validate").arg(&file);
    let (code, told, notes) = ran(validate);
    assert_eq!(code, 0, "{told}{notes}");
    let (code, plan, notes) = ran(autotune(&["plan", "--policy", file.to_str().unwrap()], &settings));
    assert_eq!(code, 0, "{plan}{notes}");
}

#[test]
#[ignore = "needs moto: tests/run provides it"]
fn bad_settings_and_policies_are_told_before_anything_is_asked_of_aws() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("autotune.toml");
    std::fs::write(&file, "aply = true\nunguarded_max_vcpus = \"many\"\n").unwrap();
    let (code, _, errors) = ran(autotune(&["run"], &file));
    assert_eq!(code, 2, "{errors}");
    assert!(errors.contains(":1:1: aply") && errors.contains(":2:"), "{errors}");
}
