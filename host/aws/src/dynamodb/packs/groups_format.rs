//! The format of `@groups`: groups in columns, compressed.
//!
//! DynamoDB bills the kilobytes of a shared item with each write, so a byte of a group is paid for with each batch. Neighbours
//! have nearly everything in common but their numbers:
//!
//! - What repeats is there once: [`Stored`]'s provenances and layouts.
//! - Integers, and numbers that are short decimals, take the bits of their range: [`frame`], [`mod@column`].
//! - Numbers that a state or a dedup state has as well as an attribute are left out there: [`holes`].
//! - What is left is [`transposed`], so that what is at the same place in all groups is next to each other, and is compressed
//!   by zlib.

use std::collections::BTreeMap;
use std::io::{Read, Write as _};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use paceline_pipeline::dedup::DedupState;
use paceline_pipeline::model::{Attribute, Item, Provenance, SmolStr};
use serde::{Deserialize, Serialize};

use super::groups::{Groups, Moved};

mod column;
mod frame;
mod holes;
mod transposed;

use column::{Column, Values};
use frame::{Bits, BitsReader, Frame};
use holes::Hollow;
use transposed::{Rows, Transposed};

/// The most bytes of groups that are decompressed: many times what fits into an item.
const MAX_DECOMPRESSED: usize = 64 << 20;

/// Bytes that are no groups.
#[derive(Debug, thiserror::Error)]
pub(in crate::dynamodb) enum InvalidGroups {
    #[error("they can't be decompressed")]
    Compression(#[source] std::io::Error),
    #[error("they can't be decoded")]
    Encoding(#[source] postcard::Error),
    #[error("their columns contradict each other")]
    Columns,
}

/// The groups as they are encoded. Unless it says otherwise, each column has an entry for each group, by sort key.
#[derive(Serialize, Deserialize)]
struct Stored {
    moved: Moved,
    provenances: Vec<Arc<Provenance>>,
    /// The names of attributes, of groups that have the same.
    layouts: Vec<Vec<SmolStr>>,
    /// How many bytes of the sort key are those of the one before.
    shared: Vec<u32>,
    /// The others.
    rest: Transposed,
    revisions: Frame,
    /// Indexes.
    provenance: Vec<u32>,
    layout: Vec<u32>,
    reruled: Vec<bool>,
    /// A column for each attribute of each layout, with an entry for each group that has the layout.
    values: Vec<Vec<Column>>,
    /// Where numbers are missing in what follows: see [`holes`].
    notes: Vec<u32>,
    /// The dedup states, each with the state behind it.
    states: Transposed,
    /// The bytes of the frames' bits, which are behind the compressed stream.
    bits: u32,
}

/// Groups as they are stored.
pub(super) struct EncodedGroups {
    pub(super) bytes: Vec<u8>,
    /// Whether they can be decoded: so much may have been compressed that it would not be decompressed again.
    pub(super) can_be_decoded: bool,
}

/// Encodes groups.
pub(super) fn encode(groups: &Groups, moved: &Moved) -> EncodedGroups {
    let (mut provenances, mut layouts) = (Vec::new(), Vec::new());
    let (mut shared, mut rest) = (Vec::with_capacity(groups.len()), Rows::default());
    let (mut provenance, mut layout) = (Vec::with_capacity(groups.len()), Vec::with_capacity(groups.len()));
    let (mut notes, mut states) = (Vec::new(), Rows::default());
    let mut state = Vec::new();
    let mut of_layouts: Vec<OfLayout<'_>> = Vec::new();
    let mut before = "";
    for (sort, item) in groups {
        let common = sort.bytes().zip(before.bytes()).take_while(|(one, other)| one == other).count();
        shared.push(common as u32);
        rest.push(&sort.as_bytes()[common..]);
        before = sort;

        let is_it = |other: &Arc<Provenance>| **other == *item.provenance;
        provenance.push(index_of(&mut provenances, is_it, || Arc::clone(&item.provenance)));
        let names = || item.attributes.iter().map(|(name, _)| name);
        let is_it = |other: &Vec<SmolStr>| other.iter().eq(names());
        let index = index_of(&mut layouts, is_it, || names().cloned().collect());
        layout.push(index);
        of_layouts.resize_with(layouts.len(), OfLayout::default);
        let of_layout = &mut of_layouts[index as usize];
        of_layout.values.resize_with(item.attributes.len(), Vec::new);
        for (values, (_, value)) in of_layout.values.iter_mut().zip(&item.attributes) {
            values.push((value, sort));
        }

        state.clear();
        state.extend_from_slice(&item.dedup.to_bytes());
        state.extend_from_slice(&item.state);
        let values = item.attributes.iter().map(|(_, value)| value);
        states.push_with(|left| of_layout.hollow.take_out(&state, values, &mut notes, left));
    }
    let mut bits = Bits::default();
    // Bit for bit; the order of two's complement does not matter.
    let revisions: Vec<i64> = groups.values().map(|item| item.revision as i64).collect();
    let revisions = Frame::of(&revisions, &mut bits);
    let columns =
        |of: OfLayout<'_>, bits: &mut Bits| of.values.iter().map(|values| Column::of(values, bits)).collect::<Vec<_>>();
    let values = of_layouts.into_iter().map(|of| columns(of, &mut bits)).collect();
    let bits = bits.into_bytes();
    let stored = Stored {
        moved: moved.clone(),
        provenances,
        layouts,
        shared,
        rest: Transposed::of(&rest),
        revisions,
        provenance,
        layout,
        reruled: groups.values().map(|item| item.reruled).collect(),
        values,
        notes,
        states: Transposed::of(&states),
        bits: bits.len() as u32,
    };
    let plain = postcard::to_allocvec(&stored).expect("groups can always be encoded");
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&plain).expect("memory can always be written");
    let mut bytes = encoder.finish().expect("memory can always be written");
    bytes.extend(bits);
    // Of exactly as many bytes the end of the stream, behind which the bits are, would not be found.
    EncodedGroups { bytes, can_be_decoded: plain.len() < MAX_DECOMPRESSED }
}

/// What is collected of the groups of a layout.
#[derive(Default)]
struct OfLayout<'a> {
    /// The values of each attribute, with the groups' sort keys.
    values: Vec<Vec<(&'a Attribute, &'a str)>>,
    hollow: Hollow,
}

