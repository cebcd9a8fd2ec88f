//! Values that read the way people write them: `"90s"`, `"256 vcpu"`, `"20%"`, `"8 GiB"`, cron expressions, time zones.
//!
//! Each kind says once how it is read and written, what to expect and how to help; its JSON schema carries the name of the
//! kind as `format`, by which the strict reader finds the check. A new kind is a [`Readable`] and a line in [`KINDS`].

use std::borrow::Cow;
use std::time::Duration as StdDuration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use globset::{GlobBuilder, GlobMatcher};
use jiff::SignedDuration;
use jiff::fmt::friendly::{SpanParser, SpanPrinter};
use jiff::tz::TimeZone;

use crate::units::{Mebibytes, Span, Vcpus, f64_to_i64, i64_to_f64};

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

macro_rules! file_value {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.write())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($name::EXPECTED)
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        $name::read(Scalar::Text(text))
                            .map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
                    }
                    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<$name, E> {
                        $name::read(Scalar::Integer(number))
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
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let examples = [$name::EXAMPLE];
                if $name::NUMBERS {
                    schemars::json_schema!({
                        "type": ["string", "integer"], "format": $name::FORMAT, "examples": examples,
                    })
                } else {
                    schemars::json_schema!({ "type": "string", "format": $name::FORMAT, "examples": examples })
                }
            }
        }
    };
}

/// A length of time in hours, minutes, seconds and milliseconds. Days are not offered: around a change of the clocks they
/// have 23 or 25 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub Span);
file_value!(Duration);

impl Readable for Duration {
    const FORMAT: &'static str = "span";
    const EXPECTED: &'static str = "a length of time in hours, minutes and seconds, such as \"90s\" or \"2h 30m\"";
    const EXAMPLE: &'static str = "2h 30m";

    fn read(scalar: Scalar<'_>) -> Result<Self, Hint> {
        let text = match scalar {
            Scalar::Text(text) => text,
            Scalar::Integer(number) => return Err(Some(format!("write \"{number}s\" for seconds"))),
            Scalar::Float(_) => return Err(None),
        };
        match SpanParser::new().parse_unsigned_duration(text.trim()) {
            Ok(duration) => i64::try_from(duration.as_millis())
                .ok()
                .filter(|millis| StdDuration::from_millis(millis.unsigned_abs()) == duration)
                .map(|millis| Self(Span::from_millis(millis)))
                .ok_or_else(|| Some("whole milliseconds are the finest".to_owned())),
            Err(_) if text.contains('-') => Err(Some("a length of time cannot be negative".to_owned())),
            Err(_) if text.trim().parse::<f64>().is_ok() => Err(Some(format!("add the unit: \"{}s\"", text.trim()))),
            Err(_) if text.contains(['d', 'w', 'y']) => Err(Some(
                "write days as hours: \"24h\", \"168h\"; days can have 23 or 25".to_owned(),
            )),
            Err(_) => Err(None),
        }
    }

    fn write(&self) -> String {
        SpanPrinter::new().duration_to_string(&SignedDuration::from_millis(self.0.millis()))
    }
}

/// A whole number of vCPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cpus(pub Vcpus);
file_value!(Cpus);

impl Readable for Cpus {
    const FORMAT: &'static str = "vcpus";
    const EXPECTED: &'static str = "a whole number of vCPUs, such as \"256 vcpu\" or 256";
    const EXAMPLE: &'static str = "256 vcpu";
    const NUMBERS: bool = true;

    fn read(scalar: Scalar<'_>) -> Result<Self, Hint> {
        let count = match scalar {
            Scalar::Integer(count) => count,
            Scalar::Float(_) => return Err(Some("Batch scales in whole vCPUs".to_owned())),
            Scalar::Text(text) => {
                let lower = text.trim().to_lowercase();
                let number = ["vcpus", "vcpu"]
                    .into_iter()
                    .find_map(|unit| lower.strip_suffix(unit))
                    .unwrap_or(&lower);
                number.trim().parse::<i64>().map_err(|_| None)?
            }
        };
        match count {
            0..=MOST_VCPUS => Ok(Self(Vcpus::new(count))),
            i64::MIN..0 => Err(Some("there are no negative vCPUs".to_owned())),
            _ => Err(Some(format!("more than {MOST_VCPUS}, which no account has"))),
        }
    }

