//! A batch: records of one shard, in order.

use std::sync::Arc;
use std::time::Duration;

use paceline_json::Span;
use serde::Deserialize;

use super::checkpoint::Checkpoint;
use super::dead_letter::{DeadLetter, Reason};
use super::position::{RecordPosition, SequenceNumber};
use super::record::Record;

/// Records of one shard, in order.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The shard's name in checkpoints, dedup state and dead letters.
    pub shard: Arc<str>,
    /// The payloads and keys of all records.
    pub bytes: Vec<u8>,
    /// The records, in the order of their positions.
    pub records: Vec<Record>,
    /// Indexes of records whose data could not be decoded, ascending, with the reason. Their payload is the raw data.
    pub undecodable: Vec<(u32, String)>,
    /// Indexes of records that belong to other shards, ascending. Their producer may send them there again.
    pub misrouted: Vec<u32>,
    /// Whether every misrouted record becomes a dead letter. Otherwise only those do of which dedup would not recognize a
    /// repetition.
    pub rejects_misrouted: bool,
    /// How far the shard is read once this batch is committed. `None` where the sender tracks that.
    pub checkpoint: Option<Checkpoint>,
}

impl Batch {
    /// An empty batch.
    pub fn new(shard: Arc<str>) -> Self {
        Self {
            shard,
            bytes: Vec::new(),
            records: Vec::new(),
            undecodable: Vec::new(),
            misrouted: Vec::new(),
            rejects_misrouted: false,
            checkpoint: None,
        }
    }

    /// The span of log lines about it: its shard, and the sequence number of its first record. It is at the highest level, so
    /// that no filter leaves it out.
    pub fn span(&self) -> tracing::Span {
        let first = self.records.first().map(|record| tracing::field::display(record.position.sequence));
        tracing::error_span!("batch", shard = &*self.shard, batch = first)
    }

    /// The bytes of a span.
    pub fn slice(&self, span: Span) -> &[u8] {
        &self.bytes[span.start as usize..span.end as usize]
    }

    /// The payload of the record at this index.
    pub fn payload(&self, record: usize) -> &[u8] {
        self.slice(self.records[record].payload)
    }

    /// Appends bytes. Panics at 4 GiB.
    pub fn push_bytes(&mut self, bytes: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Span { start: start as u32, end: u32::try_from(self.bytes.len()).expect("a batch holds less than 4 GiB") }
    }

    /// Appends a record without key and arrival.
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

    /// Puts the records into the order of their positions, and removes those that come again. Returns how many; `None` if
    /// nothing was to be done. Dedup by sequence relies on that order: whoever takes records from a sender that does not
    /// promise it calls this.
    pub fn put_in_order(&mut self) -> Option<usize> {
        if self.records.is_sorted_by(|one, other| one.position < other.position) {
            return None;
        }
        let mut order: Vec<u32> = (0..self.records.len() as u32).collect();
        order.sort_by_key(|&record| self.records[record as usize].position);
        order.dedup_by_key(|record| self.records[*record as usize].position);
        let mut index = vec![None; self.records.len()];
        (0..).zip(&order).for_each(|(new, &old)| index[old as usize] = Some(new));
        let repeated = self.records.len() - order.len();
        self.records = order.iter().map(|&record| self.records[record as usize].clone()).collect();
        let moved = |record: u32| index[record as usize];
        let undecodable = std::mem::take(&mut self.undecodable).into_iter();
        self.undecodable = undecodable.filter_map(|(record, why)| Some((moved(record)?, why))).collect();
        self.undecodable.sort_by_key(|(record, _)| *record);
        self.misrouted = self.misrouted.iter().filter_map(|record| moved(*record)).collect();
        self.misrouted.sort_unstable();
        Some(repeated)
    }

    /// Removes the first records. Their bytes stay.
    pub fn skip(&mut self, records: usize) {
        self.records.drain(..records);
        self.undecodable.retain_mut(|(record, _)| {
            let stays = *record as usize >= records;
            *record = record.saturating_sub(records as u32);
            stays
        });
        self.misrouted.retain_mut(|record| {
            let stays = *record as usize >= records;
            *record = record.saturating_sub(records as u32);
            stays
        });
    }

    /// Keeps the first records only. The bytes of the others stay.
    pub fn truncate(&mut self, records: usize) {
        self.records.truncate(records);
        self.undecodable.retain(|(record, _)| (*record as usize) < records);
        self.misrouted.retain(|record| (*record as usize) < records);
    }

    /// The dead letter of the record at this index.
    pub fn dead_letter(&self, record: u32, reason: Reason) -> DeadLetter {
        let found = &self.records[record as usize];
        // A redriven record that fails again keeps its identity.
        if let Some(before) = &found.redriven {
            return DeadLetter { reason, ..DeadLetter::clone(before) };
        }
        DeadLetter {
            id: DeadLetter::id_of(&self.shard, found.position),
            shard: self.shard.to_string(),
            position: found.position,
            partition_key: found.partition_key.map(|key| String::from_utf8_lossy(self.slice(key)).into_owned()),
            arrival_ms: found.arrival_ms,
            payload: self.slice(found.payload).to_vec(),
            cut_from: found.cut_from,
            reason,
            redrive_sequence: None,
            folded: Vec::new(),
            unsure: false,
        }
    }
}

/// How large a batch may get.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct BatchLimits {
    /// Records of a batch.
    pub max_records: usize,
    /// Bytes of a batch's payloads. One record may exceed it.
    pub max_bytes: usize,
    /// How long the first record of a batch waits for more, in milliseconds.
    pub max_wait_ms: u64,
    /// Bytes of one payload. A longer one becomes a dead letter. An Alleycat message has fewer than 250.
    pub max_payload_bytes: usize,
}

impl BatchLimits {
    /// How long the first record of a batch waits for more.
    pub(crate) fn max_wait(&self) -> Duration {
        Duration::from_millis(self.max_wait_ms)
    }
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
    fn records_are_put_in_order_with_what_belongs_to_them() {
        let mut batch = Batch::new("s".into());
        for number in [1_u64, 4, 2, 4, 3, 1] {
            batch.push(number.to_string().as_bytes(), number.into());
        }
        batch.undecodable = vec![(1, "four".to_owned()), (2, "two".to_owned()), (5, "one again".to_owned())];
        batch.misrouted = vec![0, 4];
        assert_eq!(batch.put_in_order(), Some(2));
        let payloads: Vec<&[u8]> = (0..batch.records.len()).map(|record| batch.payload(record)).collect();
        assert_eq!(payloads, [b"1", b"2", b"3", b"4"]);
        assert_eq!(batch.undecodable, [(1, "two".to_owned()), (3, "four".to_owned())]);
        assert_eq!(batch.misrouted, [0, 2]);
        assert_eq!(batch.put_in_order(), None);
    }

    #[test]
    fn skipped_records_leave_the_indexes_of_the_others_right() {
        let mut batch = Batch::new("s".into());
        (0..5_u64).for_each(|number| batch.push(b"x", number.into()));
        batch.undecodable = vec![(1, "a".to_owned()), (3, "b".to_owned())];
        batch.misrouted = vec![0, 2, 4];
        batch.skip(2);
        assert_eq!(batch.records[0].position.sequence, 2.into());
        assert_eq!(batch.undecodable, [(1, "b".to_owned())]);
        assert_eq!(batch.misrouted, [0, 2]);
        batch.truncate(2);
        assert_eq!((batch.records.len(), batch.misrouted, batch.undecodable.len()), (2, vec![0], 1));
    }
}
