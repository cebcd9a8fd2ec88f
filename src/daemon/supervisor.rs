//! What whoever started the process hears of its life, as sd_notify(3) has it: systemd with `Type=notify`. Elsewhere nothing is said.
//!
//! The loop itself speaks, round by round. One that stands still falls silent, and is killed and started again; a call that hangs
//! holds up no round.

use std::ffi::OsStr;
use std::io;
use std::os::unix::net::UnixDatagram;

use sd_notify::NotifyState;

use super::snapshot::Snapshot;
use crate::clock::Stopwatch;
use crate::units::Span;

/// It is told no more often than this that the loop turns. The loop sleeps five seconds at most.
const EVERY: Span = Span::from_seconds(1);

/// Who listens; nobody, to begin with.
#[derive(Debug, Default)]
pub struct Supervisor {
    socket: Option<UnixDatagram>,
    /// It was told that the first round is over.
    ready: bool,
    /// When it was last told that the loop turns.
    alive: Option<Stopwatch>,
    /// The line that it was last told.
    status: String,
}

impl Supervisor {
    /// Whoever listens on this socket: a path, or after `@` a name without a file.
    pub fn at(name: &OsStr) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // A full socket must not hold up the loop.
        socket.set_nonblocking(true)?;
        match name.as_encoded_bytes() {
            #[cfg(target_os = "linux")]
            [b'@', name @ ..] => {
                use std::os::linux::net::SocketAddrExt as _;
                socket.connect_addr(&std::os::unix::net::SocketAddr::from_abstract_name(name)?)?;
            }
            _ => socket.connect(name)?,
        }
        Ok(Self {
            socket: Some(socket),
            ..Self::default()
        })
    }

    /// The loop has gone round, and this is how the daemon stands. It is ready once it has planned.
    pub(super) fn turned(&mut self, snapshot: &Snapshot) {
        if self.socket.is_none()
            || snapshot.planned_at.is_none()
            || self.alive.is_some_and(|told| told.passed() < EVERY)
        {
            return;
        }
        let status = line(snapshot);
        let mut said = vec![NotifyState::Watchdog];
        if !self.ready {
            said.push(NotifyState::Ready);
        }
        if status != self.status {
            said.push(NotifyState::Status(&status));
        }
        // What could not be told is told with the next round.
        if self.say(&said) {
            (self.ready, self.alive, self.status) = (true, Some(Stopwatch::start()), status);
        }
    }

    /// The policies are read again.
    pub(super) fn reloading(&self) {
        if self.ready
            && let Ok(now) = NotifyState::monotonic_usec_now()
        {
            self.say(&[NotifyState::Reloading, now]);
        }
    }

    /// They were read, and taken or refused; the next round says which.
    pub(super) fn reloaded(&mut self) {
        (self.ready, self.alive) = (false, None);
    }

    /// It is about to end.
    pub(super) fn stopping(&self) {
        self.say(&[NotifyState::Stopping, NotifyState::Status("Stopping")]);
    }

    /// Says it all at once. Whether it was heard.
    fn say(&self, states: &[NotifyState<'_>]) -> bool {
        let lines: Vec<String> = states.iter().map(ToString::to_string).collect();
        let text = lines.join("\n");
        let sent = self.socket.as_ref().map(|socket| socket.send(text.as_bytes()));
        sent.is_some_and(|sent| sent.is_ok())
    }
}

/// How the daemon stands, in one line.
fn line(snapshot: &Snapshot) -> String {
    let environments = &snapshot.environments;
    let steered = environments.iter().filter(|environment| environment.steered).count();
    let raised = environments
        .iter()
        .filter(|environment| environment.lease_expires.is_some())
        .count();
    let jobs: i64 = snapshot.queues.iter().map(|queue| queue.runnable_jobs).sum();
    let simulated = if snapshot.simulated { "Simulated account. " } else { "" };
    let mode = if snapshot.dry_run {
        "Dry run: would steer"
    } else if snapshot.leads {
        "Steers"
    } else {
        "Stands by to steer"
    };
    let refused = if snapshot.reload_refused.is_some() {
        "; policies refused, the old ones stay"
    } else {
        ""
    };
    format!(
        "{simulated}{mode} {steered} of {} compute environments, {raised} raised; {jobs} jobs RUNNABLE{refused}",
        environments.len()
    )
}
