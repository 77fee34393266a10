//! Windows: the rows of several batches are carried by the sender, and committed with one write for each group.
//!
//! Each row is carried as a state of its own, folded from nothing. Merged states can't be taken apart again; and when the
//! window is flushed, a row may turn out to be in the table already: an earlier flush got that far, or a producer sent
//! the record twice. So rows are merged only then, behind their group's dedup. That is exact whatever is repeated, and
//! costs bytes instead of writes: some 25 bytes for each row of the Alleycat races.
//!
//! # Layout
//!
//! - `state`: what is carried, and its encoding.
//! - `accumulate`: from a batch to its rows' states.
//! - `flush`: from the states to the table; `merge`: one group of them; `rejections`: the rows that can't
//!   be merged; `letter`: their dead letters; `redrive`: merges these once more.

mod accumulate;
mod flush;
mod groups;
mod letter;
mod merge;
mod redrive;
mod rejections;
mod state;

pub use redrive::WindowRedrive;
pub use state::{NotAWindow, Window};
