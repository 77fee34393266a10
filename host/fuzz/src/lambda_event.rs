//! Lambda events: each record of an event is a record of the batch, with what the simplest reader finds, or the event is
//! an error; and the response is JSON that repeats the event's own words.

use paceline_lambda::event::{Event, EventResponse, decode};
use paceline_lambda::window;
use paceline_pipeline::model::SequenceNumber;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::aggregate_model::user_records;
use crate::json::{elements, from_base64, is_number, member, members, string};
use crate::laws::{error_has_a_message, text_is_short};

/// Checks bytes as an event.
pub fn check(data: &[u8]) {
    let event = match decode(data) {
        Ok(event) => event,
        Err(error) => return error_has_a_message(&error),
    };
    let batch = &event.batch;
    assert!(batch.undecodable.is_sorted_by(|(a, _), (b, _)| a < b), "{:?}", batch.undecodable);
    batch.undecodable.iter().for_each(|(_, why)| text_is_short(why));
    assert!(event.remarks.is_empty() || !event.remarks.to_string().is_empty());
    assert!(batch.bytes.len() <= data.len(), "decoded data is shorter than the event");
    assert_eq!(batch.checkpoint, None, "Lambda keeps the checkpoint");

    // Members that nothing reads may hold any bytes; the model reads texts only.
    if let Ok(text) = str::from_utf8(data) {
        let mut expected = records(text).expect("what is decoded is an object");
        // Of a number that comes twice, the response may have either text.
        let texts: Vec<_> =
            expected.iter().map(|record| (record.sequence.clone(), record.number().to_owned())).collect();
        // They are put into the order of the shard, and each counts once.
        let position = |record: &StreamRecord| record.number().parse::<SequenceNumber>().expect("it was decoded");
        expected.sort_by_key(position);
        expected.dedup_by_key(|record| position(record));
        assert_eq!(seen(&event), expected.iter().flat_map(StreamRecord::seen).collect::<Vec<_>>());
        response_names_a_record(&event, &texts);
    }
    window_survives(&event);
}

/// A record of the batch: its sequence number and sub-sequence number, its key, its payload, its arrival, and whether it can
/// be decoded.
type Seen = (String, u64, Option<String>, Vec<u8>, Option<i64>, bool);

fn seen(event: &Event) -> Vec<Seen> {
    let batch = &event.batch;
    let undecodable = |at: usize| batch.undecodable.iter().any(|(record, _)| *record as usize == at);
    let records = batch.records.iter().enumerate().map(|(at, record)| {
        let key = record.partition_key.map(|key| {
            let key = String::from_utf8(batch.slice(key).to_vec());
            key.expect("a partition key is UTF-8")
        });
        let position = record.position;
        let payload = batch.payload(at).to_vec();
        (position.sequence.to_string(), position.sub_sequence, key, payload, record.arrival_ms, !undecodable(at))
    });
    records.collect()
}

/// A record of the event.
struct StreamRecord {
    /// The sequence number as the event has it.
    sequence: String,
    key: Option<String>,
    /// The data, and whether it is base64.
    data: (Vec<u8>, bool),
    arrival_ms: Option<i64>,
}

impl StreamRecord {
    /// Reads a record whose event was decoded.
    fn read(json: &str) -> Option<Self> {
        let record = members(json)?;
        let part = member(&record, "kinesis").filter(|part| part.starts_with('{')).and_then(members);
        // A part of which a member comes twice is none.
        let is_twice = |name: &&str| part.iter().flatten().filter(|(other, _)| other == name).count() > 1;
        let names = ["partitionKey", "sequenceNumber", "data", "approximateArrivalTimestamp"];
        let part = if names.iter().any(is_twice) { Vec::new() } else { part.unwrap_or_default() };

        let text_or_number = |json: &str| if is_number(json) { Some(json.to_owned()) } else { string(json) };
        let is_sequence = |text: &String| text.parse::<SequenceNumber>().is_ok();
        let own = member(&part, "sequenceNumber").map(|json| text_or_number(json).unwrap_or_else(|| json.to_owned()));
        let id = member(&record, "eventID").and_then(string);
        let of_id = id.as_deref().and_then(|id| id.split_once(':')).filter(|(shard, _)| !shard.is_empty());
        let of_id = of_id.map(|(_, sequence)| sequence.to_owned());
        let data = member(&part, "data");
        Some(Self {
            sequence: own.filter(is_sequence).or(of_id.filter(is_sequence))?,
            key: member(&part, "partitionKey").and_then(text_or_number),
            data: match data.and_then(string) {
                Some(text) => from_base64(&text).map_or_else(|| (text.into(), false), |data| (data, true)),
                None => (data.unwrap_or_default().into(), false),
            },
            arrival_ms: member(&part, "approximateArrivalTimestamp").and_then(arrival_ms),
        })
    }

