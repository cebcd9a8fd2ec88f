//! The replay: recorded jobs on a model of AWS Batch.
//!
//! The *world* is the model: it knows everything, down to how long a job will run. A *scenario* says which account it is; a
//! *model* says how AWS Batch behaves. A *draw* is a random number that depends only on its key. A *drought* is a time during
//! which launches from a Spot pool fail; a *pool* is an instance type in a zone.

pub mod distribution;
pub mod draws;
pub mod ledger;
pub mod model;
pub mod scenario;
pub mod world;
