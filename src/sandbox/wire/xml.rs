//! Members as XML, and lists and filters of requests that come as forms: what the protocols of EC2 and of its elders share.

use std::fmt::Write as _;

use serde_json::Value;

use super::Reply;
use super::encode::escaped;
use crate::sandbox::input::{Input, Taken};

/// Writes members; `item` is what the elements of a list are called.
fn write(text: &mut String, value: &Value, item: &str) {
    match value {
        Value::Null => {}
        Value::Bool(flag) => text.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => {
            // Writing to a string does not fail.
            let _ = write!(text, "{number}");
        }
        Value::String(words) => text.push_str(&escaped(words)),
        Value::Array(values) => values.iter().for_each(|value| element(text, item, value, item)),
        Value::Object(members) => members
            .iter()
            .for_each(|(name, value)| element(text, name, value, item)),
    }
}

fn element(text: &mut String, name: &str, value: &Value, item: &str) {
    let _ = write!(text, "<{name}>");
    write(text, value, item);
    let _ = write!(text, "</{name}>");
}

/// An answer of EC2.
pub(super) fn ec2(operation: &str, members: &Value) -> Reply {
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{operation}Response \
         xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>simulated</requestId>"
    );
    write(&mut text, members, "item");
    let _ = write!(text, "</{operation}Response>");
    Reply::Xml(text)
}

/// An answer of a service with the query protocol, which has this name space.
pub(super) fn query(operation: &str, namespace: &str, members: &Value) -> Reply {
    let mut text = format!("<{operation}Response xmlns=\"{namespace}\"><{operation}Result>");
    write(&mut text, members, "member");
    let _ = write!(
        text,
        "</{operation}Result><ResponseMetadata><RequestId>simulated</RequestId></ResponseMetadata></{operation}Response>"
    );
    Reply::Xml(text)
}

/// `NAME.1`, `NAME.2` and so on.
pub(super) fn numbered<'a>(input: Input<'a>, name: &str) -> Taken<Vec<&'a str>> {
    let mut values = Vec::new();
    while let Some(value) = input.text(&format!("{name}.{}", values.len() + 1))? {
        values.push(value);
    }
    Ok(values)
}

/// A filter of a listing: name and values.
pub(super) type Filter<'a> = (&'a str, Vec<&'a str>);

/// All filters; `list` is what stands before the number, `values` the name of their values.
pub(super) fn filters<'a>(input: Input<'a>, list: &str, values: &str) -> Taken<Vec<Filter<'a>>> {
    let mut filters = Vec::new();
    while let Some(name) = input.text(&format!("{list}.{}.Name", filters.len() + 1))? {
        filters.push((
            name,
            numbered(input, &format!("{list}.{}.{values}", filters.len() + 1))?,
        ));
    }
    Ok(filters)
}

/// `m6i.*` and the like: a star stands for anything, a question mark for one character.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut reached) = (0, 0);
    // Where the last star stands, and how far the name was when it stood for nothing yet.
    let mut star: Option<(usize, usize)> = None;
    while let Some(c) = name.get(reached) {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, reached));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || wanted == c => {
                at += 1;
                reached += 1;
            }
            Some(_) | None => match star {
                Some((last, from)) => {
                    star = Some((last, from + 1));
                    at = last + 1;
                    reached = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name, expected) in [
            ("m6i.*", "m6i.large", true),
            ("m6i.*", "m6id.large", false),
            ("*.large", "m6i.large", true),
            ("m*.*arge", "m6i.xlarge", true),
            ("m?i.large", "m6i.large", true),
            ("m6i.large?", "m6i.large", false),
            ("m6i.large", "m6i.large", true),
            ("", "m6i.large", false),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
