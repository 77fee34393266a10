//! Settings that exclude each other.

use paceline_capacity::{kinesis, lambda};

use crate::deployment::{Dedup, Deployment};
use crate::exclusion::Exclusion;
use crate::load::{Keys, Load};
use crate::ranges;

/// The largest batch size without a batching window.
const BATCH_WITHOUT_WINDOW: u32 = 10;

/// What excludes each other in a deployment and its load.
#[must_use]
pub fn exclusions(load: &Load, deployment: &Deployment) -> Vec<Exclusion> {
    let mut found = ranges::of_load(load);
    found.extend(ranges::of_deployment(deployment));
    // What follows computes with numbers that are within their ranges.
    if !found.is_empty() {
        return found;
    }
    if load.counted_bytes() > kinesis::RECORD_BYTES {
        found.push(Exclusion::RecordTooLarge { bytes: load.counted_bytes() });
    }
    let Some(function) = deployment.function() else { return found };
    let factor = function.factor;
    let (bytes, event_bytes) = (load.record_bytes(), lambda::event_bytes(load.record_bytes()));
    if event_bytes > lambda::PAYLOAD_BYTES && found.is_empty() {
        found.push(Exclusion::RecordBeyondEvent { bytes, event_bytes });
    }
    if factor > 1 {
        if load.is_packed() {
            found.push(Exclusion::FactorWithPacking { factor });
        }
        if function.tumbling_seconds > 0 {
            found.push(Exclusion::FactorWithWindow { factor });
        }
        let sequence = deployment.aggregates.iter().find(|aggregate| aggregate.dedup == Dedup::Sequence);
        if let (Keys::Random, Some(aggregate)) = (load.keys, sequence) {
            found.push(Exclusion::FactorWithSequence { factor, aggregate: aggregate.name.clone() });
        }
    }
    if function.batch_size > BATCH_WITHOUT_WINDOW && function.window_seconds == 0 {
        found.push(Exclusion::NoBatchingWindow { batch_size: function.batch_size });
    }
    found
}
