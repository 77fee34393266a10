//! What an operator asks for, and what it makes of the rules.

use std::collections::BTreeMap;

use paceline_engine::Digest;

use super::prepare::Prepared;
use crate::model::Pointer;
use crate::rules::document::{Rulebook, check_name};
use crate::rules::entry::Change;
use crate::rules::error::{RegistryError, RulebookError};
use crate::rules::registry::Registry;
use crate::rules::routing::{Reruling, Routing, Rules};
use crate::rules::successor::Succession;
use crate::rules::trial::{TrialLimits, TrialMode};
use crate::store::Pin;

/// What an operator asks for.
#[derive(Clone, Debug)]
pub enum Request<'a> {
    /// Make a rulebook known. One that is known changes nothing.
    Publish(&'a Prepared),
    /// Let new races of a race type begin with a published rulebook.
    Activate {
        /// The race type.
        race_type: String,
        /// The rulebook.
        rulebook: Digest,
        /// Whether races that are in progress go on with it, too.
        now: bool,
    },
    /// Try a published rulebook beside the current one.
    Try {
        /// The race type.
        race_type: String,
        /// The rulebook.
        rulebook: Digest,
        /// How.
        mode: TrialMode,
        /// When a canary has failed.
        limits: TrialLimits,
    },
    /// Let the rulebook that is tried become the current one.
    Promote {
        /// The race type.
        race_type: String,
    },
    /// End a trial or, if there is none, return a race type to the rulebook before, with all races that began since.
    Rollback {
        /// The race type.
        race_type: String,
    },
    /// Let new races of a race type find no rulebook.
    Retire {
        /// The race type.
        race_type: String,
    },
    /// Write the rules as they are once more, signed by another key.
    Sign,
    /// Let one race go on with another rulebook.
    Repin {
        /// The race type.
        race_type: String,
        /// The value of the pinned field.
        race: String,
        /// Its pin, by which it is known what it runs.
        pin: Pin,
        /// The rulebook.
        to: Digest,
    },
}

/// A change is refused. Nothing was written to the log.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The registry can't be used.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The rulebook is refused, or does not fit what is in use.
    #[error(transparent)]
    Rulebook(#[from] RulebookError),
    /// The change can't be made to these rules.
    #[error("{0}")]
    Invalid(String),
    /// Somebody else changed the race type in the meantime.
    #[error(
        "race type {race_type} was changed in the meantime (revision {revision}, by {by}): look at it, and try again"
    )]
    Void {
        /// The race type.
        race_type: String,
        /// The revision of the other change.
        revision: u64,
        /// Who made it.
        by: String,
    },
}

/// A race type will not be able to return to the rulebook before, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneWay {
    /// The race type.
    pub race_type: String,
    /// The rulebook before.
    pub fallback: Digest,
    /// Why a roll-back to it would be refused.
    pub why: String,
}

/// The rules, being changed.
pub(super) struct Edit<'a> {
    pub(super) registry: &'a Registry,
    pub(super) route: &'a Pointer,
    pub(super) rules: Rules,
    /// The revision that the change will have.
    pub(super) revision: u64,
    pub(super) changes: Vec<Change>,
    /// Changes that can't be rolled back.
    pub(super) one_way: Vec<OneWay>,
    /// Documents that were read or are being published.
    pub(super) documents: BTreeMap<Digest, Rulebook>,
}

impl<'a> Edit<'a> {
    /// Makes a change. One that changes nothing is left out.
    pub(super) async fn apply(&mut self, request: &Request<'_>) -> Result<(), ChangeError> {
        match request {
            Request::Publish(prepared) => self.publish(prepared),
            Request::Activate { race_type, rulebook, now } => self.activate(race_type, *rulebook, *now).await,
            Request::Try { race_type, rulebook, mode, limits } => {
                self.try_beside(race_type, *rulebook, *mode, *limits).await
            }
            Request::Promote { race_type } => self.promote(race_type).await,
            Request::Rollback { race_type } => self.rollback(race_type).await,
            Request::Retire { race_type } => self.retire(race_type).await,
            Request::Sign => {
                self.changes.push(Change::Sign);
                Ok(())
            }
            Request::Repin { race_type, race, pin, to } => self.repin(race_type, race, *pin, *to).await,
        }
    }

    fn publish(&mut self, prepared: &Prepared) -> Result<(), ChangeError> {
        let Prepared { document, digest, published, .. } = prepared;
        self.documents.insert(*digest, document.clone());
        if self.rules.rulebooks.contains_key(digest) {
            return Ok(());
        }
        if let Some(other) = self.rules.find(&document.name, document.version) {
            return Err(ChangeError::Invalid(format!(
                "{}@{} was published with other content or other plugins ({other}): a published rulebook never changes; \
                 give this one a greater `version`",
                document.name, document.version
            )));
        }
        self.rules.rulebooks.insert(*digest, published.clone());
        self.changes.push(Change::Publish { rulebook: *digest });
        Ok(())
    }

