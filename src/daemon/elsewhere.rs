//! Where there are no Unix sockets, no supervisor listens.

use std::ffi::OsStr;
use std::io;

use super::snapshot::Snapshot;

/// Nobody.
#[derive(Debug, Default)]
pub struct Supervisor;

impl Supervisor {
    /// There is no such socket.
    pub fn at(_: &OsStr) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn turned(&mut self, _: &Snapshot) {}
    pub(super) fn reloading(&self) {}
    pub(super) fn reloaded(&mut self) {}
    pub(super) fn stopping(&self) {}
}
