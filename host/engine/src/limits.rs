//! What a plugin may use. Each limit is a constant with its reason. Those of [`Limits`] are settings, too, and each has
//! a test that is named for its violation. A rulebook may raise those of [`PluginLimits`] for a plugin, up to the host's
//! [`Ceilings`].

use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::columns::Column;
use crate::inspect::Language;
use crate::packed::Packed;

/// Memory of one instance, all of its memories and tables together, in bytes. A batch of 10,000 Alleycat records takes
/// under 2 MiB; the rest is room for plugins in languages that bring a garbage collector.
pub const MEMORY_BYTES: usize = 64 << 20;

/// Fuel (about one unit for each WebAssembly instruction) that a call gets whatever its size, for start-up and
/// settings.
pub const FUEL_PER_CALL: u64 = 2_000_000;

/// Further fuel for each row of a call. The Alleycat plugins need 50 to 600; a rule in JavaScript some thousands.
pub const FUEL_PER_ROW: u64 = 20_000;

/// Further fuel for each byte of the states and of the texts that a call is given: an aggregator decodes and encodes states
/// whole. A map of a racer's outputs, decoded with serde and encoded again, needs 30 to 100.
pub const FUEL_PER_BYTE: u64 = 400;

/// What the calls for a batch may cost together, as a multiple of the fuel and the time of one call for all of it. A call
/// that fails is repeated for fewer and fewer rows. One bad row in 10,000 costs about three calls for all; so do some
/// dozens, as most plugins use a hundredth of their fuel. A sound plugin that needs a half more than its fuel succeeds with
/// small parts after six or seven. One that spins on each row would go on for hours, and ends after some seconds.
///
/// The answers to all of these calls may have so many times the bytes of one answer, beyond those that the calls are given:
/// the host holds all of them until the last call has returned.
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

/// Bytes of one group's text or blob of an output. A DynamoDB item holds 400 KB, and not only this output.
pub const OUTPUT_BYTES: usize = 350 << 10;

/// Bytes of an output's name: DynamoDB allows no more for an attribute that an index uses.
pub const OUTPUT_NAME_BYTES: usize = 255;

/// Bytes of a state format's name: enough for a plugin's name and a version. The name stands in every item.
pub const STATE_FORMAT_BYTES: usize = 64;

/// State formats that an aggregator may migrate from: one for each version of a plugin that changed its states, and
/// few enough to be listed in a message.
pub const MIGRATED_FORMATS: usize = 64;

/// Bytes of the WebAssembly stack: deep enough for a recursive descent, shallow enough for every host thread.
pub const STACK_BYTES: usize = 512 << 10;

/// Memory of one instance of a plugin that brings an interpreter, which has 20 to 40 MiB before the first row.
pub const INTERPRETER_MEMORY_BYTES: usize = 128 << 20;

/// Fuel of a call to a plugin that brings an interpreter, which starts it and reads the script's objects.
pub const INTERPRETER_FUEL_PER_CALL: u64 = 50_000_000;

/// Further fuel for each row of a call to a plugin that brings an interpreter. A rule in JavaScript or Python needs 5,000
/// to 40,000.
pub const INTERPRETER_FUEL_PER_ROW: u64 = 200_000;

/// Further fuel for each byte of the states and of the texts that a call to a plugin that brings an interpreter is given.
/// States of JSON, parsed and written again in JavaScript, need 500 to 2,000; a long text that is read, some 400.
pub const INTERPRETER_FUEL_PER_BYTE: u64 = 8_000;

/// Time that a call to a plugin that brings an interpreter may take, in milliseconds.
pub const INTERPRETER_CALL_MS: u64 = 5_000;

/// Memory up to which a rulebook may raise that of a plugin, in bytes. A function of Lambda has 128 MiB and more.
pub const MOST_MEMORY_BYTES: usize = 256 << 20;

/// Fuel up to which a rulebook may raise that of a call.
pub const MOST_FUEL_PER_CALL: u64 = 1_000_000_000;

/// Fuel up to which a rulebook may raise that of a row: the most that 10,000 rows take, some seconds, is bounded by the
/// time of a call.
pub const MOST_FUEL_PER_ROW: u64 = 1_000_000;

/// Fuel up to which a rulebook may raise that of a state's byte.
pub const MOST_FUEL_PER_BYTE: u64 = 50_000;

/// Time up to which a rulebook may raise that of a call, in milliseconds: a function of Lambda has 15 s by default.
pub const MOST_CALL_MS: u64 = 10_000;

/// Bytes up to which a rulebook may raise those of a state: a DynamoDB item holds 400 KB.
pub const MOST_STATE_BYTES: usize = 350 << 10;

