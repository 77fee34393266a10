//! The event as a whole, and its records into the batch.

use paceline_aws::kpl;
use paceline_pipeline::model::{Batch, Record, RecordPosition, Span};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::error::{EventError, beginning};
use super::json::Cursor;
use super::layout::RecordLayout;
use super::members::{arrival_ms, check_service, missing_position, partition_key, sequence};
use super::model::{Event, Sequences, TumblingWindow};
use super::origin::Origin;
use super::record::{EventRecord, RecordValues, StreamPart, Text, kind, string, why_not_base64};
use super::remark::Remarks;

/// The value of `window`.
#[derive(Default, Deserialize)]
struct WindowEnds<'a> {
    #[serde(borrow)]
    start: Option<&'a RawValue>,
    #[serde(borrow)]
    end: Option<&'a RawValue>,
}

/// Decodes an event.
pub fn decode(event: &[u8]) -> Result<Event, EventError> {
    let mut decoder = Decoder {
        cursor: Cursor { event, at: 0 },
        batch: Batch::new("".into()),
        sequences: Sequences::default(),
        origin: Origin::default(),
        remarks: Remarks::default(),
    };
    let window = decoder.members()?;

    let Decoder { mut batch, sequences, origin, mut remarks, .. } = decoder;
    if window.is_some() || !batch.records.is_empty() {
        batch.shard = origin.name(&mut remarks).into();
    }
    if let Some(repeated) = batch.put_in_order() {
        remarks.add("Records", || {
            let twice = if repeated > 0 { format!(", and {repeated} of them come twice") } else { String::new() };
            format!("Records are not in the order of their sequence numbers{twice}")
        });
    }
    // Without a range: an event does not contain the shard's, and no record is dropped.
    kpl::unpack(&mut batch, None);
    Ok(Event { batch, sequences, window, remarks })
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
    origin: Origin,
    remarks: Remarks,
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
                "window" => window = cursor.value::<Option<&RawValue>>(path)?,
                "state" => state = cursor.value::<Option<&RawValue>>(path)?,
                "isFinalInvokeForWindow" => is_final = cursor.value(path)?,
                "isWindowTerminatedEarly" => terminated_early = cursor.value(path)?,
                "eventSourceARN" => {
                    let arn = cursor.value(path)?;
                    self.origin.stream(arn, path, &mut self.remarks)?;
                }
                "shardId" => {
                    let shard = cursor.value(path)?;
                    self.origin.shard(shard, &mut self.remarks)?;
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
        Ok(window.map(|window| {
            let ends: WindowEnds<'_> = serde_json::from_str(window.get()).unwrap_or_default();
            let end = |raw: Option<&RawValue>| raw.and_then(string).unwrap_or_default().into_owned();
            let empty = || RawValue::from_string("{}".to_owned()).expect("it is JSON");
            TumblingWindow {
                start: end(ends.start),
                end: end(ends.end),
                state: state.map_or_else(empty, ToOwned::to_owned),
                is_final: is_final.unwrap_or(false),
                terminated_early: terminated_early.unwrap_or(false),
            }
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
            if let Some((values, length)) = layout.as_ref().and_then(|layout| layout.match_record(text))
                && let Some(payload) = self.payload(values.data)
            {
                self.cursor.at += length;
                self.push(values, payload)?;
                continue;
            }
            let index = self.batch.records.len();
            layout = self.record(index, text)?;
            if index == 0 {
                // Buffers that grow by doubling would copy megabytes. Later records may be a little longer.
                let more = self.cursor.rest().len() / (text.len() - self.cursor.rest().len());
                self.batch.records.reserve(more);
                self.batch.bytes.reserve(more * self.batch.bytes.len() / 8 * 9);
            }
        }
        Ok(())
    }

    /// Parses the record at the beginning of `text` and adds it to the batch. Returns its layout if it is as Lambda sends
    /// it.
    fn record(&mut self, index: usize, text: &'a [u8]) -> Result<Option<RecordLayout<'a>>, EventError> {
        if !text.starts_with(b"{") {
            // serde would accept an array as a record.
            let what = "expected an object".to_owned();
            self.cursor.value::<IgnoredAny>(String::new)?;
            let byte = self.cursor.event.len() - text.len();
            return Err(EventError::WrongType { path: format!("Records[{index}]"), what, byte });
        }
        let record: EventRecord<'a> = self.cursor.value(|| format!("Records[{index}]"))?;
        let before = self.remarks.count();
        check_service(&record, index, &mut self.remarks)?;
        let path = |member: &str| format!("Records[{index}].{member}");
        let id = record.event_id.map(|raw| (raw, string(raw)));
        let borrowed = id.as_ref().map(|(raw, id)| (*raw, id.as_deref()));
        let of_id = self.origin.id(borrowed, || path("eventID"), &mut self.remarks)?;
        self.origin.stream(record.event_source_arn, || path("eventSourceARN"), &mut self.remarks)?;

        let part = record.kinesis.and_then(StreamPart::parse);
        let has_part = part.is_some();
        let part = part.unwrap_or_default();
        let sequence = match sequence(part.sequence_number, of_id, index, &mut self.remarks)? {
            Some(sequence) => sequence,
            None => return Err(missing_position(index, has_part)),
        };
        let key = part.partition_key.and_then(|raw| partition_key(raw, index, &mut self.remarks));
        let data = part.data.and_then(string);
        let unreadable = data.is_none().then(|| match part.data {
            Some(data) => format!("`kinesis.data` is {}, not a text in base64", kind(data)),
            None if has_part => "the record has no `kinesis.data`".to_owned(),
            None => "the record has no `kinesis`, which holds the data".to_owned(),
        });
        let is_readable = unreadable.is_none();
        let data_text = data.as_deref().or(part.data.map(RawValue::get)).unwrap_or_default();
        let payload = match unreadable {
            Some(why) => self.unreadable_payload(data_text, why),
            None => self
                .payload(data_text.as_bytes())
                .unwrap_or_else(|| self.unreadable_payload(data_text, why_not_base64(data_text))),
        };
        let values = RecordValues {
            partition_key: key.as_deref(),
            sequence: &sequence,
            data: data_text.as_bytes(),
            arrival: part.approximate_arrival_timestamp.map(RawValue::get),
        };
        self.push(values, payload)?;
        let is_plain = is_readable && self.remarks.count() == before;
        let length = text.len() - self.cursor.rest().len();
        let id = borrowed.and_then(|(_, id)| id);
        Ok(is_plain.then(|| RecordLayout::infer(&text[..length], &values, id)).flatten())
    }

    /// Adds a record to the batch.
    fn push(&mut self, values: RecordValues<'_>, payload: Span) -> Result<(), EventError> {
        let RecordValues { partition_key, sequence: text, arrival, .. } = values;
        let record = self.batch.records.len();
        let sequence = text.parse().map_err(|source| EventError::SequenceNumber { record, source })?;
        self.sequences.keep(sequence, text);
        let arrival_ms = arrival.and_then(|json| arrival_ms(json, record, &mut self.remarks));
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

    /// Decodes the data of the next record into the batch's buffer, if it is base64.
    fn payload(&mut self, data: &[u8]) -> Option<Span> {
        let bytes = &mut self.batch.bytes;
        let start = bytes.len();
        // `decode_append` reserves exactly what it needs, which would move the buffer for every record.
        bytes.reserve(data.len());
        base64_simd::STANDARD.decode_append(data, bytes).ok()?;
        // The bytes are fewer than the event's, and spans are for batches far larger than Lambda's 6 MB.
        let end = u32::try_from(bytes.len()).expect("an event holds less than 4 GiB");
        Some(Span { start: start as u32, end })
    }

    /// The data of the next record becomes its payload as it is, for the dead letter.
    fn unreadable_payload(&mut self, data: &str, why: String) -> Span {
        self.batch.undecodable.push((self.batch.records.len() as u32, why));
        self.batch.push_bytes(data.as_bytes())
    }
}
