//! Where in a shard to resume, as requests express it.

use std::fmt;

use aws_sdk_kinesis::operation::get_shard_iterator::builders::GetShardIteratorFluentBuilder;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition};

use crate::kinesis::config::timestamp;
use crate::kinesis::polled_stream::PolledFrom;

/// Where in a shard to resume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IteratorPosition {
    /// The oldest record.
    TrimHorizon,
    /// The first record that arrived at this time or later, in milliseconds since 1970.
    At(i64),
    /// The record with this sequence number, or the oldest one if it has expired.
    AtSequence(String),
    /// The record after this sequence number.
    After(String),
}

impl IteratorPosition {
    fn kind(&self) -> ShardIteratorType {
        match self {
            Self::TrimHorizon => ShardIteratorType::TrimHorizon,
            Self::At(_) => ShardIteratorType::AtTimestamp,
            Self::AtSequence(_) => ShardIteratorType::AtSequenceNumber,
            Self::After(_) => ShardIteratorType::AfterSequenceNumber,
        }
    }

    /// Sets the position of a request for an iterator.
    pub(super) fn set_on(&self, request: GetShardIteratorFluentBuilder) -> GetShardIteratorFluentBuilder {
        let request = request.shard_iterator_type(self.kind());
        match self {
            Self::TrimHorizon => request,
            Self::At(time) => request.timestamp(DateTime::from_millis(*time)),
            Self::AtSequence(sequence) | Self::After(sequence) => request.starting_sequence_number(sequence),
        }
    }

    /// The position in a stream in another place than Kinesis.
    pub(super) fn polled_from(&self) -> PolledFrom<'_> {
        match self {
            Self::TrimHorizon => PolledFrom::TrimHorizon,
            Self::At(time) => PolledFrom::At(*time),
            Self::AtSequence(sequence) => PolledFrom::AtSequence(sequence),
            Self::After(sequence) => PolledFrom::After(sequence),
        }
    }

    /// The position of a subscription.
    pub(super) fn starting_position(&self) -> StartingPosition {
        let position = StartingPosition::builder().r#type(self.kind());
        let position = match self {
            Self::TrimHorizon => position,
            Self::At(time) => position.timestamp(DateTime::from_millis(*time)),
            Self::AtSequence(sequence) | Self::After(sequence) => position.sequence_number(sequence),
        };
        position.build().expect("the type is set")
    }
}

impl fmt::Display for IteratorPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrimHorizon => f.write_str("from its oldest record"),
            Self::At(time) => write!(f, "from {}", timestamp(*time)),
            Self::AtSequence(sequence) => write!(f, "from {sequence}"),
            Self::After(sequence) => write!(f, "after {sequence}"),
        }
    }
}
