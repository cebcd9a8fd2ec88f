//! The decision: what every compute environment should hold, and why.

pub mod plan;
