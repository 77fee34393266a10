//! The event as a whole, and its records into the batch.

use paceline_aws::kpl;
use paceline_pipeline::model::{Batch, Record, RecordPosition, Span};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::error::{EventError, beginning};
use super::json::Cursor;
use super::layout::RecordLayout;
use super::model::{Event, Sequences, TumblingWindow};
use super::record::{EventRecord, RecordValues, Text, milliseconds, why_not_base64};

/// The value of `window`.
#[derive(Deserialize)]
#[serde(expecting = "a window's `start` and `end`")]
struct WindowEnds {
    start: String,
    end: String,
}

/// Decodes an event.
pub fn decode(event: &[u8]) -> Result<Event, EventError> {
    let mut decoder = Decoder {
        cursor: Cursor { event, at: 0 },
        batch: Batch::new("".into()),
        sequences: Sequences::default(),
        stream: None,
        shard: None,
    };
    let window = decoder.members()?;

    let Decoder { mut batch, sequences, stream, shard, .. } = decoder;
    let missing = |field, why| EventError::MissingField { record: 0, field, why };
    match (stream, shard) {
        (Some(stream), Some(shard)) => batch.shard = format!("{stream}/{shard}").into(),
        _ if batch.records.is_empty() => {}
        (None, _) => return Err(missing("eventSourceARN", "it names the stream, which identifies the record")),
        (_, None) => return Err(missing("eventID", "it names the shard, which identifies the record")),
    }
    // Without a range: an event does not contain the shard's, and no record is dropped.
    kpl::unpack(&mut batch, None);
    Ok(Event { batch, sequences, window })
}

/// A description of an object without records.
fn describe(keys: &[Text<'_>]) -> String {
    /// Enough to recognize an event.
    const KEYS: usize = 10;

    let shown: Vec<_> = keys.iter().take(KEYS).map(|key| format!("`{}`", beginning(&**key))).collect();
    match (shown.join(", "), keys.len()) {
        (_, 0) => "an empty object".to_owned(),
        (shown, 1) => format!("an object with the key {shown}"),
        (shown, 2..=KEYS) => format!("an object with the keys {shown}"),
        (shown, more) => format!("an object with the keys {shown} and {} more", more - KEYS),
    }
}

/// The part of an event that is decoded so far.
struct Decoder<'a> {
    cursor: Cursor<'a>,
    batch: Batch,
    sequences: Sequences,
    stream: Option<String>,
    shard: Option<String>,
}

impl<'a> Decoder<'a> {
    /// Decodes the event's members: the records into the batch; returns the window.
    fn members(&mut self) -> Result<Option<TumblingWindow>, EventError> {
        let (mut has_records, mut keys) = (false, Vec::new());
        let (mut window, mut state) = (None, None);
        let (mut is_final, mut terminated_early) = (None, None);

        if let Some(found) = self.not_an_object() {
            return Err(EventError::NoRecords { found: found.to_owned() });
        }
        while self.cursor.next_element(keys.is_empty(), b'{', b'}')? {
            let key = self.key()?;
            let cursor = &mut self.cursor;
            let path = || key.to_string();
            match &*key {
                "Records" => {
                    has_records = true;
                    self.records()?;
                }
                "window" => window = cursor.value::<Option<WindowEnds>>(path)?,
                "state" => state = cursor.value::<Option<&RawValue>>(path)?,
                "isFinalInvokeForWindow" => is_final = cursor.value(path)?,
                "isWindowTerminatedEarly" => terminated_early = cursor.value(path)?,
                "eventSourceARN" => {
                    let arn = cursor.value::<Option<Text<'_>>>(path)?;
                    arn.map_or(Ok(()), |arn| self.set_stream(&arn, path))?;
                }
                "shardId" => {
                    let shard = cursor.value::<Option<Text<'_>>>(path)?;
                    shard.map_or(Ok(()), |shard| set_or_compare(&mut self.shard, &shard, path))?;
                }
                _ => drop(cursor.value::<IgnoredAny>(path)?),
            }
            keys.push(key);
        }
        if self.cursor.peek().is_some() {
            return Err(self.cursor.not_json("expected the end after the event's `}`".to_owned()));
        }
        if !has_records {
            return Err(EventError::NoRecords { found: describe(&keys) });
        }
        Ok(window.map(|WindowEnds { start, end }| TumblingWindow {
            start,
            end,
            state: state.map_or_else(|| RawValue::from_string("{}".to_owned()).expect("it is JSON"), ToOwned::to_owned),
            is_final: is_final.unwrap_or(false),
            terminated_early: terminated_early.unwrap_or(false),
        }))
    }

