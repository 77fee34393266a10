//! Trials: a rulebook that is tried beside the current one, as a canary or as a shadow.

use paceline_engine::Digest;
use serde::{Deserialize, Serialize};

use super::share::Share;

/// A rulebook that is tried beside the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Trial {
    /// The rulebook.
    pub rulebook: Digest,
    /// How it is tried.
    pub mode: TrialMode,
    /// The revision since which it is.
    pub since: u64,
    /// When it has failed.
    pub limits: TrialLimits,
}

/// How a rulebook is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", deny_unknown_fields, rename_all = "kebab-case")]
pub enum TrialMode {
    /// A share of the new races begins with it.
    Canary {
        /// The share.
        share: Share,
    },
    /// It validates and scores the same records, and writes nothing.
    Shadow,
}

/// When a trial has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrialLimits {
    /// The records that it takes to pass.
    pub min_rows: u64,
    /// The share of records on which plugins may fail or give bad scores, beyond that of the current rulebook.
    pub max_failed: Share,
    /// The share of records that may be rejected, beyond that of the current rulebook.
    pub max_rejected: Share,
}

/// A trap in one record of a hundred is found within some thousand records. A validator that is stricter than the one
/// before may reject a few records more.
impl Default for TrialLimits {
    fn default() -> Self {
        Self { min_rows: 2_000, max_failed: Share::from_hundredths(50), max_rejected: Share::from_hundredths(500) }
    }
}

impl Trial {
    /// The rulebook, if it is a canary and the race is of its share. The decision depends on the race and the rulebook
    /// only, so all hosts make the same.
    pub(crate) fn canary_of(&self, race: &str) -> Option<Digest> {
        let TrialMode::Canary { share } = self.mode else { return None };
        let salted: Vec<u8> = self.rulebook.as_bytes().iter().copied().chain(race.bytes()).collect();
        let hash = Digest::of(&salted);
        let hash = u64::from_be_bytes(hash.as_bytes()[..8].try_into().expect("eight bytes"));
        (hash % u64::from(Share::WHOLE) < u64::from(share.hundredths())).then_some(self.rulebook)
    }

    /// Whether a share of the new races begins with it.
    pub fn is_canary(&self) -> bool {
        matches!(self.mode, TrialMode::Canary { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canary(of: &str, percent: &str) -> Trial {
        let mode = TrialMode::Canary { share: percent.parse().unwrap() };
        Trial { rulebook: Digest::of(of.as_bytes()), mode, since: 1, limits: TrialLimits::default() }
    }

    fn taken(trial: Trial) -> Vec<u32> {
        (0..10_000).filter(|race: &u32| trial.canary_of(&race.to_string()).is_some()).collect()
    }

    #[test]
    fn a_share_of_the_races_begins_with_the_canary() {
        assert!(taken(canary("a", "0%")).is_empty());
        assert_eq!(taken(canary("a", "100%")).len(), 10_000);
        let five = taken(canary("a", "5%")).len();
        assert!((400..600).contains(&five), "{five}");
    }

    #[test]
    fn a_larger_share_takes_the_races_of_a_smaller_one_and_another_rulebook_takes_others() {
        let (five, ten) = (taken(canary("a", "5%")), taken(canary("a", "10%")));
        assert!(five.iter().all(|race| ten.contains(race)));
        assert_ne!(five, taken(canary("b", "5%")));
    }

    #[test]
    fn a_shadow_takes_no_race() {
        assert!(taken(Trial { mode: TrialMode::Shadow, ..canary("a", "100%") }).is_empty());
    }
}
