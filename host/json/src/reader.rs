//! Reads payload after payload of the bytes that hold them.

use crate::explain::{Unreadable, not_json};
use crate::general;
use crate::projection::Projection;
use crate::template::Templates;
use crate::value::{Row, Span};

/// Reads payloads that lie in common bytes, and learns from each how the next one may look.
#[derive(Debug)]
pub struct PayloadReader<'b> {
    projection: &'b Projection,
    bytes: &'b [u8],
    /// All bytes as text, if they are UTF-8: then so is every payload that begins and ends between two characters.
    text: Option<&'b str>,
    /// `None` if every payload is read by serde_json.
    templates: Option<Templates>,
    by_template: usize,
}

impl<'b> PayloadReader<'b> {
    /// A reader of payloads in these bytes.
    pub fn new(projection: &'b Projection, bytes: &'b [u8]) -> Self {
        let templates = Some(Templates::default());
        Self { templates, ..Self::without_templates(projection, bytes) }
    }

    /// A reader that learns nothing. It gives the same results, and is what tests and benchmarks compare with.
    pub fn without_templates(projection: &'b Projection, bytes: &'b [u8]) -> Self {
        Self { projection, bytes, text: simdutf8::basic::from_utf8(bytes).ok(), templates: None, by_template: 0 }
    }

    /// How many payloads were read without serde_json.
    pub fn by_template(&self) -> usize {
        self.by_template
    }

    /// Reads a payload into a row whose values are missing. After an error the row has any values.
    pub fn read(&mut self, payload: Span, mut row: Row<'_>) -> Result<(), Unreadable> {
        let range = payload.start as usize..payload.end as usize;
        if range.is_empty() {
            return Err(Unreadable::Empty);
        }
        let text = match self.text.and_then(|text| text.get(range.clone())) {
            Some(text) => text,
            None => std::str::from_utf8(&self.bytes[range])
                .map_err(|error| Unreadable::NotUtf8 { valid_bytes: error.valid_up_to() })?,
        };
        // Files begin with a byte order mark on some systems. It says nothing about UTF-8.
        let json = text.strip_prefix('\u{feff}').unwrap_or(text);
        let offset = payload.end - json.len() as u32;
        if let Some(templates) = &mut self.templates
            && templates.fill((self.projection, self.bytes), json, offset, &mut row)
        {
            self.by_template += 1;
            return Ok(());
        }
        let read = general::read(self.projection, json, offset, &mut row);
        if let Some(templates) = &mut self.templates {
            templates.miss(self.projection, read.is_ok().then_some(json));
        }
        read.map_err(|error| not_json(json, &error))
    }
}
