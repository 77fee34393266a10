//! What can be wrong with an event.

use std::fmt;

use paceline_pipeline::model::NotASequenceNumber;

/// The event can't be read. None of its records was touched, and the same event would fail again: either something
/// other than a Kinesis event source mapping invokes the function, or Lambda's format has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The text breaks off or breaks JSON's rules.
    #[error("the event is not JSON: {what} at byte {byte}; send it as Lambda's event source mapping writes it")]
    NotJson {
        /// Which rule.
        what: String,
        /// Where, counted from 0.
        byte: usize,
    },
    /// It may be an event, but not one with records.
    #[error(
        "the event has no `Records`: it is {looks}. This function takes batches of a Kinesis stream: check what \
         invokes it, it should be an event source mapping"
    )]
    NoRecords {
        /// What it is instead.
        looks: String,
    },
    /// The records are those of another service.
    #[error(
        "Records[{record}].eventSource is {service}, not aws:kinesis. This function takes batches of a Kinesis stream: \
         check its event source mappings"
    )]
    NotKinesis {
        /// The record's index.
        record: usize,
        /// Whose it is.
        service: String,
    },
    /// A record lacks something that can't be done without.
    #[error("Records[{record}] has no `{field}`, which every record of a Kinesis event has: {why}")]
    Missing {
        /// The record's index.
        record: usize,
        /// What it lacks.
        field: &'static str,
        /// What for.
        why: &'static str,
    },
    /// A value has another type than Lambda gives it.
    #[error("{path} is not as Lambda writes it: {what}, seen at byte {byte} of the event")]
    WrongType {
        /// The value, or the record that it is in.
        path: String,
        /// What it is, and what was wanted.
        what: String,
        /// Where that was seen, counted from 0: in the value, or right behind it.
        byte: usize,
    },
    /// A text does not have the form that Lambda gives it.
    #[error("{path} is `{text}`, where {wanted} was expected")]
    WrongForm {
        /// The value.
        path: String,
        /// Its beginning.
        text: String,
        /// The form.
        wanted: &'static str,
    },
    /// A record that has no place among the others.
    #[error("Records[{record}].kinesis.sequenceNumber: {why}")]
    NotASequenceNumber {
        /// The record's index.
        record: usize,
        /// What it is instead.
        why: NotASequenceNumber,
    },
    /// What is folded and reported goes by shard, and Lambda never mixes them.
    #[error(
        "{path} says that the shard is {other}, but the records before it are from {shard}: an event has the records \
         of one shard; send those of the other in an event of their own"
    )]
    TwoShards {
        /// The value.
        path: String,
        /// The stream or shard so far.
        shard: String,
        /// The stream or shard that it says.
        other: String,
    },
}

/// The beginning of a text, so that a message stays readable whatever was sent.
pub(super) fn beginning(text: impl fmt::Display) -> String {
    /// Longer than the ARNs and numbers of AWS that one wants to see.
    const CHARACTERS: usize = 100;

    let text = text.to_string();
    match text.char_indices().nth(CHARACTERS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
