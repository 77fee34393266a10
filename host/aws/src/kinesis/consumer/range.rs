//! Some records of one shard, read once more by their sequence numbers: without a checkpoint and without a registered
//! consumer, so that nobody else notices.

use std::sync::Arc;

use paceline_pipeline::model::{Batch, SequenceNumber};

use super::batcher::push;
use super::iterator_position::IteratorPosition;
use super::reader::{Poll, ReaderContext};
use super::status::Status;
use crate::kinesis::client::Stream;
use crate::kinesis::config::KinesisConfig;
use crate::kinesis::describe;
use crate::kinesis::error::{StreamError, StreamErrorKind};
use crate::kinesis::shard::Shard;
use crate::kpl;

/// Consecutive records of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The shard's id, such as `shardId-000000000000`.
    pub shard: String,
    /// The sequence number of the first record.
    pub first: SequenceNumber,
    /// The sequence number of the last record.
    pub last: SequenceNumber,
}

/// The records of a range that the stream still has.
#[derive(Debug)]
pub struct RangeRecords {
    /// The user records. Its shard is `STREAM/SHARD`, as in the positions of a function.
    pub batch: Batch,
    /// How many records of the stream they came from; of an aggregate, several do.
    pub stream_records: usize,
    /// Whether the first record is among them. If it has expired, others may have expired with it.
    pub from_first: bool,
}

/// Reads ranges of a stream.
#[derive(Debug)]
pub struct RangeReader {
    context: ReaderContext,
    shards: Vec<Shard>,
}

impl RangeReader {
    /// Connects to a stream, and lists its shards.
    ///
    /// # Errors
    ///
    /// The stream can't be read.
    pub async fn open(config: &KinesisConfig) -> Result<Self, StreamError> {
        let stream = Stream::connect(config).await?;
        describe::active(&stream).await?;
        let shards = describe::shards(&stream).await?;
        let status = Arc::new(Status::new(stream.clock.clone()));
        let context = ReaderContext { stream, config: Arc::new(config.clone()), status, consumer_arn: None };
        Ok(Self { context, shards })
    }

    /// Reads the records of a range, retrying what is transient. Records that have expired are left out.
    ///
    /// # Errors
    ///
    /// The shard can't be read.
    pub async fn read(&self, range: &Range) -> Result<RangeRecords, StreamError> {
        let shard = format!("{}/{}", self.context.config.stream, range.shard);
        let mut records = RangeRecords { batch: Batch::new(shard.into()), stream_records: 0, from_first: false };
        // A shard goes when all of its records have expired.
        if let Some(shard) = self.shards.iter().find(|shard| *shard.id == *range.shard) {
            read(&self.context, shard.clone(), range, &mut records).await?;
            kpl::unpack(&mut records.batch, None);
        }
        Ok(records)
    }
}

async fn read(
    context: &ReaderContext,
    shard: Shard,
    range: &Range,
    records: &mut RangeRecords,
) -> Result<(), StreamError> {
    let position = IteratorPosition::AtSequence(range.first.to_string());
    let mut reader = Poll::new(context.clone(), shard, position);
    loop {
        let chunk = match reader.next().await {
            Ok(chunk) => chunk,
            Err(error) if error.kind == StreamErrorKind::Missing => return Ok(()),
            Err(error) => return Err(error),
        };
        for record in &chunk.records {
            let added = push(&mut records.batch, record).map_err(|error| {
                let text = format_args!("{} returned a record without a valid sequence number", range.shard);
                context.stream.stream_ref.error(StreamErrorKind::Fatal, text).with_source(error)
            })?;
            let sequence = added.position.sequence;
            if sequence > range.last {
                records.batch.records.pop();
                return Ok(());
            }
            records.stream_records += 1;
            records.from_first |= sequence == range.first;
            if sequence == range.last {
                return Ok(());
            }
        }
        if chunk.children.is_some() || (chunk.records.is_empty() && chunk.behind_ms == 0) {
            return Ok(());
        }
    }
}
