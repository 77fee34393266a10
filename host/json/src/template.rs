//! Templates: what stands between the values of a message, learned from one that serde_json has read.
//!
//! A message that a template takes is the same as the learned one in every byte but its values: the same names in the same
//! order, written with the same white space. So only its values are left to be judged. Plain ones are parsed here: texts
//! without escapes, integers of up to 18 digits, decimals without an exponent whose nearest f64 is certain, `true`, `false`
//! and `null`. Each other value is given to serde_json as it is. A template either takes a message whole, or gives it
//! back.
//!
//! # Layout
//!
//! - `cache`: which templates are tried, and when one is learned.
//! - `learn`: from a message to its template.
//! - `message`: a message by a template.
//! - `literal`: the bytes between two values.
//! - `scalar`: one value; `number`, `decimal` and `text` are its parts.
//! - `words`: eight bytes at a time.

mod cache;
mod decimal;
mod learn;
mod literal;
mod message;
mod number;
mod scalar;
mod text;
mod words;

pub(crate) use cache::Templates;
