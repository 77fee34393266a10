//! The author's kit with real components, which `make plugins` builds.
//!
//! - [`bindings`]: the SDK's bindings are those of `wit/`.
//! - [`contract`]: `wit/` is a package.
//! - [`sizes`]: how large the shipped plugins are.
//! - [`verify`]: what a verification finds in plugins that are wrong, evil, or neither.

mod bindings;
mod contract;
mod sizes;
mod verify;