    fn write(&self) -> String {
        format!("{} vcpu", self.0.get())
    }
}

/// AWS Batch counts vCPUs in 32-bit signed integers (API reference, ComputeResource).
const MOST_VCPUS: i64 = 2_147_483_647;

/// A part of a whole, in hundredths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(pub i64);
file_value!(Percent);

impl Percent {
    /// This part of `whole`, rounded down.
    pub fn of(self, whole: Vcpus) -> Vcpus {
        whole.scaled_down(self.0, 10_000)
    }
}

impl Readable for Percent {
    const FORMAT: &'static str = "percent";
    const EXPECTED: &'static str = "a percentage from \"0%\" to \"100%\"";
    const EXAMPLE: &'static str = "20%";

    fn read(scalar: Scalar<'_>) -> Result<Self, Hint> {
        let text = match scalar {
            Scalar::Text(text) => text.trim(),
            Scalar::Integer(number) => return Err(Some(format!("write \"{number}%\""))),
            Scalar::Float(number) => return Err(Some(format!("write \"{}%\"", number * 100.0))),
        };
        let number: f64 = text.strip_suffix('%').ok_or(None)?.trim().parse().map_err(|_| None)?;
        if (0.0..=100.0).contains(&number) {
            Ok(Self(f64_to_i64((number * 100.0).round())))
        } else {
            Err(None)
        }
    }

    fn write(&self) -> String {
        format!("{}%", i64_to_f64(self.0) / 100.0)
    }
}

/// vCPUs, or a part of the limit that they are a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// So many.
    Exactly(Vcpus),
    /// So much of it.
    Part(Percent),
}
file_value!(Share);

impl Share {
    /// In vCPUs, given the limit; parts are rounded down.
    pub fn of(self, whole: Vcpus) -> Vcpus {
        match self {
            Self::Exactly(vcpus) => vcpus,
            Self::Part(percent) => percent.of(whole),
        }
    }
}

impl Readable for Share {
    const FORMAT: &'static str = "vcpus-or-percent";
    const EXPECTED: &'static str = "vCPUs or a percentage, such as \"256 vcpu\", 256 or \"20%\"";
    const EXAMPLE: &'static str = "256 vcpu";
    const NUMBERS: bool = true;

    fn read(scalar: Scalar<'_>) -> Result<Self, Hint> {
        match scalar {
            Scalar::Text(text) if text.contains('%') => Percent::read(scalar).map(Self::Part),
            Scalar::Text(_) | Scalar::Integer(_) | Scalar::Float(_) => Cpus::read(scalar).map(|c| Self::Exactly(c.0)),
        }
    }

    fn write(&self) -> String {
        match self {
            Self::Exactly(vcpus) => Cpus(*vcpus).write(),
            Self::Part(percent) => percent.write(),
        }
    }
}

/// Memory in binary units, rounded up to whole MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Memory(pub Mebibytes);
file_value!(Memory);

impl Readable for Memory {
    const FORMAT: &'static str = "memory";
    const EXPECTED: &'static str = "memory in MiB, GiB or TiB, such as \"8 GiB\"";
    const EXAMPLE: &'static str = "8 GiB";

    fn read(scalar: Scalar<'_>) -> Result<Self, Hint> {
        let text = match scalar {
            Scalar::Text(text) => text.trim().to_lowercase(),
            Scalar::Integer(number) => return Err(Some(format!("write \"{number} MiB\" or \"{number} GiB\""))),
            Scalar::Float(_) => return Err(None),
        };
        let units = [("mib", 1.0), ("gib", 1024.0), ("tib", 1_048_576.0)];
        let Some((number, factor)) = units.iter().find_map(|(unit, f)| Some((text.strip_suffix(unit)?, f))) else {
            let decimal = ["mb", "gb", "tb"].iter().any(|unit| text.ends_with(unit));
            return Err(decimal.then(|| "AWS Batch counts in binary units: GiB, not GB".to_owned()));
        };
        let mebibytes = number.trim().parse::<f64>().map_err(|_| None)? * factor;
        let possible = mebibytes.is_finite() && (0.0..=1e12).contains(&mebibytes);
        if possible {
            Ok(Self(Mebibytes::new(f64_to_i64(mebibytes.ceil()))))
        } else {
            Err(None)
        }
    }

