//! The stages of a batch: free functions over one [`Context`](context::Context), called in order by the pipeline.
//!
//! # Layout
//!
//! In order:
//! - [`receive`]: batches from files, standard input and dead letters.
//! - `project`: the declared fields of each JSON payload.
//! - `route`: the rulebook of each record.
//! - `columns`: the columns that a rulebook's plugins read, as a `record_batch`.
//! - `validate`, `score`: the plugins' verdict on each row.
//! - `pin`: races that begin are pinned to their rulebook.
//! - `groups`: the groups of each row.
//! - `commit`: load and fold the groups, store dead letters, write the groups, again after a conflict; `fold`: rows into
//!   the groups' items; `outputs`: the attributes of an item.
//! - `acknowledge`: what was redriven is deleted, and the checkpoint is stored.
//! - `observe`: what became of the records, and what that shows of rulebooks on trial; `count` and `shadow` are its parts.
//!
//! What they share:
//! - `context`: the store, the retry budget and the books of one batch or window.
//! - `evaluated`: a batch whose records are evaluated.
//! - `rejected`: the records that become dead letters; `settled`: those that have one since an earlier delivery;
//!   `held`: those that their groups hold; `horizon`: what hosts that process one shard know of each other; `failing`: those that wait instead; `uncommitted`: the first record that is not committed.

pub(crate) mod acknowledge;
pub(crate) mod columns;
pub(crate) mod commit;
pub(crate) mod context;
pub(crate) mod count;
pub(crate) mod evaluated;
pub(crate) mod failing;
pub(crate) mod fold;
pub(crate) mod groups;
pub(crate) mod held;
pub(crate) mod horizon;
pub(crate) mod observe;
pub(crate) mod outputs;
pub(crate) mod pin;
pub(crate) mod project;
pub mod receive;
pub(crate) mod record_batch;
pub(crate) mod rejected;
pub(crate) mod route;
pub(crate) mod score;
pub(crate) mod settled;
pub(crate) mod shadow;
pub(crate) mod shard_horizon;
pub(crate) mod uncommitted;
pub(crate) mod validate;
