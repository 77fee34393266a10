//! The way of the data: from batches of events to committed groups, exactly once in effect.
//!
//! ```text
//! receive → route → project → validate → score → fold → commit → acknowledge
//! ```
//!
//! A [`Source`](receive::Source) gives [`Batch`](batch::Batch)es of one shard, in order. A [`Pipeline`] takes each
//! through all stages by the [`Rulebooks`] of the moment into a [`Store`]. What can't go on becomes a
//! [`DeadLetter`](dead_letter::DeadLetter); nothing is acknowledged before all of it stands. This crate knows no cloud.
//!
//! # Layout
//!
//! The stages, in order:
//! - [`receive`]: batches from files, from standard input, from dead letters.
//! - `project`: the JSON, read once, into cells; `table`: the cells of one ruling's records as columns.
//! - `route`: which rulebook each record goes by.
//! - `validate`, `score`, `fold`: the plugins' part.
//! - `commit`, `acknowledge`: the store's part; [`window`]: several batches' worth of it at once.
//! - [`pipeline`]: one batch through all of them; [`run`]: batch after batch.
//!
//! What they work with:
//! - [`batch`], [`position`]: records and where they stand.
//! - [`rulebook`], [`registry`]: what records are judged by, and its change while the stream flows.
//! - [`mod@pointer`], [`template`]: fields, and texts with fields in them.
//! - [`dedup`]: what has been folded already.
//! - [`store`]: where the outcome stands.
//! - [`dead_letter`], [`summary`]: what could not go on, and what a run came to.
#![forbid(unsafe_code)]

mod acknowledge;
pub mod batch;
mod commit;
pub mod dead_letter;
pub mod dedup;
mod fold;
pub mod pipeline;
pub mod pointer;
pub mod position;
mod project;
pub mod receive;
pub mod registry;
mod route;
pub mod rulebook;
mod rulebook;
pub mod run;
mod score;
pub mod store;
pub mod summary;
mod table;
pub mod template;
pub mod toml_error;
mod validate;
pub mod window;

pub use commit::RetryPolicy;
pub use pipeline::{Pipeline, PipelineError};
pub use registry::Rulebooks;
pub use store::Store;
