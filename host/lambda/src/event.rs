//! Events of Lambda's event source mapping for Kinesis, and the responses to them.
//!
//! [`decode()`] reads an event once, from its bytes into a finished batch. It decodes payloads straight into the batch's
//! buffer and allocates nothing for a single record. The types of `aws_lambda_events` do not fit: they reject partition
//! keys that are null and window states that are not strings, and they have no response with both a window's state and
//! failed records.
//!
//! # Layout
//!
//! - `decode`: the event as a whole, and its records into the batch.
//! - `layout`: records with the same text between their values as the one before are compared, not parsed.
//! - `record`: a record in Lambda's format, and the meaning of its values.
//! - `json`: the punctuation between the event's JSON values.
//! - `members`: the members of a record that may be otherwise than Lambda sends them.
//! - `origin`: the names of stream and shard.
//! - `remark`: what is not as Lambda sends it, and does not matter.
//! - `error`: why an event can't be decoded.
//! - `model`: the decoded event, and its response.

mod decode;
mod error;
mod json;
mod layout;
mod members;
mod model;
mod origin;
mod record;
mod remark;

pub use decode::decode;
pub use error::EventError;
pub use model::{BatchItemFailure, Event, EventResponse, Sequences, TumblingWindow};
pub use remark::Remarks;
