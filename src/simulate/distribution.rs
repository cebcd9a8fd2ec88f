//! Draws from distributions of spans. How people write them is in [`crate::input::values`].

pub use crate::input::values::{Distribution, parse_span};

use super::draws;
use crate::units::{Span, f64_to_i64, i64_to_f64};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::draws::{Cause, draw};

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
