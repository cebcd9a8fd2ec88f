//! A trace to a file in the native format: whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{Trace, native};

/// A trace could not be written; nothing was left behind, and what stood at the place before still does.
#[derive(Debug, thiserror::Error)]
#[error("write {}", path.display())]
pub struct Unsaved {
    /// Where it should have gone.
    pub path: PathBuf,
    /// Why it did not.
    #[source]
    pub source: io::Error,
}

/// Writes a trace in the native format, packed if the name ends in `.gz` or `.zst`. It is written beside its place under another
/// name, flushed to the disk, and then moved there, so that nobody ever finds half of it.
pub fn save(trace: &Trace, path: &Path) -> Result<(), Unsaved> {
    let failed = |source| Unsaved {
        path: path.to_path_buf(),
        source,
    };
    let Some(name) = path.file_name() else {
        return Err(failed(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not the name of a file",
        )));
    };
    let mut partial = OsString::from(".");
    partial.push(name);
    partial.push(format!(".{}.partial", std::process::id()));
    let partial = Partial {
        path: path.with_file_name(partial),
    };
    write(trace, path, &partial.path)
        .and_then(|()| fs::rename(&partial.path, path))
        .map_err(failed)
}

fn write(trace: &Trace, path: &Path, partial: &Path) -> io::Result<()> {
    let file = File::create(partial)?;
    let out = BufWriter::new(file);
    let ends_in = |suffix: &str| {
        path.extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case(suffix))
    };
    let mut out = if ends_in("gz") {
        let mut packer = BufWriter::new(flate2::write::GzEncoder::new(out, flate2::Compression::default()));
        native::write(trace, &mut packer)?;
        packer.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?
    } else if ends_in("zst") {
        let mut packer = zstd::stream::write::Encoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL)?;
        native::write(trace, &mut packer)?;
        packer.finish()?
    } else {
        let mut out = out;
        native::write(trace, &mut out)?;
        out
    };
    out.flush()?;
    out.get_ref().sync_all()
}

/// A file that is removed unless it has been moved away.
struct Partial {
    path: PathBuf,
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After the rename there is nothing to remove, and while failing there is nothing better to do.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::generate::{Days, Generator as _, Trickle};
    use crate::trace::{ReadOptions, read};

    #[test]
    fn every_packing_comes_back_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let trace = Trickle::default().generate(3, Days(1));
        for name in ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"] {
            let path = directory.path().join(name);
            save(&trace, &path).unwrap();
            let loaded = read(
                &[path],
                &ReadOptions {
                    strict: true,
                    ..ReadOptions::default()
                },
            )
            .unwrap();
            assert_eq!(loaded.trace, trace, "{name}");
        }
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let taken = directory.path().join("taken");
        fs::create_dir(&taken).unwrap();
        let trace = Trickle::default().generate(3, Days(1));
        assert!(save(&trace, &taken).is_err());
        assert!(save(&trace, &directory.path().join("nowhere").join("a")).is_err());
        let left: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["taken"]);
    }
}
