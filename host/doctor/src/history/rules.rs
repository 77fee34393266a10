use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// What race types run, and which hosts follow.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rules {
    /// The registry's place.
    pub registry: String,
    /// The newest revision of the log.
    pub revision: u64,
    /// When it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Timestamp>,
    /// By race type.
    pub race_types: BTreeMap<String, RaceTypeRules>,
    /// The hosts that have acknowledged a revision lately.
    pub hosts: Vec<HostState>,
    /// What a plugin's call may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<PluginLimits>,
}

/// What a plugin's call may use, as `[limits]` of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PluginLimits {
    /// Fuel of a call, whatever its size.
    pub fuel_per_call: u64,
    /// More fuel for each row.
    pub fuel_per_row: u64,
    /// Milliseconds of a call.
    pub call_ms: u64,
}

/// What a race type runs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RaceTypeRules {
    /// The active version, such as `flat@2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<String>,
    /// The revision that changed last what it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// When that revision was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Timestamp>,
    /// The dedups of the active version's groups: `sequence`, `none`, or such as `ordinal /second`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dedups: Vec<String>,
    /// Whether all groups of the active version share items (`pack`); nothing if its rulebook was not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packs: Option<bool>,
    /// The version on trial, with its share or role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
    /// The races that are pinned to each version; nothing if the pins were not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<BTreeMap<String, u64>>,
    /// Pinned versions that the registry does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// A version on trial.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Trial {
    /// The version, such as `flat@3`.
    pub version: String,
    /// `shadow`, or `canary` with the percentage of races, such as `canary 10 %`.
    pub kind: String,
    /// Records that it evaluated.
    pub records: u64,
    /// Records on which a plugin of it failed.
    pub failed: u64,
    /// Records that it rejected.
    pub rejected: u64,
    /// Whether hosts went back to the active version because of its failures.
    pub rolled_back: bool,
}

/// A host that follows the rules.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HostState {
    /// Its name.
    pub name: String,
    /// The revision that it follows.
    pub revision: u64,
    /// When it acknowledged it last.
    pub seen: Timestamp,
    /// Why it does not follow a newer one, if it noted that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}
