//! What a batch is evaluated by: the loaded rulebooks, their projection, and what each race type runs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use paceline_engine::Digest;
use paceline_json::Projection;

use super::bound::BoundRulebook;
use super::document::{AggregateUse, DedupRule};
use super::loaded::LoadedRulebook;
use super::routing::{Routing, Rules};
use super::trial::Trial;
use crate::model::{FieldIndex, Pointer, RulebookId, RulesRevision};
use crate::store::Pin;

/// The rules at one moment. It never changes: a batch is evaluated by one catalog from its first record to its last.
#[derive(Debug)]
pub struct Catalog {
    followed: Followed,
    /// Which log, and how far.
    at: RulesRevision,
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
    pub(super) vetoes: Vetoes,
}

/// The trials that failed, by race type and the revision since which they ran. Hosts put them into the store.
pub(crate) type Vetoes = BTreeSet<(String, u64)>;

impl Followed {
    /// Whether a trial has failed.
    fn is_vetoed(&self, race_type: &str, trial: &Trial) -> bool {
        // Mostly there are none, and records are many.
        !self.vetoes.is_empty() && self.vetoes.contains(&(race_type.to_owned(), trial.since))
    }

    /// Which log, and how far. Vetoes of earlier trials do not count: the log has gone on since.
    fn at(&self) -> RulesRevision {
        let canaries =
            self.rules.routing.iter().filter_map(|(race_type, routing)| Some((race_type, routing.canary()?)));
        let vetoes = canaries.filter(|(race_type, trial)| self.is_vetoed(race_type, trial)).count();
        let at = RulesRevision::new(self.registry.as_deref().unwrap_or_default(), self.revision);
        RulesRevision { vetoes: vetoes as u32, ..at }
    }
}

/// What this host runs for a race type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// What new races begin with; `None` for a race type that is retired.
    pub(crate) current: Option<Digest>,
    /// The rulebook that says which field identifies a race.
    pub(crate) reference: Digest,
    /// What is tried beside the current rulebook. It is loaded.
    pub(crate) trial: Option<Trial>,
}

impl Route {
    /// Whether races can begin with a rulebook, or it is a shadow.
    pub(super) fn runs(&self, rulebook: Digest) -> bool {
        self.reference == rulebook || self.trial.is_some_and(|trial| trial.rulebook == rulebook)
    }
}

impl Catalog {
    pub(super) fn new(
        route: &Pointer,
        loaded: &[Arc<LoadedRulebook>],
        mut routes: HashMap<String, Route>,
        followed: Followed,
    ) -> Self {
        for (race_type, route) in &mut routes {
            route.trial = route.trial.filter(|trial| !trial.is_canary() || !followed.is_vetoed(race_type, trial));
        }
        let pointers = loaded.iter().flat_map(|rulebook| rulebook.pointers());
        let projection = Projection::new([route].into_iter().chain(pointers));
        let at = followed.at();
        let bound = |rulebook| BoundRulebook::new(rulebook, &projection, &at);
        let mut rulebooks: HashMap<Digest, BoundRulebook> =
            loaded.iter().map(|rulebook| (rulebook.id.digest, bound(rulebook))).collect();
        for trial in routes.values().filter_map(|route| route.trial.as_ref()) {
            if let Some(bound) = rulebooks.get_mut(&trial.rulebook) {
                bound.holds_failures = false;
            }
        }
        Self { followed, at, rulebooks, routes, route: projection.field(route), projection }
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
        let rules = &self.followed.rules;
        let rulebook = rules.effective(race_type, race, pin);
        let routing = rules.routing.get(race_type);
        let failed = routing
            .and_then(Routing::canary)
            .is_some_and(|trial| trial.rulebook == rulebook && self.followed.is_vetoed(race_type, trial));
        // A canary always has a current rulebook beside it, which it returns to.
        routing.and_then(|routing| routing.current).filter(|_| failed).unwrap_or(rulebook)
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
    pub(crate) fn at(&self) -> &RulesRevision {
        &self.at
    }

    /// The trials that have not failed, by race type.
    pub(crate) fn trials(&self) -> impl Iterator<Item = (&str, &Trial)> {
        self.routes.iter().filter_map(|(race_type, route)| Some((race_type.as_str(), route.trial.as_ref()?)))
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
