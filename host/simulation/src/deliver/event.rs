//! Events as an event source mapping makes them, and some of them as emulators and test tools do.

use std::fmt::Write;

use paceline_pipeline::model::SequenceNumber;

use super::Fleet;
use crate::plant::Plant;
use crate::raw::RawRecord;
use crate::time::time_ms;

/// The length of a window in milliseconds.
pub(super) const WINDOW_MS: u64 = 20_000;

/// What an event with a window has beside its records.
#[derive(Clone, Debug)]
pub(super) struct WindowPart {
    /// When the window began, in milliseconds of the run's clock.
    pub(super) began_ms: u64,
    /// The state's JSON, as the last response had it.
    pub(super) state: String,
    pub(super) is_final: bool,
    /// Whether the mapping ends the window before its time.
    pub(super) is_early: bool,
}

/// The text of an event with these records of a shard.
pub(super) fn event(fleet: &Fleet, shard: usize, records: &[usize], window: Option<&WindowPart>) -> Vec<u8> {
    let (world, mut text) = (&fleet.world, String::from("{"));
    if fleet.world.oddly() {
        text.push_str(r#""invocationId": {"of": [null, 1e3]}, "#);
    }
    text.push_str("\"Records\": [");
    for (at, part) in stream_records(fleet, shard, records).into_iter().enumerate() {
        text.push_str(if at == 0 { "" } else { "," });
        record(fleet, shard, &part, at == 0, &mut text);
    }
    text.push(']');
    if let Some(WindowPart { began_ms, state, is_final, is_early }) = window {
        let (start, end) = (clock_time(*began_ms), clock_time(began_ms + WINDOW_MS));
        let id = &world.stream.shards[shard].id;
        let _ = write!(text, r#","window":{{"start":"{start}","end":"{end}"}},"state":{state},"shardId":"{id}""#);
        if let Some(arn) = arn(fleet) {
            let _ = write!(text, r#","eventSourceARN":"{arn}""#);
        }
        let _ = write!(text, r#","isFinalInvokeForWindow":{is_final},"isWindowTerminatedEarly":{is_early}"#);
    }
    text.push('}');
    text.into_bytes()
}

/// A stream record in an event.
struct Part<'a> {
    sequence: SequenceNumber,
    raw: &'a RawRecord,
    /// The data of one of its messages, if a bug makes each of them a record of its own.
    base64: Option<String>,
}

fn stream_records<'a>(fleet: &'a Fleet, shard: usize, records: &[usize]) -> Vec<Part<'a>> {
    let (stream, mut parts) = (&fleet.world.stream, Vec::<Part<'a>>::new());
    let alone = fleet.world.is_planted(Plant::SubSequenceIgnored);
    for &record in records {
        let record = &stream.records[record];
        let sequence = record.position.sequence;
        if alone || parts.last().is_none_or(|last| last.sequence != sequence) {
            let base64 = alone.then(|| paceline_aws::base64::encode(&record.message.payload));
            parts.push(Part { sequence, raw: &stream.shards[shard].raw[&sequence], base64 });
        }
    }
    parts
}

/// The ARN of the stream, which names it as its shards' names do.
fn arn(fleet: &Fleet) -> Option<&'static str> {
    match fleet.world.plan.arn {
        1 => None,
        2 => Some("arn:aws:kinesis:EXAMPLE"),
        3 => Some("arn:aws:kinesis:eu-west-1:000000000000:alleycat"),
        _ => Some("arn:aws:kinesis:eu-west-1:123456789012:stream/alleycat"),
    }
}

/// Adds a record as Lambda writes it, or one that is otherwise in what does not matter.
fn record(fleet: &Fleet, shard: usize, part: &Part<'_>, is_first: bool, text: &mut String) {
    let (world, Part { sequence, raw, .. }) = (&fleet.world, part);
    let odd = if world.oddly() { 1 + world.below(10) } else { 0 };
    let arrival = time_ms(raw.arrival_ms);
    let arrival = match odd {
        1 => r#","approximateArrivalTimestamp":null"#.to_owned(),
        2 => format!(r#","approximateArrivalTimestamp":"{arrival}""#),
        3 => format!(r#","approximateArrivalTimestamp":{arrival}"#),
        4 => String::new(),
        _ if world.is_planted(Plant::ArrivalNotSent) => String::new(),
        _ => format!(r#","approximateArrivalTimestamp":{}.{:03}"#, arrival / 1_000, arrival % 1_000),
    };
    let key = match odd {
        5 => "null".to_owned(),
        6 if raw.partition_key.bytes().all(|byte| byte.is_ascii_digit()) => raw.partition_key.clone(),
        _ => format!(r#""{}""#, raw.partition_key),
    };
    let number = match odd {
        7 => String::new(),
        8 => format!(r#""sequenceNumber": {sequence} ,"#),
        _ => format!(r#""sequenceNumber":"{sequence}","#),
    };
    let data = match (raw.is_undecodable, part.base64.as_deref().unwrap_or(&raw.base64)) {
        (true, _) => undecodable(*sequence).to_owned(),
        // Every character of JSON's strings may be escaped.
        (false, data) if odd == 9 => format!(r#","data":"{}""#, data.replace('e', "\\u0065")),
        (false, data) => format!(r#","data":"{data}""#),
    };
    let id = &world.stream.shards[shard].id;
    // The first record names the shard and the stream.
    let id = match odd {
        10 if !is_first => String::new(),
        _ => format!(r#","eventID":"{id}:{sequence}""#),
    };
    let arn = match arn(fleet) {
        Some(arn) if odd != 10 || is_first => format!(r#","eventSourceARN":"{arn}""#),
        _ => String::new(),
    };
    let source = if odd == 10 { "" } else { r#""eventSource":"aws:kinesis","# };
    let _ = write!(
        text,
        r#"{{"kinesis":{{"kinesisSchemaVersion":"1.0","partitionKey":{key},{number}"encryptionType":"NONE"{data}{arrival}}},{source}"eventVersion":"1.0"{id},"eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::123456789012:role/race","awsRegion":"eu-west-1"{arn}}}"#
    );
}

/// The data of a record that can't be decoded, the same at each delivery.
fn undecodable(sequence: SequenceNumber) -> &'static str {
    match sequence.to_u64().unwrap_or_default() / 10 % 4 {
        0 => r#","data":null"#,
        1 => r#","data":7"#,
        2 => "",
        _ => r#","data":"***""#,
    }
}

/// A moment of the run as Lambda writes times.
fn clock_time(ms: u64) -> String {
    let seconds = ms / 1_000;
    format!("2026-01-01T{:02}:{:02}:{:02}Z", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}
