//! Values that read the way people write them: `"90s"`, `"256 vcpu"`, `"20%"`, `"8 GiB"`, cron expressions, time zones.
//!
//! Each kind says once how it is read and written, what to expect and how to help; its JSON schema carries the name of the
//! kind as `format`, by which the strict reader finds the check. A new kind is a [`Readable`] and a line in `KINDS`.

/// Makes a [`Readable`] usable as a value of an input type: reads and writes it as text, and names its kind in the schema.
macro_rules! file_value {
    ($name:ident) => {
        const _: () = {
            use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
            use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
            use serde::ser::{Serialize, Serializer};

            impl Serialize for $name {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.serialize_str(&self.write())
                }
            }

            struct Reader;

            impl Visitor<'_> for Reader {
                type Value = $name;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str($name::EXPECTED)
                }
                fn visit_str<E: Error>(self, text: &str) -> Result<$name, E> {
                    $name::read(Scalar::Text(text)).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
                }
                fn visit_i64<E: Error>(self, number: i64) -> Result<$name, E> {
                    $name::read(Scalar::Integer(number))
                        .map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
                }
            }

            impl<'de> Deserialize<'de> for $name {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    deserializer.deserialize_any(Reader)
                }
            }

            impl JsonSchema for $name {
                fn inline_schema() -> bool {
                    true
                }
                fn schema_name() -> std::borrow::Cow<'static, str> {
                    stringify!($name).into()
                }
                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    let mut schema = json_schema!({ "type": "string" });
                    if $name::NUMBERS {
                        schema = json_schema!({ "type": ["string", "integer"] });
                    }
                    schema.insert("format".to_owned(), $name::FORMAT.into());
                    schema.insert("examples".to_owned(), vec![$name::EXAMPLE].into());
                    schema
                }
            }
        };
    };
}

mod amounts;
mod distribution;
mod names;

pub use amounts::{Cpus, Duration, Memory, Percent, Share};
pub use distribution::{Distribution, parse_span};
pub use names::{AccountId, CronSchedule, NameSelector, QuotaCode, Region, Selector, Zone};

/// A string or number as it stands in a file.
#[derive(Clone, Copy, Debug)]
pub enum Scalar<'a> {
    /// In quotes.
    Text(&'a str),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
}

/// What helps after a value could not be read; `None` if there is nothing beyond "expected".
pub type Hint = Option<String>;

/// A kind of value with a form for people.
pub trait Readable: Sized {
    /// Its name in JSON schemas (`format`).
    const FORMAT: &'static str;
    /// A phrase that follows "expected".
    const EXPECTED: &'static str;
    /// A value.
    const EXAMPLE: &'static str;
    /// Whether a bare whole number is read too.
    const NUMBERS: bool = false;

    /// Reads it. Fails with a hint on everything else than `EXPECTED`.
    fn read(scalar: Scalar<'_>) -> Result<Self, Hint>;

    /// Writes it so that `read` gives the same value again.
    fn write(&self) -> String;
}

/// A kind without its type, for the strict reader.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) format: &'static str,
    pub(super) expected: &'static str,
    pub(super) example: &'static str,
    pub(super) check: fn(Scalar<'_>) -> Result<(), Hint>,
}

const fn kind_of<T: Readable>() -> Kind {
    Kind {
        format: T::FORMAT,
        expected: T::EXPECTED,
        example: T::EXAMPLE,
        check: |scalar| T::read(scalar).map(|_| ()),
    }
}

/// Every kind.
const KINDS: [Kind; 13] = [
    kind_of::<Duration>(),
    kind_of::<Distribution>(),
    kind_of::<Cpus>(),
    kind_of::<Percent>(),
    kind_of::<Share>(),
    kind_of::<Memory>(),
    kind_of::<CronSchedule>(),
    kind_of::<Zone>(),
    kind_of::<Selector>(),
    kind_of::<NameSelector>(),
    kind_of::<QuotaCode>(),
    kind_of::<AccountId>(),
    kind_of::<Region>(),
];

/// The kind of a `format`.
pub(super) fn kind(format: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.format == format)
}
