//! A plain loop outside of any sandbox.

use std::hint::black_box;

use output::EffortColumns;

use crate::messages::{Batch, Effort};

/// Each message by serde_json, then the rule.
pub(crate) fn from_json(batch: &Batch) -> Vec<f64> {
    let read = |message| serde_json::from_slice(message).expect("the message is JSON");
    let efforts = black_box(batch).messages().map(read);
    efforts
        .map(|Effort { cadence, resistance }| output::round4((cadence + 35.0) * (resistance + 65.0) / 100.0))
        .collect()
}

/// The loop of the plugin `output`.
pub(crate) fn from_columns(batch: &Batch) -> Vec<f64> {
    let Batch { cadence, resistance, .. } = black_box(batch);
    output::output(EffortColumns { cadence, resistance })
}
