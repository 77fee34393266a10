//! Reads a shard by polling: `GetRecords`.
//!
//! Kinesis allows five calls and 2 MB per second and shard, for all readers that poll it together. A reader that is
//! behind calls as often as that allows; one that is caught up pauses.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::backoff::Backoff;
use super::chunk::RecordChunk;
use super::context::ReaderContext;
use crate::kinesis::client::Service;
use crate::kinesis::consumer::iterator_position::IteratorPosition;
use crate::kinesis::error::{StreamError, StreamErrorKind};
use crate::kinesis::shard::Shard;

/// Kinesis's limit for the records of a response. The other limit is 10 MiB.
const RECORDS_PER_CALL: i32 = 10_000;
/// Kinesis allows five calls per second and shard.
const CALL_INTERVAL: Duration = Duration::from_millis(200);
/// Kinesis's limit for the bytes that are read from a shard per second.
const BYTES_PER_SECOND: f64 = 2e6;

/// Reads a shard by polling.
#[derive(Debug)]
pub(in crate::kinesis::consumer) struct Poll {
    context: ReaderContext,
    shard: Shard,
    /// After the last record that was read.
    position: IteratorPosition,
    iterator: Option<String>,
    not_before: Instant,
    backoff: Backoff,
}

impl Poll {
    pub(in crate::kinesis::consumer) fn new(context: ReaderContext, shard: Shard, position: IteratorPosition) -> Self {
        Self { context, shard, position, iterator: None, not_before: Instant::now(), backoff: Backoff::default() }
    }

    pub(in crate::kinesis::consumer) async fn next(&mut self) -> Result<RecordChunk, StreamError> {
        loop {
            sleep_until(self.not_before).await;
            let requested = Instant::now();
            match self.get_records().await {
                Ok(chunk) => {
                    self.backoff.reset();
                    let idle = Duration::from_millis(self.context.config.idle_ms);
                    self.not_before = requested + pause(&chunk, idle);
                    return Ok(chunk);
                }
                Err(error) if error.kind.is_transient() => {
                    self.context.record_failure(&self.shard, &error);
                    // Throttling does not invalidate the iterator. Other failures may have to do with it, and a new one
                    // begins at the same record.
                    if error.kind != StreamErrorKind::Throttled {
                        self.iterator = None;
                    }
                    self.not_before = Instant::now() + self.backoff.next_wait();
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// One attempt.
    async fn get_records(&mut self) -> Result<RecordChunk, StreamError> {
        let iterator = match self.iterator.clone() {
            Some(iterator) => iterator,
            None => self.get_iterator().await?,
        };
        let stream = &self.context.stream;
        let requested_ms = stream.clock.now_ms();
        let doing = format!("reading {}", self.shard.id);
        let response = match &stream.service {
            Service::Kinesis(client) => {
                let response =
                    Box::pin(client.get_records().shard_iterator(iterator).limit(RECORDS_PER_CALL).send()).await;
                response.map_err(|error| stream.stream_ref.classify(&doing, error))?
            }
            Service::Other(other) => {
                let answer = other.get_records(&iterator, RECORDS_PER_CALL as usize).await;
                stream.answer(&doing, &**other, answer)?.into_output()
            }
        };
        if let Some(last) = response.records.last() {
            self.position = IteratorPosition::After(last.sequence_number.clone());
        }
        self.iterator = response.next_shard_iterator;
        let chunk = RecordChunk::new(response.records, response.millis_behind_latest.unwrap_or(0), requested_ms);
        Ok(match self.iterator {
            Some(_) => chunk,
            None => chunk.at_end(response.child_shards.as_deref().unwrap_or_default()),
        })
    }

    async fn get_iterator(&mut self) -> Result<String, StreamError> {
        let stream = &self.context.stream;
        let doing = format!("getting an iterator for {}", self.shard.id);
        let client = match &stream.service {
            Service::Kinesis(client) => client,
            Service::Other(other) => {
                let answer = other.get_iterator(&self.shard.id, self.position.polled_from()).await;
                return Ok(self.iterator.insert(stream.answer(&doing, &**other, answer)?).clone());
            }
        };
        let request = client.get_shard_iterator().stream_name(&stream.stream_ref.stream);
        let response = Box::pin(self.position.set_on(request.shard_id(&*self.shard.id)).send()).await;
        let response = response.map_err(|error| stream.stream_ref.classify(&doing, error))?;
        let iterator = response.shard_iterator.ok_or_else(|| {
            let text = format_args!("{doing} got a response without an iterator");
            stream.stream_ref.error(StreamErrorKind::Ambiguous, text)
        })?;
        Ok(self.iterator.insert(iterator).clone())
    }
}

/// The time from a call to the next.
fn pause(chunk: &RecordChunk, idle: Duration) -> Duration {
    let caught_up = chunk.behind_ms == 0 && chunk.records.len() < RECORDS_PER_CALL as usize;
    let calls = if caught_up { idle.max(CALL_INTERVAL) } else { CALL_INTERVAL };
    calls.max(Duration::from_secs_f64(chunk.bytes as f64 / BYTES_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_is_behind_calls_as_often_as_kinesis_allows() {
        let idle = Duration::from_millis(500);
        let chunk = |behind_ms, bytes| RecordChunk { bytes, ..RecordChunk::new(Vec::new(), behind_ms, 0) };
        assert_eq!(pause(&chunk(0, 100), idle), idle);
        assert_eq!(pause(&chunk(1, 100), idle), CALL_INTERVAL);
        assert_eq!(pause(&chunk(0, 100), Duration::ZERO), CALL_INTERVAL);
        assert_eq!(pause(&chunk(90_000, 10_000_000), idle), Duration::from_secs(5), "10 MB take five seconds");
    }
}
