//! Prices for orientation: list prices of us-east-1, rounded. A bill depends on region, discounts and free tiers.

/// Hours of a month.
pub(crate) const HOURS: f64 = 730.0;
/// A provisioned shard, a month.
pub(crate) const SHARD: f64 = 0.015 * HOURS;
/// A fan-out consumer of a shard, a month, beside what it reads.
pub(crate) const CONSUMER_OF_A_SHARD: f64 = 0.015 * HOURS;
/// A GB that a fan-out consumer reads.
pub(crate) const CONSUMER_GB: f64 = 0.013;
/// A shard that keeps records for longer than 24 hours, a month.
pub(crate) const EXTENDED_RETENTION_OF_A_SHARD: f64 = 0.02 * HOURS;
/// A metric by shard, a month.
pub(crate) const SHARD_METRIC: f64 = 0.30;
/// A provisioned write unit a second, a month.
pub(crate) const WRITE_UNIT: f64 = 0.000_65 * HOURS;
/// A provisioned read unit a second, a month.
pub(crate) const READ_UNIT: f64 = 0.000_13 * HOURS;
/// A million write units on demand.
pub(crate) const MILLION_WRITE_UNITS_ON_DEMAND: f64 = 0.625;
