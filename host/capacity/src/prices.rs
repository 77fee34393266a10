//! What services cost: one table, which `paceline plan` and `paceline doctor` read, and which can be replaced.

use serde::{Deserialize, Serialize};

/// A table of prices, in US dollars.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Prices {
    /// The region.
    pub region: String,
    /// When the prices were valid.
    pub date: String,
    /// Where they come from.
    pub source: String,
    /// Kinesis Data Streams, provisioned.
    pub kinesis: KinesisPrices,
    /// Lambda.
    pub lambda: LambdaPrices,
    /// DynamoDB.
    pub dynamodb: DynamoDbPrices,
    /// CloudWatch.
    pub cloudwatch: CloudWatchPrices,
    /// Containers.
    pub container: ContainerPrices,
}

/// Prices of Kinesis Data Streams.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KinesisPrices {
    pub shard_hour: f64,
    pub put_units_million: f64,
    pub fan_out_shard_hour: f64,
    pub fan_out_gigabyte: f64,
    pub retention_shard_hour: f64,
    pub long_retention_gigabyte_month: f64,
}

/// Prices of Lambda.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LambdaPrices {
    pub requests_million: f64,
    pub gigabyte_second: f64,
    pub arm_gigabyte_second: f64,
}

/// Prices of DynamoDB.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DynamoDbPrices {
    pub write_units_million: f64,
    pub read_units_million: f64,
    pub write_unit_hour: f64,
    pub read_unit_hour: f64,
}

/// Prices of CloudWatch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CloudWatchPrices {
    pub metric_month: f64,
    pub alarm_month: f64,
    pub log_gigabyte: f64,
}

/// Prices of containers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ContainerPrices {
    pub processor_hour: f64,
    pub gigabyte_hour: f64,
}

/// A table of prices is not one.
#[derive(Debug, thiserror::Error)]
pub enum PricesError {
    /// It is not TOML, or has not exactly the keys of a table of prices.
    #[error("the prices can't be used: a file of prices has every key of host/capacity/prices/us-east-1.toml")]
    Toml(#[from] toml::de::Error),
    /// A price is none.
    #[error("the prices can't be used: `{key}` is {value}, and 0 to {MAX_PRICE} are allowed")]
    Price {
        /// The key, with its table.
        key: String,
        /// Its value.
        value: f64,
    },
}

/// The highest price, in US dollars. It only has to keep sums finite.
const MAX_PRICE: f64 = 1e6;

/// The prices that are used if there are no others.
const US_EAST_1: &str = include_str!("../prices/us-east-1.toml");

impl Prices {
    /// Reads a table of prices in TOML.
    pub fn from_toml(text: &str) -> Result<Self, PricesError> {
        let prices: Self = toml::from_str(text)?;
        prices.validate()?;
        Ok(prices)
    }

    /// Checks that each price is a number, and not negative.
    pub fn validate(&self) -> Result<(), PricesError> {
        let tables = toml::Table::try_from(self).expect("prices are a table");
        for (name, table) in &tables {
            let prices = table.as_table().into_iter().flatten();
            for (key, value) in prices.filter_map(|(key, value)| Some((key, value.as_float()?))) {
                if !(0.0..=MAX_PRICE).contains(&value) {
                    return Err(PricesError::Price { key: format!("{name}.{key}"), value });
                }
            }
        }
        Ok(())
    }
}

impl Default for Prices {
    fn default() -> Self {
        Self::from_toml(US_EAST_1).expect("the embedded prices are valid")
    }
}
