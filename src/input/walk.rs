//! Compares a parsed TOML text with a JSON schema and collects every difference.
//!
//! What agrees with the schema is built up on the way: the *sound part*. Keys whose values are wrong are left out of it, and
//! a table that lacks a required key is wrong as a whole, as is a list with a wrong item (positions must not shift).

use std::collections::BTreeMap;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, did_you_mean, quoted};
use super::schema::{alternatives, bounds, describe, one_of, resolve, types, words};
use super::values::{self, Hint, Kind, Scalar};
use super::{Lines, Place, item_path, key_path};

/// What problems say was found where a required key is missing.
pub(crate) const NOTHING: &str = "nothing";

/// One comparison.
pub(super) struct Walk<'a> {
    file: &'a str,
    lines: &'a Lines<'a>,
    root: &'a Value,
    problems: Vec<Problem>,
    places: BTreeMap<String, Place>,
}

impl<'a> Walk<'a> {
    pub(super) const fn new(file: &'a str, lines: &'a Lines<'a>, root: &'a Value) -> Self {
        Self {
            file,
            lines,
            root,
            problems: Vec::new(),
            places: BTreeMap::new(),
        }
    }

    /// Compares the whole text. Gives its sound part, if there is one.
    pub(super) fn root(&mut self, table: &DeTable<'_>) -> Option<toml::Value> {
        self.table(self.root, table, "", 0)
    }

    /// The problems, and where each key stands.
    pub(super) fn end(self) -> (Vec<Problem>, BTreeMap<String, Place>) {
        (self.problems, self.places)
    }

    /// Notes a problem. Returns nothing, for what has a problem is not sound.
    fn tell<T>(&mut self, offset: usize, key: &str, found: String, expected: String, hint: Hint) -> Option<T> {
        let Place { line, column } = self.lines.place(offset);
        let (file, key) = (self.file.to_owned(), key.to_owned());
        self.problems.push(Problem {
            file,
            line,
            column,
            key,
            found,
            expected,
            hint,
        });
        None
    }

    fn value(&mut self, schema: &'a Value, value: &Spanned<DeValue<'_>>, path: &str) -> Option<toml::Value> {
        let offset = value.span().start;
        let schema = resolve(self.root, schema);
        let branches = alternatives(schema);
        if !branches.is_empty() {
            return self.choice(schema, &branches, value, path);
        }
        if !accepts(schema, value.get_ref()) {
            let kind = kind_of(schema);
            let hint = kind
                .zip(scalar_of(value.get_ref()))
                .and_then(|(kind, scalar)| (kind.check)(scalar).err()?);
            return self.tell(offset, path, found(value.get_ref()), describe(self.root, schema), hint);
        }
        match value.get_ref() {
            DeValue::Table(table) => self.table(schema, table, path, offset),
            DeValue::Array(items) => {
                let item_schema = schema.get("items").unwrap_or(&Value::Null);
                let mut sound = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    let path = item_path(path, index);
                    self.places.insert(path.clone(), self.lines.place(item.span().start));
                    sound.extend(self.value(item_schema, item, &path));
                }
                let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
                if u64::try_from(items.len()).unwrap_or(u64::MAX) < least {
                    return self.tell(
                        offset,
                        path,
                        format!("{} items", items.len()),
                        format!("at least {least}"),
                        None,
                    );
                }
                (sound.len() == items.len()).then_some(toml::Value::Array(sound))
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => self.scalar(schema, value, path),
        }
    }

