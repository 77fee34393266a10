//! A batch whose records are evaluated: what the later stages work with.

use super::project::ProjectedBatch;
use super::record_batch::RecordBatch;
use super::route::RoutedBatch;

/// A batch whose records are evaluated.
#[derive(Clone, Copy)]
pub(crate) struct Evaluated<'a, 'c> {
    pub(crate) projected: &'a ProjectedBatch<'a>,
    pub(crate) routed: &'a RoutedBatch,
    pub(crate) record_batches: &'a [RecordBatch<'c>],
}

impl Evaluated<'_, '_> {
    /// Whether dedup by sequence matters.
    pub(crate) fn is_by_sequence(&self) -> bool {
        self.record_batches.iter().any(RecordBatch::is_by_sequence)
    }
}
