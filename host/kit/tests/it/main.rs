//! The author's kit with real components, which `make plugins` builds.
//!
//! - [`sizes`]: how large the shipped plugins are.
//! - [`verify`]: what a verification finds in plugins that are wrong, evil, or neither.

mod sizes;
mod verify;
