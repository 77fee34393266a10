//! What a batch is evaluated by: the loaded rulebooks, their projection, and the active versions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::bound::BoundRulebook;
use super::document::{AggregateUse, DedupRule};
use super::loaded::LoadedRulebook;
use super::projection::Projection;
use crate::model::{FieldIndex, Pointer};

/// The rules at one moment. It never changes: a batch is evaluated by one catalog from its first record to its last.
#[derive(Debug)]
pub struct Catalog {
    /// By race type and version.
    rulebooks: HashMap<String, BTreeMap<u64, BoundRulebook>>,
    /// The version that new races of each race type begin with.
    active: HashMap<String, u64>,
    pub(crate) projection: Projection,
    /// The field that names a record's race type.
    pub(crate) route: FieldIndex,
}

impl Catalog {
    pub(super) fn new(route: &Pointer, loaded: &[Arc<LoadedRulebook>], active: HashMap<String, u64>) -> Self {
        let pointers = loaded.iter().flat_map(|rulebook| rulebook.pointers());
        let projection = Projection::new([route].into_iter().chain(pointers));
        let mut rulebooks: HashMap<String, BTreeMap<u64, BoundRulebook>> = HashMap::new();
        for rulebook in loaded {
            let versions = rulebooks.entry(rulebook.document.race_type.clone()).or_default();
            versions.insert(rulebook.document.version, BoundRulebook::new(rulebook, &projection));
        }
        Self { rulebooks, active, route: projection.field(route), projection }
    }

    /// A race type's rulebook of this version.
    pub(crate) fn rulebook(&self, race_type: &str, version: u64) -> Option<&BoundRulebook> {
        self.rulebooks.get(race_type)?.get(&version)
    }

    /// The rulebook that new races of a race type begin with.
    pub(crate) fn active(&self, race_type: &str) -> Option<&BoundRulebook> {
        self.rulebook(race_type, *self.active.get(race_type)?)
    }

    /// Race type, version and key of the groups whose dedup is `sequence`.
    pub fn sequence_dedups(&self) -> Vec<(String, u64, String)> {
        let documents = self.active.keys().filter_map(|race_type| Some(&self.active(race_type)?.rulebook.document));
        let mut found: Vec<_> = documents
            .flat_map(|document| {
                let sequential = document.aggregate.iter().filter(|rule| rule.dedup == DedupRule::Sequence);
                sequential.map(|AggregateUse { key, .. }| {
                    let key = format!("PK = {:?}, SK = {:?}", key.partition, key.sort);
                    (document.race_type.clone(), document.version, key)
                })
            })
            .collect();
        found.sort();
        found
    }

    /// The active version of each race type.
    pub fn versions(&self) -> BTreeMap<String, u64> {
        self.active.iter().map(|(race_type, version)| (race_type.clone(), *version)).collect()
    }
}
