//! What is sent when, to which shard, and what a response means: everything but the sending. The caller passes the
//! time, so that tests can drive it through any sequence of events.
//!
//! # Layout
//!
//! - this file: records come in, requests go out.
//! - `response`: the results of a request's entries.
//! - `reshard`: a new map of the shards, and aggregates that landed elsewhere under the old one.

mod reshard;
mod response;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::config::ProducerConfig;
use super::listing::ListingSchedule;
use super::queue::{Entry, RequestBuilder, Sending, ShardQueue, UserRecord};
use super::request::Request;
use super::sent::Sent;
use super::shard_map::ShardMap;
use crate::kinesis::error::{StreamError, StreamErrorKind, StreamRef};
use crate::kpl::hash_key;

/// The first and the longest wait before a retry. Each wait is random in the upper half of its bound, so that producers
/// that failed together do not retry together.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// What to do next.
#[derive(Debug)]
pub(super) enum Action {
    /// Send this, and pass the response to [`Core::answered`].
    Send(Request),
    /// List the shards, and pass the result to [`Core::listed`].
    List,
    /// Wait until this time, or until an event.
    Wait(Option<Duration>),
    /// Nothing remains to be done.
    Done,
}

/// An aggregate that landed in another shard than predicted.
#[derive(Debug)]
struct Misplaced {
    user_records: Vec<UserRecord>,
    hash: u128,
    predicted: Arc<str>,
    landed_in: Arc<str>,
}

/// The state of a producer. Times are since its start.
#[derive(Debug)]
pub(super) struct Core {
    config: ProducerConfig,
    stream_ref: StreamRef,
    map: ShardMap,
    /// One for each open shard of the map, in its order.
    queues: Vec<ShardQueue>,
    /// The entries of requests in flight, by the requests' numbers.
    in_flight: HashMap<u64, Vec<Entry>>,
    /// While there are any, nothing is sent: later aggregates would land elsewhere, too.
    misplaced: Vec<Misplaced>,
    /// The next map. It is applied once no request is in flight, so that records of a key can't overtake each other on
    /// the way to an old and to a new shard.
    next_map: Option<ShardMap>,
    listing: ListingSchedule,
    /// No further records are put: the rest is sent at once.
    flushing: bool,
    ended: Option<StreamError>,
    /// When a record was last stored, or there was none to store.
    progress: Duration,
    /// The text of the last error.
    last_error: Option<String>,
    /// The number of the next record.
    next_number: u64,
    /// Records that were put and are not known to be in the stream.
    outstanding: u64,
    /// Bytes of the buffer that became free.
    freed: usize,
    sent: Sent,
    rng: Rng,
}

impl Core {
    pub(super) fn new(config: ProducerConfig, stream_ref: StreamRef, map: ShardMap, rng: Rng) -> Self {
        let ids = map.open().iter().map(|shard| Arc::clone(&shard.id));
        Self {
            queues: ids.map(|id| ShardQueue::new(id, &config, Duration::ZERO)).collect(),
            config,
            stream_ref,
            map,
            in_flight: HashMap::new(),
            misplaced: Vec::new(),
            next_map: None,
            listing: ListingSchedule::default(),
            flushing: false,
            ended: None,
            progress: Duration::ZERO,
            last_error: None,
            next_number: 0,
            outstanding: 0,
            freed: 0,
            sent: Sent::default(),
            rng,
        }
    }

    /// Accepts a record, unless the producer has ended.
    pub(super) fn put(&mut self, now: Duration, key: String, data: Vec<u8>) -> Result<(), StreamError> {
        if let Some(why) = &self.ended {
            return Err(why.clone());
        }
        if self.outstanding == 0 {
            self.progress = now;
        }
        let hash = hash_key(&key);
        let record = UserRecord { number: self.next_number, at: now, hash, key, data };
        self.next_number += 1;
        self.outstanding += 1;
        self.queues[self.map.locate(hash)].push(record);
        Ok(())
    }

    /// No further records are put.
    pub(super) fn flush(&mut self) {
        self.flushing = true;
    }

