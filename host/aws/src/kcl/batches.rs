//! The records of a message as batches of bounded size, one after the other in the same memory.

use std::sync::Arc;

use base64_simd::STANDARD;
use paceline_pipeline::model::{Batch, BatchLimits, NotASequenceNumber, Record, RecordPosition, SequenceNumber, Span};

use super::loose::Loose;
use super::protocol::Record as DaemonRecord;

/// Makes batches of a shard's records.
#[derive(Debug)]
pub struct Batches {
    shard: Arc<str>,
    limits: BatchLimits,
    /// A batch whose memory is used again.
    spare: Option<Batch>,
}

impl Batches {
    /// `stream` and `shard` are names; together they are the shard's name in dedup state and dead letters.
    pub fn new(stream: &str, shard: &str, limits: BatchLimits) -> Self {
        Self { shard: Arc::from(format!("{stream}/{shard}")), limits, spare: None }
    }

    /// The shard's name.
    pub fn shard(&self) -> &str {
        &self.shard
    }

    /// A batch of the first of these records, which are taken from the slice; `None` if there are none. A record without a
    /// valid sequence number is an error: without its position it can't even become a dead letter.
    pub fn next(&mut self, records: &mut &[DaemonRecord<'_>]) -> Result<Option<Batch>, NotASequenceNumber> {
        if records.is_empty() {
            return Ok(None);
        }
        let mut batch = self.spare.take().unwrap_or_else(|| Batch::new(Arc::clone(&self.shard)));
        batch.bytes.clear();
        batch.records.clear();
        batch.undecodable.clear();
        let mut payloads = 0;
        for record in records.iter().take(self.limits.max_records) {
            // An upper bound of the payload's length.
            let payload = if let Loose::Text(data) = &record.data { data.len() / 4 * 3 } else { 0 };
            if !batch.records.is_empty() && payloads + payload > self.limits.max_bytes {
                break;
            }
            payloads += payload;
            push(&mut batch, record)?;
        }
        *records = &records[batch.records.len()..];
        Ok(Some(batch))
    }

    /// Takes back a batch that is committed.
    pub fn reuse(&mut self, batch: Batch) {
        self.spare = Some(batch);
    }
}

fn push(batch: &mut Batch, record: &DaemonRecord<'_>) -> Result<(), NotASequenceNumber> {
    let sequence = record.sequence_number.parse()?;
    let position = RecordPosition { sequence, sub_sequence: sub_sequence(&record.sub_sequence_number)? };
    let payload = match &record.data {
        Loose::Text(data) => push_data(batch, data),
        Loose::Missing => batch.push_bytes(b""),
        other => {
            let why = format!("the data is {}, not a text in base64", other.kind());
            batch.undecodable.push((batch.records.len() as u32, why));
            batch.push_bytes(other.text().unwrap_or_default().as_bytes())
        }
    };
    let partition_key = record.partition_key.text().map(|key| batch.push_bytes(key.as_bytes()));
    let arrival_ms = record.approximate_arrival_timestamp.integer();
    batch.records.push(Record { payload, position, partition_key, arrival_ms, cut_from: None, redriven: None });
    Ok(())
}

/// Appends a record's data, decoded; as it is if it is not base64.
fn push_data(batch: &mut Batch, data: &str) -> Span {
    let start = batch.bytes.len();
    match STANDARD.decode_append(data, &mut batch.bytes) {
        Ok(()) => {
            let end = u32::try_from(batch.bytes.len()).expect("a batch holds less than 4 GiB");
            Span { start: start as u32, end }
        }
        Err(_) => {
            batch.bytes.truncate(start);
            batch.undecodable.push((batch.records.len() as u32, "the data is not base64".to_owned()));
            batch.push_bytes(data.as_bytes())
        }
    }
}

/// The index in an aggregate; 0 where there is none.
fn sub_sequence(value: &Loose<'_>) -> Result<u64, NotASequenceNumber> {
    if *value == Loose::Missing {
        return Ok(0);
    }
    let number: SequenceNumber = value.to_string().parse()?;
    Ok(number.to_u64().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::protocol::{Message, read};
    use super::*;

    #[test]
    fn records_are_split_into_batches_and_none_is_left_over() {
        let record = |number: usize, data: &str| {
            format!(
                r#"{{"action":"record","data":"{data}","partitionKey":null,"sequenceNumber":"{number}","subSequenceNumber":{number}}}"#
            )
        };
        let data = ["QUFB", "not base64", "QkJC", "QQ==", "Q0ND"];
        let all: Vec<_> = data.iter().enumerate().map(|(number, data)| record(number, data)).collect();
        let line = format!(r#"{{"action":"processRecords","records":[{}]}}"#, all.join(","));
        let Ok(Message::ProcessRecords { records, .. }) = read(line.as_bytes()) else { panic!("{line}") };
        let payloads = |limits: BatchLimits| {
            let mut batches = Batches::new("s", "shardId-0", limits);
            let (mut rest, mut found) = (&records[..], Vec::new());
            while let Some(batch) = batches.next(&mut rest).unwrap() {
                let payload = |n| String::from_utf8(batch.payload(n).to_vec()).unwrap();
                let all: Vec<_> = (0..batch.records.len()).map(payload).collect();
                found.push((all.join(","), batch.undecodable.len()));
                batches.reuse(batch);
            }
            found
        };
        let limits = BatchLimits::default();
        assert_eq!(payloads(limits.clone()), [("AAA,not base64,BBB,A,CCC".to_owned(), 1)]);
        let few = BatchLimits { max_records: 2, ..limits.clone() };
        assert_eq!(payloads(few), [("AAA,not base64".to_owned(), 1), ("BBB,A".to_owned(), 0), ("CCC".to_owned(), 0)]);
        let small = BatchLimits { max_bytes: 6, ..limits };
        assert_eq!(
            payloads(small),
            [("AAA".to_owned(), 0), ("not base64".to_owned(), 1), ("BBB,A".to_owned(), 0), ("CCC".to_owned(), 0)]
        );
    }

    #[test]
    fn a_record_is_read_whatever_the_types_of_its_metadata() {
        let sequence = "49545115243490985018280067714973144582180062593244200961";
        let line = format!(
            r#"{{"action":"processRecords","records":[
                {{"data":"QUFB","sequenceNumber":{sequence},"subSequenceNumber":"3","partitionKey":17,"new":[1],
                  "approximateArrivalTimestamp":"1620566842971"}},
                {{"data":{{"of":1}},"sequenceNumber":"2","subSequenceNumber":null,"partitionKey":{{}},
                  "approximateArrivalTimestamp":1.5}},
                {{"data":null,"sequenceNumber":"3"}}]}}"#
        );
        let Ok(Message::ProcessRecords { records, .. }) = read(line.as_bytes()) else { panic!("{line}") };
        let batch = Batches::new("s", "shardId-0", BatchLimits::default()).next(&mut &records[..]).unwrap().unwrap();
        let first = &batch.records[0];
        assert_eq!((first.position.sequence.to_string(), first.position.sub_sequence), (sequence.to_owned(), 3));
        assert_eq!(first.partition_key.map(|key| batch.slice(key)), Some(&b"17"[..]));
        assert_eq!(batch.records.iter().map(|record| record.arrival_ms).collect::<Vec<_>>(), [None; 3]);
        assert_eq!(batch.undecodable, [(1, "the data is an object, not a text in base64".to_owned())]);
        assert_eq!((batch.payload(0), batch.payload(2)), (&b"AAA"[..], &b""[..]));
        for wrong in ["-1", "[1]", "1.5", "\"three\""] {
            let line = format!(
                r#"{{"action":"processRecords","records":[{{"sequenceNumber":"1","subSequenceNumber":{wrong}}}]}}"#
            );
            let Ok(Message::ProcessRecords { records, .. }) = read(line.as_bytes()) else { panic!("{line}") };
            let batch = Batches::new("s", "shardId-0", BatchLimits::default()).next(&mut &records[..]);
            assert!(batch.is_err(), "without its position a record can't be processed: {wrong}");
        }
    }
}
