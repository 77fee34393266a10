//! Another map of the shards, and what strayed under the old one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Core, Entry, LONGEST_BACKOFF, ShardMap, ShardQueue, UserRecord, again};
use crate::kinesis::error::{StreamError, StreamErrorKind};

/// How often the shards are listed while all goes well.
const LIST_EVERY: Duration = Duration::from_secs(60);

/// The least time between two listings. It doubles while they bring nothing new: a stream that distributes records by
/// itself makes every map look wrong.
const LIST_PAUSE: Duration = Duration::from_millis(200);

/// When the shards are listed.
#[derive(Debug)]
pub(super) struct Listing {
    at: Duration,
    asked: bool,
    last: Duration,
    pause: Duration,
    failures: u32,
}

impl Default for Listing {
    fn default() -> Self {
        Self { at: LIST_EVERY, asked: false, last: Duration::ZERO, pause: LIST_PAUSE, failures: 0 }
    }
}

impl Listing {
    /// When it is due, unless it is under way.
    pub(super) fn due(&self) -> Option<Duration> {
        (!self.asked).then_some(self.at)
    }

    /// Whether it is due now. Then it is under way.
    pub(super) fn begin(&mut self, now: Duration) -> bool {
        let begins = self.due().is_some_and(|at| at <= now);
        self.asked |= begins;
        begins
    }

    /// The map seems to be wrong.
    pub(super) fn hurry(&mut self, now: Duration) {
        self.at = self.at.min(now.max(self.last + self.pause));
    }
}

/// An aggregate that landed in another shard than predicted.
#[derive(Debug)]
pub(super) struct Misplaced {
    users: Vec<UserRecord>,
    hash: u128,
    predicted: Arc<str>,
    /// Where it landed.
    shard: Arc<str>,
}

impl Core {
    /// The shards were listed.
    pub(in super::super) fn listed(&mut self, now: Duration, listed: Result<ShardMap, StreamError>) {
        let hurried = self.listing.at < self.listing.last + LIST_EVERY;
        self.listing.asked = false;
        self.listing.last = now;
        self.listing.at = now + LIST_EVERY;
        match listed {
            Ok(map) => {
                let new = !map.same_open(&self.map);
                self.listing.failures = 0;
                self.listing.pause = match hurried && !new {
                    true => (self.listing.pause * 2).min(LONGEST_BACKOFF),
                    false => LIST_PAUSE,
                };
                if new || !self.misplaced.is_empty() {
                    self.next_map = Some(map);
                }
            }
            Err(error) => {
                self.said = Some(error.text.clone());
                if error.kind.is_transient() {
                    self.listing.failures += 1;
                    self.listing.at = again(now, self.listing.failures, &mut self.rng);
                } else if !self.misplaced.is_empty() {
                    // Without strays the old map still serves: Kinesis finds the shard of each record itself.
                    self.end(error);
                }
            }
        }
    }

    /// Keeps an aggregate until it is known which hash keys its shard takes.
    pub(super) fn misplaced(&mut self, entry: Entry, shard: Arc<str>) {
        let Entry { users, hash, predicted, .. } = entry;
        self.misplaced.push(Misplaced { users, hash, predicted, shard });
    }

    /// Goes on under this map. No request is under way.
    pub(super) fn apply(&mut self, map: ShardMap, now: Duration) {
        self.map = map;
        let mut users = self.settle_strays(now);
        let mut old: HashMap<Arc<str>, ShardQueue> = HashMap::new();
        for mut queue in self.queues.drain(..) {
            users.extend(queue.drain());
            old.insert(Arc::clone(queue.shard()), queue);
        }
        let open = self.map.open().iter();
        let queue =
            |id: &Arc<str>| old.remove(id).unwrap_or_else(|| ShardQueue::new(Arc::clone(id), &self.config, now));
        self.queues = open.map(|shard| &shard.id).map(queue).collect();
        users.sort_by_key(|user| user.number);
        users.into_iter().for_each(|user| self.queues[self.map.locate(user.hash)].push(user));
    }

    /// What has to be sent again of the strays: all of an aggregate, unless all of it belongs where it is. Those of
    /// which this can't be told yet stay.
    fn settle_strays(&mut self, now: Duration) -> Vec<UserRecord> {
        let mut again = Vec::new();
        for misplaced in std::mem::take(&mut self.misplaced) {
            let within = |hash: u128, (first, last): (u128, u128)| (first..=last).contains(&hash);
            match self.map.range(&misplaced.shard) {
                Some(range) if !within(misplaced.hash, range) => {
                    self.end(self.distributes_itself(&misplaced));
                    again.extend(misplaced.users);
                }
                Some(range) if misplaced.users.iter().all(|user| within(user.hash, range)) => {
                    self.confirm(&misplaced.users, now);
                }
                // A map that would make it stray again is no newer than the one that did.
                Some(_) if self.map.open()[self.map.locate(misplaced.hash)].id != misplaced.predicted => {
                    self.sent.resharded += misplaced.users.len() as u64;
                    again.extend(misplaced.users);
                }
                _ => {
                    let Misplaced { shard, .. } = &misplaced;
                    let text = format!("the list of shards does not account for {shard} yet, which took a record");
                    self.said = Some(self.named.error(StreamErrorKind::Ambiguous, text).text);
                    self.misplaced.push(misplaced);
                    self.listing.hurry(now);
                }
            }
        }
        again
    }

    fn distributes_itself(&self, Misplaced { hash, shard, .. }: &Misplaced) -> StreamError {
        self.named.error(
            StreamErrorKind::Fatal,
            format_args!(
                "it put an aggregate with the hash key {hash} into {shard}, which takes others: it seems to distribute \
                 records without regard to their keys (its record distribution strategy is AUTO). Aggregates can't be \
                 used there; send without"
            ),
        )
    }
}
