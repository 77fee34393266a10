//! The path of the data: from batches of events to committed groups, with exactly-once effect.
//!
//! ```text
//! receive → project → route → validate → score → fold → commit → acknowledge
//! ```
//!
//! A [`Source`](receive::Source) gives [`Batch`](model::Batch)es of one shard, in order. A [`Pipeline`] takes each through
//! all stages by the current [`Rulebooks`] into a [`Store`]. A record that can't be processed becomes a
//! [`DeadLetter`](model::DeadLetter). A batch is acknowledged only after its groups and dead letters are durable. This
//! crate knows no cloud service.
//!
//! # Layout
//!
//! From top to bottom; no file imports one above it.
//! - [`run`]: batch after batch; `pieces`: a batch for which the caller's time is short; [`pipeline`]: one batch through all
//!   stages; [`window`]: several batches' groups, written at once.
//! - [`given_up`]: the records of batches that their sender gave up, as dead letters.
//! - [`replay`]: recorded batches by a rulebook that does not run, to see what would differ.
//! - [`fields`]: the fields of payloads, for those who look at them outside of the pipeline.
//! - `stages`: the stages, free functions over one context. [`receive`] is public.
//! - [`rules`]: rulebooks, from the document to what the stages use. Only its `operator` runs stages: on sample events.
//! - [`retry`], [`error`](PipelineError), [`summary`]: retries, failures, counts.
//! - [`store`]: where the outcome is stored.
//! - `follow`: how a host follows the rules.
//! - `trials`: what this host has seen of rulebooks on trial, and what it shares.
//! - `evaluation`: what a batch would write.
//! - `holds`: how long records wait for a rulebook.
//! - `shorten`: texts that contain what came from outside.
//! - [`clock`](Clock): the time of day.
//! - [`dedup`]: which records are folded already.
//! - [`model`]: records, keys, items, dead letters.
#![forbid(unsafe_code)]

mod clock;
pub mod dedup;
mod error;
mod evaluation;
pub mod fields;
mod follow;
pub mod given_up;
mod holds;
pub mod model;
mod pieces;
pub mod pipeline;
pub mod replay;
pub mod retry;
pub mod rules;
pub mod run;
mod settings;
mod shorten;
mod stages;
pub mod store;
pub mod summary;
mod trials;
pub mod window;

pub use clock::Clock;
pub use error::{ErrorChain, ForeignDedup, ForeignState, PipelineError};
pub use evaluation::{Evaluation, ScoredRecords};
pub use pipeline::{Pipeline, ProcessOutcome};
pub use retry::RetryPolicy;
pub use rules::Rulebooks;
pub use shorten::shorten;
pub use stages::receive;
pub use store::Store;
pub use trials::{DEFAULT_TRIAL_INTERVAL, TrialReport, read_trial};
