//! Writes a value as TOML with every key, what it means and whether the file or a default says so.

use std::fmt::Write as _;

use serde_json::Value;

use super::key_path;
use super::schema::resolve;

/// Renders `value` (an object) under its schema. Each key is preceded by its description; keys for which `is_set` is false
/// end in `# default`; keys that are optional and unset appear as comments. The text reads back as the same value.
pub fn render_effective(schema: &Value, value: &Value, is_set: &dyn Fn(&str) -> bool) -> String {
    let mut out = Writer {
        root: schema,
        is_set,
        text: String::new(),
    };
    out.table(schema, value, &Path::default());
    out.text
}

/// A table: its path as problems name it (`queues[1].tags`), and as TOML heads it (`queues.tags`: of the last in the list).
#[derive(Default)]
struct Path {
    key: String,
    head: String,
}

impl Path {
    fn within(&self, key: &str) -> Self {
        Self {
            key: key_path(&self.key, key),
            head: key_path(&self.head, key),
        }
    }

    fn item(&self, index: usize) -> Self {
        Self {
            key: super::item_path(&self.key, index),
            head: self.head.clone(),
        }
    }
}

struct Writer<'a> {
    root: &'a Value,
    is_set: &'a dyn Fn(&str) -> bool,
    text: String,
}

impl Writer<'_> {
    /// Plain keys first, then tables, because in TOML a table ends where the next begins.
    fn table(&mut self, schema: &Value, value: &Value, path: &Path) {
        let schema = resolve(self.root, schema);
        let Some(object) = value.as_object() else { return };
        if let Some(each) = schema.get("additionalProperties").filter(|each| each.is_object()) {
            for (key, item) in object {
                if item.is_object() {
                    self.section(each, item, &path.within(key), None);
                } else {
                    self.line(&key_path("", key), item, &path.within(key), each);
                }
            }
            return;
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        let known = || {
            properties
                .into_iter()
                .flatten()
                .map(|(key, property)| (key, property, object.get(key)))
        };
        for (key, property, item) in known() {
            let item = item.unwrap_or(&Value::Null);
            if !self.is_section(property, item) {
                self.comment(description(self.root, property));
                self.line(key, item, &path.within(key), property);
            }
        }
        for (key, property, item) in known() {
            let item = item.unwrap_or(&Value::Null);
            if self.is_section(property, item) {
                self.section(property, item, &path.within(key), description(self.root, property));
            }
        }
    }

    fn section(&mut self, schema: &Value, value: &Value, path: &Path, about: Option<&str>) {
        let resolved = resolve(self.root, schema);
        let is_map = resolved.get("additionalProperties").is_some_and(Value::is_object);
        let items = resolved.get("items");
        self.text.push('\n');
        self.comment(about);
        match (value.as_array(), items) {
            (Some(list), Some(each)) => {
                for (index, item) in list.iter().enumerate() {
                    let _ = writeln!(self.text, "[[{}]]", path.head);
                    self.table(each, item, &path.item(index));
                }
            }
            _ if is_map => {
                let items = value.as_object();
                if items.is_none_or(serde_json::Map::is_empty) {
                    let _ = writeln!(self.text, "# [{}]: none", path.head);
                } else if items.is_some_and(|items| !items.values().all(Value::is_object)) {
                    let _ = writeln!(self.text, "[{}]", path.head);
                }
                self.table(schema, value, path);
            }
            _ => {
                let _ = writeln!(self.text, "[{}]", path.head);
                self.table(schema, value, path);
            }
        }
    }

    fn line(&mut self, key: &str, value: &Value, path: &Path, schema: &Value) {
        match inline(value) {
            None => {
                let example = schema.pointer("/examples/0").and_then(inline);
                let example = example.map_or_else(|| key.to_owned(), |example| format!("{key} = {example}"));
                let _ = writeln!(self.text, "# {example}  # not set");
            }
            Some(text) => {
                let origin = if (self.is_set)(&path.key) { "" } else { "  # default" };
                let _ = writeln!(self.text, "{key} = {text}{origin}");
            }
        }
    }

    /// Objects with keys of their own, maps, and lists of objects that are not written on one line.
    fn is_section(&self, schema: &Value, value: &Value) -> bool {
        let schema = resolve(self.root, schema);
        let large = |object: &Value| object.as_object().is_some_and(|keys| keys.len() > 3);
        match value {
            Value::Object(_) => large(value) || schema.get("additionalProperties").is_some_and(Value::is_object),
            Value::Array(items) => items.iter().any(large),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }

    fn comment(&mut self, text: Option<&str>) {
        for line in text
            .into_iter()
            .flat_map(str::lines)
            .filter(|line| !line.trim().is_empty())
        {
            let _ = writeln!(self.text, "# {}", line.trim());
        }
    }
}

/// The description where the key stands; of its type only if there is none.
fn description<'s>(root: &'s Value, schema: &'s Value) -> Option<&'s str> {
    let own = schema.get("description").and_then(Value::as_str);
    own.or_else(|| resolve(root, schema).get("description").and_then(Value::as_str))
}

/// A value on one line of TOML; `None` for null.
fn inline(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => toml::Value::String(text.clone()).to_string(),
        Value::Array(items) => format!("[{}]", items.iter().filter_map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(keys) => {
            let pairs = keys
                .iter()
                .filter_map(|(k, v)| Some(format!("{} = {}", key_path("", k), inline(v)?)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
    })
}
