//! What a paceline plugin author depends on.
//!
//! A scorer, whole:
//!
//! ```
//! use paceline_plugin::{Fields, scorer};
//!
//! #[derive(Fields)]
//! struct Effort {
//!     cadence: f64,
//!     resistance: f64,
//! }
//!
//! fn output(row: Effort) -> f64 {
//!     (row.cadence + 35.0) * (row.resistance + 65.0) / 100.0
//! }
//!
//! scorer!(output);
//! # assert_eq!(output(Effort { cadence: 81.0, resistance: 79.0 }), 167.04);
//! ```
//!
//! The function is an ordinary one, so `cargo test` tests it as it is. `paceline plugin build DIR` makes the component
//! and `paceline plugin check FILE.wasm` says what a host would make of it.
//!
//! # Layout
//!
//! - [`Fields`]: what a plugin reads, as a struct of plain values; [`Columns`] are whole columns of them.
//! - [`validator!`], [`scorer!`], [`aggregator!`]: export a function or a type as a component.
//! - [`Settings`]: what the rulebook says to the plugin, as a struct.
//! - [`log`]: lines for the operator.
//! - [`testing`]: settings for native unit tests.

// The macros and derives name this crate as their users do.
extern crate self as paceline_plugin;

mod aggregator;
#[doc(hidden)]
pub mod bindings;
mod fields;
pub mod log;
mod scorer;
mod settings;
mod validator;

pub use aggregator::{Aggregator, Outputs};
pub use fields::{Columns, Fields, TextColumn};
pub use paceline_plugin_macros::{Fields, Outputs, Settings};
pub use settings::{Settings, testing};

/// What the macros expand to. Not for authors: it changes without notice.
#[doc(hidden)]
pub mod glue {
    pub use crate::aggregator::{IntoOutput, describe_aggregator, finish, fold, merge};
    pub use crate::bindings::aggregator::exports::paceline::plugin::aggregation::Output;
    pub use crate::bindings::common::paceline::plugin::columns::{Batch, Column, Field, Kind, Packed, Value};
    pub use crate::bindings::validator::exports::paceline::plugin::validation::Rejection;
    pub use crate::fields::{FieldType, column};
    pub use crate::scorer::{describe_scorer, score};
    pub use crate::settings::setting;
    pub use crate::validator::{describe_validator, validate};
}
#[doc(hidden)]
pub use wit_bindgen;

/// The README's code is compiled as this crate's documentation is.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
