//! The plans of `paceline-plan`.

mod laws;
