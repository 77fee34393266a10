//! Batches to deliver, and the window that they belong to.

use std::ops::Range;

use serde_json::Value;

/// Records that are delivered together. Without records it is the final invocation of the window.
#[derive(Clone, Debug)]
pub(super) struct PendingBatch {
    pub(super) records: Range<usize>,
    /// The retries used up.
    pub(super) retries: u32,
    /// The deliveries so far.
    pub(super) deliveries: u32,
    /// The last delivery failed.
    pub(super) failed: bool,
    /// It has succeeded and is delivered once more.
    pub(super) repeated: bool,
}

#[derive(Debug)]
pub(super) struct OpenWindow {
    /// Seconds since 1970.
    pub(super) start: i64,
    pub(super) state: Value,
    /// The last response's state was too large.
    pub(super) terminated_early: bool,
}

impl PendingBatch {
    pub(super) fn new(records: Range<usize>) -> Self {
        Self { records, retries: 0, deliveries: 0, failed: false, repeated: false }
    }

    /// Some of its records, as a batch with the same past.
    pub(super) fn part(&self, records: Range<usize>) -> Self {
        Self { records, ..self.clone() }
    }

    pub(super) fn is_final(&self) -> bool {
        self.records.is_empty()
    }
}
