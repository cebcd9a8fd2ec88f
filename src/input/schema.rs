//! JSON schemas of input types: made by `schemars`, read here.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use super::values;

/// The JSON schema (draft 2020-12) of what a file of this type may say.
pub fn schema_of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12()
        .for_deserialize()
        .into_generator()
        .into_root_schema_for::<T>()
}

/// The schema itself: references followed, and `null` alternatives dropped, because TOML has no null.
pub(super) fn resolve<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let mut schema = schema;
    // A chain of references is as long as the nesting of types at most; the bound only guards against a circle.
    for _ in 0..32 {
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            schema = root.pointer(target.trim_start_matches('#')).unwrap_or(&Value::Null);
            continue;
        }
        match alternatives(schema).as_slice() {
            [only] => schema = only,
            _ => break,
        }
    }
    schema
}

/// The branches of `oneOf` or `anyOf`, without `null`.
pub(super) fn alternatives(schema: &Value) -> Vec<&Value> {
    let list = schema
        .get("oneOf")
        .or_else(|| schema.get("anyOf"))
        .and_then(Value::as_array);
    let is_null = |branch: &&Value| branch.get("type").and_then(Value::as_str) == Some("null");
    list.into_iter().flatten().filter(|branch| !is_null(branch)).collect()
}

/// The types a schema accepts, `null` aside. Empty: any.
pub(super) fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several
            .iter()
            .filter_map(Value::as_str)
            .filter(|t| *t != "null")
            .collect(),
        _ => Vec::new(),
    }
}

/// The words a schema accepts as a string, from `enum` and `const`, its alternatives included.
pub(super) fn words<'s>(root: &'s Value, schema: &'s Value) -> Vec<&'s str> {
    let mut words: Vec<&str> = Vec::new();
    words.extend(schema.get("const").and_then(Value::as_str));
    words.extend(
        schema
            .get("enum")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str),
    );
    for branch in alternatives(schema) {
        words.extend(self::words(root, resolve(root, branch)));
    }
    words
}

/// What a schema expects, as a phrase that follows "expected".
pub(super) fn describe(root: &Value, schema: &Value) -> String {
    let schema = resolve(root, schema);
    if let Some(kind) = schema.get("format").and_then(Value::as_str).and_then(values::kind) {
        return kind.expected.to_owned();
    }
    let words = words(root, schema);
    if !words.is_empty() {
        return one_of(&words);
    }
    let branches = alternatives(schema);
    if !branches.is_empty() {
        let mut phrases: Vec<String> = branches.iter().map(|branch| describe(root, branch)).collect();
        phrases.dedup();
        return phrases.join(" or ");
    }
    let phrases: Vec<String> = types(schema)
        .into_iter()
        .map(|kind| match kind {
            "integer" => format!("a whole number{}", range(schema)),
            "number" => format!("a number{}", range(schema)),
            "string" => "a string".to_owned(),
            "boolean" => "true or false".to_owned(),
            "array" => "a list".to_owned(),
            "object" => "a table".to_owned(),
            other => other.to_owned(),
        })
        .collect();
    if phrases.is_empty() {
        "a value".to_owned()
    } else {
        phrases.join(" or ")
    }
}

/// `one of "a", "b"`, or the only word.
pub(super) fn one_of(words: &[&str]) -> String {
    let list: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    match list.as_slice() {
        [only] => only.clone(),
        _ => format!("one of {}", list.join(", ")),
    }
}

/// The bounds of a number: those written down, else those of the type that will hold it.
pub(super) fn bounds(schema: &Value) -> (Option<f64>, Option<f64>) {
    let number = |key: &str| schema.get(key).and_then(Value::as_f64);
    let of_type = match schema.get("format").and_then(Value::as_str) {
        Some("uint32") => Some(f64::from(u32::MAX)),
        Some("int32") => Some(f64::from(i32::MAX)),
        _ => None,
    };
    let least_of_type = match schema.get("format").and_then(Value::as_str) {
        Some("int32") => Some(f64::from(i32::MIN)),
        _ => None,
    };
    (number("minimum").or(least_of_type), number("maximum").or(of_type))
}

/// The bounds as they are written down; those of the type that will hold the number would only confuse.
fn range(schema: &Value) -> String {
    let number = |key: &str| schema.get(key).and_then(Value::as_f64);
    match (number("minimum"), number("maximum")) {
        (Some(least), Some(most)) if least >= most => format!(", only {least}"),
        (Some(least), Some(most)) => format!(" from {least} to {most}"),
        (Some(least), None) => format!(" of at least {least}"),
        (None, Some(most)) => format!(" of at most {most}"),
        (None, None) => String::new(),
    }
}
