//! The same jobs with autotune and with AWS Batch alone. Everything in it is simulated.
//!
//! In a demo both accounts are simulated, and there is one that nobody steers. Of a real account the jobs of the last day are
//! replayed in a model, once with the policies in force and once without.

use serde::{Deserialize, Serialize};

use crate::metrics::{Metrics, Simulated};
use crate::units::{MicroUsd, Span, Time, to_i64};

/// What is known of that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Saved {
    /// What it came to.
    Known(Box<Twin>),
    /// Nothing, and why.
    Unknown {
        /// Since when.
        at: Time,
        /// A sentence.
        why: String,
    },
}

impl Saved {
    /// Tells the metrics.
    pub(super) fn count(saved: Option<&Self>, metrics: &Metrics) {
        let twin = saved.and_then(Self::twin);
        metrics.simulated(twin.and_then(|twin| {
            Some(Simulated {
                at: twin.at,
                jobs: twin.jobs,
                saved: twin.saved()?,
                extra_cost: twin.extra_cost(),
            })
        }));
    }

    /// The twin, if there is one.
    pub fn twin(&self) -> Option<&Twin> {
        match self {
            Self::Known(twin) => Some(twin),
            Self::Unknown { .. } => None,
        }
    }
}

/// Where the two sides come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Two simulated accounts, one of which is steered.
    #[default]
    Accounts,
    /// Jobs of a real account, replayed twice.
    Recording,
}

/// One of two accounts with the same jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// Jobs that have started.
    pub started: usize,
    /// RUNNABLE jobs.
    pub waiting: usize,
    /// How long the jobs that have started in both accounts waited here, in the mean; `None`: there are none.
    pub mean: Option<Span>,
    /// What instances have cost.
    pub cost: MicroUsd,
    /// Mean waits of the jobs that became RUNNABLE in each of as many equal parts of the time; `None`: no job did.
    pub curve: Vec<Option<Span>>,
}

/// What was measured of the jobs that were replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Jobs whose wait is known.
    pub jobs: usize,
    /// How long they waited, in the mean.
    pub mean: Span,
}

/// Both accounts at one moment, the steered one first. Everything in it is simulated but `measured`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Twin {
    /// Where the sides come from.
    pub source: Source,
    /// When it was looked at, or simulated.
    pub at: Time,
    /// The model of AWS Batch.
    pub model: String,
    /// Time since the start, and how much there will have been at the end.
    pub passed: Span,
    /// See `passed`.
    pub lasts: Span,
    /// Jobs that have started in both.
    pub jobs: usize,
    /// Recorded jobs that could not be replayed, or did not start on both sides.
    pub left_out: usize,
    /// The account that is steered.
    pub tuned: Side,
    /// The one that AWS Batch runs alone.
    pub alone: Side,
    /// When Spot capacity is short, after the start.
    pub short: Vec<(Span, Span)>,
    /// What the same jobs waited in the real account; `None`: there is none, or it is not known.
    pub measured: Option<Measured>,
}

impl Twin {
    /// How much less the jobs that started in both waited with autotune, all together; less than nothing if they waited longer.
    pub fn saved(&self) -> Option<Span> {
        let each = self.alone.mean?.millis() - self.tuned.mean?.millis();
        Some(Span::from_millis(each).times(to_i64(self.jobs)))
    }

    /// How much more it cost; less than nothing if it cost less.
    pub fn extra_cost(&self) -> MicroUsd {
        self.tuned.cost - self.alone.cost
    }

    /// What a minute that no job had to wait cost; `None`: none was saved.
    pub fn per_saved_minute(&self) -> Option<MicroUsd> {
        let saved = self.saved().filter(|saved| *saved > Span::ZERO)?;
        Some(self.extra_cost().scaled_down(60_000, saved.millis()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twin(waits: [Option<i64>; 2], cents: [i64; 2]) -> Twin {
        let [tuned, alone] = [0, 1].map(|side: usize| Side {
            mean: waits[side].map(Span::from_seconds),
            cost: MicroUsd::new(cents[side] * 10_000),
            ..Side::default()
        });
        Twin {
            jobs: 30,
            tuned,
            alone,
            ..Twin::default()
        }
    }

    #[test]
    fn a_saved_minute_has_a_price_only_where_minutes_were_saved() {
        for (waits, cents, minutes, price) in [
            ([Some(10), Some(130)], [500, 380], Some(60), Some("$0.02")),
            ([Some(10), Some(130)], [320, 380], Some(60), Some("$-0.01")),
            ([Some(130), Some(10)], [500, 380], Some(-60), None),
            ([Some(10), Some(10)], [500, 380], Some(0), None),
            ([None, None], [0, 0], None, None),
        ] {
            let twin = twin(waits, cents);
            assert_eq!(twin.saved(), minutes.map(Span::from_minutes), "{waits:?}");
            let told = twin.per_saved_minute().map(|price| price.to_string());
            assert_eq!(told.as_deref(), price, "{waits:?} {cents:?}");
        }
    }
}
