//! Files that appear whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A file could not be written; nothing was left behind, and what stood at the place before still does.
#[derive(Debug, thiserror::Error)]
#[error("write {}", path.display())]
pub struct Unwritten {
    /// Where it should have gone.
    pub path: PathBuf,
    /// Why it did not.
    #[source]
    pub source: io::Error,
}

/// A file under another name beside its place, until [`Partial::finish`] moves it there. Dropped before, it is removed.
#[derive(Debug)]
pub(super) struct Partial {
    path: PathBuf,
    there: PathBuf,
    out: BufWriter<File>,
}

impl Partial {
    /// Begins the file that is to stand at `path`.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let not_a_name = || io::Error::new(io::ErrorKind::InvalidInput, "not the name of a file");
        let mut name = OsString::from(".");
        name.push(path.file_name().ok_or_else(not_a_name)?);
        name.push(format!(".{}.partial", std::process::id()));
        let there = path.with_file_name(name);
        Ok(Self {
            path: path.to_path_buf(),
            out: BufWriter::new(File::create(&there)?),
            there,
        })
    }

    /// Flushes it to the disk and moves it to its place, over what stands there.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.flush()?;
        self.out.get_ref().sync_all()?;
        fs::rename(&self.there, &self.path)
    }
}

impl Write for Partial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Once moved there is nothing to remove, and while failing there is nothing better to do.
        let _ = fs::remove_file(&self.there);
    }
}
