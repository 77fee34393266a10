//! What following the log brings.

use std::fmt;

use super::entry::InvalidEntry;
use super::error::RulebookError;
use super::log::Read;
use super::trial::{Trial, TrialMode};
use crate::error::ErrorChain;
use crate::model::RulebookId;

/// What following the log brought.
#[derive(Debug)]
pub enum RulesEvent {
    /// New races of a race type begin with this rulebook.
    Activated {
        /// The race type.
        race_type: String,
        /// The rulebook.
        rulebook: RulebookId,
        /// The revision.
        revision: u64,
    },
    /// New races of a race type find no rulebook any more.
    Retired {
        /// The race type.
        race_type: String,
    },
    /// A rulebook is tried beside the current one.
    Tried {
        /// The race type.
        race_type: String,
        /// The rulebook.
        rulebook: RulebookId,
        /// How.
        trial: Trial,
    },
    /// A canary has failed, and its races go on with the current rulebook.
    Vetoed {
        /// The race type.
        race_type: String,
        /// The rulebook.
        rulebook: String,
    },
    /// A rulebook was refused. What the race type ran before goes on.
    Refused {
        /// The race type.
        race_type: String,
        /// The rulebook.
        rulebook: String,
        /// Why.
        reason: RulebookError,
    },
    /// A rulebook was published, and this host refuses it: what it would say if the rulebook were activated.
    RefusedAhead {
        /// The rulebook.
        rulebook: String,
        /// Why.
        reason: RulebookError,
    },
    /// An entry of the log is not used.
    Skipped {
        /// Its revision.
        revision: u64,
        /// Why.
        reason: InvalidEntry,
    },
}

impl RulesEvent {
    /// Logs the event, as a warning if somebody has to do something.
    pub fn log(&self) {
        match self {
            Self::Activated { .. } | Self::Retired { .. } | Self::Tried { .. } => tracing::info!("{self}"),
            Self::Refused { .. } | Self::RefusedAhead { .. } | Self::Skipped { .. } | Self::Vetoed { .. } => {
                tracing::warn!("{self}");
            }
        }
    }
}

/// A line for a log.
impl fmt::Display for RulesEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Activated { race_type, rulebook, revision } => {
                write!(f, "race type {race_type}: {rulebook} is active (revision {revision})")
            }
            Self::Tried { race_type, rulebook, trial } => {
                let how = match trial.mode {
                    TrialMode::Canary { share } => format!("with {share} of the new races"),
                    TrialMode::Shadow => "as a shadow".to_owned(),
                };
                write!(f, "race type {race_type}: {rulebook} is tried {how} (revision {})", trial.since)
            }
            Self::Vetoed { race_type, rulebook } => {
                write!(f, "race type {race_type}: {rulebook} has failed; its races go on with the current rulebook")
            }
            Self::Retired { race_type } => write!(f, "race type {race_type} is retired"),
            Self::Refused { race_type, rulebook, reason } => {
                write!(f, "race type {race_type}: {rulebook} is refused: {}", ErrorChain(reason))
            }
            Self::RefusedAhead { rulebook, reason } => {
                write!(f, "{rulebook} was published and would be refused: {}", ErrorChain(reason))
            }
            Self::Skipped { revision, reason } => write!(f, "entry {revision} of the rules' log is skipped: {reason}"),
        }
    }
}

/// The event of an entry that is not used.
pub(super) fn skipped(read: Read) -> Option<RulesEvent> {
    match read {
        // A poll reads up to what is missing.
        Read::Entry(_) | Read::Missing { .. } => None,
        Read::Skipped { revision, why } => Some(RulesEvent::Skipped { revision, reason: why }),
    }
}
