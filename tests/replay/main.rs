//! Whole replays: generated recordings on small accounts, with the shipped policies at the wheel.
//!
//! The laws of the world alone, the planner alone and the controller alone stand beside their code; here is what must hold of
//! all of them together.

#[cfg(test)]
mod determinism;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod droughts;
#[cfg(test)]
mod metamorphic;
#[cfg(test)]
mod progress;
#[cfg(test)]
mod quotas;
#[cfg(test)]
mod scores;
#[cfg(test)]
mod skipping;
#[cfg(test)]
mod worlds;
