//! What systemd hears of `autotune run`, as a process.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use super::Sandbox;

/// A process that ends with the test.
struct Ends(std::process::Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn systemd_hears_that_it_is_ready_lives_reloads_and_stops() {
    let sandbox = Sandbox::start(&["--speed", "60"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_mins(2))).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_autotune"));
    // What it tells systemd goes through no port.
    command.args(["run", "--listen", "", "--journal"]);
    command.arg(folder.path().join("journal")).envs(&sandbox.variables);
    command.env("NOTIFY_SOCKET", &path);
    let log = folder.path().join("log");
    command.stderr(std::fs::File::create(&log).unwrap());
    let mut daemon = Ends(command.spawn().unwrap());
    let heard = |line: &str| {
        let mut bytes = [0; 4096];
        loop {
            let length = socket.recv(&mut bytes).expect(line);
            let text = std::str::from_utf8(&bytes[..length]).unwrap();
            if text.lines().any(|said| said.starts_with(line)) {
                return text.to_owned();
            }
        }
    };
    let signal = |name: &str, id: u32| {
        let ended = Command::new("kill").args([name, &id.to_string()]).status().unwrap();
        assert!(ended.success());
    };
    let ready = heard("READY=1");
    assert!(
        ready.contains("WATCHDOG=1\n") && ready.contains("STATUS=Simulated account. Dry run"),
        "{ready}"
    );
    heard("WATCHDOG=1");
    signal("-HUP", daemon.0.id());
    assert!(heard("RELOADING=1").contains("MONOTONIC_USEC="));
    heard("READY=1");
    signal("-TERM", daemon.0.id());
    heard("STOPPING=1");
    assert!(daemon.0.wait().unwrap().success());
    let log = std::fs::read_to_string(log).unwrap();
    assert!(
        log.contains("Serves nothing") && !log.contains("Serves /metrics"),
        "{log}"
    );
}