    fn write(&self) -> String {
        let mebibytes = self.0.get();
        if mebibytes > 0 && mebibytes % 1024 == 0 {
            format!("{} GiB", mebibytes / 1024)
        } else {
            format!("{mebibytes} MiB")
        }
    }
}

/// When something starts again and again: five fields of cron, in the time zone given beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronSchedule {
    text: String,
    /// The parsed expression.
    pub cron: Cron,
}
file_value!(CronSchedule);

impl Readable for CronSchedule {
    const FORMAT: &'static str = "cron";
    const EXPECTED: &'static str =
        "five cron fields (minute, hour, day of month, month, day of week), such as \"0 7 * * MON-FRI\"";
    const EXAMPLE: &'static str = "0 7 * * MON-FRI";

    fn read(scalar: Scalar<'_>) -> Result<Self, Hint> {
        let Scalar::Text(text) = scalar else { return Err(None) };
        let fields = text.split_whitespace().count();
        if fields != 5 && !text.trim_start().starts_with('@') {
            return Err(Some(format!("there are {fields} fields")));
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser.parse(text).map_err(|error| Some(error.to_string()))?;
        // A leap year, so that the 29th of February counts as a day; UTC, so that every minute exists.
        let start = jiff::civil::date(2024, 1, 1)
            .to_zoned(TimeZone::UTC)
            .map_err(|error| Some(error.to_string()))?;
        match cron.find_next_occurrence(&start, true) {
            Ok(_) => Ok(Self {
                text: text.trim().to_owned(),
                cron,
            }),
            Err(_) => Err(Some("no day ever matches it".to_owned())),
        }
    }

    fn write(&self) -> String {
        self.text.clone()
    }
}

/// A time zone by its IANA name. The zone data are those compiled into the program, so that a replay is the same everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(pub TimeZone);
file_value!(Zone);

impl Readable for Zone {
    const FORMAT: &'static str = "time-zone";
    const EXPECTED: &'static str = "an IANA time zone, such as \"Europe/London\" or \"UTC\"";
    const EXAMPLE: &'static str = "Europe/London";

    fn read(scalar: Scalar<'_>) -> Result<Self, Hint> {
        let Scalar::Text(text) = scalar else { return Err(None) };
        let database = jiff::tz::TimeZoneDatabase::bundled();
        if let Ok(zone) = database.get(text) {
            return Ok(Self(zone));
        }
        let names: Vec<String> = database.available().map(|name| name.to_string()).collect();
        if let Some(name) = names
            .iter()
            .find(|name| name.rsplit('/').next() == Some(text.replace(' ', "_").as_str()))
        {
            return Err(Some(format!("did you mean `{name}`?")));
        }
        Err(super::did_you_mean(text, names.iter().map(String::as_str)))
    }

    fn write(&self) -> String {
        self.0.iana_name().unwrap_or("UTC").to_owned()
    }
}

/// Chooses queues or compute environments: by name, by a pattern of names, or by a tag. Patterns know `*`, `?`, `[abc]` and
/// `{a,b}`, so that an environment which replaces another under a new suffix inherits its policy.
#[derive(Clone, Debug)]
pub struct Selector {
    text: String,
    /// The key of the tag to look at instead of the name.
    tag: Option<String>,
    pattern: GlobMatcher,
}
file_value!(Selector);

impl Selector {
    /// Whether it chooses something with this name and these tags.
    pub fn chooses(&self, name: &str, tags: &std::collections::BTreeMap<String, String>) -> bool {
        match &self.tag {
            None => self.pattern.is_match(name),
            Some(key) => tags.get(key).is_some_and(|value| self.pattern.is_match(value)),
        }
    }

    /// The selector as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Readable for Selector {
    const FORMAT: &'static str = "selector";
    const EXPECTED: &'static str =
        "a name, a pattern of names such as \"genomics-*\", or a tag such as \"tag:team=genomics\"";
    const EXAMPLE: &'static str = "genomics-*";

