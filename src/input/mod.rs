//! Reading what people write: TOML files against the schema of a Rust type, with every problem at once.
//!
//! [`read_toml`] parses a text with spans, compares it with the JSON schema that `schemars` derives from the type, and only
//! if nothing is wrong makes the value. A *document* is the value together with where each key stands, so that later checks
//! can point at a line too. A *place* is such a position.

mod effective;
mod files;
mod kind;
mod problem;
mod schema;
#[cfg(test)]
mod tests;
pub mod values;
mod walk;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use toml::de::DeTable;

pub use effective::render_effective;
pub use files::{read_text, toml_files, unreadable};
pub use kind::{FileKind, SETTINGS_KEYS};
pub use problem::{Problem, did_you_mean, quoted, render};
pub use schema::schema_of;
pub(crate) use walk::NOTHING;
use walk::Walk;

/// The largest text that is read, in bytes. A policy or scenario is a page or two; a file beyond this is some other file.
pub const MOST_BYTES: u64 = 4 << 20;

/// A value and where each of its keys stands in the file.
#[derive(Clone, Debug)]
pub struct Document<T> {
    /// The file as the person named it.
    pub name: String,
    /// What it says, with defaults filled in.
    pub value: T,
    places: BTreeMap<String, Place>,
}

/// A position in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
}

impl<T> Document<T> {
    /// A value that stands in no file: problems name `name` alone.
    pub fn without_places(name: &str, value: T) -> Self {
        Self {
            name: name.to_owned(),
            value,
            places: BTreeMap::new(),
        }
    }

    /// Where a key stands; `None` if the file does not have it, so that its default holds.
    pub fn place(&self, key: &str) -> Option<Place> {
        self.places.get(key).copied()
    }

    /// A problem at a key, or at the nearest table around it that the file has.
    pub fn problem(&self, key: &str, found: impl Into<String>, expected: impl Into<String>) -> Problem {
        let mut around = key;
        let place = loop {
            if let Some(place) = self.place(around) {
                break place;
            }
            match parent_path(around) {
                "" if self.places.is_empty() => break Place { line: 0, column: 0 },
                "" => break Place { line: 1, column: 1 },
                parent => around = parent,
            }
        };
        Problem {
            file: self.name.clone(),
            line: place.line,
            column: place.column,
            key: key.to_owned(),
            found: found.into(),
            expected: expected.into(),
            hint: None,
        }
    }
}

/// The path of a key inside a table: `parent.key`, with quotes where TOML needs them.
pub fn key_path(parent: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let key = if bare { key.to_owned() } else { basic_string(key) };
    if parent.is_empty() {
        key
    } else {
        format!("{parent}.{key}")
    }
}

/// As TOML's basic strings are written, on one line; what cannot be seen is escaped.
fn basic_string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        let hidden = c != '\'' && c.escape_debug().len() > 1;
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if hidden => {
                // Writing to a string does not fail.
                let _ = write!(quoted, "\\U{:08X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The path of an item of a list: `parent[2]`, counted from 0.
pub fn item_path(parent: &str, index: usize) -> String {
    format!("{parent}[{index}]")
}

/// Reads a TOML text as a `T`. Every problem is found in one pass: bad TOML, unknown, missing and doubled keys, wrong types,
/// values that cannot be read. Sorted by line. `name` is what problems call the file.
pub fn read_toml<T: DeserializeOwned + JsonSchema>(name: &str, text: &str) -> Result<Document<T>, Vec<Problem>> {
    read_toml_and_check(name, text, |_| Vec::new())
}

/// As [`read_toml`], and then `check`s what must hold between keys. Where some keys are wrong by themselves, the rest is checked
/// nevertheless; what `check` says of a table with a wrong key is left out then, because a default stood in for that key.
pub fn read_toml_and_check<T: DeserializeOwned + JsonSchema>(
    name: &str,
    text: &str,
    check: impl Fn(&Document<T>) -> Vec<Problem>,
) -> Result<Document<T>, Vec<Problem>> {
    let lines = Lines::of(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut problems: Vec<Problem> = errors.iter().map(|error| syntax_problem(name, &lines, error)).collect();
    let schema = schema_of::<T>();
    let mut walk = Walk::new(name, &lines, schema.as_value());
    let sound = walk.root(table.get_ref());
    let (found, places) = walk.end();
    // What the parser made of a broken line says nothing, and what is missing may stand on it.
    let broken = !problems.is_empty();
    let told: Vec<usize> = problems.iter().map(|problem| problem.line).collect();
    problems.extend(
        found
            .into_iter()
            .filter(|p| !broken || !(told.contains(&p.line) || p.found == walk::NOTHING)),
    );
    let value = sound.map(T::deserialize);
    if let (Some(Err(error)), true) = (&value, problems.is_empty()) {
        problems.push(syntax_problem(name, &lines, error));
    }
    if let (Some(Ok(value)), false) = (value, broken) {
        let document = Document {
            name: name.to_owned(),
            value,
            places,
        };
        let contradictions = check(&document);
        let within = |key: &str, table: &str| {
            key.strip_prefix(table)
                .is_some_and(|rest| table.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let beside = |p: &Problem| problems.iter().any(|wrong| within(&wrong.key, parent_path(&p.key)));
        let contradictions: Vec<Problem> = contradictions.into_iter().filter(|p| !beside(p)).collect();
        problems.extend(contradictions);
        if problems.is_empty() {
            return Ok(document);
        }
    }
    problems.sort();
    problems.dedup();
    Err(problems)
}

/// The path of the table or list around a key.
fn parent_path(key: &str) -> &str {
    key.rfind(['.', '[']).and_then(|end| key.get(..end)).unwrap_or("")
}

fn syntax_problem(name: &str, lines: &Lines<'_>, error: &toml::de::Error) -> Problem {
    let place = lines.place(error.span().map_or(0, |span| span.start));
    let message = error.message().replace('\n', ", ");
    let (found, expected) = match message.split_once(", expected ") {
        Some((found, expected)) => (found.to_owned(), expected.to_owned()),
        None if message == "duplicate key" => (message, "each key once".to_owned()),
        None => (message, "valid TOML".to_owned()),
    };
    Problem {
        file: name.to_owned(),
        line: place.line,
        column: place.column,
        key: String::new(),
        found,
        expected,
        hint: None,
    }
}

/// Finds lines and columns of byte offsets.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let after = text.match_indices('\n').map(|(position, _)| position + 1);
        Self {
            text,
            starts: std::iter::once(0).chain(after).collect(),
        }
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..offset.min(self.text.len())).unwrap_or("");
        Place {
            line,
            column: before.chars().count() + 1,
        }
    }
}
