//! The messages of the MultiLangDaemon, and the answers of a process.

use paceline_aws::base64;
use paceline_pipeline::model::{RecordPosition, SequenceNumber};
use serde_json::{Value, json};

use super::leases::Progress;
use crate::plant::Plant;
use crate::time::time_ms;
use crate::world::World;

/// An answer.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// A message is processed.
    Status(String),
    /// A checkpoint is to be written; without a position, at the end of what was delivered.
    Checkpoint(Option<RecordPosition>),
}

/// The first message.
pub(super) fn initialize(world: &World, shard: usize, from: Progress) -> Value {
    let (sequence, sub_sequence) = match from {
        Progress::UpTo(position) => (position.sequence.to_string(), position.sub_sequence),
        Progress::Nothing | Progress::End => ("TRIM_HORIZON".to_owned(), 0),
    };
    let id = &world.stream.shards[shard].id;
    json!({ "action": "initialize", "shardId": id, "sequenceNumber": sequence, "subSequenceNumber": sub_sequence })
}

/// A message without anything but its name.
pub(super) fn bare(action: &str) -> Value {
    json!({ "action": action })
}

/// Records of a shard. Aggregates are unpacked.
pub(super) fn process_records(world: &World, records: &[usize]) -> Value {
    let behind_ms = records.last().map_or(0, |&last| world.now_ms() - world.stream.records[last].arrival_ms);
    let records: Vec<Value> = records.iter().map(|&at| record(world, at)).collect();
    json!({ "action": "processRecords", "records": records, "millisBehindLatest": behind_ms })
}

fn record(world: &World, at: usize) -> Value {
    let record = &world.stream.records[at];
    let RecordPosition { sequence, sub_sequence } = record.position;
    let is_undecodable = world.stream.shards[record.shard].raw[&sequence].is_undecodable;
    let data = match is_undecodable {
        true => undecodable(sequence),
        false => base64::encode(&record.message.payload).into(),
    };
    json!({
        "action": "record",
        "data": data,
        "partitionKey": record.message.racer.to_string(),
        "sequenceNumber": sequence.to_string(),
        "subSequenceNumber": if world.is_planted(Plant::SubSequenceIgnored) { 0 } else { sub_sequence },
        "approximateArrivalTimestamp": time_ms(record.arrival_ms),
    })
}

/// The data of a record that can't be decoded, the same at each delivery.
fn undecodable(sequence: SequenceNumber) -> Value {
    match sequence.to_u64().unwrap_or_default() / 10 % 3 {
        0 => Value::Null,
        1 => 7.into(),
        _ => "***".into(),
    }
}

/// What a daemon answers to a checkpoint: the class of its exception, if there was one.
pub(super) fn checkpoint(at: Option<RecordPosition>, error: Option<&str>) -> Value {
    json!({
        "action": "checkpoint",
        "sequenceNumber": at.map(|at| at.sequence.to_string()),
        "subSequenceNumber": at.map(|at| at.sub_sequence),
        "error": error,
    })
}

/// Parses an answer. `None` if it is none.
pub(super) fn parse(line: &[u8]) -> Option<Answer> {
    let answer: Value = serde_json::from_slice(line).ok()?;
    match answer.get("action")?.as_str()? {
        "status" => Some(Answer::Status(answer.get("responseFor")?.as_str()?.to_owned())),
        "checkpoint" => match (answer.get("sequenceNumber")?, answer.get("subSequenceNumber")?) {
            (Value::Null, Value::Null) => Some(Answer::Checkpoint(None)),
            (sequence, sub_sequence) => {
                let (sequence, sub_sequence) = (sequence.as_str()?.parse().ok()?, sub_sequence.as_u64()?);
                Some(Answer::Checkpoint(Some(RecordPosition { sequence, sub_sequence })))
            }
        },
        _ => None,
    }
}
