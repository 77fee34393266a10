//! The result of a replay.

use paceline_pipeline::model::RulebookId;
use paceline_pipeline::replay::Comparison;

use super::places::Places;

/// The result of a replay.
pub(super) struct Shown {
    pub(super) rules: RulebookId,
    /// `None` for what is committed.
    pub(super) against: Option<RulebookId>,
    pub(super) race_types: Vec<String>,
    pub(super) from: String,
    pub(super) comparison: Comparison,
    pub(super) places: Vec<Places>,
}
