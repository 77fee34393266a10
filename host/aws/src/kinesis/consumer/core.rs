//! Which shards are begun when, and how each of them is: every decision of the consumer, without I/O, so that tests can
//! drive it through any sequence of events.
//!
//! Each event is one transition. The status is derived from the same state, so no half of an event is visible: between
//! the end of a shard and the beginning of its children, for instance, the consumer is not ready.
//!
//! # Layout
//!
//! - this file: events, and the status derived from them.
//! - `lineage`: which shards may be read.
//! - `shard_status`: how one shard is.
//! - `initial_position`: where a stream was begun, and where a shard resumes.
//! - `contention`: whether another reader uses the same fan-out consumer.
//! - `progress`, `gap`: how far one shard is read, its checkpoints, and records that expired unread.

mod contention;
mod gap;
mod initial_position;
mod lineage;
mod progress;
mod shard_status;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) use contention::Conflict;
pub(super) use gap::Gap;
pub(super) use initial_position::{InitialPosition, ResolvedPosition};
pub(super) use progress::{ChunkTimes, ShardProgress};
pub use shard_status::{ReaderStatus, ShardState, ShardStatus};

use self::contention::Contention;
use self::lineage::{Lineage, Progress};
use self::shard_status::ShardRecord;
use crate::kinesis::shard::Shard;

/// The state of a consumer.
#[derive(Debug, Default)]
pub(super) struct Core {
    /// Whether the shards were listed.
    discovered: bool,
    lineage: Lineage,
    /// What happened to each shard that was begun or that expired.
    records: BTreeMap<Arc<str>, ShardRecord>,
    contention: Contention,
}

/// Why not every shard that has to be read is being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotReady {
    /// The shards have not been listed yet.
    Undiscovered,
    /// Some shards are not being read.
    Shards {
        /// One of them.
        shard: Arc<str>,
        state: ShardState,
        /// How many others there are.
        others: usize,
    },
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undiscovered => f.write_str("the stream's shards are not known yet"),
            Self::Shards { shard, state, others } => {
                write!(f, "{shard} is {}", state.as_str())?;
                if *others > 0 { write!(f, ", and {others} others") } else { Ok(()) }
            }
        }
    }
}

/// No shard is being read, although there is one that has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standstill {
    /// How long it lasts.
    pub(super) time: Duration,
    why: NotReady,
}

impl fmt::Display for Standstill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no shard has been read for {} s: {}", self.time.as_secs(), self.why)
    }
}

/// Records that were read from a shard, or the response that there are none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Received {
    pub(super) records: usize,
    /// Bytes of their data.
    pub(super) bytes: usize,
    /// The distance to the newest record of the shard.
    pub(super) behind_ms: i64,
    /// The arrival of the first record, in milliseconds since 1970.
    pub(super) first_ms: Option<i64>,
}

impl Core {
    /// The stream's shards were listed. Forgets those that are done and not listed any more, unless records of them
    /// expired unread: that stays visible.
    pub(super) fn listed(&mut self, listed: Vec<Shard>) {
        let ids: HashSet<Arc<str>> = listed.iter().map(|shard| Arc::clone(&shard.id)).collect();
        listed.into_iter().for_each(|shard| self.lineage.learn(shard));
        self.lineage.retain(|id| ids.contains(id));
        self.records.retain(|id, record| self.lineage.knows(id) || record.has_losses());
        self.discovered = true;
    }

    /// Shards that a listing shows for the first time, each with a parent that is neither listed nor known. The parent
    /// has expired, perhaps before it was read to its end.
    pub(super) fn expired_parents(&self, listed: &[Shard]) -> Vec<(Arc<str>, Arc<str>)> {
        let ids: HashSet<&Arc<str>> = listed.iter().map(|shard| &shard.id).collect();
        let is_known = |id: &Arc<str>| ids.contains(id) || self.lineage.knows(id) || self.records.contains_key(id);
        let new = listed.iter().filter(|shard| !self.lineage.knows(&shard.id));
        new.flat_map(|shard| shard.parents.iter().map(|parent| (Arc::clone(&shard.id), Arc::clone(parent))))
            .filter(|(_, parent)| !is_known(parent))
            .collect()
    }

    /// Begins every shard that has to be read and is not: the caller reads the shards that this returns.
    pub(super) fn begin(&mut self) -> Vec<Shard> {
        let begun = self.lineage.begin_ready();
        for shard in &begun {
            self.records.entry(Arc::clone(&shard.id)).or_default();
        }
        begun
    }

    /// A shard could not be read, although the stream has it: it is begun again. Until then it is not being read.
    pub(super) fn set_back(&mut self, shard: &str) {
        self.lineage.set_back(shard);
    }

