//! Why a batch could not be processed, by what the caller does about it.

use std::error::Error;
use std::fmt;

use paceline_engine::{Digest, EngineError};

use crate::model::RulesRevision;
use crate::rules::RulebookError;
use crate::store::StoreError;

/// Why a batch could not be processed. Nothing of it is acknowledged; dedup absorbs the replay of what was written.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sandbox has no room.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The rulebook that records have to be evaluated by can't be had. They wait for it.
    #[error("records of race type {race_type}{} wait for the rulebook {rulebook}", race.as_ref().map_or(String::new(), |race| format!(", race `{race}`,")))]
    Rulebook {
        /// The race type.
        race_type: String,
        /// The race, if the rulebook pins races.
        race: Option<String>,
        /// The rulebook's name and version, or its digest.
        rulebook: String,
        /// Why it can't be had.
        source: Box<RulebookError>,
    },
    /// The rulebook that a window's records were evaluated by can't be had.
    #[error("the window holds records of the rulebook {rulebook}")]
    Window {
        /// The rulebook's digest.
        rulebook: Digest,
        /// Why it can't be had.
        source: Box<RulebookError>,
    },
    /// A group's state was written by an aggregator of another kind. Its records wait for rules that fit.
    #[error(transparent)]
    StateFormat(Box<ForeignState>),
    /// A plugin fails on records, and their rulebook holds them. They wait for another rulebook.
    #[error(
        "records wait because a plugin of the rulebook {rulebook} fails on them, and it has `on-failure = \"hold\"`: roll \
         it back, or activate one that does not fail: {reason}"
    )]
    Failing {
        /// The rulebook's name and version.
        rulebook: String,
        /// What failed.
        reason: String,
    },
    /// A group's item has another dedup rule than the rulebook. Its records wait for rules that fit.
    #[error(transparent)]
    Dedup(Box<ForeignDedup>),
    /// Another host wrote a group under later rules.
    #[error("the item {key} was written under revision {theirs} of the rules, and this host is at revision {ours}")]
    Behind {
        /// The item's key.
        key: String,
        /// The item's revision.
        theirs: Box<RulesRevision>,
        /// This host's revision.
        ours: Box<RulesRevision>,
    },
    /// Other hosts wrote the same groups at each attempt.
    #[error(
        "{groups} groups, {key} among them, were changed by others at each of {attempts} attempts: is another host \
         reading the same shard?"
    )]
    Contended {
        /// How many groups.
        groups: usize,
        /// One of them.
        key: String,
        /// The number of attempts.
        attempts: u32,
    },
}

impl PipelineError {
    /// Whether the rules have to change before a retry can succeed: a rulebook is not there yet.
    pub fn waits_for_rules(&self) -> bool {
        matches!(
            self,
            Self::Rulebook { .. } | Self::StateFormat(_) | Self::Dedup(_) | Self::Failing { .. } | Self::Behind { .. }
        )
    }

    /// Whether the deadline of the plugins' calls has passed.
    pub fn is_past_deadline(&self) -> bool {
        matches!(self, Self::Engine(EngineError::Deadline))
    }

    /// Whether a retry of the batch may succeed: the store is throttled or unreachable, another host writes the same
    /// groups, as while one deployment or worker takes over from another, a rulebook is not there yet, or the sandbox has
    /// no room.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Contended { .. } => true,
            Self::Rulebook { .. } | Self::StateFormat(_) | Self::Dedup(_) => true,
            Self::Failing { .. } | Self::Behind { .. } => true,
            Self::Window { source, .. } => source.is_transient(),
            Self::Engine(error) => error.is_transient(),
        }
    }
}

/// The state of a group has a format that the rulebook's aggregator does not take.
#[derive(Debug, thiserror::Error)]
#[error(
    "the state of the item {key} has the format `{format}`, and the aggregator of the rulebook {rulebook} {why}: activate a \
     rulebook that takes the format, or move the item away"
)]
pub struct ForeignState {
    /// The item's key.
    pub key: String,
    /// The format of its state.
    pub format: String,
    /// The digest of the rulebook that wrote it.
    pub wrote: Digest,
    /// The rulebook's name and version.
    pub rulebook: String,
    /// What the aggregator takes, or why it fails.
    pub why: String,
}

/// The item of a group has another dedup rule than the rulebook.
#[derive(Debug, thiserror::Error)]
#[error(
    "the item {key} has the dedup `{theirs}`, and the rulebook {rulebook} has `{ours}`: which records the item holds is not \
     known. Activate a rulebook with the dedup of the item, or move the item away"
)]
pub struct ForeignDedup {
    /// The item's key.
    pub key: String,
    /// The item's dedup rule.
    pub theirs: String,
    /// The rulebook's name and version.
    pub rulebook: String,
    /// The rulebook's dedup rule.
    pub ours: String,
}

/// Displays an error and its sources: `what: cause: cause of that`. A cause whose text the text before it contains is
/// left out.
#[derive(Debug)]
pub struct ErrorChain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.to_string();
        f.write_str(&shown)?;
        let mut next = self.0.source();
        while let Some(error) = next {
            let text = error.to_string();
            if !shown.contains(&text) {
                write!(f, ": {text}")?;
                shown = text;
            }
            next = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_shows_each_cause_once() {
        let cause = std::io::Error::other("the disk is full");
        let error = PipelineError::from(StoreError::fatal("the store races.redb failed").with_source(cause));
        assert_eq!(ErrorChain(&error).to_string(), "the store races.redb failed: the disk is full");
        let embedded = StoreError::fatal("the store failed: the disk is full").with_source("the disk is full");
        assert_eq!(ErrorChain(&embedded).to_string(), "the store failed: the disk is full");
    }

    #[test]
    fn what_another_attempt_may_resolve_is_transient() {
        assert!(PipelineError::from(EngineError::Deadline).is_transient());
        assert!(PipelineError::from(EngineError::Run("the pool is full".into())).is_transient());
        assert!(!PipelineError::from(EngineError::Start("no processor for it".into())).is_transient());
        assert!(PipelineError::from(StoreError::transient("throttled")).is_transient());
        assert!(
            PipelineError::Contended { groups: 1, key: "race-1 / racer-1".to_owned(), attempts: 20 }.is_transient()
        );
        assert!(!PipelineError::from(StoreError::fatal("no such table")).is_transient());
    }
}
