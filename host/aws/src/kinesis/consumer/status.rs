//! How the shards are: for metrics, for those who ask whether all is well, and for logs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::client::ServiceClock;

/// How a shard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardState {
    /// Its parents are not done.
    Waiting,
    /// Nothing of it has been read yet.
    Starting,
    /// It is read.
    Reading,
    /// The last request for its records failed; it is tried again.
    Failing,
    /// All of it is done.
    Done,
}

impl ShardState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Starting, Self::Reading, Self::Failing, Self::Done];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Reading => "reading",
            Self::Failing => "failing",
            Self::Done => "done",
        }
    }
}

/// A shard at this moment. Counts are those since the process began.
#[derive(Clone, Copy, Debug)]
pub struct ShardStatus {
    /// How it is.
    pub state: ShardState,
    /// Records of the stream that were read.
    pub records: u64,
    /// Bytes of their data.
    pub bytes: u64,
    /// Requests that were throttled.
    pub throttles: u64,
    /// Requests that failed otherwise, and were or will be tried again.
    pub retries: u64,
    /// Times that a batch had to wait for a busy store.
    pub store_retries: u64,
    /// User records of aggregates that belong to other shards, where their producer has sent them again.
    pub misrouted: u64,
    /// Hours of records that had expired before they were read.
    pub expired_hours: f64,
    /// How old the oldest record is that is not done: 0 where all is. While requests fail, what they would have brought
    /// counts from the first that failed.
    pub iterator_age: Duration,
}

/// How all shards are.
#[derive(Debug)]
pub struct Status {
    clock: ServiceClock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    shards: BTreeMap<Arc<str>, Kept>,
    discovered: bool,
}

#[derive(Debug)]
struct Kept {
    status: ShardStatus,
    /// When the oldest record that is read and not done arrived.
    oldest: Option<i64>,
    /// How far the reader was behind the newest record when it last read.
    behind_ms: i64,
    /// Since when its requests have failed. What has come since then, nobody knows.
    failing: Option<Instant>,
}

impl Status {
    pub(super) fn new(clock: ServiceClock) -> Self {
        Self { clock, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All shards by their names.
    pub fn shards(&self) -> Vec<(Arc<str>, ShardStatus)> {
        let now = self.clock.now_ms();
        let age = |kept: &Kept| {
            let milliseconds = match (kept.oldest, kept.status.state) {
                (_, ShardState::Done | ShardState::Waiting) => 0,
                (Some(arrival), _) => now - arrival,
                (None, _) => kept.behind_ms + kept.failing.map_or(0, |since| since.elapsed().as_millis() as i64),
            };
            Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
        };
        let state = self.state();
        let shards = state.shards.iter();
        shards.map(|(id, kept)| (Arc::clone(id), ShardStatus { iterator_age: age(kept), ..kept.status })).collect()
    }

    /// Why not all shards are read as they should be; nothing where they are.
    pub fn trouble(&self) -> Option<String> {
        if !self.state().discovered {
            return Some("the stream's shards are not known yet".to_owned());
        }
        let troubled = |state: ShardState| matches!(state, ShardState::Starting | ShardState::Failing);
        let shards = self.shards();
        let (id, status) = shards.iter().find(|(_, status)| troubled(status.state))?;
        let others = shards.iter().filter(|(_, status)| troubled(status.state)).count() - 1;
        let others = if others > 0 { format!(", and {others} others") } else { String::new() };
        Some(format!("{id} is {}{others}", status.state.as_str()))
    }

    pub(super) fn discovered(&self) {
        self.state().discovered = true;
    }

    /// Forgets a shard that the stream does not list any more.
    pub(super) fn forget(&self, gone: impl Fn(&str) -> bool) {
        self.state().shards.retain(|id, kept| kept.status.state != ShardState::Done || !gone(id));
    }

    fn with(&self, shard: &Arc<str>, change: impl FnOnce(&mut Kept)) {
        let mut state = self.state();
        change(state.shards.entry(Arc::clone(shard)).or_insert_with(|| Kept {
            status: ShardStatus {
                state: ShardState::Waiting,
                records: 0,
                bytes: 0,
                throttles: 0,
                retries: 0,
                store_retries: 0,
                misrouted: 0,
                expired_hours: 0.0,
                iterator_age: Duration::ZERO,
            },
            oldest: None,
            behind_ms: 0,
            failing: None,
        }));
    }

    pub(super) fn set(&self, shard: &Arc<str>, state: ShardState) {
        self.with(shard, |kept| kept.status.state = state);
    }

    /// Something was read, or the stream said that there is nothing.
    pub(super) fn read(&self, shard: &Arc<str>, records: usize, bytes: usize, behind_ms: i64) {
        self.with(shard, |kept| {
            kept.status.state = ShardState::Reading;
            kept.status.records += records as u64;
            kept.status.bytes += bytes as u64;
            kept.behind_ms = behind_ms;
            kept.failing = None;
        });
    }

    /// A request failed, and will be tried again.
    pub(super) fn failed(&self, shard: &Arc<str>, throttled: bool) {
        self.with(shard, |kept| {
            kept.failing.get_or_insert_with(Instant::now);
            match throttled {
                true => kept.status.throttles += 1,
                false => {
                    kept.status.retries += 1;
                    kept.status.state = ShardState::Failing;
                }
            }
        });
    }

    /// The arrival of the oldest record that is read and not done.
    pub(super) fn oldest(&self, shard: &Arc<str>, arrival_ms: Option<i64>) {
        self.with(shard, |kept| kept.oldest = arrival_ms);
    }

    pub(super) fn misrouted(&self, shard: &Arc<str>, records: usize) {
        if records > 0 {
            self.with(shard, |kept| kept.status.misrouted += records as u64);
        }
    }

    pub(super) fn store_retry(&self, shard: &Arc<str>) {
        self.with(shard, |kept| kept.status.store_retries += 1);
    }

    pub(super) fn expired(&self, shard: &Arc<str>, hours: f64) {
        self.with(shard, |kept| kept.status.expired_hours += hours);
    }
}
