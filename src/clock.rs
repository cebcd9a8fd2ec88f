//! The only reader of real time, and the only place that waits. Everything else takes the time as an argument.

use std::future::Future;
use std::sync::{PoisonError, RwLock};

use serde::{Deserialize, Serialize};

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
    /// The clock of a simulated account, which goes faster.
    Scaled(&'static Pacer),
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
            Self::Scaled(pacer) => pacer.pace().now(),
        }
    }

    /// Whether it is that of a simulated account.
    pub const fn is_simulated(self) -> bool {
        match self {
            Self::Scaled(_) => true,
            Self::Wall | Self::Paced(..) => false,
            #[cfg(test)]
            Self::Set(..) => false,
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

    /// Waits for this long by this clock; not at all for nothing or less.
    pub async fn wait(self, span: Span) {
        match self {
            Self::Wall | Self::Paced(..) => wait(span).await,
            #[cfg(test)]
            Self::Set(..) => wait(span).await,
            Self::Scaled(pacer) => {
                let pace = pacer.pace();
                pace.until(pace.now() + span).await;
            }
        }
    }
}

/// How fast a simulated time goes: from that moment on, `factor` seconds in one second of ours. Zero: it stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    from: Time,
    began: tokio::time::Instant,
    factor: u32,
}

/// The longest wait in one piece: longer ones are looked at again.
const WAIT_MOST: Span = Span::from_minutes(24 * 60);

impl Pace {
    /// Now is `from`.
    pub fn new(from: Time, factor: u32) -> Self {
        let began = tokio::time::Instant::now();
        Self { from, began, factor }
    }

    /// Seconds of this time in one of ours.
    pub const fn factor(self) -> u32 {
        self.factor
    }

    /// The simulated time now.
    pub fn now(self) -> Time {
        let micros = i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX);
        self.from + Span::from_millis(micros.saturating_mul(i64::from(self.factor)).div_euclid(1_000))
    }

    /// How much of our time a simulated span takes, rounded up; `None`: for ever.
    pub fn real(self, span: Span) -> Option<Span> {
        let factor = i64::from(self.factor);
        (factor > 0).then(|| Span::from_millis(span.millis().max(0).saturating_add(factor - 1).div_euclid(factor)))
    }

    /// Waits until it is `at`, a millisecond of ours late at most.
    pub async fn until(self, at: Time) {
        loop {
            let left = at.since(self.now());
            if left <= Span::ZERO {
                return;
            }
            match self.real(left) {
                Some(real) => wait(real.max(Span::from_millis(1)).min(WAIT_MOST)).await,
                None => std::future::pending().await,
            }
        }
    }

    /// What is known after somebody told the pace, `asked` before. However long the answer took, its time is one of those between
    /// the question and now: as long as ours is among them we keep it, or every slow answer would set a fast clock back.
    pub fn heard(self, told: Told, asked: Stopwatch) -> Self {
        let told = Self::from(told);
        let took = asked.passed() + Span::from_millis(1);
        let most = took.millis().saturating_mul(i64::from(told.factor));
        let ahead = self.now().since(told.now()).millis();
        if self.factor == told.factor && (0..=most).contains(&ahead) {
            self
        } else {
            told
        }
    }
}

/// A pace as a simulated account tells it to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The simulated time, in milliseconds since 1970.
    pub now_ms: i64,
    /// Simulated seconds in one of ours; 0: it stands still.
    pub factor: u32,
}

impl From<Pace> for Told {
    fn from(pace: Pace) -> Self {
        Self {
            now_ms: pace.now().millis(),
            factor: pace.factor(),
        }
    }
}

impl From<Told> for Pace {
    fn from(told: Told) -> Self {
        Self::new(Time::from_millis(told.now_ms), told.factor)
    }
}

/// A pace that may change while many go by it.
#[derive(Debug)]
pub struct Pacer(RwLock<Pace>);

impl Pacer {
    /// One for the whole life of the process: clocks are passed around as plain values.
    pub fn forever(pace: Pace) -> &'static Self {
        Box::leak(Box::new(Self(RwLock::new(pace))))
    }

    /// How it goes now.
    pub fn pace(&self) -> Pace {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it goes like this.
    pub fn set(&self, pace: Pace) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = pace;
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

/// For libraries that wait by themselves.
pub(crate) fn duration(span: Span) -> std::time::Duration {
    std::time::Duration::from_millis(u64::try_from(span.millis()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn simulated_time_goes_by_its_factor_and_waits_shrink_with_it() {
        let start = Time::from_seconds(1_000_000);
        let pacer = Pacer::forever(Pace::new(start, 60));
        let clock = Clock::Scaled(pacer);
        let took = Stopwatch::start();
        clock.wait(Span::from_minutes(10)).await;
        assert!((10.0..10.1).contains(&took.seconds()), "{}", took.seconds());
        assert!(clock.now() >= start + Span::from_minutes(10));
        pacer.set(Pace::new(start, 0));
        wait(Span::from_minutes(5)).await;
        assert_eq!(clock.now(), start);
        assert_eq!(pacer.pace().real(Span::from_seconds(1)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_sets_no_clock_back_but_somebody_who_sets_it_does() {
        let account = Pace::new(Time::from_seconds(1_000_000), 120);
        let mut ours = account;
        for (before, after) in [(1, 300), (300, 1), (150, 150), (1, 1), (0, 0)] {
            let asked = Stopwatch::start();
            wait(Span::from_millis(before)).await;
            let told = Told::from(account);
            wait(Span::from_millis(after)).await;
            let latest = ours.now();
            ours = ours.heard(told, asked);
            assert!(ours.now() >= latest, "{before} {after}: {latest} {}", ours.now());
            assert!(ours.now() <= account.now(), "{before} {after}");
        }
        let behind = Pace::new(account.now() - Span::from_minutes(1), 120);
        assert_eq!(behind.heard(account.into(), Stopwatch::start()).now(), account.now());
        assert_eq!(account.heard(behind.into(), Stopwatch::start()).now(), behind.now());
        let slower = Pace::new(account.now(), 60);
        assert_eq!(account.heard(slower.into(), Stopwatch::start()).factor(), 60);
    }
}
