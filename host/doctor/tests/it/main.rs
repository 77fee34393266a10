//! What the doctor makes of scripted histories.
//!
//! # Layout
//!
//! - `builder`: a healthy deployment, and series by formula. `scenarios`: what is wrong with it.
//! - `reports`: each scenario with its report. `causes`: the graph. `lag`: the laws of lag.
//! - `document`: the history's format.
//! - `robust`: histories with any numbers.
//! - `unread`: what could not be read is not healthy. `docs`: every check has its section.

mod builder;
mod causes;
mod docs;
mod document;
mod lag;
mod reports;
mod robust;
mod scenarios;
mod unread;
