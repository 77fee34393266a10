//! Reads the declared fields of JSON payloads.
//!
//! serde_json is the judge of every payload: which bytes are JSON, what a field's value is, why a payload is none. Most
//! payloads of a batch, though, have the same members in the same order. So a [`PayloadReader`] remembers what stands
//! between the values of a message, compares the next message with it in words of eight bytes, and parses only the values.
//! What differs, in one byte, is read by serde_json from its beginning. Both ways give the same values, to the bit.
//!
//! # Layout
//!
//! From top to bottom; no file imports one above it.
//! - [`reader`](PayloadReader): payload after payload, by a template or by serde_json.
//! - `template`: learned templates.
//! - `explain`: why a payload can't be read, and where.
//! - `general`: any payload, by serde_json.
//! - [`projection`](Projection): the declared fields as a tree of object members.
//! - [`pointer`](Pointer): where a field is in a payload.
//! - `value`: a field's value.
#![forbid(unsafe_code)]

mod explain;
mod general;
mod pointer;
mod projection;
mod reader;
mod template;
mod value;

pub use explain::{Unreadable, locate};
pub use pointer::{NotAPointer, Pointer};
pub use projection::Projection;
pub use reader::PayloadReader;
pub use value::{FieldIndex, FieldValue, Row, Span};
