//! The author's kit with real components, which `make plugins` builds.
//!
//! - [`verify`]: what a verification finds in plugins that are wrong, evil, or neither.

mod verify;
