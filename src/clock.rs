//! The only reader of real time. Everything else takes the time as an argument.

use crate::units::Time;

/// The time now, by the clock of this machine.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads it")]
pub fn now() -> Time {
    Time::from_millis(jiff::Timestamp::now().as_millisecond())
}
