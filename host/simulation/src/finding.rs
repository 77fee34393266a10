//! What a run found.

/// What is wrong. A run ends with the first one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// A record was acknowledged, and is neither in its groups nor a dead letter.
    #[error("at {at_ms} ms the record {record} was acknowledged, and is not {what}")]
    Lost {
        /// The time.
        at_ms: u64,
        /// The id that its dead letter would have.
        record: String,
        /// Where it is missing.
        what: String,
    },
    /// The table is not the model's.
    #[error("in the end the item {key} is not the model's: {what}")]
    Table {
        /// The item's key.
        key: String,
        /// What differs.
        what: String,
    },
    /// The dead letters are not the model's.
    #[error("in the end the dead letter {letter} {what}")]
    DeadLetters {
        /// The letter's id.
        letter: String,
        /// What differs.
        what: String,
    },
    /// A host reports an error that ends it, although nothing has such an error.
    #[error("at {at_ms} ms a host ends with an error: {error}")]
    Fatal {
        /// The time.
        at_ms: u64,
        /// The error and its causes.
        error: String,
    },
    /// Faults have ended for long, and something is still not done.
    #[error("{at_ms} ms after the beginning the run is not done: {what}")]
    Stuck {
        /// The time.
        at_ms: u64,
        /// What is not done.
        what: String,
    },
    /// A second run of the same plan went otherwise.
    #[error("a second run of the same plan went otherwise: its trace has the hash {second:016x}, not {first:016x}")]
    NotDeterministic {
        /// The hash of the first run's trace.
        first: u64,
        /// That of the second.
        second: u64,
    },
}

impl Finding {
    /// Whether another finding is of the same kind: what shrinking keeps.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}
