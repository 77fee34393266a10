//! `paceline run` on a stream of Kinesis, into a table of DynamoDB.

mod bad_input;
mod deployment;
mod faults;
mod lag;
mod metrics;
mod race;
