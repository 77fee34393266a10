//! Counts and times of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use paceline_engine::{Digest, Role, Usage};

use serde::{Deserialize, Serialize};

use crate::model::{Cause, RulebookId};

/// A version fails if more than one record in so many fails,
const FAILING_ONE_IN: u64 = 100;
/// and at least so many: one bad record is a dead letter, and no bad version.
const FAILING_LEAST: u64 = 10;

macro_rules! stages {
    ($($(#[$doc:meta])* $name:ident $text:literal)*) => {
        /// The stages whose time is measured.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Stage { $($(#[$doc])* $name,)* }

        impl Stage {
            /// All stages, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name in reports and metrics.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

stages! {
    /// Waiting for the source.
    Receive "receive"
    /// Reading the JSON.
    Project "project"
    /// Choosing the rulebooks.
    Route "route"
    /// Building the plugins' columns.
    Columns "columns"
    /// The validators.
    Validate "validate"
    /// The scorer.
    Score "score"
    /// Loading the groups.
    Load "load"
    /// Finding the groups, and the aggregators.
    Fold "fold"
    /// Storing dead letters and writing the groups.
    Commit "commit"
    /// Deleting redriven dead letters and storing the checkpoint.
    Acknowledge "acknowledge"
}

/// A plugin in its role in a rulebook.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PluginRole {
    /// The rulebook.
    pub rulebook: RulebookId,
    /// The role.
    pub role: Role,
    /// The plugin.
    pub plugin: Digest,
}

/// The calls of plugins. Records of several race types may share a call.
pub type Calls = BTreeMap<PluginRole, Usage>;

/// The race type and the rulebook that records were evaluated by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EvaluatedBy {
    /// The race type.
    pub race_type: String,
    /// The rulebook.
    pub rulebook: RulebookId,
}

/// What became of records that plugins evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Rows {
    /// All of them.
    pub evaluated: u64,
    /// A validator rejected them, or a field that a plugin reads is missing or has another type.
    pub rejected: u64,
    /// Their score is not a finite number.
    pub bad_scores: u64,
    /// A plugin failed on them.
    pub failed: u64,
}

impl Rows {
    /// Adds other records.
    pub fn add(&mut self, other: Self) {
        self.evaluated += other.evaluated;
        self.rejected += other.rejected;
        self.bad_scores += other.bad_scores;
        self.failed += other.failed;
    }

    /// Counts a record that became a dead letter.
    pub(crate) fn count(&mut self, cause: Cause) {
        match cause {
            Cause::PluginFailed => self.failed += 1,
            Cause::BadScore => self.bad_scores += 1,
            Cause::Rejected | Cause::MissingField | Cause::WrongType => self.rejected += 1,
            _ => {}
        }
    }
}

/// Counts and times of a run.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Committed records, dead letters included.
    pub records: u64,
    /// Batches.
    pub batches: u64,
    /// Dead letters by cause.
    pub dead_letters: BTreeMap<Cause, u64>,
    /// Dead letters that were redriven, and deleted.
    pub redriven: u64,
    /// Groups written.
    pub groups: u64,
    /// Rows that their groups held already. A record counts once for each of its groups.
    pub duplicates: u64,
    /// Writes that met a conflict.
    pub conflicts: u64,
    /// What the plugins' calls cost.
    pub calls: Calls,
    /// Committed records, by race type and rulebook.
    pub rows: BTreeMap<EvaluatedBy, Rows>,
    /// Time by stage; see [`Stage`].
    pub time: [Duration; Stage::ALL.len()],
    /// When stages began and ended, of one batch; `None` if nobody wants to know. Sums have none.
    pub timeline: Option<Vec<StageSpan>>,
}

/// When a stage began and ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageSpan {
    /// The stage.
    pub stage: Stage,
    /// Its begin.
    pub began: Instant,
    /// Its end.
    pub ended: Instant,
}

/// The maximum number of a batch's spans. A batch with many rulebooks, or one that is retried for long, has more; the rest
/// is missing.
const MAX_SPANS: usize = 256;

impl Summary {
    /// The number of dead letters.
    pub fn dead_letter_count(&self) -> u64 {
        self.dead_letters.values().sum()
    }

    /// Books the time of a stage.
    pub(crate) fn book(&mut self, stage: Stage, began: Instant, ended: Instant) {
        self.time[stage as usize] += ended - began;
        if let Some(timeline) = self.timeline.as_mut().filter(|timeline| timeline.len() < MAX_SPANS) {
            timeline.push(StageSpan { stage, began, ended });
        }
    }

    /// The versions that failed on more than 1 % of their records, and on ten at least: a version that is wrong, not a
    /// record that is.
    pub fn failing_versions(&self) -> BTreeSet<&RulebookId> {
        let mut by_version: BTreeMap<&RulebookId, Rows> = BTreeMap::new();
        for (EvaluatedBy { rulebook, .. }, rows) in &self.rows {
            by_version.entry(rulebook).or_default().add(*rows);
        }
        let fails = |rows: &Rows| {
            let failed = rows.failed + rows.bad_scores;
            failed >= FAILING_LEAST && failed * FAILING_ONE_IN > rows.evaluated
        };
        by_version.into_iter().filter(|(_, rows)| fails(rows)).map(|(version, _)| version).collect()
    }

    /// Adds another summary.
    pub fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.batches += other.batches;
        self.redriven += other.redriven;
        self.groups += other.groups;
        self.duplicates += other.duplicates;
        self.conflicts += other.conflicts;
        for (cause, count) in &other.dead_letters {
            *self.dead_letters.entry(*cause).or_default() += count;
        }
        for (plugin, usage) in &other.calls {
            self.calls.entry(plugin.clone()).or_default().add(usage);
        }
        for (by, rows) in &other.rows {
            self.rows.entry(by.clone()).or_default().add(*rows);
        }
        for (time, more) in self.time.iter_mut().zip(other.time) {
            *time += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_fails_on_a_share_of_its_records_is_failing() {
        let version = |version| RulebookId { name: "flat".into(), version, digest: Digest::of(b"") };
        let mut summary = Summary::default();
        for (race_type, number, rows) in [
            ("1", 1, Rows { evaluated: 1_000, failed: 10, ..Rows::default() }),
            ("1", 2, Rows { evaluated: 500, failed: 3, bad_scores: 3, ..Rows::default() }),
            // The same version for another race type.
            ("2", 2, Rows { evaluated: 400, bad_scores: 4, ..Rows::default() }),
            ("1", 3, Rows { evaluated: 9, failed: 9, ..Rows::default() }),
            ("1", 4, Rows { evaluated: 900, rejected: 900, ..Rows::default() }),
        ] {
            let by = EvaluatedBy { race_type: race_type.to_owned(), rulebook: version(number) };
            summary.rows.insert(by, rows);
        }
        assert_eq!(summary.failing_versions(), BTreeSet::from([&version(2)]));
    }
}
