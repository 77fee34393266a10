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

/// A record of the event, as parsed. Its members are raw, because one with an unexpected type must not fail the others.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a Kinesis record")]
pub(super) struct EventRecord<'a> {
    #[serde(borrow)]
    pub(super) kinesis: Option<&'a RawValue>,
    // SNS begins it with a capital; with the alias, the error can name that service.
    #[serde(borrow, alias = "EventSource")]
    pub(super) event_source: Option<&'a RawValue>,
    #[serde(borrow, rename = "eventID")]
    pub(super) event_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "eventSourceARN")]
    pub(super) event_source_arn: Option<&'a RawValue>,
}

/// The part of a record that comes from the stream.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "the stream's part of a record")]
pub(super) struct StreamPart<'a> {
    #[serde(borrow)]
    pub(super) partition_key: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) sequence_number: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) approximate_arrival_timestamp: Option<&'a RawValue>,
}

impl<'a> StreamPart<'a> {
    /// Parses the value of `kinesis`, if it is an object.
    pub(super) fn parse(raw: &'a RawValue) -> Option<Self> {
        // serde would accept an array.
        raw.get().starts_with('{').then(|| serde_json::from_str(raw.get()).ok()).flatten()
    }
}

/// The text of a JSON string.
pub(super) fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(raw.get()).ok().map(|Text(text)| text)
}

/// The text of a JSON string, or the digits of a number.
pub(super) fn text_or_number(raw: &RawValue) -> Option<Cow<'_, str>> {
    let is_number = raw.get().starts_with(|first: char| first == '-' || first.is_ascii_digit());
    if is_number { Some(Cow::Borrowed(raw.get())) } else { string(raw) }
}

/// The type of a JSON value, with its article.
pub(super) fn kind(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'"') => "a text",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// The values of a record that a batch needs, as the event has them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct RecordValues<'a> {
    pub(super) partition_key: Option<&'a str>,
    pub(super) sequence: &'a str,
    pub(super) data: &'a [u8],
    pub(super) arrival: Option<&'a str>,
}

/// A record's time of arrival.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Arrival {
    /// In milliseconds since 1970, from seconds.
    Seconds(i64),
    /// In milliseconds since 1970, as some emulators send it.
    Milliseconds(i64),
    /// No time since 1970.
    Unknown,
}

/// Reads a time of arrival, as JSON has it. The rounding is exact: an f64 resolves a thousandth of today's milliseconds.
pub(super) fn arrival(json: &str) -> Arrival {
    /// As seconds this is the year 5138, as milliseconds 1973.
    const MILLISECONDS_FROM: f64 = 1e11;

    match json.parse::<f64>() {
        // Rust reads more texts as numbers than JSON has: these begin as JSON's do.
        Ok(time) if json.starts_with(|first: char| first.is_ascii_digit()) && time.is_finite() => {
            if time < MILLISECONDS_FROM {
                Arrival::Seconds((time * 1_000.0).round() as i64)
            } else {
                Arrival::Milliseconds(time.round() as i64)
            }
        }
        _ => Arrival::Unknown,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_arrival_is_in_seconds_or_in_milliseconds() {
        assert_eq!(arrival("1545084650.987"), Arrival::Seconds(1_545_084_650_987));
        assert_eq!(arrival("1.545084651E9"), Arrival::Seconds(1_545_084_651_000));
        assert_eq!(arrival("0"), Arrival::Seconds(0));
        assert_eq!(arrival("1545084650987"), Arrival::Milliseconds(1_545_084_650_987));
        for json in ["-1", "\"1545084650.987\"", "true", "[1]", "{}", "1e999"] {
            assert_eq!(arrival(json), Arrival::Unknown, "{json}");
        }
    }
}
