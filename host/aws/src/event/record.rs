//! A record as Lambda writes it, and what its values say.

use std::borrow::Cow;
use std::ops::Deref;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A text, borrowed from the event unless it has escapes.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// A record of the event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a record of Kinesis")]
pub(super) struct Written<'a> {
    #[serde(borrow)]
    pub(super) kinesis: Option<WrittenKinesis<'a>>,
    // SNS writes it with a capital: known here so that the message can say whose event it is.
    #[serde(borrow, alias = "EventSource")]
    pub(super) event_source: Option<Text<'a>>,
    #[serde(borrow, rename = "eventID")]
    pub(super) event_id: Option<Text<'a>>,
    #[serde(borrow, rename = "eventSourceARN")]
    pub(super) event_source_arn: Option<Text<'a>>,
}

/// A record's part that comes from the stream.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "what Kinesis knows of a record")]
pub(super) struct WrittenKinesis<'a> {
    #[serde(borrow)]
    pub(super) partition_key: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) sequence_number: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) data: Option<Text<'a>>,
    // The number's text tells where it stands.
    #[serde(borrow)]
    pub(super) approximate_arrival_timestamp: Option<&'a RawValue>,
}

/// What is taken from a record.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Values<'a> {
    pub(super) partition_key: Option<&'a str>,
    pub(super) sequence: &'a str,
    pub(super) data: &'a str,
    pub(super) arrival: Option<&'a str>,
}

/// Seconds in JSON's digits as milliseconds. An f64 tells today's milliseconds apart and has room for a thousandfold of
/// them: rounding gives the very one that was written.
pub(super) fn milliseconds(seconds: &str) -> Option<i64> {
    let seconds: f64 = seconds.parse().ok()?;
    let milliseconds = (seconds * 1_000.0).round();
    milliseconds.is_finite().then_some(milliseconds as i64)
}

/// What is wrong with a text that is not base64.
pub(super) fn why_not_base64(text: &str) -> String {
    let letters = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    let foreign = |(_, letter): &(usize, char)| !letter.is_ascii_alphanumeric() && !matches!(letter, '+' | '/');
    match letters.char_indices().find(foreign) {
        Some((at, letter)) => format!("its data is not base64: it has {letter:?} at byte {at}"),
        None if !text.len().is_multiple_of(4) => {
            format!("its data is not base64: its length, {}, is not a multiple of four", text.len())
        }
        None => "its data is not base64: its last letter has bits that belong to no byte".to_owned(),
    }
}
