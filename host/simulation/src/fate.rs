//! What becomes of a call to a store, a registry or a stream.

/// The tables, as far as one may be out of reach while others are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Groups,
    Letters,
    /// The objects of the rules' registry.
    Registry,
    /// No table: the stream.
    Stream,
    /// Pins, checkpoints and notices.
    Host,
}

/// What becomes of a call to the store.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fate {
    /// Milliseconds before and after its effect.
    pub(crate) before: u64,
    pub(crate) after: u64,
    pub(crate) ending: Ending,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ending {
    #[default]
    Answered,
    /// It fails, without an effect.
    Refused,
    /// It takes effect, and fails.
    AnswerLost,
    /// The host dies before its effect.
    KilledBefore,
    /// The host dies after it.
    KilledAfter,
}
