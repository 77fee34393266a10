//! The tables and indexes whose capacity is checked, and the commands that change it.

use paceline_capacity::dynamodb::write_units;
use serde_json::json;

use super::facts::{TABLE, not_known};
use crate::command::Command;
use crate::finding::{Finding, Outcome, Remedy};
use crate::history::{Capacity, Course, History, Index, Namespace, Statistic, Table};
use crate::prices::{million_write_units_on_demand, write_unit};
use crate::words::{bytes, dollars, number};

/// The share of provisioned capacity, or of a partition's, from which on it is nearly used.
pub(super) const NEARLY_USED: f64 = 0.8;
/// How much more than what was used a remedy provisions.
pub(super) const HEADROOM: f64 = 1.5;

/// A table, or one of its indexes.
pub(super) struct Target<'a> {
    pub(super) table: &'a Table,
    pub(super) index: Option<&'a str>,
    pub(super) capacity: Capacity,
}

/// All tables and their indexes.
pub(super) fn targets<'a>(history: &'a History) -> Vec<Target<'a>> {
    let of = |table: &'a Table| {
        let whole = Target { table, index: None, capacity: table.capacity };
        let part = move |index: &'a Index| Target { table, index: Some(&index.name), capacity: index.capacity };
        std::iter::once(whole).chain(table.indexes.iter().map(part))
    };
    history.tables.iter().flat_map(of).collect()
}

impl Target<'_> {
    /// As people name it.
    pub(super) fn subject(&self) -> String {
        match self.index {
            Some(index) => format!("index {index} of table {}", self.table.name),
            None => format!("table {}", self.table.name),
        }
    }

    /// A sum of this table or index.
    pub(super) fn sums(&self, history: &History, name: &str) -> Course {
        let dimension = "GlobalSecondaryIndexName";
        let series =
            history.select(Namespace::Dynamodb, name).statistic(Statistic::Sum).with("TableName", &self.table.name);
        match self.index {
            Some(index) => series.with(dimension, index).sum(),
            None => series.without(dimension).sum(),
        }
    }

    /// Provisioned write units a second; nothing on demand.
    pub(super) fn write_units(&self) -> Option<f64> {
        match self.capacity {
            Capacity::Provisioned { write, .. } => Some(f64::from(write)),
            Capacity::OnDemand { .. } => None,
        }
    }

    /// Provisioned read units a second; nothing on demand.
    pub(super) fn read_units(&self) -> Option<f64> {
        match self.capacity {
            Capacity::Provisioned { read, .. } => Some(f64::from(read)),
            Capacity::OnDemand { .. } => None,
        }
    }
}

/// `aws dynamodb update-table` that raises table and indexes to at least these units a second.
pub(super) fn provision(history: &History, table: &Table, read: u32, write: u32) -> String {
    let Capacity::Provisioned { read: old_read, write: old_write } = table.capacity else {
        return on_demand(history, table);
    };
    let units = |read: u32, write: u32| format!("ReadCapacityUnits={read},WriteCapacityUnits={write}");
    let mut command = Command::aws(history, "dynamodb update-table").option("--table-name", &table.name);
    let (read, write) = (read.max(old_read), write.max(old_write));
    if (read, write) != (old_read, old_write) {
        command = command.option("--provisioned-throughput", units(read, write));
    }
    let update = |index: &Index| match index.capacity {
        Capacity::Provisioned { read, write: has } if has < write => Some(json!({"Update": {
            "IndexName": index.name,
            "ProvisionedThroughput": {"ReadCapacityUnits": read, "WriteCapacityUnits": write},
        }})),
        _ => None,
    };
    let updates: Vec<_> = table.indexes.iter().filter_map(update).collect();
    if !updates.is_empty() {
        command = command.option("--global-secondary-index-updates", serde_json::Value::from(updates).to_string());
    }
    command.build()
}

/// The write units a second that `provision` adds to table and indexes together.
pub(super) fn added_write_units(table: &Table, write: u32) -> u32 {
    let capacities = std::iter::once(table.capacity).chain(table.indexes.iter().map(|index| index.capacity));
    let missing = |capacity| match capacity {
        Capacity::Provisioned { write: has, .. } => write.saturating_sub(has),
        Capacity::OnDemand { .. } => 0,
    };
    capacities.map(missing).fold(0, u32::saturating_add)
}

/// `aws dynamodb update-table` to pay by the request.
pub(super) fn on_demand(history: &History, table: &Table) -> String {
    let command = Command::aws(history, "dynamodb update-table").option("--table-name", &table.name);
    command.word("--billing-mode PAY_PER_REQUEST").build()
}

/// The tables and indexes, if CloudWatch has anything of them.
pub(super) fn observed(history: &History) -> Result<Vec<Target<'_>>, Outcome> {
    let targets = targets(history);
    if targets.is_empty() {
        return Err(Outcome::NotChecked(not_known(history, TABLE, "no table's settings are known")));
    }
    if !targets.iter().any(|it| history.observes_of(Namespace::Dynamodb, "TableName", &it.table.name)) {
        return Err(Outcome::NotChecked(not_known(history, TABLE, "no data of any table")));
    }
    Ok(targets)
}

/// What an item costs, if its size is known.
pub(super) fn with_units_of_an_item(finding: Finding, target: &Target<'_>) -> Finding {
    let Some(size) = target.table.item_bytes.filter(|_| target.index.is_none()) else { return finding };
    let units = write_units(size);
    let indexes = target.table.indexes.len() as u64;
    let local = if target.table.local_indexes { ", and as much for each local index" } else { "" };
    finding.arithmetic(format!(
        "an item of {}: {units} units a write, {} more for indexes whose keys or attributes change{local}",
        bytes(size as f64),
        number(units as f64 * indexes as f64)
    ))
}

/// More units for the table and its indexes, or on demand.
pub(super) fn more_units(history: &History, target: &Target<'_>, demand: f64) -> Vec<Remedy> {
    let table = target.table;
    let Capacity::Provisioned { read, write } = table.capacity else { return Vec::new() };
    // An index needs at least the table's units, and the table no more than it has.
    let has = target.write_units().unwrap_or(0.0);
    let wanted = ((demand.max(has) * HEADROOM / 10.0).ceil() * 10.0) as u32;
    let wanted = if target.index.is_some() { wanted.max(write) } else { wanted };
    let added = added_write_units(table, wanted);
    vec![
        Remedy::new(
            provision(history, table, read, wanted),
            format!("{} write units a second, for the table and all its indexes.", number(f64::from(wanted))),
            format!("{} more ({} units)", dollars(write_unit() * f64::from(added)), number(f64::from(added))),
        )
        .breaks(
            "Autoscaling would set it again; it reacts after 2 minutes and does not help in a burst. Capacity can be \
                 lowered 27 times a day.",
        ),
        Remedy::new(
            on_demand(history, table),
            "No units to provision: up to twice the highest load so far at once.",
            format!(
                "{} for each million write units; cheaper than provisioned below some 20 % use",
                dollars(million_write_units_on_demand())
            ),
        )
        .breaks("One partition key still has 1,000 units a second. The mode can be changed a few times a day."),
    ]
}