    async fn activate(&mut self, race_type: &str, rulebook: Digest, now: bool) -> Result<(), ChangeError> {
        check_name(race_type).map_err(|why| ChangeError::Invalid(format!("race type {race_type:?}: {why}")))?;
        let before = self.rules.routing.get(race_type).cloned();
        let replaces = before.as_ref().and_then(|routing| routing.current);
        if replaces == Some(rulebook) {
            return if now { self.activate_now(race_type, rulebook, before).await } else { Ok(()) };
        }
        self.check_no_trial(race_type)?;
        let succession = if now { Succession::BothWays } else { Succession::NewRaces };
        let reference = before.as_ref().and_then(Routing::reference);
        self.check_successor((race_type, None), reference, rulebook, succession).await?;
        self.check_disjoint(race_type, rulebook).await?;
        // Of a retired race type, races in progress run what it had last.
        let fallback = reference.filter(|fallback| *fallback != rulebook);
        let moved = fallback.filter(|_| now);
        if let Some(from) = moved {
            self.rerule(race_type, None, from, rulebook);
        }
        self.route(race_type, Some(rulebook), fallback).await?;
        let (race_type, now) = (race_type.to_owned(), moved.is_some());
        self.changes.push(Change::Activate { race_type, rulebook, replaces, now });
        Ok(())
    }

    /// Moves the races in progress to the rulebook that new ones begin with already.
    async fn activate_now(
        &mut self,
        race_type: &str,
        rulebook: Digest,
        routing: Option<Routing>,
    ) -> Result<(), ChangeError> {
        let Some(Routing { fallback: Some(from), since, .. }) = routing else { return Ok(()) };
        let moved = |reruling: &Reruling| {
            (&*reruling.race_type, reruling.from, reruling.to) == (race_type, from, rulebook)
                && reruling.revision >= since
        };
        if self.rules.reruled.iter().any(moved) {
            return Ok(());
        }
        self.check_successor((race_type, None), Some(from), rulebook, Succession::BothWays).await?;
        self.rerule(race_type, None, from, rulebook);
        let (race_type, replaces) = (race_type.to_owned(), Some(from));
        self.changes.push(Change::Activate { race_type, rulebook, replaces, now: true });
        Ok(())
    }

    async fn rollback(&mut self, race_type: &str) -> Result<(), ChangeError> {
        let routing = self.routing(race_type)?;
        if let (Some(trial), Some(current)) = (routing.candidate, routing.current) {
            return self.end_trial(race_type, trial, current).await;
        }
        let (Some(from), Some(to)) = (routing.current, routing.fallback) else {
            return Err(ChangeError::Invalid(format!(
                "race type {race_type} has no rulebook before the current one: there is nothing to return to"
            )));
        };
        match self.check_successor((race_type, None), Some(from), to, Succession::BothWays).await {
            Err(ChangeError::Rulebook(RulebookError::Incompatible(why))) => {
                let name = self.rules.id(to).map_or_else(|| to.to_string(), |id| id.to_string());
                return Err(ChangeError::Invalid(format!(
                    "race type {race_type} can't return to {name}; activate a corrected version instead: {why}"
                )));
            }
            checked => checked?,
        }
        self.rerule(race_type, None, from, to);
        self.route(race_type, Some(to), None).await?;
        self.changes.push(Change::Rollback { race_type: race_type.to_owned(), from, to });
        Ok(())
    }

    async fn retire(&mut self, race_type: &str) -> Result<(), ChangeError> {
        let Some(replaces) = self.routing(race_type)?.current else { return Ok(()) };
        self.check_no_trial(race_type)?;
        self.route(race_type, None, Some(replaces)).await?;
        self.changes.push(Change::Retire { race_type: race_type.to_owned(), replaces });
        Ok(())
    }

    async fn repin(&mut self, race_type: &str, race: &str, pin: Pin, to: Digest) -> Result<(), ChangeError> {
        self.routing(race_type)?;
        let from = self.rules.effective(race_type, race, pin);
        if from == to {
            return Ok(());
        }
        // A race that can't be resolved has no document to compare with: to move it is the remedy.
        let known = Some(from).filter(|from| self.rules.rulebooks.contains_key(from));
        self.check_successor((race_type, Some(race)), known, to, Succession::BothWays).await?;
        self.rerule(race_type, Some(race), from, to);
        self.remember(race_type, &[to]).await?;
        let (race_type, race) = (race_type.to_owned(), race.to_owned());
        self.changes.push(Change::Repin { race_type, race, from, to });
        Ok(())
    }

    pub(super) fn routing(&self, race_type: &str) -> Result<&Routing, ChangeError> {
        self.rules.routing.get(race_type).ok_or_else(|| {
            let known: Vec<&str> = self.rules.routing.keys().map(String::as_str).collect();
            ChangeError::Invalid(format!("there is no race type {race_type}; there are: {}", known.join(", ")))
        })
    }

    pub(super) fn rerule(&mut self, race_type: &str, race: Option<&str>, from: Digest, to: Digest) {
        let race = race.map(str::to_owned);
        let revision = self.revision;
        self.rules.reruled.push(Reruling { race_type: race_type.to_owned(), race, from, to, revision });
    }
}
