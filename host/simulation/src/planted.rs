//! What planted bugs do in a host's store.

use paceline_pipeline::dedup::{DedupState, LastPositions, OrdinalSet};
use paceline_pipeline::model::{DeadLetter, Item};

/// What planted bugs keep.
#[derive(Debug, Default)]
pub(crate) struct Planted {
    /// Dead letters that are not stored yet.
    pub(crate) letters: Vec<DeadLetter>,
    /// Whether items come back without their dedup state.
    pub(crate) hides_dedup: bool,
}

/// Takes an item's dedup state away.
pub(crate) fn without_dedup(item: Option<Item>) -> Option<Item> {
    item.map(|item| Item {
        dedup: match item.dedup {
            DedupState::Sequence(_) => DedupState::Sequence(LastPositions::default()),
            DedupState::Ordinal(_) => DedupState::Ordinal(OrdinalSet::default()),
        },
        ..item
    })
}
