//! What is sent when, to which shard, and what an answer means: everything but the sending. It is told the time and does
//! no input or output, so that tests can drive it through anything.
//!
//! # Layout
//!
//! - this file: records come in, requests go out.
//! - `answer`: what becomes of a request's entries.
//! - `reshard`: another map of the shards.

mod answer;
mod reshard;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use fastrand::Rng;

use super::queue::{Entry, Load, ShardQueue, UserRecord};
use super::shard_map::ShardMap;
use super::{ProducerConfig, Sent};
use crate::kinesis::error::{StreamError, StreamErrorKind, StreamRef};
use crate::kpl::{Packed, hash_key};
pub(super) use answer::PutResult;
use reshard::{Listing, Misplaced};

/// The first and the longest wait before something is tried again. Each is drawn from the upper half of what it may be,
/// so that producers that failed together don't come back together.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// What there is to do.
#[derive(Debug)]
pub(super) enum Next {
    /// Send this, and tell the answer.
    Send(Request),
    /// List the shards, and tell what came.
    List,
    /// Nothing until this time, or until something comes.
    Wait(Option<Duration>),
    /// Nothing any more.
    Done,
}

/// Entries for one `PutRecords`.
#[derive(Debug)]
pub(super) struct Request {
    /// By which the answer finds it.
    pub(super) number: u64,
    pub(super) entries: Vec<Packed>,
}

/// The state of a producer. Times are since its start.
#[derive(Debug)]
pub(super) struct Core {
    config: ProducerConfig,
    named: StreamRef,
    map: ShardMap,
    /// One for each open shard of the map, in its order.
    queues: Vec<ShardQueue>,
    /// Requests under way, by their numbers.
    flights: HashMap<u64, Vec<Entry>>,
    /// Aggregates that landed elsewhere. While there are any, nothing is sent: newer ones would stray, too.
    misplaced: Vec<Misplaced>,
    /// The map that is next, as soon as no request is under way: so records of a key can't overtake each other on the
    /// way to an old and to a new shard.
    next_map: Option<ShardMap>,
    listing: Listing,
    /// Nothing more is put: what is left goes at once.
    flushing: bool,
    ended: Option<StreamError>,
    /// When something was last taken, or there was nothing to take.
    progress: Duration,
    /// The last complaint.
    said: Option<String>,
    numbers: u64,
    /// Records that were put and of which it is not known that they are in the stream.
    outstanding: u64,
    /// Room in the buffer that was given back.
    freed: usize,
    sent: Sent,
    rng: Rng,
}

impl Core {
    pub(super) fn new(config: ProducerConfig, named: StreamRef, map: ShardMap, rng: Rng) -> Self {
        let queue = |shard: &crate::kinesis::lineage::Shard| ShardQueue::new(shard.id.clone(), &config, Duration::ZERO);
        Self {
            queues: map.open().iter().map(queue).collect(),
            config,
            named,
            map,
            flights: HashMap::new(),
            misplaced: Vec::new(),
            next_map: None,
            listing: Listing::default(),
            flushing: false,
            ended: None,
            progress: Duration::ZERO,
            said: None,
            numbers: 0,
            outstanding: 0,
            freed: 0,
            sent: Sent::default(),
            rng,
        }
    }

    /// Takes a record, unless it has ended.
    pub(super) fn put(&mut self, now: Duration, key: String, data: Vec<u8>) -> Result<(), StreamError> {
        if let Some(why) = &self.ended {
            return Err(why.clone());
        }
        if self.outstanding == 0 {
            self.progress = now;
        }
        let hash = hash_key(&key);
        let user = UserRecord { number: self.numbers, at: now, hash, key, data };
        self.numbers += 1;
        self.outstanding += 1;
        self.queues[self.map.locate(hash)].push(user);
        Ok(())
    }

    /// Nothing more is put.
    pub(super) fn flush(&mut self) {
        self.flushing = true;
    }

