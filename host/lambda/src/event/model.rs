//! The decoded event, and its response.

use std::borrow::Cow;
use std::collections::BTreeMap;

use paceline_pipeline::model::{Batch, SequenceNumber};
use serde::Serialize;
use serde_json::value::RawValue;

use super::remark::Remarks;

/// A decoded event.
#[derive(Clone, Debug)]
pub struct Event {
    /// The records, ready for the pipeline: KPL aggregates are unpacked, and records whose data is not base64 are
    /// marked as undecodable. The shard's name contains the stream's: `alleycat/shardId-000000000006`. It is empty if
    /// the event has neither records nor a window.
    pub batch: Batch,
    /// The sequence numbers as the event has them.
    pub sequences: Sequences,
    /// The tumbling window, if the event source mapping has one.
    pub window: Option<TumblingWindow>,
    /// What is not as Lambda sends it, with what is assumed in its place.
    pub remarks: Remarks,
}

/// A tumbling window. Lambda adds to each event the state that the response to the previous one contained.
#[derive(Clone, Debug)]
pub struct TumblingWindow {
    /// The start in Lambda's format: `2021-05-05T18:51:00Z`; empty if the event has no text there.
    pub start: String,
    /// The end in the same format.
    pub end: String,
    /// The state's JSON, byte for byte; `{}` in a window's first event.
    pub state: Box<RawValue>,
    /// Whether this is the window's last event. Lambda drops the state afterwards.
    pub is_final: bool,
    /// Whether Lambda ended the window early, because its state exceeded 1 MB.
    pub terminated_early: bool,
}

/// The response to an event.
#[derive(Clone, Debug, Default, Serialize)]
pub struct EventResponse {
    /// The window's state. Lambda treats a response without it as a failure if the event has a window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Box<RawValue>>,
    /// The records to retry; empty if all are committed. Lambda retries the lowest one and all after it. The event
    /// source mapping needs `ReportBatchItemFailures` among its `FunctionResponseTypes`; without it, Lambda ignores
    /// this list.
    #[serde(rename = "batchItemFailures")]
    pub batch_item_failures: Vec<BatchItemFailure>,
}

impl EventResponse {
    /// The response's text.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a response can always be encoded")
    }
}

/// A record to retry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BatchItemFailure {
    /// The sequence number as the event has it: see [`Sequences::failure`]. If it is empty, Lambda retries the whole
    /// batch.
    #[serde(rename = "itemIdentifier")]
    pub item_identifier: String,
}

/// The sequence numbers as the event has them, because a response must repeat their exact text.
///
/// The text is nearly always the number's decimal form. Only other texts, those with leading zeros, are kept. They are
/// found by number, not by the record's index, because one stream record may contain several records of the batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequences(BTreeMap<SequenceNumber, Box<str>>);

impl Sequences {
    /// Keeps the text of a sequence number if it is not the decimal form.
    pub(super) fn keep(&mut self, sequence: SequenceNumber, text: &str) {
        if text.len() > 1 && text.starts_with('0') {
            self.0.entry(sequence).or_insert_with(|| text.into());
        }
    }

    /// The text of a sequence number.
    pub fn text(&self, sequence: SequenceNumber) -> Cow<'_, str> {
        self.0.get(&sequence).map_or_else(|| Cow::Owned(sequence.to_string()), |text| Cow::Borrowed(&**text))
    }

    /// The entry of a response that makes Lambda retry this record and all after it.
    pub fn failure(&self, sequence: SequenceNumber) -> BatchItemFailure {
        BatchItemFailure { item_identifier: self.text(sequence).into_owned() }
    }
}
