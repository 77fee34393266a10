use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// A quantity over time.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Series {
    /// What is measured.
    pub metric: Metric,
    /// Of what: `StreamName`, `ShardId`, `TableName`, `GlobalSecondaryIndexName` and so on, as CloudWatch names them;
    /// for a running host the labels of its `/metrics`, and `host`, its address.
    pub dimensions: BTreeMap<String, String>,
    /// What each point is of the values in its period.
    pub statistic: Statistic,
    /// Seconds between two points. Points without values are left out.
    pub period_seconds: f64,
    /// In the order of time. The document has them as `from`, `every-ms` and `values` if they are regular.
    #[serde(with = "super::points")]
    pub points: Vec<Point>,
}

/// A metric.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Metric {
    /// Where it comes from.
    pub namespace: Namespace,
    /// Its name there, such as `IncomingRecords` or `paceline_iterator_age_seconds`.
    pub name: String,
}

/// Where a metric comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Namespace {
    /// `AWS/Kinesis`.
    Kinesis,
    /// `AWS/Lambda`.
    Lambda,
    /// `AWS/DynamoDB`.
    Dynamodb,
    /// `AWS/SQS`.
    Sqs,
    /// The metrics that the function writes, under its own namespace in CloudWatch.
    Function,
    /// `/metrics` of a running host. Counters are as they were read, from the start of its process.
    Host,
}

/// What a point is of the values in its period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Statistic {
    /// Their sum.
    Sum,
    /// Their average.
    Average,
    /// The highest.
    Maximum,
    /// The lowest.
    Minimum,
    /// How many there are.
    SampleCount,
    /// The value at that time: of a running host.
    Value,
}

/// A value at a time: the beginning of its period.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
pub struct Point(pub Timestamp, pub f64);
