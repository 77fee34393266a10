//! Items that share the packed groups of a race: how many a batch writes, and how often another host was first.

use paceline_capacity::dynamodb;

use crate::load::Keys;
use crate::shape::{LEAST_SPEED, Shape};

/// Bytes of a shared item beside its groups: keys, names, one rulebook with its plugins.
const PACK_BYTES: f64 = 480.0;
/// Bytes of a group in a shared item: the state, dedup state and outputs of Alleycat's standings, compressed.
const PACKED_GROUP_BYTES: f64 = 7.0;
/// Bytes of an item that shows one number of each group, beside the groups, and of a group in it: the sort key and the
/// number.
const SHOWN_BYTES: f64 = 60.0;
const SHOWN_GROUP_BYTES: f64 = 14.0;
const WRITE_UNIT_BYTES: f64 = 1024.0;
/// Items have different numbers of groups: their bytes are spread by so much about the mean, relative to it.
const SPREAD: f64 = 0.1;
/// Bytes of a read unit.
const READ_UNIT_BYTES: f64 = 4096.0;

/// The shared items of an aggregate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedItems {
    /// Items of a race, and races.
    into: f64,
    races: f64,
    /// Bytes of an item, and of what it shows.
    bytes: f64,
    shown_bytes: f64,
    /// The part of the groups that an item has no room for: they have items of their own.
    pub(crate) moved: f64,
    /// Items of a race that a shard's messages may be in.
    of_shard: f64,
    /// Other queues that write an item, on average, with a host or an instance of their own.
    pub(crate) rivals: f64,
}

/// Groups that fit into a shared item.
pub(crate) fn groups_of_an_item() -> f64 {
    ((dynamodb::ITEM_BYTES as f64 - PACK_BYTES) / PACKED_GROUP_BYTES).floor()
}

impl SharedItems {
    pub(crate) fn new(shape: &Shape<'_>, into: u32) -> Self {
        let races = f64::from(shape.load.races.max(1));
        let groups = f64::from(shape.load.racers) / (f64::from(into) * races);
        let shards = shape.deployment.shards.max(1);
        let of_shard = match shape.load.keys {
            Keys::Random => f64::from(into),
            // Items are ranges of the hash, as shards are. Ranges that are not parts of each other overlap by one more,
            // but at the ends.
            Keys::Racer => {
                let more = if into.is_multiple_of(shards) { 0.0 } else { 1.0 - 1.0 / f64::from(shards) };
                (f64::from(into) / f64::from(shards) + more).min(f64::from(into))
            }
        };
        let into = f64::from(into);
        let writers = (f64::from(shape.queues) * of_shard / into).max(1.0);
        let rivals = if shape.has_rivals() { writers - 1.0 } else { 0.0 };
        let fitting = groups.min(groups_of_an_item());
        let (bytes, moved) = (PACK_BYTES + fitting * PACKED_GROUP_BYTES, 1.0 - fitting / groups);
        let shown_bytes = SHOWN_BYTES + fitting * SHOWN_GROUP_BYTES;
        Self { into, races, bytes, shown_bytes, moved, of_shard, rivals }
    }

    /// The items that have any of so many groups of a queue.
    pub(crate) fn touched(&self, shape: &Shape<'_>, share: f64, groups: f64) -> f64 {
        let all = self.races
            * match shape.load.keys {
                Keys::Random => self.into,
                // A shard that has more of the messages has more of the hash.
                Keys::Racer => {
                    let usual = 1.0 / f64::from(shape.queues.max(1));
                    (self.of_shard * (share / usual).max(1.0)).clamp(1.0, self.into)
                }
            };
        (all * (1.0 - (1.0 - 1.0 / all.max(1.0)).powf(groups))).min(groups)
    }

    /// Of the first writes of an item, the part that finds that a rival was first between the read and the write. It is
    /// billed and repeated.
    pub(crate) fn refused_share(&self, shape: &Shape<'_>, messages: f64) -> f64 {
        let work = shape.work;
        let between = (work.batch_ms + 2.0 * work.request_ms) / 1e3
            + messages * work.message_ns / 1e9 / shape.speed.max(LEAST_SPEED);
        let every = shape.interval.max(shape.window).max(1e-3);
        1.0 - (1.0 - (between / every).min(1.0)).powf(self.rivals)
    }

    pub(crate) fn write_units(&self) -> f64 {
        mean_units(self.bytes)
    }

    /// What is too large for an item is not shown.
    pub(crate) fn shown_units(&self) -> f64 {
        match self.shown_bytes <= dynamodb::ITEM_BYTES as f64 {
            true => mean_units(self.shown_bytes),
            false => 0.0,
        }
    }

    pub(crate) fn read_units(&self) -> f64 {
        (self.bytes / READ_UNIT_BYTES).ceil()
    }
}

/// The write units of items with so many bytes on average.
fn mean_units(bytes: f64) -> f64 {
    // The integral of the units from 0 on, whose slope is a unit more after each kilobyte.
    let below = |kilobytes: f64| {
        let whole = kilobytes.floor();
        whole * (whole + 1.0) / 2.0 + (kilobytes - whole) * (whole + 1.0)
    };
    let mean = bytes / WRITE_UNIT_BYTES;
    let (least, most) = (mean * (1.0 - SPREAD), mean * (1.0 + SPREAD));
    (below(most) - below(least)) / (most - least)
}
