//! The sandbox: loads WebAssembly components, bounds what they may do, and calls them with columns.
//!
//! A [`Component`] is a plugin's code, checked and compiled. With the settings of a rulebook it becomes a [`Validator`],
//! a [`Scorer`] or an [`Aggregator`]. Each batch opens a session of it, which is a fresh instance: nothing that a plugin
//! remembers outlives its batch. When a call fails as a whole (a trap, a bound, a list of the wrong length), the session
//! tries halves of the batch on fresh instances until it knows the rows that bring the call down; the others go on.
//!
//! This crate knows nothing of JSON, streams or stores, and no other crate knows wasmtime.
//!
//! # Layout
//!
//! - [`limits`]: what a plugin may use; each bound a named constant with its reason.
//! - [`columns`]: what crosses into the sandbox and back.
//! - [`load`]: from bytes to a [`Component`], or a [`LoadError`] that names the cause.
//! - [`plugin`]: a component in a role, with settings; its sessions.
//! - `cache`: compiled components on disk.
//! - `call`: one instance and one bounded call. `watchdog`: the bound on time. `bisect`: which rows are to blame.
//! - [`fault`]: how a call fails.

mod bisect;
mod cache;
mod call;
pub mod columns;
mod digest;
pub mod fault;
pub mod limits;
pub mod load;
pub mod plugin;
mod watchdog;

pub use columns::{Column, ColumnBuf, Field, Kind, Output, Packed, PackedBuf, Value};
pub use digest::Digest;
pub use fault::Fault;
pub use limits::Limits;
pub use load::{Component, Engine, EngineError, LoadError, Role};
pub use plugin::{Aggregator, Plugin, Scorer, Settings, Validator};

/// The package of the contract, without its version.
pub const CONTRACT: &str = "paceline:plugin";
/// The version of the contract that this host speaks.
pub const CONTRACT_VERSION: &str = "0.1.0";
