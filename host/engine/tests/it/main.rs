//! The engine with real components, which `make plugins` builds.
//!
//! - [`evil`]: what the host does about plugins that misbehave.
//! - [`cache`]: compiled components on disk.
//! - [`precompiled`], [`packaged`]: those that an operator has signed, or that came with the program.
//! - [`contract`]: its version and its changelog.
//! - [`plugins`]: the components, and what happens where they are not built.
//! - [`text`]: components as text, which need no building.

mod cache;
mod contract;
mod evil;
mod packaged;
mod plugins;
mod precompiled;
mod text;
