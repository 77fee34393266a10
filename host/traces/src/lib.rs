//! Traces of batches: a span for each batch, with its stages as children, sent to a collector by OTLP over HTTP.
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>
//!
//! A host records the times of stages anyway. So a trace is made from them when its batch is done, and costs nothing while
//! it is off. There are no spans of records.
//!
//! OpenTelemetry's SDK queues, gathers, retries and encodes. Its exporter is given Amazon's HTTP client, which every host
//! has already, with TLS and the system's certificates.
//!
//! # Layout
//!
//! - `span`: a batch and its stages as spans.
//! - `exporter`: what sends them.
//! - `client`: its HTTP requests.
#![forbid(unsafe_code)]

mod client;
mod exporter;
mod span;

pub use exporter::{ExporterError, Traces};
pub use span::{Attribute, BatchTrace, StageTime};