    fn read(scalar: Scalar<'_>) -> Result<Self, Hint> {
        let Scalar::Text(text) = scalar else { return Err(None) };
        let (tag, pattern) = match text.strip_prefix("tag:") {
            None => (None, text),
            Some(rest) => match rest.split_once('=') {
                Some((key, value)) if !key.is_empty() => (Some(key.to_owned()), value),
                Some(_) | None => return Err(Some("a tag is written `tag:KEY=VALUE`; `*` is any value".to_owned())),
            },
        };
        if pattern.is_empty() && tag.is_none() {
            return Err(Some("`*` is every name".to_owned()));
        }
        match GlobBuilder::new(pattern).build() {
            Ok(glob) => Ok(Self {
                text: text.to_owned(),
                tag,
                pattern: glob.compile_matcher(),
            }),
            Err(error) => Err(Some(error.kind().to_string())),
        }
    }

    fn write(&self) -> String {
        self.text.clone()
    }
}

/// A [`Selector`] for what has no tags to look at: job queues.
#[derive(Clone, Debug, PartialEq)]
pub struct NameSelector(pub Selector);
file_value!(NameSelector);

impl Readable for NameSelector {
    const FORMAT: &'static str = "name-selector";
    const EXPECTED: &'static str = "a name, or a pattern of names such as \"genomics-*\"";
    const EXAMPLE: &'static str = "genomics-*";

    fn read(scalar: Scalar<'_>) -> Result<Self, Hint> {
        match Selector::read(scalar)? {
            selector if selector.tag.is_some() => Err(Some("only compute environments are chosen by tag".to_owned())),
            selector => Ok(Self(selector)),
        }
    }

    fn write(&self) -> String {
        self.0.write()
    }
}

/// A code of Service Quotas: `L-` and eight hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaCode(pub String);
file_value!(QuotaCode);

impl Readable for QuotaCode {
    const FORMAT: &'static str = "quota-code";
    const EXPECTED: &'static str = "a code of Service Quotas, such as \"L-34B43A08\"";
    const EXAMPLE: &'static str = "L-34B43A08";

    fn read(scalar: Scalar<'_>) -> Result<Self, Hint> {
        let Scalar::Text(text) = scalar else { return Err(None) };
        let digits = text.strip_prefix("L-").unwrap_or("");
        let good = digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b));
        if good {
            return Ok(Self(text.to_owned()));
        }
        // Amazon EC2 user guide, "Amazon EC2 service quotas": standard instances (A, C, D, H, I, M, R, T, Z).
        Err(Some(
            "standard instances: Spot L-34B43A08, On-Demand L-1216C47A".to_owned(),
        ))
    }

    fn write(&self) -> String {
        self.0.clone()
    }
}

/// An AWS account id: twelve digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountId(pub String);
file_value!(AccountId);

impl Readable for AccountId {
    const FORMAT: &'static str = "aws-account-id";
    const EXPECTED: &'static str = "an AWS account id of twelve digits, in quotes";
    const EXAMPLE: &'static str = "123456789012";

    fn read(scalar: Scalar<'_>) -> Result<Self, Hint> {
        let Scalar::Text(text) = scalar else { return Err(None) };
        let good = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
        if good { Ok(Self(text.to_owned())) } else { Err(None) }
    }

    fn write(&self) -> String {
        self.0.clone()
    }
}

/// An AWS region code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region(pub String);
file_value!(Region);

impl Readable for Region {
    const FORMAT: &'static str = "aws-region";
    const EXPECTED: &'static str = "an AWS region code, such as \"eu-west-1\"";
    const EXAMPLE: &'static str = "eu-west-1";

    fn read(scalar: Scalar<'_>) -> Result<Self, Hint> {
        let Scalar::Text(text) = scalar else { return Err(None) };
        let parts: Vec<&str> = text.split('-').collect();
        let number = parts.last().is_some_and(|last| last.parse::<u8>().is_ok());
        let plain = text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if parts.len() >= 3 && number && plain {
            return Ok(Self(text.to_owned()));
        }
        let zone = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
        let is_zone = zone != text && Self::read(Scalar::Text(zone)).is_ok();
        Err(is_zone.then(|| format!("an availability zone lies in a region: {zone:?}")))
    }

    fn write(&self) -> String {
        self.0.clone()
    }
}
