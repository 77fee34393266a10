use serde::{Deserialize, Serialize};

use super::Part;

/// Quantities over the last minutes. All series have one value for each time.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct History {
    /// The times of the values in seconds since 1970, ascending.
    pub times: Vec<u64>,
    /// The age of the oldest record that is not committed, in seconds, by shard.
    pub age: Part<Graph>,
    /// Records a second that the stream receives, with its limit.
    pub records_per_second: Part<Graph>,
    /// Bytes a second that the stream receives, with its limit.
    pub bytes_per_second: Part<Graph>,
    /// The time of a batch in seconds by stage.
    pub batch_time: Part<Graph>,
    /// The duration of the function's invocations in seconds, with its time-out.
    pub duration: Part<Graph>,
    /// Concurrent invocations, with their limit.
    pub concurrency: Part<Graph>,
    /// Write units a second that tables and indexes use, with what is provisioned.
    pub write_units: Part<Graph>,
    /// Write units for 1,000 committed records.
    pub units_per_1000_records: Part<Graph>,
    /// Throttled requests a second by cause.
    pub throttles: Part<Graph>,
    /// Dead letters a minute by reason.
    pub dead_letters: Part<Graph>,
}

/// Series that belong into one chart.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Graph {
    /// The series.
    pub series: Vec<Series>,
}

/// A quantity over time.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Series {
    /// Of what, such as a shard's id, a stage or a reason.
    pub name: String,
    /// What it can't or should not exceed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    /// A value for each time of the history; `null` if it is unknown.
    pub values: Vec<Option<f64>>,
}

impl Series {
    /// The newest value that is known.
    pub fn latest(&self) -> Option<f64> {
        self.values.iter().rev().find_map(|value| *value)
    }

    /// The highest value.
    pub fn highest(&self) -> Option<f64> {
        self.values.iter().flatten().copied().reduce(f64::max)
    }
}
