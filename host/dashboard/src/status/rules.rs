use std::collections::BTreeMap;

use paceline_doctor::Timestamp;
use serde::{Deserialize, Serialize};

/// What race types run, and which hosts follow.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rules {
    /// The registry's location.
    pub registry: String,
    /// The newest revision of the log.
    pub revision: u64,
    /// By race type.
    pub race_types: BTreeMap<String, RaceType>,
    /// The hosts that have acknowledged a revision lately.
    pub hosts: Vec<Host>,
}

/// What a race type runs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RaceType {
    /// The rulebook that new races begin with, such as `flat@2`; `None` if the race type is retired.
    pub current: Option<String>,
    /// The rulebook on trial.
    #[serde(default)]
    pub candidate: Option<Candidate>,
    /// The rulebook that a roll-back returns to.
    #[serde(default)]
    pub fallback: Option<String>,
    /// The revision of the last change.
    pub since: u64,
    /// The pinned races by rulebook. Those that are neither current nor on trial drain.
    #[serde(default)]
    pub pinned: Vec<Pinned>,
    /// Whether there are more pinned races than were counted.
    #[serde(default)]
    pub more: bool,
}

/// The races that are pinned to a rulebook.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Pinned {
    /// The rulebook, such as `flat@1`.
    pub rulebook: String,
    /// How many.
    pub races: u64,
}

/// A rulebook on trial.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Candidate {
    /// The rulebook, such as `flat@3`.
    pub rulebook: String,
    /// How it is tried.
    pub mode: CandidateMode,
    /// The share of the new races in per cent, of a canary.
    #[serde(default)]
    pub share: Option<f64>,
    /// What the records show, in words.
    #[serde(default)]
    pub verdict: Option<String>,
    /// Why it was taken back.
    #[serde(default)]
    pub veto: Option<String>,
    /// The candidate's figures.
    #[serde(default)]
    pub figures: Option<Figures>,
    /// Those of the current rulebook in the same time.
    #[serde(default)]
    pub current_figures: Option<Figures>,
}

/// How a rulebook is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CandidateMode {
    /// A share of the new races begins with it.
    Canary,
    /// It evaluates the records beside the current rulebook and writes nothing.
    Shadow,
}

/// What a rulebook made of the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Figures {
    /// Records that it evaluated.
    pub records: u64,
    /// Records on which a plugin failed.
    pub failed: u64,
    /// Records whose score is not finite.
    pub bad_scores: u64,
    /// Records that it rejected.
    pub rejected: u64,
    /// Calls of its plugins that failed.
    pub failed_calls: u64,
    /// Fuel of a record.
    pub fuel: Option<u64>,
    /// Nanoseconds of a record.
    pub nanoseconds: Option<u64>,
}

/// A host that follows the rules.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Host {
    /// Its id.
    pub name: String,
    /// What it is, such as `run` or `lambda`.
    pub kind: String,
    /// The revision that it follows.
    pub revision: u64,
    /// Since when.
    pub since: Option<Timestamp>,
    /// The rulebooks that it refuses and why, or why it cannot follow the rules.
    #[serde(default)]
    pub refusals: Vec<String>,
}

impl RaceType {
    /// The pinned races whose rulebook is neither current nor on trial.
    pub fn draining(&self) -> impl Iterator<Item = &Pinned> {
        self.pinned.iter().filter(|pinned| {
            let candidate = self.candidate.as_ref().map(|candidate| candidate.rulebook.as_str());
            ![self.current.as_deref(), candidate].contains(&Some(pinned.rulebook.as_str()))
        })
    }
}
