//! How a host follows the rules, for its metrics.

/// How a host follows the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RulesStanding {
    /// The revision that it follows.
    pub revision: u64,
    /// Whether it can't read the log, or runs something else than the log says.
    pub is_behind: bool,
    /// How many versions of rulebooks it refuses, those included that are only published.
    pub refused: usize,
    /// How many candidates failed their trial and were taken back, and whose trial no operator has ended yet.
    pub taken_back: u32,
}