    /// What to do now.
    pub(super) fn next_action(&mut self, now: Duration) -> Action {
        if self.in_flight.is_empty()
            && self.ended.is_none()
            && let Some(map) = self.next_map.take()
        {
            self.apply(map, now);
        }
        if self.ended.is_none() && self.outstanding > 0 && now >= self.give_up_at() {
            self.end(self.given_up());
        }
        if self.ended.is_some() || self.flushing && self.outstanding == 0 {
            // Requests in flight may still be stored.
            return if self.in_flight.is_empty() { Action::Done } else { Action::Wait(None) };
        }
        if self.outstanding > 0 && self.listing.begin(now) {
            return Action::List;
        }
        if self.may_send()
            && let Some(request) = self.next_request(now)
        {
            return Action::Send(request);
        }
        Action::Wait(self.wake_at())
    }

    /// Why the producer ended before every record was in the stream.
    pub(super) fn ended(&self) -> Option<&StreamError> {
        self.ended.as_ref()
    }

    /// Records that were put and are not known to be in the stream.
    pub(super) fn outstanding(&self) -> u64 {
        self.outstanding
    }

    pub(super) fn sent(&self) -> &Sent {
        &self.sent
    }

    /// Bytes of the buffer that became free since the last call.
    pub(super) fn take_freed(&mut self) -> usize {
        std::mem::take(&mut self.freed)
    }

    fn may_send(&self) -> bool {
        self.misplaced.is_empty() && self.next_map.is_none() && self.in_flight.len() < self.config.requests.max(1)
    }

    /// A request with what may be sent: everything of the shard whose oldest record has waited longest, then of the
    /// next.
    fn next_request(&mut self, now: Duration) -> Option<Request> {
        let is_ready = |queue: &ShardQueue| queue.ready_at(&self.config, self.flushing).is_some_and(|at| at <= now);
        let mut ready: Vec<usize> = (0..self.queues.len()).filter(|&index| is_ready(&self.queues[index])).collect();
        ready.sort_by_key(|&index| self.queues[index].oldest());
        let mut request = RequestBuilder::default();
        for index in ready {
            let sending = Sending { config: &self.config, now, flushing: self.flushing };
            self.queues[index].fill(index, sending, &mut request);
            if request.is_full {
                break;
            }
        }
        if request.packed.is_empty() {
            return None;
        }
        let number = self.sent.requests;
        self.sent.requests += 1;
        self.in_flight.insert(number, request.entries);
        Some(Request { number, entries: request.packed })
    }

    /// When there may be something to do, unless an event comes first.
    fn wake_at(&self) -> Option<Duration> {
        if self.outstanding == 0 {
            return None;
        }
        let ready_at = |queue: &ShardQueue| queue.ready_at(&self.config, self.flushing);
        let send_at = self.may_send().then(|| self.queues.iter().filter_map(ready_at).min()).flatten();
        [Some(self.give_up_at()), self.listing.due(), send_at].into_iter().flatten().min()
    }

    fn give_up_at(&self) -> Duration {
        self.progress + self.config.give_up_after
    }

    fn given_up(&self) -> StreamError {
        let last_error = self.last_error.as_deref().unwrap_or("no response");
        let seconds = self.config.give_up_after.as_secs();
        let text = format_args!("no records were accepted for {seconds} s; last error: {last_error}");
        self.stream_ref.error(StreamErrorKind::Ambiguous, text)
    }

    fn end(&mut self, why: StreamError) {
        self.ended.get_or_insert(why);
    }

    /// All records of a stream record are where they belong.
    fn confirm(&mut self, records: &[UserRecord], now: Duration) {
        self.progress = now;
        self.sent.records += records.len() as u64;
        self.outstanding -= records.len() as u64;
        self.freed += records.iter().map(UserRecord::room).sum::<usize>();
    }
}

/// When to retry after so many consecutive failures.
fn retry_at(now: Duration, failures: u32, rng: &mut Rng) -> Duration {
    let bound = FIRST_BACKOFF.saturating_mul(1 << failures.clamp(1, 16).saturating_sub(1)).min(LONGEST_BACKOFF);
    now + bound.mul_f64(0.5 + rng.f64() / 2.0)
}
