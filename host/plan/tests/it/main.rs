//! The plans of `paceline-plan`.

mod cheapest;
mod files;
mod golden;
mod laws;
mod measured;
mod rejected;
mod settings;
