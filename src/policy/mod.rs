//! What the operator wants: files, one or a folder of them, strict and versioned.
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
    /// In the order of their names.
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

/// Reads a policy file, all `*.toml` files of a folder (not of folders within it), or a shipped policy by its name where no
/// such path exists. Fails with every problem of every file. A scenario among the files of a folder is a problem too: it may be
/// a policy with a mistake, and no policy is left out in silence.
pub fn load(path: &Path) -> Result<Policy, Vec<Problem>> {
    if !path.exists()
        && let Some((name, text)) = SHIPPED.iter().find(|(name, _)| path.as_os_str() == *name)
    {
        return parse(name, text);
    }
    let name = path.display().to_string();
    if !path.is_dir() {
        return parse(&name, &read_text(path)?);
    }
    let files = input::toml_files(path).map_err(|error| unreadable(&name, &error))?;
    if files.is_empty() {
        let found = "a folder without `*.toml` files";
        return Err(vec![Problem::of_file(&name, found, "at least one policy file")]);
    }
    let (mut policies, mut problems) = (Vec::new(), Vec::new());
    for file in files {
        let (found, hint) = match read_text(&file).map_or(FileKind::Policy, |text| FileKind::of(&text)) {
            FileKind::Policy => {
                policies.push(file);
                continue;
            }
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
        problems.push(Problem::of_file(&name, found, "a policy, as all files of this folder").with_hint(hint));
    }
    match load_files(&policies) {
        Ok(policy) if problems.is_empty() => return Ok(policy),
        Ok(_) => {}
        Err(found) => problems.extend(found),
    }
    Err(problems)
}

/// Reads several files as one policy. Fails with every problem of every file.
pub fn load_files(files: &[PathBuf]) -> Result<Policy, Vec<Problem>> {
    let mut policy = Policy::default();
    let mut problems = Vec::new();
    for file in files {
        let name = file.display().to_string();
        match read_text(file).and_then(|text| read_toml_and_check(&name, &text, check::within_file)) {
            Ok(document) => policy.files.push(document),
            Err(found) => problems.extend(found),
        }
    }
    problems.extend(check::between_files(&policy));
    if problems.is_empty() { Ok(policy) } else { Err(problems) }
}

fn read_text(path: &Path) -> Result<String, Vec<Problem>> {
    input::read_text(path, WANTED, &SHIPPED)
}

fn unreadable(name: &str, error: &std::io::Error) -> Vec<Problem> {
    vec![input::unreadable(name, error, WANTED, &SHIPPED)]
}

/// What problems say was expected where no file can be read.
const WANTED: &str = "a policy file or a folder of them";
