//! Lengths of time, vCPUs, parts, memory.

use std::time::Duration as StdDuration;

use jiff::SignedDuration;
use jiff::fmt::friendly::{SpanParser, SpanPrinter};

use super::{Hint, Readable, Scalar};
use crate::units::{Mebibytes, Span, Vcpus, f64_to_i64, i64_to_f64};

/// A length of time in hours, minutes, seconds and milliseconds. Days are not offered: around a change of the clocks they
/// have 23 or 25 hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub Span);
file_value!(Duration);

impl Duration {
    /// Whole seconds.
    pub const fn seconds(seconds: i64) -> Self {
        Self(Span::from_seconds(seconds))
    }
}

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
