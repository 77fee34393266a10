//! How many bytes of the host's memory an answer takes.

use crate::columns::ColumnBuf;
use crate::packed::PackedBuf;

/// What a call returns.
pub(crate) trait Answer {
    /// The bytes of its texts, blobs and states. Numbers are not counted: they have a fixed size for each row, and the host
    /// holds as many rows already.
    fn text_bytes(&self) -> usize;
}

/// Scores.
impl Answer for Vec<f64> {
    fn text_bytes(&self) -> usize {
        0
    }
}

/// States.
impl Answer for PackedBuf {
    fn text_bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// Outputs.
impl Answer for Vec<ColumnBuf> {
    fn text_bytes(&self) -> usize {
        let bytes = self.iter().map(|column| match column {
            ColumnBuf::Texts(values) | ColumnBuf::Blobs(values) => values.bytes.len(),
            _ => 0,
        });
        bytes.sum()
    }
}
