//! How records are sent.

use std::time::Duration;

/// The settings of a producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerConfig {
    /// In which order records are sent.
    pub order: Order,
    /// Whether records are packed into aggregates of the Kinesis Producer Library: many in one stream record.
    pub aggregate: bool,
    /// How long a record may wait for its aggregate to become full.
    pub linger: Duration,
    /// When to give up while the stream accepts no record at all.
    pub give_up_after: Duration,
    /// Bytes of records in memory, waiting and in flight. [`Producer::put`](super::Producer::put) waits beyond that.
    pub buffer_bytes: usize,
    /// The stream's limit for one record with its partition key: 1 MiB unless it is configured otherwise.
    pub record_bytes: usize,
    /// Stream records per second and shard.
    pub shard_records_per_second: u32,
    /// Bytes per second and shard.
    pub shard_bytes_per_second: u32,
    /// Requests in flight at once.
    pub requests: usize,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            order: Order::ByKey,
            aggregate: false,
            // The KPL's default.
            linger: Duration::from_millis(100),
            give_up_after: Duration::from_secs(60),
            buffer_bytes: 32 << 20,
            record_bytes: 1 << 20,
            // Kinesis's limits for all producers together.
            shard_records_per_second: 1_000,
            shard_bytes_per_second: 1_000_000,
            requests: 8,
        }
    }
}

/// In which order records are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Records of one partition key arrive in the order in which they were put, except for copies of earlier ones.
    ///
    /// One request is in flight per shard, and records that failed are sent before later ones. `PutRecords` promises no
    /// order within a request and may accept a record but not the one before it. So no request has two records of one
    /// key, and no two aggregates for one shard.
    #[default]
    ByKey,
    /// No order, for keys without meaning.
    None,
}
