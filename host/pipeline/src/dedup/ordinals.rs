//! Sets of ordinals, as few bytes.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// A set of integers as runs `[first, last]`, ascending and never touching.
///
/// The ordinals of a group are nearly always consecutive (the seconds of a race), so that a set is a run or two. Equal sets
/// have equal runs and equal bytes, whatever the order of insertion. A general compressed bitmap has neither property: its
/// containers depend on history, and one run takes more bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "UncheckedRuns")]
pub struct OrdinalSet {
    /// One run is nearly always all, and takes no allocation.
    pub(super) runs: SmallVec<[(i64, i64); 1]>,
    /// Of ordinals up to it, it is not known which are in the set.
    pub(super) horizon: Option<i64>,
}

/// A set as it is stored. Of runs in another order, some would not be found.
#[derive(Deserialize)]
struct UncheckedRuns {
    runs: SmallVec<[(i64, i64); 1]>,
    horizon: Option<i64>,
}

impl TryFrom<UncheckedRuns> for OrdinalSet {
    type Error = &'static str;

    fn try_from(UncheckedRuns { runs, horizon }: UncheckedRuns) -> Result<Self, &'static str> {
        let are_runs = runs.iter().all(|(first, last)| first <= last);
        let are_apart = runs.is_sorted_by(|(_, last), (first, _)| *last < first.saturating_sub(1));
        let are_above = runs.first().is_none_or(|(first, _)| horizon.is_none_or(|horizon| horizon < *first));
        match are_runs && are_apart && are_above {
            true => Ok(Self { runs, horizon }),
            false => Err("the runs of a dedup state are not ascending and apart"),
        }
    }
}

/// Runs that a group's ordinals may have. Consecutive ordinals, such as the seconds of a race, have one or two; ordinals that
/// are never adjacent have one each, and would let the item grow until no store takes it. So many take about 40 KB.
pub const MAX_RUNS: usize = 4_096;

/// What an [`OrdinalSet`] makes of an ordinal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is in the set now.
    New,
    /// It was in the set.
    Held,
    /// It is so far behind the others that it is not known whether it was in the set.
    Unknown,
}

impl OrdinalSet {
    /// Whether it contains an ordinal.
    pub fn contains(&self, ordinal: i64) -> bool {
        let at = self.runs.partition_point(|&(_, last)| last < ordinal);
        self.runs.get(at).is_some_and(|&(first, _)| first <= ordinal)
    }

    /// What it would make of an ordinal.
    pub(super) fn find(&self, ordinal: i64) -> Admission {
        match self.horizon.is_some_and(|horizon| ordinal <= horizon) {
            true => Admission::Unknown,
            false if self.contains(ordinal) => Admission::Held,
            false => Admission::New,
        }
    }

    /// Adds an ordinal. Returns whether it was new.
    pub fn insert(&mut self, ordinal: i64) -> bool {
        // The usual case: the ordinal after the last one.
        if let Some((_, last)) = self.runs.last_mut()
            && last.checked_add(1) == Some(ordinal)
        {
            *last = ordinal;
            return true;
        }
        // The first run that ends at or after the ordinal's left neighbour: the only one that it can be in or extend.
        let at = self.runs.partition_point(|&(_, last)| last < ordinal.saturating_sub(1));
        let Some(&(first, last)) = self.runs.get(at) else {
            self.runs.push((ordinal, ordinal));
            return true;
        };
        if first <= ordinal && ordinal <= last {
            return false;
        }
        if ordinal.checked_add(1) == Some(first) {
            self.runs[at].0 = ordinal;
        } else if last.checked_add(1) == Some(ordinal) {
            self.runs[at].1 = ordinal;
            // It may have closed the gap to the run after.
            if let Some(&(next_first, next_last)) = self.runs.get(at + 1)
                && ordinal.checked_add(1) == Some(next_first)
            {
                self.runs[at].1 = next_last;
                self.runs.remove(at + 1);
            }
        } else {
            self.runs.insert(at, (ordinal, ordinal));
        }
        true
    }

    /// Adds an ordinal to a set that is bounded: where it would have more than [`MAX_RUNS`] runs, the lowest one gives way to
    /// the horizon.
    pub fn admit(&mut self, ordinal: i64) -> Admission {
        if self.horizon.is_some_and(|horizon| ordinal <= horizon) {
            return Admission::Unknown;
        }
        if !self.insert(ordinal) {
            return Admission::Held;
        }
        if self.runs.len() > MAX_RUNS {
            let (_, last) = self.runs.remove(0);
            self.horizon = Some(last);
        }
        Admission::New
    }

    /// The runs, ascending.
    pub fn runs(&self) -> &[(i64, i64)] {
        &self.runs
    }
}
