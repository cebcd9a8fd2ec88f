//! What the account has. Plain data, no opinions.
//!
//! The *topology* is what a policy is compiled against. The [`mod@survey`] is all that `check` reads: the same and everything
//! around it, in AWS's own names.

pub mod survey;
mod topology;

pub use topology::{ComputeEnvironment, JobQueue, OfferedType, Platform, Topology};
