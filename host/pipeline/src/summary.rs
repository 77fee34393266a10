//! What a run came to.

use std::collections::BTreeMap;
use std::time::Duration;

use paceline_engine::Digest;

use crate::dead_letter::Cause;

macro_rules! stages {
    ($($(#[$doc:meta])* $name:ident $text:literal)*) => {
        /// Where a batch's time goes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Stage { $($(#[$doc])* $name,)* }

        impl Stage {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word for it.
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
    /// Making columns of the cells.
    Gather "gather"
    /// In the validators.
    Validate "validate"
    /// In the scorer.
    Score "score"
    /// Reading the groups' items.
    Load "load"
    /// Finding the groups, and in the aggregators.
    Fold "fold"
    /// Writing the groups' items.
    Commit "commit"
    /// Keeping dead letters and making everything last.
    Acknowledge "acknowledge"
}

/// Fuel by plugin.
pub type Fuel = BTreeMap<Digest, u64>;

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Records that are done, dead letters included.
    pub records: u64,
    /// Batches that they came in.
    pub batches: u64,
    /// Dead letters by cause.
    pub dead: BTreeMap<Cause, u64>,
    /// Writes of groups.
    pub groups: u64,
    /// Rows that were folded before, by their group's fence: a record counts once for each of its groups.
    pub duplicates: u64,
    /// Writes that others were ahead of.
    pub conflicts: u64,
    /// Fuel that each plugin used.
    pub fuel: Fuel,
    /// Records judged by each rulebook: race type and version.
    pub by_rulebook: BTreeMap<(String, u64), u64>,
    /// Time by stage; see [`Stage`].
    pub time: [Duration; Stage::ALL.len()],
}

impl Summary {
    /// All dead letters.
    pub fn dead_letters(&self) -> u64 {
        self.dead.values().sum()
    }

    /// Adds what another one counted.
    pub fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.batches += other.batches;
        self.groups += other.groups;
        self.duplicates += other.duplicates;
        self.conflicts += other.conflicts;
        for (cause, count) in &other.dead {
            *self.dead.entry(*cause).or_default() += count;
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
