//! A row as people read it: the fields that a plugin reads, with their values.

use crate::columns::Column;
use crate::schema::Field;

/// Bytes of a value that are shown.
const VALUE_BYTES: usize = 80;

/// Bytes of a row that a line of the log shows.
const LINE_BYTES: usize = 600;

/// The fields of a row, by path, and their values. Long ones are cut.
pub(crate) fn shown_row(fields: &[Field], columns: &[Column<'_>], row: usize) -> Vec<(String, String)> {
    fields.iter().zip(columns).map(|(field, column)| (field.path.clone(), value(column, row))).collect()
}

/// The same in one line.
pub(crate) fn row_line(fields: &[Field], columns: &[Column<'_>], row: usize) -> String {
    let fields = shown_row(fields, columns, row).into_iter();
    let mut line = fields.map(|(path, value)| format!("{path} {value}")).collect::<Vec<_>>().join(", ");
    if line.len() > LINE_BYTES {
        line.truncate(line.floor_char_boundary(LINE_BYTES));
        line.push('…');
    }
    line
}

fn value(column: &Column<'_>, row: usize) -> String {
    match column {
        Column::Booleans(values) => values[row].to_string(),
        Column::Integers(values) => values[row].to_string(),
        Column::Numbers(values) => values[row].to_string(),
        Column::Texts(values) => text(&String::from_utf8_lossy(values.get(row))),
        Column::Blobs(values) => text(&String::from_utf8_lossy(values.get(row))),
    }
}

/// In quotation marks, so that the end of a text and what can't be printed are seen.
fn text(text: &str) -> String {
    let end = text.floor_char_boundary(VALUE_BYTES);
    let more = if end < text.len() { format!("… ({} bytes)", text.len()) } else { String::new() };
    format!("{:?}{more}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::ColumnBuf;
    use crate::packed::PackedBuf;
    use crate::schema::Kind;

    #[test]
    fn a_row_has_the_values_of_its_fields_and_long_ones_are_cut() {
        let field = |path: &str, kind| Field { path: path.to_owned(), kind, default: None };
        let fields = [field("/cadence", Kind::Number), field("/second", Kind::Integer), field("/event", Kind::Text)];
        let texts: PackedBuf = ["a\n".to_owned(), "é".repeat(500)].iter().map(|text| text.as_bytes()).collect();
        let columns =
            [ColumnBuf::Numbers(vec![0.5, f64::MAX]), ColumnBuf::Integers(vec![-1, 7]), ColumnBuf::Texts(texts)];
        let columns: Vec<_> = columns.iter().map(ColumnBuf::as_column).collect();
        assert_eq!(row_line(&fields, &columns, 0), "/cadence 0.5, /second -1, /event \"a\\n\"");
        let long = row_line(&fields, &columns, 1);
        assert!(long.ends_with("é\"… (1000 bytes)") && long.len() <= LINE_BYTES + 3, "{long}");
    }
}
