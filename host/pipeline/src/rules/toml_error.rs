//! Errors in TOML files, with the line and the nearest known key.

use serde::de::DeserializeOwned;

use super::nearest::nearest;
use crate::shorten::shorten;

/// The text is not TOML, or not the expected document: the line, what is wrong and, for an unknown key, the nearest known
/// one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TomlError(String);

/// Parses a TOML document.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, TomlError> {
    toml::from_str(text).map_err(|error| {
        // It shows the line, which may be long.
        let mut message = shorten(error.to_string().trim_end()).into_owned();
        if let Some(nearest) = nearest_key(error.message()) {
            message.push_str(&format!("\nDid you mean `{nearest}`?"));
        }
        if error.message().contains("expected newtype variant") {
            message.push_str("\nIt needs a value: write `{ NAME = VALUE }` instead of `\"NAME\"`.");
        }
        TomlError(message)
    })
}

/// The known key that is most similar to the unknown one, if any is similar. serde gives both only in its message:
/// ``unknown field `a`, expected one of `b`, `c` ``.
fn nearest_key(message: &str) -> Option<&str> {
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    nearest(unknown, quoted)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Example {
        #[expect(dead_code, reason = "read by serde alone")]
        max_records: u32,
        #[expect(dead_code, reason = "read by serde alone")]
        store: Option<String>,
    }

    #[test]
    fn an_unknown_key_is_shown_with_its_line_and_the_nearest_known_one() {
        let error = parse::<Example>("store = \"x\"\nmax-record = 5\n").unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
        assert!(error.contains("max-record = 5"), "{error}");
        assert!(error.ends_with("Did you mean `max-records`?"), "{error}");
    }

    #[test]
    fn a_key_similar_to_none_gets_no_suggestion() {
        let error = parse::<Example>("zzz = 5\n").unwrap_err().to_string();
        assert!(error.contains("unknown field `zzz`") && !error.contains("Did you mean"), "{error}");
    }
}
