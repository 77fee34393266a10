//! Traces of batches: a span for each batch, with its stages as children, sent to a collector by OTLP over HTTP, in JSON.
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>
//!
//! A host records the times of stages anyway. So a trace is made from them when its batch is done, and costs nothing while
//! it is off. There are no spans of records.
//!
//! The protocol is small, and is written here: OpenTelemetry's own crates would be a dozen dependencies.
//!
//! # Layout
//!
//! - `endpoint`: where the collector is.
//! - `span`: a batch and its stages, and their JSON.
//! - `exporter`: the thread that sends them.
#![forbid(unsafe_code)]

mod endpoint;
mod exporter;
mod span;

pub use endpoint::{Endpoint, NotAnEndpoint};
pub use exporter::{ExporterError, Traces};
pub use span::{Attribute, BatchTrace, StageTime};
