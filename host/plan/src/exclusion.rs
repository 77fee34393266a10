//! Why settings can't be deployed.

use paceline_capacity::{kinesis, lambda};
use serde::Serialize;

/// Two settings that exclude each other, or one that is out of its range.
#[derive(Clone, Debug, PartialEq, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Exclusion {
    /// Lambda distributes records to concurrent batches by the record's key, and an aggregate has only one.
    #[error(
        "a parallelization factor of {factor} does not work with packed records (KPL): use a factor of 1, or do not pack"
    )]
    FactorWithPacking {
        /// The factor.
        factor: u32,
    },
    /// Records of a group are in several concurrent batches.
    #[error(
        "a parallelization factor of {factor} needs ordinal dedup with random keys, and `{aggregate}` has sequence dedup: \
         use ordinal dedup, or a factor of 1"
    )]
    FactorWithSequence {
        /// The factor.
        factor: u32,
        /// The aggregate.
        aggregate: String,
    },
    /// Each part of a shard would have its own windows.
    #[error("a tumbling window needs a parallelization factor of 1, and it is {factor}")]
    FactorWithWindow {
        /// The factor.
        factor: u32,
    },
    /// Lambda asks for it.
    #[error("a batch size of {batch_size} needs a batching window of at least 1 s, because it is above 10")]
    NoBatchingWindow {
        /// The batch size.
        batch_size: u32,
    },
    /// A setting is out of its range.
    #[error("`{option}` ({setting}) is {}, and {} to {} are allowed", exact(*.value), exact(*.least), exact(*.most))]
    OutOfRange {
        /// The setting.
        setting: &'static str,
        /// The option of `paceline plan` that gives it.
        option: &'static str,
        /// Its value.
        value: f64,
        /// The least value.
        least: f64,
        /// The greatest value.
        most: f64,
    },
    /// Kinesis takes no record that is so large.
    #[error(
        "a record of {bytes} bytes, partition key included, is too large: Kinesis takes at most {}. Pack fewer messages \
         (`--pack-messages`, `--pack-bytes`), or send smaller ones (`--message-bytes`)",
        kinesis::RECORD_BYTES
    )]
    RecordTooLarge {
        /// Its bytes.
        bytes: u64,
    },
    /// Lambda has no event for it.
    #[error(
        "a record of {bytes} bytes has {event_bytes} in an event, as Base64 text with metadata, and an event has at most \
         {}: send smaller records (`--message-bytes`, `--pack-bytes`, `--pack-messages`), or read them by another \
         `--consumer`",
        lambda::PAYLOAD_BYTES
    )]
    RecordBeyondEvent {
        /// The record's bytes.
        bytes: u64,
        /// Those that an event has for it.
        event_bytes: u64,
    },
}

/// A number without rounding. One of more than 15 digits is written with an exponent.
fn exact(value: f64) -> String {
    let is_readable = value == 0.0 || !value.is_finite() || (1e-3..1e15).contains(&value.abs());
    if is_readable { value.to_string() } else { format!("{value:e}") }
}