    /// What there is to do.
    pub(super) fn next(&mut self, now: Duration) -> Next {
        if self.flights.is_empty()
            && self.ended.is_none()
            && let Some(map) = self.next_map.take()
        {
            self.apply(map, now);
        }
        if self.ended.is_none() && self.outstanding > 0 && now >= self.patience_ends() {
            self.end(self.out_of_patience());
        }
        if self.ended.is_some() || self.flushing && self.outstanding == 0 {
            // What is under way may still be taken.
            return if self.flights.is_empty() { Next::Done } else { Next::Wait(None) };
        }
        if self.outstanding > 0 && self.listing.begin(now) {
            return Next::List;
        }
        if self.sends()
            && let Some(request) = self.fill(now)
        {
            return Next::Send(request);
        }
        Next::Wait(self.wake())
    }

    /// Why it ended before all was sent.
    pub(super) fn ended(&self) -> Option<&StreamError> {
        self.ended.as_ref()
    }

    /// Records that were put and of which it is not known that they are in the stream.
    pub(super) fn outstanding(&self) -> u64 {
        self.outstanding
    }

    /// What was sent so far.
    pub(super) fn sent(&self) -> &Sent {
        &self.sent
    }

    /// Room in the buffer that was given back since this was last asked.
    pub(super) fn take_freed(&mut self) -> usize {
        std::mem::take(&mut self.freed)
    }

    fn sends(&self) -> bool {
        self.misplaced.is_empty() && self.next_map.is_none() && self.flights.len() < self.config.requests.max(1)
    }

    /// A request with what may go: of the shard whose oldest has waited longest as much as there is, then of the next.
    fn fill(&mut self, now: Duration) -> Option<Request> {
        let ready = |queue: &ShardQueue| queue.ready_at(&self.config, self.flushing).is_some_and(|at| at <= now);
        let mut queues: Vec<usize> = (0..self.queues.len()).filter(|&at| ready(&self.queues[at])).collect();
        queues.sort_by_key(|&at| self.queues[at].oldest());
        let mut load = Load::default();
        for at in queues {
            self.queues[at].load(at, &self.config, self.flushing, now, &mut load);
            if load.full {
                break;
            }
        }
        if load.entries.is_empty() {
            return None;
        }
        let number = self.sent.requests;
        self.sent.requests += 1;
        self.flights.insert(number, load.entries);
        Some(Request { number, entries: load.entries })
    }

    /// When there may be something to do, if nothing comes before.
    fn wake(&self) -> Option<Duration> {
        if self.outstanding == 0 {
            return None;
        }
        let ready = |queue: &ShardQueue| queue.ready_at(&self.config, self.flushing);
        let sends = self.sends().then(|| self.queues.iter().filter_map(ready).min()).flatten();
        [Some(self.patience_ends()), self.listing.due(), sends].into_iter().flatten().min()
    }

    fn patience_ends(&self) -> Duration {
        self.progress + self.config.patience
    }

    fn out_of_patience(&self) -> StreamError {
        let said = self.said.as_deref().unwrap_or("no answer has come");
        let seconds = self.config.patience.as_secs();
        self.named.error(
            StreamErrorKind::Ambiguous,
            format_args!("nothing was taken for {seconds} s; the last that was heard: {said}"),
        )
    }

    fn end(&mut self, why: StreamError) {
        self.ended.get_or_insert(why);
    }

    /// All that a record of the stream is made of is where it belongs.
    fn confirm(&mut self, users: &[UserRecord], now: Duration) {
        self.progress = now;
        self.sent.records += users.len() as u64;
        self.outstanding -= users.len() as u64;
        self.freed += users.iter().map(UserRecord::room).sum::<usize>();
    }
}

/// When to try again what has failed so many times in a row.
fn again(now: Duration, failures: u32, rng: &mut Rng) -> Duration {
    let most = FIRST_BACKOFF.saturating_mul(1 << failures.clamp(1, 16).saturating_sub(1)).min(LONGEST_BACKOFF);
    now + most.mul_f64(0.5 + rng.f64() / 2.0)
}
