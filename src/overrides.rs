//! What a person orders for a while, against or beside the policy. Always with an end; people win.
//!
//! An environment's own override goes before those of its queues. Of two for the same subject the newer holds.
//!
//! Orders are kept as a tag of the environment or queue, so that they work from anywhere and survive restarts. Its value is
//! `pause|boost:VCPUS|drain until=TIME since=TIME by=NAME`, words apart by one space, times as RFC 3339 writes them; `by` may
//! be absent. Only characters that AWS allows in tags occur in it.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::units::{Span, Time, Vcpus};

/// The tag that holds an order.
pub const TAG: &str = "autotune:override";
/// The longest value of a tag that AWS takes, in characters.
const TAG_MOST: usize = 256;
/// No order lasts longer: who wants more changes the policy.
pub const LONGEST: Span = Span::from_minutes(31 * 24 * 60);

/// One order of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// What is ordered.
    pub order: Order,
    /// When it was given.
    pub since: Time,
    /// When it ends.
    pub until: Time,
}

/// What a person can order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Nothing is asked for and nothing is given back; what stands is kept, and its lease renewed.
    Pause,
    /// At least this much is held, used and idle together, as far as limits allow.
    Boost(Vcpus),
    /// Nothing is asked for, and what was raised goes back to base at once (environment) or as it is no longer used (queue).
    Drain,
}

impl Override {
    /// The order, while it is in force.
    pub fn at(&self, now: Time) -> Option<Order> {
        (self.since <= now && now < self.until).then_some(self.order)
    }

    /// Of two overrides for the same subject, the one that holds.
    pub fn newer(self, other: Self) -> Self {
        if other.since >= self.since { other } else { self }
    }
}

/// An order as its tag says it, and by whom it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// The order.
    pub order: Override,
    /// Who gave it, as he called himself; empty if he did not.
    pub by: String,
}

impl Ordered {
    /// Reads the value of a tag. `None` for anything that is not exactly of the form, ends before it begins, or lasts longer
    /// than [`LONGEST`]: anybody who may tag can write there.
    pub fn parse(value: &str) -> Option<Self> {
        if value.len() > TAG_MOST {
            return None;
        }
        let mut words = value.split(' ');
        let order = match words.next()? {
            "pause" => Order::Pause,
            "drain" => Order::Drain,
            boost => {
                let vcpus = boost.strip_prefix("boost:")?;
                let digits = vcpus.len() <= 9 && vcpus.bytes().all(|byte| byte.is_ascii_digit());
                Order::Boost(Vcpus::new(digits.then(|| vcpus.parse().ok())??))
            }
        };
        let (mut until, mut since, mut by) = (None, None, None);
        for word in words {
            let (key, value) = word.split_once('=')?;
            let slot = match key {
                "until" => &mut until,
                "since" => &mut since,
                "by" => &mut by,
                _ => return None,
            };
            if slot.replace(value).is_some() {
                return None;
            }
        }
        let (since, until) = (Time::parse(since?)?, Time::parse(until?)?);
        let by = by.unwrap_or_default();
        let fits = since < until && until.since(since) <= LONGEST && by.chars().all(allowed);
        fits.then(|| Self {
            order: Override { order, since, until },
            by: by.to_owned(),
        })
    }

    /// The value of the tag. Characters of the name that do not belong there become `_`.
    pub fn format(&self) -> String {
        let mut value = match self.order.order {
            Order::Pause => "pause".to_owned(),
            Order::Drain => "drain".to_owned(),
            Order::Boost(vcpus) => format!("boost:{}", vcpus.get()),
        };
        // Writing to a string does not fail.
        let _ = write!(value, " until={} since={}", self.order.until, self.order.since);
        if !self.by.is_empty() {
            let name = self.by.chars().map(|c| if allowed(c) { c } else { '_' });
            let name: String = name.take(64).collect();
            let _ = write!(value, " by={name}");
        }
        value
    }
}

/// What AWS takes in the value of a tag, but spaces and letters of other scripts.
const fn allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '=' | '.' | '_' | ':' | '/' | '@')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(order: Order, by: &str) -> Ordered {
        let since = Time::from_seconds(1_767_225_600); // 2026-01-01 00:00:00 UTC
        Ordered {
            order: Override {
                order,
                since,
                until: since + Span::from_minutes(120),
            },
            by: by.to_owned(),
        }
    }

    #[test]
    fn an_order_survives_its_tag() {
        for (order, by, value) in [
            (
                Order::Pause,
                "",
                "pause until=2026-01-01T02:00:00Z since=2026-01-01T00:00:00Z",
            ),
            (
                Order::Boost(Vcpus::new(64)),
                "ann@example.org",
                "boost:64 until=2026-01-01T02:00:00Z since=2026-01-01T00:00:00Z by=ann@example.org",
            ),
            (
                Order::Drain,
                "role/ops",
                "drain until=2026-01-01T02:00:00Z since=2026-01-01T00:00:00Z by=role/ops",
            ),
        ] {
            let ordered = ordered(order, by);
            assert_eq!(ordered.format(), value);
            assert_eq!(Ordered::parse(value), Some(ordered), "{value}");
        }
    }

    #[test]
    fn what_is_not_exactly_an_order_is_none() {
        let times = "until=2026-01-01T02:00:00Z since=2026-01-01T00:00:00Z";
        let long = format!("pause {times} by={}", "x".repeat(300));
        for value in [
            "",
            "pause",
            "stop until=2026-01-01T02:00:00Z since=2026-01-01T00:00:00Z",
            "pause until=2026-01-01T02:00:00Z",
            "pause until=tomorrow since=2026-01-01T00:00:00Z",
            "pause until=2026-01-01T00:00:00Z since=2026-01-01T02:00:00Z",
            "pause until=2027-01-01T00:00:00Z since=2026-01-01T00:00:00Z",
            "pause until=2026-01-01T02:00:00Z until=2026-01-01T03:00:00Z since=2026-01-01T00:00:00Z",
            &format!("boost {times}"),
            &format!("boost: {times}"),
            &format!("boost:-5 {times}"),
            &format!("boost:+5 {times}"),
            &format!("boost:99999999999999999999 {times}"),
            &format!("pause  {times}"),
            &format!("pause {times} by=\u{1b}[31m"),
            &format!("pause {times} apply=true"),
            &long,
        ] {
            assert_eq!(Ordered::parse(value), None, "{value}");
        }
    }

    #[test]
    fn a_hostile_name_becomes_one_word_of_the_tag() {
        let value = ordered(Order::Pause, "a b=\n\u{7f}until=9").format();
        assert!(value.ends_with(" by=a_b=__until=9"), "{value}");
        assert!(Ordered::parse(&value).is_some(), "{value}");
    }
}
