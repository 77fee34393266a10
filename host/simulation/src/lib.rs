//! A deterministic simulation: hosts with the real pipeline, rules and sandbox, over a store, a stream and a registry in
//! memory that fail by plan. `docs/simulation.md` says what it shows.
//!
//! A seed decides everything. The clock is paused, so that a run takes no time; tasks of one run share one thread and one
//! source of randomness. Nothing may depend on the process's clock, on other threads, or on the order of a hash map.
//!
//! # Layout
//!
//! From top to bottom; no file imports one above it.
//! - `torture`: many seeds. `shrink`: a seed that failed, made smaller.
//! - `run`: one run.
//! - `compare`, `model`: what has to be there in the end.
//! - `deliver`: how records get to hosts. `operator`: how rules change meanwhile.
//! - `host`: a host from its start to its death. `store`, `objects`, `kinesis`: its store, its registry and its stream, with
//!   faults. `connection`, `endpoint`: DynamoDB and Kinesis as the AWS SDK reaches them, with faults;
//!   `subscription`: fan-out.
//! - `acknowledged`: what has to hold during the run.
//! - `world`: what all tasks of a run share. `setup`: what all runs share.
//! - `backend`: the store behind hosts' stores, in memory or in DynamoDB. `http`: the AWS SDK without a network. `dynamodb`:
//!   DynamoDB in memory.
//! - `stream`, `message`, `raw`: the messages, and what Kinesis makes of them.
//! - `plan`, `plant`, `planted`, `fate`, `finding`, `request`, `shapes`, `trace`, `shown`, `latch`, `time`: values.
#![forbid(unsafe_code)]

mod acknowledged;
mod backend;
mod compare;
mod connection;
mod deliver;
mod dynamodb;
mod endpoint;
mod fate;
mod finding;
mod host;
mod http;
mod kinesis;
mod latch;
mod message;
mod model;
mod objects;
mod operator;
mod plan;
mod plant;
mod planted;
mod raw;
mod request;
mod run;
mod setup;
mod shapes;
mod shown;
mod shrink;
mod store;
mod stream;
mod subscription;
mod time;
mod torture;
mod trace;
mod world;

pub use finding::Finding;
pub use plan::{Knob, KnobError, Plan};
pub use plant::{Plant, UnknownPlant};
pub use run::{Options, Outcome, run, run_twice};
pub use setup::{Setup, SetupError};
pub use shrink::{Shrunk, shrink};
pub use torture::{Failure, Report, Torture};
