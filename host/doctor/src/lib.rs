//! Names what is wrong with a deployment from what was observed of it, and what to do.
//!
//! # Layout
//!
//! - `history`: what was observed: settings, quantities over time, and what could not be read.
#![forbid(unsafe_code)]

pub mod history;

pub use history::{History, Timestamp};
