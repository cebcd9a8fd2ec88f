//! What is known of a twin account with the same jobs that AWS Batch runs alone. Only a simulated account has one.

use crate::units::{MicroUsd, Span};

/// One of two accounts with the same jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

/// Both accounts at one moment. Everything in it is simulated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Twin {
    /// The model of AWS Batch.
    pub model: String,
    /// Simulated time since the start, and how much there will have been at the end.
    pub passed: Span,
    /// See `passed`.
    pub lasts: Span,
    /// Jobs that have started in both.
    pub jobs: usize,
    /// The account that is steered.
    pub tuned: Side,
    /// The one that AWS Batch runs alone.
    pub alone: Side,
    /// When Spot capacity is short, after the start.
    pub short: Vec<(Span, Span)>,
}
