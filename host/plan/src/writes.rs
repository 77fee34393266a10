//! Groups and write units of a batch.

use paceline_capacity::dynamodb;

use crate::deployment::{Aggregate, Indexed, Records};
use crate::load::Keys;
use crate::shape::Shape;

/// Bytes of a shared item beside its groups: keys, names, one rulebook.
const PACK_BYTES: f64 = 300.0;
/// Bytes of a group in a shared item that shows one number: the state, dedup state and outputs of Alleycat's standings,
/// compressed, and the number with the sort key.
const PACKED_GROUP_BYTES: f64 = 48.0;

/// The writes of one kind of item in a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Writes {
    /// The index of the aggregate: its items of a race have one partition key.
    pub(crate) aggregate: usize,
    /// Items that are written.
    pub(crate) items: f64,
    /// Writes that fail because another batch was first, and are billed nevertheless.
    pub(crate) conflicts: f64,
    /// Items whose write also goes to the index.
    pub(crate) indexed: f64,
    /// Units of an item in the table.
    pub(crate) item_units: f64,
    /// Units of an item in the index.
    pub(crate) index_item_units: f64,
}

impl Writes {
    /// Units of the table, and of one partition key if all items have it.
    pub(crate) fn table_units(&self) -> f64 {
        (self.items + self.conflicts) * self.item_units
    }

    /// Units of the index.
    pub(crate) fn index_units(&self) -> f64 {
        self.indexed * self.index_item_units
    }
}

/// Racers of whom a batch has messages.
///
/// `messages` are consecutive ones of a queue that has this share of all. By racer keys its racers are its own. By random
/// keys each of a racer's messages is in this queue with the probability of the share.
pub(crate) fn groups(shape: &Shape<'_>, share: f64, messages: f64) -> f64 {
    let racers = f64::from(shape.load.racers);
    let of_each = messages / (racers * share).max(1e-9);
    let groups = match shape.load.keys {
        Keys::Racer => racers * share * of_each.min(1.0),
        Keys::Random if of_each <= 1.0 => messages,
        Keys::Random => racers * (1.0 - (1.0 - share).powf(of_each)),
    };
    groups.min(messages)
}

/// The writes of a batch, for each aggregate: one that is packed has shared items and results. `finals` of its messages are final ones.
pub(crate) fn writes(shape: &Shape<'_>, share: f64, messages: f64, finals: f64) -> Vec<Writes> {
    let all = groups(shape, share, messages);
    let of = |(at, aggregate): (usize, &Aggregate)| {
        let writes = match aggregate.packed_into {
            0 => vec![of_aggregate(shape, aggregate, all, finals)],
            into => packed(shape, aggregate, into, (all, finals)).into(),
        };
        writes.into_iter().map(move |writes| Writes { aggregate: at, ..writes })
    };
    shape.deployment.aggregates.iter().enumerate().flat_map(of).collect()
}

/// The writes of the shared items of an aggregate, and of its results, which get items of their own.
fn packed(shape: &Shape<'_>, aggregate: &Aggregate, into: u32, (all, finals): (f64, f64)) -> [Writes; 2] {
    let items = f64::from(into) * f64::from(shape.load.races.max(1));
    let groups = f64::from(shape.load.racers) / items;
    let bytes = PACK_BYTES + groups * PACKED_GROUP_BYTES;
    // The items that have any of these groups.
    let touched = items * (1.0 - (1.0 - 1.0 / items).powf(all));
    let item_units = dynamodb::write_units(bytes.ceil() as u64) as f64;
    let shared = Writes { items: touched, conflicts: touched * shape.stale_share(), item_units, ..Writes::default() };
    // A transaction costs twice.
    let own = of_aggregate(shape, aggregate, finals.min(all), finals);
    [shared, Writes { conflicts: 0.0, item_units: 2.0 * own.item_units, ..own }]
}

fn of_aggregate(shape: &Shape<'_>, aggregate: &Aggregate, all: f64, finals: f64) -> Writes {
    let items = match aggregate.records {
        Records::All => all,
        Records::Finals => finals,
    };
    let (indexed, times) = match aggregate.indexed {
        Indexed::Never => (0.0, 1.0),
        Indexed::Finals => (finals.min(items), 1.0),
        Indexed::Always => (items, 1.0),
        Indexed::Changing => (items, 2.0),
    };
    let item_units = dynamodb::write_units(aggregate.item_bytes) as f64;
    let conflicts = items * shape.stale_share();
    Writes { items, conflicts, indexed, item_units, index_item_units: item_units * times, ..Writes::default() }
}

/// Units of the table and of the index.
pub(crate) fn units(writes: &[Writes]) -> (f64, f64) {
    (writes.iter().map(Writes::table_units).sum(), writes.iter().map(Writes::index_units).sum())
}

/// Items that are written, and writes that fail.
pub(crate) fn sent(writes: &[Writes]) -> f64 {
    writes.iter().map(|writes| writes.items + writes.conflicts).sum()
}
