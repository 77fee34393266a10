//! Why an event can't be decoded.

use std::fmt;

use paceline_pipeline::model::NotASequenceNumber;

/// The event can't be decoded. None of its records is processed, and a retry of the event fails as well: either
/// something other than a Kinesis event source mapping invokes the function, or Lambda's format has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The text is not JSON.
    #[error(
        "the event is not JSON: {what} at byte {byte}; send it in the format of Lambda's event source mapping for \
         Kinesis"
    )]
    NotJson {
        /// The rule that the text breaks.
        what: String,
        /// The offset in the event.
        byte: usize,
    },
    /// The text is JSON, but has no records.
    #[error(
        "the event has no `Records`: it is {found}. This function processes batches of a Kinesis stream: check that an \
         event source mapping for Kinesis invokes it"
    )]
    NoRecords {
        /// A description of the JSON value.
        found: String,
    },
    /// The records are of another service.
    #[error(
        "Records[{record}].eventSource is {service}, not aws:kinesis. This function processes batches of a Kinesis \
         stream: check its event source mappings"
    )]
    NotKinesis {
        /// The record's index.
        record: usize,
        /// The value of `eventSource`.
        service: String,
    },
    /// A record lacks a required field.
    #[error("Records[{record}] has no `{field}`, which every record of a Kinesis event has: {why}")]
    MissingField {
        /// The record's index.
        record: usize,
        /// The field's path in the record.
        field: &'static str,
        /// Why the field is required.
        why: &'static str,
    },
    /// A value has a type that Lambda does not use there.
    #[error("{path} has the wrong type: {what}, at byte {byte} of the event")]
    WrongType {
        /// The value, or the record that contains it.
        path: String,
        /// The expected type, and the type found.
        what: String,
        /// The offset in the event: in the value, or right after it.
        byte: usize,
    },
    /// A record's sequence number is not a number.
    #[error("Records[{record}].kinesis.sequenceNumber")]
    SequenceNumber {
        /// The record's index.
        record: usize,
        /// Why it is not one.
        source: NotASequenceNumber,
    },
    /// The records are of more than one shard. Dedup and responses are by shard, and Lambda never mixes shards.
    #[error(
        "{path} names {found}, but the records before it are of {known}: an event holds records of one shard; send the \
         others in a separate event"
    )]
    TwoShards {
        /// The value.
        path: String,
        /// The stream or shard of the records before.
        known: String,
        /// The stream or shard that the value names.
        found: String,
    },
}

/// The beginning of a text, which keeps messages short for any input.
pub(super) fn beginning(text: impl fmt::Display) -> String {
    /// Longer than AWS's ARNs and numbers.
    const CHARACTERS: usize = 100;

    let text = text.to_string();
    match text.char_indices().nth(CHARACTERS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
