//! Events of Lambda's event source mapping for Kinesis, and the answer to them.
//!
//! An event is read once, from its bytes into a batch: payloads are decoded straight into the batch's buffer, and
//! nothing is allocated for a record on its own. The types are ours because those of `aws_lambda_events` refuse
//! partition keys that are null and the states of tumbling windows that are more than texts, and can't answer a window
//! and name the records that failed at once.
//!
//! # Layout
//!
//! - `read`: the event as a whole, and its records one by one into the batch.
//! - `record`: a record as Lambda writes it, and what its values say.
//! - `shape`: records that are written like the one before are not parsed, but compared.
//! - `json`: from one JSON value of the event to the next.
//! - `error`: what can be wrong with an event.

mod error;
mod json;
mod read;
mod record;
mod shape;

use std::borrow::Cow;
use std::collections::BTreeMap;

use paceline_pipeline::model::SequenceNumber;
use paceline_pipeline::model::{Batch, Span};
use serde::Serialize;
use serde_json::value::RawValue;

pub use error::EventError;
pub use read::read;

/// What Lambda passes to the function.
#[derive(Clone, Debug)]
pub struct Event {
    /// The stream's name. Nothing where there are no records and no window.
    pub stream: Option<String>,
    /// The shard's name in its stream, such as `shardId-000000000006`. Nothing without records and window.
    pub shard: Option<String>,
    /// The records. The shard's name here is that of the stream and its own: `alleycat/shardId-000000000006`.
    ///
    /// Aggregates of the Kinesis Producer Library are one record each, with the sub-sequence 0.
    pub batch: Batch,
    /// The records' sequence numbers as they were written.
    pub sequences: Sequences,
    /// Records whose data can't be decoded. They stand in the batch with an empty payload.
    pub unreadable: Vec<Unreadable>,
    /// The tumbling window, if the event source mapping has one.
    pub window: Option<Window>,
}

/// Sequence numbers as they were written. The answer to an event names records by the very text that came in.
///
/// Nearly always that is the number's plain decimal form, so only other texts are kept: those with leading zeros. They
/// are found by number, not by the record's index, as several records of a batch may come out of one of the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequences(BTreeMap<SequenceNumber, Box<str>>);

impl Sequences {
    /// The text of a record's sequence number.
    pub fn text(&self, sequence: SequenceNumber) -> Cow<'_, str> {
        self.0.get(&sequence).map_or_else(|| Cow::Owned(sequence.to_string()), |text| Cow::Borrowed(&**text))
    }

    /// The answer's word that this record, and with it all that come after, are to be sent again.
    pub fn failure(&self, sequence: SequenceNumber) -> ItemFailure {
        ItemFailure { item_identifier: self.text(sequence).into_owned() }
    }
}

/// A record whose data is not base64. Nobody can use it, however often it comes: it is for the dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its index in the batch.
    pub record: usize,
    /// Its data as it came, in the batch's bytes: UTF-8.
    pub text: Span,
    /// What is wrong with it.
    pub why: String,
}

/// A tumbling window. Lambda adds a state to each of its events: that which the answer to the one before had.
#[derive(Clone, Debug)]
pub struct Window {
    /// When it began, as Lambda writes it: `2021-05-05T18:51:00Z`.
    pub start: String,
    /// When it ends.
    pub end: String,
    /// The state's JSON as it came, `{}` in a window's first event.
    pub state: Box<RawValue>,
    /// This is the window's last event: its state is dropped afterwards.
    pub is_final: bool,
    /// The window was closed before its time, because its state grew beyond 1 MB.
    pub terminated_early: bool,
}

/// The answer to an event.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Answer {
    /// The window's state. Lambda takes an answer without it for a failure if there is a window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Box<RawValue>>,
    /// Records to be sent again; none if all went well. The lowest counts: Lambda sends it and all after it. It needs
    /// `ReportBatchItemFailures` among the event source mapping's `FunctionResponseTypes`, and ignores this otherwise.
    #[serde(rename = "batchItemFailures")]
    pub failures: Vec<ItemFailure>,
}

/// A record to be sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ItemFailure {
    /// Its sequence number, as it came: [`Sequences::failure`] makes it. An empty one has the whole batch sent again.
    #[serde(rename = "itemIdentifier")]
    pub item_identifier: String,
}
