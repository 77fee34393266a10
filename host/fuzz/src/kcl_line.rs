//! Lines of the MultiLangDaemon: any line is a message or an error, unknown members change nothing, and each record of a
//! message is in one batch.

use paceline_aws::kcl::{Answer, Batches, Message, Record, read};
use paceline_pipeline::model::{Batch, BatchLimits};

use crate::json::{elements, from_base64, is_number, member, members, string};
use crate::laws::{error_has_a_message, text_is_short};

/// Limits of batches: what a message holds fits, and it does not.
const LIMITS: [(usize, usize); 3] = [(10_000, 6 << 20), (2, 6 << 20), (10_000, 8)];
/// What a later daemon may write besides.
const UNKNOWN: &str = r#""unknown-member":{"of":[1,"\u00e9",null]}"#;

/// Checks a line.
pub fn check(line: &[u8]) {
    let message = match read(line) {
        Ok(message) => message,
        Err(error) => return error_has_a_message(&error),
    };
    assert!(!message.action().is_empty());
    if let Ok(text) = str::from_utf8(line)
        && let Some(with_more) = with_unknown_members(text)
    {
        let again = read(with_more.as_bytes()).unwrap_or_else(|error| panic!("{error}: {with_more}"));
        assert_eq!(again, message, "{with_more}");
        if let Message::ProcessRecords { records, .. } = &message {
            let json = members(text).expect("it is an object");
            let json = elements(member(&json, "records").expect("it has records")).expect("they are an array");
            let json: Vec<_> = json.iter().map(|record| record.get()).collect();
            LIMITS.into_iter().for_each(|limits| each_record_is_in_one_batch(records, &json, limits));
        }
    }
}

/// A line with unknown members in the message and in each of its records.
fn with_unknown_members(line: &str) -> Option<String> {
    let members = members(line)?;
    let member = |(name, value): &(String, &serde_json::value::RawValue)| {
        let records = (name == "records").then(|| elements(value.get())).flatten();
        let value = match records {
            Some(records) => {
                let records = records.iter().map(|record| extended(record.get()));
                format!("[{}]", records.collect::<Option<Vec<_>>>()?.join(","))
            }
            None => value.get().to_owned(),
        };
        Some(format!("{}:{value}", serde_json::to_string(name).ok()?))
    };
    let members = members.iter().map(member).collect::<Option<Vec<_>>>()?;
    Some(format!("{{{UNKNOWN},{}}}", members.join(",")))
}

/// An object with an unknown member.
fn extended(object: &str) -> Option<String> {
    let rest = object.strip_prefix('{')?;
    let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
    Some(format!("{{{UNKNOWN}{comma}{rest}"))
}

fn each_record_is_in_one_batch(records: &[Record<'_>], json: &[&str], (max_records, max_bytes): (usize, usize)) {
    assert_eq!(records.len(), json.len());
    let limits = BatchLimits { max_records, max_bytes, ..BatchLimits::default() };
    let mut batches = Batches::new("stream", "shardId-0", limits);
    let mut rest = records;
    let mut done = 0;
    loop {
        let batch = match batches.next(&mut rest) {
            Ok(None) => break,
            Ok(Some(batch)) => batch,
            Err(error) => {
                error_has_a_message(&error);
                assert!(!json.iter().all(|record| has_position(record)), "all records have a position");
                return;
            }
        };
        let taken = batch.records.len();
        assert!((1..=max_records).contains(&taken));
        assert_eq!(&*batch.shard, "stream/shardId-0");
        assert_eq!(rest.len(), records.len() - done - taken);
        let decoded = |at: usize| !batch.undecodable.iter().any(|(record, _)| *record as usize == at);
        let bytes: usize = (0..taken).filter(|at| decoded(*at)).map(|at| batch.payload(at).len()).sum();
        assert!(taken == 1 || bytes <= max_bytes, "{bytes} bytes in a batch of {taken}");
        for at in 0..taken {
            record_is_read_as_by_serde_json(&batch, at, decoded(at), json[done + at]);
        }
        answer_is_read_back(&batch);
        done += taken;
        batches.reuse(batch);
    }
    assert_eq!(done, records.len(), "each record is in a batch");
}

/// Whether a record has a sequence number, and a sub-sequence number if any, of digits only.
fn has_position(record: &str) -> bool {
    let record = members(record).expect("it is an object");
    let digits = |json: &str| {
        let text = string(json).unwrap_or_else(|| json.to_owned());
        !text.is_empty() && text.len() <= 57 && text.bytes().all(|digit| digit.is_ascii_digit())
    };
    member(&record, "sequenceNumber").is_some_and(digits)
        && member(&record, "subSequenceNumber").is_none_or(|json| digits(json) && json.len() < 19)
}

fn record_is_read_as_by_serde_json(batch: &Batch, at: usize, is_decoded: bool, json: &str) {
    let record = members(json).expect("it is an object");
    let found = &batch.records[at];
    let sequence = member(&record, "sequenceNumber").expect("it has a position");
    let sequence = string(sequence).unwrap_or_else(|| sequence.to_owned());
    let digits = sequence.trim_start_matches('0');
    assert_eq!(found.position.sequence.to_string(), if digits.is_empty() { "0" } else { digits });

    let data = member(&record, "data");
    let text = data.map_or(Some(String::new()), string);
    let payload = text.as_deref().and_then(from_base64);
    assert_eq!(is_decoded, payload.is_some(), "{json}");
    if let Some(payload) = payload.or(text.map(String::into_bytes)) {
        assert_eq!(batch.payload(at), payload, "{json}");
    }
    batch.undecodable.iter().for_each(|(_, why)| text_is_short(why));

    let key = found.partition_key.map(|key| str::from_utf8(batch.slice(key)).expect("a partition key is UTF-8"));
    let expected = member(&record, "partitionKey").and_then(|json| match is_number(json) {
        true => serde_json::from_str::<i64>(json).ok().map(|number| number.to_string()),
        false => string(json),
    });
    assert_eq!(key, expected.as_deref(), "{json}");
    let arrival = member(&record, "approximateArrivalTimestamp").and_then(|json| serde_json::from_str(json).ok());
    assert_eq!(found.arrival_ms, arrival, "{json}");
}

/// A checkpoint is answered by a line of the same shape.
fn answer_is_read_back(batch: &Batch) {
    let last = batch.records.last().map(|record| record.position);
    let line = serde_json::to_string(&Answer::checkpoint(last)).expect("an answer has only types that JSON has");
    assert_eq!(read(line.as_bytes()).expect("it is a message"), Message::Checkpoint { error: None });
}
