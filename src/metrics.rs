//! Every Prometheus family, once, with its unit, help and stability.

/// All metrics of the daemon.
#[derive(Debug, Default)]
pub struct Metrics {}
