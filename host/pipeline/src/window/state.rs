//! What a window carries, and its encoding.

use std::collections::HashMap;
use std::sync::Arc;

use paceline_engine::Digest;
use serde::{Deserialize, Serialize};

use crate::model::{Attribute, Batch, Key, RecordPosition, SequenceNumber};
use crate::rules::BoundRulebook;
use crate::stages::groups::RejectedRow;

/// The format of [`Window::to_bytes`].
const FORMAT: u8 = 4;

/// The rows of several batches, not yet in the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    pub(super) shard: Arc<str>,
    /// The rulebooks by which the rows were evaluated.
    pub(super) rulebooks: Vec<Digest>,
    pub(super) groups: Vec<GroupDelta>,
    /// The indexes of each group's deltas, in the order of their rows.
    index: HashMap<Key, Vec<usize>>,
}

/// Rows of a group that follow each other, folded by one aggregate of one rulebook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct GroupDelta {
    pub(super) key: Key,
    /// The index of the rulebook in the window.
    pub(super) rulebook: u32,
    /// The index of the aggregate in its rulebook.
    pub(super) aggregate: u32,
    /// The values of the rulebook's attributes, from the last row, in the rulebook's order.
    pub(super) attributes: Vec<Attribute>,
    /// Whether the race of some row began with another rulebook.
    pub(super) reruled: bool,
    pub(super) deltas: Deltas,
}

/// The state of each row, with the mark by which dedup knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Deltas {
    /// In the order of the shard, each once.
    Positions(Vec<PositionRow>),
    /// Each ordinal once, in the order of arrival.
    Ordinals(Vec<(i64, Vec<u8>)>),
}

/// A row that dedup knows by its position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PositionRow {
    pub(super) position: RecordPosition,
    pub(super) arrival_ms: Option<i64>,
    pub(super) state: Vec<u8>,
}

impl Deltas {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Positions(deltas) => deltas.len(),
            Self::Ordinals(deltas) => deltas.len(),
        }
    }

    /// Those rows of it that `wanted` chooses by index.
    pub(super) fn only(&self, wanted: impl Fn(usize) -> bool) -> Self {
        fn of<T: Clone>(rows: &[T], wanted: impl Fn(usize) -> bool) -> Vec<T> {
            rows.iter().enumerate().filter(|(at, _)| wanted(*at)).map(|(_, row)| row.clone()).collect()
        }
        match self {
            Self::Positions(deltas) => Self::Positions(of(deltas, wanted)),
            Self::Ordinals(deltas) => Self::Ordinals(of(deltas, wanted)),
        }
    }

    /// Whether positions are in the order of the shard, each once.
    fn are_in_order(&self) -> bool {
        match self {
            Self::Positions(deltas) => deltas.is_sorted_by(|one, other| one.position < other.position),
            Self::Ordinals(_) => true,
        }
    }
}

/// The encoding of a window.
#[derive(Serialize, Deserialize)]
struct Encoded {
    format: u8,
    shard: String,
    /// Sequence numbers are written as distances from it: those of one shard differ in their last digits only.
    base: SequenceNumber,
    /// Arrival times likewise.
    base_ms: i64,
    rulebooks: Vec<Digest>,
    groups: Vec<GroupDelta>,
}

/// The bytes are not a window of this shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the window's state {0}")]
pub struct NotAWindow(String);

impl Window {
    /// An empty window of a shard.
    pub fn new(shard: Arc<str>) -> Self {
        Self { shard, rulebooks: Vec::new(), groups: Vec::new(), index: HashMap::new() }
    }

    /// Whether it carries no rows.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The number of groups.
    pub fn groups(&self) -> usize {
        self.index.len()
    }

    /// The number of rows. A record that belongs to two groups counts twice.
    pub fn rows(&self) -> usize {
        self.groups.iter().map(|group| group.deltas.len()).sum()
    }

    /// Encodes the window.
    pub fn to_bytes(&self) -> Vec<u8> {
        let positions = self.groups.iter().filter_map(|group| match &group.deltas {
            Deltas::Positions(deltas) => deltas.first().map(|row| row.position.sequence),
            Deltas::Ordinals(_) => None,
        });
        let base = positions.min().unwrap_or_default();
        let base_ms = self.groups.iter().filter_map(|group| match &group.deltas {
            Deltas::Positions(deltas) => deltas.first().and_then(|row| row.arrival_ms),
            Deltas::Ordinals(_) => None,
        });
        let base_ms = base_ms.min().unwrap_or_default();
        let mut groups = self.groups.clone();
        let distance = |sequence: SequenceNumber| sequence.checked_sub(base);
        move_rows(&mut groups, distance, |at_ms| at_ms.wrapping_sub(base_ms)).expect("the base is the least one");
        let written = Encoded {
            format: FORMAT,
            shard: self.shard.to_string(),
            base,
            base_ms,
            rulebooks: self.rulebooks.clone(),
            groups,
        };
        postcard::to_allocvec(&written).expect("a window can always be encoded")
    }

