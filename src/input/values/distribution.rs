//! Distributions of spans, written the way people say them.
//!
//! | text | meaning |
//! |---|---|
//! | `90s` | always 90 s |
//! | `4s to 11s` | evenly anywhere between |
//! | `median 90s spread 1.4` | lognormal: half are below 90 s, two thirds within 90 s / 1.4 and 90 s x 1.4 |
//! | `quantiles 0 92s, 0.5 182s, 1 243s` | measured quantiles, straight lines between them |

use std::fmt;
use std::str::FromStr;

use super::{Hint, Readable, Scalar};
use crate::units::Span;

/// How long something takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Distribution {
    /// Always the same.
    Constant(Span),
    /// Evenly anywhere between two spans.
    Uniform(Span, Span),
    /// Lognormal with this median and this geometric standard deviation (1 or more).
    Lognormal(Span, f64),
    /// Points (share below, span), both rising from share 0 to share 1.
    Quantiles(Vec<(f64, Span)>),
}
file_value!(Distribution);

impl Readable for Distribution {
    const FORMAT: &'static str = "distribution";
    const EXPECTED: &'static str = "a length of time (\"90s\") or a distribution of them (\"4s to 11s\", \"median 90s spread 1.4\", \
                                    \"quantiles 0 92s, 0.5 182s, 1 243s\")";
    const EXAMPLE: &'static str = "4s to 11s";

    fn read(scalar: Scalar<'_>) -> Result<Self, Hint> {
        match scalar {
            Scalar::Text(text) => text.parse().map_err(Some),
            Scalar::Integer(number) => Err(Some(format!("write \"{number}s\" for seconds"))),
            Scalar::Float(_) => Err(None),
        }
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

/// Reads a span such as `90s`, `2h 30m` or `450ms`. Days are 24 hours. Negative spans are refused.
pub fn parse_span(text: &str) -> Result<Span, String> {
    let text = text.trim();
    if text == "0" {
        return Ok(Span::ZERO);
    }
    let wrong = || format!("found `{text}`, expected a span such as `90s`, `2h 30m` or `7d`");
    let span: jiff::Span = text.parse().map_err(|_| wrong())?;
    let span = span
        .to_duration(jiff::SpanRelativeTo::days_are_24_hours())
        .map_err(|_| wrong())?;
    let millis = i64::try_from(span.as_millis()).map_err(|_| wrong())?;
    if millis < 0 {
        Err(wrong())
    } else {
        Ok(Span::from_millis(millis))
    }
}

impl FromStr for Distribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(rest) = text.strip_prefix("quantiles ") {
            return parse_quantiles(rest);
        }
        if let Some(rest) = text.strip_prefix("median ") {
            let (median, spread) = rest
                .split_once(" spread ")
                .ok_or("expected `median SPAN spread FACTOR`")?;
            return match spread.trim().parse::<f64>() {
                Ok(spread) if (1.0..=100.0).contains(&spread) => Ok(Self::Lognormal(parse_span(median)?, spread)),
                _ => Err(format!(
                    "found spread `{}`, expected a factor from 1 to 100",
                    spread.trim()
                )),
            };
        }
        if let Some((low, high)) = text.split_once(" to ") {
            let (low, high) = (parse_span(low)?, parse_span(high)?);
            return if low <= high {
                Ok(Self::Uniform(low, high))
            } else {
                Err(format!("found `{text}`, expected the shorter span first"))
            };
        }
        parse_span(text).map(Self::Constant)
    }
}

fn parse_quantiles(text: &str) -> Result<Distribution, String> {
    let mut points: Vec<(f64, Span)> = Vec::new();
    for point in text.split(',') {
        let (share, span) = point
            .trim()
            .split_once(' ')
            .ok_or_else(|| format!("found `{}`, expected `SHARE SPAN` such as `0.5 182s`", point.trim()))?;
        let share: f64 = share
            .parse()
            .map_err(|_| format!("found share `{share}`, expected 0 to 1"))?;
        points.push((share, parse_span(span)?));
    }
    let rising = points
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if a.0 < b.0 && a.1 <= b.1));
    let ends = points.first().is_some_and(|p| p.0.abs() < f64::EPSILON)
        && points.last().is_some_and(|p| (p.0 - 1.0).abs() < f64::EPSILON);
    if rising && ends {
        Ok(Distribution::Quantiles(points))
    } else {
        Err(format!(
            "found `quantiles {text}`, expected rising points from share 0 to share 1"
        ))
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(span) => span.fmt(f),
            Self::Uniform(low, high) => write!(f, "{low} to {high}"),
            Self::Lognormal(median, spread) => write!(f, "median {median} spread {spread}"),
            Self::Quantiles(points) => {
                let points: Vec<String> = points.iter().map(|(share, span)| format!("{share} {span}")).collect();
                write!(f, "quantiles {}", points.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_distributions_and_back() {
        for text in [
            "90s",
            "4s to 11s",
            "median 90s spread 1.4",
            "quantiles 0 92s, 0.5 3m 2s, 1 4m 3s",
        ] {
            let read: Distribution = text.parse().unwrap();
            assert_eq!(read.to_string(), text);
        }
    }

    #[test]
    fn bad_texts_say_what_was_expected() {
        for text in [
            "",
            "-5s",
            "9",
            "11s to 4s",
            "median 9s",
            "median 9s spread 0.5",
            "median 9s spread NaN",
            "quantiles 0 1s",
            "quantiles 0 5s, 1 4s",
            "quantiles 0.1 5s, 1 6s",
            "quantiles x 5s, 1 6s",
            "5 parsecs",
        ] {
            let problem = text.parse::<Distribution>().unwrap_err();
            assert!(problem.contains("expected"), "{text}: {problem}");
        }
    }
}