    /// The type of the event, if it is a JSON value but no object.
    fn not_an_object(&mut self) -> Option<&'static str> {
        match self.cursor.peek()? {
            b'[' => Some("an array"),
            b'"' => Some("a string"),
            b'-' | b'0'..=b'9' => Some("a number"),
            _ if self.cursor.rest().trim_ascii_end() == b"null" => Some("null"),
            _ => None,
        }
    }

    /// Decodes a key and the colon after it.
    fn key(&mut self) -> Result<Text<'a>, EventError> {
        if self.cursor.peek() != Some(b'"') {
            return Err(self.cursor.not_json("expected a key in quotes".to_owned()));
        }
        let key = self.cursor.value(|| "a key".to_owned())?;
        self.cursor.expect(b':')?;
        Ok(key)
    }

    /// Decodes the array of records.
    fn records(&mut self) -> Result<(), EventError> {
        if self.cursor.peek() != Some(b'[') {
            // This fails, and serde_json's error names the type that it found.
            self.cursor.value::<Vec<IgnoredAny>>(|| "Records".to_owned())?;
        }
        let mut layout: Option<RecordLayout<'a>> = None;
        let mut first = true;
        while self.cursor.next_element(first, b'[', b']')? {
            first = false;
            self.cursor.peek();
            let text = self.cursor.rest();
            if let Some((values, length)) = layout.as_ref().and_then(|layout| layout.match_record(text)) {
                self.cursor.at += length;
                self.push(values)?;
                continue;
            }
            let index = self.batch.records.len();
            if !text.starts_with(b"{") {
                // serde would accept an array as a record.
                let what = "expected an object".to_owned();
                self.cursor.value::<IgnoredAny>(String::new)?;
                let byte = self.cursor.event.len() - text.len();
                return Err(EventError::WrongType { path: format!("Records[{index}]"), what, byte });
            }
            let record: EventRecord<'a> = self.cursor.value(|| format!("Records[{index}]"))?;
            let values = self.values(index, &record)?;
            self.push(values)?;
            let length = text.len() - self.cursor.rest().len();
            layout = RecordLayout::infer(&text[..length], &values, record.event_id.as_deref());
            if index == 0 {
                // Buffers that grow by doubling would copy megabytes.
                let more = self.cursor.rest().len() / length;
                self.batch.records.reserve(more);
                self.batch.bytes.reserve(more * self.batch.bytes.len());
            }
        }
        Ok(())
    }

    /// The values of a parsed record, after the checks that it is of Kinesis, complete, and of the event's shard.
    fn values<'r>(&mut self, index: usize, record: &'r EventRecord<'a>) -> Result<RecordValues<'r>, EventError> {
        if let Some(service) = record.event_source.as_deref().filter(|service| *service != "aws:kinesis") {
            return Err(EventError::NotKinesis { record: index, service: beginning(service) });
        }
        let missing = |field, why| EventError::MissingField { record: index, field, why };
        let kinesis = record.kinesis.as_ref();
        let kinesis = kinesis.ok_or_else(|| missing("kinesis", "it holds the stream's part of the record"))?;
        if let Some(id) = record.event_id.as_deref() {
            let path = || format!("Records[{index}].eventID");
            let shard = id.split_once(':').map(|(shard, _)| shard).filter(|shard| !shard.is_empty());
            let expected = "shardId-…:SEQUENCE-NUMBER";
            let wrong = || EventError::WrongFormat { path: path(), text: beginning(id), expected };
            set_or_compare(&mut self.shard, shard.ok_or_else(wrong)?, path)?;
        }
        if let Some(arn) = record.event_source_arn.as_deref() {
            self.set_stream(arn, || format!("Records[{index}].eventSourceARN"))?;
        }
        let sequence = kinesis.sequence_number.as_deref();
        let data = kinesis.data.as_deref();
        Ok(RecordValues {
            partition_key: kinesis.partition_key.as_deref(),
            sequence: sequence
                .ok_or_else(|| missing("kinesis.sequenceNumber", "it is the record's position in the shard"))?,
            data: data.ok_or_else(|| missing("kinesis.data", "it is the payload; an empty payload is \"\""))?,
            arrival: kinesis.approximate_arrival_timestamp.map(RawValue::get),
        })
    }

    /// Sets the stream to the one that an ARN names, or compares it.
    fn set_stream(&mut self, arn: &str, path: impl Fn() -> String) -> Result<(), EventError> {
        // The ARN of an enhanced fan-out consumer has more after the name: `stream/NAME/consumer/…`.
        let name = arn.split_once(":stream/").map(|(_, name)| name.split('/').next().unwrap_or(name));
        let expected = "the ARN of a stream, arn:aws:kinesis:REGION:ACCOUNT:stream/NAME";
        let wrong = || EventError::WrongFormat { path: path(), text: beginning(arn), expected };
        set_or_compare(&mut self.stream, name.filter(|name| !name.is_empty()).ok_or_else(wrong)?, path)
    }

    /// Adds a record to the batch.
    fn push(&mut self, values: RecordValues<'_>) -> Result<(), EventError> {
        let RecordValues { partition_key, sequence: text, data, arrival } = values;
        let record = self.batch.records.len();
        let sequence = text.parse().map_err(|source| EventError::SequenceNumber { record, source })?;
        self.sequences.keep(sequence, text);
        let arrival_ms = match arrival {
            Some(seconds) => Some(milliseconds(seconds).ok_or_else(|| EventError::WrongFormat {
                path: format!("Records[{record}].kinesis.approximateArrivalTimestamp"),
                text: beginning(seconds),
                expected: "a number of seconds",
            })?),
            None => None,
        };
        let payload = self.push_payload(data);
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

    /// Decodes the data of the next record into the batch's buffer. Data that is not base64 becomes the payload as it is,
    /// for the dead letter.
    fn push_payload(&mut self, data: &str) -> Span {
        let bytes = &mut self.batch.bytes;
        let start = bytes.len();
        // `decode_append` reserves exactly what it needs, which would move the buffer for every record.
        bytes.reserve(data.len());
        if base64_simd::STANDARD.decode_append(data, bytes).is_err() {
            self.batch.undecodable.push((self.batch.records.len() as u32, why_not_base64(data)));
            return self.batch.push_bytes(data.as_bytes());
        }
        // The bytes are fewer than the event's, and spans are for batches far larger than Lambda's 6 MB.
        let end = u32::try_from(bytes.len()).expect("an event holds less than 4 GiB");
        Span { start: start as u32, end }
    }
}

/// Sets the stream or shard of an event at its first occurrence, and compares it at all others.
fn set_or_compare(known: &mut Option<String>, found: &str, path: impl Fn() -> String) -> Result<(), EventError> {
    match known {
        None => *known = Some(found.to_owned()),
        Some(known) if known == found => {}
        Some(known) => {
            return Err(EventError::TwoShards { path: path(), known: beginning(known), found: beginning(found) });
        }
    }
    Ok(())
}
