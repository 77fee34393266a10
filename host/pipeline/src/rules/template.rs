//! Texts with fields in them: `race-{/raceId}`.

use std::fmt;

use crate::model::Pointer;

/// A text with fields in it. `{/raceId}` stands for the value at that pointer; `{{` and `}}` are braces.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    Literal(String),
    Field(Pointer),
}

/// The text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a template: {wrong}")]
pub struct NotATemplate {
    text: String,
    wrong: String,
}

impl Template {
    /// Parses a template.
    pub fn parse(text: &str) -> Result<Self, NotATemplate> {
        let wrong = |wrong: String| NotATemplate { text: text.to_owned(), wrong };
        let (mut parts, mut literal) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                literal.push_str(brace);
                rest = after;
            } else if brace == "}" {
                return Err(wrong("a `}` that closes nothing; write `}}` for the brace itself".to_owned()));
            } else {
                let (field, after) =
                    rest.split_once('}').ok_or_else(|| wrong("a `{` that is never closed".to_owned()))?;
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(Part::Field(Pointer::parse(field).map_err(|error| wrong(error.to_string()))?));
                rest = after;
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The fields in it.
    pub fn fields(&self) -> impl Iterator<Item = &Pointer> {
        self.parts.iter().filter_map(|part| match part {
            Part::Field(pointer) => Some(pointer),
            Part::Literal(_) => None,
        })
    }

    /// The text for this value of its field; `None` if it has no field or more than one.
    pub fn with_only_field(&self, value: &str) -> Option<String> {
        let part = |part: &Part| match part {
            Part::Literal(literal) => literal.clone(),
            Part::Field(_) => value.to_owned(),
        };
        (self.fields().count() == 1).then(|| self.parts.iter().map(part).collect())
    }

    /// The value of its field in a text that it gave; `None` if it has no field or more than one.
    pub(crate) fn only_field_in<'t>(&self, text: &'t str) -> Option<&'t str> {
        let (before, after) = match self.parts.as_slice() {
            [Part::Field(_)] => ("", ""),
            [Part::Literal(before), Part::Field(_)] => (before.as_str(), ""),
            [Part::Field(_), Part::Literal(after)] => ("", after.as_str()),
            [Part::Literal(before), Part::Field(_), Part::Literal(after)] => (before.as_str(), after.as_str()),
            _ => return None,
        };
        text.strip_prefix(before)?.strip_suffix(after)
    }

    /// The field, if the template is a single field: its value keeps its type.
    pub fn sole_field(&self) -> Option<&Pointer> {
        match self.parts.as_slice() {
            [Part::Field(pointer)] => Some(pointer),
            _ => None,
        }
    }

    /// The text that was parsed.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Result<Vec<String>, String> {
        let template = Template::parse(text).map_err(|error| error.to_string())?;
        Ok(template
            .parts()
            .iter()
            .map(|part| match part {
                Part::Literal(literal) => literal.clone(),
                Part::Field(pointer) => format!("<{pointer}>"),
            })
            .collect())
    }

    #[test]
    fn fields_and_braces() {
        assert_eq!(parts("race-{/raceId}").unwrap(), ["race-", "</raceId>"]);
        assert_eq!(parts("{/a}{/b/c}").unwrap(), ["</a>", "</b/c>"]);
        assert_eq!(parts("{{{/a}}}").unwrap(), ["{", "</a>", "}"]);
        assert_eq!(parts("").unwrap(), [""; 0]);
        assert_eq!(
            parts("a}b").unwrap_err(),
            "`a}b` is not a template: a `}` that closes nothing; write `}}` for the brace itself"
        );
        assert_eq!(parts("a{/b").unwrap_err(), "`a{/b` is not a template: a `{` that is never closed");
        assert!(parts("{raceId}").unwrap_err().contains("not a JSON Pointer"));
    }

    #[test]
    fn the_value_of_an_only_field_is_found_again() {
        for text in ["{/a}", "racer-{/a}", "{/a}.", "<{/a}>"] {
            let template = Template::parse(text).unwrap();
            for value in ["", "7", "<>", "racer-"] {
                let rendered = template.with_only_field(value).unwrap();
                assert_eq!(template.only_field_in(&rendered), Some(value), "{text}");
            }
        }
        assert_eq!(Template::parse("{/a}{/b}").unwrap().only_field_in("12"), None);
        assert_eq!(Template::parse("a").unwrap().only_field_in("a"), None);
    }
}
