//! Reading a shard by asking: `GetRecords`.
//!
//! Kinesis allows five calls and 2 MB a second and shard, to all who poll it together. A reader that is behind asks as
//! often as that allows; one that is caught up leaves the shard alone for a while.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::error::{StreamErrorKind, StreamError};
use super::lineage::Shard;
use super::position::IteratorPosition;
use super::reader::{ReaderContext, Backoff, RecordChunk};

/// Kinesis's limit for the records of an answer. Its other one is 10 MiB.
const RECORDS_A_CALL: i32 = 10_000;
/// Kinesis allows five calls a second and shard.
const CALL_EVERY: Duration = Duration::from_millis(200);
/// Kinesis's limit for the bytes that are read of a shard in a second.
const BYTES_A_SECOND: f64 = 2e6;

/// Reads a shard by asking.
pub(super) struct Poll {
    context: ReaderContext,
    shard: Shard,
    /// After what was read last.
    position: IteratorPosition,
    iterator: Option<String>,
    not_before: Instant,
    backoff: Backoff,
}

impl Poll {
    pub(super) fn new(context: ReaderContext, shard: Shard, position: IteratorPosition) -> Self {
        Self { context, shard, position, iterator: None, not_before: Instant::now(), backoff: Backoff::default() }
    }

    pub(super) async fn next(&mut self) -> Result<RecordChunk, StreamError> {
        loop {
            sleep_until(self.not_before).await;
            let asked = Instant::now();
            match self.ask().await {
                Ok(chunk) => {
                    self.backoff.reset();
                    let idle = Duration::from_millis(self.context.config.idle_ms);
                    self.not_before = asked + pause(&chunk, idle);
                    return Ok(chunk);
                }
                Err(error) if error.kind.is_transient() => {
                    self.context.note(&self.shard, &error);
                    // A throttled call leaves its iterator as it was. Others may have to do with it, and a new one
                    // begins at the same place.
                    if error.kind != StreamErrorKind::Throttled {
                        self.iterator = None;
                    }
                    self.not_before = Instant::now() + self.backoff.next();
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// One attempt.
    async fn ask(&mut self) -> Result<RecordChunk, StreamError> {
        let stream = &self.context.stream;
        let iterator = match &self.iterator {
            Some(iterator) => iterator.clone(),
            None => {
                let request = stream.client.get_shard_iterator().stream_name(&stream.named.stream);
                let answer = self.position.iterator(request.shard_id(&*self.shard.id)).send().await;
                let answer = answer.map_err(|error| stream.named.classify(&self.doing("finding the place in"), &error))?;
                let iterator = answer.shard_iterator.ok_or_else(|| {
                    stream.named.error(StreamErrorKind::Ambiguous, format_args!("there is no iterator for {}", self.shard.id))
                })?;
                self.iterator.insert(iterator).clone()
            }
        };
        let asked_ms = stream.clock.now_ms();
        let answer = stream.client.get_records().shard_iterator(iterator).limit(RECORDS_A_CALL).send().await;
        let answer = answer.map_err(|error| stream.named.classify(&self.doing("reading"), &error))?;
        if let Some(last) = answer.records.last() {
            self.position = IteratorPosition::After(last.sequence_number.clone());
        }
        self.iterator = answer.next_shard_iterator;
        let chunk = RecordChunk::new(answer.records, answer.millis_behind_latest.unwrap_or(0), asked_ms);
        Ok(match self.iterator {
            Some(_) => chunk,
            None => chunk.ended(answer.child_shards.as_deref().unwrap_or_default()),
        })
    }

    fn doing(&self, what: &str) -> String {
        format!("{what} {}", self.shard.id)
    }
}

/// From a call to the next one.
fn pause(chunk: &RecordChunk, idle: Duration) -> Duration {
    let caught_up = chunk.behind_ms == 0 && chunk.records.len() < RECORDS_A_CALL as usize;
    let calls = if caught_up { idle.max(CALL_EVERY) } else { CALL_EVERY };
    calls.max(Duration::from_secs_f64(chunk.bytes as f64 / BYTES_A_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_behind_asks_as_often_as_it_may() {
        let idle = Duration::from_millis(500);
        let chunk = |behind_ms, bytes| RecordChunk { bytes, ..RecordChunk::new(Vec::new(), behind_ms, 0) };
        assert_eq!(pause(&chunk(0, 100), idle), idle);
        assert_eq!(pause(&chunk(1, 100), idle), CALL_EVERY);
        assert_eq!(pause(&chunk(0, 100), Duration::ZERO), CALL_EVERY);
        assert_eq!(pause(&chunk(90_000, 10_000_000), idle), Duration::from_secs(5), "10 MB take five seconds");
    }
}
