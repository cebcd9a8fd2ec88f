//! What the operator wants: files and folders of them, strict and versioned.
//!
//! A *policy* is the content of one or more policy files that hold together. Its keys are in [`mod@file`]; what must hold between
//! keys is in `check`; when schedules are in force is in [`schedules`]. `setup::compile` turns it into what the planner knows.

mod check;
pub mod file;
pub mod schedules;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub use file::PolicyFile;
use file::TempoPolicy;

use crate::input::{self, Document, FileKind, Problem, key_path, read_toml_and_check};

/// One or more policy files that hold together.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// In the order in which they were named, those of a folder by name.
    pub files: Vec<Document<PolicyFile>>,
}

impl Policy {
    /// SQS queues that it names, each once.
    pub fn sqs_queues(&self) -> BTreeSet<String> {
        let queues = self.files.iter().flat_map(|file| file.value.queues.values());
        queues.flat_map(|queue| queue.sqs.keys().cloned()).collect()
    }

    /// How fast and how careful: each key from the file that sets it.
    pub fn tempo(&self) -> TempoPolicy {
        let keys_of = |tempo: &TempoPolicy| serde_json::to_value(tempo).unwrap_or_default();
        let mut merged = keys_of(&TempoPolicy::default());
        for document in &self.files {
            for (key, value) in keys_of(&document.value.tempo).as_object().into_iter().flatten() {
                if document.place(&key_path("tempo", key)).is_some() {
                    merged[key] = value.clone();
                }
            }
        }
        serde_json::from_value(merged).unwrap_or_default()
    }
}

/// The policies that come with the program: name and text.
pub const SHIPPED: [(&str, &str); 7] = [
    ("reactive", include_str!("../../policies/reactive.toml")),
    ("warm-hours", include_str!("../../policies/warm-hours.toml")),
    ("spot-first", include_str!("../../policies/spot-first.toml")),
    ("thrifty", include_str!("../../policies/thrifty.toml")),
    ("latency-first", include_str!("../../policies/latency-first.toml")),
    ("sqs-ahead", include_str!("../../policies/sqs-ahead.toml")),
    ("demo", include_str!("../../policies/demo.toml")),
];

/// Reads one text as a whole policy. `name` is what problems call it. Fails with every problem of the text.
pub fn parse(name: &str, text: &str) -> Result<Policy, Vec<Problem>> {
    let document = read_toml_and_check(name, text, check::of_only_file)?;
    Ok(Policy { files: vec![document] })
}

/// As [`load_all`], of one path.
pub fn load(path: &Path) -> Result<Policy, Vec<Problem>> {
    load_all(&[path.to_path_buf()])
}

/// Reads what is at all these paths as one policy: a policy file, all `*.toml` files of a folder (not of folders within it), or a
/// shipped policy by its name where no such path exists. Fails with every problem of every file. A scenario among the files of a
/// folder is a problem too: it may be a policy with a mistake, and no policy is left out in silence.
pub fn load_all(paths: &[PathBuf]) -> Result<Policy, Vec<Problem>> {
    let (mut sources, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        sources.extend(sources_at(path, &mut problems));
    }
    let is_alone = sources.len() == 1;
    let check = if is_alone {
        check::of_only_file
    } else {
        check::within_file
    };
    let mut policy = Policy::default();
    for source in sources {
        match source.read(check) {
            Ok(document) => policy.files.push(document),
            Err(found) => problems.extend(found),
        }
    }
    if !is_alone {
        problems.extend(check::between_files(&policy));
    }
    if problems.is_empty() { Ok(policy) } else { Err(problems) }
}

/// Where one policy file is.
enum Source {
    File(PathBuf),
    /// In the program, as name and text.
    Shipped(&'static str, &'static str),
}

impl Source {
    fn read(&self, check: fn(&Document<PolicyFile>) -> Vec<Problem>) -> Result<Document<PolicyFile>, Vec<Problem>> {
        match self {
            Self::File(path) => {
                let text = input::read_text(path, WANTED, &SHIPPED)?;
                read_toml_and_check(&path.display().to_string(), &text, check)
            }
            Self::Shipped(name, text) => read_toml_and_check(name, text, check),
        }
    }
}

/// The policy files at a path. Adds a problem for what cannot be read, and for each file of a folder that is no policy.
fn sources_at(path: &Path, problems: &mut Vec<Problem>) -> Vec<Source> {
    if let Some((name, text)) = shipped(path) {
        return vec![Source::Shipped(name, text)];
    }
    if !path.is_dir() {
        return vec![Source::File(path.to_path_buf())];
    }
    let name = path.display().to_string();
    let files = match input::toml_files(path) {
        Ok(files) if files.is_empty() => {
            let found = "a folder without `*.toml` files";
            problems.push(Problem::of_file(&name, found, "at least one policy file"));
            files
        }
        Ok(files) => files,
        Err(error) => {
            problems.push(input::unreadable(&name, &error, WANTED, &SHIPPED));
            Vec::new()
        }
    };
    let mut policies = Vec::new();
    for file in files {
        match no_policy(&file) {
            Some(problem) => problems.push(problem),
            None => policies.push(Source::File(file)),
        }
    }
    policies
}

/// The shipped policy of this name, where no such path exists.
pub fn shipped(path: &Path) -> Option<(&'static str, &'static str)> {
    if path.exists() { None } else { shipped_as(path) }
}

fn shipped_as(name: &Path) -> Option<(&'static str, &'static str)> {
    SHIPPED.into_iter().find(|(shipped, _)| name.as_os_str() == *shipped)
}

/// The paths that a file in this folder means by these: relative ones go by the folder, and the name of a shipped policy is one
/// unless something in the folder is called so.
pub fn beside(folder: &Path, named: &[PathBuf]) -> Vec<PathBuf> {
    let meant = |path: &PathBuf| {
        let there = folder.join(path);
        if shipped_as(path).is_some() && !there.exists() {
            path.clone()
        } else {
            there
        }
    };
    named.iter().map(meant).collect()
}

/// The problem of a file that is of another kind.
fn no_policy(file: &Path) -> Option<Problem> {
    // What cannot be read is told by whoever reads it as a policy.
    let text = input::read_text(file, WANTED, &SHIPPED).ok()?;
    let (found, hint) = match FileKind::of(&text) {
        FileKind::Policy => return None,
        FileKind::Scenario => (
            "a scenario",
            "keep scenarios elsewhere; in a policy, queues and environments are tables such as `[queues.NAME]`",
        ),
        FileKind::Settings => (
            "settings of the daemon",
            "keep them elsewhere, and name them with --config; a policy begins with `version = 1`",
        ),
    };
    let name = file.display().to_string();
    Some(Problem::of_file(&name, found, "a policy, as all files of this folder").with_hint(hint))
}

/// What problems say was expected where no file can be read.
const WANTED: &str = "a policy file or a folder of them";
