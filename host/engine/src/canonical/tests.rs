//! What is rewritten, and that it is seen by nobody.
//!
//! - `golden`: small functions before and after.
//! - `clean`: bits that have to stay as they are.
//! - `processors`: random programs, on processors whose NaNs have other bits.
//! - `program`: how those programs are made up.
//! - `plugins`: whole components.
//! - `operators`: that no instruction is forgotten.

mod clean;
mod golden;
mod operators;
mod plugins;
mod processors;
mod program;
mod run;
