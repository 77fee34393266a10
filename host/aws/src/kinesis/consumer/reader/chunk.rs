//! Some records of a shard, as a request returns them.

use aws_sdk_kinesis::types::{ChildShard, Record};

use crate::kinesis::consumer::core::{ChunkTimes, Received};
use crate::kinesis::shard::Shard;

/// Some records of a shard, in order.
#[derive(Debug)]
pub(in crate::kinesis::consumer) struct RecordChunk {
    pub(in crate::kinesis::consumer) records: Vec<Record>,
    /// Bytes of their data.
    pub(in crate::kinesis::consumer) bytes: usize,
    /// The distance from their end to the newest record of the shard, by the service.
    pub(in crate::kinesis::consumer) behind_ms: i64,
    /// When they were requested, by the service's clock.
    pub(super) requested_ms: i64,
    /// At the end of the shard: its children.
    pub(in crate::kinesis::consumer) children: Option<Vec<Shard>>,
}

impl RecordChunk {
    pub(super) fn new(records: Vec<Record>, behind_ms: i64, requested_ms: i64) -> Self {
        let bytes = records.iter().map(|record| record.data().as_ref().len()).sum();
        Self { records, bytes, behind_ms, requested_ms, children: None }
    }

    /// Marks the end of the shard. A child that can't be read is found by listing the shards.
    pub(super) fn at_end(self, children: &[ChildShard]) -> Self {
        Self { children: Some(children.iter().filter_map(|child| Shard::from_child(child).ok()).collect()), ..self }
    }

    pub(in crate::kinesis::consumer) fn times(&self) -> ChunkTimes {
        ChunkTimes {
            first_ms: self.records.first().and_then(arrival_ms),
            last_ms: self.records.last().and_then(arrival_ms),
            behind_ms: self.behind_ms,
            requested_ms: self.requested_ms,
        }
    }

    /// What the status shows of it.
    pub(in crate::kinesis::consumer) fn received(&self) -> Received {
        let Self { bytes, behind_ms, .. } = *self;
        Received { records: self.records.len(), bytes, behind_ms, first_ms: self.times().first_ms }
    }
}

/// The arrival of a record, in milliseconds since 1970 by the service's clock.
pub(in crate::kinesis::consumer) fn arrival_ms(record: &Record) -> Option<i64> {
    record.approximate_arrival_timestamp()?.to_millis().ok()
}
