//! The author's kit: what the plugin commands of the command line do with one plugin.
//!
//! # Layout
//!
//! From top to bottom; no file imports one above it.
//! - [`verify`]: whether a plugin keeps the laws of its role.
//! - [`bill`]: what its calls cost.
//! - [`expected`]: expected results, and how results differ.
//! - [`results`]: what it makes of events.
//! - [`subject`]: a plugin in its role.
//! - [`events`]: sample events, and what the plugin is called with for them.
#![forbid(unsafe_code)]

pub mod bill;
pub mod events;
pub mod expected;
pub mod results;
pub mod subject;
pub mod verify;
