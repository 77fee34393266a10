//! What is wrong.

use paceline_plugin::bindings::common::paceline::plugin::settings;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Nothing,
    /// `merge` keeps the left side.
    KeepsLeft,
    /// What came last counts, in `fold` and in `merge`.
    LastArrivalWins,
    /// The mean of two means, whatever their weights.
    MeanOfMeans,
    /// A sum of floats.
    FloatSum,
    /// `merge` rounds.
    RoundsWhenMerging,
    /// An initial value that is not 0.
    EmptyNotNeutral,
    /// A number of the instance in the state.
    CounterInStatic,
    /// Each record is kept.
    Grows,
    /// A number of each record is kept.
    GrowsSlowly,
    /// The order of a hash map is in the state.
    HashMap,
    /// The first row of each call is left out.
    SkipsFirstRow,
    /// Times count from the first row of the call.
    TimeBase,
    /// The best score of the call, whatever the group.
    LeaksBetweenGroups,
    /// States are numbers without a format.
    TrustsBytes,
    /// Microseconds in 64 bits.
    Overflow,
}

impl Wrong {
    pub(crate) fn read() -> Result<Self, String> {
        Ok(match settings::get("wrong").as_deref() {
            None => Self::Nothing,
            Some("keeps-left") => Self::KeepsLeft,
            Some("last-arrival-wins") => Self::LastArrivalWins,
            Some("mean-of-means") => Self::MeanOfMeans,
            Some("float-sum") => Self::FloatSum,
            Some("rounds-when-merging") => Self::RoundsWhenMerging,
            Some("empty-not-neutral") => Self::EmptyNotNeutral,
            Some("counter-in-static") => Self::CounterInStatic,
            Some("grows") => Self::Grows,
            Some("grows-slowly") => Self::GrowsSlowly,
            Some("hash-map") => Self::HashMap,
            Some("skips-first-row") => Self::SkipsFirstRow,
            Some("time-base") => Self::TimeBase,
            Some("leaks-between-groups") => Self::LeaksBetweenGroups,
            Some("trusts-bytes") => Self::TrustsBytes,
            Some("overflow") => Self::Overflow,
            Some(other) => return Err(format!("setting `wrong` is `{other}`: nothing is wrong in this way")),
        })
    }
}
