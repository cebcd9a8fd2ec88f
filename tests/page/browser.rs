//! Starts what is looked at, and the browser.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use autotune::clock::Clock;
use autotune::daemon::snapshot::Snapshot;
use autotune::metrics::Metrics;
use autotune::server::{self, Shared};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::{hostile, made_up};

/// What tests/run found.
fn variable(name: &str) -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "tests/run says so what it found")]
    let found = std::env::var(name).expect("it is set by tests/run");
    PathBuf::from(found)
}

/// A demo as a process, which ends with this.
struct Demo(Child, String);

impl Demo {
    fn begin() -> Self {
        let mut demo = Command::new(assert_cmd::cargo::cargo_bin("autotune"));
        // It is killed, and leaves its journal where cargo clean finds it.
        demo.env("TMPDIR", env!("CARGO_TARGET_TMPDIR"))
            .args(["demo", "--for", "10m", "--speed", "240"])
            .stdout(Stdio::piped());
        let mut demo = demo.spawn().unwrap();
        let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map(Result::unwrap);
        let address = lines.find(|line| line.trim_start().starts_with("http://")).unwrap();
        // A line each ten seconds: after two hours of the demo there is something to see.
        lines
            .by_ref()
            .filter(|line| line.starts_with("simulated "))
            .nth(2)
            .unwrap();
        // It ends when nobody reads it.
        std::thread::spawn(move || lines.for_each(drop));
        Self(demo, address.trim().to_owned())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves a made-up snapshot until the token says stop; gives the address.
async fn serve(snapshot: Snapshot, stop: &CancellationToken) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let at = snapshot.at;
    // The sender may go: the last snapshot stays.
    let (_, snapshot) = watch::channel(snapshot);
    let shared = Shared {
        metrics: Arc::new(Metrics::new()),
        snapshot,
        journal: None,
        clock: Clock::paced(at),
        recording: Arc::new(Semaphore::new(1)),
        only_this_machine: true,
    };
    tokio::spawn(server::serve(listener, shared, stop.clone()));
    address
}

fn browse(pages: &[String]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shots = root.join("target/page");
    std::fs::create_dir_all(&shots).unwrap();
    let mut node = Command::new("node");
    node.arg(root.join("tests/page/browse.mjs"));
    node.args([variable("AUTOTUNE_TEST_CHROMIUM"), variable("AUTOTUNE_TEST_AXE"), shots]);
    let looked = node.args(pages).output().unwrap();
    let said = String::from_utf8_lossy(&looked.stdout).into_owned() + &String::from_utf8_lossy(&looked.stderr);
    assert!(looked.status.success(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium and axe-core, which tests/run finds"]
async fn nothing_serious_is_wrong_with_the_page_in_a_browser() {
    let stop = CancellationToken::new();
    let demo = tokio::task::spawn_blocking(Demo::begin).await.unwrap();
    let empty = serve(made_up::just_begun(), &stop).await;
    let trouble = serve(made_up::trouble(), &stop).await;
    let pages = [
        format!("demo={}", demo.1),
        format!("empty={empty}"),
        format!("trouble={trouble}"),
    ];
    tokio::task::spawn_blocking(move || browse(&pages)).await.unwrap();
    stop.cancel();
}

/// The corpus is compiled a second time here: it must be the same list, and every entry of it must be dangerous to somebody.
#[test]
fn the_corpus_is_what_the_page_is_shown_with() {
    let corpus = hostile::corpus();
    assert!(corpus.len() > 25 && corpus.iter().all(|name| name.contains(hostile::MARK)));
    assert!(corpus.iter().any(|name| hostile::has_invisible(name)));
}
