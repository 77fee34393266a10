//! Where the outcome stands: items of groups, pins of races, dead letters, checkpoints.
//!
//! The trait asks for what every store worth the name has, a write on the condition that nothing has changed since the
//! read, and for no more: no transaction over several items, no order between them. [`EmbeddedStore`] keeps all in one
//! file, [`MemoryStore`] nothing beyond the process.

mod embedded;
mod memory;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use embedded::EmbeddedStore;
pub use memory::MemoryStore;

use crate::batch::Checkpoint;
use crate::dead_letter::DeadLetter;
use crate::dedup::DedupState;

/// The key of a group's item.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// The partition key.
    pub partition: String,
    /// The sort key.
    pub sort: String,
}

/// Bytes of a partition key that DynamoDB takes. Other stores keep to it, too, so that a race means the same wherever it
/// runs.
pub const PARTITION_BYTES: usize = 2048;
/// Bytes of a sort key, likewise.
pub const SORT_BYTES: usize = 1024;

/// What begins with this is the host's own: attributes, and the partitions of pins and checkpoints.
pub const RESERVED_PREFIX: char = '@';

/// Whether a group can have this key, or why not.
pub fn check_key(partition: &str, sort: &str) -> Result<(), String> {
    for (name, key, most) in [("PK", partition, PARTITION_BYTES), ("SK", sort, SORT_BYTES)] {
        if key.is_empty() || key.len() > most {
            return Err(format!("the group's {name} would have {} bytes: 1 to {most} are allowed", key.len()));
        }
    }
    match partition.starts_with(RESERVED_PREFIX) {
        true => Err(format!("the group's PK would be `{partition}`: names that begin with `{OWN}` are the host's own")),
        false => Ok(()),
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {}", self.partition, self.sort)
    }
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Attribute {
    /// `true` or `false`.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A finite number.
    Number(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// By what a group's item was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The rulebook's race type.
    pub race_type: String,
    /// The rulebook's version.
    pub version: u64,
    /// The digests of its plugins: validators, scorer, then the aggregator whose state this is.
    pub plugins: Vec<[u8; 32]>,
}

/// What is written of a group, in one write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Counts the writes; what a conditional write compares.
    pub revision: u64,
    /// What the aggregator remembers.
    pub state: Vec<u8>,
    /// What has been folded into the state.
    pub dedup: DedupState,
    /// What people read: the aggregator's outputs and the rulebook's attributes, by name.
    pub attributes: Vec<(Arc<str>, Attribute)>,
    /// By what it was made.
    pub provenance: Arc<Provenance>,
}

impl Item {
    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|(other, _)| **other == *name).map(|(_, value)| value)
    }
}

/// A conditional write.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// Which item.
    pub key: Key,
    /// The revision that was read; nothing where there was no item.
    pub expected: Option<u64>,
    /// What to write. Its revision is the next one.
    pub item: Item,
}

/// How a conditional write ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It stands.
    Done,
    /// The item has another revision by now. Nothing was written.
    Conflict,
    /// The store is throttled or did not answer: this one may stand or not. The same write may be tried again; one that
    /// stands already is then either told as done or as a conflict with itself, which the fence absorbs.
    Transient(String),
}

/// Which race a pin is for: race type, and the value of the pinned field.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PinKey {
    /// The race type.
    pub race_type: String,
    /// The value of the pinned field.
    pub value: String,
}

/// The rulebook that a race keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Its version.
    pub version: u64,
    /// The digest of its text.
    pub rulebook: [u8; 32],
}

/// What goes wrong in a store, by what the caller should do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Try again later: the store is throttled or out of reach.
    #[error("{0}")]
    Transient(String),
    /// Stop: it would be no better next time.
    #[error("{0}")]
    Fatal(String),
}

/// Where the outcome stands.
///
/// A write may be lost in a crash until [`acknowledge`](Self::acknowledge) returns, but never be torn: an item's state,
/// fence and attributes are one write.
pub trait Store: Send + Sync {
    /// Whether an item can be held at all, or why not: its size, its values. Asked before anything of a batch is
    /// written, so that the records of a group that can't be become dead letters as a whole.
    fn fits(&self, _key: &Key, _item: &Item) -> Result<(), String> {
        Ok(())
    }

    /// The items of these keys, in their order, as they stand now.
    fn load(&self, keys: &[Key]) -> impl Future<Output = Result<Vec<Option<Item>>, StoreError>> + Send;

    /// Writes each item if its revision is still the expected one. How each ended, in their order.
    fn write(&self, writes: &[Write]) -> impl Future<Output = Result<Vec<Written>, StoreError>> + Send;

    /// Pins races that have no pin yet. The pins that stand, in their order: these, or the earlier ones.
    fn pin(&self, pins: &[(PinKey, Pin)]) -> impl Future<Output = Result<Vec<Pin>, StoreError>> + Send;

    /// The pins of these races, in their order.
    fn pins(&self, keys: &[PinKey]) -> impl Future<Output = Result<Vec<Option<Pin>>, StoreError>> + Send;

    /// Keeps dead letters. One that is there already is replaced.
    fn put_dead_letters(&self, dead_letters: &[DeadLetter]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes dead letters that have gone through.
    fn delete_dead_letters(&self, ids: &[String]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Makes everything written before survive a crash, and with it, but not before it, the checkpoint of a shard.
    fn acknowledge(
        &self,
        checkpoint: Option<(&str, &Checkpoint)>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// How far a shard was read.
    fn checkpoint(&self, shard: &str) -> impl Future<Output = Result<Option<Checkpoint>, StoreError>> + Send;

    /// All items of a partition, by sort key.
    fn partition(&self, partition: &str) -> impl Future<Output = Result<Vec<(Key, Item)>, StoreError>> + Send;

    /// All items, by key.
    fn items(&self) -> impl Future<Output = Result<Vec<(Key, Item)>, StoreError>> + Send;

    /// A dead letter.
    fn dead_letter(&self, id: &str) -> impl Future<Output = Result<Option<DeadLetter>, StoreError>> + Send;

    /// All dead letters, in the order of shard and place.
    fn dead_letters(&self) -> impl Future<Output = Result<Vec<DeadLetter>, StoreError>> + Send;

    /// Gives each of these dead letters a ticket greater than any before, unless it has one, and makes them survive a
    /// crash. The letters, by ticket.
    fn redrive_sequence(&self, ids: &[String]) -> impl Future<Output = Result<Vec<DeadLetter>, StoreError>> + Send;
}

fn sort_letters(dead_letters: &mut [DeadLetter]) {
    dead_letters.sort_by(|a, b| a.shard.cmp(&b.shard).then(a.position.cmp(&b.position)));
}

fn give_redrive_sequence(letter: &mut DeadLetter, last: &mut u64) {
    letter.redrive_sequence.get_or_insert_with(|| {
        *last += 1;
        *last
    });
}
