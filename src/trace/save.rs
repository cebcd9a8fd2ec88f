//! A trace to a file in the native format: whole or not at all.

use std::io::{self, BufWriter};
use std::path::Path;

use super::Trace;
use super::native::{self, LeftOut};
use crate::files::{Partial, Unwritten};

/// Writes a trace in the native format, packed if the name ends in `.gz` or `.zst`. Nobody ever finds half of it.
pub fn save(trace: &Trace, path: &Path) -> Result<(), Unwritten> {
    save_recording(trace, LeftOut::default(), path)
}

/// The same, with what the recorder knows to be missing.
pub fn save_recording(trace: &Trace, left_out: LeftOut, path: &Path) -> Result<(), Unwritten> {
    write(trace, left_out, path).map_err(|source| Unwritten {
        path: path.to_path_buf(),
        source,
    })
}

fn write(trace: &Trace, left_out: LeftOut, path: &Path) -> io::Result<()> {
    let mut out = Partial::create(path)?;
    let ends_in = |suffix: &str| {
        path.extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case(suffix))
    };
    if ends_in("gz") {
        let mut packer = BufWriter::new(flate2::write::GzEncoder::new(out, flate2::Compression::default()));
        native::write_recording(trace, left_out, &mut packer)?;
        out = packer.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
    } else if ends_in("zst") {
        let mut packer = zstd::stream::write::Encoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL)?;
        native::write_recording(trace, left_out, &mut packer)?;
        out = packer.finish()?;
    } else {
        native::write_recording(trace, left_out, &mut out)?;
    }
    out.finish()
}

#[cfg(test)]
mod tests {
    use std::fs;

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