    /// A shard is read to its end and committed, or does not exist any more. Its children are known from now on.
    pub(super) fn done(&mut self, shard: &str, children: Vec<Shard>) {
        children.into_iter().for_each(|child| self.lineage.learn(child));
        self.lineage.done(shard);
    }

    /// Records were read from a shard, or the stream answered that there are none.
    pub(super) fn received(&mut self, shard: &Arc<str>, received: Received) {
        self.record(shard).received(received.records, received.bytes, received.behind_ms, received.first_ms);
    }

    /// All records of a shard that arrived before `next_ms` are committed; `None`: all that were read.
    pub(super) fn committed(&mut self, shard: &Arc<str>, next_ms: Option<i64>) {
        self.record(shard).oldest_uncommitted_ms = next_ms;
    }

    /// A request failed and will be retried.
    pub(super) fn request_failed(&mut self, shard: &Arc<str>, throttled: bool, now: Instant) {
        self.record(shard).request_failed(throttled, now);
    }

    /// A subscription was refused or taken over, because another reader has it.
    pub(super) fn conflicted(&mut self, shard: &Arc<str>, now: Instant) -> Conflict {
        let record = self.record(shard);
        record.request_failed(false, now);
        record.reader.conflicts += 1;
        self.contention.conflict(now)
    }

    /// User records of aggregates belong to other shards. Returns whether these are the shard's first.
    pub(super) fn misrouted(&mut self, shard: &Arc<str>, records: usize) -> bool {
        let misrouted = &mut self.record(shard).reader.misrouted;
        let before = std::mem::replace(misrouted, *misrouted + records as u64);
        before == 0
    }

    /// A batch or a checkpoint waits for the store.
    pub(super) fn store_retried(&mut self, shard: &Arc<str>) {
        self.record(shard).store_retries += 1;
    }

    /// Records of a shard expired before they were read.
    pub(super) fn expired(&mut self, shard: &Arc<str>, hours: f64) {
        self.record(shard).expired(hours);
    }

    /// Why not every shard that has to be read is being read; `None` if every one is.
    pub(super) fn not_ready(&self) -> Option<NotReady> {
        if !self.discovered {
            return Some(NotReady::Undiscovered);
        }
        let is_unread = |state| matches!(state, ShardState::Starting | ShardState::Failing);
        let states = self.lineage.ids().map(|id| (id, self.state(id)));
        let mut unread = states.filter(|(_, state)| is_unread(*state));
        let (shard, state) = unread.next()?;
        Some(NotReady::Shards { shard: Arc::clone(shard), state, others: unread.count() })
    }

    /// Since when no shard is being read, although there is one that has to be. `began` is the start of the consumer. A
    /// request that is under way counts as reading: it ends, or fails by its time-out.
    pub(super) fn standstill(&self, began: Instant, now: Instant) -> Option<Standstill> {
        let why = self.not_ready()?;
        let since = match &why {
            NotReady::Undiscovered => began,
            NotReady::Shards { .. } => {
                let to_read = self.lineage.ids().map(|id| (id, self.state(id)));
                let to_read = to_read.filter(|(_, state)| !matches!(state, ShardState::Waiting | ShardState::Done));
                let failing_since = |(id, state): (&Arc<str>, ShardState)| match state {
                    ShardState::Reading => None,
                    _ => self.records.get(id).and_then(ShardRecord::failing_since),
                };
                // The last one that was read.
                to_read.map(failing_since).collect::<Option<Vec<Instant>>>()?.into_iter().max()?
            }
        };
        Some(Standstill { time: now.saturating_duration_since(since), why })
    }

    /// The status of all shards, by id. `now_ms` is by the service's clock.
    pub(super) fn shards(&self, now_ms: i64, now: Instant) -> Vec<(Arc<str>, ShardStatus)> {
        let untouched = ShardRecord::default();
        let ids: BTreeSet<&Arc<str>> = self.lineage.ids().chain(self.records.keys()).collect();
        let status = |id: &Arc<str>| self.records.get(id).unwrap_or(&untouched).status(self.state(id), now_ms, now);
        ids.into_iter().map(|id| (Arc::clone(id), status(id))).collect()
    }

    fn state(&self, id: &str) -> ShardState {
        match self.lineage.progress(id) {
            Some(Progress::Waiting) => ShardState::Waiting,
            Some(Progress::Ready) => ShardState::Starting,
            Some(Progress::Reading) => self.records.get(id).map_or(ShardState::Starting, ShardRecord::state),
            Some(Progress::Done) | None => ShardState::Done,
        }
    }

    fn record(&mut self, shard: &Arc<str>) -> &mut ShardRecord {
        self.records.entry(Arc::clone(shard)).or_default()
    }
}
