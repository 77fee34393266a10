//! Where the outcome is stored: items of groups, pins of races, checkpoints, dead letters, notices.
//!
//! The traits need only what every store offers: a write on the condition that the item has not changed since it was
//! read. They need no transaction over several items and no order between them. [`EmbeddedStore`] keeps everything in
//! one file; [`MemoryStore`] keeps it in the process. A file is open in one process at a time: a [`StoreServer`] there answers
//! the [`RemoteStore`]s of other processes.
//!
//! A write may be lost in a crash until [`flush`](CheckpointStore::flush) or
//! [`put_checkpoint`](CheckpointStore::put_checkpoint) returns, but it is never torn: an item's state, dedup state and
//! attributes are one write.

mod embedded;
mod error;
mod horizon;
mod memory;
mod notice;
mod protocol;
mod remote;
mod server;

use std::collections::HashSet;
use std::future::Future;

use paceline_engine::Digest;
use serde::{Deserialize, Serialize};

pub use embedded::EmbeddedStore;
pub use error::{StoreError, StoreFailure, UnstorableItem};
pub use horizon::Horizon;
pub use memory::MemoryStore;
pub use notice::{Expected, MAX_NOTICE_NAME_BYTES, Notice, NoticeStore, notice_time};
pub use remote::RemoteStore;
pub use server::StoreServer;

use crate::model::{Checkpoint, DeadLetter, Item, Key};

/// A conditional write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Write {
    /// Which item.
    pub key: Key,
    /// The revision that was read; `None` where there was no item.
    pub expected: Option<u64>,
    /// The new item. Its revision is the next one.
    pub item: Item,
}

/// How a conditional write ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteOutcome {
    /// The item is written.
    Done,
    /// The item has another revision. Nothing was written.
    Conflict,
    /// The store is throttled or did not answer; the item may be written or not. The same write may be repeated: if it
    /// was written already, that ends as `Done` or as a conflict with itself, which dedup absorbs.
    Transient(String),
}

/// The race that a pin is for: race type and value of the pinned field.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PinKey {
    /// The race type.
    pub race_type: String,
    /// The value of the pinned field.
    pub value: String,
}

/// The rulebook that a race began with. A pin never changes: what the race runs today is the pin, followed through the
/// log of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The digest of the rulebook's bytes.
    pub rulebook: Digest,
    /// The revision of the rules at which the race began.
    pub revision: u64,
}

/// The items of groups.
pub trait GroupStore: Send + Sync {
    /// Whether the store can hold an item at all: its size, its values. Called before anything of a batch is written, so
    /// that the records of a group that can't be stored become dead letters together.
    fn check_item(&self, _key: &Key, _item: &Item) -> Result<(), UnstorableItem> {
        Ok(())
    }

    /// The items of these keys, in the same order.
    fn load_groups(&self, keys: &[Key]) -> impl Future<Output = Result<Vec<Option<Item>>, StoreError>> + Send;

    /// Writes each item whose revision is still the expected one. Returns how each write ended, in the same order.
    fn write_groups(&self, writes: &[Write]) -> impl Future<Output = Result<Vec<WriteOutcome>, StoreError>> + Send;

    /// All items of a partition, by sort key.
    fn list_partition(&self, partition: &str) -> impl Future<Output = Result<Vec<(Key, Item)>, StoreError>> + Send;

    /// All items, by key.
    fn list_groups(&self) -> impl Future<Output = Result<Vec<(Key, Item)>, StoreError>> + Send;
}

/// The rulebooks that races are pinned to.
pub trait PinStore: Send + Sync {
    /// The pins of these races, in the same order.
    fn get_pins(&self, keys: &[PinKey]) -> impl Future<Output = Result<Vec<Option<Pin>>, StoreError>> + Send;

    /// Pins each race that has no pin yet. Returns the pins that hold, in the same order: the new or the earlier ones.
    fn put_pins(&self, pins: &[(PinKey, Pin)]) -> impl Future<Output = Result<Vec<Pin>, StoreError>> + Send;

    /// Pins of a race type, by value: the first so many. For people: what is read grows with the races.
    fn list_pins(
        &self,
        race_type: &str,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(PinKey, Pin)>, StoreError>> + Send;
}

/// How far shards are read.
pub trait CheckpointStore: Send + Sync {
    /// How far a shard is read.
    fn get_checkpoint(&self, shard: &str) -> impl Future<Output = Result<Option<Checkpoint>, StoreError>> + Send;

    /// Makes everything written so far durable, and with it, but not before it, the checkpoint of a shard.
    fn put_checkpoint(
        &self,
        shard: &str,
        checkpoint: &Checkpoint,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Makes everything written so far durable.
    fn flush(&self) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Records that could not be processed.
pub trait DeadLetterStore: Send + Sync {
    /// Stores dead letters. One with the same id is replaced; its redrive sequence stays.
    fn put_dead_letters(&self, letters: &[DeadLetter]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Deletes dead letters that a redrive has processed.
    fn delete_dead_letters(&self, ids: &[String]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The dead letter with this id.
    fn get_dead_letter(&self, id: &str) -> impl Future<Output = Result<Option<DeadLetter>, StoreError>> + Send;

    /// The horizon of a shard. `None` before the first write.
    fn get_horizon(&self, shard: &str) -> impl Future<Output = Result<Option<Horizon>, StoreError>> + Send;

    /// Writes the horizon of a shard if the stored one has the version before. Returns whether it is written.
    fn put_horizon(&self, shard: &str, horizon: &Horizon) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Which of these ids have a dead letter, or had one that was redriven.
    fn known_dead_letters(&self, ids: &[String]) -> impl Future<Output = Result<HashSet<String>, StoreError>> + Send;

    /// Calls `each` with every dead letter, in no order, without holding many of them in memory.
    fn scan_dead_letters(
        &self,
        each: impl FnMut(DeadLetter) + Send,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// All dead letters, by shard and position.
    fn list_dead_letters(&self) -> impl Future<Output = Result<Vec<DeadLetter>, StoreError>> + Send
    where
        Self: Sized,
    {
        async {
            let mut letters = Vec::new();
            self.scan_dead_letters(|letter| letters.push(letter)).await?;
            letters.sort_unstable_by(DeadLetter::by_position);
            Ok(letters)
        }
    }

    /// Assigns each of these dead letters a redrive sequence greater than any before, unless its record has one, durably.
    /// Returns those that exist, each once, in the order of `ids`.
    fn assign_redrive_sequences(
        &self,
        ids: &[String],
    ) -> impl Future<Output = Result<Vec<DeadLetter>, StoreError>> + Send;
}

/// Everything that a pipeline stores.
pub trait Store: GroupStore + PinStore + CheckpointStore + DeadLetterStore + NoticeStore {}

impl<S: GroupStore + PinStore + CheckpointStore + DeadLetterStore + NoticeStore> Store for S {}
