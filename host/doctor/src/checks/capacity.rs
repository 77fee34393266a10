//! The tables and indexes whose capacity is checked, and the commands that change it.

use serde_json::json;

use crate::command::Command;
use crate::history::{Capacity, Course, History, Index, Namespace, Statistic, Table};

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
    capacities.map(missing).sum()
}

/// `aws dynamodb update-table` to pay by the request.
pub(super) fn on_demand(history: &History, table: &Table) -> String {
    let command = Command::aws(history, "dynamodb update-table").option("--table-name", &table.name);
    command.word("--billing-mode PAY_PER_REQUEST").build()
}
