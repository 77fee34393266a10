//! Test support: real services where one machine can run them, and stand-ins that fail on purpose.
//!
//! # Layout
//!
//! - [`prerequisite`]: what a test needs of the machine, and [`require!`], which skips the test if that is missing.
//! - [`environment`]: the variables of a test run, and the checkout's folder.
//! - [`golden`]: files that code makes, which tests compare or write.
//! - [`plugins`]: the built plugins.
//! - [`s3`]: moto's S3, which `scripts/local-aws` runs.
//! - [`assertions`], [`http`], [`poll`]: assertions on messages, requests to a server, polling.
//!
//! With the feature `outcome`:
//! - [`outcome`]: the races that tests run, and the outcome that each run must have.
//! - [`rules`]: rulebooks in a registry.
//! - [`notices`]: what every store does with notices.
//!
//! With the feature `services`:
//! - [`dynamodb`]: DynamoDB Local, which the same script runs, and a client of it.
//! - [`kinesis`]: kinesis-local, which it runs, too, clients of it, streams that a test splits and merges.
//! - [`proxy`]: a proxy in front of both that throttles, fails, resets connections, and processes batches in part.
//! - [`otlp`]: a collector of traces.
//! - [`scripted`]: a service whose every response a test decides.
//!
//! With the feature `lambda`:
//! - [`lambda`]: the Lambda service around a function: the runtime API, instances, timeouts.
//! - [`stream`]: a Kinesis stream in memory: shards, records, splits and merges.
//! - [`mapping`]: an event source mapping, which invokes a function with the records of a stream.
//! - [`clock`]: a clock that runs faster than the machine's.
//!
//! All features are on by default. Without them the crate has no dependency, so that the tests of the engine and the
//! pipeline compile without Amazon's SDKs and HTTP servers.
//!
//! Nothing here is part of a release. A failure panics, which fails the test that called.
#![forbid(unsafe_code)]

pub mod assertions;
pub mod environment;
pub mod golden;
pub mod http;
pub mod plugins;
pub mod poll;
pub mod prerequisite;
pub mod s3;

#[cfg(feature = "outcome")]
mod block_on;
#[cfg(feature = "outcome")]
pub mod notices;
#[cfg(feature = "outcome")]
pub mod outcome;
#[cfg(feature = "outcome")]
pub mod rules;

#[cfg(feature = "services")]
pub mod dynamodb;
#[cfg(feature = "services")]
pub mod kinesis;
#[cfg(feature = "services")]
pub mod otlp;
#[cfg(feature = "services")]
pub mod proxy;
#[cfg(feature = "services")]
pub mod scripted;
#[cfg(feature = "services")]
pub mod sqs;
#[cfg(feature = "services")]
mod unique;

#[cfg(feature = "lambda")]
pub mod clock;
#[cfg(feature = "lambda")]
pub mod lambda;
#[cfg(feature = "lambda")]
pub mod mapping;
#[cfg(feature = "lambda")]
pub mod stream;
