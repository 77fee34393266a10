//! Names what is wrong with a deployment from what was observed of it, and what to do.
//!
//! # Layout
//!
//! - `history`: what was observed: settings, quantities over time, and what could not be read.
//! - `checks`: one question each, with an id. `lag`: how a reader lags, by the course of its age.
//! - `finding`: what a check comes to. `causes`: which finding comes first. `scope`: which can come first at all.
//! - `report`: all of it, as text and as JSON.
//! - `command`, `words`, `prices`: commands, numbers and prices in findings.
#![forbid(unsafe_code)]

mod causes;
mod checks;
mod command;
mod finding;
pub mod history;
mod lag;
mod prices;
mod report;
mod scope;
mod words;

pub use causes::{Diagnosis, EDGES, Edge, arrange};
pub use checks::{CHECKS, Check};
pub use finding::{Evidence, Finding, Outcome, Remedy, Severity};
pub use history::{History, ReadError, Timestamp};
pub use lag::{Lag, LagContext, LagState, evaluate};
pub use report::{CheckLine, ReaderLag, Report, examine};
pub use scope::Scope;
