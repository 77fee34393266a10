use serde::{Deserialize, Serialize};

/// Which leaderboard: that of a race, or that of a class.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RaceKey {
    /// The class.
    pub class: String,
    /// The race in it; without one, the leaderboard of the class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub race: Option<String>,
}

/// The standings of a race or a class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Leaderboard {
    /// The names of the columns, without that of the place.
    pub columns: Vec<String>,
    /// The rows, the first place first.
    pub rows: Vec<Vec<String>>,
    /// The number of rows that there are; more than `rows` has if only the first are shown.
    pub total: u64,
}
