//! The horizon of the shard whose batch or window is processed. What it is for is explained in `horizon`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::RecordPosition;
use crate::store::Horizon;

/// How long a batch may be in progress on a host that has not noticed a change of the rules: the longest time that a function
/// runs.
const OVERLAP: Duration = Duration::from_secs(15 * 60);

/// The horizon of the shard whose batch or window is processed, as it was read or written last.
#[derive(Debug, Default)]
pub(crate) struct ShardHorizon(Mutex<Option<Horizon>>);

impl ShardHorizon {
    pub(super) fn set(&self, horizon: Horizon) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(horizon);
    }

    pub(super) fn get(&self) -> Horizon {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
    }

    /// The position up to which records may have, or have had, a dead letter.
    pub(crate) fn letters(&self) -> Option<RecordPosition> {
        self.get().letters
    }

    /// Whether hosts with other rules may still have records of the shard in progress.
    pub(crate) fn overlaps(&self, now: Duration) -> bool {
        let since = Duration::from_millis(self.get().since_ms);
        !since.is_zero() && now.saturating_sub(since) < OVERLAP
    }
}
