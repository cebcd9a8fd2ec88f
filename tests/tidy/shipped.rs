//! What the documents name is there, and what is shipped can be read.

use crate::files::{all, root};

/// Directories of the tree that documents point into.
const SHIPPED: &[&str] = &["src/", "tests/", "policies/", "deploy/", "benches/", ".ci/"];

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
        let beside = root().join(&file.name).with_file_name("");
        for path in named_paths(&file.text) {
            if !root().join(path).exists() && !beside.join(path).exists() {
                missing.push(format!("{}: {path}", file.name));
            }
        }
    }
    assert!(missing.is_empty(), "named but not there:\n{}", missing.join("\n"));
}

#[test]
fn paths_are_found_in_prose_code_and_links() {
    let text = "Run `tests/run`, see (src/a.rs). [Licence](LICENSE-MIT) [web](https://example.org/src/x) policies/*.toml other/x";
    assert_eq!(named_paths(text), ["tests/run", "src/a.rs", "LICENSE-MIT"]);
}

/// Paths from the root of the tree that a document names: words that begin with one of our directories, and targets of links.
fn named_paths(text: &str) -> Vec<&str> {
    let mut paths = Vec::new();
    for word in text.split(|c: char| c.is_whitespace() || "`\"'()<>|,;".contains(c)) {
        let path = word.trim_end_matches(['.', ':', '!', '?']).trim_start_matches("./");
        let is_pattern = path.contains(['*', '{', '$']) || path.contains("...");
        if SHIPPED.iter().any(|directory| path.starts_with(directory)) && !is_pattern {
            paths.push(path);
        }
    }
    for link in text.split("](").skip(1) {
        let target = link.split([')', '#']).next().unwrap_or_default();
        if !target.is_empty() && !target.contains("://") && !paths.contains(&target) {
            paths.push(target);
        }
    }
    paths
}

/// Messages name the permission that was missing, so it has to be one that the template gives or the table of permissions explains.
#[test]
fn every_action_that_the_program_names_is_a_permission_that_is_documented() {
    let files = all();
    let text = |name: &str| files.iter().find(|file| file.name == name).unwrap().text.clone();
    let documented = text("deploy/cloudformation/account.yaml") + &text("deploy/iam/README.md");
    let sources = files.iter().filter(|file| file.name.starts_with("src/aws/"));
    let named: Vec<&str> = sources
        .flat_map(|file| file.text.split('"'))
        .filter(|word| is_action(word))
        .collect();
    assert!(named.len() > 40, "{named:?}");
    let words: Vec<&str> = documented
        .split(|c: char| !c.is_ascii_alphanumeric() && c != ':')
        .collect();
    let unknown: Vec<&&str> = named.iter().filter(|name| !words.contains(*name)).collect();
    assert!(unknown.is_empty(), "named and not documented: {unknown:?}");
}

/// `batch:ListJobs`
fn is_action(word: &str) -> bool {
    let Some((service, action)) = word.split_once(':') else {
        return false;
    };
    let is_word = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric());
    !service.is_empty()
        && service.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && action.starts_with(|c: char| c.is_ascii_uppercase())
        && is_word(action)
}
