//! From records as they were read to batches: by count, bytes and time.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::types::Record;
use paceline_pipeline::model::{Batch, BatchLimits, Checkpoint, Span};
use paceline_pipeline::model::RecordPosition;
use tokio::time::Instant;

use crate::kpl;

/// A batch that is being gathered.
#[derive(Debug)]
pub(super) struct Batcher {
    limits: BatchLimits,
    /// The hashes that the shard takes.
    hashes: (u128, u128),
    batch: Batch,
    /// When it has waited long enough; nothing while it is empty.
    due: Option<Instant>,
}

impl Batcher {
    pub(super) fn new(shard: Arc<str>, hashes: (u128, u128), limits: BatchLimits) -> Self {
        Self { limits, hashes, batch: Batch::new(shard), due: None }
    }

    /// Adds a record, and of an aggregate its user records. Returns how many of those belong to other shards, and were
    /// left out. An error says that the service gives no sequence number.
    pub(super) fn push(&mut self, record: &Record) -> Result<usize, String> {
        let sequence = record.sequence_number().parse().map_err(|error| format!("{error}"))?;
        let arrival_ms = record.approximate_arrival_timestamp().and_then(|time| time.to_millis().ok());
        let batch = &mut self.batch;
        let payload = batch.push_bytes(record.data().as_ref());
        let partition_key = record.partition_key().map(|key| batch.push_bytes(key.as_bytes()));
        let from = batch.records.len();
        batch.records.push(batch::Record {
            payload,
            position: RecordPosition { sequence, sub_sequence: 0 },
            partition_key: partition_key.filter(|key: &Span| key.start < key.end),
            arrival_ms,
            cut_from: None,
            redriven: None,
        });
        batch.checkpoint = Some(Checkpoint { sequence, arrival_ms, ..Checkpoint::default() });
        self.due.get_or_insert_with(|| Instant::now() + Duration::from_millis(self.limits.max_wait_ms));
        Ok(kpl::unpack_from(batch, from, Some(self.hashes)))
    }

    /// Whether there is no room for another record.
    pub(super) fn is_full(&self) -> bool {
        self.batch.records.len() >= self.limits.max_records || self.batch.bytes.len() >= self.limits.max_bytes
    }

    /// When it has waited long enough; nothing while there is nothing to be done.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// When its first record arrived in the stream.
    pub(super) fn oldest(&self) -> Option<i64> {
        self.batch.records.first().and_then(|record| record.arrival_ms)
    }

    /// What was gathered, and begins anew. A batch without records still has a checkpoint: aggregates may be empty.
    pub(super) fn take(&mut self) -> Option<Batch> {
        self.due.take()?;
        let empty = Batch::new(Arc::clone(&self.batch.shard));
        Some(std::mem::replace(&mut self.batch, empty))
    }
}