/// Elements of one table. A Rust plugin has two small tables; one in JavaScript or Python needs some thousand elements.
pub(crate) const TABLE_ELEMENTS: usize = 50_000;

/// Bytes of a table's element, which is a pointer. They count as memory.
pub(crate) const TABLE_ELEMENT_BYTES: usize = 8;

/// Core instances that an instance of a component may consist of, those of nested components included. A Rust plugin has
/// three; one in Python has 38.
pub(crate) const CORE_INSTANCES: u32 = 64;

/// Components that an instance of a component may consist of, itself included. Tools nest one for each exported interface.
pub(crate) const COMPONENT_INSTANCES: u32 = 64;

/// Memories of all core instances of a component. Tools make one, and components that are composed have one each.
pub(crate) const MEMORIES: u32 = 4;

/// Tables of all core instances of a component. A plugin in Rust or Python has two.
pub(crate) const TABLES: u32 = 8;

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
    /// See [`FUEL_PER_BYTE`].
    pub fuel_per_byte: u64,
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
    /// Up to what a rulebook may raise them for a plugin.
    pub ceilings: Ceilings,
}

/// Up to what a rulebook may raise the limits of a plugin. A ceiling below the host's own limit has no effect.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ceilings {
    /// See [`MOST_MEMORY_BYTES`].
    pub memory_bytes: usize,
    /// See [`MOST_FUEL_PER_CALL`].
    pub fuel_per_call: u64,
    /// See [`MOST_FUEL_PER_ROW`].
    pub fuel_per_row: u64,
    /// See [`MOST_FUEL_PER_BYTE`].
    pub fuel_per_byte: u64,
    /// See [`MOST_CALL_MS`].
    pub call_ms: u64,
    /// See [`MOST_STATE_BYTES`].
    pub state_bytes: usize,
}

impl Default for Ceilings {
    fn default() -> Self {
        Self {
            memory_bytes: MOST_MEMORY_BYTES,
            fuel_per_call: MOST_FUEL_PER_CALL,
            fuel_per_row: MOST_FUEL_PER_ROW,
            fuel_per_byte: MOST_FUEL_PER_BYTE,
            call_ms: MOST_CALL_MS,
            state_bytes: MOST_STATE_BYTES,
        }
    }
}

/// The limits that a rulebook sets for a plugin. The others are the host's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PluginLimits {
    /// Memory of an instance, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<usize>,
    /// Fuel of a call, whatever its size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel_per_call: Option<u64>,
    /// Further fuel for each row, and for each state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel_per_row: Option<u64>,
    /// Further fuel for each byte of the states and of the texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel_per_byte: Option<u64>,
    /// Time of a call, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_ms: Option<u64>,
    /// Bytes of a group's state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_bytes: Option<usize>,
}

impl PluginLimits {
    /// Whether it sets none.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A rulebook sets a limit above the host's ceiling.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is {wanted}; at most {ceiling} is allowed (`limits.ceilings.{name}` of the host)")]
pub struct AboveCeiling {
    name: &'static str,
    wanted: u64,
    ceiling: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: MEMORY_BYTES,
            fuel_per_call: FUEL_PER_CALL,
            fuel_per_row: FUEL_PER_ROW,
            fuel_per_byte: FUEL_PER_BYTE,
            calls_per_batch: CALLS_PER_BATCH,
            call_ms: CALL_MS,
            returned_bytes: RETURNED_BYTES,
            state_bytes: STATE_BYTES,
            reason_bytes: REASON_BYTES,
            log_lines: LOG_LINES,
            log_line_bytes: LOG_LINE_BYTES,
            ceilings: Ceilings::default(),
        }
    }
}

/// What a call has to do: its fuel is in proportion to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Rows, and states.
    pub(crate) rows: usize,
    /// Bytes of the states, and of the rows' texts.
    pub(crate) bytes: usize,
}

impl Work {
    /// These rows, without states.
    pub(crate) fn of_rows(rows: &Range<usize>, columns: &[Column<'_>]) -> Self {
        Self { rows: rows.len(), bytes: columns.iter().map(|column| column.text_bytes(rows)).sum() }
    }

    /// The same with states.
    pub(crate) fn and_states(self, states: Packed<'_>) -> Self {
        Self { rows: self.rows + states.len(), bytes: self.bytes + states.bytes.len() }
    }
}

impl Limits {
    /// The fuel of a call with this work.
    pub(crate) fn fuel(&self, Work { rows, bytes }: Work) -> u64 {
        let for_rows = self.fuel_per_row.saturating_mul(rows as u64);
        let for_bytes = self.fuel_per_byte.saturating_mul(bytes as u64);
        self.fuel_per_call.saturating_add(for_rows).saturating_add(for_bytes)
    }