    fn scalar(&mut self, schema: &Value, value: &Spanned<DeValue<'_>>, path: &str) -> Option<toml::Value> {
        let offset = value.span().start;
        let words = words(self.root, schema);
        if let (DeValue::String(text), false) = (value.get_ref(), words.is_empty())
            && !words.contains(&text.as_ref())
        {
            let hint = did_you_mean(text, words.iter().copied());
            return self.tell(offset, path, quoted(text), one_of(&words), hint);
        }
        let scalar = match value.get_ref() {
            DeValue::Boolean(flag) => return Some(toml::Value::Boolean(*flag)),
            DeValue::Datetime(datetime) => return Some(toml::Value::Datetime(*datetime)),
            other @ (DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_)) => scalar_of(other)?,
            DeValue::Array(_) | DeValue::Table(_) => return None,
        };
        if let Some(kind) = kind_of(schema)
            && let Err(hint) = (kind.check)(scalar)
        {
            return self.tell(offset, path, found(value.get_ref()), kind.expected.to_owned(), hint);
        }
        let (number, sound) = match scalar {
            Scalar::Text(text) => return Some(toml::Value::String(text.to_owned())),
            Scalar::Integer(number) => (crate::units::i64_to_f64(number), toml::Value::Integer(number)),
            Scalar::Float(number) => (number, toml::Value::Float(number)),
        };
        let (least, most) = bounds(schema);
        if number.is_finite() && least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most) {
            return Some(sound);
        }
        self.tell(offset, path, found(value.get_ref()), describe(self.root, schema), None)
    }

    fn table(&mut self, schema: &'a Value, table: &DeTable<'_>, path: &str, offset: usize) -> Option<toml::Value> {
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        let names = schema.get("propertyNames").and_then(kind_of);
        let mut sound = toml::Table::new();
        for (key, value) in table {
            let name: &str = key.get_ref();
            let path = key_path(path, name);
            let start = key.span().start;
            self.places.insert(path.clone(), self.lines.place(start));
            if let Some(kind) = names
                && let Err(hint) = (kind.check)(Scalar::Text(name))
            {
                self.tell::<()>(start, &path, quoted(name), kind.expected.to_owned(), hint);
            }
            let value = match (properties.and_then(|p| p.get(name)), others) {
                (Some(property), _) => self.value(property, value, &path),
                (None, Some(each @ Value::Object(_))) => self.value(each, value, &path),
                (None, others) => {
                    if properties.is_none() && others.is_none_or(|others| others.as_bool() == Some(true)) {
                        continue;
                    }
                    let known: Vec<&str> = properties.into_iter().flatten().map(|(k, _)| k.as_str()).collect();
                    let expected = if known.is_empty() {
                        "no keys".to_owned()
                    } else {
                        keys(&known)
                    };
                    let hint = did_you_mean(name, known.iter().copied());
                    self.tell(start, &path, "an unknown key".to_owned(), expected, hint)
                }
            };
            sound.extend(value.map(|value| (name.to_owned(), value)));
        }
        let mut whole = true;
        for name in schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            whole &= sound.contains_key(name);
            if table.get(name).is_none() {
                let property = properties.and_then(|p| p.get(name)).unwrap_or(&Value::Null);
                let hint = kind_of(resolve(self.root, property));
                let hint = hint.map(|kind| format!("for example `{name} = {:?}`", kind.example));
                let expected = describe(self.root, property);
                self.tell::<()>(offset, &key_path(path, name), NOTHING.to_owned(), expected, hint);
            }
        }
        whole.then_some(toml::Value::Table(sound))
    }

    /// An enum: words, tables told apart by one key with a fixed word (`kind = "uniform"`), or tables with one of several keys.
    fn choice(
        &mut self,
        schema: &'a Value,
        branches: &[&'a Value],
        value: &Spanned<DeValue<'_>>,
        path: &str,
    ) -> Option<toml::Value> {
        let offset = value.span().start;
        let branches: Vec<&'a Value> = branches.iter().map(|branch| resolve(self.root, branch)).collect();
        if value.get_ref().is_str() && !words(self.root, schema).is_empty() {
            return self.scalar(schema, value, path);
        }
        let accepting: Vec<&'a Value> = branches
            .iter()
            .copied()
            .filter(|b| accepts(b, value.get_ref()))
            .collect();
        let table = match (value.get_ref().as_table(), accepting.as_slice()) {
            (_, []) => return self.tell(offset, path, found(value.get_ref()), describe(self.root, schema), None),
            (_, [only]) if tag_of(&accepting).is_none() => return self.value(only, value, path),
            (None, [first, ..]) => return self.value(first, value, path),
            (Some(table), _) => table,
        };
        let branches = accepting;
        if let Some(tag) = tag_of(&branches) {
            let words: Vec<&str> = branches.iter().filter_map(|b| tag_word(b, tag)).collect();
            let tag_path = key_path(path, tag);
            let (at, found) = match table.get(tag) {
                Some(given) => {
                    let word = given.get_ref().as_str();
                    match branches.iter().find(|b| word.is_some() && tag_word(b, tag) == word) {
                        Some(branch) => return self.table(branch, table, path, offset),
                        None => (given.span().start, found(given.get_ref())),
                    }
                }
                None => (offset, NOTHING.to_owned()),
            };
            let hint = table
                .get(tag)
                .and_then(|g| did_you_mean(g.get_ref().as_str()?, words.iter().copied()));
            return self.tell(at, &tag_path, found, one_of(&words), hint);
        }
        let has = |branch: &&&Value| {
            let properties = branch.get("properties").and_then(Value::as_object);
            table
                .iter()
                .any(|(key, _)| properties.is_some_and(|p| p.contains_key(key.get_ref().as_ref())))
        };
        if let Some(branch) = branches.iter().find(has) {
            return self.table(branch, table, path, offset);
        }
        let known: Vec<&str> = branches
            .iter()
            .filter_map(|branch| branch.get("properties")?.as_object())
            .flat_map(|properties| properties.keys().map(String::as_str))
            .collect();
        self.tell(
            offset,
            path,
            "a table without any of them".to_owned(),
            keys(&known),
            None,
        )
    }
}

