//! Ctrl-C and its like: what was begun is removed or put back, then the process ends.

use tokio_util::sync::CancellationToken;

/// From here on SIGINT (Ctrl-C) and SIGTERM remove unfinished files and end the process with 130 or 143, as a shell expects.
/// For commands that write files; SIGHUP is left alone, so that `nohup` keeps working.
pub(super) fn removes_partial_files() -> Result<(), super::Failed> {
    #[cfg(unix)]
    unix::listen().map_err(|error| super::Failed {
        status: super::ExitStatus::Failure,
        message: format!("failed to listen for signals: {error}"),
    })?;
    Ok(())
}

/// Cancels the token at the first of them, from the moment that this returns. For commands that end by themselves when they are
/// asked to. Needs a running tokio.
#[cfg(unix)]
pub(super) fn cancels(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let kinds = [SignalKind::terminate(), SignalKind::interrupt()];
    let [Ok(mut terminate), Ok(mut interrupt)] = kinds.map(signal) else {
        super::remark("signals cannot be heard: end this process by SIGKILL only");
        return;
    };
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
}

/// Cancels the token at Ctrl-C. For commands that end by themselves when they are asked to.
#[cfg(not(unix))]
pub(super) fn cancels(stop: CancellationToken) {
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.cancel();
        }
    });
}

#[cfg(unix)]
mod unix {
    use std::io::{self, IsTerminal as _};

    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    use crate::cli::remark;
    use crate::files;

    pub(super) fn listen() -> io::Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        // The work goes on meanwhile; it may be anywhere, even deep in a library, and needs to know nothing of this.
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            if let Some(signal) = signals.forever().next() {
                files::abandon();
                let clear = if io::stderr().is_terminal() { "\r\u{1b}[K" } else { "" };
                let name = if signal == SIGINT { "interrupted" } else { "told to end" };
                remark(&format!("{clear}error: {name}, nothing was written"));
                std::process::exit(128 + signal);
            }
        })?;
        Ok(())
    }
}
