//! Schedules, time zones, selectors, and the names that AWS gives.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use globset::{GlobBuilder, GlobMatcher};
use jiff::tz::TimeZone;

use super::{Hint, Readable, Scalar};

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
        Err(crate::input::did_you_mean(text, names.iter().map(String::as_str)))
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
