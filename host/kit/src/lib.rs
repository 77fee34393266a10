//! The author's kit: plugin projects, their builds, tests and laws.

pub mod build;
pub mod project;
