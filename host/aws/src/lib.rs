//! AWS at both ends: Kinesis in, DynamoDB out. Rules come from S3.
//!
//! # Layout
//!
//! - `kinesis`: streams, read and written.
//! - `given_up`: batches that an event source mapping gave up.
//! - `kcl`: a record processor for Amazon's MultiLangDaemon.
//! - `kpl`: aggregates of the Kinesis Producer Library, taken apart and made.
//! - `dynamodb`: the store.
//! - `s3`: the place of a rules registry.
//! - `base64`: as events and windows' states have it.
//! - `sdk`: what the services share. `renewed`: HTTP clients that leave a dead connection.
#![forbid(unsafe_code)]

pub mod base64;
pub mod dynamodb;
pub mod given_up;
pub mod kcl;
pub mod kinesis;
pub mod kpl;
mod renewed;
pub mod s3;
pub mod sdk;

pub use dynamodb::DynamoDbStore;
