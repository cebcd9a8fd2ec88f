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

use serde::Deserialize;

use super::draws;
use crate::units::{Span, f64_to_i64, i64_to_f64};

/// How long something takes.
#[derive(Clone, Debug, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
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

impl Distribution {
    /// No time at all.
    pub const ZERO: Self = Self::Constant(Span::ZERO);

    /// Always this many seconds.
    pub const fn seconds(seconds: i64) -> Self {
        Self::Constant(Span::from_seconds(seconds))
    }

    /// Whether every draw is zero, so that none needs to be made.
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// The span that belongs to a draw.
    pub fn at(&self, drawn: u64) -> Span {
        match self {
            Self::Constant(span) => *span,
            Self::Uniform(low, high) => between(*low, *high, draws::fraction(drawn)),
            Self::Lognormal(median, spread) => {
                let factor = libm::exp(libm::log(*spread) * normal(drawn));
                Span::from_millis(f64_to_i64((i64_to_f64(median.millis()) * factor).round()))
            }
            Self::Quantiles(points) => quantile(points, draws::fraction(drawn)),
        }
    }
}

fn between(low: Span, high: Span, share: f64) -> Span {
    let width = i64_to_f64((high - low).millis());
    low + Span::from_millis(f64_to_i64((width * share).round()))
}

fn quantile(points: &[(f64, Span)], share: f64) -> Span {
    let above = points.partition_point(|point| point.0 <= share);
    match (above.checked_sub(1).and_then(|i| points.get(i)), points.get(above)) {
        (Some(low), Some(high)) => between(low.1, high.1, (share - low.0) / (high.0 - low.0)),
        (Some(only), None) | (None, Some(only)) => only.1,
        (None, None) => Span::ZERO,
    }
}

/// A standard normal number by Box and Muller's transform, from the two halves of one draw.
fn normal(drawn: u64) -> f64 {
    let high = draws::fraction(draws::key(&[drawn, 1]));
    let low = draws::fraction(draws::key(&[drawn, 2]));
    libm::sqrt(-2.0 * libm::log(1.0 - high)) * libm::cos(std::f64::consts::TAU * low)
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

impl TryFrom<String> for Distribution {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
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
    use crate::simulate::draws::{Cause, draw};

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

    #[test]
    fn draws_follow_the_distribution() {
        let cases = [
            ("4s to 11s", 7_500.0, 4_000, 11_000),
            ("median 90s spread 1.4", 90_000.0, 0, i64::MAX),
            ("quantiles 0 92s, 0.5 182s, 1 243s", 182_000.0, 92_000, 243_000),
        ];
        for (text, median, low, high) in cases {
            let distribution: Distribution = text.parse().unwrap();
            let mut drawn: Vec<i64> = (0..4001)
                .map(|i| distribution.at(draw(3, Cause::Boot, i, 0)).millis())
                .collect();
            drawn.sort_unstable();
            assert!(drawn[0] >= low && drawn[4000] <= high, "{text}");
            assert!(
                (i64_to_f64(drawn[2000]) / median - 1.0).abs() < 0.04,
                "{text}: {}",
                drawn[2000]
            );
        }
        let spread: Distribution = "median 90s spread 1.4".parse().unwrap();
        let within = (0..4000)
            .map(|i| i64_to_f64(spread.at(draw(4, Cause::Boot, i, 0)).millis()))
            .filter(|ms| (90_000.0 / 1.4..90_000.0 * 1.4).contains(ms))
            .count();
        // 68.27 % of 4,000 are 2,731; four standard deviations are 118.
        assert!((2613..=2849).contains(&within), "{within}");
    }
}
