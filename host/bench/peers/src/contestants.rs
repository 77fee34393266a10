//! The contestants: one file a host. Each has its code compiled once, and gives ways from a batch to its scores.

pub(crate) mod arrow_udf;
pub(crate) mod extism;
pub(crate) mod fluvio;
pub(crate) mod native;
pub(crate) mod node;
pub(crate) mod paceline;
pub(crate) mod records;

use std::time::Duration;

/// Memory of an instance, in bytes: the default of paceline, for every host that bounds it.
const MEMORY_BYTES: usize = paceline_engine::limits::MEMORY_BYTES;

/// The time of a call: the default of paceline, for every host that bounds it.
const CALL_TIME: Duration = Duration::from_millis(paceline_engine::limits::CALL_MS);

/// The fuel of a call for so many rows: the default of paceline, for every host that bounds it.
fn fuel(rows: usize) -> u64 {
    paceline_engine::Limits::default().fuel_of(rows, 0)
}

/// Scores that a guest returned as 64-bit floats, little end first.
fn scores_of(bytes: &[u8]) -> Vec<f64> {
    bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()
}
