//! Tests of the test support itself.
//!
//! - [`prerequisite`]: tests are skipped aloud, or fail.
//! - [`kinesis`]: streams in kinesis-local.
//! - [`dynamodb_proxy`], [`kinesis_proxy`], [`kinesis_subscription`]: the fault proxy, between Amazon's clients and the
//!   local services.
//! - [`scripted`]: services with scripted responses.
//! - [`outcome`]: the outcome of a run in one process.
//! - [`mapping`]: the event source mapping; [`lambda`]: the Lambda service.

mod dynamodb_proxy;
mod kinesis;
mod kinesis_proxy;
mod kinesis_subscription;
mod lambda;
mod mapping;
mod outcome;
mod prerequisite;
mod scripted;
