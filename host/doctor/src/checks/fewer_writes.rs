//! Remedies that write less for the same records: what groups cost, and what would make them cost less.

use super::capacity::targets;
use super::facts::mappings;
use super::mapping::update_mapping;
use crate::command::Command;
use crate::finding::Remedy;
use crate::history::{History, Namespace, Statistic};
use crate::words::number;

/// Seconds of the window that a remedy proposes.
const WINDOW_SECONDS: u32 = 15;
/// Write units for 1,000 records of a race whose groups have an item each, in batches of a second. These are measured: see
/// the costs in `docs/operations/dynamodb.md`.
const UNITS_UNPACKED: f64 = 1_010.0;
/// The same in windows of 15 seconds.
const UNITS_IN_WINDOWS: f64 = 77.0;
/// The same with packed groups instead: 13 of shared items, and 13 of results that have an item of their own.
const UNITS_PACKED: f64 = 26.0;
/// Records below which their write units mean nothing.
const ENOUGH_RECORDS: f64 = 1_000.0;

/// Whether the groups of active rulebooks share items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// Those of all race types do.
    Packed,
    /// Those of some race type have an item each.
    Unpacked,
    /// The rules, or some of them, were not read.
    Unknown,
}

/// Whether the groups of active rulebooks share items.
pub(super) fn packing(history: &History) -> Packing {
    let race_types = history.rules.iter().flat_map(|rules| rules.race_types.values());
    let packs: Vec<Option<bool>> = race_types.filter(|it| it.active.is_some()).map(|it| it.packs).collect();
    match packs.as_slice() {
        [] => Packing::Unknown,
        all if all.contains(&Some(false)) => Packing::Unpacked,
        all if all.contains(&None) => Packing::Unknown,
        _ => Packing::Packed,
    }
}

/// Write units of tables and indexes for 1,000 records that the function committed. What hosts count is of those hosts
/// that were asked, and the table's units are of all.
pub(super) fn units_per_thousand(history: &History) -> Option<f64> {
    let records = history.select(Namespace::Function, "Records").statistic(Statistic::Sum).without("rulebook").sum();
    let units = targets(history).iter().map(|it| it.sums(history, "ConsumedWriteCapacityUnits").total()).sum::<f64>();
    (records.total() >= ENOUGH_RECORDS && units > 0.0).then(|| units / records.total() * 1_000.0)
}

/// What groups cost after a remedy, and before: by measurement, or where they have an item each, by the manual.
fn change(to: f64, history: &History) -> String {
    let from = match packing(history) {
        Packing::Unpacked => Some(format!("{} in batches of a second", number(UNITS_UNPACKED))),
        _ => units_per_thousand(history).map(|units| format!("the {} of this span", number(units))),
    };
    let instead = from.map(|from| format!(" instead of {from}")).unwrap_or_default();
    format!("some {} units for 1,000 records{instead}", number(to))
}

/// Fewer writes for the same records.
pub(super) fn fewer_writes(history: &History) -> Vec<Remedy> {
    windows(history).into_iter().chain(packed_groups(history)).collect()
}

fn windows(history: &History) -> Option<Remedy> {
    let (_, mapping) = mappings(history).find(|(_, mapping)| mapping.tumbling_window_seconds == 0)?;
    let command = update_mapping(history, mapping).option("--tumbling-window-in-seconds", WINDOW_SECONDS.to_string());
    let effect = match packing(history) {
        Packing::Unpacked => format!(
            "A group is written once in {WINDOW_SECONDS} s instead of once a batch: {}.",
            change(UNITS_IN_WINDOWS, history)
        ),
        packing => {
            let what =
                if packing == Packing::Packed { "A shared item" } else { "A group, or the item that it shares," };
            let now = units_per_thousand(history)
                .map(|units| format!(" In this span, 1,000 records needed {} units.", number(units)));
            let now = now.unwrap_or_default();
            format!("{what} is written once in {WINDOW_SECONDS} s instead of once a batch.{now}")
        }
    };
    Some(
        Remedy::new(command.build(), effect, "less, by fewer write units")
            .breaks(format!("Standings are up to {WINDOW_SECONDS} s older. Only at parallelization factor 1.")),
    )
}

/// A rulebook that packs, unless all do.
fn packed_groups(history: &History) -> Option<Remedy> {
    let is_packed_by_its_cost = || units_per_thousand(history).is_some_and(|units| units <= UNITS_PACKED);
    let which = match packing(history) {
        Packing::Packed => return None,
        Packing::Unknown if is_packed_by_its_cost() => return None,
        Packing::Unpacked => "A rulebook with",
        Packing::Unknown => "If the rulebook does not pack its groups yet: one with",
    };
    let command = Command::paceline(history, "rules publish").argument("packing-rulebook.toml").word("--dry-run");
    let effect = format!(
        "{which} `pack` in its aggregates. The groups of a race share a few items, and a batch writes each of these once: \
         {}. Without --dry-run it is published.",
        change(UNITS_PACKED, history)
    );
    Some(Remedy::new(command.build(), effect, "less, by fewer write units").breaks(
        "The aggregates need other keys, so that races in progress end by the old ones. Other programs read what \
         `pack.show` names, in an item beside each shared one.",
    ))
}
