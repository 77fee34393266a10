//! Reads what there is to know of a deployment: from AWS, and from running hosts.
//!
//! Everything is read with few requests and nothing is changed. A source that cannot be read is noted, with the permission
//! that is missing, and the others are read nevertheless.
//!
//! # Layout
//!
//! - `target`: what to observe, by name; the rest is found from it.
//! - `observe`: the whole of it.
//! - `stream`, `function`, `table`, `queue`: one service each.
//! - `metrics`: CloudWatch's, by `metric_list`.
//! - `host`: a running host's `/metrics`.
//! - `failure`: why something could not be read.
#![forbid(unsafe_code)]

mod failure;
mod function;
mod host;
mod metric_list;
mod metrics;
mod observe;
mod queue;
mod stream;
mod table;
mod target;

pub use host::{Exposition, parse_exposition};
pub use observe::observe;
pub use target::{Endpoint, Target};
