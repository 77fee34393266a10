//! Records as rows of values, which laws draw, cut and shrink.

use std::sync::Arc;

use paceline_engine::{Column, ColumnBuf, Field};

use crate::events::Input;

/// A value of a field or of an output.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(Arc<str>),
    Blob(Arc<[u8]>),
}

/// A record as a plugin gets it, and its part in a law.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// A value for each field.
    pub(crate) cells: Vec<Cell>,
    pub(crate) score: f64,
    pub(crate) group: u32,
    /// Which call or which part of the stream it belongs to. Ascends in the order of the stream.
    pub(crate) part: u32,
    /// Its place in another order.
    pub(crate) place: u32,
}

impl Cell {
    /// The value of a row.
    pub(crate) fn of(column: &Column<'_>, row: usize) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into();
        match column {
            Column::Booleans(values) => Self::Boolean(values[row]),
            Column::Integers(values) => Self::Integer(values[row]),
            Column::Numbers(values) => Self::Number(values[row]),
            Column::Texts(values) => Self::Text(text(values.get(row))),
            Column::Blobs(values) => Self::Blob(values.get(row).into()),
        }
    }

    /// Whether both are the same value, bit by bit. A number that is not finite is not written, so all of these are alike.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(one), Self::Number(two)) => {
                one.to_bits() == two.to_bits() || !one.is_finite() && !two.is_finite()
            }
            (one, two) => one == two,
        }
    }

    /// Whether both are numbers that differ by no more than rounding does.
    pub(crate) fn is_about(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(one), Self::Number(two)) => {
                self.is(other) || (one - two).abs() <= 1e-9 * one.abs().max(two.abs()).max(1e-300)
            }
            (one, two) => one == two,
        }
    }

    /// As a person reads it, short.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Boolean(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Number(value) if !value.is_finite() => "not written".to_owned(),
            Self::Number(value) => number(*value),
            Self::Text(text) => shortened(text),
            Self::Blob(bytes) => shortened(&String::from_utf8_lossy(bytes)),
        }
    }
}

/// A number as a person writes it.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        magnitude if magnitude != 0.0 && !(1e-6..1e16).contains(&magnitude) => format!("{value:e}"),
        _ => value.to_string(),
    }
}

/// A text between quotes, or its beginning and its length.
fn shortened(text: &str) -> String {
    const MOST: usize = 24;
    match text.char_indices().nth(MOST) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}… ({} bytes)", &text[..end], text.len()),
    }
}

/// The rows of sample events.
pub(crate) fn rows(input: &Input) -> Vec<Row> {
    let columns = input.columns();
    let row = |at: usize| Row {
        cells: columns.iter().map(|column| Cell::of(column, at)).collect(),
        score: input.scores[at],
        group: input.groups[at],
        part: 0,
        place: at as u32,
    };
    (0..input.rows()).map(row).collect()
}

/// Rows as the columns that a plugin is called with.
pub(crate) fn columns(fields: &[Field], rows: &[Row]) -> Vec<ColumnBuf> {
    let column = |(at, field): (usize, &Field)| {
        let mut column = ColumnBuf::new(field.kind);
        for row in rows {
            match (&mut column, &row.cells[at]) {
                (ColumnBuf::Booleans(all), Cell::Boolean(value)) => all.push(*value),
                (ColumnBuf::Integers(all), Cell::Integer(value)) => all.push(*value),
                (ColumnBuf::Numbers(all), Cell::Number(value)) => all.push(*value),
                (ColumnBuf::Texts(all), Cell::Text(value)) => all.push(value.as_bytes()),
                (ColumnBuf::Blobs(all), Cell::Blob(value)) => all.push(value),
                (column, cell) => unreachable!("a column of kind {} has {cell:?}", column.kind()),
            }
        }
        column
    };
    fields.iter().enumerate().map(column).collect()
}

/// The rows of each part, in the order of the parts; no part is empty.
pub(crate) fn parts(rows: &[Row]) -> Vec<&[Row]> {
    rows.chunk_by(|one, two| one.part == two.part).collect()
}
