//! `paceline run` on a stream of Kinesis, into a table of DynamoDB.

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod deployment;
mod faults;
mod lag;
mod metrics;
mod race;
