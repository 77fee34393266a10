//! The records of an event that came with the record of a batch, in a bucket.

use std::borrow::Cow;

use paceline_pipeline::model::{Batch, NotASequenceNumber, Record, RecordPosition};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{base64, kpl};

/// The event can't be read.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// It is not an event of Kinesis.
    #[error("it is not JSON as a function gets it from an event source mapping for Kinesis")]
    Json(#[from] serde_json::Error),
    /// A record has no position.
    #[error("a record has no position")]
    Position(#[from] NotASequenceNumber),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event<'a> {
    #[serde(borrow)]
    records: Vec<EventRecord<'a>>,
}

#[derive(Deserialize)]
struct EventRecord<'a> {
    #[serde(borrow)]
    kinesis: StreamPart<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StreamPart<'a> {
    #[serde(borrow)]
    partition_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    sequence_number: Cow<'a, str>,
    #[serde(borrow)]
    data: Cow<'a, str>,
    /// In seconds since 1970.
    approximate_arrival_timestamp: Option<f64>,
}

/// Reads an event, which is JSON or a text of JSON. An aggregate is taken apart.
pub(super) fn read(payload: &RawValue, shard: &str) -> Result<Batch, PayloadError> {
    let text: Cow<'_, str> = match payload.get().starts_with('"') {
        true => Cow::Owned(serde_json::from_str(payload.get())?),
        false => Cow::Borrowed(payload.get()),
    };
    let event: Event<'_> = serde_json::from_str(&text)?;
    let mut batch = Batch::new(shard.into());
    for EventRecord { kinesis: part } in event.records {
        let sequence = part.sequence_number.parse()?;
        let payload = match base64::decode(part.data.as_bytes()) {
            Ok(bytes) => batch.push_bytes(&bytes),
            Err(error) => {
                batch.undecodable.push((batch.records.len() as u32, error.to_string()));
                batch.push_bytes(part.data.as_bytes())
            }
        };
        let partition_key = part.partition_key.map(|key| batch.push_bytes(key.as_bytes()));
        let arrival_ms = part.approximate_arrival_timestamp.map(|seconds| (seconds * 1_000.0).round() as i64);
        let position = RecordPosition { sequence, sub_sequence: 0 };
        batch.records.push(Record { payload, position, partition_key, arrival_ms, cut_from: None, redriven: None });
    }
    batch.put_in_order();
    kpl::unpack(&mut batch, None);
    Ok(batch)
}
