//! Groups and write units of a batch.

use paceline_capacity::dynamodb;

use crate::deployment::{Aggregate, Indexed, Records};
use crate::load::{Finals, Keys};
use crate::shape::Shape;
use crate::shared_items::SharedItems;

/// The writes of one kind of item in a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Writes {
    /// The index of the aggregate: its items of a race have one partition key.
    pub(crate) aggregate: usize,
    /// Items that are written.
    pub(crate) items: f64,
    /// Writes that fail because another batch was first, and are billed nevertheless, on average.
    pub(crate) conflicts: f64,
    /// The probability that a batch has any of them: it has as many more then.
    pub(crate) conflict_chance: f64,
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

/// What a batch of a queue has.
struct Batch {
    /// The share of all messages that the queue has.
    share: f64,
    messages: f64,
    groups: f64,
    /// Messages that are final ones.
    finals: f64,
}

/// The writes of a batch, for each aggregate: one that is packed has shared items and results. `finals` of its messages
/// are final ones.
pub(crate) fn writes(shape: &Shape<'_>, share: f64, messages: f64, finals: f64) -> Vec<Writes> {
    let all = groups(shape, share, messages);
    let of = |(at, aggregate): (usize, &Aggregate)| {
        let writes = match aggregate.packed_into {
            0 => vec![of_aggregate(shape, aggregate, all, finals)],
            into => packed(shape, aggregate, into, &Batch { share, messages, groups: all, finals }).into(),
        };
        writes.into_iter().map(move |writes| Writes { aggregate: at, ..writes })
    };
    shape.deployment.aggregates.iter().enumerate().flat_map(of).collect()
}

/// The writes of the shared items of an aggregate, of what they show, and of its results, which get items of their own.
fn packed(shape: &Shape<'_>, aggregate: &Aggregate, into: u32, batch: &Batch) -> [Writes; 3] {
    let items = SharedItems::new(shape, into);
    // What a full item has no room for is written by itself, as if it were not packed.
    let moved = batch.groups * items.moved;
    let stays = 1.0 - items.moved;
    let touched = items.touched(shape, batch.share, batch.groups - moved);
    let refused = touched * items.refused_share(shape, batch.messages);
    let finals = batch.finals.min(batch.groups);
    // Groups that have a result by now leave their shared items in a write of its own.
    let left = match shape.load.finals {
        Finals::Together => touched * finals / batch.groups.max(1e-9),
        Finals::Spread => items.touched(shape, batch.share, finals * stays),
    };
    let item_units = items.write_units();
    let shared = Writes {
        items: touched + left,
        conflicts: refused,
        conflict_chance: any_of(touched, refused / touched.max(1e-9)),
        item_units,
        ..Writes::default()
    };
    let shown = match aggregate.show_every {
        0 => Writes::default(),
        every => {
            Writes { items: touched / f64::from(every) + left, item_units: items.shown_units(), ..Writes::default() }
        }
    };
    let own = of_aggregate(shape, aggregate, moved + finals * stays, batch.finals);
    // A result is new, and nobody's cache has it.
    let conflict_chance = conflict_chance(shape, moved);
    [shared, shown, Writes { conflicts: moved * shape.stale_share(), conflict_chance, ..own }]
}

/// The probability that a batch that writes so many items has a conflict in any of them.
///
/// By racer keys a queue's groups are its own, and the instance that had its last batch knows them all; any other one knows
/// none as they are. By random keys each item was written by a queue of its own last.
fn conflict_chance(shape: &Shape<'_>, items: f64) -> f64 {
    match shape.load.keys {
        Keys::Racer => shape.stale_share(),
        Keys::Random => any_of(items, shape.stale_share()),
    }
}

/// The probability of any of so many independent events.
fn any_of(events: f64, each: f64) -> f64 {
    1.0 - (1.0 - each.min(1.0)).powf(events)
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
    Writes {
        items,
        conflicts: items * shape.stale_share(),
        conflict_chance: conflict_chance(shape, items),
        indexed,
        item_units,
        index_item_units: item_units * times,
        ..Writes::default()
    }
}

/// Read units of a batch: shared items that other hosts write, too, are read before each write.
pub(crate) fn read_units(shape: &Shape<'_>, share: f64, messages: f64) -> f64 {
    let all = groups(shape, share, messages);
    let packed = shape.deployment.aggregates.iter().filter(|aggregate| aggregate.packed_into > 0);
    let items = packed.map(|aggregate| SharedItems::new(shape, aggregate.packed_into));
    let read = |items: SharedItems| items.touched(shape, share, all * (1.0 - items.moved)) * items.read_units();
    items.filter(|items| items.rivals > 0.0).map(read).sum()
}

/// Units of the table and of the index.
pub(crate) fn units(writes: &[Writes]) -> (f64, f64) {
    (writes.iter().map(Writes::table_units).sum(), writes.iter().map(Writes::index_units).sum())
}

/// Items that are written, and writes that fail.
pub(crate) fn sent(writes: &[Writes]) -> f64 {
    writes.iter().map(|writes| writes.items + writes.conflicts).sum()
}

/// The probability that a batch has any conflict, and how many it has then.
///
/// Aggregates have them together: the groups of all of them were written by the batches before.
pub(crate) fn conflicts(writes: &[Writes]) -> (f64, f64) {
    let all: f64 = writes.iter().map(|writes| writes.conflicts).sum();
    let of_any = writes.iter().filter(|writes| writes.conflicts > 0.0).map(|writes| writes.conflict_chance);
    let chance = of_any.fold(0.0, f64::max);
    (chance, if chance > 0.0 { all / chance } else { 0.0 })
}

/// Units of the table of the aggregate with the most of them.
pub(crate) fn busiest(writes: &[Writes]) -> f64 {
    let by_aggregate = writes.chunk_by(|a, b| a.aggregate == b.aggregate);
    by_aggregate.map(|writes| units(writes).0).fold(0.0, f64::max)
}
