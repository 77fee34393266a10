//! Lambda, and its event source mapping of a Kinesis stream.

/// Bytes of an invocation's payload.
pub const PAYLOAD_BYTES: u64 = 6 * 1024 * 1024;
/// Records of the largest batch.
pub const BATCH_RECORDS: u32 = 10_000;
/// The highest parallelization factor: concurrent batches of a shard.
pub const PARALLELIZATION: u32 = 10;
/// The longest time-out of a function, in seconds.
pub const TIMEOUT_SECONDS: u32 = 900;
/// The longest batching window, in seconds.
pub const BATCHING_WINDOW_SECONDS: u32 = 300;
/// The longest tumbling window, in seconds.
pub const TUMBLING_WINDOW_SECONDS: u32 = 900;
/// Bytes of a tumbling window's state, for each shard.
pub const WINDOW_STATE_BYTES: u64 = 1024 * 1024;
/// Concurrent invocations of all functions of an account and region, unless raised.
pub const ACCOUNT_CONCURRENCY: u32 = 1_000;
/// Times a second that a mapping polls each shard.
pub const POLLS_PER_SECOND: f64 = 1.0;
/// Bytes that an event has for each record beside the Base64 text of its payload: metadata, and the partition key, about.
pub const RECORD_OVERHEAD_BYTES: u64 = 580;
/// Megabytes of memory with which a function has one full processor.
pub const MEGABYTES_OF_A_PROCESSOR: f64 = 1_769.0;

/// Bytes that an event has for a record of about `payload_bytes`.
#[must_use]
pub fn event_bytes(payload_bytes: u64) -> u64 {
    payload_bytes.div_ceil(3) * 4 + RECORD_OVERHEAD_BYTES
}

/// Records of about `payload_bytes` that fill an event.
#[must_use]
pub fn records_of_an_event(payload_bytes: u64) -> u32 {
    u32::try_from(PAYLOAD_BYTES / event_bytes(payload_bytes)).unwrap_or(BATCH_RECORDS).clamp(1, BATCH_RECORDS)
}
