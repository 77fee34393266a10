use serde::Deserialize;
use thiserror::Error;

use super::{FORMAT, History};

/// Why a text is not a history.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It is not JSON, or ends early.
    #[error(
        "the history is not JSON, at line {line}, column {column}: record it again with `paceline doctor --record`"
    )]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What the parser expected.
        source: serde_json::Error,
    },
    /// It names no format, so it is another document.
    #[error("the document has no `format`: it is not a history that `paceline doctor --record` wrote")]
    NoFormat {
        /// What the parser expected.
        source: serde_json::Error,
    },
    /// Another version of paceline wrote it.
    #[error(
        "the history has format {found}, and this program reads format {FORMAT}: use the version of paceline that \
         recorded it"
    )]
    OtherFormat {
        /// The document's format.
        found: u32,
    },
    /// A field has a name that the format does not have.
    #[error(
        "the history has a field that format {FORMAT} does not have: correct its name, or use the version of \
         paceline that recorded it"
    )]
    UnknownField {
        /// The field, with its line and the names that are known.
        source: serde_json::Error,
    },
    /// A field is missing or has a value of another kind.
    #[error("the history has a value that does not fit: correct it, or record the history again")]
    Invalid {
        /// The field, with its line.
        source: serde_json::Error,
    },
}

/// The member by which a document is recognized.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl History {
    /// Reads a document.
    pub fn from_json(text: &str) -> Result<Self, ReadError> {
        let classify = |source: serde_json::Error| match source.classify() {
            serde_json::error::Category::Data if source.to_string().starts_with("unknown ") => {
                ReadError::UnknownField { source }
            }
            serde_json::error::Category::Data => ReadError::Invalid { source },
            _ => ReadError::NotJson { line: source.line(), column: source.column(), source },
        };
        let Format { format } = serde_json::from_str(text).map_err(|source| match classify(source) {
            ReadError::Invalid { source } | ReadError::UnknownField { source } => ReadError::NoFormat { source },
            other => other,
        })?;
        if format != FORMAT {
            return Err(ReadError::OtherFormat { found: format });
        }
        serde_json::from_str(text).map_err(classify)
    }

    /// The document: one line for each series, so that it can be read and compared.
    #[must_use]
    pub fn to_json(&self) -> String {
        let series: Vec<String> = self.series.iter().map(|series| format!("    {}", json(series))).collect();
        let mut head = self.clone();
        head.series.clear();
        let mut text = serde_json::to_string_pretty(&head).expect("a history has only texts and numbers");
        if !series.is_empty() {
            text.truncate(text.len() - "\n}".len());
            text.push_str(&format!(",\n  \"series\": [\n{}\n  ]\n}}", series.join(",\n")));
        }
        text.push('\n');
        text
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("a series has only texts and numbers")
}
