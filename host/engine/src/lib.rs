//! The sandbox: loads WebAssembly components, limits what they may use, and calls them with columns.
//!
//! A [`Component`] is a plugin's code, checked and compiled. With the settings of a rulebook it becomes a
//! [`Validator`], a [`Scorer`] or an [`Aggregator`]. Each batch opens a [`Session`], which makes a fresh instance:
//! nothing that a plugin remembers outlives its batch. When a call fails as a whole (a trap, a limit, a list of the
//! wrong length), the session bisects the batch on fresh instances until it knows the rows that make the call fail; the
//! others go on.
//!
//! Errors are sorted by what the caller does: a [`LoadError`] refuses the plugin, a [`Fault`] rejects its row, an
//! [`EngineError`] stops the batch. The message of an error does not repeat that of its source.
//!
//! This crate knows nothing of JSON, streams or stores, and no other crate knows wasmtime.
//!
//! # Layout
//!
//! From top to bottom: a module imports only modules further down.
//!
//! - `validator`, `scorer`, `aggregator`: the three roles, each with its calls and the checks of their results.
//! - `states`: the states that an aggregator returns and the formats that it names, checked.
//! - `session`: the calls of one batch.
//! - `bisect`: which rows are to blame when a call fails.
//! - `touched`: the states that a call to `fold` is given.
//! - `budget`: what the calls for a batch may cost together. `answer`: the bytes that an answer takes.
//! - `plugin`: a component in a role, with settings; checks its exports and its description.
//! - `call`: one instance, and one call within the limits.
//! - `load`: from bytes to a component that keeps to the contract.
//! - `engine`: the configured wasmtime engine and what all components share.
//! - `imports`: what a plugin may import, and the host's side of it.
//! - `inspect`: what a file is, without compiling it. `footprint`: what an instance of it would consist of.
//! - `cache`: compiled components on disk. `precompiled`: those of elsewhere. `packaged`: those that came with the program.
//! - `exclusive`: whether others can write a file.
//! - `compiler`: the settings that compiled code depends on. `canonical`: makes NaNs the same on every processor.
//! - `profile`: where calls spend their time.
//! - `watchdog`: the limit on time. `call_deadline`: when all calls end.
//! - `load_error`: why a component is refused.
//! - `fault`: how a call fails.
//! - [`limits`]: what a plugin may use; each limit is a named constant with its reason.
//! - `shown_row`: a row as people read it.
//! - `columns`, `packed`, `schema`: what crosses into the sandbox and back, the Rust side of `wit/plugin.wit`.
//! - `contract`: the names in `wit/plugin.wit`.
//! - `digest`: SHA-256, the identity of a plugin.

mod aggregator;
mod answer;
mod bisect;
mod budget;
mod cache;
mod call;
mod call_deadline;
mod canonical;
mod columns;
mod compiler;
mod contract;
mod digest;
mod engine;
mod exclusive;
mod fault;
mod footprint;
mod imports;
mod inspect;
pub mod limits;
mod load;
mod load_error;
mod packaged;
mod packed;
mod plugin;
mod precompiled;
mod profile;
mod schema;
mod scorer;
mod session;
mod shown_row;
mod states;
mod touched;
mod validator;
mod watchdog;

pub use aggregator::{Aggregator, AggregatorSession, Finished, Folded, Merged, Migrated};
pub use budget::CallsUntil;
pub use call_deadline::CallDeadline;
pub use columns::{Column, ColumnBuf};
pub use contract::{CONTRACT, CONTRACT_VERSION, Role};
pub use digest::{Digest, NotADigest};
pub use engine::Engine;
pub use fault::{EngineError, Fault};
pub use inspect::Language;
pub use limits::{AboveCeiling, Ceilings, Limits, PluginLimits};
pub use load::Component;
pub use load_error::LoadError;
pub use packaged::PackagedCode;
pub use packed::{Packed, PackedBuf};
pub use plugin::{Plugin, Settings};
pub use precompiled::{CodeSignature, PrecompileError, Precompiler, SignedCode, Target, UnknownTarget};
pub use profile::{Profile, ProfiledFunction};
pub use schema::{Field, Kind, Output, Value};
pub use scorer::{Scored, Scorer, ScorerSession};
pub use session::{Called, Session, Usage};
pub use validator::{Validated, Validator, ValidatorSession};
