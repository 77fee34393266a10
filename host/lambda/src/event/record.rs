//! A record in Lambda's format, and the meaning of its values.

use std::borrow::Cow;
use std::ops::Deref;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A string, borrowed from the event unless it has escapes.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// A record of the event, as parsed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a Kinesis record")]
pub(super) struct EventRecord<'a> {
    #[serde(borrow)]
    pub(super) kinesis: Option<KinesisPart<'a>>,
    // SNS begins it with a capital; with the alias, the error can name that service.
    #[serde(borrow, alias = "EventSource")]
    pub(super) event_source: Option<Text<'a>>,
    #[serde(borrow, rename = "eventID")]
    pub(super) event_id: Option<Text<'a>>,
    #[serde(borrow, rename = "eventSourceARN")]
    pub(super) event_source_arn: Option<Text<'a>>,
}

/// The part of a record that comes from the stream.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "the stream's part of a record")]
pub(super) struct KinesisPart<'a> {
    #[serde(borrow)]
    pub(super) partition_key: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) sequence_number: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) data: Option<Text<'a>>,
    // Raw, because `RecordLayout` needs the position of the number's text.
    #[serde(borrow)]
    pub(super) approximate_arrival_timestamp: Option<&'a RawValue>,
}

/// The values of a record that a batch needs, as text.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct RecordValues<'a> {
    pub(super) partition_key: Option<&'a str>,
    pub(super) sequence: &'a str,
    pub(super) data: &'a str,
    pub(super) arrival: Option<&'a str>,
}

/// Converts seconds, as JSON has them, to milliseconds. The rounding is exact: an f64 resolves a thousandth of today's
/// milliseconds.
pub(super) fn milliseconds(seconds: &str) -> Option<i64> {
    let seconds: f64 = seconds.parse().ok()?;
    let milliseconds = (seconds * 1_000.0).round();
    milliseconds.is_finite().then_some(milliseconds as i64)
}

/// Why a text is not base64.
pub(super) fn why_not_base64(text: &str) -> String {
    let digits = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    let invalid = |(_, digit): &(usize, char)| !digit.is_ascii_alphanumeric() && !matches!(digit, '+' | '/');
    match digits.char_indices().find(invalid) {
        Some((at, digit)) => format!("the data is not base64: unexpected {digit:?} at byte {at}"),
        None if !text.len().is_multiple_of(4) => {
            format!("the data is not base64: its length, {}, is not a multiple of four", text.len())
        }
        None => "the data is not base64: the unused bits of its last digit are not zero".to_owned(),
    }
}
