//! A batch: records of one shard, in order, and how far the shard is read when they are done.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::dead_letter::DeadLetter;
use crate::position::{RecordPosition, SequenceNumber};

/// A stretch of [`Batch::bytes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Its first byte.
    pub start: u32,
    /// The byte after its last.
    pub end: u32,
}

/// A record as it came.
#[derive(Clone, Debug)]
pub struct Record {
    /// The payload, in the batch's bytes.
    pub payload: Span,
    /// Where it stands in its shard.
    pub position: RecordPosition,
    /// The partition key, in the batch's bytes; files have none.
    pub partition_key: Option<Span>,
    /// When the stream took it, in milliseconds since 1970; files don't know.
    pub arrival_ms: Option<i64>,
    /// The length of the payload as it came, where it was too long to be kept whole.
    pub cut_from: Option<u64>,
    /// The dead letter that it was, when it is driven through again.
    pub redriven: Option<Arc<DeadLetter>>,
}

/// How far a shard has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Files: the byte at which to go on. Streams: the last record that is done; 0 where there is none yet.
    pub sequence: SequenceNumber,
    /// By what another file or stream of the same name is told apart: a SHA-256 of a file's bytes before the checkpoint,
    /// of what a stream is.
    pub fingerprint: Option<[u8; 32]>,
    /// Streams: all that arrived before is done, in milliseconds since 1970 by the stream's clock.
    pub arrival_ms: Option<i64>,
    /// Streams: the shard is read to its end.
    pub ended: bool,
}

/// Records of one shard, in order.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The shard.
    pub shard: Arc<str>,
    /// All records' payloads and keys.
    pub bytes: Vec<u8>,
    /// The records.
    pub records: Vec<Record>,
    /// Records whose data could not be decoded, ascending, and why; their payload is the data as it came.
    pub undecodable: Vec<(u32, String)>,
    /// How far the shard is read when this batch is done; nothing where the sender keeps count.
    pub checkpoint: Option<Checkpoint>,
}

impl Batch {
    /// An empty batch.
    pub fn new(shard: Arc<str>) -> Self {
        Self { shard, bytes: Vec::new(), records: Vec::new(), undecodable: Vec::new(), checkpoint: None }
    }

    /// Some of its bytes.
    pub fn slice(&self, span: Span) -> &[u8] {
        &self.bytes[span.start as usize..span.end as usize]
    }

    /// A record's payload.
    pub fn payload(&self, record: usize) -> &[u8] {
        self.slice(self.records[record].payload)
    }

    /// Adds bytes.
    pub fn push_bytes(&mut self, bytes: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Span { start: start as u32, end: u32::try_from(self.bytes.len()).expect("a batch holds less than 4 GiB") }
    }

    /// Leaves out the first records, which are done. Their bytes stay.
    pub fn skip(&mut self, records: usize) {
        self.records.drain(..records);
        self.undecodable.retain_mut(|(record, _)| {
            let stays = *record as usize >= records;
            *record = record.saturating_sub(records as u32);
            stays
        });
    }

    /// Adds a plain record.
    pub fn push(&mut self, payload: &[u8], sequence: SequenceNumber) {
        let payload = self.push_bytes(payload);
        self.records.push(Record {
            payload,
            position: RecordPosition { sequence, sub_sequence: 0 },
            partition_key: None,
            arrival_ms: None,
            cut_from: None,
            redriven: None,
        });
    }
}

/// How large a batch may get.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct BatchLimits {
    /// Records of a batch.
    pub max_records: usize,
    /// Bytes of a batch's payloads; one record may go beyond.
    pub max_bytes: usize,
    /// How long the first record of a batch waits for others, in milliseconds.
    pub max_wait_ms: u64,
    /// Bytes of one payload. A longer one is a dead letter. An Alleycat message has under 250.
    pub max_payload_bytes: usize,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { max_records: 10_000, max_bytes: 6 << 20, max_wait_ms: 1_000, max_payload_bytes: 256 << 10 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_is_left_out() {
        let mut batch = Batch::new("s".into());
        (0..5_u64).for_each(|number| batch.push(b"x", number.into()));
        batch.undecodable = vec![(1, "a".to_owned()), (3, "b".to_owned())];
        batch.skip(2);
        assert_eq!(batch.records[0].position.sequence, 2.into());
        assert_eq!(batch.undecodable, [(1, "b".to_owned())]);
    }
}
