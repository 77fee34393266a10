//! The first record of a batch that is not committed.

use crate::error::PipelineError;

/// The first record of a batch that is not committed, and why. It and all records after it have to be delivered again.
pub(crate) type FirstUncommitted = Option<(u32, PipelineError)>;

/// Keeps the earlier of two failures.
pub(crate) fn record_first_failure(first_uncommitted: &mut FirstUncommitted, record: u32, why: PipelineError) {
    if first_uncommitted.as_ref().is_none_or(|(first, _)| record < *first) {
        *first_uncommitted = Some((record, why));
    }
}
