//! AWS at both ends: DynamoDB as the store, Lambda events as a source.
//!
//! # Layout
//!
//! - `event`: events of Lambda's event source mapping for Kinesis, and the answer to them.
//! - `kpl`: aggregates of the Kinesis Producer Library, taken apart and made.
//! - `dynamodb`: the store.
//! - `base64`: as events and windows' states have it.
#![forbid(unsafe_code)]

pub mod base64;
pub mod dynamodb;
pub mod event;
pub mod kpl;

pub use dynamodb::DynamoDbStore;
