//! Groups that share an item, and those that have moved out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use paceline_pipeline::model::Item;
use serde::{Deserialize, Serialize};

/// Groups, by sort key.
pub(super) type Groups = BTreeMap<Arc<str>, Arc<Item>>;

/// Which groups that belong into an item have items of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Moved {
    /// These.
    These(Arc<BTreeSet<Arc<str>>>),
    /// All that are not in the item: those that have moved out are too many to be named. A group that is new gets an item of
    /// its own, too.
    AllOthers,
}

impl Default for Moved {
    fn default() -> Self {
        Self::These(Arc::default())
    }
}

/// Of so many groups that have moved out, the item names each: some 100 KB.
const MAX_MOVED: usize = 20_000;

impl Moved {
    /// Whether a group that is not in the shared item has, or would get, an item of its own.
    pub(super) fn has(&self, sort: &str) -> bool {
        match self {
            Self::These(sorts) => sorts.contains(sort),
            Self::AllOthers => true,
        }
    }

    /// Adds a group that moves out.
    pub(super) fn add(&mut self, sort: &Arc<str>) {
        let Self::These(sorts) = self else { return };
        Arc::make_mut(sorts).insert(Arc::clone(sort));
        if sorts.len() > MAX_MOVED {
            *self = Self::AllOthers;
        }
    }
}
