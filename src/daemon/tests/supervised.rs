//! What systemd hears of a daemon: that it is ready, that its loop turns, what it does, and nothing from one that stands still.

use std::os::unix::net::UnixDatagram;

use super::*;
use crate::daemon::supervisor::Supervisor;

/// Who listens.
struct Manager {
    socket: UnixDatagram,
    folder: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, folder }
    }

    fn supervisor(&self) -> Supervisor {
        Supervisor::at(self.folder.path().join("notify").as_os_str()).unwrap()
    }

    /// The lines that were heard since it was last asked.
    fn heard(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut bytes = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut bytes) {
            let text = std::str::from_utf8(&bytes[..length]).unwrap();
            lines.extend(text.lines().map(str::to_owned));
        }
        lines
    }
}

fn count(heard: &[String], line: &str) -> usize {
    heard.iter().filter(|said| *said == line).count()
}

#[tokio::test(start_paused = true)]
async fn it_is_ready_after_the_first_plan_lives_while_the_loop_turns_and_says_when_it_stops() {
    let (account, manager) = (account(), Manager::new());
    account.set_runnable(8, 4);
    let life = Life::begin(&account, |options| options.supervisor = manager.supervisor());
    clock::wait(Span::from_seconds(10)).await;
    let heard = manager.heard();
    assert_eq!(heard[..2], ["WATCHDOG=1", "READY=1"], "{heard:?}");
    assert!(
        heard[2].starts_with("STATUS=Steers 2 of 2 compute environments"),
        "{heard:?}"
    );
    // The socket holds little: it is emptied as systemd would.
    for _ in 0..60 {
        clock::wait(Span::from_seconds(10)).await;
        let heard = manager.heard();
        assert!((1..=10).contains(&count(&heard, "WATCHDOG=1")), "{heard:?}");
        assert_eq!(count(&heard, "READY=1"), 0, "{heard:?}");
    }
    life.end().await.unwrap();
    assert_eq!(count(&manager.heard(), "STOPPING=1"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_is_ready_too_and_a_call_that_hangs_is_no_reason_to_kill_it() {
    let (account, manager) = (account(), Manager::new());
    account.with(|state| state.hang.insert("instances ondemand".to_owned()));
    let life = Life::begin(&account, |options| {
        options.apply = false;
        options.supervisor = manager.supervisor();
    });
    clock::wait(Span::from_seconds(10)).await;
    let heard = manager.heard();
    assert!(
        heard
            .iter()
            .any(|line| line.starts_with("STATUS=Dry run: would steer 2 of 2")),
        "{heard:?}"
    );
    for _ in 0..60 {
        clock::wait(Span::from_seconds(10)).await;
        assert!(count(&manager.heard(), "WATCHDOG=1") > 0);
    }
    life.end().await.unwrap();
}

/// No timer speaks for the loop: before its first round, and while it cannot begin, nothing is heard.
#[tokio::test(start_paused = true)]
async fn a_daemon_that_cannot_begin_is_silent() {
    let (account, manager) = (account(), Manager::new());
    account.with(|state| state.fail.insert("topology".to_owned()));
    let life = Life::begin(&account, |options| options.supervisor = manager.supervisor());
    minutes(60).await;
    assert_eq!(manager.heard(), Vec::<String>::new());
    account.with(|state| state.fail.remove("topology"));
    minutes(2).await;
    assert_eq!(count(&manager.heard(), "READY=1"), 1);
    life.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_reload_begins_and_ends_also_when_the_policies_are_refused() {
    let (account, manager) = (account(), Manager::new());
    let life = Life::begin(&account, |options| options.supervisor = manager.supervisor());
    clock::wait(Span::from_seconds(10)).await;
    manager.heard();
    for (policy, refused) in [("version = 1\nnonsense = 1\n", true), (POLICY, false)] {
        life.reads(policy);
        clock::wait(Span::from_seconds(10)).await;
        let heard = manager.heard();
        let began = heard.iter().position(|line| line == "RELOADING=1").unwrap();
        assert!(heard[began + 1].starts_with("MONOTONIC_USEC="), "{heard:?}");
        let ended = heard.iter().position(|line| line == "READY=1").unwrap();
        assert!(ended > began, "{heard:?}");
        let said = heard.iter().find(|line| line.starts_with("STATUS=")).unwrap();
        assert_eq!(said.contains("policies refused"), refused, "{heard:?}");
    }
    life.end().await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn a_socket_without_a_file_hears_it_as_well() {
    use std::os::linux::net::SocketAddrExt as _;
    let name = format!("autotune-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    let supervisor = Supervisor::at(format!("@{name}").as_ref()).unwrap();
    supervisor.stopping();
    let mut bytes = [0; 64];
    let length = socket.recv(&mut bytes).unwrap();
    assert!(bytes[..length].starts_with(b"STOPPING=1\n"));
}
