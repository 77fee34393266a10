//! The punctuation between the event's JSON values. serde_json parses the values themselves. A cursor that reads the
//! punctuation itself can step over records without parsing them.

use paceline_pipeline::shorten;
use serde::Deserialize;
use serde_json::error::Category;

use super::error::EventError;

/// A position in the event.
pub(super) struct Cursor<'a> {
    pub(super) event: &'a [u8],
    /// The offset of the next byte.
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    /// The bytes that are not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.event[self.at..]
    }

    /// The next byte that is not white space.
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.event.get(self.at) {
            self.at += 1;
        }
        self.event.get(self.at).copied()
    }

    /// Steps over this byte if it is the next.
    pub(super) fn accept(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// Steps over this byte, which must be the next.
    pub(super) fn expect(&mut self, wanted: u8) -> Result<(), EventError> {
        match self.accept(wanted) {
            true => Ok(()),
            false => Err(self.not_json(format!("expected `{}`", char::from(wanted)))),
        }
    }

    /// Steps to the next element of an array or object between `open` and `close`; whether there is one. `first` is
    /// true before the first element.
    pub(super) fn next_element(&mut self, first: bool, open: u8, close: u8) -> Result<bool, EventError> {
        if first {
            self.expect(open)?;
            return Ok(!self.accept(close));
        }
        match self.peek() {
            Some(b',') => self.at += 1,
            Some(byte) if byte == close => self.at += 1,
            _ => return Err(self.not_json(format!("expected `,` or `{}`", char::from(close)))),
        }
        Ok(self.event[self.at - 1] == b',')
    }

    /// Parses a value. An error of type names it by `path`.
    pub(super) fn value<T: Deserialize<'a>>(&mut self, path: impl FnOnce() -> String) -> Result<T, EventError> {
        let rest = self.rest();
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter();
        match values.next() {
            Some(Ok(value)) => {
                self.at += values.byte_offset();
                Ok(value)
            }
            Some(Err(error)) => {
                let lines = rest.split(|byte| *byte == b'\n').take(error.line() - 1);
                // serde_json counts the column of a byte that breaks the syntax from 1, all other columns from 0.
                let in_line = error.column().saturating_sub(usize::from(error.classify() == Category::Syntax));
                let byte = self.at + lines.map(|line| line.len() + 1).sum::<usize>() + in_line;
                let what = error.to_string();
                let what = what.rsplit_once(" at line ").map_or(&*what, |(what, _)| what);
                let what = shorten(what).into_owned();
                Err(match error.classify() {
                    Category::Data => EventError::WrongType { path: path(), what, byte },
                    _ => EventError::NotJson { what, byte },
                })
            }
            None => Err(self.not_json("expected a value".to_owned())),
        }
    }

    /// The error that the event is not JSON at this position.
    pub(super) fn not_json(&self, what: String) -> EventError {
        let what = if self.at < self.event.len() { what } else { format!("unexpected end, {what}") };
        EventError::NotJson { what, byte: self.at }
    }
}
