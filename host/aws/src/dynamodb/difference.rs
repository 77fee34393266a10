//! How an existing table differs from the one that paceline needs.

use std::fmt;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, GlobalSecondaryIndexDescription, IndexStatus, KeySchemaElement, KeyType, Projection,
    ProjectionType, ProvisionedThroughputDescription, ScalarAttributeType, TableDescription, TableStatus,
};

use super::config::IndexConfig;
use super::dead_letter_item::{EXPIRES, ID};
use super::item::{PARTITION, SORT};
use super::notices;

/// A difference between a table and the one that paceline needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The table's name.
    pub table: String,
    /// The consequence.
    pub severity: Severity,
    /// The difference, and what to do.
    pub text: String,
}

/// The consequence of a [`Difference`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The table can be used, but at a higher cost or with lower limits.
    Warning,
    /// The table is incompatible.
    Error,
}

impl Difference {
    /// Whether the difference makes the table incompatible.
    pub fn is_incompatible(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{severity}: table `{}`: {}", self.table, self.text)
    }
}

/// Collects the differences of one table.
pub(super) struct TableCheck<'t> {
    table: &'t str,
    differences: Vec<Difference>,
}

impl<'t> TableCheck<'t> {
    pub(super) fn new(table: &'t str) -> Self {
        Self { table, differences: Vec::new() }
    }

    pub(super) fn into_differences(self) -> Vec<Difference> {
        self.differences
    }

    pub(super) fn missing(&mut self) {
        self.error("it does not exist. Create it with `paceline table create --config …`");
    }

    pub(super) fn items_table(&mut self, found: &TableDescription, index: &IndexConfig) {
        self.keys(found, &[(PARTITION, KeyType::Hash), (SORT, KeyType::Range)]);
        self.status(found);
        let name = &index.name;
        match found.global_secondary_indexes().iter().find(|index| index.index_name() == Some(name)) {
            Some(found_index) => self.index(found, found_index, index),
            None => self.error(format!("it has no global index `{name}`, which queries by race and by rank need")),
        }
        for index in found.local_secondary_indexes() {
            let name = index.index_name().unwrap_or_default();
            self.warning(format!(
                "its local index `{name}` raises the cost of each write, limits a partition to 10 GB, and counts towards \
                 the 400 KB of an item"
            ));
        }
    }

    pub(super) fn dead_letters_table(&mut self, found: &TableDescription) {
        self.keys(found, &[(ID, KeyType::Hash)]);
        self.status(found);
    }

    /// Checks the attribute by which what is beside the groups expires.
    pub(super) fn items_time_to_live(&mut self, attribute: Option<String>) {
        let found = match attribute.as_deref() {
            Some(notices::EXPIRES) => return,
            Some(other) => format!("its time-to-live attribute is `{other}`, not `{}`", notices::EXPIRES),
            None => "its time to live is off".to_owned(),
        };
        self.warning(format!(
            "{found}, so that pins, horizons, checkpoints of ended shards and notices stay for ever. Turn it on for the \
             attribute `{}`",
            notices::EXPIRES
        ));
    }

    /// Checks the attribute by which dead letters expire.
    pub(super) fn time_to_live(&mut self, attribute: Option<String>) {
        match attribute.as_deref() {
            Some(EXPIRES) => {}
            Some(other) => self.error(format!(
                "its time-to-live attribute is `{other}`, not `{EXPIRES}`, so that dead letters never expire. Change the \
                 attribute, or set `dead-letter-days = 0`"
            )),
            None => self.error(format!(
                "its time to live is off, so that dead letters never expire. Turn it on for the attribute `{EXPIRES}`, \
                 or set `dead-letter-days = 0`"
            )),
        }
    }

    fn index(&mut self, table: &TableDescription, found: &GlobalSecondaryIndexDescription, index: &IndexConfig) {
        let IndexConfig { name, attribute } = index;
        let expected = [(attribute.as_str(), KeyType::Hash), (SORT, KeyType::Range)];
        if let Some(keys) = differing_keys(found.key_schema(), &expected) {
            self.error(format!("its index `{name}` has the keys {keys}, not {attribute} (HASH), {SORT} (RANGE)"));
        }
        self.key_type(table, attribute, ScalarAttributeType::N);
        let projection = found.projection().and_then(Projection::projection_type);
        if projection != Some(&ProjectionType::All) {
            let projection = projection.map_or("no attributes", ProjectionType::as_str);
            self.error(format!("its index `{name}` projects {projection}, not ALL"));
        }
        if let Some(status) = found.index_status().filter(|status| **status != IndexStatus::Active) {
            self.error(format!("its index `{name}` is {status}, not ACTIVE. Wait, then check again"));
        }
        let units = |throughput: Option<&ProvisionedThroughputDescription>| {
            throughput.and_then(|throughput| throughput.write_capacity_units()).unwrap_or(0)
        };
        let (index_units, table_units) = (units(found.provisioned_throughput()), units(table.provisioned_throughput()));
        if index_units < table_units {
            self.warning(format!(
                "its index `{name}` has {index_units} write units and the table {table_units}: the index throttles writes \
                 of items that have `{attribute}`. Give it at least as many units as the table"
            ));
        }
    }

    fn keys(&mut self, found: &TableDescription, expected: &[(&str, KeyType)]) {
        if let Some(keys) = differing_keys(found.key_schema(), expected) {
            let expected: Vec<String> = expected.iter().map(|(name, kind)| format!("{name} ({kind})")).collect();
            self.error(format!(
                "it has the keys {keys}, not {}. Keys can't be changed: use another table",
                expected.join(", ")
            ));
            return;
        }
        for (name, _) in expected {
            self.key_type(found, name, ScalarAttributeType::S);
        }
    }

    fn key_type(&mut self, found: &TableDescription, name: &str, expected: ScalarAttributeType) {
        let definition = found.attribute_definitions().iter().find(|attribute| attribute.attribute_name() == name);
        let kind = definition.map(AttributeDefinition::attribute_type);
        if let Some(kind) = kind.filter(|kind| **kind != expected) {
            self.error(format!(
                "its key `{name}` has the type {kind}, not {expected}. The type can't be changed: use another table"
            ));
        }
    }

    fn status(&mut self, found: &TableDescription) {
        match found.table_status() {
            // A table can be read and written while it is updated.
            Some(TableStatus::Active | TableStatus::Updating) => {}
            status => {
                let status = status.map_or("unknown", TableStatus::as_str);
                self.error(format!("its status is {status}, not ACTIVE"));
            }
        }
    }

    fn error(&mut self, text: impl Into<String>) {
        self.push(Severity::Error, text.into());
    }

    fn warning(&mut self, text: impl Into<String>) {
        self.push(Severity::Warning, text.into());
    }

    fn push(&mut self, severity: Severity, text: String) {
        self.differences.push(Difference { table: self.table.to_owned(), severity, text });
    }
}

/// The keys found, as text; `None` if they are the expected ones.
fn differing_keys(found: &[KeySchemaElement], expected: &[(&str, KeyType)]) -> Option<String> {
    let same = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(key, (name, kind))| key.attribute_name() == *name && key.key_type() == kind);
    let keys = found.iter().map(|key| format!("{} ({})", key.attribute_name(), key.key_type()));
    (!same).then(|| keys.collect::<Vec<_>>().join(", "))
}
