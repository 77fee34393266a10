use serde::{Deserialize, Serialize};

use super::Timestamp;

/// A Kinesis stream.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Stream {
    /// Its name.
    pub name: String,
    /// Its ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    /// How its capacity is set.
    pub mode: StreamMode,
    /// Its status, such as `ACTIVE`.
    pub status: String,
    /// How long it keeps records.
    pub retention_hours: u32,
    /// Its shards, ended ones included while the stream keeps their records.
    pub shards: Vec<Shard>,
    /// Its fan-out consumers.
    pub consumers: Vec<Consumer>,
    /// The metrics by shard that are on, such as `IncomingRecords`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shard_metrics: Vec<String>,
}

/// How a stream's capacity is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StreamMode {
    /// By its number of shards.
    Provisioned,
    /// By Kinesis.
    OnDemand,
}

/// A shard.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Shard {
    /// Its id, such as `shardId-000000000000`.
    pub id: String,
    /// Whether it accepts records. An ended one is only read.
    pub open: bool,
    /// Its share of the hash keys, 0 to 1.
    pub share: f64,
}

/// A fan-out consumer.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Consumer {
    /// Its name.
    pub name: String,
    /// Its status, such as `ACTIVE`.
    pub status: String,
    /// When it was registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
}
