//! Prices for orientation: list prices of us-east-1. A bill depends on region, discounts and free tiers.

use std::sync::LazyLock;

use paceline_capacity::Prices;

static PRICES: LazyLock<Prices> = LazyLock::new(Prices::default);

/// Hours of a month.
const HOURS: f64 = 730.0;

/// A provisioned shard, a month.
pub(crate) fn shard_month() -> f64 {
    PRICES.kinesis.shard_hour * HOURS
}

/// A fan-out consumer of a shard, a month, beside what it reads.
pub(crate) fn consumer_of_a_shard() -> f64 {
    PRICES.kinesis.fan_out_shard_hour * HOURS
}

/// A GB that a fan-out consumer reads.
pub(crate) fn consumer_gb() -> f64 {
    PRICES.kinesis.fan_out_gigabyte
}

/// A shard that keeps records for longer than 24 hours, a month.
pub(crate) fn extended_retention_of_a_shard() -> f64 {
    PRICES.kinesis.retention_shard_hour * HOURS
}

/// A metric by shard, a month.
pub(crate) fn shard_metric() -> f64 {
    PRICES.cloudwatch.metric_month
}

/// A provisioned write unit a second, a month.
pub(crate) fn write_unit() -> f64 {
    PRICES.dynamodb.write_unit_hour * HOURS
}

/// A provisioned read unit a second, a month.
pub(crate) fn read_unit() -> f64 {
    PRICES.dynamodb.read_unit_hour * HOURS
}

/// A million write units on demand.
pub(crate) fn million_write_units_on_demand() -> f64 {
    PRICES.dynamodb.write_units_million
}
