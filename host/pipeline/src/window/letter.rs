//! The dead letters of rows that can't be merged into their item, and the way back from such a letter to its rows.

use std::sync::Arc;

use paceline_engine::Digest;
use serde::{Deserialize, Serialize};

use super::merge::Owner;
use super::state::{Deltas, GroupDelta, PositionRow, Window};
use crate::model::{Attribute, DeadLetter, Key, REDRIVE_SHARD, Reason, RecordPosition};

/// Bytes of a payload. A letter with more rows is split: DynamoDB takes items of 400 KB, and would get a payload that is cut.
const PAYLOAD_BYTES: usize = 200 << 10;

/// Bytes of a row beside its state.
const ROW_BYTES: usize = 160;

/// A letter's payload.
#[derive(Serialize, Deserialize)]
struct Payload {
    window: Rows,
}

/// Rows of a group. The records' payloads are not at hand: the stream has them.
#[derive(Serialize, Deserialize)]
struct Rows {
    #[serde(rename = "PK")]
    partition: String,
    #[serde(rename = "SK")]
    sort: String,
    /// What folded them: the rulebook's digest, and the number of its aggregate.
    rulebook: Digest,
    aggregate: u32,
    attributes: Vec<Attribute>,
    reruled: bool,
    records: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sequence: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub_sequence: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arrival_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ordinal: Option<i64>,
    /// In hexadecimal; `None` if it is too long for a letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<String>,
}

/// The dead letters of some rows of a group's part of a window: several, if they are too many for one.
pub(super) fn letters(
    shard: &Arc<str>,
    (delta, rows_of): (&GroupDelta, &Deltas),
    owner: Owner<'_>,
    why: &Reason,
) -> Vec<DeadLetter> {
    let letter = |(position, records): (RecordPosition, Vec<Row>)| {
        let text = format!(
            "{} records of a window could not be merged into the item {}: {}; their positions or ordinals and their states \
             are this letter's payload, their payloads are in the stream",
            records.len(),
            delta.key,
            why.text
        );
        let rows = Rows {
            partition: delta.key.partition.to_string(),
            sort: delta.key.sort.to_string(),
            rulebook: owner.bound.rulebook.id.digest,
            aggregate: owner.aggregate as u32,
            attributes: delta.attributes.clone(),
            reruled: delta.reruled,
            records,
        };
        let payload = serde_json::to_vec(&Payload { window: rows }).expect("rows can always be encoded");
        let reason = Reason::new(why.cause, text).by(owner.loaded().aggregator.plugin().digest());
        DeadLetter {
            id: DeadLetter::id_of_window(shard, Digest::of(&payload)),
            shard: shard.to_string(),
            position,
            partition_key: None,
            arrival_ms: None,
            payload,
            cut_from: None,
            reason: reason.under(&owner.bound.rulebook.id),
            redrive_sequence: None,
            folded: Vec::new(),
            // A flush that is repeated may merge what it could not merge before. Ordinals would show that.
            unsure: matches!(rows_of, Deltas::Positions(_)),
        }
    };
    parts(rows_of).into_iter().map(letter).collect()
}

/// The rows, in parts that fit into a letter, each with the position of its first row.
fn parts(rows: &Deltas) -> Vec<(RecordPosition, Vec<Row>)> {
    let all: Vec<(RecordPosition, Row)> = match rows {
        Deltas::Positions(rows) => rows
            .iter()
            .map(|row| {
                let (sequence, sub_sequence) = (row.position.sequence.to_string(), row.position.sub_sequence);
                let (sequence, sub_sequence) = (Some(sequence), Some(sub_sequence));
                let (arrival_ms, state) = (row.arrival_ms, shown(&row.state));
                (row.position, Row { sequence, sub_sequence, arrival_ms, ordinal: None, state })
            })
            .collect(),
        Deltas::Ordinals(rows) => rows
            .iter()
            .map(|(ordinal, state)| {
                let (ordinal, state) = (Some(*ordinal), shown(state));
                let row = Row { sequence: None, sub_sequence: None, arrival_ms: None, ordinal, state };
                (RecordPosition::default(), row)
            })
            .collect(),
    };
    let (mut parts, mut bytes) = (Vec::<(RecordPosition, Vec<Row>)>::new(), 0);
    for (position, row) in all {
        let more = ROW_BYTES + row.state.as_ref().map_or(0, String::len);
        match parts.last_mut().filter(|_| bytes + more <= PAYLOAD_BYTES) {
            Some((_, rows)) => rows.push(row),
            None => {
                parts.push((position, vec![row]));
                bytes = 0;
            }
        }
        bytes += more;
    }
    parts
}

fn shown(state: &[u8]) -> Option<String> {
    let hex = || state.iter().map(|byte| format!("{byte:02x}")).collect();
    (2 * state.len() <= PAYLOAD_BYTES).then(hex)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = (0..text.len()).step_by(2).map(|at| text.get(at..at + 2));
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

/// The window that has the rows of a letter, and no others, in the shard of redriven records. `None` if the letter is of no
/// window, or is not whole.
///
/// Rows that dedup knows by their positions get the letter's redrive sequence instead: records after them are merged by now.
/// They have it together, because they are merged together.
pub(super) fn window_of(letter: &DeadLetter) -> Option<Window> {
    if !letter.is_of_window() || letter.cut_from.is_some() {
        return None;
    }
    let Payload { window: rows } = serde_json::from_slice(&letter.payload).ok()?;
    let Rows { partition, sort, rulebook, aggregate, attributes, reruled, records } = rows;
    let deltas = match records.first()?.ordinal {
        Some(_) => {
            let ordinals = records.into_iter().map(|row| Some((row.ordinal?, from_hex(&row.state?)?)));
            Deltas::Ordinals(ordinals.collect::<Option<_>>()?)
        }
        None => {
            let sequence = letter.redrive_sequence?.into();
            let positions = (0..).zip(records).map(|(sub_sequence, row)| {
                let position = RecordPosition { sequence, sub_sequence };
                Some(PositionRow { position, arrival_ms: row.arrival_ms, state: from_hex(&row.state?)? })
            });
            Deltas::Positions(positions.collect::<Option<_>>()?)
        }
    };
    let mut window = Window::new(REDRIVE_SHARD.into());
    window.rulebooks.push(rulebook);
    window.push(GroupDelta { key: Key::new(partition, sort), rulebook: 0, aggregate, attributes, reruled, deltas });
    Some(window)
}