/// Decodes groups.
pub(super) fn decode(bytes: &[u8]) -> Result<(Groups, Moved), InvalidGroups> {
    let mut plain = Vec::new();
    let mut decoder = ZlibDecoder::new(bytes);
    decoder.by_ref().take(MAX_DECOMPRESSED as u64).read_to_end(&mut plain).map_err(InvalidGroups::Compression)?;
    let stored: Stored = postcard::from_bytes(&plain).map_err(InvalidGroups::Encoding)?;
    let bits = usize::try_from(decoder.total_in()).ok().and_then(|at| bytes.get(at..));
    let groups = bits.and_then(|bits| stored.groups(bits)).ok_or(InvalidGroups::Columns)?;
    Ok((groups, stored.moved))
}

impl Stored {
    fn groups(&self, bits: &[u8]) -> Option<Groups> {
        let count = self.shared.len();
        let lengths = [self.provenance.len(), self.layout.len(), self.reruled.len()];
        if lengths.iter().any(|length| *length != count) || bits.len() != self.bits as usize {
            return None;
        }
        let mut bits = BitsReader::new(bits);
        let revisions = self.revisions.integers(count, &mut bits)?;
        let mut columns = self.columns(&mut bits)?;
        let (rest, states) = (self.rest.rows(count)?, self.states.rows(count)?);
        let mut notes = self.notes.iter();
        let mut groups = BTreeMap::new();
        let mut sort = Arc::<str>::from("");
        for (at, (rest, state)) in rest.iter().zip(states.iter()).enumerate() {
            let shared = sort.as_bytes().get(..self.shared[at] as usize)?;
            sort = str::from_utf8(&[shared, rest].concat()).ok()?.into();
            let layout = self.layout[at] as usize;
            let names = self.layouts.get(layout)?.iter().cloned();
            let values = columns.get_mut(layout)?.iter_mut().map(|column| column.next(&sort));
            let attribute = |(name, value): (SmolStr, Option<Attribute>)| Some((name, value?));
            let attributes: Vec<(SmolStr, Attribute)> = names.zip(values).map(attribute).collect::<Option<_>>()?;
            let state = holes::put_back(state, attributes.iter().map(|(_, value)| value), &mut notes)?;
            let (dedup, state) = DedupState::take_from_bytes(&state).ok()?;
            let item = Item {
                revision: revisions[at] as u64,
                state: state.to_vec(),
                dedup,
                attributes,
                provenance: Arc::clone(self.provenances.get(self.provenance[at] as usize)?),
                reruled: self.reruled[at],
            };
            groups.insert(Arc::clone(&sort), Arc::new(item));
        }
        (groups.len() == count && notes.next().is_none() && bits.is_at_end()).then_some(groups)
    }

    /// The values of each attribute of each layout.
    fn columns(&self, bits: &mut BitsReader<'_>) -> Option<Vec<Vec<Values>>> {
        let mut groups = vec![0; self.layouts.len()];
        for layout in &self.layout {
            *groups.get_mut(*layout as usize)? += 1;
        }
        let is_whole = self.values.iter().map(Vec::len).eq(self.layouts.iter().map(Vec::len));
        let mut of_layout = |(columns, count): (&Vec<Column>, &usize)| {
            columns.iter().map(|column| column.values(*count, bits)).collect::<Option<Vec<_>>>()
        };
        is_whole.then_some(())?;
        self.values.iter().zip(&groups).map(&mut of_layout).collect()
    }
}

/// The index of an entry, which is added if it is missing.
fn index_of<T>(entries: &mut Vec<T>, is_it: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> u32 {
    // The same one mostly, so the last one is looked at first.
    let found = entries.iter().rposition(is_it).unwrap_or_else(|| {
        entries.push(new());
        entries.len() - 1
    });
    found as u32
}
