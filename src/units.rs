//! The units of everything: times, spans, vCPUs, memory, money.
//!
//! All arithmetic saturates, so that no outside number can make the planner panic or wrap around. Divisions name their
//! rounding. Nothing here converts to another unit by accident: there is no `Deref`, no `From<i64>` and no `as`.

use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};

use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(i64);

/// A length of time in milliseconds. Negative spans exist only as differences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(i64);

/// Whole vCPUs, of a job, an instance or a compute environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Vcpus(i64);

/// Memory in mebibytes (2^20 bytes), as AWS Batch counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mebibytes(i64);

/// Money in millionths of a US dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MicroUsd(i64);

macro_rules! quantity {
    ($name:ident) => {
        impl $name {
            /// Nothing.
            pub const ZERO: Self = Self(0);
            /// The largest value; what additions saturate at.
            pub const MAX: Self = Self(i64::MAX);

            /// The count itself, in the unit of the type.
            pub const fn get(self) -> i64 {
                self.0
            }

            /// The difference, but never less than zero.
            pub const fn minus_or_zero(self, other: Self) -> Self {
                let difference = self.0.saturating_sub(other.0);
                Self(if difference < 0 { 0 } else { difference })
            }

            /// This many times as much.
            pub const fn times(self, factor: i64) -> Self {
                Self(self.0.saturating_mul(factor))
            }

            /// Whether this is zero.
            pub const fn is_zero(self) -> bool {
                self.0 == 0
            }

            /// `self * numerator / denominator`, rounded up. A denominator of zero or less counts as one.
            pub fn scaled_up(self, numerator: i64, denominator: i64) -> Self {
                let product = i128::from(self.0) * i128::from(numerator);
                Self(clamp(div_ceil(product, i128::from(denominator.max(1)))))
            }

            /// `self * numerator / denominator`, rounded down. A denominator of zero or less counts as one.
            pub fn scaled_down(self, numerator: i64, denominator: i64) -> Self {
                let product = i128::from(self.0) * i128::from(numerator);
                Self(clamp(product.div_euclid(i128::from(denominator.max(1)))))
            }
        }

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
        }

        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }

        impl SubAssign for $name {
            fn sub_assign(&mut self, other: Self) {
                *self = *self - other;
            }
        }

        impl std::iter::Sum for $name {
            fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
                items.fold(Self::ZERO, Add::add)
            }
        }
    };
}

quantity!(Span);
quantity!(Vcpus);
quantity!(Mebibytes);
quantity!(MicroUsd);

impl Time {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);
    /// Later than everything.
    pub const FAR_FUTURE: Self = Self(i64::MAX);
    /// Earlier than everything.
    pub const FAR_PAST: Self = Self(i64::MIN);

    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From seconds since the Unix epoch.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// From a time as RFC 3339 writes it, for example `2026-01-01T00:00:00Z`.
    pub fn parse(text: &str) -> Option<Self> {
        let timestamp: jiff::Timestamp = text.parse().ok()?;
        Some(Self(timestamp.as_millisecond()))
    }

    /// How long after `earlier` this is; negative if it is before.
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Span> for Time {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Time {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(timestamp) => timestamp.fmt(f),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl Span {
    /// Whole minutes, towards zero.
    pub const fn whole_minutes(self) -> i64 {
        self.0 / 60_000
    }

    /// From milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From whole seconds.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// From whole minutes.
    pub const fn from_minutes(minutes: i64) -> Self {
        Self::from_seconds(minutes.saturating_mul(60))
    }

    /// From fractional seconds, to the nearest millisecond; `None` for what is not finite or does not fit.
    pub fn from_seconds_f64(seconds: f64) -> Option<Self> {
        let millis = (seconds * 1000.0).round();
        (millis.is_finite() && millis.abs() < 9.0e15).then(|| Self(f64_to_i64(millis)))
    }

    /// Milliseconds.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Seconds, for statistics and display only.
    pub fn seconds_f64(self) -> f64 {
        i64_to_f64(self.0) / 1000.0
    }
}

/// Two units at most, the way people write spans: `0s`, `450ms`, `1.5s`, `90s`, `12m 30s`, `2h 5m`, `3d 4h`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let seconds = millis / 1000;
        match seconds {
            0 if millis == 0 => write!(f, "0s"),
            0 => write!(f, "{sign}{millis}ms"),
            1..=119 if millis.is_multiple_of(1000) => write!(f, "{sign}{seconds}s"),
            1..=119 => write!(f, "{sign}{seconds}.{}s", millis % 1000 / 100),
            _ => {
                let (large, small) = match seconds {
                    0..=7_199 => ((seconds / 60, "m"), (seconds % 60, "s")),
                    7_200..=172_799 => ((seconds / 3_600, "h"), (seconds % 3_600 / 60, "m")),
                    _ => ((seconds / 86_400, "d"), (seconds % 86_400 / 3_600, "h")),
                };
                write!(f, "{sign}{}{}", large.0, large.1)?;
                if small.0 > 0 {
                    write!(f, " {}{}", small.0, small.1)
                } else {
                    Ok(())
                }
            }
        }
    }
}

