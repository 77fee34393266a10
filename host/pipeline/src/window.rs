//! Window: what the batches of a while come to is carried along by the sender, and committed in one write a group.
//!
//! Each record is carried apart, as a state of its own that the aggregator folded from nothing. States that are joined
//! can't be taken apart again; and a record may turn out, when the window closes, to stand in the table already: an
//! earlier attempt to close the window got as far as that, or a producer sent it twice. So the records are joined with
//! [`merge`](paceline_engine::plugin::AggregatorSession::merge) only then, each behind its group's fence. That is exact
//! whatever is repeated, and costs room instead of writes: some 25 bytes a record of the Alleycat races.
//!
//! # Layout
//!
//! - this file: what is carried, and how it is written down.
//! - `accumulate`: from a batch to its records' states.
//! - `flush`: from the states to the table.

mod flush;
mod accumulate;

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::position::{RecordPosition, SequenceNumber};
use crate::rulebook::BoundRulebook;
use crate::store::{Attribute, Key};

/// The format of what [`Window::to_bytes`] writes.
const FORMAT: u8 = 1;

/// What the batches of a while came to, not yet in the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    shard: Arc<str>,
    /// The rulebooks by which the records were judged.
    rulebooks: Vec<RulebookRef>,
    groups: Vec<GroupDelta>,
    index: HashMap<(Key, u32, u32), usize>,
}

/// A rulebook by race type, version and digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct RulebookRef {
    race_type: String,
    version: u64,
    digest: [u8; 32],
}

/// The records of a group, by one aggregate of one rulebook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct GroupDelta {
    key: Key,
    /// The index of the rulebook.
    rulebook: u32,
    /// Which of its aggregates.
    aggregate: u32,
    /// The values of the rulebook's attributes, from the last record, in the rulebook's order.
    attributes: Vec<Attribute>,
    rows: Deltas,
}

/// Each record's mark, by which its group's fence knows it, and its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Deltas {
    /// In the order of the shard.
    Positions(Vec<(RecordPosition, Vec<u8>)>),
    /// Each ordinal once, in the order in which they came.
    Ordinals(Vec<(i64, Vec<u8>)>),
}

impl Deltas {
    fn len(&self) -> usize {
        match self {
            Self::Positions(rows) => rows.len(),
            Self::Ordinals(rows) => rows.len(),
        }
    }
}

/// What is written of a window.
#[derive(Serialize, Deserialize)]
struct Encoded {
    format: u8,
    shard: String,
    /// What every place's sequence number is written as a distance from: those of one shard differ in their last digits.
    base: SequenceNumber,
    rulebooks: Vec<RulebookRef>,
    groups: Vec<GroupDelta>,
}

/// The bytes are no window of this shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the window's state {0}")]
pub struct NotAWindow(String);

impl Window {
    /// An empty window of a shard.
    pub fn new(shard: Arc<str>) -> Self {
        Self { shard, rulebooks: Vec::new(), groups: Vec::new(), index: HashMap::new() }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// How many groups it touches.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// How many records it carries; one that belongs to two groups counts twice.
    pub fn rows(&self) -> usize {
        self.groups.iter().map(|group| group.rows.len()).sum()
    }

    /// The window as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let positions = self.groups.iter().filter_map(|group| match &group.rows {
            Deltas::Positions(rows) => rows.first().map(|(position, _)| position.sequence),
            Deltas::Ordinals(_) => None,
        });
        let base = positions.min().unwrap_or_default();
        let mut groups = self.groups.clone();
        move_positions(&mut groups, |sequence| sequence.checked_sub(base)).expect("the base is the least of them");
        let written =
            Encoded { format: FORMAT, shard: self.shard.to_string(), base, rulebooks: self.rulebooks.clone(), groups };
        postcard::to_allocvec(&written).expect("a window can always be written")
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8], shard: &Arc<str>) -> Result<Self, NotAWindow> {
        if bytes.first() != Some(&FORMAT) {
            return Err(NotAWindow(format!(
                "has format {}, this program knows {FORMAT}",
                bytes.first().map_or("no".to_owned(), u8::to_string)
            )));
        }
        let written: Encoded =
            postcard::from_bytes(bytes).map_err(|error| NotAWindow(format!("can't be read: {error}")))?;
        if *written.shard != **shard {
            return Err(NotAWindow(format!("is of shard {}, the records are of {shard}", written.shard)));
        }
        let Encoded { base, rulebooks, mut groups, .. } = written;
        let bad = || NotAWindow("can't be read: a place is out of range".to_owned());
        move_positions(&mut groups, |sequence| base.checked_add(sequence)).ok_or_else(bad)?;
        if groups.iter().any(|group| group.rulebook as usize >= rulebooks.len()) {
            return Err(NotAWindow("can't be read: it names a rulebook that it does not list".to_owned()));
        }
        let at = groups.iter().enumerate();
        let index = at.map(|(at, group)| ((group.key.clone(), group.rulebook, group.aggregate), at)).collect();
        Ok(Self { shard: Arc::clone(shard), rulebooks, groups, index })
    }

    fn rulebook(&mut self, plan: &BoundRulebook) -> u32 {
        let book = &plan.rulebook.book;
        let digest = *plan.rulebook.digest.as_bytes();
        let same = |name: &RulebookRef| {
            name.race_type == book.race_type && name.version == book.version && name.digest == digest
        };
        let at = self.rulebooks.iter().position(same).unwrap_or_else(|| {
            self.rulebooks.push(RulebookRef { race_type: book.race_type.clone(), version: book.version, digest });
            self.rulebooks.len() - 1
        });
        at as u32
    }
}

fn move_positions(groups: &mut [GroupDelta], to: impl Fn(SequenceNumber) -> Option<SequenceNumber>) -> Option<()> {
    for group in groups {
        if let Deltas::Positions(rows) = &mut group.rows {
            for (position, _) in rows {
                position.sequence = to(position.sequence)?;
            }
        }
    }
    Some(())
}
