//! What the same jobs come to with autotune and with AWS Batch alone: figures of two accounts at one moment, and the replay of a
//! real account's last day.

pub mod figures;
pub mod replay;
#[cfg(test)]
mod tests;