    /// The bytes that the answers to the calls for all of this work may have together, beyond those that the calls are
    /// given.
    pub(crate) fn answer_bytes(&self, all: Work) -> usize {
        // Together with what is given they are less than 4 GiB: the indexes of texts and states have 32 bits.
        let most = (u32::MAX as usize).saturating_sub(all.bytes);
        self.returned_bytes.saturating_mul(self.calls_per_batch as usize).min(most)
    }

    /// Whether a call with this work gets most of its fuel for the bytes of its states and texts.
    pub(crate) fn is_mostly_by_byte(&self, work: Work) -> bool {
        let for_bytes = self.fuel(Work { rows: 0, ..work }) - self.fuel_per_call;
        for_bytes > self.fuel(Work { bytes: 0, ..work }) - self.fuel_per_call
    }

    /// The most memory that an instance of any plugin may have, in bytes.
    pub(crate) fn most_memory_bytes(&self) -> usize {
        self.memory_bytes.max(self.ceilings.memory_bytes)
    }

    /// The limits of plugins in a language, where no rulebook sets them. An interpreter needs more, within the ceilings.
    pub(crate) fn of_language(&self, language: Language) -> Self {
        /// At least so much, if the ceiling allows it.
        fn at_least<T: Ord + Copy>(limit: &mut T, least: T, ceiling: T) {
            *limit = least.min(ceiling).max(*limit);
        }
        let mut limits = self.clone();
        let ceilings = &self.ceilings;
        if language != Language::Compiled {
            at_least(&mut limits.memory_bytes, INTERPRETER_MEMORY_BYTES, ceilings.memory_bytes);
            at_least(&mut limits.fuel_per_call, INTERPRETER_FUEL_PER_CALL, ceilings.fuel_per_call);
            at_least(&mut limits.fuel_per_row, INTERPRETER_FUEL_PER_ROW, ceilings.fuel_per_row);
            let (least, ceiling) = (INTERPRETER_FUEL_PER_BYTE, ceilings.fuel_per_byte);
            at_least(&mut limits.fuel_per_byte, least, ceiling);
            at_least(&mut limits.call_ms, INTERPRETER_CALL_MS, ceilings.call_ms);
        }
        limits
    }

    /// These limits with those that a rulebook sets. `host` are the host's own.
    pub(crate) fn with(&self, wanted: &PluginLimits, host: &Self) -> Result<Self, AboveCeiling> {
        fn set<T: Copy + Ord + TryInto<u64>>(
            name: &'static str,
            limit: &mut T,
            wanted: Option<T>,
            ceiling: T,
        ) -> Result<(), AboveCeiling> {
            let Some(wanted) = wanted else { return Ok(()) };
            if wanted > ceiling {
                let number = |value: T| value.try_into().unwrap_or(u64::MAX);
                return Err(AboveCeiling { name, wanted: number(wanted), ceiling: number(ceiling) });
            }
            *limit = wanted;
            Ok(())
        }
        let mut limits = self.clone();
        let most = &host.ceilings;
        let ceiling = most.memory_bytes.max(host.memory_bytes);
        set("memory-bytes", &mut limits.memory_bytes, wanted.memory_bytes, ceiling)?;
        let ceiling = most.fuel_per_call.max(host.fuel_per_call);
        set("fuel-per-call", &mut limits.fuel_per_call, wanted.fuel_per_call, ceiling)?;
        let ceiling = most.fuel_per_row.max(host.fuel_per_row);
        set("fuel-per-row", &mut limits.fuel_per_row, wanted.fuel_per_row, ceiling)?;
        let ceiling = most.fuel_per_byte.max(host.fuel_per_byte);
        set("fuel-per-byte", &mut limits.fuel_per_byte, wanted.fuel_per_byte, ceiling)?;
        set("call-ms", &mut limits.call_ms, wanted.call_ms, most.call_ms.max(host.call_ms))?;
        set("state-bytes", &mut limits.state_bytes, wanted.state_bytes, most.state_bytes.max(host.state_bytes))?;
        Ok(limits)
    }

    /// The fuel of a call with so many rows and states, and so many bytes of states and texts.
    pub fn fuel_of(&self, rows: usize, bytes: usize) -> u64 {
        self.fuel(Work { rows, bytes })
    }

    /// The time that a call may take.
    pub(crate) fn call_time(&self) -> Duration {
        Duration::from_millis(self.call_ms)
    }
}
