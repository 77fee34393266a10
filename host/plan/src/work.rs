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
pub enum WorkError {
    /// It is not TOML, or has other keys.
    #[error("the calibration can't be used")]
    Toml(#[from] toml::de::Error),
    /// A value is out of its range.
    #[error("the calibration can't be used: `{key}` is {value}, and {least} to {most} are allowed")]
    OutOfRange {
        /// The key.
        key: &'static str,
        /// Its value.
        value: f64,
        /// The least value.
        least: f64,
        /// The greatest value.
        most: f64,
    },
}

/// The longest time for a message or group, in seconds. More is a mistake in the unit.
const MOST_SECONDS: f64 = 1.0;
/// The longest time for a request, an invocation or a start, in milliseconds: the longest time-out of a function.
const MOST_MS: f64 = 900_000.0;

impl Work {
    /// Reads a calibration in TOML. What it leaves out has its default.
    pub fn from_toml(text: &str) -> Result<Self, WorkError> {
        let work: Self = toml::from_str(text)?;
        work.validate()?;
        Ok(work)
    }

    /// Checks that each value is a number within its range. A time may be 0; what is divided by may not.
    pub fn validate(&self) -> Result<(), WorkError> {
        let values = [
            ("message-ns", self.message_ns, 0.0, MOST_SECONDS * 1e9),
            ("group-us", self.group_us, 0.0, MOST_SECONDS * 1e6),
            ("window-message-ns", self.window_message_ns, 0.0, MOST_SECONDS * 1e9),
            ("batch-ms", self.batch_ms, 0.0, MOST_MS),
            ("request-ms", self.request_ms, 0.0, MOST_MS),
            ("groups-per-request", self.groups_per_request.into(), 1.0, 100.0),
            ("requests-in-flight", self.requests_in_flight.into(), 1.0, 10_000.0),
            ("cold-start-ms", self.cold_start_ms, 0.0, MOST_MS),
            ("log-bytes", self.log_bytes, 0.0, 1e9),
            ("window-message-bytes", self.window_message_bytes, 0.01, 1e6),
            ("metrics", self.metrics.into(), 0.0, 1e6),
        ];
        match values.into_iter().find(|(_, value, least, most)| !(*least..=*most).contains(value)) {
            Some((key, value, least, most)) => Err(WorkError::OutOfRange { key, value, least, most }),
            None => Ok(()),
        }
    }

    /// Seconds in which so many groups are written, if nothing is throttled.
    #[must_use]
    pub fn write_seconds(&self, groups: f64) -> f64 {
        let requests = (groups / f64::from(self.groups_per_request.max(1))).ceil();
        (requests / f64::from(self.requests_in_flight.max(1))).ceil() * self.request_ms / 1e3
    }
}
