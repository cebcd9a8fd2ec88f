//! The driver of a real account: tokio around [`crate::control::Controller`]. Effects become API calls, their answers inputs.

pub mod cloud;
pub mod snapshot;