    /// The sequence number without leading zeros.
    fn number(&self) -> &str {
        match self.sequence.trim_start_matches('0') {
            "" => "0",
            digits => digits,
        }
    }

    /// The records of the batch that it becomes.
    fn seen(&self) -> Vec<Seen> {
        let Self { key, data: (data, is_base64), arrival_ms, .. } = self;
        let record = |sub, key: &Option<String>, data: &[u8], is_decoded| {
            (self.number().to_owned(), sub, key.clone(), data.to_vec(), *arrival_ms, is_decoded)
        };
        match is_base64.then(|| user_records(data)).flatten() {
            Some(users) => {
                let users = (0..).zip(users);
                users.map(|(sub, user)| record(sub, &user.key, &user.data, user.key.is_some())).collect()
            }
            None => vec![record(0, key, data, *is_base64)],
        }
    }
}

/// All records of an event that was decoded.
fn records(event: &str) -> Option<Vec<StreamRecord>> {
    let mut records = Vec::new();
    for (name, value) in members(event)? {
        if name == "Records" {
            let elements = elements(value.get()).expect("the records are an array");
            records.extend(elements.iter().map(|json| StreamRecord::read(json.get()).expect("it has a position")));
        }
    }
    Some(records)
}

/// A time in seconds, or from the year 5138 on in milliseconds, as milliseconds.
fn arrival_ms(json: &str) -> Option<i64> {
    let time: f64 = serde_json::from_str(json).ok().filter(|_| !json.starts_with('-'))?;
    let ms = if time < 1e11 { time * 1_000.0 } else { time };
    Some(ms.round() as i64)
}

/// What the response asks Lambda to retry is a record, in the event's own words.
fn response_names_a_record(event: &Event, texts: &[(String, String)]) {
    let mut response = EventResponse::default();
    for record in &event.batch.records {
        response.batch_item_failures.push(event.sequences.failure(record.position.sequence));
    }
    let json = serde_json::to_string(&response).expect("a response has only types that JSON has");
    let json: Value = serde_json::from_str(&json).expect("the response is JSON");
    let failures = json["batchItemFailures"].as_array().expect("it is an array");
    assert_eq!(failures.len(), event.batch.records.len());
    for (failure, record) in failures.iter().zip(&event.batch.records) {
        let named = failure["itemIdentifier"].as_str().expect("it is a text");
        let number = record.position.sequence.to_string();
        let is_named = |(text, of): &(String, String)| text == named && *of == number;
        assert!(texts.iter().any(is_named), "no record of the event is {named}");
    }
}

/// A window's state is decoded or an error, and what the response carries on is the same window.
fn window_survives(event: &Event) {
    let Some(tumbling) = &event.window else { return };
    assert!(event.batch.shard.contains('/'), "{}", event.batch.shard);
    let window = match window::decode(&tumbling.state, &event.batch.shard) {
        Ok(window) => window,
        Err(error) => return error_has_a_message(&error),
    };
    let state = window::encode(&window);
    let response = EventResponse { state: Some(state.clone()), batch_item_failures: Vec::new() };
    let json = serde_json::to_string(&response).expect("a response has only types that JSON has");
    let json: Value = serde_json::from_str(&json).expect("the response is JSON");
    let carried: Box<RawValue> = serde_json::from_str(&json["state"].to_string()).expect("it is JSON");
    let again = window::decode(&carried, &event.batch.shard).expect("its own state is a window");
    assert_eq!(window::encode(&again).get(), state.get());
}
