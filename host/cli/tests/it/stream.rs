//! `paceline run` from a Kinesis stream into a DynamoDB table.

mod bad_input;
mod deployment;
mod faults;
mod lag;
mod metrics;
mod misrouted;
mod race;
mod swaps;
