//! What the stages work on: records and their positions, groups' keys and items, dead letters.
//!
//! # Layout
//!
//! - `position`: where a record is in its shard.
//! - `record`, `batch`, `checkpoint`: records as they arrive, and how far a shard is read.
//! - `fields`: the values of payloads' fields. Pointers and values are those of `paceline-json`.
//! - `key`, `item`: a group's key, and what the store holds of it. `pack`: groups that share an item.
//! - `rulebook_id`: which rulebook.
//! - `dead_letter`: records that could not be processed, with the reason.

mod batch;
mod checkpoint;
mod dead_letter;
mod encoding;
mod fields;
mod item;
mod key;
mod pack;
mod position;
mod record;
mod rulebook_id;

pub use batch::{Batch, BatchLimits};
pub use checkpoint::Checkpoint;
pub use dead_letter::{Cause, DeadLetter, REDRIVE_SHARD, Reason, UnknownCause};
pub(crate) use encoding::Encoding;
pub(crate) use fields::ProjectedRows;
#[cfg(test)]
pub(crate) use item::test_provenance;
pub use item::{Attribute, Item, Provenance};
pub use key::{Key, KeyError, PACK_PREFIX, PARTITION_BYTES, RESERVED_PREFIX, SORT_BYTES};
pub(crate) use paceline_json::{FieldIndex, FieldValue};
pub use paceline_json::{NotAPointer, Pointer, Span};
pub(crate) use pack::MAX_PACKS;
pub use pack::{Pack, Packing};
pub use position::{NotASequenceNumber, RecordPosition, SequenceNumber};
pub use record::Record;
pub use rulebook_id::{RulebookId, RulesRevision};
pub use smol_str::SmolStr;
