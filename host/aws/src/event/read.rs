//! The event as a whole, and its records one by one into the batch.

use paceline_pipeline::model::RecordPosition;
use paceline_pipeline::model::{Batch, Record, Span};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::error::beginning;
use super::json::Cursor;
use super::record::{Text, Values, Written, milliseconds, why_not_base64};
use super::shape::Shape;
use super::{Event, EventError, Sequences, Unreadable, Window};

/// A tumbling window's ends.
#[derive(Deserialize)]
#[serde(expecting = "a window's `start` and `end`")]
struct WrittenWindow {
    start: String,
    end: String,
}

/// Reads an event.
pub fn read(event: &[u8]) -> Result<Event, EventError> {
    let mut reader = Reader {
        cursor: Cursor { event, at: 0 },
        batch: Batch::new("".into()),
        sequences: Sequences::default(),
        unreadable: Vec::new(),
        stream: None,
        shard: None,
    };
    let (mut has_records, mut keys) = (false, Vec::new());
    let (mut window, mut state) = (None, None);
    let (mut is_final, mut terminated_early) = (None, None);

    if let Some(looks) = reader.no_object() {
        return Err(EventError::NoRecords { looks: looks.to_owned() });
    }
    while reader.cursor.another(keys.is_empty(), b'{', b'}')? {
        let key = reader.key()?;
        let cursor = &mut reader.cursor;
        let path = || key.to_string();
        match &*key {
            "Records" => {
                has_records = true;
                reader.records()?;
            }
            "window" => window = cursor.value::<Option<WrittenWindow>>(path)?,
            "state" => state = cursor.value::<Option<&RawValue>>(path)?,
            "isFinalInvokeForWindow" => is_final = cursor.value(path)?,
            "isWindowTerminatedEarly" => terminated_early = cursor.value(path)?,
            "eventSourceARN" => {
                let arn = cursor.value::<Option<Text<'_>>>(path)?;
                arn.map_or(Ok(()), |arn| reader.stream_is(&arn, path))?;
            }
            "shardId" => {
                let shard = cursor.value::<Option<Text<'_>>>(path)?;
                shard.map_or(Ok(()), |shard| reader.shard_is(&shard, path))?;
            }
            _ => drop(cursor.value::<IgnoredAny>(path)?),
        }
        keys.push(key);
    }
    if reader.cursor.peek().is_some() {
        return Err(reader.cursor.not_json("expected nothing after the event's `}`".to_owned()));
    }
    if !has_records {
        return Err(EventError::NoRecords { looks: describe(&keys) });
    }

    let Reader { mut batch, sequences, unreadable, stream, shard, .. } = reader;
    let missing = |field, why| EventError::Missing { record: 0, field, why };
    match (&stream, &shard) {
        (Some(stream), Some(shard)) => batch.shard = format!("{stream}/{shard}").into(),
        _ if batch.records.is_empty() => {}
        (None, _) => return Err(missing("eventSourceARN", "it names the stream, by which records are told apart")),
        (_, None) => return Err(missing("eventID", "it names the shard, by which records are told apart")),
    }
    let window = window.map(|WrittenWindow { start, end }| Window {
        start,
        end,
        state: state.map_or_else(|| RawValue::from_string("{}".to_owned()).expect("it is JSON"), ToOwned::to_owned),
        is_final: is_final.unwrap_or(false),
        terminated_early: terminated_early.unwrap_or(false),
    });
    Ok(Event { stream, shard, batch, sequences, unreadable, window })
}

/// What an event without records looks like.
fn describe(keys: &[Text<'_>]) -> String {
    /// Enough to know an event by.
    const KEYS: usize = 10;

    let shown: Vec<_> = keys.iter().take(KEYS).map(|key| format!("`{}`", beginning(&**key))).collect();
    match (shown.join(", "), keys.len()) {
        (_, 0) => "an empty object".to_owned(),
        (shown, 1) => format!("an object with the key {shown}"),
        (shown, 2..=KEYS) => format!("an object with the keys {shown}"),
        (shown, more) => format!("an object with the keys {shown} and {} more", more - KEYS),
    }
}

/// What is known of an event halfway.
struct Reader<'a> {
    cursor: Cursor<'a>,
    batch: Batch,
    sequences: Sequences,
    unreadable: Vec<Unreadable>,
    stream: Option<String>,
    shard: Option<String>,
}

