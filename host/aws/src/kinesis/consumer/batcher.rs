//! From records to batches: by count, bytes and time.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::types::Record as StreamRecord;
use paceline_pipeline::model::{Batch, BatchLimits, Checkpoint, NotASequenceNumber, Record, RecordPosition, Span};
use tokio::time::Instant;

use super::reader::arrival_ms;
use crate::kinesis::config::Misrouted;
use crate::kpl::{self, OfOtherShards};

/// Accumulates the records of one shard into batches.
#[derive(Debug)]
pub(super) struct Batcher {
    limits: BatchLimits,
    /// The first and the last hash key of the shard.
    hash_range: (u128, u128),
    misrouted: Misrouted,
    batch: Batch,
    /// When the first record has waited long enough; `None` while there is nothing to commit.
    due: Option<Instant>,
}

impl Batcher {
    pub(super) fn new(shard: Arc<str>, hash_range: (u128, u128), limits: BatchLimits, misrouted: Misrouted) -> Self {
        Self { limits, hash_range, misrouted, batch: empty(shard, misrouted), due: None }
    }

    /// Adds a record; of an aggregate, its user records. Returns how many user records belong to other shards.
    pub(super) fn push(&mut self, record: &StreamRecord) -> Result<usize, NotASequenceNumber> {
        let batch = &mut self.batch;
        let from = batch.records.len();
        let Record { position: RecordPosition { sequence, .. }, arrival_ms, .. } = *push(batch, record)?;
        batch.checkpoint = Some(Checkpoint { sequence, arrival_ms, ..Checkpoint::default() });
        self.due.get_or_insert_with(|| Instant::now() + Duration::from_millis(self.limits.max_wait_ms));
        let of_other_shards = match self.misrouted {
            Misrouted::Keep | Misrouted::DeadLetter => OfOtherShards::Mark,
            Misrouted::Drop => OfOtherShards::LeaveOut,
        };
        Ok(kpl::unpack_from(batch, from, Some(self.hash_range), of_other_shards))
    }

    /// Whether there is no room for another record.
    pub(super) fn is_full(&self) -> bool {
        self.batch.records.len() >= self.limits.max_records || self.batch.bytes.len() >= self.limits.max_bytes
    }

    /// When the first record has waited long enough; `None` while there is nothing to commit.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes the accumulated batch and begins the next. A batch without records still has a checkpoint: aggregates may
    /// be empty.
    pub(super) fn take(&mut self) -> Option<Batch> {
        self.due.take()?;
        let empty = empty(Arc::clone(&self.batch.shard), self.misrouted);
        Some(std::mem::replace(&mut self.batch, empty))
    }
}

/// Adds a record to a batch as it is: an aggregate stays one.
pub(super) fn push<'b>(batch: &'b mut Batch, record: &StreamRecord) -> Result<&'b Record, NotASequenceNumber> {
    let sequence = record.sequence_number().parse()?;
    let payload = batch.push_bytes(record.data().as_ref());
    let partition_key = record.partition_key().map(|key| batch.push_bytes(key.as_bytes()));
    batch.records.push(Record {
        payload,
        position: RecordPosition { sequence, sub_sequence: 0 },
        partition_key: partition_key.filter(|key: &Span| key.start < key.end),
        arrival_ms: arrival_ms(record),
        cut_from: None,
        redriven: None,
    });
    Ok(batch.records.last().expect("it was added"))
}

fn empty(shard: Arc<str>, misrouted: Misrouted) -> Batch {
    let mut batch = Batch::new(shard);
    batch.rejects_misrouted = misrouted == Misrouted::DeadLetter;
    batch
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::primitives::{Blob, DateTime};

    use super::*;

    fn record(sequence: &str) -> StreamRecord {
        let record = StreamRecord::builder().sequence_number(sequence).partition_key("key").data(Blob::new("data"));
        record.approximate_arrival_timestamp(DateTime::from_millis(7_000)).build().unwrap()
    }

    fn batcher(max_records: usize) -> Batcher {
        Batcher::new(
            "races/shard".into(),
            (0, u128::MAX),
            BatchLimits { max_records, ..BatchLimits::default() },
            Misrouted::Keep,
        )
    }

    #[tokio::test]
    async fn a_batch_has_the_position_of_its_last_record_as_checkpoint() {
        let mut batcher = batcher(2);
        assert!(batcher.due().is_none() && batcher.take().is_none());
        assert_eq!(batcher.push(&record("41")), Ok(0));
        assert!(!batcher.is_full() && batcher.due().is_some());
        assert_eq!(batcher.push(&record("42")), Ok(0));
        assert!(batcher.is_full());
        let batch = batcher.take().unwrap();
        let checkpoint = Checkpoint { sequence: 42.into(), arrival_ms: Some(7_000), ..Checkpoint::default() };
        assert_eq!((batch.checkpoint, batch.records.len()), (Some(checkpoint), 2));
        assert!(!batcher.is_full() && batcher.due().is_none());
    }

    #[tokio::test]
    async fn a_record_without_a_sequence_number_is_an_error() {
        let mut batcher = batcher(2);
        assert!(batcher.push(&record("after")).unwrap_err().to_string().contains("`after`"));
        assert!(batcher.take().is_none());
    }
}
