//! Numbers, times and names as the page writes them.

use maud::{Markup, html};

use crate::explain::printable;
use crate::units::{Span, Time, Vcpus};

/// No sentence is longer than this many characters, and no name than that: one must not hide all others.
const LONGEST: usize = 1_000;
const LONGEST_NAME: usize = 140;

/// What is not known.
pub(super) const UNKNOWN: &str = "unknown";

/// A name or sentence from outside: what steers a terminal or turns the direction of writing is spelt out. Whoever writes it
/// into the page escapes it.
pub(super) fn plain(text: &str) -> String {
    cut(text, LONGEST)
}

/// A name: AWS has none longer than 128 characters.
pub(super) fn short(text: &str) -> String {
    cut(text, LONGEST_NAME)
}

fn cut(text: &str, most: usize) -> String {
    let written = printable(text).to_string();
    match written.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", written.get(..end).unwrap_or_default()),
        None => written,
    }
}

/// `20,000`.
pub(super) fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// vCPUs of a part that was read so long ago; never a zero for what was not.
pub(super) fn figure(age: Option<Span>, vcpus: Vcpus) -> String {
    age.map_or_else(|| UNKNOWN.to_owned(), |_| count(vcpus.get()))
}

/// `1 job`, `20,000 jobs`.
pub(super) fn counted(number: i64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// `1 vCPU`, `20,000 vCPUs`.
pub(super) fn vcpus(vcpus: Vcpus) -> String {
    counted(vcpus.get(), "vCPU", "vCPUs")
}

/// Whole seconds, but where they are few.
pub(super) fn span(span: Span) -> String {
    let exact = span.millis().abs() < 10_000 && span.millis() % 1_000 >= 100;
    let shown = if exact {
        span
    } else {
        Span::from_seconds(span.millis().div_euclid(1_000))
    };
    shown.max(Span::ZERO).to_string()
}

/// A span, or that it is not known.
pub(super) fn span_or(known: Option<Span>, otherwise: &str) -> String {
    known.map_or_else(|| otherwise.to_owned(), span)
}

/// The time of day, with the date where that is another one. The whole is told to machines, and to who points at it.
pub(super) fn time(at: Time, now: Time) -> Markup {
    let (whole, today) = (rfc(at), rfc(now));
    let short = match (whole.split_once('T'), today.split_once('T')) {
        (Some((date, clock)), Some((today, _))) => {
            let clock = clock.trim_end_matches('Z');
            if date == today {
                clock.to_owned()
            } else {
                format!("{date} {clock}")
            }
        }
        (None, _) | (_, None) => whole.clone(),
    };
    html! { time datetime=(whole) title=(whole) { (short) } }
}

/// An entry of a legend.
pub(super) fn key(class: &str, text: &str) -> Markup {
    html! { span.label { span.key.(class) {} (text) } " " }
}

/// Without fractions of a second.
fn rfc(at: Time) -> String {
    Time::from_seconds(at.millis().div_euclid(1_000)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_spans_are_written_for_people() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (-12_345, "-12,345"),
            (20_000_000, "20,000,000"),
        ] {
            assert_eq!(count(number), expected);
        }
        for (millis, expected) in [
            (450, "450ms"),
            (1_500, "1.5s"),
            (9_040, "9s"),
            (75_900, "75s"),
            (252_000, "4m 12s"),
            (-5, "0s"),
        ] {
            assert_eq!(span(Span::from_millis(millis)), expected);
        }
    }

    #[test]
    fn a_time_of_another_day_has_its_date() {
        let now = Time::parse("2026-01-01T09:00:00Z").unwrap();
        let written = time(now - Span::from_millis(1_500), now).into_string();
        assert!(
            written.contains(">08:59:58<") && written.contains("\"2026-01-01T08:59:58Z\""),
            "{written}"
        );
        let written = time(now - Span::from_minutes(600), now).into_string();
        assert!(written.contains(">2025-12-31 23:00:00<"), "{written}");
        assert!(time(Time::FAR_FUTURE, now).into_string().contains("ms"));
    }
}