impl Vcpus {
    /// From a count; negative counts become zero, because no account has fewer than none.
    pub const fn new(count: i64) -> Self {
        Self(if count < 0 { 0 } else { count })
    }
}

impl fmt::Display for Vcpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} vCPU{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

impl Mebibytes {
    /// From a count of MiB; negative counts become zero.
    pub const fn new(count: i64) -> Self {
        Self(if count < 0 { 0 } else { count })
    }

    /// From bytes, rounded up to whole MiB; negative counts become zero.
    pub fn from_bytes(bytes: i64) -> Self {
        Self::new(clamp(div_ceil(i128::from(bytes), 1 << 20)))
    }
}

impl fmt::Display for Mebibytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB", self.0)
    }
}

impl MicroUsd {
    /// From millionths of a dollar.
    pub const fn new(millionths: i64) -> Self {
        Self(millionths)
    }

    /// From dollars, to the nearest millionth; `None` for what is not finite or does not fit.
    pub fn from_usd(usd: f64) -> Option<Self> {
        let millionths = (usd * 1e6).round();
        (millionths.is_finite() && millionths.abs() < 9.0e15).then(|| Self(f64_to_i64(millionths)))
    }

    /// Dollars, for statistics and display only.
    pub fn usd(self) -> f64 {
        i64_to_f64(self.0) / 1e6
    }

    /// What `span` costs at this price per hour, rounded to the nearest millionth of a dollar.
    ///
    /// The test `seed_arithmetic` holds the reference: 625 s at 0.7960 USD/h cost 0.138194 USD.
    pub fn per_hour_for(self, span: Span) -> Self {
        let product = i128::from(self.0) * i128::from(span.0);
        Self(clamp((product + 1_800_000).div_euclid(3_600_000)))
    }
}

impl fmt::Display for MicroUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${:.2}", self.usd())
    }
}

/// Converts an index or count to `usize`. Exact on every platform that can run this program.
pub fn to_usize<N: TryInto<usize>>(number: N) -> usize {
    number.try_into().unwrap_or(usize::MAX)
}

/// Converts a length to `i64`, saturating.
pub fn to_i64<N: TryInto<i64>>(number: N) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// Converts a length to `u64`, saturating; negative numbers become `u64::MAX`.
pub fn to_u64<N: TryInto<u64>>(number: N) -> u64 {
    number.try_into().unwrap_or(u64::MAX)
}

/// Converts a length to `u32`, saturating.
pub fn to_u32<N: TryInto<u32>>(number: N) -> u32 {
    number.try_into().unwrap_or(u32::MAX)
}

/// The nearest `f64`: exact up to 2^53, for statistics and display only.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "this is the one place that says how"
)]
pub const fn i64_to_f64(number: i64) -> f64 {
    number as f64
}

/// A length as `f64`, for statistics and display only.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "this is the one place that says how"
)]
pub const fn usize_to_f64(number: usize) -> f64 {
    number as f64
}

/// Truncates towards zero; saturates; NaN becomes zero.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "this is the one place that says how"
)]
pub const fn f64_to_i64(number: f64) -> i64 {
    number as i64
}

const fn div_ceil(numerator: i128, denominator: i128) -> i128 {
    -(-numerator).div_euclid(denominator)
}

fn clamp(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_arithmetic() {
        let used = Span::from_seconds(625);
        let on_demand = MicroUsd::new(796_000).per_hour_for(used);
        let spot = MicroUsd::new(252_600).per_hour_for(used);
        assert_eq!((on_demand.get(), spot.get()), (138_194, 43_854));
        let saved_percent = 100 - 100 * spot.get() / on_demand.get() - 1;
        assert_eq!(saved_percent, 68);
    }

    #[test]
    fn spans_read_as_people_write_them() {
        let cases = [
            (0, "0s"),
            (450, "450ms"),
            (1_500, "1.5s"),
            (90_000, "90s"),
            (750_000, "12m 30s"),
            (7_500_000, "2h 5m"),
        ];
        for (millis, text) in cases {
            assert_eq!(Span::from_millis(millis).to_string(), text);
        }
    }

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        assert_eq!(Vcpus::MAX + Vcpus::new(1), Vcpus::MAX);
        assert_eq!(Time::FAR_FUTURE + Span::from_seconds(1), Time::FAR_FUTURE);
        assert_eq!(Vcpus::MAX.scaled_up(3, 2), Vcpus::MAX);
        assert_eq!(Vcpus::new(10).scaled_up(1, 3).get(), 4);
        assert_eq!(Vcpus::new(10).scaled_down(1, 3).get(), 3);
        assert_eq!(Vcpus::new(3).minus_or_zero(Vcpus::new(5)), Vcpus::ZERO);
    }
}
