//! The records of a message as batches of bounded size, one after the other in the same memory.

use std::sync::Arc;

use base64_simd::STANDARD;
use paceline_pipeline::model::RecordPosition;
use paceline_pipeline::model::{Batch, BatchLimits, Span};

use super::protocol::Record;
use crate::Failure;

/// Fills the batch with the first of these records, at least one; how many they are.
pub(crate) fn fill(batch: &mut Batch, records: &[Record<'_>], limits: &BatchLimits) -> Result<usize, Failure> {
    batch.bytes.clear();
    batch.records.clear();
    batch.undecodable.clear();
    let mut payloads = 0;
    for record in records.iter().take(limits.max_records) {
        let data = record.data.as_deref().unwrap_or_default();
        // The most that it can come to.
        let payload = data.len() / 4 * 3;
        if !batch.records.is_empty() && payloads + payload > limits.max_bytes {
            break;
        }
        payloads += payload;
        push(batch, record, data)?;
    }
    Ok(batch.records.len())
}

fn push(batch: &mut Batch, record: &Record<'_>, data: &str) -> Result<(), Failure> {
    let sequence = record.sequence_number.parse().map_err(|error| format!("a record of the daemon's: {error}"))?;
    let start = batch.bytes.len();
    let payload = match STANDARD.decode_append(data, &mut batch.bytes) {
        Ok(()) => {
            let end = u32::try_from(batch.bytes.len()).expect("a batch holds less than 4 GiB");
            Span { start: start as u32, end }
        }
        Err(_) => {
            batch.bytes.truncate(start);
            batch.undecodable.push((batch.records.len() as u32, "its data is not base64".to_owned()));
            batch.push_bytes(data.as_bytes())
        }
    };
    let partition_key = record.partition_key.as_ref().map(|key| batch.push_bytes(key.as_bytes()));
    let position = RecordPosition { sequence, sub_sequence: record.sub_sequence_number.unwrap_or(0) };
    let arrival_ms = record.approximate_arrival_timestamp;
    batch.records.push(batch::Record { payload, position, partition_key, arrival_ms, cut_from: None, redriven: None });
    Ok(())
}

/// An empty batch of a shard.
pub(crate) fn of_shard(stream: &str, shard: &str) -> Batch {
    Batch::new(Arc::from(format!("{stream}/{shard}")))
}

#[cfg(test)]
mod tests {
    use super::super::protocol::{Message, read};
    use super::*;

    #[test]
    fn records_are_cut_into_batches_and_nothing_is_left_over() {
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
            let mut batch = of_shard("s", "shardId-0");
            let (mut rest, mut found) = (&records[..], Vec::new());
            while !rest.is_empty() {
                let taken = fill(&mut batch, rest, &limits).unwrap();
                let payload = |n| String::from_utf8(batch.payload(n).to_vec()).unwrap();
                found.push(((0..taken).map(payload).collect::<Vec<_>>().join(","), batch.undecodable.len()));
                rest = &rest[taken..];
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
}
