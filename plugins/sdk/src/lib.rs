//! The SDK for plugins of paceline: from plain Rust functions to a WebAssembly component.
//!
//! A complete scorer:
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
//! The function is ordinary Rust, so `cargo test` runs it natively. `paceline plugin build DIR` builds the component,
//! and `paceline plugin check FILE.wasm` prints its fields and outputs, or the reason why a host would refuse it.
//!
//! # Errors
//!
//! The contract passes errors as text: the reason of a rejection, a setting that is missing. So the error type here is
//! `String`, and the text is what the operator reads. Name the field or the setting, its value and what is expected.
//!
//! # Panics
//!
//! A plugin that panics traps, and the records to blame become dead letters. With the feature `panic-messages`, which is on by
//! default, their reason has the message with file and line. The feature makes the plugin import `log`, which costs each batch
//! some microseconds: turn it off for a plugin that can't panic.
//!
//! # Size and memory
//!
//! With the feature `allocator`, which is on by default, a component has a small allocator that suits instances that live as
//! long as a batch. Turn it off to bring another one. A plugin that uses neither the standard library nor `panic-messages`
//! is several times smaller: see [`trap_on_panic!`].
//!
//! # Layout
//!
//! - [`Fields`]: the fields that a plugin reads, as a struct of plain values; [`Columns`] are whole columns of them.
//! - [`validator!`], [`scorer!`], [`aggregator!`]: export a function or a type as a component.
//! - [`Aggregator`](trait@Aggregator): folds records into states; [`Migration`] converts states of other formats, with
//!   [`decode_state`].
//! - [`Settings`]: the plugin's settings in the rulebook, as a struct.
//! - [`trap_on_panic!`]: for plugins without the standard library.
//! - `lanes`: vector instructions, with the feature `lanes`; [`decimal`]: small conversions between numbers and text.
//! - [`log`]: lines for the operator's log.
//! - [`testing`]: settings for native unit tests.

#![cfg_attr(not(test), no_std)]

extern crate alloc;
// The macros and derives refer to this crate by the name that their users know.
extern crate self as paceline_plugin;
#[cfg(any(not(target_arch = "wasm32"), feature = "panic-messages"))]
extern crate std;

mod aggregator;
mod big;
#[doc(hidden)]
pub mod bindings;
pub mod decimal;
mod fields;
#[cfg(any(test, all(target_arch = "wasm32", feature = "allocator")))]
#[expect(unsafe_code, reason = "an allocator can't be written without, and no crate begins with the initial memory")]
mod heap;
#[cfg(feature = "lanes")]
pub mod lanes;
pub mod log;
mod migration;
mod panic;
mod scorer;
mod settings;
mod state;
mod text;
mod validator;

pub use aggregator::{Aggregator, Outputs};
pub use fields::{Columns, Fields, TextColumn};
pub use migration::Migration;
pub use paceline_plugin_macros::{Fields, Outputs, Settings};
pub use settings::Settings;
#[cfg(not(target_arch = "wasm32"))]
pub use settings::testing;
pub use state::{decode_state, encode_state};

/// What the macros expand to. It is not part of the API and changes without notice.
#[doc(hidden)]
pub mod glue {
    pub use alloc::string::String;
    pub use alloc::vec;
    pub use alloc::vec::Vec;

    pub use crate::aggregator::{IntoOutput, describe_aggregator, finish, fold, merge};
    pub use crate::bindings::aggregator::exports::paceline::plugin::aggregation::Output;
    pub use crate::bindings::common::paceline::plugin::columns::{Batch, Column, Field, Kind, Packed, Value};
    pub use crate::bindings::validator::exports::paceline::plugin::validation::Rejection;
    pub use crate::fields::{FieldType, column};
    pub use crate::migration::{describe_migration, migrate};
    pub use crate::scorer::{describe_scorer, score};
    pub use crate::settings::setting;
    pub use crate::validator::{describe_validator, validate};
}
#[doc(hidden)]
pub use wit_bindgen;

/// Compiles the README's code with this crate's documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// Compiles the code of this crate's own README, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct OwnReadme;

/// Compiles the code of the guide for authors, too.
#[cfg(all(doctest, feature = "lanes"))]
#[doc = include_str!("../../../docs/plugins.md")]
struct Guide;
