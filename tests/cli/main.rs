//! The command line as a script sees it: bad input of every kind, made-up recordings, replays, interruption, schemas.

#![expect(clippy::unwrap_used, reason = "a test binary: to panic is to fail")]

mod check;
mod daemon;
mod demo;
#[cfg(unix)]
mod documents;
mod generate;
mod inputs;
#[cfg(unix)]
mod interrupt;
mod recordings;
mod shipping;
mod simulate;

use std::path::Path;

use assert_cmd::Command;

/// How a command ended: exit code, standard output, standard error.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs the program in the root of the tree.
fn autotune(arguments: &[&str]) -> Ended {
    let mut command = Command::cargo_bin("autotune").unwrap();
    let root = env!("CARGO_MANIFEST_DIR");
    let output = command.current_dir(root).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended {
        code: output.status.code(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

impl Ended {
    /// It was refused: nothing on standard output, each of the words on standard error, and no panic.
    #[track_caller]
    fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!((self.code, self.out.as_str()), (Some(code), ""), "{}", self.err);
        for word in words {
            assert!(self.err.contains(word), "`{word}` is missing in\n{}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
    }

    /// It did its work, and said each of the words on standard error.
    #[track_caller]
    fn done(&self, words: &[&str]) {
        assert_eq!(self.code, Some(0), "{}", self.err);
        for word in words {
            assert!(self.err.contains(word), "`{word}` is missing in\n{}", self.err);
        }
    }
}

/// A file with this content in a folder.
fn file(folder: &Path, name: &str, content: &[u8]) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}
