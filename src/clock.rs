//! The only reader of real time, and the only place that waits. Everything else takes the time as an argument.

use std::future::Future;

use crate::units::{Span, Time};

/// The time now, by the clock of this machine.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads it")]
pub fn now() -> Time {
    Time::from_millis(jiff::Timestamp::now().as_millisecond())
}

/// Where a driver reads the time. Leases end and guards fire by the clock on the wall, so that is what a daemon goes by.
#[derive(Clone, Copy, Debug, Default)]
pub enum Clock {
    /// The clock of this machine.
    #[default]
    Wall,
    /// Began at this time, and goes on as the runtime's timers do: in tests these stand still until everybody waits.
    Paced(Time, tokio::time::Instant),
    /// As [`Clock::Paced`], so many milliseconds ahead: somebody sets it, or the machine was suspended.
    #[cfg(test)]
    Set(Time, tokio::time::Instant, &'static std::sync::atomic::AtomicI64),
}

impl Clock {
    /// A clock that goes as the runtime's timers do, from this time on.
    pub fn paced(from: Time) -> Self {
        Self::Paced(from, tokio::time::Instant::now())
    }

    /// The time now.
    pub fn now(self) -> Time {
        match self {
            Self::Wall => now(),
            Self::Paced(from, began) => from + Stopwatch(began).passed(),
            #[cfg(test)]
            Self::Set(from, began, ahead) => {
                let ahead = ahead.load(std::sync::atomic::Ordering::SeqCst);
                Self::Paced(from, began).now() + Span::from_millis(ahead)
            }
        }
    }

    /// A clock that goes as the runtime's timers do and can be set: by so many milliseconds from now on.
    #[cfg(test)]
    pub(crate) fn to_be_set(from: Time) -> (Self, impl Fn(Span)) {
        let ahead: &'static std::sync::atomic::AtomicI64 = Box::leak(Box::default());
        let set = |by: Span| {
            ahead.fetch_add(by.millis(), std::sync::atomic::Ordering::SeqCst);
        };
        (Self::Set(from, tokio::time::Instant::now(), ahead), set)
    }
}

/// Waits for this long; not at all for nothing or less.
pub async fn wait(span: Span) {
    tokio::time::sleep(duration(span)).await;
}

/// What comes of `future`, or `None` if that takes longer than `span`.
pub async fn within<F: Future>(span: Span, future: F) -> Option<F::Output> {
    tokio::time::timeout(duration(span), future).await.ok()
}

/// Measures how long something takes, whatever is done to the clock on the wall meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(tokio::time::Instant);

impl Stopwatch {
    /// Begins now.
    pub fn start() -> Self {
        Self(tokio::time::Instant::now())
    }

    /// Seconds since then.
    pub fn seconds(self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }

    /// The time since then, in whole milliseconds.
    pub fn passed(self) -> Span {
        Span::from_millis(i64::try_from(self.0.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}

fn duration(span: Span) -> std::time::Duration {
    std::time::Duration::from_millis(u64::try_from(span.millis()).unwrap_or(0))
}
