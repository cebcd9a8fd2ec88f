//! Members of a request, read as the service model types them. What the model does not name is ignored, as the services do.

use serde_json::{Map, Value};

use super::refused::Refused;

/// How reading ends.
pub(super) type Taken<T> = Result<T, Refused>;

/// A structure of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a>(&'a Map<String, Value>);

impl<'a> Input<'a> {
    /// A request body. An empty one is an empty structure.
    pub(super) fn of(body: &'a Value) -> Taken<Self> {
        let Value::Object(members) = body else {
            return Err(mistyped(body, "Structure"));
        };
        Ok(Self(members))
    }

    /// A member that is there and not null.
    pub(super) fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(self, name: &str) -> Taken<Option<&'a str>> {
        let read = |value: &'a Value| value.as_str().ok_or_else(|| mistyped(value, "String"));
        self.get(name).map(read).transpose()
    }

    /// A member that the model requires; AWS Batch's answer to an empty one too.
    pub(super) fn required(self, name: &str) -> Taken<&'a str> {
        let text = self.text(name)?.filter(|text| !text.trim().is_empty());
        text.ok_or_else(|| Refused::executing(&format!("{name} must not be blank.")))
    }

    pub(super) fn whole(self, name: &str) -> Taken<Option<i64>> {
        let read = |value: &Value| value.as_i64().ok_or_else(|| mistyped(value, "Integer"));
        self.get(name).map(read).transpose()
    }

    pub(super) fn number(self, name: &str) -> Taken<Option<f64>> {
        let read = |value: &Value| value.as_f64().ok_or_else(|| mistyped(value, "Double"));
        self.get(name).map(read).transpose()
    }

    pub(super) fn list(self, name: &str) -> Taken<&'a [Value]> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Value::Array(values)) => Ok(values),
            Some(other) => Err(mistyped(other, "List")),
        }
    }

    pub(super) fn texts(self, name: &str) -> Taken<Vec<&'a str>> {
        let read = |value: &'a Value| value.as_str().ok_or_else(|| mistyped(value, "String"));
        self.list(name)?.iter().map(read).collect()
    }

    /// A list of structures.
    pub(super) fn structures(self, name: &str) -> Taken<Vec<Input<'a>>> {
        self.list(name)?.iter().map(Input::of).collect()
    }

    pub(super) fn structure(self, name: &str) -> Taken<Option<Input<'a>>> {
        self.get(name).map(Input::of).transpose()
    }

    /// A map of texts.
    pub(super) fn map(self, name: &str) -> Taken<Vec<(&'a str, &'a str)>> {
        let Some(map) = self.structure(name)? else {
            return Ok(Vec::new());
        };
        let read = |(key, value): (&'a String, &'a Value)| {
            let text = value.as_str().ok_or_else(|| mistyped(value, "String"))?;
            Ok((key.as_str(), text))
        };
        map.0.iter().map(read).collect()
    }

    /// Names of all members.
    pub(super) fn names(self) -> impl Iterator<Item = &'a str> {
        self.0.keys().map(String::as_str)
    }
}

fn mistyped(found: &Value, expected: &str) -> Refused {
    let found = match found {
        Value::Null => "NULL_VALUE",
        Value::Bool(_) => "BOOLEAN_VALUE",
        Value::Number(_) => "NUMBER_VALUE",
        Value::String(_) => "STRING_VALUE",
        Value::Array(_) => "START_ARRAY",
        Value::Object(_) => "START_OBJECT",
    };
    Refused::serialization(format!("{found} can not be converted to a {expected}"))
}
