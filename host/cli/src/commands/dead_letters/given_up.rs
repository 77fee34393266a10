//! Where the records of batches that were given up come from: the messages of a queue, or files.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use anyhow::Context;
use paceline_aws::given_up::{GivenUpBatch, Message, Queue};
use paceline_aws::kinesis::{KinesisConfig, Range, RangeReader};
use paceline_config::Config;
use paceline_pipeline::ErrorChain;
use paceline_pipeline::model::{Batch, SequenceNumber};

/// Where they come from.
pub(super) enum Source {
    Queue { queue: Queue, left: Vec<Message>, seen: HashSet<String> },
    Files(std::vec::IntoIter<PathBuf>),
}

/// The record of a batch, as it was found.
pub(super) struct Item {
    /// The message's id, or the file.
    pub(super) name: String,
    pub(super) text: String,
    message: Option<Message>,
}

impl Source {
    pub(super) async fn of_queue(url: &str) -> anyhow::Result<Self> {
        let (left, seen) = (Vec::new(), HashSet::new());
        Ok(Self::Queue { queue: Queue::connect(url).await?, left, seen })
    }

    /// The next one; `None` at the end.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Item>> {
        match self {
            Self::Files(paths) => {
                let Some(path) = paths.next() else { return Ok(None) };
                let text = std::fs::read_to_string(&path);
                let name = path.display().to_string();
                Ok(Some(Item { text: text.with_context(|| name.clone())?, name, message: None }))
            }
            Self::Queue { queue, left, seen } => {
                // A queue may deliver a message twice, and one that is left comes again after a quarter of an hour.
                while let Some(message) = queue.receive().await? {
                    if seen.insert(message.id.clone()) {
                        let (name, text) = (message.id.clone(), message.body.clone());
                        return Ok(Some(Item { name, text, message: Some(message) }));
                    }
                    left.push(message);
                }
                Ok(None)
            }
        }
    }

    /// Removes one whose records are stored.
    pub(super) async fn remove(&self, item: &Item) -> anyhow::Result<()> {
        if let (Self::Queue { queue, .. }, Some(message)) = (self, &item.message) {
            queue.delete(message).await?;
        }
        Ok(())
    }

    /// Leaves one where it is.
    pub(super) fn leave(&mut self, item: Item) {
        if let (Self::Queue { left, .. }, Some(message)) = (self, item.message) {
            left.push(message);
        }
    }

    /// Shows those that were left to others.
    pub(super) async fn release(self) {
        let Self::Queue { queue, left, .. } = self else { return };
        for message in &left {
            if let Err(error) = queue.release(message).await {
                tracing::warn!("a message is shown again by itself later: {}", ErrorChain(&error));
            }
        }
    }
}

/// The records of a batch.
pub(super) struct Found {
    pub(super) batch: Batch,
    /// If the first ones have expired: how many records of the stream are left.
    pub(super) left: Option<usize>,
}

/// Reads the records of batches: those that came with them, and others from their streams.
pub(super) struct Reader<'a> {
    config: &'a Config,
    streams: HashMap<(String, String), RangeReader>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(config: &'a Config) -> Self {
        Self { config, streams: HashMap::new() }
    }

    pub(super) async fn read(&mut self, given_up: &mut GivenUpBatch) -> anyhow::Result<Found> {
        if let Some(batch) = given_up.records.take().filter(|batch| is_whole(batch, given_up.first, given_up.last)) {
            return Ok(Found { batch, left: None });
        }
        let key = (given_up.region.clone(), given_up.stream.clone());
        if !self.streams.contains_key(&key) {
            self.streams.insert(key.clone(), RangeReader::open(&self.kinesis(given_up)).await?);
        }
        let GivenUpBatch { shard, first, last, .. } = given_up;
        let range = Range { shard: shard.clone(), first: *first, last: *last };
        let records = self.streams[&key].read(&range).await?;
        let left = (!records.from_first).then_some(records.stream_records);
        Ok(Found { batch: records.batch, left })
    }

    /// The settings of the configured stream, for the batch's own.
    fn kinesis(&self, given_up: &GivenUpBatch) -> KinesisConfig {
        let configured = self.config.source.as_ref().and_then(|source| source.kinesis.clone()).unwrap_or_default();
        KinesisConfig { stream: given_up.stream.clone(), region: Some(given_up.region.clone()), ..configured }
    }
}

fn is_whole(batch: &Batch, first: SequenceNumber, last: SequenceNumber) -> bool {
    let ends = batch.records.first().zip(batch.records.last());
    ends.is_some_and(|(one, other)| (one.position.sequence, other.position.sequence) == (first, last))
}
