//! The quotas and prices of Kinesis, Lambda and DynamoDB, and the arithmetic of what fits into them.
//!
//! The values are those of Amazon's guides and API models of November 2026.
#![forbid(unsafe_code)]

pub mod dynamodb;
pub mod kinesis;
pub mod lambda;
mod prices;

pub use prices::{Prices, PricesError};
