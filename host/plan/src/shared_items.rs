//! Items that share the packed groups of a race: how many a batch writes, and how often another host was first.

use paceline_capacity::dynamodb;

use crate::load::Keys;
use crate::shape::{LEAST_SPEED, Shape};

/// Bytes of a shared item beside its groups: keys, names, one rulebook.
const PACK_BYTES: f64 = 300.0;
/// Bytes of a group in a shared item that shows one number: the state, dedup state and outputs of Alleycat's standings,
/// compressed, and the number with the sort key.
const PACKED_GROUP_BYTES: f64 = 36.0;
/// Bytes of a write unit. Items have different numbers of groups, so that half a unit is begun in vain on average.
const WRITE_UNIT_BYTES: f64 = 1024.0;
/// Bytes of a read unit.
const READ_UNIT_BYTES: f64 = 4096.0;

/// The shared items of an aggregate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedItems {
    /// Items of a race, and races.
    into: f64,
    races: f64,
    /// Bytes of an item.
    bytes: f64,
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
        Self { into, races, bytes, moved, of_shard, rivals }
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
        (self.bytes / WRITE_UNIT_BYTES + 0.5).max(1.0)
    }

    pub(crate) fn read_units(&self) -> f64 {
        (self.bytes / READ_UNIT_BYTES).ceil()
    }
}
