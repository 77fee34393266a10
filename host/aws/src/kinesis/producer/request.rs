//! A request and the result of each of its entries.

use std::sync::Arc;

use crate::kpl::Packed;

/// Entries of one `PutRecords`.
#[derive(Debug)]
pub(super) struct Request {
    /// Identifies the request when its response arrives.
    pub(super) number: u64,
    pub(super) entries: Vec<Packed>,
}

/// The result of an entry; with the reason where it was not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PutResult {
    /// It is in this shard.
    Stored(Arc<str>),
    /// It is not stored: a limit was exceeded.
    Throttled(String),
    /// It is not stored, for another reason.
    Rejected(String),
    /// It may be stored or not.
    Ambiguous(String),
}
