//! What one write of an item of packed groups does, decided from what the item held.

use std::collections::HashSet;
use std::sync::Arc;

use paceline_pipeline::model::{Item, Key, Packing};

use super::content::{Content, PackKey};
use super::groups::Moved;
use crate::dynamodb::item::{self, MAX_ITEM_BYTES, Map};

/// DynamoDB's limit for the items of a transaction is 100, of which the shared item is one.
const MOVES: usize = 99;

/// DynamoDB's limit for the bytes of a transaction is 4 MB, with the shared item.
const MOVES_BYTES: usize = 3 << 20;

/// Of a shared item that is full, groups move out until it has this room: else each write would move one.
const ROOM_BYTES: usize = 32 << 10;

/// A conditional write of a group.
#[derive(Clone, Debug)]
pub(super) struct GroupWrite {
    /// Its index among all writes of the call.
    pub(super) at: usize,
    pub(super) sort: Arc<str>,
    pub(super) expected: Option<u64>,
    pub(super) item: Arc<Item>,
    /// How its rulebook packs it. Groups of other aggregates, and of other versions of a rulebook, may share the item.
    pub(super) packing: Arc<Packing>,
}

/// One write of a shared item.
#[derive(Debug)]
pub(super) struct Plan {
    /// What the item holds afterwards, and its encoding.
    pub(super) content: Content,
    pub(super) map: Map,
    /// The writes that it does, of groups that stay or go. Results stay for now.
    pub(super) taken: Vec<GroupWrite>,
    /// Those of them whose groups get items of their own, together with the shared item or not at all. No such item can
    /// exist: the shared item would have another revision.
    pub(super) moves: Vec<GroupWrite>,
    /// Writes of groups that are in the item as they would be written: an earlier attempt wrote them, and its response was
    /// lost.
    pub(super) done: Vec<GroupWrite>,
    /// Writes for the next plan.
    pub(super) left: Vec<GroupWrite>,
    /// Writes of groups that have another revision.
    pub(super) conflicts: Vec<GroupWrite>,
    /// Writes of groups that have items of their own.
    pub(super) alone: Vec<GroupWrite>,
}

impl Plan {
    /// Plans as many writes as one request can do.
    pub(super) fn new(base: &Content, key: &PackKey, writes: Vec<GroupWrite>) -> Self {
        let mut plan = Self {
            content: Content { revision: base.revision + 1, ..base.clone() },
            map: Map::new(),
            taken: Vec::new(),
            moves: Vec::new(),
            done: Vec::new(),
            left: Vec::new(),
            conflicts: Vec::new(),
            alone: Vec::new(),
        };
        let mut room = Room { items: MOVES, bytes: MOVES_BYTES };
        for write in writes {
            let held = base.groups.get(&write.sort).map(|item| item.revision);
            if held.is_none() && base.moved.has(&write.sort) {
                plan.alone.push(write);
            } else if base.groups.get(&write.sort) == Some(&write.item) {
                plan.done.push(write);
            } else if held != write.expected {
                plan.conflicts.push(write);
            } else {
                plan.content.groups.insert(Arc::clone(&write.sort), Arc::clone(&write.item));
                plan.taken.push(write);
            }
        }
        plan.fit(base, key, &mut room);
        plan
    }

    /// What an item holds once these groups have left it that have not changed since: they have items of their own by now.
    /// `None` if there are none.
    pub(super) fn without(base: &Content, groups: &[(Arc<str>, u64)]) -> Option<Content> {
        let mut content = Content { revision: base.revision + 1, ..base.clone() };
        for (sort, revision) in groups {
            if base.groups.get(sort).is_some_and(|item| item.revision == *revision) {
                content.groups.remove(sort);
                content.moved.add(sort);
            }
        }
        (content.groups.len() < base.groups.len()).then_some(content)
    }

    fn move_out(&mut self, write: GroupWrite) {
        self.content.groups.remove(&write.sort);
        self.content.moved.add(&write.sort);
        self.moves.push(write.clone());
        self.taken.push(write);
    }

    /// Moves the largest groups out of an item that would be too large, for DynamoDB or to be read again. Those that would be
    /// too many for one request are left as they were, to be written by the next one.
    ///
    /// A group that was new and moves out leaves nothing but its name. If the item has no room for it, it names none any more:
    /// a group that is neither in the item nor named there has never been there, so it may have an item of its own as well.
    fn fit(&mut self, base: &Content, key: &PackKey, room: &mut Room) {
        let mut limit = MAX_ITEM_BYTES;
        loop {
            let encoded = self.content.encode(key);
            let (is_small, is_valid) = (encoded.fits(limit), encoded.fits(MAX_ITEM_BYTES));
            self.map = encoded.map;
            if is_small {
                return;
            }
            limit = MAX_ITEM_BYTES - ROOM_BYTES;
            let moved: HashSet<usize> = self.moves.iter().map(|write| write.at).collect();
            let (mut staying, gone) =
                std::mem::take(&mut self.taken).into_iter().partition::<Vec<_>, _>(|write| !moved.contains(&write.at));
            self.taken = gone;
            staying.sort_by_key(|write| std::cmp::Reverse(size(key, write)));
            // What is left was in the item before, and fitted without the names that were added.
            if staying.is_empty() {
                if !is_valid {
                    self.content.moved = Moved::AllOthers;
                    self.map = self.content.encode(key).map;
                }
                return;
            }
            // Encoding takes time: some go at once.
            let rest = staying.split_off(staying.len().div_ceil(8));
            self.taken.extend(rest);
            for write in staying {
                if room.take(size(key, &write)) {
                    self.move_out(write);
                    continue;
                }
                match base.groups.get(&write.sort) {
                    Some(item) => self.content.groups.insert(Arc::clone(&write.sort), Arc::clone(item)),
                    None => self.content.groups.remove(&write.sort),
                };
                self.left.push(write);
            }
        }
    }
}

/// What a request still has room for.
struct Room {
    items: usize,
    bytes: usize,
}

impl Room {
    /// Takes the room of an item of so many bytes, if there is enough.
    fn take(&mut self, bytes: usize) -> bool {
        let fits = self.items > 0 && self.bytes >= bytes;
        if fits {
            self.items -= 1;
            self.bytes -= bytes;
        }
        fits
    }
}

/// Whether a group gets an item of its own.
pub(super) fn is_result(item: &Item, packing: &Packing) -> bool {
    packing.alone.as_ref().is_some_and(|name| item.attribute(name).is_some())
}

/// The size of a group's item of its own.
fn size(key: &PackKey, write: &GroupWrite) -> usize {
    key.partition.len() + write.sort.len() + item::size(&Key::new("", ""), &write.item)
}
