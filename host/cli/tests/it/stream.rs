//! `paceline run` from a Kinesis stream into a DynamoDB table.

mod bad_input;
mod dashboard;
pub(crate) mod deployment;
mod faults;
mod lag;
mod metrics;
mod misrouted;
pub(crate) mod race;
mod shared_name;
mod swaps;
