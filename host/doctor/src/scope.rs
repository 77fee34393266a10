//! What decides whether one finding can be the cause of another: when it was, and what it concerns.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::Timestamp;

/// When a finding was seen and what it concerns, as far as that is known. What is not known excludes no cause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The earliest instant at which it can have begun.
    pub began: Option<Timestamp>,
    /// The latest instant at which it can have happened.
    pub last: Option<Timestamp>,
    /// The race types that it concerns. Each has a time: of a cause, from when on; of a consequence, until when.
    pub race_types: Option<BTreeMap<String, Option<Timestamp>>>,
    /// The versions that it concerns, such as `flat@2`.
    pub versions: Option<BTreeSet<String>>,
}

impl Scope {
    /// Whether something of this scope can have led to something of another one.
    pub(crate) fn can_lead_to(&self, other: &Self) -> bool {
        is_before(self.began, other.last) && self.has_race_type_of(other) && self.has_version_of(other)
    }

    fn has_race_type_of(&self, other: &Self) -> bool {
        let (Some(causes), Some(consequences)) = (&self.race_types, &other.race_types) else { return true };
        causes.iter().any(|(name, from)| consequences.get(name).is_some_and(|until| is_before(*from, *until)))
    }

    fn has_version_of(&self, other: &Self) -> bool {
        let (Some(causes), Some(consequences)) = (&self.versions, &other.versions) else { return true };
        !causes.is_disjoint(consequences)
    }
}

fn is_before(began: Option<Timestamp>, last: Option<Timestamp>) -> bool {
    began.zip(last).is_none_or(|(began, last)| began <= last)
}
