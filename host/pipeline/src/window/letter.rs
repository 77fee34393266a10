//! The dead letter of rows that can't be merged into their item.

use paceline_engine::Digest;
use serde_json::{Value, json};

use super::merge::Owner;
use super::state::{Deltas, GroupDelta, PositionRow};
use crate::model::{Cause, DeadLetter, Reason, RecordPosition};

/// The dead letter of a group's part of a window. The records' payloads are not at hand: the letter lists the positions or
/// ordinals and the states, and the stream has the payloads.
pub(super) fn letter(shard: &str, delta: &GroupDelta, owner: Owner<'_>, (cause, why): (Cause, &str)) -> DeadLetter {
    let (position, rows) = rows(&delta.deltas);
    let (partition, sort) = (delta.key.partition.as_str(), delta.key.sort.as_str());
    let text = format!(
        "{} records of a window could not be merged into the item {}: {why}; their states are this letter's payload, \
         their payloads are in the stream",
        rows.len(),
        delta.key
    );
    let payload = json!({ "window": { "PK": partition, "SK": sort, "records": rows } }).to_string();
    let digest = Digest::of(payload.as_bytes()).hex();
    let reason = Reason::new(cause, text).by(owner.loaded().aggregator.plugin().digest());
    DeadLetter {
        id: format!("{shard}:window.{}", &digest[..16]),
        shard: shard.to_owned(),
        position,
        partition_key: None,
        arrival_ms: None,
        payload: payload.into_bytes(),
        cut_from: None,
        reason: reason.under(&owner.bound.rulebook.id),
        redrive_sequence: None,
        folded: Vec::new(),
        unsure: false,
    }
}

/// The first position, and the mark and the state of each row.
fn rows(deltas: &Deltas) -> (RecordPosition, Vec<Value>) {
    let hex = |state: &[u8]| state.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match deltas {
        Deltas::Positions(deltas) => {
            let first = deltas.first().map(|row| row.position).unwrap_or_default();
            let sequence = |row: &PositionRow| row.position.sequence.to_string();
            let rows = deltas.iter().map(|row| json!({ "sequence": sequence(row), "state": hex(&row.state) }));
            (first, rows.collect())
        }
        Deltas::Ordinals(deltas) => {
            let rows = deltas.iter().map(|(ordinal, state)| json!({ "ordinal": ordinal, "state": hex(state) }));
            (RecordPosition::default(), rows.collect())
        }
    }
}
