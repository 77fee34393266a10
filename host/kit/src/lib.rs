//! The author's kit: what the plugin commands of the command line do with one plugin.
//!
//! # Layout
//!
//! From top to bottom; no file imports one above it.
//! - [`verify`]: whether a plugin keeps the laws of its role.
//! - [`mod@bench`]: how long its calls take, against another plugin's; [`profile`]: in which functions; [`bill`]: what they
//!   cost.
//! - [`expected`]: expected results, and how results differ.
//! - [`results`]: what it makes of events.
//! - [`record`]: sample events from recorded payloads.
//! - [`subject`]: a plugin in its role.
//! - [`events`]: sample events, and what the plugin is called with for them.
//! - [`shipped`]: the plugins of this version.
//! - [`build`]: from a project to a component.
//! - [`count`]: counts in what people read.
//! - [`project`]: a plugin's project, and how a new one is made.
#![forbid(unsafe_code)]

pub mod bench;
pub mod bill;
pub mod build;
pub mod count;
pub mod events;
pub mod expected;
pub mod profile;
pub mod project;
pub mod record;
pub mod results;
pub mod shipped;
pub mod subject;
pub mod verify;
