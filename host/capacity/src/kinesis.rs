//! Kinesis Data Streams.

/// Records a second that a shard accepts.
pub const SHARD_RECORDS_PER_SECOND: f64 = 1_000.0;
/// Bytes a second that a shard accepts, partition keys included.
pub const SHARD_BYTES_PER_SECOND: f64 = 1_048_576.0;
/// Bytes a second that all polling consumers of a shard share, and that each fan-out consumer has for itself.
pub const SHARD_READ_BYTES_PER_SECOND: f64 = 2_097_152.0;
/// `GetRecords` requests a second that all polling consumers of a shard share.
pub const SHARD_READS_PER_SECOND: f64 = 5.0;
/// Records that one `PutRecords` request may have.
pub const PUT_RECORDS: usize = 500;
/// Records that one `GetRecords` response may have.
pub const GET_RECORDS: usize = 10_000;
/// Bytes of the largest record, partition key included, of a stream that is set to take them.
pub const RECORD_BYTES: u64 = 10 * 1024 * 1024;
/// Bytes of the largest record of a stream that is not: `MaxRecordSizeInKiB` is 1,024.
pub const DEFAULT_RECORD_BYTES: u64 = 1024 * 1024;
/// The retention of a new stream, in hours.
pub const RETENTION_HOURS: u32 = 24;
/// The highest retention, in hours.
pub const MAX_RETENTION_HOURS: u32 = 8_760;
/// Fan-out consumers that a stream may have.
pub const FAN_OUT_CONSUMERS: usize = 20;
/// Bytes of a PUT payload unit, by which provisioned streams are billed.
pub const PUT_UNIT_BYTES: u64 = 25 * 1024;
