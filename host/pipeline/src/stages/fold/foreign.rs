//! Whether the item of a group fits the rulebook that would fold into it. Nothing of an item is decoded on trust.

use paceline_engine::Digest;

use crate::error::{ForeignDedup, ForeignState, PipelineError};
use crate::model::{Cause, Key, Provenance, RulebookId};
use crate::rules::{BoundAggregate, LoadedAggregate};

/// Why an item does not fit a rulebook.
#[derive(Debug)]
pub(crate) enum Foreign {
    /// The aggregator does not take the state: its format, the rulebook that wrote it, and what the aggregator takes or why it
    /// fails.
    StateFormat { format: String, wrote: Digest, why: String },
    /// The dedup rules differ.
    Dedup { theirs: String, ours: String },
}

impl Foreign {
    /// Why an item of this origin does not fit an aggregate; `None` if it does.
    pub(crate) fn of(theirs: &Provenance, loaded: &LoadedAggregate, bound: &BoundAggregate) -> Option<Self> {
        let ours = &bound.provenance;
        if !loaded.aggregator.takes(&theirs.state_format) {
            let formats = [loaded.aggregator.state_format()].into_iter();
            let formats = formats.chain(loaded.aggregator.migrates_from().iter().map(String::as_str));
            let formats: Vec<String> = formats.map(|format| format!("`{format}`")).collect();
            let why = format!("takes {}", formats.join(", "));
            return Some(Self::StateFormat { format: theirs.state_format.clone(), wrote: theirs.rulebook.digest, why });
        }
        let same = theirs.dedup_rule == ours.dedup_rule;
        (!same).then(|| Self::Dedup { theirs: theirs.dedup_rule.clone(), ours: ours.dedup_rule.clone() })
    }

    /// The reason of the records that have waited for too long.
    pub(crate) fn cause(&self) -> Cause {
        match self {
            Self::StateFormat { .. } => Cause::StateFormat,
            Self::Dedup { .. } => Cause::Dedup,
        }
    }

    /// What the records wait for.
    pub(crate) fn error(&self, key: &Key, rulebook: &RulebookId) -> PipelineError {
        let (key, rulebook) = (key.to_string(), rulebook.to_string());
        match self {
            Self::StateFormat { format, wrote, why } => PipelineError::StateFormat(Box::new(ForeignState {
                key,
                format: format.clone(),
                wrote: *wrote,
                rulebook,
                why: why.clone(),
            })),
            Self::Dedup { theirs, ours } => PipelineError::Dedup(Box::new(ForeignDedup {
                key,
                theirs: theirs.clone(),
                rulebook,
                ours: ours.clone(),
            })),
        }
    }
}
