//! The sandbox as a process: what it prints, what clients see that nobody here has written, how it ends.

#![expect(clippy::unwrap_used, reason = "a test binary: to panic is to fail")]
#![cfg(unix)]

#[cfg(feature = "aws")]
mod checked;
mod daemon;
#[cfg(feature = "aws")]
mod first_hour;
#[cfg(feature = "aws")]
mod steered;
#[cfg(feature = "aws")]
mod supervised;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The scenario of the tests.
const SCENARIO: &str = "spot-128";

/// A sandbox that ends with the test.
struct Sandbox {
    process: Child,
    /// What it printed for a shell.
    variables: BTreeMap<String, String>,
    /// What it printed for people.
    comments: String,
}

impl Sandbox {
    fn start(arguments: &[&str]) -> Self {
        Self::over(SCENARIO, arguments)
    }

    fn over(scenario: &str, arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_autotune"))
            .args(["sandbox", "--scenario", scenario])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (mut variables, mut comments) = (BTreeMap::new(), String::new());
        while !variables.contains_key("AUTOTUNE_SANDBOX_TOKEN") {
            let line = lines.next().unwrap().unwrap();
            match line.strip_prefix("export ").and_then(|line| line.split_once('=')) {
                Some((name, value)) => drop(variables.insert(name.to_owned(), value.to_owned())),
                None => comments += &(line + "\n"),
            }
        }
        Self {
            process,
            variables,
            comments,
        }
    }

    /// Sends SIGTERM and gives the exit code.
    fn end(mut self) -> Option<i32> {
        let id = self.process.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().unwrap();
        self.process.wait().unwrap().code()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn it_says_that_it_is_a_simulation_and_where_it_is_and_ends_when_asked() {
    let sandbox = Sandbox::start(&["--speed", "0"]);
    assert!(sandbox.comments.starts_with("# SIMULATION"), "{}", sandbox.comments);
    let url = &sandbox.variables["AWS_ENDPOINT_URL"];
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    let address = url
        .trim_start_matches("http://")
        .parse::<std::net::SocketAddr>()
        .unwrap();
    // Somebody waits for messages that will not come: that does not keep it.
    let mut waiting = std::net::TcpStream::connect(address).unwrap();
    let body = format!(
        "{{\"QueueUrl\":\"{}\",\"WaitTimeSeconds\":20}}",
        sandbox.variables["AUTOTUNE__EVENTS_QUEUE_URL"]
    );
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nX-Amz-Target: AmazonSQS.ReceiveMessage\r\nAuthorization: AWS4-HMAC-SHA256 \
         Credential={}/20260101/eu-central-1/sqs/aws4_request, Signature=0\r\nContent-Length: {}\r\n\r\n{body}",
        sandbox.variables["AWS_ACCESS_KEY_ID"],
        body.len()
    );
    waiting.write_all(request.as_bytes()).unwrap();
    assert_eq!(sandbox.end(), Some(0));
}

#[test]
fn it_refuses_to_listen_for_others() {
    let arguments = ["sandbox", "--scenario", SCENARIO, "--listen", "0.0.0.0:0"];
    let output = Command::new(env!("CARGO_BIN_EXE_autotune"))
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("an address of this machine alone"), "{text}");
}

#[test]
#[ignore = "needs boto3: tests/run provides it"]
fn boto3_submits_lists_updates_and_receives_and_every_reply_is_as_the_models_say() {
    #[expect(clippy::disallowed_methods, reason = "tests/run says so where it put boto3")]
    let python = std::env::var("AUTOTUNE_TEST_PYTHON").expect("AUTOTUNE_TEST_PYTHON is set by tests/run");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sandbox/client.py");
    let sandbox = Sandbox::start(&["--speed", "60", "--perfect-view"]);
    let mut client = Command::new(python);
    let output = client.arg(script).envs(&sandbox.variables).output().unwrap();
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{told:?}");
}
