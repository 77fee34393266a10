//! What the work costs in time: a calibration.

use serde::{Deserialize, Serialize};

/// What the work costs in time. The defaults are those of `docs/benchmarks.md`, or assumptions where it has none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Work {
    /// Processor time of a message, in nanoseconds: decoding, plugins and folding.
    pub message_ns: f64,
    /// Processor time of a group that is written, in microseconds.
    pub group_us: f64,
    /// Processor time of a message that waits in a tumbling window's state, in each invocation, in nanoseconds.
    pub window_message_ns: f64,
    /// Time of an invocation beside its messages, in milliseconds.
    pub batch_ms: f64,
    /// Time of a request to the table, in milliseconds.
    pub request_ms: f64,
    /// Groups that a request writes.
    pub groups_per_request: u32,
    /// Requests in flight: `store.dynamodb.concurrency`.
    pub requests_in_flight: u32,
    /// Time of a cold start, in milliseconds.
    pub cold_start_ms: f64,
    /// Bytes that an invocation logs, its metrics included.
    pub log_bytes: f64,
    /// Bytes of a tumbling window's state for each message.
    pub window_message_bytes: f64,
    /// Metrics of the function in CloudWatch, with 6 race types of 4 plugins each.
    pub metrics: u32,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            message_ns: 1_400.0,
            group_us: 24.0,
            window_message_ns: 50.0,
            batch_ms: 1.0,
            request_ms: 8.0,
            groups_per_request: 25,
            requests_in_flight: 16,
            cold_start_ms: 280.0,
            log_bytes: 16_700.0,
            window_message_bytes: 25.0,
            metrics: 102,
        }
    }
}

/// A calibration is not one.
#[derive(Debug, thiserror::Error)]
#[error("the calibration can't be used")]
pub struct WorkError(#[from] toml::de::Error);

impl Work {
    /// Reads a calibration in TOML. What it leaves out has its default.
    pub fn from_toml(text: &str) -> Result<Self, WorkError> {
        Ok(toml::from_str(text)?)
    }

    /// Seconds in which so many groups are written, if nothing is throttled.
    #[must_use]
    pub fn write_seconds(&self, groups: f64) -> f64 {
        let requests = (groups / f64::from(self.groups_per_request.max(1))).ceil();
        (requests / f64::from(self.requests_in_flight.max(1))).ceil() * self.request_ms / 1e3
    }
}
