//! Dead letters, processed again.

use std::sync::Arc;

use super::{Source, SourceError};
use crate::model::{Batch, BatchLimits, Checkpoint, DeadLetter, REDRIVE_SHARD, Record, RecordPosition};

/// Dead letters as a shard whose sequence numbers are the letters' redrive sequences.
///
/// At its original position a record would be a duplicate: its neighbours were folded without it. Its redrive sequence is
/// new to dedup, and stays the same in every redrive of the record.
#[derive(Debug)]
pub struct Redrive {
    shard: Arc<str>,
    dead_letters: std::vec::IntoIter<DeadLetter>,
}

impl Redrive {
    /// A source of these letters, which have redrive sequences.
    pub fn new(dead_letters: Vec<DeadLetter>) -> Self {
        Self { shard: REDRIVE_SHARD.into(), dead_letters: dead_letters.into_iter() }
    }
}

impl Source for Redrive {
    fn shard(&self) -> &Arc<str> {
        &self.shard
    }

    fn resume(&mut self, _: Option<&Checkpoint>) -> Result<(), SourceError> {
        Ok(())
    }

    fn next(&mut self, limits: &BatchLimits) -> Result<Option<Batch>, SourceError> {
        let mut batch = Batch::new(Arc::clone(&self.shard));
        while batch.records.len() < limits.max_records && batch.bytes.len() < limits.max_bytes {
            let Some(letter) = self.dead_letters.next() else { break };
            let sequence = letter.redrive_sequence.ok_or_else(|| {
                SourceError::Unusable(format!("the dead letter {} has no redrive sequence", letter.id))
            })?;
            let payload = batch.push_bytes(&letter.payload);
            let partition_key = letter.partition_key.as_ref().map(|key| batch.push_bytes(key.as_bytes()));
            batch.records.push(Record {
                payload,
                position: RecordPosition { sequence: sequence.into(), sub_sequence: 0 },
                partition_key,
                arrival_ms: letter.arrival_ms,
                cut_from: letter.cut_from,
                redriven: Some(Arc::new(letter)),
            });
        }
        Ok((!batch.records.is_empty()).then_some(batch))
    }
}
