//! The article on monitoring and troubleshooting, on one machine: a race of 1,000 racers on one shard, a function with a
//! time-out of 15 s, a table with 20 write units; what `paceline doctor` says of it; and what each remedy changes.
//!
//! The messages are the simulator's, the function is the compiled one, and the table is DynamoDB Local's. The limits are
//! those of the test bed: the shard's by the producers, the mapping's by the mapping, and the table's by the proxy. A
//! clock runs faster than the machine's, for all of them alike: producers, polls, windows, time-outs, and write units.
//!
//! # Layout
//!
//! - `setting`: a deployment and what a phase of the article changes of it.
//! - `producers`: the race's messages in the stream, as far as its shards take them.
//! - `deployment`: the function with its package, the table, the proxy.
//! - `recorder`: measures invocations; `arrivals`: what of an event's records it needs.
//! - `log`: the metrics that the function writes.
//! - `phase`: runs a setting; `measures`: what was measured, by period.
//! - `history`: the measures as a document for the doctor.
//! - `terminal`: lines and tables.
//! - `comparison`: what `paceline plan` predicts, and what is measured here.
#![forbid(unsafe_code)]

mod arrivals;
mod comparison;
mod deployment;
mod history;
mod log;
mod measures;
mod phase;
mod producers;
mod recorder;
mod setting;
mod terminal;

pub use comparison::{Compared, Pair, TOLERANCE, compare, settings};
pub use deployment::Parts;
pub use history::history;
pub use measures::{Measures, Period};
pub use phase::run;
pub use setting::{Setting, article, remedies, sound};
pub use terminal::{Line, comparison_table, effects, line, print_line};
