//! Where in a shard to go on.

use aws_sdk_kinesis::operation::get_shard_iterator::builders::GetShardIteratorFluentBuilder;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition};

/// Where in a shard to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IteratorPosition {
    /// At its oldest record.
    TrimHorizon,
    /// At the first record that arrived then or later, in milliseconds since 1970.
    At(i64),
    /// After the record of this sequence number.
    After(String),
}

impl IteratorPosition {
    fn kind(&self) -> ShardIteratorType {
        match self {
            Self::TrimHorizon => ShardIteratorType::TrimHorizon,
            Self::At(_) => ShardIteratorType::AtTimestamp,
            Self::After(_) => ShardIteratorType::AfterSequenceNumber,
        }
    }

    /// Completes a request for an iterator.
    pub(super) fn iterator(&self, request: GetShardIteratorFluentBuilder) -> GetShardIteratorFluentBuilder {
        let request = request.shard_iterator_type(self.kind());
        match self {
            Self::TrimHorizon => request,
            Self::At(time) => request.timestamp(DateTime::from_millis(*time)),
            Self::After(sequence) => request.starting_sequence_number(sequence),
        }
    }

    /// Where a subscription begins.
    pub(super) fn subscription(&self) -> StartingPosition {
        let position = StartingPosition::builder().r#type(self.kind());
        let position = match self {
            Self::TrimHorizon => position,
            Self::At(time) => position.timestamp(DateTime::from_millis(*time)),
            Self::After(sequence) => position.sequence_number(sequence),
        };
        position.build().expect("its type is set")
    }
}
