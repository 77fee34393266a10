//! How a host takes over what the rules say of each race type.

use std::collections::HashMap;
use std::sync::Arc;

use paceline_engine::Digest;

use super::Rulebooks;
use super::following::Following;
use crate::error::ErrorChain;
use crate::rules::catalog::{Followed, Route, Vetoes};
use crate::rules::error::RulebookError;
use crate::rules::event::RulesEvent;
use crate::rules::loading::Loaded;
use crate::rules::log::Tail;
use crate::rules::routing::Rules;
use crate::rules::successor::check_disjoint;
use crate::rules::trial::Trial;

impl Rulebooks {
    /// Takes over what the rules say of each race type.
    pub(super) async fn follow(&self, following: &mut Following, tail: &Tail, events: &mut Vec<RulesEvent>) {
        let mut routes = HashMap::new();
        for (race_type, routing) in &tail.rules.routing {
            let before = following.routes.get(race_type).copied();
            let Some(reference) = routing.reference() else { continue };
            let loaded = match self.load(&mut following.loaded, reference).await {
                Ok(()) => self.check_disjoint(&following.loaded, &routes, race_type, reference),
                Err(reason) => Err(reason),
            };
            let Some(reason) = loaded.err() else {
                let trial = self.follow_trial(following, tail, race_type, events).await;
                let route = Route { current: routing.current, reference, trial };
                routes.insert(race_type.clone(), route);
                match routing.current {
                    _ if before.is_some_and(|before| before.current == route.current) => {}
                    None => events.push(RulesEvent::Retired { race_type: race_type.clone() }),
                    Some(_) => events.push(RulesEvent::Activated {
                        race_type: race_type.clone(),
                        rulebook: following.loaded.id(reference).expect("it was loaded"),
                        revision: routing.since,
                    }),
                }
                continue;
            };
            // What the race type ran goes on. Of a race type that ran nothing yet on this host, new races wait: to call their
            // records records without a rulebook would be wrong. Races in progress go on: the fallback says which field
            // identifies them.
            let route = match (before, routing.fallback) {
                (Some(before), _) => before,
                (None, Some(fallback)) if self.load(&mut following.loaded, fallback).await.is_ok() => {
                    Route { current: routing.current, reference: fallback, trial: None }
                }
                (None, _) => Route { current: routing.current, reference, trial: None },
            };
            routes.insert(race_type.clone(), route);
            if reason.is_transient() {
                tracing::warn!(race_type, "the rules are not followed yet: {}", ErrorChain(&reason));
            } else if following.loaded.refuse(reference, &reason) {
                let rulebook = shown(&tail.rules, reference);
                events.push(RulesEvent::Refused { race_type: race_type.clone(), rulebook, reason });
            }
        }
        let gone = following.routes.keys().filter(|race_type| !routes.contains_key(*race_type));
        events.extend(gone.map(|race_type| RulesEvent::Retired { race_type: race_type.clone() }));
        following.routes = routes;
        following.newest = tail.newest();
        following.followed = Followed {
            registry: tail.registry.clone(),
            revision: tail.revision,
            rules: Arc::new(tail.rules.clone()),
            vetoes: std::mem::take(&mut following.followed.vetoes),
        };
        let routes = &following.routes;
        let is_routed = |route: &Route, digest| {
            route.reference == digest || route.trial.is_some_and(|trial| trial.rulebook == digest)
        };
        following.loaded.drop_unused(|digest| routes.values().any(|route| is_routed(route, digest)));
        self.publish(following);
    }

    /// The trial of a race type, once its rulebook is loaded.
    async fn follow_trial(
        &self,
        following: &mut Following,
        tail: &Tail,
        race_type: &str,
        events: &mut Vec<RulesEvent>,
    ) -> Option<Trial> {
        let trial = tail.rules.routing.get(race_type)?.candidate?;
        let before = following.routes.get(race_type).and_then(|route| route.trial);
        match self.load(&mut following.loaded, trial.rulebook).await {
            Ok(()) => {
                if before != Some(trial) {
                    let rulebook = following.loaded.id(trial.rulebook).expect("it was loaded");
                    events.push(RulesEvent::Tried { race_type: race_type.to_owned(), rulebook, trial });
                }
                Some(trial)
            }
            Err(reason) if reason.is_transient() => {
                tracing::warn!(race_type, "the trial is not followed yet: {}", ErrorChain(&reason));
                None
            }
            Err(reason) => {
                if following.loaded.refuse(trial.rulebook, &reason) {
                    let rulebook = shown(&tail.rules, trial.rulebook);
                    events.push(RulesEvent::Refused { race_type: race_type.to_owned(), rulebook, reason });
                }
                None
            }
        }
    }

    /// Lets the next batch be evaluated without the trials that failed. Returns those that were not known.
    pub(crate) async fn veto(&self, vetoes: Vetoes) -> Vec<RulesEvent> {
        let mut following = self.following.lock().await;
        if following.followed.vetoes == vetoes {
            return Vec::new();
        }
        let before = std::mem::replace(&mut following.followed.vetoes, vetoes);
        self.publish(&mut following);
        let rules = &following.followed.rules;
        let new = following.followed.vetoes.difference(&before).filter_map(|(race_type, since)| {
            let trial = rules.routing.get(race_type)?.canary().filter(|trial| trial.since == *since)?;
            Some(RulesEvent::Vetoed { race_type: race_type.clone(), rulebook: shown(rules, trial.rulebook) })
        });
        new.collect()
    }

    /// The groups of a race type and of those before it are disjoint.
    fn check_disjoint(
        &self,
        loaded: &Loaded,
        routes: &HashMap<String, Route>,
        race_type: &str,
        rulebook: Digest,
    ) -> Result<(), RulebookError> {
        let document = |digest| loaded.find(digest).map(|rulebook| &rulebook.document);
        let Some(ours) = document(rulebook) else { return Ok(()) };
        for (other, route) in routes {
            if let Some(theirs) = document(route.reference) {
                check_disjoint(&self.route, (race_type, ours), (other, theirs))?;
            }
        }
        Ok(())
    }
}

/// A rulebook's name and version or, if it is not known, its digest.
fn shown(rules: &Rules, digest: Digest) -> String {
    rules.id(digest).map_or_else(|| digest.to_string(), |id| id.to_string())
}
