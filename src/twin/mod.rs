//! What the same jobs come to with autotune and with AWS Batch alone.

pub mod figures;
