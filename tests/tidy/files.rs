//! The files of the tree.

use std::fs;
use std::path::{Path, PathBuf};

/// One text file.
pub(crate) struct File {
    /// Relative to the root of the tree, with `/` between the parts.
    pub(crate) name: String,
    /// What it says.
    pub(crate) text: String,
}

impl File {
    /// The part after the last dot of the file name; empty for names such as `run` or `.gitignore`.
    pub(crate) fn extension(&self) -> &str {
        Path::new(&self.name).extension().and_then(|e| e.to_str()).unwrap_or("")
    }
}

/// The root of the tree.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All text files of the tree in the order of their names, without what git and cargo keep for themselves.
pub(crate) fn all() -> Vec<File> {
    let mut names = Vec::new();
    collect(root(), &mut names);
    names.sort();
    assert!(
        names.len() > 20,
        "only {} files found under {}",
        names.len(),
        root().display()
    );
    names.iter().filter_map(|path| read(path)).collect()
}

/// All Rust files under `src/`.
pub(crate) fn sources() -> Vec<File> {
    let mut files = all();
    files.retain(|file| file.name.starts_with("src/") && file.extension() == "rs");
    files
}

fn collect(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        let kind = entry.file_type().unwrap();
        let kept_by_tools = matches!(name.to_str(), Some(".git" | "target" | "__pycache__" | "mutants.out"));
        if kind.is_dir() && !kept_by_tools {
            collect(&entry.path(), into);
        } else if kind.is_file() && !kept_by_tools {
            into.push(entry.path());
        }
    }
}

/// `None` for what is not text.
fn read(path: &Path) -> Option<File> {
    let text = String::from_utf8(fs::read(path).unwrap()).ok()?;
    let relative = path.strip_prefix(root()).unwrap();
    let parts: Vec<_> = relative.iter().map(|part| part.to_str().unwrap()).collect();
    Some(File {
        name: parts.join("/"),
        text,
    })
}
