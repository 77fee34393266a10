//! What a batch is evaluated by: the loaded rulebooks, their projection, and what each race type runs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use paceline_engine::Digest;

use super::bound::BoundRulebook;
use super::document::{AggregateUse, DedupRule};
use super::loaded::LoadedRulebook;
use super::projection::Projection;
use super::routing::Rules;
use crate::model::{FieldIndex, Pointer, RulebookId, RulesRevision};
use crate::store::Pin;

/// The rules at one moment. It never changes: a batch is evaluated by one catalog from its first record to its last.
#[derive(Debug)]
pub struct Catalog {
    followed: Followed,
    rulebooks: HashMap<Digest, BoundRulebook>,
    routes: HashMap<String, Route>,
    pub(crate) projection: Projection,
    /// The field that names a record's race type.
    pub(crate) route: FieldIndex,
}

/// What of a log a catalog is made from.
#[derive(Clone, Debug, Default)]
pub(super) struct Followed {
    /// The registry's id; `None` before the first entry.
    pub(super) registry: Option<String>,
    pub(super) revision: u64,
    pub(super) rules: Arc<Rules>,
}

/// What this host runs for a race type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// What new races begin with; `None` for a race type that is retired.
    pub(crate) current: Option<Digest>,
    /// The rulebook that says which field identifies a race.
    pub(crate) reference: Digest,
}

impl Catalog {
    pub(super) fn new(
        route: &Pointer,
        loaded: &[Arc<LoadedRulebook>],
        routes: HashMap<String, Route>,
        followed: Followed,
    ) -> Self {
        let pointers = loaded.iter().flat_map(|rulebook| rulebook.pointers());
        let projection = Projection::new([route].into_iter().chain(pointers));
        let at = RulesRevision::new(followed.registry.as_deref().unwrap_or_default(), followed.revision);
        let bound = |rulebook| BoundRulebook::new(rulebook, &projection, &at);
        let rulebooks = loaded.iter().map(|rulebook| (rulebook.id.digest, bound(rulebook))).collect();
        Self { followed, rulebooks, routes, route: projection.field(route), projection }
    }

    /// A loaded rulebook.
    pub(crate) fn rulebook(&self, digest: Digest) -> Option<&BoundRulebook> {
        self.rulebooks.get(&digest)
    }

    /// What a race type runs.
    pub(crate) fn route_of(&self, race_type: &str) -> Option<Route> {
        self.routes.get(race_type).copied()
    }

    /// What a pinned race runs.
    pub(crate) fn effective(&self, race_type: &str, race: &str, pin: Pin) -> Digest {
        self.followed.rules.effective(race_type, race, pin)
    }

    /// Marks a rulebook as used by the nth batch of the process.
    pub(crate) fn mark_used(&self, digest: Digest, nth: u64) {
        if let Some(bound) = self.rulebook(digest) {
            bound.rulebook.last_used.store(nth, Ordering::Relaxed);
        }
    }

    /// The number of loaded rulebooks.
    pub(super) fn loaded(&self) -> usize {
        self.rulebooks.len()
    }

    /// The rules that it is made from.
    pub fn rules(&self) -> &Rules {
        &self.followed.rules
    }

    /// The revision of the log that it is made from; 0 before the first.
    pub fn revision(&self) -> u64 {
        self.followed.revision
    }

    /// Which log, and how far.
    pub(crate) fn at(&self) -> RulesRevision {
        RulesRevision::new(self.followed.registry.as_deref().unwrap_or_default(), self.followed.revision)
    }

    /// The rulebook and the key of each kind of group whose dedup is `sequence`.
    pub fn sequence_dedups(&self) -> Vec<(RulebookId, String)> {
        let current = self.routes.values().filter_map(|route| self.rulebook(route.current?));
        let mut found: Vec<_> = current
            .flat_map(|bound| {
                let rules = bound.rulebook.document.aggregate.iter();
                rules.filter(|rule| rule.dedup == DedupRule::Sequence).map(|AggregateUse { key, .. }| {
                    (bound.rulebook.id.clone(), format!("PK = {:?}, SK = {:?}", key.partition, key.sort))
                })
            })
            .collect();
        found.sort();
        found.dedup();
        found
    }

    /// What new races of each race type begin with on this host.
    pub fn current(&self) -> BTreeMap<String, RulebookId> {
        let current = |(race_type, route): (&String, &Route)| {
            Some((race_type.clone(), self.rulebook(route.current?)?.rulebook.id.clone()))
        };
        self.routes.iter().filter_map(current).collect()
    }
}
