//! The function that Lambda starts: Kinesis batches in, DynamoDB items out. The program is `bootstrap`.
//!
//! # Layout
//!
//! - [`handler`]: one event: its batch through the pipeline, and the response.
//! - [`event`]: from an event's bytes to a finished batch.
//! - `poll`: the rules' log, read beside batches.
//! - [`window`]: the state of a tumbling window, which Lambda carries from event to event.
//! - [`metrics`]: an event's counts and times, in CloudWatch's embedded metric format.
//! - `store`: what a function asks of its store.
#![forbid(unsafe_code)]

pub mod event;
pub mod handler;
pub mod metrics;
mod poll;
mod store;
pub mod window;

pub use handler::{Handler, Invocation, InvocationError};
pub use metrics::Metrics;
pub use store::FunctionStore;
