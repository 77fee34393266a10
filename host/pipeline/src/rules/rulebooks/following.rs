//! What a host has read and loaded.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use paceline_engine::Digest;

use crate::rules::catalog::{Catalog, Followed, Route};
use crate::rules::entry::Change;
use crate::rules::loading::{Loaded, MAX_EARLIER};
use crate::rules::log::{Read, Tail};
use crate::rules::position::Position;
use crate::rules::routing::Rules;

/// What a host has read and loaded.
#[derive(Debug, Default)]
pub(super) struct Following {
    /// `None` before a log was read.
    pub(super) tail: Option<Tail>,
    /// Whether it is the seed's log.
    pub(super) from_seed: bool,
    pub(super) loaded: Loaded,
    /// What this host runs for each race type: behind the log where it refuses a rulebook.
    pub(super) routes: HashMap<String, Route>,
    /// What they are made from.
    pub(super) followed: Followed,
    /// The newest entry of that log. A log that is replaced may have another one at the same revision.
    pub(super) newest: Option<Position>,
    /// The entry that was last taken over, as the store's head has it.
    pub(super) taken_over: Option<Position>,
    /// Rulebooks that were published since and are to be loaded ahead.
    pub(super) ahead: Vec<Digest>,
    /// Those of them that were refused, and why.
    pub(super) refused_ahead: BTreeMap<Digest, String>,
    /// Catalogs that were replaced. A batch may still use them. They are freed by a later poll, beside the stream:
    /// unmapping the code of plugins takes time, which the batch that used them last would otherwise spend.
    pub(super) replaced: Vec<Arc<Catalog>>,
}

impl Following {
    /// Whether a race type runs something else than the rules say, for a reason that may have passed.
    pub(super) fn is_behind(&self, rules: &Rules) -> bool {
        rules.routing.iter().any(|(race_type, routing)| {
            let refused = |rulebook: Digest| self.loaded.refusal(rulebook).is_some();
            let route = self.routes.get(race_type);
            let (current, trial) = (route.and_then(|route| route.current), route.and_then(|route| route.trial));
            let is_current = current == routing.current || routing.current.is_some_and(refused);
            let is_tried = trial == routing.candidate || routing.candidate.is_some_and(|trial| refused(trial.rulebook));
            !is_current || !is_tried && routing.current.is_none_or(|current| !refused(current))
        })
    }

    /// Notes what was published, to be loaded ahead: of many rulebooks the last.
    pub(super) fn note_published(&mut self, reads: &[Read]) {
        for read in reads {
            let Read::Entry(entry) = read else { continue };
            for change in &entry.changes {
                if let Change::Publish { rulebook } = change
                    && !self.ahead.contains(rulebook)
                {
                    self.ahead.push(*rulebook);
                }
            }
        }
        let surplus = self.ahead.len().saturating_sub(MAX_EARLIER);
        self.ahead.drain(..surplus);
        while self.refused_ahead.len() > MAX_EARLIER {
            self.refused_ahead.pop_first();
        }
    }
}
