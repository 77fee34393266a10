//! What the fuzzers check: one function for each format that comes from outside. Each takes any bytes, and panics where a
//! law of the format is violated. The fuzzers in `fuzz/` call them with bytes that libFuzzer makes up, the tests of this
//! crate with those of `fuzz/corpus/`.
//!
//! # Layout
//!
//! - One file for each target, named after it.
//! - `aggregate_model`: what a KPL aggregate contains, by prost.
//! - `json`: JSON and base64, read in the simplest way.
//! - `laws`: what holds for every target.
#![forbid(unsafe_code)]

mod aggregate_model;
pub mod dedup_state;
mod json;
pub mod kcl_line;
pub mod kpl_aggregate;
pub mod lambda_event;
mod laws;
pub mod log_entry;
pub mod projection;
pub mod rulebook;
pub mod window_state;

/// A fuzzer: its name, and what it checks.
pub type Target = (&'static str, fn(&[u8]));

/// All fuzzers. Each has a program `fuzz/fuzz_targets/NAME.rs` and a corpus `fuzz/corpus/NAME/`.
pub const TARGETS: [Target; 8] = [
    ("dedup_state", dedup_state::check),
    ("kcl_line", kcl_line::check),
    ("kpl_aggregate", kpl_aggregate::check),
    ("lambda_event", lambda_event::check),
    ("log_entry", log_entry::check),
    ("projection", projection::check),
    ("rulebook", rulebook::check),
    ("window_state", window_state::check),
];
