//! The rules at one revision: what each race type runs, and what a pin stands for.

use std::collections::{BTreeMap, BTreeSet};

use paceline_engine::Digest;
use serde::{Deserialize, Serialize};

use super::trial::Trial;
use crate::model::RulebookId;
use crate::store::Pin;

/// The rules at one revision. Every log entry has them whole, so that one entry is all that a host needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rules {
    /// What each race type runs.
    pub routing: BTreeMap<String, Routing>,
    /// Every published rulebook: each that a pin may name is among them.
    pub rulebooks: BTreeMap<Digest, Published>,
    /// Races that were moved from one rulebook to another, by revision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reruled: Vec<Reruling>,
}

/// What a race type runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Routing {
    /// What new races begin with. `None` for a race type that is retired: its pinned races go on.
    pub current: Option<Digest>,
    /// What is tried beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Trial>,
    /// What a roll-back returns to: the rulebook before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Digest>,
    /// Whether there is no roll-back to it: it does not take the states that the current one writes, or has other groups.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_way: bool,
    /// Earlier rulebooks, as far as the current one does not have all of their groups in the same way: what they wrote
    /// still stands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<Digest>,
    /// The revision since which this holds.
    pub since: u64,
}

impl Routing {
    /// The canary, if there is one.
    pub fn canary(&self) -> Option<&Trial> {
        self.candidate.as_ref().filter(|trial| trial.is_canary())
    }

    /// What a roll-back would return to, if one is possible.
    pub fn way_back(&self) -> Option<Digest> {
        self.fallback.filter(|_| !self.one_way)
    }

    /// The rulebooks whose groups stand in the table or are written, as far as they differ.
    pub(crate) fn writers(&self) -> Vec<Digest> {
        let canary = self.canary().map(|trial| trial.rulebook);
        let mut writers: Vec<Digest> = self.reference().into_iter().chain(canary).collect();
        writers.extend(self.past.iter().filter(|digest| !writers.contains(digest)).copied().collect::<Vec<_>>());
        writers
    }

    /// The rulebook that says which field identifies a race: the current one or, of a retired race type, the last.
    pub(crate) fn reference(&self) -> Option<Digest> {
        self.current.or(self.fallback)
    }
}

/// What is known of a published rulebook without reading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Published {
    /// The name.
    pub name: String,
    /// The version among the rulebooks of that name.
    pub version: u64,
    /// The plugins.
    pub plugins: BTreeSet<Digest>,
    /// The state formats of its aggregators, in order.
    pub formats: Vec<StateFormats>,
}

/// The state formats of an aggregator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StateFormats {
    /// What it writes.
    pub writes: String,
    /// What it takes besides that, by migration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub takes: Vec<String>,
}

impl StateFormats {
    /// Whether the aggregator takes a state of this format.
    pub(crate) fn takes(&self, format: &str) -> bool {
        self.writes == format || self.takes.iter().any(|other| other == format)
    }
}

/// Races that were moved from one rulebook to another. Their pins stay as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reruling {
    /// The race type.
    pub race_type: String,
    /// The race; `None` for all of the race type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub race: Option<String>,
    /// What they ran.
    pub from: Digest,
    /// What they run from now on.
    pub to: Digest,
    /// The revision. Races that began at it or later are not concerned.
    pub revision: u64,
}

impl Rules {
    /// The name, version and digest of a published rulebook.
    pub fn id(&self, digest: Digest) -> Option<RulebookId> {
        let Published { name, version, .. } = self.rulebooks.get(&digest)?;
        Some(RulebookId { name: name.clone(), version: *version, digest })
    }

    /// The rulebook of this name and version.
    pub fn find(&self, name: &str, version: u64) -> Option<Digest> {
        let mut all = self.rulebooks.iter();
        all.find(|(_, published)| published.name == name && published.version == version).map(|(digest, _)| *digest)
    }

    /// What a pinned race runs: its pin, followed through all rulings since.
    pub fn effective(&self, race_type: &str, race: &str, pin: Pin) -> Digest {
        let concerns = |reruling: &&Reruling| {
            reruling.race_type == race_type
                && reruling.revision > pin.revision
                && reruling.race.as_deref().is_none_or(|other| other == race)
        };
        self.reruled.iter().filter(concerns).fold(pin.rulebook, |rulebook, reruling| match rulebook == reruling.from {
            true => reruling.to,
            false => rulebook,
        })
    }

    /// The rulebooks from which races of a race type were moved to this one, directly or over others; of one race if it is
    /// named.
    pub(crate) fn origins(&self, race_type: &str, race: Option<&str>, to: Digest) -> BTreeSet<Digest> {
        let concerns = |reruling: &&Reruling| {
            let other = reruling.race.as_deref();
            reruling.race_type == race_type && (race.is_none() || other.is_none() || race == other)
        };
        let mut origins = BTreeSet::new();
        // From the last one back: what leads to a ruling came before it.
        for Reruling { from, to: moved_to, .. } in self.reruled.iter().rev().filter(concerns) {
            if *moved_to == to || origins.contains(moved_to) {
                origins.insert(*from);
            }
        }
        origins.remove(&to);
        origins
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(of: &str) -> Digest {
        Digest::of(of.as_bytes())
    }

    fn pin(rulebook: &str, revision: u64) -> Pin {
        Pin { rulebook: digest(rulebook), revision }
    }

    fn reruling(revision: u64, race: Option<&str>, from: &str, to: &str) -> Reruling {
        Reruling {
            revision,
            race_type: "3".to_owned(),
            race: race.map(str::to_owned),
            from: digest(from),
            to: digest(to),
        }
    }

    #[test]
    fn a_pin_is_followed_through_the_rulings_in_their_order() {
        let reruled = vec![
            reruling(2, None, "a", "b"),
            reruling(3, Some("131"), "b", "c"),
            reruling(4, None, "c", "d"),
            reruling(5, None, "b", "a"),
        ];
        let rules = Rules { reruled, ..Rules::default() };
        assert_eq!(rules.effective("3", "131", pin("a", 1)), digest("d"));
        assert_eq!(rules.effective("3", "132", pin("a", 1)), digest("a"));
        assert_eq!(rules.effective("3", "132", pin("c", 1)), digest("d"));
        // A race that began after a roll-back runs what it began with.
        assert_eq!(rules.effective("3", "133", pin("b", 5)), digest("b"));
        assert_eq!(rules.effective("4", "131", pin("a", 1)), digest("a"));
    }

    #[test]
    fn a_rulebook_has_the_races_of_all_that_lead_to_it() {
        let reruled =
            vec![reruling(2, None, "a", "b"), reruling(3, Some("131"), "x", "b"), reruling(4, None, "b", "c")];
        let rules = Rules { reruled, ..Rules::default() };
        let origins = |race, to| rules.origins("3", race, digest(to));
        assert_eq!(origins(None, "c"), ["a", "b", "x"].map(digest).into());
        assert_eq!(origins(Some("132"), "c"), ["a", "b"].map(digest).into());
        assert_eq!(origins(None, "b"), ["a", "x"].map(digest).into());
        assert_eq!(rules.origins("4", None, digest("c")), [].into());
    }
}
