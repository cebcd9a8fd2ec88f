//! The replay: recorded jobs on a model of AWS Batch.
//!
//! The *world* is the model: it knows everything, down to how long a job will run. A *scenario* says which account it is; a
//! *model* says how AWS Batch behaves. A *draw* is a random number that depends only on its key. A *drought* is a time during
//! which launches from a Spot pool fail; a *pool* is an instance type in a zone.

pub mod assertion;
pub mod compare;
pub mod distribution;
pub mod draws;
pub mod drive;
pub mod ledger;
pub mod metric;
pub mod model;
pub mod routes;
pub mod rules;
pub mod scenario;
pub mod summary;
pub mod view;
pub mod world;
