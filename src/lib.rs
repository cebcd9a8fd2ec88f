//! autotune makes AWS Batch start jobs in seconds instead of minutes, at about the same bill.
#![doc = include_str!("ARCHITECTURE.md")]

pub mod account;
#[cfg(feature = "aws")]
pub mod aws;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod control;
pub mod daemon;
pub mod explain;
pub mod files;
pub mod forecast;
pub mod ids;
pub mod input;
pub mod jobs;
pub mod journal;
pub mod metrics;
pub mod observation;
pub mod overrides;
pub mod planner;
pub mod policy;
pub mod report;
pub mod setup;
pub mod simulate;
pub mod trace;
pub mod units;
