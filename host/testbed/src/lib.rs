//! What the tests run against: real parts where one machine can run them, and stand-ins that fail on purpose.
//!
//! # Layout
//!
//! - [`dynamodb`]: Amazon's DynamoDB Local, started by `scripts/local-aws`, and a client for it.
//! - [`kinesis`]: kinesis-local, started likewise, a client for it, streams that a test splits and merges.
//! - [`proxy`]: stands between DynamoDB or Kinesis and the one who calls it, and throttles, fails, cuts connections
//!   and answers in part.
//! - [`scripted`]: a service that says what a test wants it to say.
//! - [`stream`]: a Kinesis stream as data: shards, their records, their splits and merges.
//! - [`lambda`]: the Lambda service around a function: the runtime API, its instances, their end.
//! - [`outcome`]: the races that tests run, and what should come of them.
//! - [`mapping`]: an event source mapping, which feeds a function from a stream.
//!
//! Nothing here goes into a release. It panics where a program would give an error back: what fails is a test.
#![forbid(unsafe_code)]

pub mod dynamodb;
pub mod kinesis;
pub mod lambda;
pub mod mapping;
pub mod outcome;
pub mod proxy;
pub mod scripted;
pub mod stream;
