//! Values that read the way people write them: `"90s"`, `"256 vcpu"`, `"20%"`, `"8 GiB"`, cron expressions, time zones.
//!
//! Each kind says once how it is read and written, what to expect and how to help; its JSON schema carries the name of the
//! kind as `format`, by which the strict reader finds the check. A new kind is a [`Readable`] and a line in [`KINDS`].

macro_rules! file_value {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&$crate::input::values::Readable::write(self))
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(<$name as $crate::input::values::Readable>::EXPECTED)
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        <$name as $crate::input::values::Readable>::read($crate::input::values::Scalar::Text(text))
                            .map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
                    }
                    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<$name, E> {
                        <$name as $crate::input::values::Readable>::read($crate::input::values::Scalar::Integer(number))
                            .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(number), &self))
                    }
                }
                deserializer.deserialize_any(Visitor)
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let examples = [<$name as $crate::input::values::Readable>::EXAMPLE];
                if <$name as $crate::input::values::Readable>::NUMBERS {
                    schemars::json_schema!({
                        "type": ["string", "integer"], "format": <$name as $crate::input::values::Readable>::FORMAT, "examples": examples,
                    })
                } else {
                    schemars::json_schema!({ "type": "string", "format": <$name as $crate::input::values::Readable>::FORMAT, "examples": examples })
                }
            }
        }
    };
}

mod amounts;
mod names;

pub use amounts::{Cpus, Duration, Memory, Percent, Share};
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
const KINDS: [Kind; 12] = [
    kind_of::<Duration>(),
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
