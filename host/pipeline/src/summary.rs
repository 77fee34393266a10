//! Counts and times of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use paceline_engine::Digest;

use crate::model::{Cause, RulebookId};

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
    /// Writing the groups.
    Commit "commit"
    /// Storing dead letters and the checkpoint.
    Acknowledge "acknowledge"
}

/// Fuel by plugin.
pub type Fuel = BTreeMap<Digest, u64>;

/// Counts and times of a run.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Committed records, dead letters included.
    pub records: u64,
    /// Batches.
    pub batches: u64,
    /// Dead letters by cause.
    pub dead_letters: BTreeMap<Cause, u64>,
    /// Groups written.
    pub groups: u64,
    /// Rows that their groups held already. A record counts once for each of its groups.
    pub duplicates: u64,
    /// Writes that met a conflict.
    pub conflicts: u64,
    /// Fuel by plugin.
    pub fuel: Fuel,
    /// Records evaluated, by rulebook.
    pub by_rulebook: BTreeMap<RulebookId, u64>,
    /// Time by stage; see [`Stage`].
    pub time: [Duration; Stage::ALL.len()],
}

impl Summary {
    /// The number of dead letters.
    pub fn dead_letter_count(&self) -> u64 {
        self.dead_letters.values().sum()
    }

    /// Adds another summary.
    pub fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.batches += other.batches;
        self.groups += other.groups;
        self.duplicates += other.duplicates;
        self.conflicts += other.conflicts;
        for (cause, count) in &other.dead_letters {
            *self.dead_letters.entry(*cause).or_default() += count;
        }
        for (plugin, fuel) in &other.fuel {
            *self.fuel.entry(*plugin).or_default() += fuel;
        }
        for (rulebook, records) in &other.by_rulebook {
            *self.by_rulebook.entry(rulebook.clone()).or_default() += records;
        }
        for (time, more) in self.time.iter_mut().zip(other.time) {
            *time += more;
        }
    }
}