fn kind_of(schema: &Value) -> Option<&'static Kind> {
    schema.get("format").and_then(Value::as_str).and_then(values::kind)
}

/// The key that tells all branches apart by a fixed word.
fn tag_of<'s>(branches: &[&'s Value]) -> Option<&'s str> {
    let first = branches.first()?.get("properties")?.as_object()?;
    first
        .keys()
        .map(String::as_str)
        .find(|key| branches.iter().all(|branch| tag_word(branch, key).is_some()))
}

fn tag_word<'s>(branch: &'s Value, tag: &str) -> Option<&'s str> {
    branch.get("properties")?.get(tag)?.get("const")?.as_str()
}

fn keys(known: &[&str]) -> String {
    let list: Vec<String> = known.iter().map(|key| format!("`{key}`")).collect();
    match list.as_slice() {
        [only] => only.clone(),
        _ => format!("one of {}", list.join(", ")),
    }
}

/// Whether the type of a value is one that the schema accepts.
fn accepts(schema: &Value, value: &DeValue<'_>) -> bool {
    let types = types(schema);
    let wanted: &[&str] = match value {
        DeValue::String(_) => &["string"],
        DeValue::Integer(_) => match scalar_of(value) {
            Some(_) => &["integer", "number"],
            None => &[],
        },
        DeValue::Float(_) => &["number"],
        DeValue::Boolean(_) => &["boolean"],
        DeValue::Datetime(_) => &[],
        DeValue::Array(_) => &["array"],
        DeValue::Table(_) => &["object"],
    };
    types.is_empty() || types.iter().any(|kind| wanted.contains(kind))
}

/// Strings and numbers; `None` for anything else, and for numbers that no 64-bit type holds.
fn scalar_of<'v>(value: &'v DeValue<'_>) -> Option<Scalar<'v>> {
    match value {
        DeValue::String(text) => Some(Scalar::Text(text)),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(Scalar::Integer),
        DeValue::Float(number) => number.as_str().parse().ok().map(Scalar::Float),
        DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// What was found, as a phrase.
fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quoted(text),
        DeValue::Integer(number) => number.as_str().chars().take(30).collect(),
        DeValue::Float(number) => number.as_str().chars().take(30).collect(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(datetime) => format!("the date {datetime}"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
