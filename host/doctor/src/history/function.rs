use serde::{Deserialize, Serialize};

/// A Lambda function with its event source mapping.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Megabytes of memory.
    pub memory_mb: u32,
    /// Seconds after which an invocation is stopped.
    pub timeout_seconds: u32,
    /// Concurrent invocations that are reserved for it, which is also their maximum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved_concurrency: Option<u32>,
    /// The event source mappings of the stream. More than one process each record more than once.
    pub mappings: Vec<Mapping>,
}

/// An event source mapping.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Mapping {
    /// Its UUID.
    pub id: String,
    /// Its state, such as `Enabled`.
    pub state: String,
    /// What Lambda notes about its last invocation, such as `OK` or `PROBLEM: Function call failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_result: Option<String>,
    /// Where it began: `TRIM_HORIZON`, `LATEST` or `AT_TIMESTAMP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starting_position: Option<String>,
    /// The maximum records of a batch.
    pub batch_size: u32,
    /// Seconds that it waits for a full batch.
    pub batching_window_seconds: u32,
    /// Concurrent batches of a shard.
    pub parallelization_factor: u32,
    /// Seconds of a tumbling window; 0 without one.
    pub tumbling_window_seconds: u32,
    /// How often a failed batch is retried; nothing means until it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Older records are skipped; nothing means none are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_seconds: Option<u32>,
    /// Whether a failed batch is halved.
    pub bisect: bool,
    /// Whether the function may report the records that failed.
    pub reports_failures: bool,
    /// The ARN to which the positions of discarded batches go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<String>,
    /// Whether it counts events, `MetricsConfig: EventCount`.
    pub counts_events: bool,
    /// The fan-out consumer through which it reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
}

impl Mapping {
    /// Whether it reads, or will in a moment.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        !matches!(self.state.as_str(), "Disabled" | "Disabling" | "Deleting")
    }
}