    /// Decodes the window of a shard.
    pub fn from_bytes(bytes: &[u8], shard: &Arc<str>) -> Result<Self, NotAWindow> {
        if bytes.first() != Some(&FORMAT) {
            return Err(NotAWindow(format!(
                "has format {}; this program reads format {FORMAT}",
                bytes.first().map_or("no".to_owned(), u8::to_string)
            )));
        }
        let written: Encoded =
            postcard::from_bytes(bytes).map_err(|error| NotAWindow(format!("can't be decoded: {error}")))?;
        if *written.shard != **shard {
            return Err(NotAWindow(format!("is of shard {}, the records are of {shard}", written.shard)));
        }
        let Encoded { base, base_ms, rulebooks, mut groups, .. } = written;
        let bad = || NotAWindow("can't be decoded: a position is out of range".to_owned());
        let moved = move_rows(&mut groups, |sequence| base.checked_add(sequence), |at_ms| at_ms.wrapping_add(base_ms));
        moved.ok_or_else(bad)?;
        if groups.iter().any(|group| group.rulebook as usize >= rulebooks.len()) {
            return Err(NotAWindow("can't be decoded: it names a rulebook that it does not list".to_owned()));
        }
        if groups.iter().any(|group| !group.deltas.are_in_order()) {
            return Err(NotAWindow("can't be decoded: its positions are not in the order of the shard".to_owned()));
        }
        let mut window = Self { rulebooks, ..Self::new(Arc::clone(shard)) };
        groups.into_iter().for_each(|group| window.push(group));
        Ok(window)
    }

    /// The rows that it carries of a group, in their order.
    pub(super) fn deltas(&self, key: &Key) -> impl DoubleEndedIterator<Item = &Deltas> {
        self.index.get(key).into_iter().flatten().map(|at| &self.groups[*at].deltas)
    }

    /// Whether it carries a record of a group.
    pub(super) fn holds(&self, batch: &Batch, row: &RejectedRow, key: &Key) -> bool {
        let position = batch.records[row.record as usize].position;
        self.deltas(key).any(|deltas| match (deltas, row.ordinal) {
            (Deltas::Positions(deltas), None) => deltas.iter().any(|other| other.position == position),
            (Deltas::Ordinals(deltas), Some(ordinal)) => deltas.iter().any(|(other, _)| *other == ordinal),
            _ => false,
        })
    }

    /// The place for the next row of a group. A group that goes over from one rulebook to another gets a new one: its rows
    /// are merged in their order.
    pub(super) fn place(&mut self, key: &Key, rulebook: u32, aggregate: u32) -> Option<&mut GroupDelta> {
        let last = self.index.get(key)?.last()?;
        let group = &mut self.groups[*last];
        ((group.rulebook, group.aggregate) == (rulebook, aggregate)).then_some(group)
    }

    pub(super) fn push(&mut self, group: GroupDelta) {
        self.index.entry(group.key.clone()).or_default().push(self.groups.len());
        self.groups.push(group);
    }

    /// The index of a rulebook, which is added if it is new.
    pub(super) fn rulebook(&mut self, rulebook: &BoundRulebook) -> u32 {
        let digest = rulebook.rulebook.id.digest;
        let at = self.rulebooks.iter().position(|other| *other == digest).unwrap_or_else(|| {
            self.rulebooks.push(digest);
            self.rulebooks.len() - 1
        });
        at as u32
    }
}

fn move_rows(
    groups: &mut [GroupDelta],
    sequence: impl Fn(SequenceNumber) -> Option<SequenceNumber>,
    arrival: impl Fn(i64) -> i64,
) -> Option<()> {
    for group in groups {
        if let Deltas::Positions(deltas) = &mut group.deltas {
            for row in deltas {
                row.position.sequence = sequence(row.position.sequence)?;
                row.arrival_ms = row.arrival_ms.map(&arrival);
            }
        }
    }
    Some(())
}
