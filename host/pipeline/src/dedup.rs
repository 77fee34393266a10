//! Dedup: which records are folded into a group already.
//!
//! Delivery is at least once: after a crash or a time-out the same records are delivered again. Each group's item carries
//! its dedup state beside the aggregator's state. Both are one write, so they can't disagree.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{REDRIVE_SHARD, RecordPosition};

mod ordinals;

pub use self::ordinals::{Admission, MAX_RUNS, OrdinalSet};

/// Which records are folded into a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DedupState {
    /// The last position folded, by shard. Correct if a group's records arrive in order from each shard.
    Sequence(LastPositions),
    /// The set of ordinals folded. Always correct: records may be out of order, sent twice, or spread over shards.
    Ordinal(OrdinalSet),
}

/// The bytes are not a dedup state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the dedup state can't be decoded: {0}")]
pub struct NotADedupState(String);

impl DedupState {
    /// The bytes that an item keeps.
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("a dedup state can always be encoded")
    }

    /// Decodes the bytes of an item. What it holds in another form than it is written in would not be found there, so that
    /// records would count twice: it is an error.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotADedupState> {
        postcard::from_bytes(bytes).map_err(|error| NotADedupState(error.to_string()))
    }

    /// Decodes the bytes of an item and what is behind them. Returns the rest.
    pub fn take_from_bytes(bytes: &[u8]) -> Result<(Self, &[u8]), NotADedupState> {
        postcard::take_from_bytes(bytes).map_err(|error| NotADedupState(error.to_string()))
    }

    /// About what it takes in memory, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let runs = |set: &OrdinalSet| size_of_val(set.runs());
        match self {
            Self::Sequence(positions) => {
                let names: usize = positions.shards.iter().map(|last| last.shard.len()).sum();
                size_of_val(&*positions.shards) + names + runs(&positions.redriven)
            }
            Self::Ordinal(ordinals) => runs(ordinals),
        }
    }

    /// Notes that records of a shard are written on this day. Shards of which no record can come any more are dropped: each
    /// split and each merge of the stream would let the item grow otherwise.
    pub(crate) fn note_write(&mut self, shard: &str, day: u32) {
        if let Self::Sequence(positions) = self
            && let Ok(at) = positions.index(shard)
            && positions.shards[at].day != day
        {
            positions.shards[at].day = day;
            positions.shards.retain(|last| last.day.saturating_add(LONGEST_RETENTION_DAYS) >= day);
        }
    }
}

/// Records of a shard arrive in the order of their positions. Their arrival times are approximate: by so many
/// milliseconds, at most, may one be later than that of a record after it.
const ARRIVAL_TOLERANCE_MS: i64 = 2_000;

/// What the last positions tell of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequenced {
    /// It is not folded.
    New,
    /// It is folded.
    Duplicate,
    /// It was redriven so much later than others that it is not known whether it is folded.
    Unknown,
    /// Its position is not after the last one, and yet it arrived after it: it is of another stream. A stream that is
    /// deleted and created again has the same names and other sequence numbers.
    OtherStream,
}

/// The last position folded, by shard, and the redriven records folded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "UncheckedPositions")]
pub struct LastPositions {
    /// Ordered by the shards' names.
    shards: Vec<LastOfShard>,
    /// By redrive sequence. They are a set, because redrives have no order: they overlap, are killed, and go on with other
    /// letters. It is bounded as the ordinals of a group are.
    redriven: OrdinalSet,
}

/// The last record of a shard that is folded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LastOfShard {
    shard: Arc<str>,
    position: RecordPosition,
    /// When it arrived, in milliseconds since 1970.
    arrival_ms: Option<i64>,
    /// The day of the last write with records of the shard, counted from 1970.
    day: u32,
}

/// Days after which no stream has a record any more: Kinesis's longest retention. Until then a record may come again.
pub const LONGEST_RETENTION_DAYS: u32 = 366;

/// The day of a time since 1970, counted from 1970.
pub(crate) fn day_of(since_epoch: Duration) -> u32 {
    u32::try_from(since_epoch.as_secs() / 86_400).unwrap_or(u32::MAX)
}

/// Positions as they are stored. Shards in another order would not be found.
#[derive(Deserialize)]
struct UncheckedPositions {
    shards: Vec<LastOfShard>,
    redriven: OrdinalSet,
}

impl TryFrom<UncheckedPositions> for LastPositions {
    type Error = &'static str;

    fn try_from(UncheckedPositions { shards, redriven }: UncheckedPositions) -> Result<Self, &'static str> {
        match shards.is_sorted_by(|one, other| one.shard < other.shard) {
            true => Ok(Self { shards, redriven }),
            false => Err("the shards of a dedup state are not in order"),
        }
    }
}

impl LastPositions {
    /// What they tell of a record at this position that arrived then.
    pub fn find(&self, shard: &str, position: RecordPosition, arrival_ms: Option<i64>) -> Sequenced {
        if let Some(sequence) = redrive_sequence(shard, position) {
            return match self.redriven.find(sequence) {
                Admission::New => Sequenced::New,
                Admission::Held => Sequenced::Duplicate,
                Admission::Unknown => Sequenced::Unknown,
            };
        }
        let Ok(at) = self.index(shard) else { return Sequenced::New };
        let last = &self.shards[at];
        if last.position < position {
            return Sequenced::New;
        }
        let is_later = |(arrival_ms, last_ms): (i64, i64)| arrival_ms.saturating_sub(last_ms) > ARRIVAL_TOLERANCE_MS;
        match arrival_ms.zip(last.arrival_ms).is_some_and(is_later) {
            true => Sequenced::OtherStream,
            false => Sequenced::Duplicate,
        }
    }

    /// Records that a position is folded. An earlier position changes nothing.
    pub fn record(&mut self, shard: &Arc<str>, position: RecordPosition, arrival_ms: Option<i64>) {
        if let Some(sequence) = redrive_sequence(shard, position) {
            self.redriven.admit(sequence);
            return;
        }
        let last = LastOfShard { shard: Arc::clone(shard), position, arrival_ms, day: 0 };
        match self.index(shard) {
            Ok(at) if self.shards[at].position < position => {
                let day = self.shards[at].day;
                self.shards[at] = LastOfShard { day, ..last };
            }
            Ok(_) => {}
            Err(at) => self.shards.insert(at, last),
        }
    }

    fn index(&self, shard: &str) -> Result<usize, usize> {
        // There is nearly always one shard.
        self.shards.binary_search_by(|other| (*other.shard).cmp(shard))
    }
}

/// The redrive sequence of a redriven record.
fn redrive_sequence(shard: &str, position: RecordPosition) -> Option<i64> {
    let sequence = (shard == REDRIVE_SHARD).then(|| position.sequence.to_u64())?;
    // They are counted from 1.
    sequence.and_then(|sequence| i64::try_from(sequence).ok())
}

#[cfg(test)]
mod tests;
