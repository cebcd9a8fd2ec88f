//! Reading text files of bounded size.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::{MOST_BYTES, Problem};

/// Reads a text file. `expected` says what it should be, `shipped` (name and text) what could be named instead. Fails with the
/// one problem that keeps it from being read: missing, unreadable, too large, not UTF-8.
pub fn read_text(path: &Path, expected: &str, shipped: &[(&str, &str)]) -> Result<String, Vec<Problem>> {
    let name = path.display().to_string();
    let unreadable = |error: io::Error| vec![unreadable(&name, &error, expected, shipped)];
    let file = fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MOST_BYTES {
        let most = format!("at most {} MiB of TOML", MOST_BYTES >> 20);
        return Err(vec![Problem::of_file(&name, "a larger file", most)]);
    }
    String::from_utf8(bytes).map_err(|_| {
        let found = "bytes that are not UTF-8";
        vec![Problem::of_file(&name, found, "a TOML text in UTF-8")]
    })
}

/// The `*.toml` files of a folder, not of folders within it, sorted by name.
pub fn toml_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "toml") && !file.is_dir() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// The problem of a path that cannot be read; where nothing is there, with the names that need no file.
pub fn unreadable(name: &str, error: &io::Error, expected: &str, shipped: &[(&str, &str)]) -> Problem {
    let problem = Problem::of_file(name, format!("nothing that can be read ({error})"), expected);
    if error.kind() != io::ErrorKind::NotFound {
        return problem;
    }
    if shipped.is_empty() {
        return problem;
    }
    let names: Vec<&str> = shipped.iter().map(|(name, _)| *name).collect();
    problem.with_hint(format!(
        "those that come with the program need no file: {}",
        names.join(", ")
    ))
}
