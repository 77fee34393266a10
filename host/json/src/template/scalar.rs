//! One value of a message that is neither an array nor an object.

use super::words::load;
use super::{number, text};
use crate::value::{FieldValue, Span};

/// Reads the plain value that begins at this byte. `offset` is where the message begins in the bytes that hold the
/// payloads. Returns where the value ends, or `None` if it is not plain, or none.
#[inline(always)]
pub(super) fn read(message: &[u8], at: usize, offset: u32, cell: &mut FieldValue) -> Option<usize> {
    match *message.get(at)? {
        b'"' => {
            let quote = text::closing_quote(message, at + 1)?;
            *cell = FieldValue::Text(Span { start: offset + at as u32 + 1, end: offset + quote as u32 });
            Some(quote + 1)
        }
        b'-' | b'0'..=b'9' => number::read(message, at, cell),
        _ => word(message, at, cell),
    }
}

/// Reads `true`, `false` or `null`.
#[inline(always)]
fn word(message: &[u8], at: usize, cell: &mut FieldValue) -> Option<usize> {
    const FOUR: u64 = 0xffff_ffff;
    const FIVE: u64 = 0xff_ffff_ffff;
    const TRUE: u64 = u64::from_le_bytes(*b"true\0\0\0\0");
    const FALSE: u64 = u64::from_le_bytes(*b"false\0\0\0");
    const NULL: u64 = u64::from_le_bytes(*b"null\0\0\0\0");
    let word = load(message, at)?;
    let (value, bytes) = if word & FOUR == TRUE {
        (FieldValue::Boolean(true), 4)
    } else if word & FIVE == FALSE {
        (FieldValue::Boolean(false), 5)
    } else if word & FOUR == NULL {
        (FieldValue::Null, 4)
    } else {
        return None;
    };
    *cell = value;
    Some(at + bytes)
}

/// Where the text or the number ends that begins at this byte, if it is one: serde_json judges whether it is.
pub(super) fn end(message: &[u8], at: usize) -> Option<usize> {
    if *message.get(at)? != b'"' {
        let rest = &message[at..];
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        return Some(at + rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len()));
    }
    let mut end = at + 1;
    loop {
        match message.get(end)? {
            b'"' => return Some(end + 1),
            // What is escaped may be a quote.
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
}
