//! AWS at both ends: DynamoDB as the store, Lambda events as a source.
#![forbid(unsafe_code)]

pub mod base64;
pub mod dynamodb;
pub mod event;

pub use dynamodb::DynamoDbStore;
