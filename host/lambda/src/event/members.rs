//! The members of a record that may be otherwise than Lambda sends them: what is there is taken, with a remark.

use std::borrow::Cow;

use paceline_pipeline::model::SequenceNumber;
use serde_json::value::RawValue;

use super::error::{EventError, beginning};
use super::record::{Arrival, EventRecord, arrival, kind, string, text_or_number};
use super::remark::Remarks;

/// Whether a record is of Kinesis, as far as it names a service.
pub(super) fn check_service(record: &EventRecord<'_>, index: usize, remarks: &mut Remarks) -> Result<(), EventError> {
    let Some(raw) = record.event_source else { return Ok(()) };
    match string(raw) {
        Some(service) if service == "aws:kinesis" => {}
        Some(service) => return Err(EventError::NotKinesis { record: index, service: beginning(service) }),
        None => remarks
            .add("eventSource", || format!("Records[{index}].eventSource is {}, not a text: it is ignored", kind(raw))),
    }
    Ok(())
}

/// The text of a record's sequence number: its own, or the one in its id. `None` if there is none.
pub(super) fn sequence<'r>(
    own: Option<&'r RawValue>,
    of_id: Option<&'r str>,
    index: usize,
    remarks: &mut Remarks,
) -> Result<Option<Cow<'r, str>>, EventError> {
    let number = |text: &str| text.parse::<SequenceNumber>();
    let path = || format!("Records[{index}].kinesis.sequenceNumber");
    let written = own.map(|raw| text_or_number(raw).unwrap_or(Cow::Borrowed(raw.get())));
    let wrong = match (&written, own) {
        (Some(written), Some(raw)) => match number(written) {
            Ok(_) => {
                if !raw.get().starts_with('"') {
                    remarks.add("sequenceNumber", || format!("{} is a number, not a text", path()));
                }
                return Ok(Some(Cow::clone(written)));
            }
            Err(source) => Some(EventError::SequenceNumber { record: index, source }),
        },
        _ => None,
    };
    match (of_id.filter(|of_id| number(of_id).is_ok()), wrong) {
        (Some(of_id), wrong) => {
            remarks.add("sequenceNumber", || {
                let what = if wrong.is_some() { "is not a sequence number" } else { "is missing" };
                format!("{} {what}: the one in `eventID` is taken", path())
            });
            Ok(Some(Cow::Borrowed(of_id)))
        }
        (None, Some(wrong)) => Err(wrong),
        (None, None) => Ok(None),
    }
}

/// The text of a record's partition key.
pub(super) fn partition_key<'r>(raw: &'r RawValue, index: usize, remarks: &mut Remarks) -> Option<Cow<'r, str>> {
    let key = text_or_number(raw);
    if !raw.get().starts_with('"') || key.is_none() {
        remarks.add("partitionKey", || {
            let what = if key.is_some() { "its digits are taken" } else { "the record has none" };
            let found = match raw.get().starts_with('"') {
                true => "has half of a character (an unpaired surrogate)".to_owned(),
                false => format!("is {}, not a text", kind(raw)),
            };
            format!("Records[{index}].kinesis.partitionKey {found}: {what}")
        });
    }
    key
}

/// A record's arrival in milliseconds since 1970, if it is known.
pub(super) fn arrival_ms(json: &str, record: usize, remarks: &mut Remarks) -> Option<i64> {
    let (known, what) = match arrival(json) {
        Arrival::Seconds(ms) => return Some(ms),
        Arrival::Milliseconds(ms) => (Some(ms), "it is taken as milliseconds"),
        Arrival::Unknown => (None, "the time is unknown"),
    };
    remarks.add("approximateArrivalTimestamp", || {
        format!(
            "Records[{record}].kinesis.approximateArrivalTimestamp is `{}`, not a number of seconds since 1970: {what}",
            beginning(json)
        )
    });
    known
}

/// The error that nothing says where a record is. Without its position it can't even become a dead letter.
pub(super) fn missing_position(record: usize, has_part: bool) -> EventError {
    let (field, why) = match has_part {
        true => ("kinesis.sequenceNumber", "it is the record's position in the shard"),
        false => ("kinesis", "it holds the stream's part of the record"),
    };
    EventError::MissingField { record, field, why }
}
