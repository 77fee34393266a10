//! What stands for the configuration of AWS in a program that was built without it: nothing can be read into these types.

use serde::{Deserialize, Deserializer, de};

/// Stands for the configuration of a table in DynamoDB.
#[derive(Debug)]
pub struct DynamoDbConfig {
    /// The table.
    pub table: String,
    /// The table of dead letters.
    pub dead_letters: Option<String>,
}

/// Stands for the configuration of a Kinesis stream.
#[derive(Debug)]
pub struct KinesisConfig {
    /// The stream.
    pub stream: String,
}

impl<'de> Deserialize<'de> for DynamoDbConfig {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(without("DynamoDB"))
    }
}

impl<'de> Deserialize<'de> for KinesisConfig {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(without("Kinesis"))
    }
}

fn without<E: de::Error>(service: &str) -> E {
    E::custom(format!("this program was built without {service}: build it with the feature `aws`"))
}
