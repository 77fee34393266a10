//! Why the rules are not taken over: a log that does not agree with the store's head item.

use super::position::Head;
use crate::store::StoreError;

/// How often the head is read again because another host moved it meanwhile. Each time a host was further on.
pub(super) const MAX_ATTEMPTS: u32 = 20;

/// The head item can't be read, or a log does not agree with it.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// The store can't be reached, or refuses.
    #[error("the head item of the rules can't be read or written in the store")]
    Store(#[from] StoreError),
    /// It is not what hosts write.
    #[error("the head item of the rules in the store can't be decoded ({0}): set it again with `paceline rules adopt`")]
    Invalid(String),
    /// Other hosts have moved it again and again.
    #[error("the head item of the rules was changed by other hosts at each of {MAX_ATTEMPTS} attempts")]
    Contended,
    /// The log is one of another registry.
    #[error(
        "the registry {location} has the id {ours}, and the hosts of this store have followed the registry {}, to its \
         revision {}: correct `rules.registry`; if the registry was replaced on purpose, run `paceline rules adopt`",
        head.registry,
        head.position.revision
    )]
    OtherRegistry {
        /// The registry.
        location: String,
        /// Its id.
        ours: String,
        /// The head item.
        head: Head,
    },
    /// The log ends before the head.
    #[error(
        "the rules in {location} end at revision {ours}, and the hosts of this store have followed them to revision {}: \
         they are an older copy, or come with a package that was rolled back. Restore the registry, or bundle the package \
         onto the newer one; if the older rules are wanted, run `paceline rules adopt`",
        head.position.revision
    )]
    Behind {
        /// The registry.
        location: String,
        /// Its newest valid revision.
        ours: u64,
        /// The head item.
        head: Head,
    },
    /// The log has another entry at the head's revision, or does not go on from it.
    #[error(
        "entry {} of the rules in {location} is not the one that the hosts of this store have followed ({}), or the \
         entries after it do not continue it: the log was forked or altered. Restore the registry; if it was replaced on \
         purpose, run `paceline rules adopt`",
        head.position.revision,
        head.position.digest
    )]
    Forked {
        /// The registry.
        location: String,
        /// The head item.
        head: Head,
    },
}

impl HeadError {
    /// Whether a later attempt may succeed without intervention.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Contended => true,
            Self::Invalid(_) | Self::OtherRegistry { .. } | Self::Behind { .. } | Self::Forked { .. } => false,
        }
    }
}
