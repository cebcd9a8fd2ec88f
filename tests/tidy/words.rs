//! How long files are and which words stay out of them.

use crate::files::{File, all};

/// A file that is longer has more than one subject. Tests count: they belong next to what they test, and long ones have a file
/// of their own.
const LINES_MAX: usize = 600;

/// Kinds of files that people write. Recordings are left as their authors published them.
const WRITTEN: &[&str] = &["rs", "toml", "md", "py", "sh", "yml", "yaml", "service", "trycmd", ""];

/// What to do instead, and the words that call for it: marks of unfinished work, lints switched off without a reason, hosts of
/// package registries. Written in two halves, so that this file may hold them.
const UNWANTED: &[(&str, &[&str])] = &[
    (
        "finish it, or say in an issue what is missing",
        &[concat!("TO", "DO"), concat!("FIX", "ME")],
    ),
    (
        "write #[expect(lint, reason = \"...\")]",
        &[concat!("#[al", "low("), concat!("#![al", "low(")],
    ),
    (
        "cargo and pip know where packages come from",
        &[
            concat!("crates", ".io"),
            concat!("py", "pi.org"),
            concat!("python", "hosted.org"),
            concat!("npm", "js.org"),
        ],
    ),
];

/// Directories that exist on one machine only, where they stand at the start of a path.
const FOREIGN_ROOTS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
];

#[test]
fn no_file_is_too_long() {
    let long: Vec<String> = all()
        .iter()
        .filter(|file| file.extension() == "rs")
        .map(|file| (file.text.lines().count(), &file.name))
        .filter(|(lines, _)| *lines > LINES_MAX)
        .map(|(lines, name)| format!("{name}: {lines} lines, {LINES_MAX} allowed"))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn no_marks_of_unfinished_work_and_no_names_of_a_machine() {
    let mut wrong = Vec::new();
    for file in all().iter().filter(|file| is_written(file)) {
        for (at, line) in file.text.lines().enumerate() {
            for (hint, words) in UNWANTED {
                for word in words.iter().filter(|word| line.contains(**word)) {
                    wrong.push(format!("{}:{}: `{word}`: {hint}", file.name, at + 1));
                }
            }
            if FOREIGN_ROOTS.iter().any(|root| starts_a_path(line, root)) {
                wrong.push(format!("{}:{}: a path of one machine: {line}", file.name, at + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn is_written(file: &File) -> bool {
    file.name != "Cargo.lock" && WRITTEN.contains(&file.extension())
}

/// Whether a path in `line` begins with `root`; `s3://bucket` followed by the same letters is something else.
fn starts_a_path(line: &str, root: &str) -> bool {
    line.match_indices(root).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| c.is_whitespace() || "\"'`(=<[:".contains(c))
    })
}

#[test]
fn paths_are_told_from_the_middle_of_other_paths() {
    let root = FOREIGN_ROOTS[0];
    for (line, expected) in [
        (format!("see {root}notes"), true),
        (format!("{root}notes"), true),
        (format!("open(\"{root}x\")"), true),
        (format!("s3://bucket{root}ab/cd"), false),
        (format!("target{root}x"), false),
    ] {
        assert_eq!(starts_a_path(&line, root), expected, "{line}");
    }
}