impl<'a> Reader<'a> {
    /// What the event is, if it is JSON but no object.
    fn no_object(&mut self) -> Option<&'static str> {
        match self.cursor.peek()? {
            b'[' => Some("a list"),
            b'"' => Some("a text"),
            b'-' | b'0'..=b'9' => Some("a number"),
            _ if self.cursor.rest().trim_ascii_end() == b"null" => Some("null"),
            _ => None,
        }
    }

    /// Reads a key and the colon after it.
    fn key(&mut self) -> Result<Text<'a>, EventError> {
        if self.cursor.peek() != Some(b'"') {
            return Err(self.cursor.not_json("expected a key in quotes".to_owned()));
        }
        let key = self.cursor.value(|| "a key".to_owned())?;
        self.cursor.expect(b':')?;
        Ok(key)
    }

    /// Reads the list of records.
    fn records(&mut self) -> Result<(), EventError> {
        if self.cursor.peek() != Some(b'[') {
            // Not a list: let serde_json say what it is.
            self.cursor.value::<Vec<IgnoredAny>>(|| "Records".to_owned())?;
        }
        let mut shape: Option<Shape<'a>> = None;
        let mut first = true;
        while self.cursor.another(first, b'[', b']')? {
            first = false;
            self.cursor.peek();
            let text = self.cursor.rest();
            if let Some((values, length)) = shape.as_ref().and_then(|shape| shape.follow(text)) {
                self.cursor.at += length;
                self.take(values)?;
                continue;
            }
            let record = self.batch.records.len();
            if !text.starts_with(b"{") {
                // A list would do as a record for serde.
                let what = "expected an object".to_owned();
                self.cursor.value::<IgnoredAny>(String::new)?;
                let byte = self.cursor.event.len() - text.len();
                return Err(EventError::WrongType { path: format!("Records[{record}]"), what, byte });
            }
            let written: Written<'a> = self.cursor.value(|| format!("Records[{record}]"))?;
            let values = self.check(record, &written)?;
            self.take(values)?;
            let length = text.len() - self.cursor.rest().len();
            shape = Shape::learn(&text[..length], &values, written.event_id.as_deref());
            if record == 0 {
                // Buffers that grow by doubling would copy megabytes.
                let more = self.cursor.rest().len() / length;
                self.batch.records.reserve(more);
                self.batch.bytes.reserve(more * self.batch.bytes.len());
            }
        }
        Ok(())
    }

    /// Sees that a record has what it must have.
    fn check<'w>(&mut self, record: usize, written: &'w Written<'a>) -> Result<Values<'w>, EventError> {
        if let Some(service) = written.event_source.as_deref().filter(|service| *service != "aws:kinesis") {
            return Err(EventError::NotKinesis { record, service: beginning(service) });
        }
        let missing = |field, why| EventError::Missing { record, field, why };
        let of_stream = "what the stream knows of the record is in it";
        let kinesis = written.kinesis.as_ref().ok_or_else(|| missing("kinesis", of_stream))?;
        if let Some(id) = written.event_id.as_deref() {
            let path = || format!("Records[{record}].eventID");
            let shard = id.split_once(':').map(|(shard, _)| shard).filter(|shard| !shard.is_empty());
            let wanted = "shardId-…:SEQUENCE-NUMBER";
            let wrong = || EventError::WrongForm { path: path(), text: beginning(id), wanted };
            self.shard_is(shard.ok_or_else(wrong)?, path)?;
        }
        if let Some(arn) = written.event_source_arn.as_deref() {
            self.stream_is(arn, || format!("Records[{record}].eventSourceARN"))?;
        }
        let sequence = kinesis.sequence_number.as_deref();
        let data = kinesis.data.as_deref();
        Ok(Values {
            partition_key: kinesis.partition_key.as_deref(),
            sequence: sequence.ok_or_else(|| missing("kinesis.sequenceNumber", "it is the record's place"))?,
            data: data.ok_or_else(|| missing("kinesis.data", "it is the payload; an empty one is \"\""))?,
            arrival: kinesis.approximate_arrival_timestamp.map(RawValue::get),
        })
    }

    /// Notes the stream that an ARN names.
    fn stream_is(&mut self, arn: &str, path: impl Fn() -> String) -> Result<(), EventError> {
        // A consumer with enhanced fan-out has an ARN that goes on: `stream/NAME/consumer/…`.
        let name = arn.split_once(":stream/").map(|(_, name)| name.split('/').next().unwrap_or(name));
        let wanted = "the ARN of a stream, arn:aws:kinesis:REGION:ACCOUNT:stream/NAME,";
        let wrong = || EventError::WrongForm { path: path(), text: beginning(arn), wanted };
        same(&mut self.stream, name.filter(|name| !name.is_empty()).ok_or_else(wrong)?, path)
    }

    /// Notes the shard.
    fn shard_is(&mut self, shard: &str, path: impl Fn() -> String) -> Result<(), EventError> {
        same(&mut self.shard, shard, path)
    }

    /// Adds a record to the batch.
    fn take(&mut self, values: Values<'_>) -> Result<(), EventError> {
        let Values { partition_key, sequence: text, data, arrival } = values;
        let record = self.batch.records.len();
        let sequence = text.parse().map_err(|why| EventError::NotASequenceNumber { record, why })?;
        if text.len() > 1 && text.starts_with('0') {
            self.sequences.0.entry(sequence).or_insert_with(|| text.into());
        }
        let arrival_ms = match arrival {
            Some(seconds) => Some(milliseconds(seconds).ok_or_else(|| EventError::WrongForm {
                path: format!("Records[{record}].kinesis.approximateArrivalTimestamp"),
                text: beginning(seconds),
                wanted: "a number of seconds",
            })?),
            None => None,
        };
        let bytes = &mut self.batch.bytes;
        let start = bytes.len();
        // What it reserves itself is no more than it needs, which would move the buffer for every record.
        bytes.reserve(data.len());
        let decoded = base64_simd::STANDARD.decode_append(data, bytes);
        // What comes out is shorter than the event, and spans are made for batches far larger than Lambda's 6 MB.
        let end = u32::try_from(bytes.len()).expect("an event holds less than 4 GiB");
        let payload = Span { start: start as u32, end };
        if decoded.is_err() {
            let text = self.batch.push_bytes(data.as_bytes());
            self.unreadable.push(Unreadable { record, text, why: why_not_base64(data) });
        }
        let partition_key = partition_key.map(|key| self.batch.push_bytes(key.as_bytes()));
        let position = RecordPosition { sequence, sub_sequence: 0 };
        self.batch.records.push(Record {
            payload,
            position,
            partition_key,
            arrival_ms,
            cut_from: None,
            redriven: None,
        });
        Ok(())
    }
}

/// Notes the stream or shard of an event, which is the same wherever it is written.
fn same(known: &mut Option<String>, found: &str, path: impl Fn() -> String) -> Result<(), EventError> {
    match known {
        None => *known = Some(found.to_owned()),
        Some(known) if known == found => {}
        Some(known) => {
            return Err(EventError::TwoShards { path: path(), shard: beginning(known), other: beginning(found) });
        }
    }
    Ok(())
}
