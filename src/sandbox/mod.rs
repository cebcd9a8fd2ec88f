//! The sandbox: a simulated account of AWS on the loopback of this machine.
//!
//! It is the simulator's world with names, messages and schedules beside it, in accelerated time. [`Account`] is the handle;
//! `wire` speaks the protocols of the services for clients that nobody here has written. What the model of AWS Batch assumes, the
//! sandbox shows: it proves that a client works, not that AWS behaves.

mod account;
mod activities;
mod cloud;
mod definitions;
mod describe;
mod events;
mod faults;
mod flaws;
mod ids;
mod input;
mod jobs;
mod machines;
mod network;
mod refused;
mod roles;
mod schedules;
mod sqs;
mod state;
mod wire;

pub use account::Account;
pub use definitions::FIRST_DEFINITION;
pub use faults::{Fault, Trouble};
pub use flaws::Flaw;
pub use ids::new_token;
pub use refused::Refused;
pub use schedules::GUARD_GROUP;
pub use sqs::EVENTS_QUEUE;
pub use state::Options;
pub use wire::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Service, router, serve};
