//! Values as recordings write them: times, lengths of time, amounts of memory.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::units::{Mebibytes, Span, Time, f64_to_i64};

/// Times after this are mistakes of unit or of parsing: 2200-01-01.
const LATEST: Time = Time::from_seconds(7_258_118_400);

/// Spans beyond this are mistakes as well: one hundred years.
const LONGEST: Span = Span::from_seconds(100 * 366 * 86_400);

/// A time between 1970 and 2200.
pub(super) fn plausible(time: Time) -> Option<Time> {
    (time >= Time::EPOCH && time <= LATEST).then_some(time)
}

/// A span between zero and a hundred years.
pub(super) fn plausible_span(span: Span) -> Option<Span> {
    (span >= Span::ZERO && span <= LONGEST).then_some(span)
}

/// Milliseconds since the epoch.
pub(super) fn time_from_millis(millis: i64) -> Option<Time> {
    plausible(Time::from_millis(millis))
}

/// A time in text, and whether it named its own zone. Understood are ISO 8601 with an offset or `Z`, the same without one and
/// with a blank instead of the `T` (then read in `zone`), and whole numbers of milliseconds since the epoch.
pub(super) fn time(text: &str, zone: &TimeZone) -> Option<(Time, bool)> {
    let text = text.trim();
    if let Ok(millis) = text.parse::<i64>() {
        return time_from_millis(millis).map(|time| (time, true));
    }
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return time_from_millis(timestamp.as_millisecond()).map(|time| (time, true));
    }
    let civil: DateTime = text.parse().ok()?;
    let timestamp = zone.to_ambiguous_timestamp(civil).compatible().ok()?;
    time_from_millis(timestamp.as_millisecond()).map(|time| (time, false))
}

/// A length of time as Nextflow prints it: `13m 1s`, `1h 46s`, `2.5s`, `457ms`, `-` (none), or whole milliseconds.
pub(super) fn span(text: &str) -> Option<Span> {
    let text = text.trim();
    if let Ok(millis) = text.parse::<i64>() {
        return plausible_span(Span::from_millis(millis));
    }
    let mut seconds = 0.0;
    let mut any = false;
    for part in text.split_ascii_whitespace() {
        let unit_at = part.find(|letter: char| letter.is_ascii_alphabetic())?;
        let (number, unit) = part.split_at(unit_at);
        seconds += number.parse::<f64>().ok()? * seconds_per(unit)?;
        any = true;
    }
    Span::from_seconds_f64(seconds).filter(|_| any).and_then(plausible_span)
}

/// Seconds in a unit of time.
pub(super) fn seconds_per(unit: &str) -> Option<f64> {
    Some(match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minutes" => 60.0,
        "h" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return None,
    })
}

/// Bytes in a unit of memory. Nextflow's `KB`, `MB` ... are powers of 1,024, and job logs mostly mean the same.
pub(super) fn bytes_per(unit: &str) -> Option<f64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "" | "b" | "byte" | "bytes" => 1.0,
        "k" | "kb" | "kib" | "ki" => 1024.0,
        "m" | "mb" | "mib" | "mi" => 1024.0 * 1024.0,
        "g" | "gb" | "gib" | "gi" => 1024.0 * 1024.0 * 1024.0,
        "t" | "tb" | "tib" | "ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    })
}

/// An amount of memory such as `218 MB` or a whole number of bytes; zero and `-` are none.
pub(super) fn memory(text: &str) -> Option<Mebibytes> {
    let text = text.trim();
    let unit_at = text
        .find(|letter: char| letter.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    memory_of(number.trim().parse().ok()?, unit)
}

/// An amount of memory in a unit, rounded up to whole MiB; `None` for zero and for what is no amount.
pub(super) fn memory_of(number: f64, unit: &str) -> Option<Mebibytes> {
    let bytes = (number * bytes_per(unit)?).ceil();
    (1.0..1e18)
        .contains(&bytes)
        .then(|| Mebibytes::from_bytes(f64_to_i64(bytes)))
}

/// A count of vCPUs rounded up, and whether it had to be rounded; `None` for zero and for what is no count.
pub(super) fn vcpus(number: f64) -> Option<(i64, bool)> {
    let whole = number.ceil();
    (1.0..=1e6)
        .contains(&whole)
        .then(|| (f64_to_i64(whole), whole > number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_nextflow() {
        let cases = [
            ("13.9s", Some(13_900)),
            ("7m 8s", Some(428_000)),
            ("1h 46s", Some(3_646_000)),
            ("457ms", Some(457)),
            ("1d 2h", Some(93_600_000)),
            ("0ms", Some(0)),
            ("1234", Some(1_234)),
            ("-", None),
            ("", None),
            ("-5s", None),
            ("NaNs", None),
            ("1e300d", None),
            ("99999999999999999999", None),
        ];
        for (text, millis) in cases {
            assert_eq!(span(text).map(Span::millis), millis, "{text}");
        }
    }

    #[test]
    fn times_with_and_without_a_zone() {
        let utc = TimeZone::UTC;
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let cases = [
            ("2021-03-04 21:06:07.625", &utc, Some((1_614_891_967_625, false))),
            ("2021-03-04 21:06:07.625", &berlin, Some((1_614_888_367_625, false))),
            ("2023-10-13T04:26:39Z", &berlin, Some((1_697_171_199_000, true))),
            ("2023-03-21T18:21:45-10:00", &utc, Some((1_679_458_905_000, true))),
            ("20200403T154235+0000", &utc, Some((1_585_928_555_000, true))),
            ("1697171199000", &utc, Some((1_697_171_199_000, true))),
            ("1969-12-31 00:00:00", &utc, None),
            ("9999999999999999", &utc, None),
            ("yesterday", &utc, None),
        ];
        for (text, zone, expected) in cases {
            assert_eq!(
                time(text, zone).map(|(time, own)| (time.millis(), own)),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn memory_is_rounded_up_to_whole_mebibytes() {
        let cases = [
            ("218.2 MB", Some(219)),
            ("1 GB", Some(1024)),
            ("1073741824", Some(1024)),
            ("1016 B", Some(1)),
            ("0", None),
            ("-", None),
            ("NaN", None),
            ("inf MB", None),
            ("1e30 GB", None),
        ];
        for (text, mebibytes) in cases {
            assert_eq!(memory(text).map(Mebibytes::get), mebibytes, "{text}");
        }
    }
}
