//! What goes wrong in a store, by what the caller does about it.

use std::error::Error;
use std::fmt;

/// A failed call of a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Retry later: the store is throttled or unreachable.
    #[error(transparent)]
    Transient(StoreFailure),
    /// Stop: a retry would fail as well until somebody intervenes.
    #[error(transparent)]
    Fatal(StoreFailure),
}

/// What happened, where, and what to do; with its cause.
#[derive(Debug)]
pub struct StoreFailure {
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// An error that a retry may resolve.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::Transient(StoreFailure { message: message.into(), source: None })
    }

    /// An error that no retry resolves.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self::Fatal(StoreFailure { message: message.into(), source: None })
    }

    /// Adds the cause.
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let (Self::Transient(failure) | Self::Fatal(failure)) = &mut self;
        failure.source = Some(source.into());
        self
    }

    /// Adds the cause of another failure, which this error reports in its place.
    pub(crate) fn with_cause_of(mut self, other: StoreFailure) -> Self {
        let (Self::Transient(failure) | Self::Fatal(failure)) = &mut self;
        failure.source = other.source;
        self
    }

    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient(_))
    }
}

impl fmt::Display for StoreFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for StoreFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

/// The store can't hold an item. The text is the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnstorableItem(pub String);
