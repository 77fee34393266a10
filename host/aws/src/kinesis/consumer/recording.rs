//! The records that a stream holds now, read without a checkpoint and without a registered consumer: nobody else notices.

use std::collections::VecDeque;
use std::sync::Arc;

use paceline_pipeline::model::{Batch, BatchLimits};

use super::batcher::Batcher;
use super::iterator_position::IteratorPosition;
use super::reader::{Poll, ReaderContext, RecordChunk, arrival_ms};
use super::status::Status;
use crate::kinesis::client::Stream;
use crate::kinesis::config::{KinesisConfig, Start, timestamp};
use crate::kinesis::describe;
use crate::kinesis::error::{StreamError, StreamErrorKind};
use crate::kinesis::shard::Shard;

/// The records from a moment on that arrived before the reading began.
///
/// Shards are read in turns, by polling, parents before their children. They share Kinesis's limits with the consumers
/// that poll the stream, which may be throttled.
#[derive(Debug)]
pub struct Recording {
    context: ReaderContext,
    position: IteratorPosition,
    /// When the reading began, by the service's clock. Later records are left out.
    until_ms: i64,
    /// The shards that are not read to the end.
    shards: VecDeque<RecordedShard>,
    /// Batches that are complete.
    ready: VecDeque<Batch>,
}

/// A shard that is being read.
#[derive(Debug)]
struct RecordedShard {
    shard: Shard,
    reader: Option<Poll>,
    batcher: Batcher,
}

impl Recording {
    /// The records of the configured stream from `start` on. `name` is the stream's name in positions; by default its own.
    pub async fn open(
        config: &KinesisConfig,
        name: Option<&str>,
        limits: BatchLimits,
        start: Start,
    ) -> Result<Self, StreamError> {
        let stream = Stream::connect(config).await?;
        describe::active(&stream).await?;
        let now = stream.clock.now();
        let until_ms = now.now_ms;
        let position = match start {
            Start::TrimHorizon => IteratorPosition::TrimHorizon,
            Start::Latest => IteratorPosition::At(now.passed_ms),
            Start::At(start_ms) if start_ms > until_ms => {
                let (start, now) = (timestamp(start_ms), timestamp(until_ms));
                let text = format_args!("no record arrived since {start}: the service's clock is at {now}");
                return Err(stream.stream_ref.error(StreamErrorKind::Fatal, text));
            }
            Start::At(start_ms) => IteratorPosition::At(start_ms),
        };
        let name = name.unwrap_or(&config.stream);
        let recorded = |shard: Shard| {
            let shard_name: Arc<str> = format!("{name}/{}", shard.id).into();
            let batcher = Batcher::new(shard_name, shard.hash_range, limits.clone(), config.misrouted);
            RecordedShard { shard, reader: None, batcher }
        };
        let shards = describe::shards(&stream).await?.into_iter().map(recorded).collect();
        let status = Arc::new(Status::new(stream.clock.clone()));
        let context = ReaderContext { stream, config: Arc::new(config.clone()), status, consumer_arn: None };
        Ok(Self { context, position, until_ms, shards, ready: VecDeque::new() })
    }

    /// The next batch; `None` once every shard is read as far as it was written when the reading began.
    pub async fn next(&mut self) -> Result<Option<Batch>, StreamError> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            let Some(mut recorded) = self.next_shard() else { return Ok(None) };
            let reader = recorded
                .reader
                .get_or_insert_with(|| Poll::new(self.context.clone(), recorded.shard.clone(), self.position.clone()));
            let is_done = match reader.next().await {
                Ok(chunk) => self.take(&mut recorded, &chunk)?,
                // Its records have expired, and it with them.
                Err(error) if error.kind == StreamErrorKind::Missing => true,
                Err(error) => return Err(error),
            };
            match is_done {
                true => self.ready.extend(recorded.batcher.take()),
                false => self.shards.push_back(recorded),
            }
        }
    }

    /// The next shard whose parents are read. A shard's parents come from outside or are among the others, so there is one.
    fn next_shard(&mut self) -> Option<RecordedShard> {
        let waits = |shard: &Shard| self.shards.iter().any(|other| shard.parents.contains(&other.shard.id));
        let at = self.shards.iter().position(|recorded| !waits(&recorded.shard))?;
        self.shards.remove(at)
    }

    /// Takes records into batches. Returns whether the shard is read far enough.
    fn take(&mut self, recorded: &mut RecordedShard, chunk: &RecordChunk) -> Result<bool, StreamError> {
        for record in &chunk.records {
            if arrival_ms(record).is_some_and(|arrival_ms| arrival_ms > self.until_ms) {
                return Ok(true);
            }
            recorded.batcher.push(record).map_err(|error| {
                let text = format_args!("{} returned a record without a valid sequence number", recorded.shard.id);
                self.context.stream.stream_ref.error(StreamErrorKind::Fatal, text).with_source(error)
            })?;
            if recorded.batcher.is_full() {
                self.ready.extend(recorded.batcher.take());
            }
        }
        Ok(chunk.children.is_some() || (chunk.records.is_empty() && chunk.behind_ms == 0))
    }
}
