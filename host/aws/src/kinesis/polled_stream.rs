//! A stream in another place than Kinesis, behind the requests of a consumer that polls: for tests without a service.

use std::fmt::Debug;

use async_trait::async_trait;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types::{ChildShard, HashKeyRange, Record};

use super::shard::Shard;

/// A stream that is polled as Kinesis is.
#[async_trait]
pub trait PolledStream: Debug + Send + Sync {
    /// The service's clock, in milliseconds since 1970.
    fn now_ms(&self) -> i64;

    /// The time of the stream's creation, in milliseconds since 1970, and the hours for which it keeps its records.
    async fn describe(&self) -> Result<(i64, i32), Refusal>;

    /// All shards that the stream still has.
    async fn list_shards(&self) -> Result<Vec<PolledShard>, Refusal>;

    /// An iterator for a shard.
    async fn get_iterator(&self, shard: &str, position: PolledFrom<'_>) -> Result<String, Refusal>;

    /// The next records of an iterator, at most so many.
    async fn get_records(&self, iterator: &str, limit: usize) -> Result<PolledRecords, Refusal>;
}

/// Where in a shard an iterator begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolledFrom<'a> {
    /// At the oldest record.
    TrimHorizon,
    /// At the first record that arrived at this time or later, in milliseconds since 1970.
    At(i64),
    /// At the record with this sequence number, or the first one after it.
    AtSequence(&'a str),
    /// After the record with this sequence number.
    After(&'a str),
}

/// A request that the stream refuses, as Kinesis expresses it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}")]
pub struct Refusal {
    /// Kinesis's name of the error, such as `ExpiredIteratorException`.
    pub code: &'static str,
    /// The HTTP status.
    pub status: u16,
}

/// A shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolledShard {
    /// Its id.
    pub id: String,
    /// The shards that it came from.
    pub parents: Vec<String>,
    /// The first and the last hash key.
    pub hash_range: (u128, u128),
    /// Whether it accepts no more records.
    pub closed: bool,
}

/// Records of a shard.
#[derive(Clone, Debug, Default)]
pub struct PolledRecords {
    /// In order.
    pub records: Vec<PolledRecord>,
    /// The iterator behind them; `None` at the end of the shard.
    pub next: Option<String>,
    /// The distance to the newest record, in milliseconds.
    pub behind_ms: i64,
    /// At the end of the shard: its children.
    pub children: Vec<PolledShard>,
}

/// A stream record.
#[derive(Clone, Debug)]
pub struct PolledRecord {
    /// Its sequence number.
    pub sequence: String,
    /// Its partition key.
    pub partition_key: String,
    /// Its payload.
    pub data: Vec<u8>,
    /// The time of its arrival, in milliseconds since 1970.
    pub arrival_ms: i64,
}

impl PolledShard {
    /// As a listing has it.
    pub(super) fn into_shard(self) -> Shard {
        let Self { id, parents, hash_range, closed } = self;
        Shard { id: id.into(), parents: parents.into_iter().map(Into::into).collect(), hash_range, closed }
    }

    /// As the end of its parent has it.
    fn into_child(self) -> ChildShard {
        let (first, last) = self.hash_range;
        let range = HashKeyRange::builder().starting_hash_key(first.to_string()).ending_hash_key(last.to_string());
        let child = ChildShard::builder().shard_id(self.id).set_parent_shards(Some(self.parents));
        child.hash_key_range(range.build().expect("it has both ends")).build().expect("it has an id and its parents")
    }
}

impl PolledRecords {
    /// As the SDK has them.
    pub(super) fn into_output(self) -> GetRecordsOutput {
        let record = |PolledRecord { sequence, partition_key, data, arrival_ms }: PolledRecord| {
            Record::builder()
                .sequence_number(sequence)
                .partition_key(partition_key)
                .data(Blob::new(data))
                .approximate_arrival_timestamp(DateTime::from_millis(arrival_ms))
                .build()
                .expect("it has every member")
        };
        GetRecordsOutput::builder()
            .set_records(Some(self.records.into_iter().map(record).collect()))
            .set_next_shard_iterator(self.next)
            .millis_behind_latest(self.behind_ms)
            .set_child_shards(Some(self.children.into_iter().map(PolledShard::into_child).collect()))
            .build()
            .expect("it has every member")
    }
}
