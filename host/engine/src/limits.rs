//! What a plugin may use. Each limit is a constant with its reason. Those of [`Limits`] are settings, too, and each has
//! a test that is named for its violation.

use std::time::Duration;

use serde::Deserialize;

/// Memory of one instance, all of its memories together, in bytes. A batch of 10,000 Alleycat records takes under 2 MiB; the rest is room for plugins
/// in languages that bring a garbage collector.
pub const MEMORY_BYTES: usize = 64 << 20;

/// Fuel (about one unit for each WebAssembly instruction) that a call gets whatever its size, for start-up and
/// settings.
pub const FUEL_PER_CALL: u64 = 2_000_000;

/// Further fuel for each row of a call. The Alleycat plugins need 50 to 600; a rule in JavaScript some thousands.
pub const FUEL_PER_ROW: u64 = 20_000;

/// Further fuel for each byte of the states that a call is given: an aggregator decodes and encodes them whole. A map of a
/// racer's outputs, decoded with serde and encoded again, needs 30 to 100.
pub const FUEL_PER_STATE_BYTE: u64 = 400;

/// What the calls for a batch may cost together, as a multiple of the fuel and the time of one call for all of it. A call
/// that fails is repeated for fewer and fewer rows. One bad row in 10,000 costs about three calls for all; so do some
/// dozens, as most plugins use a hundredth of their fuel. A sound plugin that needs a half more than its fuel succeeds with
/// small parts after six or seven. One that spins on each row would go on for hours, and ends after some seconds.
pub const CALLS_PER_BATCH: u32 = 10;

/// Time that one call may take, in milliseconds. Fuel ends a plugin that computes too long, at the same instruction on
/// every machine; this limit ends one whose instructions are slow. It is generous because it depends on the machine.
pub const CALL_MS: u64 = 2_000;

/// Bytes that a call may pass to the host: all lists and texts of its result together, or one log line. More would be
/// copied into the host before it could be checked.
pub const RETURNED_BYTES: usize = 16 << 20;

/// Bytes of one group's state. A DynamoDB item holds 400 KB, and not only the state.
pub const STATE_BYTES: usize = 256 << 10;

/// Bytes of the reason that a validator gives for a row, and of the error that a call returns.
pub const REASON_BYTES: usize = 1 << 10;

/// Lines that the calls for one batch may log. Further lines are dropped and counted.
pub const LOG_LINES: u32 = 20;

/// Bytes of a log line. The rest of the line is cut off.
pub const LOG_LINE_BYTES: usize = 1 << 10;

/// Fuel that a log line costs, dropped or not: a line takes the host longer than one instruction.
pub const LOG_FUEL: u64 = 10_000;

/// Fuel that reading a setting costs, beside one unit for each byte of its name: the host copies and looks up the name.
pub const SETTING_FUEL: u64 = 1_000;

/// Bytes of a field's default. It is copied for each record that lacks the field.
pub const DEFAULT_BYTES: usize = 1 << 10;

/// Fields that a plugin may declare.
pub const FIELDS: usize = 64;

/// Bytes of a field's path: far more than any payload needs, and short enough to be repeated in messages.
pub const PATH_BYTES: usize = 1 << 10;

/// Outputs that an aggregator may declare.
pub const OUTPUTS: usize = 64;

/// Bytes of an output's name: DynamoDB allows no more for an attribute that an index uses.
pub const OUTPUT_NAME_BYTES: usize = 255;

/// Bytes of a state format's name: enough for a plugin's name and a version. The name stands in every item.
pub const STATE_FORMAT_BYTES: usize = 64;

/// State formats that an aggregator may migrate from: one for each version of a plugin that changed its states, and
/// few enough to be listed in a message.
pub const MIGRATED_FORMATS: usize = 64;

/// Bytes of the WebAssembly stack: deep enough for a recursive descent, shallow enough for every host thread.
pub const STACK_BYTES: usize = 512 << 10;

/// Elements of one table. A Rust plugin has two small tables; one in JavaScript or Python needs some thousand elements.
pub(crate) const TABLE_ELEMENTS: usize = 50_000;

/// The limits that a host sets. The defaults are this module's constants.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// See [`MEMORY_BYTES`].
    pub memory_bytes: usize,
    /// See [`FUEL_PER_CALL`].
    pub fuel_per_call: u64,
    /// See [`FUEL_PER_ROW`].
    pub fuel_per_row: u64,
    /// See [`FUEL_PER_STATE_BYTE`].
    pub fuel_per_state_byte: u64,
    /// See [`CALLS_PER_BATCH`].
    pub calls_per_batch: u32,
    /// See [`CALL_MS`].
    pub call_ms: u64,
    /// See [`RETURNED_BYTES`].
    pub returned_bytes: usize,
    /// See [`STATE_BYTES`].
    pub state_bytes: usize,
    /// See [`REASON_BYTES`].
    pub reason_bytes: usize,
    /// See [`LOG_LINES`].
    pub log_lines: u32,
    /// See [`LOG_LINE_BYTES`].
    pub log_line_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: MEMORY_BYTES,
            fuel_per_call: FUEL_PER_CALL,
            fuel_per_row: FUEL_PER_ROW,
            fuel_per_state_byte: FUEL_PER_STATE_BYTE,
            calls_per_batch: CALLS_PER_BATCH,
            call_ms: CALL_MS,
            returned_bytes: RETURNED_BYTES,
            state_bytes: STATE_BYTES,
            reason_bytes: REASON_BYTES,
            log_lines: LOG_LINES,
            log_line_bytes: LOG_LINE_BYTES,
        }
    }
}

/// What a call has to do: its fuel is in proportion to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Rows, and states.
    pub(crate) rows: usize,
    /// Bytes of the states.
    pub(crate) state_bytes: usize,
}

impl Work {
    /// Rows without states.
    pub(crate) fn rows(rows: usize) -> Self {
        Self { rows, state_bytes: 0 }
    }
}

impl Limits {
    /// The fuel of a call with this work.
    pub(crate) fn fuel(&self, Work { rows, state_bytes }: Work) -> u64 {
        let for_rows = self.fuel_per_row.saturating_mul(rows as u64);
        let for_states = self.fuel_per_state_byte.saturating_mul(state_bytes as u64);
        self.fuel_per_call.saturating_add(for_rows).saturating_add(for_states)
    }

    /// The fuel of a call with so many rows and states, and so many bytes of states.
    pub fn fuel_of(&self, rows: usize, state_bytes: usize) -> u64 {
        self.fuel(Work { rows, state_bytes })
    }

    /// The time that a call may take.
    pub(crate) fn call_time(&self) -> Duration {
        Duration::from_millis(self.call_ms)
    }
}
