//! A message by a template.

use super::literal::Literal;
use super::scalar;
use crate::general;
use crate::projection::Projection;
use crate::value::{FieldValue, Row};

/// What is the same in all messages of one form, and where their values are.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) slots: Vec<Slot>,
    /// The bytes after the last value.
    pub(super) end: Literal,
    /// The fields that are objects, between the values.
    pub(super) objects: Vec<usize>,
}

/// A value of a message.
#[derive(Debug)]
pub(super) struct Slot {
    /// The bytes between the value before and this one.
    pub(super) literal: Literal,
    /// The value's field; [`Slot::DROPPED`] if it has none.
    pub(super) field: usize,
    /// The value's member, as a node of the projection and the member's index there, if it is projected or on the way to
    /// what is.
    pub(super) member: Option<(usize, usize)>,
}

impl Slot {
    /// The field of a value that is read and dropped.
    pub(super) const DROPPED: usize = usize::MAX;
}

/// A message in the bytes that hold it.
#[derive(Clone, Copy)]
pub(super) struct Message<'b> {
    pub(super) json: &'b str,
    /// The bytes of `json`, and [`PADDING`](Literal::PADDING) more, whatever they are.
    pub(super) padded: &'b [u8],
    /// Where it begins in the bytes that hold all payloads.
    pub(super) offset: u32,
}

impl Template {
    /// Reads a message into a row whose values are missing. Returns whether the message has the template's form; if not,
    /// the row has any values.
    pub(super) fn fill(&self, projection: &Projection, message: Message<'_>, row: &mut Row<'_>) -> bool {
        self.end_of(projection, message, row) == Some(message.json.len())
    }

    /// Where the template ends in the message's bytes. All that is before it is JSON: parts that lie beyond the message's
    /// end are no danger, because then so is the template's.
    #[inline]
    fn end_of(&self, projection: &Projection, message: Message<'_>, row: &mut Row<'_>) -> Option<usize> {
        let mut at = 0;
        let mut dropped = FieldValue::Missing;
        for slot in &self.slots {
            at = slot.literal.end(message.padded, at)?;
            let cell = row.values.get_mut(slot.field).unwrap_or(&mut dropped);
            at = match scalar::read(message.padded, at, message.offset, cell) {
                Some(end) => end,
                None => slot.by_serde_json(projection, message, at, row)?,
            };
        }
        for &field in &self.objects {
            row.values[field] = FieldValue::Object;
        }
        self.end.end(message.padded, at)
    }
}

impl Slot {
    /// Reads a value that is not plain. Returns where it ends.
    #[cold]
    #[inline(never)]
    fn by_serde_json(
        &self,
        projection: &Projection,
        message: Message<'_>,
        at: usize,
        row: &mut Row<'_>,
    ) -> Option<usize> {
        let end = scalar::end(message.padded, at)?;
        let value = message.json.get(at..end)?;
        let member = self.member.map(|(node, index)| &projection.members(node)[index]);
        general::read_value((projection, member), value, message.offset + at as u32, row).ok()?;
        Some(end)
    }
}
