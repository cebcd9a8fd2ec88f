//! Log lines: text on a terminal, JSON for everybody else. `AUTOTUNE_LOG` filters them as `RUST_LOG` does elsewhere.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Begins to write log lines to standard error. Text from outside is escaped by whoever logs it.
pub(super) fn begin() {
    let filter = EnvFilter::try_from_env("AUTOTUNE_LOG").unwrap_or_else(|_| EnvFilter::new("autotune=info,warn"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second subscriber (a test's) is left in place.
    if std::io::stderr().is_terminal() {
        let _ = lines.with_target(false).try_init();
    } else {
        let _ = lines.json().flatten_event(true).try_init();
    }
}
