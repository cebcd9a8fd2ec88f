//! Files that appear whole or not at all.
//!
//! A *partial* file stands under a hidden name beside its place until it is finished. All those of the process are listed, so
//! that [`abandon`] can remove them when the process is told to end.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;

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

/// A file that is not at its place before [`Partial::finish`]. Dropped before, it is removed.
#[derive(Debug)]
pub struct Partial {
    path: PathBuf,
    out: BufWriter<NamedTempFile>,
    // After the file: it is listed for as long as it is there.
    _listed: Listed,
}

impl Partial {
    /// Begins the file that is to stand at `path`.
    pub fn create(path: &Path) -> io::Result<Self> {
        let not_a_name = || io::Error::new(io::ErrorKind::InvalidInput, "not the name of a file");
        let mut prefix = std::ffi::OsString::from(".");
        prefix.push(path.file_name().ok_or_else(not_a_name)?);
        prefix.push(".");
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            Some(_) | None => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(".partial");
        // It is no secret: readable by whom the umask lets, as every other file.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut list = list();
        let file = builder.tempfile_in(folder)?;
        let there = file.path().to_path_buf();
        list.insert(there.clone());
        Ok(Self {
            path: path.to_path_buf(),
            out: BufWriter::new(file),
            _listed: Listed(there),
        })
    }

    /// Flushes it to the disk and moves it to its place, over what stands there.
    pub fn finish(self) -> io::Result<()> {
        let file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        // Once abandoned it waits here for the end of the process, instead of failing because its file is gone.
        let held = list();
        let moved = file.persist(&self.path);
        drop(held);
        moved?;
        Ok(())
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

/// Removes every partial file and lets none be begun or finished any more: for a process that is about to end at once.
pub fn abandon() {
    let list = list();
    for there in list.iter() {
        // While ending there is nothing better to do.
        let _ = fs::remove_file(there);
    }
    std::mem::forget(list);
}

/// The partial files of this process.
fn list() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    static PARTIAL: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    PARTIAL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A line in the list of partial files.
#[derive(Debug)]
struct Listed(PathBuf);

impl Drop for Listed {
    fn drop(&mut self) {
        list().remove(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_takes_its_place_only_when_it_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "old").unwrap();
        let mut partial = Partial::create(&path).unwrap();
        partial.write_all(b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(folder.path()).len(), 2);
        partial.finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(folder.path()), ["a"]);
        assert!(list().iter().all(|there| !there.starts_with(folder.path())));
    }

    #[test]
    fn what_is_dropped_or_cannot_be_moved_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        drop(Partial::create(&folder.path().join("a")).unwrap());
        assert!(Partial::create(&taken).unwrap().finish().is_err());
        assert!(Partial::create(&folder.path().join("nowhere").join("a")).is_err());
        assert!(Partial::create(Path::new("..")).is_err());
        assert_eq!(names(folder.path()), ["taken"]);
        assert!(list().iter().all(|there| !there.starts_with(folder.path())));
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_what_they_may_read_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a"), folder.path().join("b"));
        Partial::create(&path).unwrap().finish().unwrap();
        fs::write(&other, "").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&other));
    }
}
