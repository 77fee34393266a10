//! What a trial has shown so far.

use paceline_engine::Usage;
use serde::{Deserialize, Serialize};

use crate::summary::Rows;

/// What a trial has shown so far, on one host or on all of them. All fields count, so that tallies add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Tally {
    /// The rulebook on trial.
    pub candidate: Arm,
    /// The current rulebook, in the same time.
    pub current: Arm,
    /// How the outcomes of a shadow compare.
    pub shadow: Comparison,
}

/// What one rulebook made of its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Arm {
    /// The records.
    #[serde(flatten)]
    pub rows: Rows,
    /// Calls of its plugins that failed.
    pub faults: u64,
    /// Fuel of its plugins.
    pub fuel: u64,
    /// Time in its plugins, in nanoseconds.
    pub nanos: u64,
}

/// How the outcomes of a shadow compare with those of the current rulebook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Comparison {
    /// Records that both reject, or to which both give the same score.
    pub equal: u64,
    /// Records with another score.
    pub other_score: u64,
    /// Records that only the shadow rejects or fails on.
    pub only_shadow_rejects: u64,
    /// Records that only the current rulebook rejects or fails on.
    pub only_current_rejects: u64,
    /// The largest difference of two scores.
    pub largest_difference: f64,
    /// Records that the shadow did not see: its share of time was used up.
    pub skipped: u64,
}

impl Tally {
    /// Adds another tally.
    pub fn add(&mut self, other: &Self) {
        self.candidate.add(&other.candidate);
        self.current.add(&other.current);
        self.shadow.add(&other.shadow);
    }
}

impl Arm {
    /// Adds what calls cost.
    pub(crate) fn add_usage(&mut self, usage: &Usage) {
        self.faults += usage.faults.values().sum::<u64>();
        self.fuel += usage.fuel;
        self.nanos += usage.time.as_nanos() as u64;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.rows.add(other.rows);
        self.faults += other.faults;
        self.fuel += other.fuel;
        self.nanos += other.nanos;
    }
}

impl Comparison {
    fn add(&mut self, other: &Self) {
        self.equal += other.equal;
        self.other_score += other.other_score;
        self.only_shadow_rejects += other.only_shadow_rejects;
        self.only_current_rejects += other.only_current_rejects;
        self.largest_difference = self.largest_difference.max(other.largest_difference);
        self.skipped += other.skipped;
    }
}
