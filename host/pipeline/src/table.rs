//! The records of a batch that go by one ruling, as columns.

use paceline_engine::{Column, ColumnBuf, Digest, Kind, PackedBuf, Value};

use crate::batch::Batch;
use crate::dead_letter::{Cause, Reason};
use crate::project::{Cell, Cells, Projection, a, mismatch};
use crate::ruling::{Need, Plan, Source, Wanted};

/// Records that become dead letters, with their reasons.
pub(crate) type Dead = Vec<(u32, Reason)>;

/// The records of a batch that go by one ruling, as columns. Records that can't go on are taken out on the way.
pub(crate) struct Table<'c> {
    pub(crate) plan: &'c Plan,
    /// The records, by their index in the batch, ascending.
    pub(crate) records: Vec<u32>,
    /// A column for each need of the plan.
    columns: Vec<ColumnBuf>,
    /// The scores, once they are there.
    pub(crate) scores: Vec<f64>,
}

impl<'c> Table<'c> {
    /// Gathers what the plugins declared. A record that lacks something becomes a dead letter before any plugin sees it.
    pub(crate) fn gather(
        plan: &'c Plan,
        projection: &Projection,
        batch: &Batch,
        cells: &Cells,
        records: Vec<u32>,
        dead: &mut Dead,
    ) -> Self {
        let mut gather = Gather { batch, cells, records: &records, bad: Vec::new() };
        for &(slot, wanted) in &plan.wanted {
            for (row, &record) in records.iter().enumerate() {
                let cell = cells.get(record, slot);
                let fits = match wanted {
                    Wanted::Integer => matches!(cell, Cell::Integer(_)),
                    Wanted::Word => {
                        matches!(cell, Cell::Integer(_) | Cell::Boolean(_) | Cell::Text(_) | Cell::Unescaped(_))
                    }
                    Wanted::Scalar => !matches!(cell, Cell::Missing | Cell::Null | Cell::Array | Cell::Object),
                };
                if !fits {
                    let wanted = match wanted {
                        Wanted::Integer => "an integer",
                        Wanted::Word => "a text or an integer",
                        Wanted::Scalar => "a single value",
                    };
                    let reason = mismatch(batch, record, projection.pointer(slot), cell, wanted);
                    gather.bad.push((row, reason));
                }
            }
        }
        let columns = plan.needs.iter().map(|(need, slot)| match &need.source {
            Source::Field(_) => {
                let slot = slot.expect("a field has a cell");
                gather.field(need, |record| cells.get(record, slot))
            }
            Source::Payload => ColumnBuf::Blobs(records.iter().map(|&record| batch.payload(record as usize)).collect()),
            Source::PartitionKey => gather
                .field(need, |record| batch.records[record as usize].partition_key.map_or(Cell::Missing, Cell::Text)),
            Source::ArrivalMs => gather
                .field(need, |record| batch.records[record as usize].arrival_ms.map_or(Cell::Missing, Cell::Integer)),
        });
        let columns = columns.collect();
        let bad = gather.bad;
        let mut table = Self { plan, records, columns, scores: Vec::new() };
        table.remove(bad, dead);
        table
    }

    /// The columns of some needs.
    pub(crate) fn columns(&self, needs: &[usize]) -> Vec<Column<'_>> {
        needs.iter().map(|&need| self.columns[need].as_column()).collect()
    }

    /// Takes rows out. They may come in any order, and more than once: the first reason counts.
    pub(crate) fn remove(&mut self, bad: Vec<(usize, Reason)>, dead: &mut Dead) {
        if bad.is_empty() {
            return;
        }
        let mut keep = vec![true; self.records.len()];
        let book = &self.plan.ruling.book;
        for (row, reason) in bad {
            if std::mem::replace(&mut keep[row], false) {
                dead.push((self.records[row], reason.under(&book.race_type, book.version)));
            }
        }
        for column in &mut self.columns {
            column.retain(&keep);
        }
        let mut kept = keep.iter();
        self.records.retain(|_| *kept.next().expect("one for each row"));
        if !self.scores.is_empty() {
            let mut kept = keep.iter();
            self.scores.retain(|_| *kept.next().expect("one for each row"));
        }
    }
}

/// A plugin's reasons, as a table takes them.
pub(crate) fn blame<R: ToString>(rows: Vec<(u32, R)>, cause: Cause, plugin: Digest) -> Vec<(usize, Reason)> {
    rows.into_iter().map(|(row, why)| (row as usize, Reason::new(cause, why.to_string()).by(plugin))).collect()
}

struct Gather<'a> {
    batch: &'a Batch,
    cells: &'a Cells,
    records: &'a [u32],
    bad: Vec<(usize, Reason)>,
}

impl Gather<'_> {
    fn field(&mut self, need: &Need, cell: impl Fn(u32) -> Cell) -> ColumnBuf {
        match need.kind {
            Kind::Boolean => ColumnBuf::Booleans(self.plain(need, cell, |cell| match cell {
                Cell::Boolean(value) => Some(value),
                _ => None,
            })),
            Kind::Integer => ColumnBuf::Integers(self.plain(need, cell, |cell| match cell {
                Cell::Integer(value) => Some(value),
                _ => None,
            })),
            Kind::Number => ColumnBuf::Numbers(self.plain(need, cell, |cell| match cell {
                Cell::Number(value) => Some(value),
                Cell::Integer(value) => Some(value as f64),
                _ => None,
            })),
            Kind::Text | Kind::Blob => {
                let mut texts = PackedBuf::default();
                texts.ends.reserve(self.records.len());
                for (row, &record) in self.records.iter().enumerate() {
                    let found = cell(record);
                    match (self.cells.text(self.batch, found), &need.default) {
                        (Some(text), _) => texts.push(text),
                        (None, Some(Value::Text(default))) if matches!(found, Cell::Missing | Cell::Null) => {
                            texts.push(default.as_bytes());
                        }
                        _ => {
                            texts.push(b"");
                            self.bad(need, row, record, found);
                        }
                    }
                }
                ColumnBuf::Texts(texts)
            }
        }
    }

    fn plain<T: Copy + Default + FromValue>(
        &mut self,
        need: &Need,
        cell: impl Fn(u32) -> Cell,
        value: impl Fn(Cell) -> Option<T>,
    ) -> Vec<T> {
        let default = need.default.as_ref().and_then(T::from_value);
        let mut values = Vec::with_capacity(self.records.len());
        for (row, &record) in self.records.iter().enumerate() {
            let found = cell(record);
            values.push(match (value(found), default) {
                (Some(value), _) => value,
                (None, Some(default)) if matches!(found, Cell::Missing | Cell::Null) => default,
                _ => {
                    self.bad(need, row, record, found);
                    T::default()
                }
            });
        }
        values
    }

    fn bad(&mut self, need: &Need, row: usize, record: u32, found: Cell) {
        let own = |name: &str| Reason::new(Cause::MissingField, format!("the record has no `{name}`")).at(name);
        let reason = match &need.source {
            Source::Field(pointer) => mismatch(self.batch, record, pointer, found, a(need.kind)),
            Source::PartitionKey => own("@partition-key"),
            Source::ArrivalMs => own("@arrival-ms"),
            Source::Payload => own("@payload"),
        };
        self.bad.push((row, reason));
    }
}

trait FromValue: Sized {
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! from_value {
    ($($type:ty: $variant:ident)*) => {
        $(impl FromValue for $type {
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    Value::$variant(value) => Some(*value),
                    _ => None,
                }
            }
        })*
    };
}

from_value!(bool: Boolean i64: Integer f64: Number);
