//! Dead letters, driven through again.

use std::sync::Arc;

use super::{Source, SourceError};
use crate::batch::{Batch, BatchLimits, Checkpoint, Record};
use crate::dead_letter::DeadLetter;
use crate::position::RecordPosition;

/// Dead letters, as a shard of their own whose sequence numbers are their tickets.
///
/// At its old place a record would be behind the fences: its neighbours went on without it. Its ticket is new to them,
/// and stays the same if this run dies and is started again.
#[derive(Debug)]
pub struct Redrive {
    shard: Arc<str>,
    dead_letters: std::vec::IntoIter<DeadLetter>,
}

impl Redrive {
    /// Drives these letters through, which have tickets and come in their order.
    pub fn new(dead_letters: Vec<DeadLetter>) -> Self {
        Self { shard: "redrive".into(), dead_letters: dead_letters.into_iter() }
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
            let redrive_sequence =
                letter.redrive_sequence.ok_or_else(|| SourceError(format!("the dead letter {} has no ticket", letter.id)))?;
            let payload = batch.push_bytes(&letter.payload);
            let partition_key = letter.partition_key.as_ref().map(|key| batch.push_bytes(key.as_bytes()));
            batch.records.push(Record {
                payload,
                position: RecordPosition { sequence: redrive_sequence.into(), sub_sequence: 0 },
                partition_key,
                arrival_ms: letter.arrival_ms,
                cut_from: letter.cut_from,
                redriven: Some(Arc::new(letter)),
            });
        }
        Ok((!batch.records.is_empty()).then_some(batch))
    }
}
