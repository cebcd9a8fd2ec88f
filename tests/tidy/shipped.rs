//! What the documents name is there, and what is shipped can be read.

use crate::files::{all, root};

/// Directories of the tree that documents point into.
const SHIPPED: &[&str] = &["src/", "tests/", "policies/", "deploy/", "benches/", "fuzz/", ".ci/"];

#[test]
fn every_toml_file_parses_and_says_for_whom_it_is() {
    let files: Vec<_> = all()
        .into_iter()
        .filter(|file| file.name.starts_with("policies/"))
        .collect();
    let toml: Vec<_> = files.iter().filter(|file| file.extension() == "toml").collect();
    assert!(!toml.is_empty(), "no policies are shipped");
    for file in toml {
        let parsed: Result<toml::Table, _> = toml::from_str(&file.text);
        assert!(parsed.is_ok(), "{}: {}", file.name, parsed.unwrap_err());
        assert!(
            file.text.starts_with('#'),
            "{}: begins without a comment that says for whom it is",
            file.name
        );
    }
}

#[test]
fn every_file_that_a_document_names_is_there() {
    let mut missing = Vec::new();
    for file in all().iter().filter(|file| file.extension() == "md") {
        for word in file
            .text
            .split(|c: char| c.is_whitespace() || "`\"'()[]<>|,;".contains(c))
        {
            let path = word.trim_end_matches(['.', ':', '!', '?']).trim_start_matches("./");
            let is_pattern = path.contains(['*', '{', '$']) || path.contains("...");
            let is_ours = SHIPPED.iter().any(|directory| path.starts_with(directory));
            if is_ours && !is_pattern && !root().join(path).exists() {
                missing.push(format!("{}: {path}", file.name));
            }
        }
    }
    assert!(missing.is_empty(), "named but not there:\n{}", missing.join("\n"));
}
