//! What all targets share: a recording made of random bytes, and what must hold of whatever is read from it.

use std::io::Write as _;

use autotune::trace::{Limits, ReadOptions, Sizes, Trace, native, read};
use autotune::units::{Span, Vcpus};

/// Reads a recording: nothing panics, and what is accepted can be run, written and read again.
///
/// The first byte of the data chooses options and the beginning of the file, which leads to the reader of one format; without
/// beginnings the data is the whole file.
pub fn survives(beginnings: &[&str], data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    let bit = |position: u8| choice >> position & 1 == 1;
    let sizes = Sizes {
        vcpus: Some(1),
        memory_mib: Some(1_024),
        memory_from_use: bit(0),
        ..Sizes::default()
    };
    let options = ReadOptions {
        sizes,
        split_above: bit(1).then(|| Vcpus::new(4)),
        rebuild_dependencies: bit(2),
        submit_ahead: bit(2),
        rebuild_window: Span::from_seconds(30),
        limits: limits(),
        ..ReadOptions::default()
    };
    let beginning = match beginnings.len() {
        0 => "",
        count => beginnings[usize::from(choice >> 3) % count],
    };
    let Some(trace) = read_bytes(&[beginning.as_bytes(), rest], &options) else {
        return;
    };
    assert_eq!(trace.validate(), []);
    let _ = trace.summary();
    let mut bytes = Vec::new();
    native::write(&trace, &mut bytes).expect("a vector takes all");
    let strict = ReadOptions {
        strict: true,
        allow_missing_sizes: true,
        limits: limits(),
        ..ReadOptions::default()
    };
    let again = read_bytes(&[&bytes], &strict);
    assert_eq!(again.as_ref(), Some(&trace), "{}", String::from_utf8_lossy(&bytes));
}

/// Small, so that a run of many inputs does not wait for one of them.
fn limits() -> Limits {
    Limits {
        jobs: 10_000,
        bytes: 8 << 20,
        document_bytes: 8 << 20,
        ..Limits::default()
    }
}

fn read_bytes(parts: &[&[u8]], options: &ReadOptions) -> Option<Trace> {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    for part in parts {
        file.write_all(part).expect("room for it");
    }
    read(&[file.path().to_path_buf()], options)
        .ok()
        .map(|loaded| loaded.trace)
}
